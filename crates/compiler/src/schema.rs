//! Defaults and validation of what types ask for: JSON Schema as Kubernetes' structural schema,
//! plus `$defs`.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

const MAX_DEPTH: usize = 64;
/// How many schemas one may hold, every reference followed.
const MAX_SCHEMAS: usize = 10_000;
/// How large a pattern may become, in bytes.
const MAX_PATTERN: usize = 1 << 20;

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
            message: message.into(),
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
type Patterns = BTreeMap<String, Result<Regex, String>>;

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
        };
        let root = resolver.resolve(schema, "", &mut Vec::new(), MAX_DEPTH)?;
        let mut patterns = Patterns::new();
        collect_patterns(&root, &mut patterns);
        Ok(Self { root, patterns })
    }

    /// The schema itself, references followed.
    pub(crate) const fn root(&self) -> &Value {
        &self.root
    }

    /// Fills in defaults the way Kubernetes does: a nested default appears only where its parent
    /// is present.
    pub fn fill(&self, value: &mut Value) {
        fill(&self.root, value);
    }

    /// Everything in `value` that the schema does not allow.
    pub fn validate(&self, value: &Value) -> Vec<Violation> {
        let mut violations = Violations::new(&self.patterns);
        validate(&self.root, value, "", &mut violations);
        violations.found
    }
}

fn collect_patterns(schema: &Value, patterns: &mut Patterns) {
    match schema {
        Value::Object(keywords) => {
            if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str) {
                patterns
                    .entry(pattern.to_owned())
                    .or_insert_with(|| compiled(pattern));
            }
            for inner in keywords.values() {
                collect_patterns(inner, patterns);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_patterns(item, patterns);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A schema's pattern, or why it cannot be used.
pub(crate) fn compiled(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
    built.map_err(|error| {
        let told = error.to_string();
        let reason = told.lines().last().unwrap_or_default();
        reason.trim_start_matches("error: ").to_owned()
    })
}

/// What was found so far, with the schema's patterns at hand.
struct Violations<'s> {
    patterns: &'s Patterns,
    found: Vec<Violation>,
}

impl<'s> Violations<'s> {
    const fn new(patterns: &'s Patterns) -> Self {
        Self {
            patterns,
            found: Vec::new(),
        }
    }

    fn push(&mut self, violation: Violation) {
        self.found.push(violation);
    }
}

struct Resolver<'s> {
    definitions: &'s Map<String, Value>,
    /// How many schemas may still be made: references to references multiply.
    left: Cell<usize>,
}

impl Resolver<'_> {
    fn resolve(
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
                _ => inner.clone(),
            };
            resolved.insert(keyword.clone(), inner);
        }
        seen.truncate(length);
        Ok(Value::Object(resolved))
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
            .and_then(Value::as_object)
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

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, field) in properties.into_iter().flatten() {
                if let Some(default) = field.get("default") {
                    let missing = object.get(name).is_none_or(|value| {
                        value.is_null() && field.get("nullable") != Some(&Value::Bool(true))
                    });
                    if missing {
                        object.insert(name.clone(), default.clone());
                    }
                }
                if let Some(value) = object.get_mut(name) {
                    fill(field, value);
                }
            }
            if let Some(additional @ Value::Object(_)) = schema.get("additionalProperties") {
                for (name, value) in object {
                    if properties.is_none_or(|properties| !properties.contains_key(name)) {
                        fill(additional, value);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.get("items") {
                for value in items {
                    fill(item, value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn validate(schema: &Value, value: &Value, field: &str, violations: &mut Violations<'_>) {
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    if let Some(wanted) = schema.get("type").and_then(Value::as_str)
        && !has_type(schema, wanted, value)
    {
        violations.push(Violation::new(
            field,
            format!("must be of type {wanted}, not {}", type_name(value)),
        ));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        violations.push(Violation::new(
            field,
            format!("{value} is none of {}", allowed.join(", ")),
        ));
    }
    match value {
        Value::Object(object) => validate_object(schema, object, field, violations),
        Value::Array(items) => validate_array(schema, items, field, violations),
        Value::String(text) => validate_string(schema, text, field, violations),
        Value::Number(_) => validate_number(schema, value, field, violations),
        Value::Null | Value::Bool(_) => {}
    }
    validate_branches(schema, value, field, violations);
}

fn validate_object(
    schema: &Value,
    object: &Map<String, Value>,
    field: &str,
    violations: &mut Violations<'_>,
) {
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            violations.push(Violation::new(&below(field, name), "is required"));
        }
    }
    bounded(
        schema,
        ("minProperties", "maxProperties", "fields"),
        object.len(),
        field,
        violations,
    );
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in object {
        let path = below(field, name);
        match (
            properties.and_then(|known| known.get(name)),
            schema.get("additionalProperties"),
        ) {
            (Some(inner), _) | (None, Some(inner @ Value::Object(_))) => {
                validate(inner, value, &path, violations);
            }
            (None, Some(Value::Bool(false))) => {
                violations.push(Violation::new(&path, "is not a known field"));
            }
            (None, _) => {}
        }
    }
}

fn validate_array(schema: &Value, items: &[Value], field: &str, violations: &mut Violations<'_>) {
    bounded(
        schema,
        ("minItems", "maxItems", "items"),
        items.len(),
        field,
        violations,
    );
    if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
        for (index, item) in items.iter().enumerate() {
            if items[..index].contains(item) {
                violations.push(Violation::new(
                    &format!("{field}[{index}]"),
                    "appears twice",
                ));
            }
        }
    }
    if let Some(inner) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            validate(inner, item, &format!("{field}[{index}]"), violations);
        }
    }
}

fn validate_string(schema: &Value, text: &str, field: &str, violations: &mut Violations<'_>) {
    let length = text.chars().count();
    bounded(
        schema,
        ("minLength", "maxLength", "characters"),
        length,
        field,
        violations,
    );
    let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else {
        return;
    };
    match violations.patterns.get(pattern) {
        Some(Ok(matcher)) if !matcher.is_match(text) => {
            violations.push(Violation::new(
                field,
                format!("{text:?} does not match {pattern}"),
            ));
        }
        Some(Err(error)) => violations.push(Violation::new(
            field,
            format!("the schema's pattern {pattern} cannot be used: {error}"),
        )),
        Some(Ok(_)) | None => {}
    }
}

fn validate_number(schema: &Value, value: &Value, field: &str, violations: &mut Violations<'_>) {
    let Some(number) = value.as_f64() else {
        return;
    };
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let exclusive = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    if let Some(minimum) = limit("minimum")
        && (number < minimum || (number <= minimum && exclusive("exclusiveMinimum")))
    {
        violations.push(Violation::new(field, format!("{value} is below {minimum}")));
    }
    if let Some(maximum) = limit("maximum")
        && (number > maximum || (number >= maximum && exclusive("exclusiveMaximum")))
    {
        violations.push(Violation::new(field, format!("{value} is above {maximum}")));
    }
    if let Some(step) = limit("multipleOf")
        && step > 0.0
        && !is_whole(number / step)
    {
        violations.push(Violation::new(
            field,
            format!("{value} is no multiple of {step}"),
        ));
    }
}

/// Whether `quotient` is a whole number, as far as a double can tell.
fn is_whole(quotient: f64) -> bool {
    (quotient - quotient.round()).abs() <= 1e-9 * quotient.abs().max(1.0)
}

fn validate_branches(schema: &Value, value: &Value, field: &str, violations: &mut Violations<'_>) {
    let branches = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
    let patterns = violations.patterns;
    let fits = |schema: &Value| fits(schema, value, patterns);
    let fitting = |branches: &[Value]| branches.iter().filter(|branch| fits(branch)).count();
    for branch in branches("allOf").into_iter().flatten() {
        validate(branch, value, field, violations);
    }
    if let Some(any) = branches("anyOf")
        && fitting(any) == 0
    {
        violations.push(Violation::new(field, "fits none of the alternatives"));
    }
    if let Some(one) = branches("oneOf")
        && fitting(one) != 1
    {
        violations.push(Violation::new(
            field,
            format!("fits {} alternatives, not one", fitting(one)),
        ));
    }
    if let Some(not) = schema.get("not")
        && fits(not)
    {
        violations.push(Violation::new(field, "has a form that is excluded"));
    }
}

fn fits(schema: &Value, value: &Value, patterns: &Patterns) -> bool {
    let mut violations = Violations::new(patterns);
    validate(schema, value, "", &mut violations);
    violations.found.is_empty()
}

fn bounded(
    schema: &Value,
    (least, most, unit): (&str, &str, &str),
    size: usize,
    field: &str,
    violations: &mut Violations<'_>,
) {
    let limit = |keyword: &str| {
        let limit = schema.get(keyword).and_then(Value::as_u64)?;
        usize::try_from(limit).ok()
    };
    if let Some(least) = limit(least)
        && size < least
    {
        violations.push(Violation::new(
            field,
            format!("has {size} {unit}, at least {least} are needed"),
        ));
    }
    if let Some(most) = limit(most)
        && size > most
    {
        violations.push(Violation::new(
            field,
            format!("has {size} {unit}, at most {most} are allowed"),
        ));
    }
}

fn has_type(schema: &Value, wanted: &str, value: &Value) -> bool {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return value.is_string() || is_integer(value);
    }
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_integer(value),
        "number" => value.is_number(),
        _ => true,
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn below(field: &str, name: &str) -> String {
    if field.is_empty() {
        name.to_owned()
    } else {
        format!("{field}.{name}")
    }
}

#[cfg(test)]
mod tests;
