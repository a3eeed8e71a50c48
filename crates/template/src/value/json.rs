//! JSON and trees in, by reference; trees out, within the budget.

use super::{Entries, Identity, Key, List, Map, Text, Value, json_map_cost};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::library::time;
use crate::{Fields, Items, MAX_DEPTH, Members, Tree, Type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value as Json};
use std::rc::Rc;
use std::sync::Arc;

/// What one value of JSON weighs besides its text, roughly as in memory.
const NODE: usize = 48;

/// The value of `json`, borrowing everything.
pub(crate) fn from_json(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => from_number(number),
        Json::String(text) => Value::String(Text::Borrowed(text)),
        Json::Array(items) => Value::List(List::Json(items)),
        Json::Object(map) => Value::Map(Map::Json(map)),
    }
}

/// The value of `tree`, borrowing everything.
pub(crate) fn from_tree(tree: &Tree) -> Value<'_> {
    match tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Number(number) => from_number(number),
        Tree::String(text) => Value::String(Text::Held(text)),
        Tree::Array(items) => Value::List(List::Tree(items)),
        Tree::Object(fields) => Value::Map(Map::Tree(fields)),
    }
}

/// The value of `json` as one of `type_`. Only what JSON cannot tell is made anew. A field that is
/// null is none.
pub(crate) fn from_json_as<'v>(json: &'v Json, type_: &Type) -> Value<'v> {
    match (json, type_) {
        (Json::Number(number), Type::Double) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        (Json::String(text), Type::Timestamp) => {
            // A day is its first moment.
            let moment = time::parse_timestamp(text)
                .or_else(|| time::parse_timestamp(&format!("{text}T00:00:00Z")));
            moment.map_or_else(|| from_json(json), Value::Timestamp)
        }
        (Json::String(text), Type::Bytes) => STANDARD
            .decode(text)
            .map_or_else(|_| from_json(json), |bytes| Value::Bytes(bytes.into())),
        (Json::String(text), Type::Duration) => {
            time::parse_duration(text).map_or_else(|| from_json(json), Value::Duration)
        }
        (Json::Array(items), Type::List(item, identity)) => {
            let list = if tells_more(item) {
                List::Shared(Rc::new(
                    items.iter().map(|one| from_json_as(one, item)).collect(),
                ))
            } else {
                List::Json(items)
            };
            Value::List(list.told_apart(identity))
        }
        (Json::Object(map), Type::Map(_, value)) if tells_more(value) => {
            typed(map.iter(), |_| Some(value))
        }
        (Json::Object(map), Type::Object(fields)) if differs(map, fields) => {
            let set = map.iter().filter(|(_, value)| !value.is_null());
            typed(set, |name| fields.known.get(name).or(fields.other.as_ref()))
        }
        _ => from_json(json),
    }
}

fn typed<'v, 't>(
    members: impl Iterator<Item = (&'v String, &'v Json)>,
    type_of: impl Fn(&str) -> Option<&'t Type>,
) -> Value<'v> {
    let entries = members.map(|(name, value)| {
        let value = type_of(name).map_or_else(|| from_json(value), |of| from_json_as(value, of));
        (Key::String(Text::Borrowed(name)), value)
    });
    Value::map(entries.collect())
}

/// Whether an object is not what its JSON alone would be.
fn differs(map: &serde_json::Map<String, Json>, fields: &Fields) -> bool {
    map.values().any(Json::is_null) || fields.known.values().chain(&fields.other).any(tells_more)
}

/// Whether values of a type may be not what their JSON alone would be.
fn tells_more(type_: &Type) -> bool {
    match type_ {
        // Of an object, fields may be null.
        Type::Bytes | Type::Double | Type::Timestamp | Type::Duration | Type::Object(_) => true,
        Type::List(item, identity) => *identity != Identity::Place || tells_more(item),
        Type::Map(_, value) => tells_more(value),
        _ => false,
    }
}

/// Whole numbers are ints, however they were written: that is what people count with.
fn from_number(number: &Number) -> Value<'static> {
    if let Some(int) = number.as_i64() {
        return Value::Int(int);
    }
    if let Some(uint) = number.as_u64() {
        return Value::UInt(uint);
    }
    let double = number.as_f64().unwrap_or(f64::NAN);
    whole(double).map_or(Value::Double(double), Value::Int)
}

/// The integer a double stands for exactly.
pub(crate) fn whole(double: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be whole and small enough"
    )]
    (double.fract() == 0.0 && double.abs() <= EXACT).then_some(double as i64)
}

/// What `json` weighs in the budget.
pub fn weight(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => NODE,
        Json::String(text) => NODE + text.len(),
        Json::Array(items) => list_weight(items.iter().map(weight).sum()),
        Json::Object(map) => {
            let below = map.iter().map(|(key, value)| key.len() + weight(value));
            map_weight(map.len(), below.sum())
        }
    }
}

impl Tree {
    /// What it weighs in the budget: as much as the JSON it stands for, whatever of it is shared.
    pub fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => NODE,
            Self::String(text) => NODE + text.len(),
            Self::Array(items) => items_weight(items),
            Self::Object(fields) => fields_weight(fields),
        }
    }
}

fn items_weight(items: &Items) -> usize {
    list_weight(items.iter().map(Tree::weight).sum())
}

fn fields_weight(fields: &Members) -> usize {
    let below = fields
        .iter()
        .map(|(name, value)| name.len() + value.weight());
    map_weight(fields.len(), below.sum())
}

/// What a list weighs whose items weigh `below`.
pub(crate) const fn list_weight(below: usize) -> usize {
    NODE + below
}

/// What a map of `count` entries weighs whose keys and values weigh `below`.
pub(crate) const fn map_weight(count: usize, below: usize) -> usize {
    NODE + json_map_cost(count) + below
}

/// A result as a tree; `None` when it is to be left out.
pub(crate) fn to_tree(value: &Value<'_>, budget: &Budget) -> Result<Option<Tree>, Failure> {
    convert(value, MAX_DEPTH, budget)
}

fn convert(value: &Value<'_>, depth: usize, budget: &Budget) -> Result<Option<Tree>, Failure> {
    if depth == 0 {
        let message = format!("the result nests deeper than {MAX_DEPTH} levels");
        return Err(Failure::new(message));
    }
    budget.step(1)?;
    budget.grow(NODE)?;
    let tree = match value {
        Value::Omit => return Ok(None),
        Value::Optional(Some(inner)) => return convert(inner, depth - 1, budget),
        Value::Null | Value::Optional(None) => Tree::Null,
        Value::Bool(value) => Tree::Bool(*value),
        Value::Int(value) => Tree::from(*value),
        Value::UInt(value) => Tree::from(*value),
        Value::Double(value) => double(*value)?,
        Value::String(text) => {
            budget.grow(text.as_str().len())?;
            Tree::String(text.share())
        }
        Value::List(List::Json(items)) => {
            budget.grow(items.iter().map(weight).sum())?;
            Tree::from(*items)
        }
        Value::List(List::Tree(items)) => {
            budget.grow(items_weight(items))?;
            Tree::Array((*items).clone())
        }
        Value::Map(Map::Json(map)) => {
            let below = map.iter().map(|(key, value)| key.len() + weight(value));
            budget.grow(map_weight(map.len(), below.sum()))?;
            Tree::Object((*map).into())
        }
        Value::Map(Map::Tree(fields)) => {
            budget.grow(fields_weight(fields))?;
            Tree::Object((*fields).clone())
        }
        Value::List(List::Distinct(list)) => {
            return convert(&Value::List(list.items().clone()), depth, budget);
        }
        Value::List(List::Shared(items)) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items.iter() {
                list.extend(convert(item, depth - 1, budget)?);
            }
            Tree::from(list)
        }
        Value::Map(Map::Shared(map)) => members(map, depth, budget)?.into(),
        Value::Bytes(_) => {
            let hint = "use string(...) or base64.encode(...)";
            return Err(Failure::new("bytes cannot be rendered").with_hint(hint));
        }
        Value::Duration(_) | Value::Timestamp(_) | Value::Type(_) | Value::Foreign(_) => {
            let message = format!("a value of type {} cannot be rendered", value.type_name());
            return Err(Failure::new(message).with_hint("use string(...)"));
        }
    };
    Ok(Some(tree))
}

/// The members that `map` has, below which values may be `depth` deep.
fn members(map: &Entries<'_>, depth: usize, budget: &Budget) -> Result<Members, Failure> {
    budget.grow(json_map_cost(map.len()))?;
    let mut members = Members::with_capacity(map.len());
    for (key, value) in map.iter() {
        if let Some(value) = convert(value, depth - 1, budget)? {
            let name = name(key);
            budget.grow(name.len())?;
            members.insert(name, value);
        }
    }
    Ok(members)
}

/// The name that a key is.
fn name(key: &Key<'_>) -> Arc<str> {
    match key {
        Key::String(text) => text.share(),
        Key::Bool(_) | Key::Int(_) | Key::UInt(_) => key.to_string().into(),
    }
}

fn double(value: f64) -> Result<Tree, Failure> {
    match whole(value) {
        Some(int) => Ok(Tree::from(int)),
        None => Number::from_f64(value)
            .map(Tree::Number)
            .ok_or_else(|| Failure::new(format!("{value} cannot be rendered as a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_tell_what_json_cannot() {
        let known = [("at", Type::Timestamp), ("n", Type::Double)];
        let of = Type::list(Type::object(known));
        let json = json!([{"at": "2026-01-02T03:04:05Z", "n": 1, "x": 1}, {"at": "soon"}]);
        let Value::List(list) = from_json_as(&json, &of) else {
            panic!("no list");
        };
        let names = |value: Option<Value<'_>>| -> Vec<&str> {
            let Some(Value::Map(map)) = value else {
                panic!("no map");
            };
            let entries = map.entries();
            entries.iter().map(|(_, value)| value.type_name()).collect()
        };
        let first = names(list.get(0));
        assert_eq!(first, ["google.protobuf.Timestamp", "double", "int"]);
        assert_eq!(names(list.get(1)), ["string"]);
    }

    #[test]
    fn times_are_read_wherever_a_type_says_so() {
        let type_ = Type::map(Type::list(Type::Duration));
        let json = json!({"a": ["1h", "soon"]});
        let Value::Map(map) = from_json_as(&json, &type_) else {
            panic!("no map");
        };
        let Some(Value::List(list)) = map.field("a") else {
            panic!("no list");
        };
        let names: Vec<&str> = list.iter().map(|one| one.type_name()).collect();
        assert_eq!(names, ["google.protobuf.Duration", "string"]);
    }

    #[test]
    fn bytes_days_and_nulls_are_known_by_their_types() {
        let type_ = Type::object([
            ("b", Type::Bytes),
            ("d", Type::Timestamp),
            ("n", Type::String),
        ]);
        let json = json!({"b": "QUI=", "d": "2026-01-02", "n": null});
        let Value::Map(map) = from_json_as(&json, &type_) else {
            panic!("no map");
        };
        assert!(matches!(map.field("b"), Some(Value::Bytes(bytes)) if *bytes == *b"AB"));
        assert!(matches!(map.field("d"), Some(Value::Timestamp(_))));
        assert!(map.field("n").is_none());
    }

    #[test]
    fn keys_and_texts_have_weight() {
        assert_eq!(weight(&json!(1)), NODE);
        assert_eq!(weight(&json!("abc")), NODE + 3);
        assert_eq!(weight(&json!([1, "ab"])), 3 * NODE + 2);
        let below = 3 + weight(&json!("de"));
        assert_eq!(weight(&json!({"abc": "de"})), map_weight(1, below));
        assert!(map_weight(1, below) >= NODE + below);
    }

    /// However deep something is hidden, there is an end to it.
    #[test]
    fn results_are_bounded_in_depth() {
        type Wrap = fn(Value<'static>) -> Value<'static>;
        let wraps: [Wrap; 3] = [
            |inner| Value::list(vec![inner]),
            |inner| Value::map([(Key::Int(1), inner)].into_iter().collect()),
            Value::some,
        ];
        for wrap in wraps {
            let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| wrap(inner));
            let budget = Budget::default();
            assert!(to_tree(&nested(MAX_DEPTH - 1), &budget).is_ok());
            let (message, ..) = to_tree(&nested(MAX_DEPTH), &budget)
                .expect_err("fails")
                .into_parts();
            assert!(message.contains("deeper than 64 levels"), "{message}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        let budget = Budget::default();
        for value in [
            Value::Bytes([1].into()),
            Value::Type("int"),
            Value::Double(f64::NAN),
            Value::Double(f64::INFINITY),
        ] {
            assert!(to_tree(&value, &budget).is_err(), "{value:?}");
        }
        let whole = to_tree(&Value::Double(2.0), &budget).ok().flatten();
        assert_eq!(whole, Some(Tree::from(2)));
    }
}
