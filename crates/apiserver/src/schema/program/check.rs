//! Whether the rules of a definition can work: they parse, name only what there is,
//! and come to the type they must.

use std::sync::Arc;

use choreo_template::{Fields, Scope, Type};
use serde_json::Value;

use super::{
    super::{
        Cause,
        compile::{flag, text},
    },
    OLD, SELF, embed, field_path, is_transition, listed, parse_written, reason, type_of, written,
};

/// Whether and how values below a place meet the stored ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    Known,
    /// Items of this list cannot be told apart over time.
    Lost,
}

/// What is wrong with the rules of a definition's schema at `path`.
pub(in crate::schema) fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    place(schema, path, true, Past::Known, &mut causes);
    causes
}

fn place(schema: &Value, path: &str, root: bool, past: Past, causes: &mut Vec<Cause>) {
    for (position, rule) in listed(schema).enumerate() {
        let at = format!("{path}.x-kubernetes-validations[{position}]");
        causes.extend(Written::new(schema, rule, at, root, past).check());
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, member) in properties.into_iter().flatten() {
        place(
            member,
            &format!("{path}.properties[{name}]"),
            false,
            past,
            causes,
        );
    }
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|one| one.is_object())
    {
        place(
            values,
            &format!("{path}.additionalProperties"),
            false,
            past,
            causes,
        );
    }
    if let Some(items) = schema.get("items") {
        let told = text(schema, "x-kubernetes-list-type") == Some("map");
        let past = if told { past } else { Past::Lost };
        place(items, &format!("{path}.items"), false, past, causes);
    }
}

/// One rule of a schema's place, and where it is written.
struct Written<'a> {
    schema: &'a Value,
    rule: &'a Value,
    at: String,
    scope: Scope<'a>,
    past: Past,
}

impl<'a> Written<'a> {
    fn new(schema: &'a Value, rule: &'a Value, at: String, root: bool, past: Past) -> Self {
        let mut type_ = type_of(schema, written).unwrap_or(Type::Dyn);
        if root && let Type::Object(fields) = &type_ {
            let mut fields = Fields::clone(fields);
            embed(&mut fields);
            type_ = Type::Object(Arc::new(fields));
        }
        let old = if flag(rule, "optionalOldSelf") {
            Type::Optional(Box::new(type_.clone()))
        } else {
            type_.clone()
        };
        let mut scope = Scope::strict();
        scope.declare(SELF, type_);
        scope.declare(OLD, old);
        Self {
            schema,
            rule,
            at,
            scope,
            past,
        }
    }

    fn check(&self) -> Vec<Cause> {
        let source = text(self.rule, "rule").unwrap_or_default();
        if source.trim().is_empty() {
            let field = format!("{}.rule", self.at);
            return vec![Cause::required(&field, "rule is not specified")];
        }
        let transition = is_transition(source);
        let mut causes = Vec::new();
        if let Err(why) = compiles(source, &self.scope, &Type::Bool) {
            causes.push(self.wrong("rule", &format!("compilation failed: {why}")));
        } else if transition && self.past == Past::Lost {
            let why = "oldSelf cannot be used on the uncorrelatable portion of the schema";
            causes.push(self.wrong("rule", why));
        }
        if flag(self.rule, "optionalOldSelf") && !transition {
            let why = "may not be set if oldSelf is not used in rule";
            causes.push(self.wrong("optionalOldSelf", why));
        }
        causes.extend(self.check_message());
        causes.extend(self.check_blame());
        causes
    }

    fn check_message(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        if let Some(message) = text(self.rule, "messageExpression").filter(|text| !text.is_empty())
        {
            if message.trim().is_empty() {
                let why = "messageExpression must be non-empty if specified";
                let field = format!("{}.messageExpression", self.at);
                causes.push(Cause::required(&field, why));
            } else if let Err(why) = compiles(message, &self.scope, &Type::String) {
                let why = format!("messageExpression compilation failed: {why}");
                causes.push(self.wrong("messageExpression", &why));
            }
        }
        let message = text(self.rule, "message").unwrap_or_default();
        let rule = text(self.rule, "rule").unwrap_or_default().trim();
        let words = message.trim();
        if !message.is_empty() && words.is_empty() {
            causes.push(self.wrong("message", "must be non-empty if specified"));
        } else if has_breaks(words) {
            causes.push(self.wrong("message", "must not contain line breaks"));
        } else if has_breaks(rule) && words.is_empty() {
            let why = "message must be specified if rule contains line breaks";
            causes.push(Cause::required(&format!("{}.message", self.at), why));
        }
        causes
    }

    fn check_blame(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        let path = text(self.rule, "fieldPath").unwrap_or_default();
        if let Err(why) = field_path::resolve(path, self.schema) {
            let why = format!("must be a valid path: {why}");
            causes.push(self.wrong("fieldPath", &why));
        }
        let given = text(self.rule, "reason").unwrap_or_default();
        if reason(given).is_none() {
            let known = [
                "FieldValueForbidden",
                "FieldValueInvalid",
                "FieldValueRequired",
                "FieldValueDuplicate",
            ];
            let field = format!("{}.reason", self.at);
            causes.push(Cause::unsupported(&field, &Value::from(given), known));
        }
        causes
    }

    fn wrong(&self, field: &str, why: &str) -> Cause {
        Cause::invalid(&format!("{}.{field}", self.at), self.rule, why)
    }
}

fn has_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// Whether an expression parses, names only what there is, and is of a type.
fn compiles(source: &str, scope: &Scope<'_>, wanted: &Type) -> Result<(), String> {
    let program = parse_written(source)?;
    let faults = program.check(scope);
    if let Some(fault) = faults.first() {
        return Err(fault.to_string());
    }
    let found = program.type_of(scope);
    if found.may_be(wanted) && found != Type::Null {
        Ok(())
    } else {
        Err(format!("must evaluate to a {wanted}, found {found}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_rule(schema: &Value, rule: &Value, expected: &[&str]) {
        let mut schema = schema.clone();
        schema["x-kubernetes-validations"] = json!([rule]);
        let causes = check(&schema, "s");
        let fields: Vec<_> = causes
            .iter()
            .map(|cause| {
                cause
                    .field
                    .trim_start_matches("s.x-kubernetes-validations[0].")
            })
            .collect();
        assert_eq!(fields, expected, "{rule}: {causes:?}");
    }

    #[test]
    fn definitions_are_held_to_rules_that_work() {
        let schema = json!({"type": "object", "properties": {
            "size": {"type": "integer"}, "names": {"type": "array", "items": {"type": "string"}}}});
        for (rule, expected) in [
            (json!({"rule": "self.size > 0"}), &[][..]),
            (
                json!({"rule": "self.size > oldSelf.size", "fieldPath": ".size"}),
                &[],
            ),
            (json!({"rule": "self.metadata.name == 'x'"}), &[]),
            (json!({"rule": "self.names.all(n, n.startsWith('a'))"}), &[]),
            (
                json!({"rule": "oldSelf.hasValue() || self.size > 1", "optionalOldSelf": true}),
                &[],
            ),
            (json!({"rule": " "}), &["rule"]),
            (json!({"rule": "self.size >"}), &["rule"]),
            (json!({"rule": "self.missing > 0"}), &["rule"]),
            (json!({"rule": "self.size"}), &["rule"]),
            (json!({"rule": "true}"}), &["rule"]),
            (
                json!({"rule": "true", "optionalOldSelf": true}),
                &["optionalOldSelf"],
            ),
            (
                json!({"rule": "true", "messageExpression": "1"}),
                &["messageExpression"],
            ),
            (json!({"rule": "true", "fieldPath": "size"}), &["fieldPath"]),
            (
                json!({"rule": "true", "fieldPath": ".weight"}),
                &["fieldPath"],
            ),
            (json!({"rule": "true", "message": " "}), &["message"]),
            (json!({"rule": "true\n||\ntrue"}), &["message"]),
            (json!({"rule": "true\n||\ntrue", "message": "no"}), &[]),
            (
                json!({"rule": "true", "messageExpression": " "}),
                &["messageExpression"],
            ),
            (json!({"rule": "true", "reason": "Odd"}), &["reason"]),
        ] {
            check_rule(&schema, &rule, expected);
        }
    }

    /// What the language takes, but Kubernetes does not.
    #[test]
    fn types_are_those_of_cel_to_the_letter() {
        let part = json!({"type": "object", "properties": {"n": {"type": "string"}}});
        let schema = json!({"type": "object", "properties": {
            "size": {"type": "integer"}, "rate": {"type": "number"}, "name": {"type": "string"},
            "names": {"type": "array", "items": {"type": "string"}},
            "either": {"x-kubernetes-int-or-string": true},
            "free": {"x-kubernetes-preserve-unknown-fields": true},
            "one": part, "other": part}});
        for rule in [
            "self.size < self.rate",
            "self.rate == 1.0",
            "self.one == oldSelf.one",
            "self.one != null",
            "self.either == 1 || self.either == 'a'",
            "dyn(self.size) == 1.0",
            "self.names.reverse() == self.names",
            "'%s %d'.format([self.name, self.size]) != ''",
            "self.name.matches('^{{[a-z]{2,}}}$')",
        ] {
            check_rule(&schema, &json!({"rule": rule}), &[]);
        }
        for rule in [
            "self.rate == 1",
            "self.size + self.rate > 1.0",
            "self.name != null",
            "self.one == self.other",
            "self.one == {'n': 'a'}",
            "self.one['n'] == 'a'",
            "'n' in self.one",
            "self.one.all(n, true)",
            "has(self.missing)",
            "has(self.free)",
            "size([1, 'a']) == 2",
            "{'a': 1, 'b': '2'}.size() == 2",
            "self.size == 1 ? true : 'no'",
            "self.names.sum() == ''",
            "self.name.matches('a++')",
            "duration('1x') < duration('1s')",
            "timestamp('today') == timestamp('today')",
            "math.greatest(1, 2) == 2",
            "oc_hash('a') == 'a'",
            "base64.encode(b'a') == 'YQ=='",
            "cel.bind(a, 1, a == 1)",
            "self.name.reverse() == ''",
        ] {
            check_rule(&schema, &json!({"rule": rule}), &["rule"]);
        }
    }

    #[test]
    fn items_without_keys_have_no_past() {
        let rules = json!([{"rule": "self == oldSelf"}]);
        let items = json!({"type": "string", "x-kubernetes-validations": rules});
        let list =
            json!({"type": "object", "properties": {"l": {"type": "array", "items": items}}});
        assert_eq!(check(&list, "s").len(), 1);
    }
}
