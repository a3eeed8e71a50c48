//! Values held against schemas.

use super::{Patterns, Violation};
use choreo_template::format::Format;
use choreo_template::{Budget, cut};
use serde_json::{Map, Value};

/// How many bytes of a text are quoted.
const QUOTED: usize = 200;
/// How many of the values that would be allowed are told.
const MAX_ALLOWED: usize = 20;

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

pub(super) fn validate(
    schema: &Value,
    value: &Value,
    field: &str,
    violations: &mut Violations<'_>,
) {
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
