//! Defaults and validation of what types ask for: JSON Schema as Kubernetes' structural schema,
//! plus `$defs`.

mod resolve;
mod validate;

pub(crate) use validate::has_type;

use choreo_template::{Budget, Exhausted, Pattern, clipped, weight};
use resolve::Resolver;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::BTreeMap;
use validate::{Violations, validate};

const MAX_DEPTH: usize = 64;
/// How many schemas one may hold, every reference followed.
const MAX_SCHEMAS: usize = 10_000;
/// How large it may become, every reference followed, in bytes.
const MAX_SIZE: usize = choreo_template::MAX_OUTPUT;
/// How large the automata of all its patterns may become together, in bytes.
pub(crate) const MAX_PATTERNS: usize = 1 << 20;
/// How many violations of one value are told.
const MAX_VIOLATIONS: usize = 100;

/// A value that does not satisfy its schema, or a schema that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Violation {
    /// Where, as a dotted path from the section, `""` for the section itself.
    pub field: String,
    /// What is wrong there.
    pub message: String,
}

impl Violation {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: clipped(message.into()),
        }
    }
}

/// A schema ready for use: references followed, vendor keywords dropped, patterns compiled.
#[derive(Debug, Clone)]
pub struct Schema {
    root: Value,
    patterns: Patterns,
}

/// The patterns of a schema, or why one cannot be used.
type Patterns = BTreeMap<String, Result<Pattern, String>>;

impl Schema {
    /// Reads an `openAPIV3Schema`, following every `$ref` to its `$defs`.
    pub fn read(schema: &Value) -> Result<Self, Violation> {
        let empty = Map::new();
        let definitions = schema
            .get("$defs")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let resolver = Resolver {
            definitions,
            left: Cell::new(MAX_SCHEMAS),
            size: Cell::new(MAX_SIZE),
        };
        let root = resolver.resolve(schema, "", &mut Vec::new(), MAX_DEPTH)?;
        let mut patterns = Patterns::new();
        if collect_patterns(&root, &mut patterns, MAX_PATTERNS).is_none() {
            let message = "the patterns of the schema are too many or too large together";
            return Err(Violation::new("", message));
        }
        Ok(Self { root, patterns })
    }

    /// The schema itself, references followed.
    pub(crate) const fn root(&self) -> &Value {
        &self.root
    }

    /// The pattern `text` of the schema, or why it cannot be used.
    pub(crate) fn pattern(&self, text: &str) -> Option<&Result<Pattern, String>> {
        self.patterns.get(text)
    }

    /// Fills in defaults the way Kubernetes does: a nested default appears only where its parent
    /// is present.
    pub fn fill(&self, value: &mut Value) {
        // What is too large to be filled is too large to be valid.
        let _ = self.fill_within(value, &Budget::default());
    }

    /// The same, as long as `budget` pays for it.
    pub fn fill_within(&self, value: &mut Value, budget: &Budget) -> Result<(), Exhausted> {
        fill(&self.root, value, budget)
    }

    /// What in `value` the schema does not allow.
    pub fn validate(&self, value: &Value) -> Vec<Violation> {
        self.validate_within(value, &Budget::default())
    }

    /// The same, as long as `budget` pays for looking.
    pub fn validate_within(&self, value: &Value, budget: &Budget) -> Vec<Violation> {
        let mut violations = Violations::new(&self.patterns, budget, MAX_VIOLATIONS);
        validate(&self.root, value, "", &mut violations);
        violations.found
    }
}

/// Prepares all patterns in `schema`; returns what is left of the `room` they may take, if that is
/// enough.
fn collect_patterns(schema: &Value, patterns: &mut Patterns, mut room: usize) -> Option<usize> {
    match schema {
        Value::Object(keywords) => {
            if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str)
                && !patterns.contains_key(pattern)
            {
                let compiled = compiled(pattern);
                let size = compiled.as_ref().map_or(Pattern::LARGEST, Pattern::size);
                room = room.checked_sub(size)?;
                patterns.insert(pattern.to_owned(), compiled);
            }
            for inner in keywords.values() {
                room = collect_patterns(inner, patterns, room)?;
            }
        }
        Value::Array(items) => {
            for item in items {
                room = collect_patterns(item, patterns, room)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Some(room)
}

/// A schema's pattern, or why it cannot be used.
pub(crate) fn compiled(pattern: &str) -> Result<Pattern, String> {
    Pattern::new(pattern).map_err(|told| {
        let reason = told.lines().last().unwrap_or_default();
        reason.trim_start_matches("error: ").to_owned()
    })
}

fn fill(schema: &Value, value: &mut Value, budget: &Budget) -> Result<(), Exhausted> {
    budget.step(1)?;
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, field) in properties.into_iter().flatten() {
                budget.step(8)?;
                match (object.get_mut(name), default_of(field)) {
                    (Some(value), _) => fill_null(field, value, budget)?,
                    (None, Some(default)) => {
                        budget.grow(name.len() + weight(default))?;
                        object.insert(name.clone(), default.clone());
                    }
                    (None, None) => {}
                }
                if let Some(value) = object.get_mut(name) {
                    fill(field, value, budget)?;
                }
            }
            if let Some(additional @ Value::Object(_)) = schema.get("additionalProperties") {
                for (name, value) in object {
                    if properties.is_none_or(|properties| !properties.contains_key(name)) {
                        fill_null(additional, value, budget)?;
                        fill(additional, value, budget)?;
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.get("items") {
                for value in items {
                    fill_null(item, value, budget)?;
                    fill(item, value, budget)?;
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// The default a schema gives; null is none.
fn default_of(schema: &Value) -> Option<&Value> {
    schema.get("default").filter(|default| !default.is_null())
}

/// Gives `value` its default where it is null and may not be.
fn fill_null(schema: &Value, value: &mut Value, budget: &Budget) -> Result<(), Exhausted> {
    if value.is_null()
        && schema.get("nullable") != Some(&Value::Bool(true))
        && let Some(default) = default_of(schema)
    {
        budget.grow(weight(default))?;
        value.clone_from(default);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
