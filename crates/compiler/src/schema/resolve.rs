//! Schemas with every reference followed and vendor keywords dropped, bounded on the way.

use super::{MAX_SCHEMAS, MAX_SIZE, Violation};
use choreo_template::weight;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;

pub(super) struct Resolver<'s> {
    pub(super) definitions: &'s Map<String, Value>,
    /// How many schemas may still be made: references to references multiply.
    pub(super) left: Cell<usize>,
    /// How many bytes they may still take.
    pub(super) size: Cell<usize>,
}

impl Resolver<'_> {
    pub(super) fn resolve(
        &self,
        schema: &Value,
        path: &str,
        seen: &mut Vec<String>,
        depth: usize,
    ) -> Result<Value, Violation> {
        let Some(object) = schema.as_object() else {
            return Ok(schema.clone());
        };
        if depth == 0 {
            return Err(Violation::new(path, "the schema nests too deep"));
        }
        let left = self.left.get().checked_sub(1).ok_or_else(|| {
            let message =
                format!("the schema has more than {MAX_SCHEMAS} parts, references followed");
            Violation::new(path, message)
        })?;
        self.left.set(left);
        let length = seen.len();
        let merged = self.dereference(object, path, seen)?;
        let mut resolved = Map::new();
        for (keyword, inner) in merged.iter() {
            if keyword == "$defs"
                || (keyword.starts_with("x-") && !keyword.starts_with("x-kubernetes-"))
            {
                continue;
            }
            let path = format!("{path}/{keyword}");
            let inner = match (keyword.as_str(), inner) {
                ("properties" | "patternProperties", Value::Object(fields)) => {
                    let mut inner = Map::new();
                    for (name, field) in fields {
                        let path = format!("{path}/{name}");
                        inner.insert(name.clone(), self.resolve(field, &path, seen, depth - 1)?);
                    }
                    Value::Object(inner)
                }
                ("items" | "additionalProperties" | "not", _) => {
                    self.resolve(inner, &path, seen, depth - 1)?
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => Value::Array(
                    branches
                        .iter()
                        .map(|branch| self.resolve(branch, &path, seen, depth - 1))
                        .collect::<Result<_, _>>()?,
                ),
                _ => {
                    self.pay(inner, &path)?;
                    inner.clone()
                }
            };
            resolved.insert(keyword.clone(), inner);
        }
        seen.truncate(length);
        Ok(Value::Object(resolved))
    }

    /// Pays for a copy of `value`.
    fn pay(&self, value: &Value, path: &str) -> Result<(), Violation> {
        let left = self.size.get().checked_sub(weight(value)).ok_or_else(|| {
            let limit = MAX_SIZE >> 20;
            let message = format!("the schema takes more than {limit} MB, references followed");
            Violation::new(path, message)
        })?;
        self.size.set(left);
        Ok(())
    }

    /// `object` with the keywords of what it refers to, its own winning.
    fn dereference<'o>(
        &self,
        object: &'o Map<String, Value>,
        path: &str,
        seen: &mut Vec<String>,
    ) -> Result<Cow<'o, Map<String, Value>>, Violation> {
        let Some(reference) = object.get("$ref") else {
            return Ok(Cow::Borrowed(object));
        };
        let name = reference
            .as_str()
            .and_then(|reference| reference.strip_prefix("#/$defs/"))
            .ok_or_else(|| {
                Violation::new(
                    path,
                    format!("{reference} does not have the form #/$defs/Name"),
                )
            })?;
        if seen.iter().any(|seen| seen == name) {
            return Err(Violation::new(path, format!("{name} refers to itself")));
        }
        let target = self
            .definitions
            .get(name)
            .ok_or_else(|| Violation::new(path, format!("$defs has no {name}")))?;
        self.pay(target, path)?;
        let target = target
            .as_object()
            .ok_or_else(|| Violation::new(path, format!("$defs has no {name}")))?;
        seen.push(name.to_owned());
        let mut merged = self.dereference(target, path, seen)?.into_owned();
        for (keyword, value) in object {
            if keyword != "$ref" {
                merged.insert(keyword.clone(), value.clone());
            }
        }
        Ok(Cow::Owned(merged))
    }
}
