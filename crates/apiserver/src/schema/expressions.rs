//! Holding values to the rules written in CEL. This is a walk of its own: rules see the
//! stored object, share one budget, and are asked only about values of the right shape.

use choreo_template::{Budget, Context};
use serde_json::{Map, Value};

use super::{
    Cause,
    path::Path,
    program::{OLD, Programs, Rule, SELF},
    structure::{Rest, Structure},
};

/// What rules say of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The rules that are broken.
    pub(crate) broken: Vec<Cause>,
    /// The rules that were broken before by what did not change. Whoever writes is told.
    pub(crate) let_be: Vec<Cause>,
}

/// What the rules say of `object`, stored so far as `old`.
pub(super) fn check(structure: &Structure, object: &Value, old: Option<&Value>) -> Verdict {
    let left = Budget::of(STEPS);
    let mut walk = Walk {
        path: Path::default(),
        budget: Context::within(left.clone()),
        left,
        verdict: Verdict::default(),
    };
    walk.value(structure, object, Past::of(object, old));
    walk.verdict
}

/// How many steps all rules of an object may take together.
const STEPS: usize = 10_000_000;
/// How many steps one rule may take, its message included.
const STEPS_OF_ONE: usize = 1_000_000;

/// What is known of a place before the write.
#[derive(Clone, Copy)]
struct Past<'c> {
    old: Option<&'c Value>,
    /// Whether nothing changed: here, or, where there is no telling, at the nearest place above
    /// where there is. What did not change was let in before, and stays.
    settled: bool,
}

impl<'c> Past<'c> {
    fn of(value: &Value, old: Option<&'c Value>) -> Self {
        Self {
            old,
            settled: old == Some(value),
        }
    }

    /// The past of a part of this place, of which `old` is what it was.
    fn part(self, value: &Value, old: Option<&'c Value>) -> Self {
        match old {
            Some(_) => Self::of(value, old),
            None => Self { old, ..self },
        }
    }
}

struct Walk<'c> {
    path: Path,
    left: Budget,
    /// Binds nothing: all rules of an object spend from one budget.
    budget: Context<'c, 'c>,
    verdict: Verdict,
}

impl<'c> Walk<'c> {
    fn value(&mut self, structure: &Structure, value: &'c Value, past: Past<'c>) {
        if value.is_null() {
            return;
        }
        if let Some(programs) = &structure.programs {
            for rule in &programs.rules {
                self.rule(programs, rule, value, past);
            }
        }
        match value {
            Value::Object(members) => self.map(structure, members, past),
            Value::Array(items) => self.list(structure, items, past),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn rule(&mut self, programs: &Programs, rule: &Rule, value: &'c Value, past: Past<'c>) {
        if self.left.is_spent() {
            return;
        }
        self.left.allow(STEPS_OF_ONE);
        let old = past.old;
        if rule.transition && old.is_none() && !rule.optional {
            return;
        }
        let mut context = self.budget.scope();
        context.bind_as(SELF, value, &programs.type_);
        if rule.optional {
            context.bind_optional(OLD, old, &programs.type_);
        } else if let Some(old) = old {
            context.bind_as(OLD, old, &programs.type_);
        }
        let field = format!("{}{}", self.path.text(), rule.field);
        let field = field.trim_start_matches('.');
        let field = if field.is_empty() { "<nil>" } else { field };
        let broken = rule.broken(&context, field, &programs.type_name);
        if past.settled && !rule.transition {
            self.verdict.let_be.extend(broken);
        } else {
            self.verdict.broken.extend(broken);
        }
    }

    fn map(&mut self, structure: &Structure, members: &'c Map<String, Value>, past: Past<'c>) {
        for (name, member) in members {
            let known = structure.properties.get(name.as_str());
            let typed = match (known, &structure.rest) {
                (Some(typed), _) | (None, Rest::Typed(typed)) => typed,
                (None, Rest::Keep | Rest::Unknown) => continue,
            };
            let mut past = past.part(member, past.old.and_then(|old| old.get(name)));
            if self.path.text().is_empty() && (name == "apiVersion" || name == "kind") {
                // Whatever was written, they are those of the version that is read.
                past.settled = false;
            }
            let mark = if known.is_some() {
                self.path.key(name)
            } else {
                self.path.entry(name)
            };
            self.value(typed, member, past);
            self.path.back(&mark);
        }
    }

    fn list(&mut self, structure: &Structure, items: &'c [Value], past: Past<'c>) {
        let Some(typed) = &structure.items else {
            return;
        };
        for (position, item) in items.iter().enumerate() {
            let old = structure.list.counterpart(item, past.old);
            let mark = self.path.index(position);
            self.value(typed, item, past.part(item, old));
            self.path.back(&mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::compile::Compiler;
    use serde_json::json;

    fn broken(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
        let structure = Compiler::default().object(schema);
        let causes = check(&structure, object, old).broken;
        let texts = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message));
        texts.collect()
    }

    fn with(rules: &Value) -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object",
            "x-kubernetes-validations": rules,
            "properties": {"size": {"type": "integer"}, "rate": {"type": "number"},
                "since": {"type": "string", "format": "date-time"},
                "namespace": {"type": "string"}}}}})
    }

    #[test]
    fn rules_see_values_as_their_schema_does() {
        let object = json!({"spec": {"size": 2, "rate": 3, "since": "2026-01-02T03:04:05Z", "namespace": "n"}});
        for rule in [
            "self.size == 2",
            "self.rate / 2.0 == 1.5",
            "self.since.getFullYear() == 2026",
            "self.__namespace__ == 'n'",
            "!has(self.missing) || true",
        ] {
            let found = broken(&with(&json!([{"rule": rule}])), &object, None);
            assert!(found.is_empty(), "{rule}: {found:?}");
        }
    }

    #[test]
    fn broken_rules_say_what_they_say() {
        let object = json!({"spec": {"size": 2}});
        for (rule, expected) in [
            (
                json!({"rule": "self.size > 2"}),
                "spec: Invalid value: \"object\": failed rule: self.size > 2",
            ),
            (
                json!({"rule": "false", "message": "no"}),
                "spec: Invalid value: \"object\": no",
            ),
            (
                json!({"rule": "false", "message": "no", "messageExpression": "'is ' + string(self.size)"}),
                "spec: Invalid value: \"object\": is 2",
            ),
            (
                json!({"rule": "false", "reason": "FieldValueForbidden", "fieldPath": ".size", "message": "no"}),
                "spec.size: Forbidden: no",
            ),
        ] {
            assert_eq!(broken(&with(&json!([rule])), &object, None), [expected]);
        }
    }

    #[test]
    fn transitions_need_a_past() {
        let schema = with(&json!([{"rule": "self.size >= oldSelf.size", "message": "shrinks"}]));
        let (small, large) = (json!({"spec": {"size": 1}}), json!({"spec": {"size": 2}}));
        assert!(broken(&schema, &small, None).is_empty());
        assert!(broken(&schema, &large, Some(&small)).is_empty());
        assert_eq!(broken(&schema, &small, Some(&large)).len(), 1);
        let schema = with(
            &json!([{"rule": "oldSelf.hasValue() || self.size == 1", "optionalOldSelf": true}]),
        );
        assert!(broken(&schema, &small, None).is_empty());
        assert_eq!(broken(&schema, &large, None).len(), 1);
        assert!(broken(&schema, &large, Some(&small)).is_empty());
    }

    #[test]
    fn what_does_not_change_is_let_be() {
        let schema = with(&json!([{"rule": "self.size > 5"}]));
        let old = json!({"spec": {"size": 1}});
        assert!(broken(&schema, &old, Some(&old)).is_empty());
        assert_eq!(
            broken(&schema, &json!({"spec": {"size": 2}}), Some(&old)).len(),
            1
        );
    }

    #[test]
    fn items_with_keys_have_a_past() {
        let schema = json!({"type": "object", "properties": {"parts": {"type": "array",
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.v == oldSelf.v", "message": "fixed"}]}}}});
        let old = json!({"parts": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]});
        let new =
            json!({"parts": [{"name": "b", "v": 3}, {"name": "c", "v": 9}, {"name": "a", "v": 1}]});
        assert_eq!(
            broken(&schema, &new, Some(&old)),
            ["parts[0]: Invalid value: \"object\": fixed"]
        );
    }

    #[test]
    fn rules_spend_from_one_budget() {
        let schema = json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"}]}}});
        let list: Vec<u32> = (0..1000).collect();
        let found = broken(&schema, &json!({"l": list}), None);
        assert!(
            found[0].contains("too many steps for one expression"),
            "{found:?}"
        );
        let rules = schema["properties"]["l"]["x-kubernetes-validations"][0].clone();
        let mut schema = schema;
        schema["properties"]["l"]["x-kubernetes-validations"] = vec![rules; 20].into();
        let found = broken(&schema, &json!({"l": list}), None);
        assert_eq!(found.len(), 10, "{found:?}");
        assert!(found[9].contains("all expressions together"), "{found:?}");
    }
}
