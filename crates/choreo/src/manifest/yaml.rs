//! YAML as a tree that remembers where everything stood.

use std::{fmt, ops::Range};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Location, Spanned};

/// A value and where it stood (bytes of the file).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) data: Data,
    /// Where it stood.
    pub(crate) span: Range<usize>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// Any number.
    Number(Number),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// Fields in the order of the file.
    Map(Vec<Field>),
}

/// One field of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: String,
    /// Where the name stood.
    pub(crate) span: Range<usize>,
    /// Its value.
    pub(crate) value: Node,
}

/// Reads every document of a text; empty documents are left out.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, serde_saphyr::Error> {
    let mut options = choreo_compiler::source::options();
    options.with_snippet = false;
    let documents: Vec<Spanned<Raw>> = serde_saphyr::from_multiple_with_options(text, options)?;
    Ok(documents
        .into_iter()
        .map(node)
        .filter(|node| node.data != Data::Null)
        .collect())
}

/// Where an error of the reader is, in bytes of `text`. The reader tells the line and the column; not
/// every error carries bytes.
pub(crate) fn span_of_error(text: &str, error: &serde_saphyr::Error) -> Range<usize> {
    let Some(location) = error.location() else {
        return 0..0;
    };
    let number =
        |one_based: u64| usize::try_from(one_based.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut start = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if at == number(location.line()) {
            let column = line.char_indices().nth(number(location.column()));
            let within = column.map_or(line.len(), |(offset, _)| offset);
            return start + within..start + within + 1;
        }
        start += line.len();
    }
    text.len()..text.len()
}

impl Node {
    /// The same as plain JSON.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(value) => Value::Number(value.clone()),
            Data::Text(value) => Value::String(value.clone()),
            Data::List(items) => items.iter().map(Self::to_json).collect(),
            Data::Map(fields) => Value::Object(
                fields
                    .iter()
                    .map(|field| (field.name.clone(), field.value.to_json()))
                    .collect(),
            ),
        }
    }

    /// A field of a mapping.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        match &self.data {
            Data::Map(fields) => fields.iter().find(|field| field.name == name),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => None,
        }
    }

    /// The text of a field.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        if let Data::Text(text) = &self.field(name)?.value.data {
            Some(text)
        } else {
            None
        }
    }

    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "an object",
        }
    }
}

/// A value as the reader hands it over, before spans are made of locations.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

fn node(raw: Spanned<Raw>) -> Node {
    let data = match raw.value {
        Raw::Null => Data::Null,
        Raw::Bool(value) => Data::Bool(value),
        Raw::Number(value) => Data::Number(value),
        Raw::Text(value) => Data::Text(value),
        Raw::List(items) => Data::List(items.into_iter().map(node).collect()),
        Raw::Map(entries) => Data::Map(entries.into_iter().map(field).collect()),
    };
    Node {
        data,
        span: bytes(&raw.referenced),
    }
}

fn field((name, value): (Spanned<String>, Spanned<Raw>)) -> Field {
    Field {
        span: bytes(&name.referenced),
        name: name.value,
        value: node(value),
    }
}

fn bytes(location: &Location) -> Range<usize> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
    let length = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(0);
    start..start + length
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Number::from_f64(value)
            .map(Raw::Number)
            .ok_or_else(|| E::custom("numbers must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_point_at_names_and_values() {
        let text = "# é\na:\n  b: [1, on]\n---\nc: x\n---\n";
        let documents = read(text).unwrap();
        assert_eq!(documents.len(), 2);
        let b = documents[0].field("a").unwrap().value.field("b").unwrap();
        assert_eq!(&text[b.span.clone()], "b");
        let Data::List(items) = &b.value.data else {
            panic!("{b:?}")
        };
        assert_eq!(&text[items[1].span.clone()], "on");
        assert_eq!(items[1].data, Data::Bool(true));
        assert_eq!(documents[1].text("c"), Some("x"));
    }

    #[test]
    fn broken_text_has_a_place() {
        let text = "a: 1\nb: [1,\nc: 2\n";
        let error = read(text).unwrap_err();
        assert_eq!(&text[span_of_error(text, &error)], "[", "{error}");
    }

    /// Text that may be YAML: read with places and without, it is the same, and every place is in it.
    fn read_twice(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        let nodes = match read(text) {
            Ok(nodes) => nodes,
            Err(error) => {
                let span = span_of_error(text, &error);
                assert!(span.start <= text.len() && text.is_char_boundary(span.start));
                return;
            }
        };
        for node in &nodes {
            placed(text, node);
        }
        if let Ok(values) = serde_saphyr::from_multiple::<Value>(text) {
            let values = values.into_iter().filter(|value| !value.is_null());
            let found: Vec<Value> = nodes.iter().map(Node::to_json).collect();
            assert_eq!(found, values.collect::<Vec<_>>());
        }
    }

    fn placed(text: &str, node: &Node) {
        assert!(text.get(node.span.clone()).is_some(), "{node:?}");
        match &node.data {
            Data::List(items) => items.iter().for_each(|item| placed(text, item)),
            Data::Map(fields) => fields.iter().for_each(|field| {
                assert!(text.get(field.span.clone()).is_some(), "{field:?}");
                placed(text, &field.value);
            }),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
        }
    }

    #[test]
    fn any_text_is_read_the_same_with_and_without_places() {
        choreo_fuzz::replay(&[("yaml", read_twice)], "yaml", 300);
    }

    #[test]
    fn same_field_twice_is_refused() {
        assert!(read("a: 1\na: 2\n").is_err());
    }
}
