//! Defaults and validation of what types ask for: JSON Schema as Kubernetes' structural schema,
//! plus `$defs`.

mod resolve;
mod validate;

pub(crate) use validate::has_type;

use choreo_template::{Budget, Exhausted, Pattern, Tree, clipped, weight};
use resolve::Resolver;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use validate::{Place, Violations, validate};

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
    fn new(field: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            field: field.to_string(),
            message: clipped(message.into()),
        }
    }
}

/// A schema ready for use: references followed, vendor keywords dropped, patterns compiled.
#[derive(Debug, Clone)]
pub struct Schema {
    root: Value,
    patterns: Patterns,
    /// What comes of giving nothing, and the steps and bytes it takes.
    nothing: OnceLock<(Result<Checked, Exhausted>, (usize, usize))>,
}

/// A value with defaults, and what in it its schema does not allow.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) value: Tree,
    pub(crate) violations: Vec<Violation>,
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
        Ok(Self {
            root,
            patterns,
            nothing: OnceLock::new(),
        })
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

    /// What comes of `given`, as long as `budget` pays for it. Defaults are shared by all who leave
    /// them as they are.
    pub(crate) fn check(
        &self,
        given: Option<&Value>,
        budget: &Budget,
    ) -> Result<Checked, Exhausted> {
        let (nothing, (steps, bytes)) = self.nothing.get_or_init(|| {
            let budget = Budget::default();
            let nothing = self.check_value(Value::Object(Map::new()), &budget);
            (nothing, budget.taken())
        });
        budget.step(*steps)?;
        budget.grow(*bytes)?;
        let mut checked = nothing.clone()?;
        match (given, checked.value.as_object_mut()) {
            (None | Some(Value::Null), _) => {}
            (Some(Value::Object(given)), Some(fields)) => {
                for (name, value) in given {
                    let mut value = value.clone();
                    fill_field(&self.root, name, &mut value, budget)?;
                    fields.insert(name, value);
                }
                checked.violations = self.violations(&checked.value, budget);
            }
            (Some(given), _) => checked = self.check_value(given.clone(), budget)?,
        }
        Ok(checked)
    }

    fn check_value(&self, mut value: Value, budget: &Budget) -> Result<Checked, Exhausted> {
        self.fill_within(&mut value, budget)?;
        let value = Tree::from(value);
        Ok(Checked {
            violations: self.violations(&value, budget),
            value,
        })
    }

    /// What in `value` the schema does not allow.
    pub fn validate(&self, value: &Value) -> Vec<Violation> {
        self.violations(&Tree::from(value), &Budget::default())
    }

    /// The same, as long as `budget` pays for looking.
    fn violations(&self, value: &Tree, budget: &Budget) -> Vec<Violation> {
        let mut violations = Violations::new(&self.patterns, budget, MAX_VIOLATIONS);
        validate(&self.root, value, Place::Root, &mut violations);
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
                if let Some(default) = default_of(field)
                    && !object.contains_key(name)
                {
                    budget.grow(name.len() + weight(default))?;
                    object.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in object {
                fill_field(schema, name, value, budget)?;
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

/// Fills in the field `name` of an object of the form `schema`.
fn fill_field(
    schema: &Value,
    name: &str,
    value: &mut Value,
    budget: &Budget,
) -> Result<(), Exhausted> {
    let known = schema.get("properties").and_then(|all| all.get(name));
    let others = || schema.get("additionalProperties");
    let Some(inner) = known.or_else(|| others().filter(|inner| inner.is_object())) else {
        return Ok(());
    };
    fill_null(inner, value, budget)?;
    fill(inner, value, budget)
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
