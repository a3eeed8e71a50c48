//! Bodies of requests as trees, with the fields that were given twice.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};

use crate::status::{Failure, Result};

/// The largest body of a request that is read, in bytes, as on any Kubernetes.
pub(crate) const LARGEST: usize = 3 << 20;

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) value: Value,
    /// Paths of fields that were given more than once; the last one counts.
    pub(crate) duplicates: Vec<String>,
}

/// Reads JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<Body> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk {
        place: &Place::Root,
        duplicates: &mut duplicates,
    };
    let value = walk
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            Failure::bad_request(format!(
                "the body of the request is not valid JSON: {error}"
            ))
        })?;
    Ok(Body { value, duplicates })
}

/// Reads YAML, of which JSON is a part.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Body> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return json(bytes);
    }
    let value = serde_saphyr::from_slice(bytes).map_err(|error| {
        Failure::bad_request(format!(
            "the body of the request is not valid YAML: {error}"
        ))
    })?;
    Ok(Body {
        value,
        duplicates: Vec::new(),
    })
}

/// Builds a tree and notes keys that come twice.
struct Walk<'a> {
    place: &'a Place<'a>,
    duplicates: &'a mut Vec<String>,
}

/// Where in a body the walk is. Its path is hardly ever asked for.
enum Place<'a> {
    Root,
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, position) => write!(f, "{parent}[{position}]"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let walk = Walk {
                place: &Place::Item(self.place, list.len()),
                duplicates: self.duplicates,
            };
            match items.next_element_seed(walk)? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let walk = Walk {
                place: &Place::Member(self.place, &key),
                duplicates: self.duplicates,
            };
            let value = entries.next_value_seed(walk)?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    let place = Place::Member(self.place, entry.key());
                    self.duplicates.push(place.to_string());
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_found() {
        let body = json(br#"{"a":{"b":1,"b":2},"c":[{"d":1,"d":1}]}"#).unwrap();
        assert_eq!(body.duplicates, ["a.b", "c[0].d"]);
        assert_eq!(body.value["a"]["b"], 2);
    }

    #[test]
    fn garbage_is_refused() {
        assert!(json(b"{").is_err());
        assert!(json(b"{} x").is_err());
        assert!(yaml(b"a: [").is_err());
    }
}
