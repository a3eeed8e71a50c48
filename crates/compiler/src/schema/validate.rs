//! Values held against schemas.

use super::{Patterns, Violation};
use choreo_template::format::Format;
use choreo_template::{Budget, Members, Tree, cut};
use serde_json::Value;
use std::fmt;

/// How many bytes of a text are quoted.
const QUOTED: usize = 200;
/// How many of the values that would be allowed are told.
const MAX_ALLOWED: usize = 20;

/// Where a value is, from the value that is held against the schema.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    Root,
    Field(&'p Self, &'p str),
    Item(&'p Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

/// What was found so far, with the schema's patterns at hand.
pub(super) struct Violations<'s> {
    patterns: &'s Patterns,
    budget: &'s Budget,
    pub(super) found: Vec<Violation>,
    /// How many are looked for.
    wanted: usize,
}

impl<'s> Violations<'s> {
    pub(super) const fn new(patterns: &'s Patterns, budget: &'s Budget, wanted: usize) -> Self {
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
    fn look(&mut self, at: Place<'_>, steps: usize) -> bool {
        if self.found.len() >= self.wanted {
            return false;
        }
        let paid = self.budget.step(steps);
        if let Err(exhausted) = paid {
            self.push(Violation::new(at, exhausted.to_string()));
            self.wanted = self.found.len();
        }
        paid.is_ok()
    }
}

pub(super) fn validate(
    schema: &Value,
    value: &Tree,
    at: Place<'_>,
    violations: &mut Violations<'_>,
) {
    if !violations.look(at, 2) {
        return;
    }
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    if let Some(wanted) = schema.get("type").and_then(Value::as_str)
        && !has_type(schema, wanted, value)
    {
        violations.push(Violation::new(
            at,
            format!("must be of type {wanted}, not {}", type_name(value)),
        ));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && violations.look(at, allowed.len())
        && !allowed.iter().any(|one| value == one)
    {
        let told = allowed.iter().take(MAX_ALLOWED).map(ToString::to_string);
        let told = told.collect::<Vec<_>>().join(", ");
        let more = match allowed.len().saturating_sub(MAX_ALLOWED) {
            0 => String::new(),
            more => format!(" and {more} others"),
        };
        let message = format!("{value} is none of {told}{more}");
        violations.push(Violation::new(at, message));
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && Format::parse(format).is_some_and(|format| !accepts(format, value))
    {
        violations.push(Violation::new(at, format!("{value} is no {format}")));
    }
    match value {
        Tree::Object(object) => validate_object(schema, object, at, violations),
        Tree::Array(items) => validate_array(schema, items, at, violations),
        Tree::String(text) => validate_string(schema, text, at, violations),
        Tree::Number(_) => validate_number(schema, value, at, violations),
        Tree::Null | Tree::Bool(_) => {}
    }
    validate_branches(schema, value, at, violations);
}

fn validate_object(
    schema: &Value,
    object: &Members,
    at: Place<'_>,
    violations: &mut Violations<'_>,
) {
    let required = schema.get("required").and_then(Value::as_array);
    if !violations.look(at, required.map_or(0, Vec::len)) {
        return;
    }
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            violations.push(Violation::new(Place::Field(&at, name), "is required"));
        }
    }
    bounded(
        schema,
        ("minProperties", "maxProperties", "fields"),
        object.len(),
        at,
        violations,
    );
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in object.iter() {
        let name = name.as_ref();
        let place = Place::Field(&at, name);
        match (
            properties.and_then(|known| known.get(name)),
            schema.get("additionalProperties"),
        ) {
            (Some(inner), _) | (None, Some(inner @ Value::Object(_))) => {
                validate(inner, value, place, violations);
            }
            (None, Some(Value::Bool(false))) => {
                violations.push(Violation::new(place, "is not a known field"));
            }
            (None, _) => {}
        }
    }
}

fn validate_array(schema: &Value, items: &[Tree], at: Place<'_>, violations: &mut Violations<'_>) {
    bounded(
        schema,
        ("minItems", "maxItems", "items"),
        items.len(),
        at,
        violations,
    );
    if schema.get("uniqueItems") == Some(&Value::Bool(true))
        && violations.look(at, items.len().saturating_mul(items.len()) / 2)
    {
        for (index, item) in items.iter().enumerate() {
            if items[..index].contains(item) {
                violations.push(Violation::new(Place::Item(&at, index), "appears twice"));
            }
        }
    }
    if let Some(inner) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            validate(inner, item, Place::Item(&at, index), violations);
        }
    }
}

fn validate_string(schema: &Value, text: &str, at: Place<'_>, violations: &mut Violations<'_>) {
    let length = text.chars().count();
    bounded(
        schema,
        ("minLength", "maxLength", "characters"),
        length,
        at,
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
    violations.push(Violation::new(at, message));
}

fn validate_number(schema: &Value, value: &Tree, at: Place<'_>, violations: &mut Violations<'_>) {
    let Tree::Number(number) = value else {
        return;
    };
    let Some(number) = number.as_f64() else {
        return;
    };
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let exclusive = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    if let Some(minimum) = limit("minimum")
        && (number < minimum || (number <= minimum && exclusive("exclusiveMinimum")))
    {
        violations.push(Violation::new(at, format!("{value} is below {minimum}")));
    }
    if let Some(maximum) = limit("maximum")
        && (number > maximum || (number >= maximum && exclusive("exclusiveMaximum")))
    {
        violations.push(Violation::new(at, format!("{value} is above {maximum}")));
    }
    if let Some(step) = limit("multipleOf")
        && step > 0.0
        && !is_whole(number / step)
    {
        violations.push(Violation::new(
            at,
            format!("{value} is no multiple of {step}"),
        ));
    }
}

/// Whether `quotient` is a whole number, as far as a double can tell.
fn is_whole(quotient: f64) -> bool {
    (quotient - quotient.round()).abs() <= 1e-9 * quotient.abs().max(1.0)
}

fn validate_branches(schema: &Value, value: &Tree, at: Place<'_>, violations: &mut Violations<'_>) {
    let branches = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
    let (patterns, budget) = (violations.patterns, violations.budget);
    let fits = |schema: &Value| {
        let mut violations = Violations::new(patterns, budget, 1);
        validate(schema, value, Place::Root, &mut violations);
        violations.found.is_empty()
    };
    let fitting = |branches: &[Value]| branches.iter().filter(|branch| fits(branch)).count();
    for branch in branches("allOf").into_iter().flatten() {
        validate(branch, value, at, violations);
    }
    if let Some(any) = branches("anyOf")
        && fitting(any) == 0
    {
        violations.push(Violation::new(at, "fits none of the alternatives"));
    }
    if let Some(one) = branches("oneOf")
        && fitting(one) != 1
    {
        violations.push(Violation::new(
            at,
            format!("fits {} alternatives, not one", fitting(one)),
        ));
    }
    if let Some(not) = schema.get("not")
        && fits(not)
    {
        violations.push(Violation::new(at, "has a form that is excluded"));
    }
}

fn bounded(
    schema: &Value,
    (least, most, unit): (&str, &str, &str),
    size: usize,
    at: Place<'_>,
    violations: &mut Violations<'_>,
) {
    let limit = |keyword: &str| {
        let limit = schema.get(keyword).and_then(Value::as_u64)?;
        usize::try_from(limit).ok()
    };
    if size == 0 && limit(least).is_some_and(|least| least > 0) {
        violations.push(Violation::new(at, "must not be empty"));
    } else if let Some(least) = limit(least)
        && size < least
    {
        violations.push(Violation::new(
            at,
            format!("has {size} {unit}, at least {least} are needed"),
        ));
    }
    if let Some(most) = limit(most)
        && size > most
    {
        violations.push(Violation::new(
            at,
            format!("has {size} {unit}, at most {most} are allowed"),
        ));
    }
}

/// Whether `value` has `format`. Values of types a format does not speak of have it.
fn accepts(format: Format, value: &Tree) -> bool {
    match value {
        Tree::String(text) => format.accepts_text(text),
        Tree::Number(number) => format.accepts_number(number),
        Tree::Null | Tree::Bool(_) | Tree::Array(_) | Tree::Object(_) => true,
    }
}

/// Whether `value` is of the type `wanted`, as `schema` means it.
pub(crate) fn has_type(schema: &Value, wanted: &str, value: &Tree) -> bool {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return value.as_str().is_some() || is_integer(value);
    }
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.as_str().is_some(),
        "boolean" => matches!(value, Tree::Bool(_)),
        "integer" => is_integer(value),
        "number" => matches!(value, Tree::Number(_)),
        _ => true,
    }
}

fn is_integer(value: &Tree) -> bool {
    let Tree::Number(number) = value else {
        return false;
    };
    let is_whole = || number.as_f64().is_some_and(|number| number.fract() == 0.0);
    number.is_i64() || number.is_u64() || is_whole()
}

const fn type_name(value: &Tree) -> &'static str {
    match value {
        Tree::Null => "null",
        Tree::Bool(_) => "boolean",
        Tree::Number(_) => "number",
        Tree::String(_) => "string",
        Tree::Array(_) => "array",
        Tree::Object(_) => "object",
    }
}
