//! Where in a text a field is written: from JSON pointers, which is how faults name fields, to lines
//! and bytes of the YAML the field came from.
//!
//! Templates are evaluated as JSON, long after the text is gone; whoever still has the text asks
//! here, so nobody pays for positions who does not show them.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text of one or more YAML documents.
#[derive(Debug)]
pub struct Source {
    text: Arc<str>,
    documents: Vec<Spanned<Node>>,
}

/// The text is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("the text is not YAML")]
pub struct Unreadable(#[from] Box<serde_saphyr::Error>);

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes.
    pub bytes: Range<usize>,
}

/// How many documents a text may hold: a fleet of thousands of components fits into one file.
const DOCUMENTS: usize = 50_000;
/// How many values a text may hold.
const VALUES: usize = 10_000_000;
/// How much aliases may repeat, in values and ends of values.
const REPEATED: usize = 20_000;

/// How YAML that people write is read. What a text holds is bounded generously, as its own length
/// bounds it already; what it may make of aliases stays bounded tightly.
pub fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: DOCUMENTS,
            max_nodes: VALUES,
            max_events: 2 * VALUES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPEATED },
    }
}

/// Every document of `text`.
pub fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Unreadable> {
    Ok(serde_saphyr::from_multiple_with_options(text, options()).map_err(Box::new)?)
}

impl Source {
    /// Reads `text`.
    pub fn read(text: impl Into<Arc<str>>) -> Result<Self, Unreadable> {
        let text = text.into();
        let documents = documents(&text)?;
        Ok(Self { text, documents })
    }

    /// Where the value at `pointer` of document `document` is written.
    pub fn place(&self, document: usize, pointer: &str) -> Option<Place> {
        let node = self.documents.get(document)?.at(pointer)?;
        self.place_of(bytes(&node.referenced)?)
    }

    /// Where `part` of the expression at `pointer` is written; the whole value when it cannot be
    /// told. The expression may be written with `${}` around it or without.
    pub fn expression(
        &self,
        document: usize,
        pointer: &str,
        expression: &str,
        part: &Range<usize>,
    ) -> Option<Place> {
        let node = self.documents.get(document)?.at(pointer)?;
        let whole = bytes(&node.referenced)?;
        // An alias stands for what is written at its anchor.
        let written = [Some(whole.clone()), bytes(&node.defined)];
        let found = written.into_iter().flatten().find_map(|within| {
            let text = self.text.get(within.clone())?;
            let found = spelled(
                text,
                &format!("${{{expression}}}"),
                part.start + 2..part.end + 2,
            )
            .or_else(|| spelled(text, expression, part.clone()))?;
            Some(within.start + found.start..within.start + found.end)
        });
        self.place_of(found.unwrap_or(whole))
    }

    fn place_of(&self, bytes: Range<usize>) -> Option<Place> {
        let before = self.text.get(..bytes.start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Place {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..)?.chars().count() + 1,
            bytes,
        })
    }
}

/// Where `part` of `value` stands in `text`, which spells `value` somewhere the way YAML does:
/// lines indented and folded, quotes and backslashes doubled or escaped.
fn spelled(text: &str, value: &str, part: Range<usize>) -> Option<Range<usize>> {
    let first = value.chars().next()?;
    let starts = text.char_indices().filter(|(_, c)| *c == first);
    starts
        .into_iter()
        .find_map(|(start, _)| spelled_at(text, start, value, &part))
}

fn spelled_at(text: &str, start: usize, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let (mut at, mut read) = (start, 0);
    let (mut from, mut to) = (None, None);
    while read <= value.len() {
        if read >= part.start {
            from.get_or_insert(at);
        }
        if read >= part.end {
            to.get_or_insert(at);
        }
        let (rest, wanted) = (&text[at..], &value[read..]);
        let Some(c) = wanted.chars().next() else {
            break;
        };
        if c.is_whitespace() {
            let trimmed = rest.trim_start();
            if trimmed.len() == rest.len() {
                return None;
            }
            at += rest.len() - trimmed.len();
            read += wanted.len() - wanted.trim_start().len();
            continue;
        }
        at += spelling(rest, c)?;
        read += c.len_utf8();
    }
    Some(from?..to?)
}

/// How many bytes at the start of `text` stand for `c`, if they do.
fn spelling(text: &str, c: char) -> Option<usize> {
    let escaped = match c {
        '\'' => text.starts_with("''").then_some(2),
        '"' | '\\' => text
            .strip_prefix('\\')
            .filter(|rest| rest.starts_with(c))
            .map(|_| 2),
        _ => None,
    };
    escaped.or_else(|| text.starts_with(c).then(|| c.len_utf8()))
}

fn bytes(location: &Location) -> Option<Range<usize>> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    Some(start..start.checked_add(length)?)
}

/// The shape of a document; values themselves are not needed.
#[derive(Debug)]
enum Node {
    Scalar,
    List(Vec<Spanned<Self>>),
    Map(Vec<(String, Spanned<Self>)>),
}

trait At {
    /// What `pointer` leads to.
    fn at(&self, pointer: &str) -> Option<&Spanned<Node>>;
}

impl At for Spanned<Node> {
    fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            let key = segment.replace("~1", "/").replace("~0", "~");
            node = match &node.value {
                Node::Scalar => return None,
                Node::List(items) => items.get(key.parse::<usize>().ok()?)?,
                Node::Map(entries) => entries
                    .iter()
                    .find_map(|(name, value)| (*name == key).then_some(value))?,
            };
        }
        Some(node)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

struct Shape;

macro_rules! scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _value: $type) -> Result<Node, E> {
            Ok(Node::Scalar)
        })*
    };
}

impl<'de> Visitor<'de> for Shape {
    type Value = Node;

    scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Dialect, Silent, Template};
    use serde_json::Value;

    const TEXT: &str = "a: 1\n---\nspec:\n  list:\n  - x\n  - 'é ${nope}'\n  block: |\n    first\n    ${gone.b}\n  on: ${ 1 + }\n";

    /// What stands at the place of the expression `x.y` at `/a`, after the line and the column.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let source = Source::read(text).expect("YAML");
        let place = source.expression(0, "/a", "x.y", &(2..3)).expect("a place");
        let found = format!("{}:{} {}", place.line, place.column, &text[place.bytes]);
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn expressions_are_found_however_they_are_written() {
        check("a: ${x.y}\n", "1:8 y");
        check("a: \"é ${x.y}\"\n", "1:11 y");
        check("a: 'it''s ${x.y}'\r\nb: 1\r\n", "1:15 y");
        check("b: 1\r\na: |\r\n  one\r\n  ${x.y} two\r\n", "4:7 y");
        check("a: >-\n  one\n  ${x.y}\n", "3:7 y");
        check("b: &it \"${x.y}\"\na: *it\n", "1:13 y");
        check("{\"b\":\t1,\t\"a\":\t\"${x.y}\"}\n", "1:20 y");
        // What is spelled by escapes is not looked for elsewhere.
        check("a: \"\\u0024{x.y }\"\nb: ${x.y}\n", "1:14 y");
        check("a: \"${x\\u002ey}\"\nb: ${x.y}\n", "1:4 \"${x\\u002ey}\"");
    }

    #[test]
    fn a_fleet_fits_into_one_file() {
        let text = "a: 1\n---\n".repeat(3_000);
        assert_eq!(documents::<Value>(&text).expect("YAML").len(), 3_000);
    }

    #[test]
    fn values_are_found() {
        let source = Source::read(TEXT).expect("YAML");
        let place = source.place(1, "/spec/list/1").expect("a place");
        assert_eq!((place.line, place.column), (6, 5));
        assert_eq!(&TEXT[place.bytes], "'é ${nope}'");
        assert_eq!(source.place(1, "/spec/list/2"), None);
        assert_eq!(source.place(2, ""), None);
    }

    #[test]
    fn expressions_are_found_however_yaml_writes_them() {
        let text = "a: >-\n  ${f(x,\n    nope)}\nb: '${has(a.b) ? ''x'' : nope}'\nc: \"${\\\"x\\\" + nope}\"\nd: nope == 1\n";
        let source = Source::read(text).expect("YAML");
        let value: Value = serde_saphyr::from_str(text).expect("YAML");
        for (name, line, column) in [("a", 3, 5), ("b", 4, 26), ("c", 5, 15), ("d", 6, 4)] {
            let value = value[name].as_str().expect("a text");
            let inner = value
                .strip_prefix("${")
                .and_then(|text| text.strip_suffix('}'));
            let expression = inner.unwrap_or(value);
            let start = expression.find("nope").expect("there");
            let place = source.expression(0, &format!("/{name}"), expression, &(start..start + 4));
            let place = place.expect("a place");
            assert_eq!(
                (place.line, place.column, &text[place.bytes]),
                (line, column, "nope")
            );
        }
    }

    #[test]
    fn expressions_are_found() {
        let dialect = Dialect::new(&[]);
        let source = Source::read(TEXT).expect("YAML");
        let documents: Vec<Value> = serde_saphyr::from_multiple(TEXT).expect("YAML");
        let mut faults = Template::parse(&dialect, &documents[1], "").expect_err("fails");
        let mut rest = documents[1].clone();
        rest["spec"].as_object_mut().expect("a map").remove("on");
        let template = Template::parse(&dialect, &rest, "").expect("parses");
        faults.extend(
            template
                .eval(&Context::new(), &mut Silent)
                .expect_err("fails"),
        );
        let mut found: Vec<_> = faults
            .iter()
            .map(|fault| {
                let place = source.expression(1, &fault.path, &fault.expression, &fault.part);
                place.expect("a place")
            })
            .map(|place| (place.line, place.column, &TEXT[place.bytes]))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [(6, 10, "nope"), (9, 7, "gone"), (10, 14, "")]);
    }
}
