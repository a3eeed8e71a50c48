//! What the messages of Kubernetes' own kinds mean. The table is read when the first
//! body in protobuf comes.

use std::{collections::BTreeMap, sync::LazyLock};

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("messages.txt")));

pub(super) fn table() -> &'static Table {
    &TABLE
}

/// All messages, and which one a kind is.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Numbers of messages by `apiVersion kind`.
    kinds: BTreeMap<&'static str, usize>,
    messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Whether it stands for one of its members.
    pub(super) either: bool,
    /// Sorted by number.
    fields: Vec<Field>,
}

/// One field of a message.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks of a Go field"
)]
pub(super) struct Field {
    number: u32,
    pub(super) name: &'static str,
    pub(super) word: Word,
    pub(super) pointer: bool,
    pub(super) omit_zero: bool,
    pub(super) inline: bool,
    pub(super) list: bool,
    pub(super) map: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Text,
    Bytes,
    Bool,
    Int,
    Double,
    Quantity,
    /// JSON.
    Raw,
    Time,
    MicroTime,
    Duration,
    IntOrString,
    /// A message around texts.
    List,
    Message(usize),
}

impl Table {
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<&Message> {
        let name = format!("{api_version} {kind}");
        self.message(*self.kinds.get(name.as_str())?)
    }

    pub(super) fn message(&self, number: usize) -> Option<&Message> {
        self.messages.get(number)
    }
}

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

fn read(text: &'static str) -> Table {
    let mut table = Table::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(root) = line.strip_prefix("kind ") {
            if let Some((name, number)) = root.rsplit_once(' ') {
                table
                    .kinds
                    .extend(number.parse().map(|number| (name, number)));
            }
        } else if line.starts_with("message ") {
            let either = line.ends_with(" either");
            table.messages.push(Message {
                either,
                fields: Vec::new(),
            });
        } else if let (Some(message), Some(field)) = (table.messages.last_mut(), field(line)) {
            message.fields.push(field);
        }
    }
    table
}

fn field(line: &'static str) -> Option<Field> {
    let mut parts = line.split(' ');
    let (number, name, word, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Field {
        number: number.parse().ok()?,
        name,
        word: word_of(word)?,
        pointer: flags.contains('*'),
        omit_zero: flags.contains('?'),
        inline: flags.contains('<'),
        list: flags.contains('['),
        map: flags.contains('{'),
    })
}

fn word_of(word: &str) -> Option<Word> {
    Some(match word {
        "text" => Word::Text,
        "bytes" => Word::Bytes,
        "bool" => Word::Bool,
        "int" => Word::Int,
        "double" => Word::Double,
        "quantity" => Word::Quantity,
        "raw" => Word::Raw,
        "time" => Word::Time,
        "microtime" => Word::MicroTime,
        "duration" => Word::Duration,
        "intstr" => Word::IntOrString,
        "list" => Word::List,
        number => Word::Message(number.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let text = include_str!("messages.txt");
        let fields = text
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        for line in fields {
            assert!(field(line).is_some(), "{line}");
        }
        for message in &table().messages {
            for field in &message.fields {
                if let Word::Message(number) = field.word {
                    assert!(table().message(number).is_some(), "{}", field.name);
                }
            }
        }
        assert!(table().kind("v1", "Pod").is_some());
    }
}
