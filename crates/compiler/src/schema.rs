//! Defaults and validation of what types ask for: JSON Schema as Kubernetes' structural schema,
//! plus `$defs`.

use choreo_template::format::Format;
use choreo_template::{Budget, Exhausted, Pattern, clipped, cut, weight};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

const MAX_DEPTH: usize = 64;
/// How many schemas one may hold, every reference followed.
const MAX_SCHEMAS: usize = 10_000;
/// How large it may become, every reference followed, in bytes.
const MAX_SIZE: usize = choreo_template::MAX_OUTPUT;
/// How large the automata of all its patterns may become together, in bytes.
const MAX_PATTERNS: usize = 1 << 20;
/// How many bytes of a text are quoted.
const QUOTED: usize = 200;
/// How many violations of one value are told.
const MAX_VIOLATIONS: usize = 100;
/// How many of the values that would be allowed are told.
const MAX_ALLOWED: usize = 20;

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

/// What was found so far, with the schema's patterns at hand.
struct Violations<'s> {
    patterns: &'s Patterns,
    budget: &'s Budget,
    found: Vec<Violation>,
    /// How many are looked for.
    wanted: usize,
}

impl<'s> Violations<'s> {
    const fn new(patterns: &'s Patterns, budget: &'s Budget, wanted: usize) -> Self {
        Self {
            patterns,
            budget,
            found: Vec::new(),
            wanted,
        }
    }

    fn push(&mut self, violation: Violation) {
        if self.found.len() < self.wanted {
            self.found.push(violation);
        }
    }

    /// Pays for `steps` of looking at `field`; whether there is any use in it.
    fn look(&mut self, field: &str, steps: usize) -> bool {
        if self.found.len() >= self.wanted {
            return false;
        }
        let paid = self.budget.step(steps);
        if let Err(exhausted) = paid {
            self.push(Violation::new(field, exhausted.to_string()));
            self.wanted = self.found.len();
        }
        paid.is_ok()
    }
}

struct Resolver<'s> {
    definitions: &'s Map<String, Value>,
    /// How many schemas may still be made: references to references multiply.
    left: Cell<usize>,
    /// How many bytes they may still take.
    size: Cell<usize>,
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

fn validate(schema: &Value, value: &Value, field: &str, violations: &mut Violations<'_>) {
    if !violations.look(field, 2) {
        return;
    }
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
        && violations.look(field, allowed.len())
        && !allowed.contains(value)
    {
        let told = allowed.iter().take(MAX_ALLOWED).map(ToString::to_string);
        let told = told.collect::<Vec<_>>().join(", ");
        let more = match allowed.len().saturating_sub(MAX_ALLOWED) {
            0 => String::new(),
            more => format!(" and {more} others"),
        };
        let message = format!("{value} is none of {told}{more}");
        violations.push(Violation::new(field, message));
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && Format::parse(format).is_some_and(|format| !format.accepts(value))
    {
        violations.push(Violation::new(field, format!("{value} is no {format}")));
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
    if !violations.look(field, required.map_or(0, Vec::len)) {
        return;
    }
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
    if schema.get("uniqueItems") == Some(&Value::Bool(true))
        && violations.look(field, items.len().saturating_mul(items.len()) / 2)
    {
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
    let message = match violations.patterns.get(pattern) {
        Some(Ok(matcher)) => match matcher.is_match(text, violations.budget) {
            Ok(true) => return,
            Ok(false) => format!("{:?} does not match {pattern}", cut(text, QUOTED)),
            Err(exhausted) => exhausted.to_string(),
        },
        Some(Err(error)) => format!("the schema's pattern {pattern} cannot be used: {error}"),
        None => return,
    };
    violations.push(Violation::new(field, message));
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
    let (patterns, budget) = (violations.patterns, violations.budget);
    let fits = |schema: &Value| {
        let mut violations = Violations::new(patterns, budget, 1);
        validate(schema, value, "", &mut violations);
        violations.found.is_empty()
    };
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
    if size == 0 && limit(least).is_some_and(|least| least > 0) {
        violations.push(Violation::new(field, "must not be empty"));
    } else if let Some(least) = limit(least)
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

/// Whether `value` is of the type `wanted`, as `schema` means it.
pub(crate) fn has_type(schema: &Value, wanted: &str, value: &Value) -> bool {
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
