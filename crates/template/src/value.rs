//! JSON to CEL values and back.

use crate::{MAX_DEPTH, MAX_VALUES};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional,
    CelString, CelUInt, Type,
};
use cel::common::value::{StaticVal, Val};
use serde_json::{Map, Number, Value as Json};
use std::any::Any;

/// What `oc_omit()` evaluates to: the place it is assigned to goes away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Omit;

static OMIT: Type = Type::new_unspecified_type("omit");

impl Val for Omit {
    fn get_type(&self) -> &Type {
        &OMIT
    }

    fn cel_type() -> &'static Type {
        &OMIT
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some()
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Omit {}

/// A CEL value that borrows the strings of `json`.
pub(crate) fn from_json(json: &Json) -> Box<dyn Val + '_> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(*value)),
        Json::Number(number) => from_number(number),
        Json::String(text) => Box::new(CelString::from(text.as_str())),
        Json::Array(items) => Box::new(CelList::from(
            items.iter().map(from_json).collect::<Vec<_>>(),
        )),
        Json::Object(entries) => Box::new(map(entries
            .iter()
            .map(|(key, value)| (CelMapKey::from(key.as_str()), from_json(value))))),
    }
}

/// Whole numbers are ints, however they were written: that is what people count with.
fn from_number<'v>(number: &Number) -> Box<dyn Val + 'v> {
    if let Some(int) = number.as_i64() {
        return Box::new(CelInt::from(int));
    }
    if let Some(uint) = number.as_u64() {
        return Box::new(CelUInt::from(uint));
    }
    let double = number.as_f64().unwrap_or(f64::NAN);
    match whole(double) {
        Some(int) => Box::new(CelInt::from(int)),
        None => Box::new(CelDouble::from(double)),
    }
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

/// The crate's map of `entries`.
#[expect(
    clippy::disallowed_types,
    reason = "the CEL crate's map is one; it is never walked unsorted"
)]
pub(crate) fn map<'v>(
    entries: impl Iterator<Item = (CelMapKey<'v>, Box<dyn Val + 'v>)>,
) -> CelMap<'v> {
    CelMap::from(entries.collect::<std::collections::HashMap<_, _>>())
}

/// The entries of a map in the order of their keys.
pub(crate) fn sorted<'b, 'v>(map: &'b CelMap<'v>) -> Vec<(&'b CelMapKey<'v>, &'b (dyn Val + 'v))> {
    let mut entries: Vec<_> = map
        .inner()
        .iter()
        .map(|(key, value)| (key, value.as_ref()))
        .collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// A result as JSON; `None` when it is to be left out.
pub(crate) fn to_json(value: &dyn Val) -> Result<Option<Json>, String> {
    let mut budget = MAX_VALUES;
    convert(value, MAX_DEPTH, &mut budget)
}

fn convert(value: &dyn Val, depth: usize, budget: &mut usize) -> Result<Option<Json>, String> {
    if depth == 0 {
        return Err(format!("the result nests deeper than {MAX_DEPTH} levels"));
    }
    *budget = budget
        .checked_sub(1)
        .ok_or_else(|| format!("the result has more than {MAX_VALUES} values"))?;
    if value.downcast_ref::<Omit>().is_some() {
        return Ok(None);
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        return object(map, depth, budget).map(Some);
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        let items = list
            .inner()
            .iter()
            .filter_map(|item| convert(item.as_ref(), depth - 1, budget).transpose());
        return items
            .collect::<Result<Vec<_>, _>>()
            .map(|v| Some(Json::Array(v)));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return match optional.option() {
            Some(inner) => convert(inner, depth - 1, budget),
            None => Ok(None),
        };
    }
    scalar(value).map(Some)
}

fn object(map: &CelMap<'_>, depth: usize, budget: &mut usize) -> Result<Json, String> {
    let mut object = Map::new();
    for (key, value) in sorted(map) {
        if let Some(json) = convert(value, depth - 1, budget)? {
            object.insert(key_text(key), json);
        }
    }
    Ok(Json::Object(object))
}

fn key_text(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::Bool(key) => key.inner().to_string(),
        CelMapKey::Int(key) => key.inner().to_string(),
        CelMapKey::String(key) => key.inner().to_owned(),
        CelMapKey::UInt(key) => key.inner().to_string(),
    }
}

fn scalar(value: &dyn Val) -> Result<Json, String> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(Json::from(text.inner()));
    }
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Ok(Json::from(*int.inner()));
    }
    if let Some(boolean) = value.downcast_ref::<CelBool>() {
        return Ok(Json::from(*boolean.inner()));
    }
    if let Some(double) = value.downcast_ref::<CelDouble>() {
        return double_json(*double.inner());
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Ok(Json::from(*uint.inner()));
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Json::Null);
    }
    if value.downcast_ref::<CelBytes<'_>>().is_some() {
        return Err("bytes cannot be rendered: use string(...) or base64.encode(...)".to_owned());
    }
    Err(format!(
        "a value of type {} cannot be rendered",
        value.get_type().name()
    ))
}

fn double_json(double: f64) -> Result<Json, String> {
    match whole(double) {
        Some(int) => Ok(Json::from(int)),
        None => Number::from_f64(double)
            .map(Json::Number)
            .ok_or_else(|| format!("{double} cannot be rendered as a number")),
    }
}
