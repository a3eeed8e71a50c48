//! Objects changed as bytes say: whatever the bytes, something is changed that the compiler looks at.

use serde_json::{Value, json};

/// Changes of one input at most.
const MOST: usize = 12;

/// Numbers made of bytes; zero when there are no more.
pub(super) struct Choices<'d> {
    left: &'d [u8],
}

impl<'d> Choices<'d> {
    pub(super) const fn new(data: &'d [u8]) -> Self {
        Self { left: data }
    }

    const fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.left.split_first() else {
            return 0;
        };
        self.left = rest;
        usize::from(*first) % bound.max(1)
    }
}

/// Changes `all` until there are no more choices.
pub(super) fn change(all: &mut Vec<Value>, choices: &mut Choices<'_>) {
    for _ in 0..MOST {
        if choices.is_done() || all.is_empty() {
            return;
        }
        let other = part(all, choices).clone();
        match choices.below(16) {
            0 => drop(all.remove(choices.below(all.len()))),
            1 => {
                let mut twin = all[choices.below(all.len())].clone();
                // What was an object may be something else by now.
                if let Some(name) = twin.pointer_mut("/metadata/name") {
                    *name = json!(NAMES[choices.below(NAMES.len())]);
                }
                all.push(twin);
            }
            kind => edit(part(all, choices), kind, other, choices),
        }
    }
}

const NAMES: [&str; 6] = ["web", "basket", "other", "", "Ünlaut", "a.b-c"];

/// A part of an object: mostly of its specification.
fn part<'v>(all: &'v mut [Value], choices: &mut Choices<'_>) -> &'v mut Value {
    let index = choices.below(all.len());
    let mut value = &mut all[index];
    if choices.below(8) > 0 && value.get("spec").is_some() {
        value = &mut value["spec"];
    }
    for _ in 0..choices.below(12) {
        let count = children(value);
        if count == 0 {
            break;
        }
        let chosen = choices.below(count);
        value = if value.is_array() {
            &mut value[chosen]
        } else {
            let key = key(value, chosen);
            &mut value[key]
        };
    }
    value
}

fn children(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn key(value: &Value, index: usize) -> String {
    let fields = value.as_object().into_iter().flatten();
    let mut names = fields.map(|(name, _)| name.clone());
    names.nth(index).unwrap_or_default()
}

fn edit(value: &mut Value, kind: usize, other: Value, choices: &mut Choices<'_>) {
    let chosen = choices.below(children(value));
    match (kind, value) {
        (2, value) => *value = other,
        (3 | 4, value) => *value = odd(choices.below(ODD)),
        (5 | 6, value) => *value = json!(EXPRESSIONS[choices.below(EXPRESSIONS.len())]),
        (7, Value::Array(items)) if !items.is_empty() => drop(items.remove(chosen)),
        (8, Value::Array(items)) if !items.is_empty() => items.push(items[chosen].clone()),
        (_, Value::Array(items)) => items.insert(chosen, other),
        (7, value @ Value::Object(_)) => {
            let key = key(value, chosen);
            if let Some(fields) = value.as_object_mut() {
                fields.remove(&key);
            }
        }
        (8, value @ Value::Object(_)) => {
            let key = key(value, chosen);
            let new = EXPRESSIONS[choices.below(EXPRESSIONS.len())];
            if let Some(fields) = value.as_object_mut() {
                let held = fields.remove(&key).unwrap_or_default();
                fields.insert(new.to_owned(), held);
            }
        }
        (_, Value::Object(fields)) => {
            let name = FIELDS[choices.below(FIELDS.len())];
            fields.insert(name.to_owned(), other);
        }
        (_, value) => *value = odd(kind),
    }
}

const ODD: usize = 14;

/// A value that few would expect.
fn odd(chosen: usize) -> Value {
    match chosen {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(i64::MAX),
        4 => json!(0.5),
        5 => json!(""),
        6 => json!("a/b~c é\n"),
        7 => json!([]),
        8 => json!({}),
        9 => json!([null]),
        10 => json!({"": null}),
        11 => (0..40).fold(json!("x"), |inner, _| json!([inner])),
        12 => (0..40).fold(json!("${x}"), |inner, _| json!({"k": inner})),
        _ => json!("x".repeat(300)),
    }
}

/// What the fields of types, traits and components are called.
const FIELDS: [&str; 34] = [
    "forEach",
    "var",
    "includeWhen",
    "template",
    "id",
    "parameters",
    "environmentConfigs",
    "openAPIV3Schema",
    "properties",
    "default",
    "required",
    "$ref",
    "$defs",
    "type",
    "items",
    "patches",
    "operations",
    "where",
    "removes",
    "creates",
    "preRenderValidations",
    "traits",
    "env",
    "endpoints",
    "dependencies",
    "componentTypeEnvironmentConfigs",
    "additionalProperties",
    "egress",
    "external",
    "connection",
    "host",
    "protocol",
    "tls",
    "retries",
];

/// Templates: those that can be evaluated, and some that cannot.
const EXPRESSIONS: [&str; 24] = [
    "${parameters}",
    "${environmentConfigs.replicas}",
    "${metadata.name}-${metadata.componentName}",
    "${oc_omit()}",
    "${workload.endpoints}",
    "${workload.endpoints.transformMap(n, e, e.port > 80, e.port)}",
    "${size(workload.endpoints) > 0}",
    "${dependencies.toContainerEnvs()}",
    "${configurations.toVolumes()}",
    "${has(parameters.x) ? parameters.x : oc_omit()}",
    "${lists.range(300).map(i, lists.range(300))}",
    "${gateway.ingress.external.?http.orValue({})}",
    "${oc_merge(metadata.labels, {'a': 'b'})}",
    "${trait.instanceName}",
    "${resource.metadata.name != metadata.componentName}",
    "${[1, 'a', null, {'b': [oc_omit()]}]}",
    "${parameters.ports.map(p, {string(p): p})}",
    "${1 / 0}",
    "${1 +}",
    "${unknown.thing}",
    "${a ${b}}",
    "text ${'é'} ${2.5} ${true}",
    "${{'k': oc_omit(), 'é': 1}}",
    "/spec/template/spec/containers/[?(@.name=='${metadata.componentName}')]/env/-",
];
