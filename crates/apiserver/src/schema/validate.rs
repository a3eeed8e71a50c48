//! Holding values to the rules of a schema, in the words of Kubernetes.

use serde_json::{Map, Value};

use super::{
    cause::Cause,
    path::Path,
    quantity,
    structure::{Bound, List, Range, Rest, Rules, Structure, Type},
};

/// Everything about `object` that breaks a rule.
pub(super) fn validate(structure: &Structure, object: &Value) -> Vec<Cause> {
    let mut walk = Walk::default();
    walk.value(structure, object);
    walk.causes
}

#[derive(Default)]
struct Walk {
    path: Path,
    causes: Vec<Cause>,
}

impl Walk {
    fn value(&mut self, structure: &Structure, value: &Value) {
        if value.is_null() && structure.nullable {
            return;
        }
        if !is_of(structure.kind, value) {
            self.wrong_type(structure.kind, value);
            return;
        }
        if let Some(rules) = &structure.rules {
            self.rules(rules, value);
        }
        match value {
            Value::Object(members) => self.map(structure, members),
            Value::Array(items) => self.list(structure, items),
            Value::String(text) if structure.kind == Type::Quantity => self.quantity(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn map(&mut self, structure: &Structure, members: &Map<String, Value>) {
        if structure.embedded && !self.path.text().is_empty() {
            self.embedded(members);
        }
        for (name, member) in members {
            let typed = match (structure.properties.get(name.as_str()), &structure.rest) {
                (Some(typed), _) | (None, Rest::Typed(typed)) => typed,
                (None, Rest::Keep | Rest::Unknown) => continue,
            };
            let mark = self.path.key(name);
            self.value(typed, member);
            self.path.back(&mark);
        }
    }

    /// An object inside an object must say what it is.
    fn embedded(&mut self, members: &Map<String, Value>) {
        for name in ["apiVersion", "kind"] {
            let empty = members
                .get(name)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty);
            if empty {
                let path = self.path.child(name);
                self.causes
                    .push(Cause::required(&path, "must not be empty"));
            }
        }
    }

    fn list(&mut self, structure: &Structure, items: &[Value]) {
        if let Some(typed) = &structure.items {
            for (position, item) in items.iter().enumerate() {
                let mark = self.path.index(position);
                self.value(typed, item);
                self.path.back(&mark);
            }
        }
        if !structure.distinct {
            return;
        }
        let identity: Vec<Value> = match &structure.list {
            List::Atomic => return,
            List::Set => items.to_vec(),
            List::Map(keys) => items.iter().map(|item| key_of(item, keys)).collect(),
        };
        self.duplicates(&identity);
    }

    fn duplicates(&mut self, identity: &[Value]) {
        for (position, one) in identity.iter().enumerate() {
            if identity.iter().take(position).any(|earlier| earlier == one) {
                let mark = self.path.index(position);
                self.causes.push(Cause::duplicate(self.path.text(), one));
                self.path.back(&mark);
            }
        }
    }

    fn quantity(&mut self, text: &str) {
        if !quantity::is_quantity(text) {
            self.invalid(
                &Value::from(text),
                "quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            );
        }
    }

    fn rules(&mut self, rules: &Rules, value: &Value) {
        if let Value::Object(members) = value {
            for name in &rules.required {
                if !members.contains_key(&**name) {
                    let path = self.path.child(name);
                    self.causes.push(Cause::required(&path, ""));
                }
            }
        }
        if !rules.allowed.is_empty() && !rules.allowed.contains(value) {
            let allowed = rules.allowed.iter().map(plain);
            let allowed: Vec<String> = allowed.collect();
            let allowed = allowed.iter().map(String::as_str);
            self.causes
                .push(Cause::unsupported(self.path.text(), value, allowed));
        }
        if let Some(format) = rules.format.filter(|format| !format.accepts(value)) {
            let detail = self.sentence(&format!("must be of type {}: {value}", format.name()));
            self.causes
                .push(Cause::wrong_type(self.path.text(), value, &detail));
        }
        match value {
            Value::String(text) => self.text(rules, text),
            Value::Number(number) => self.number(rules, number.as_f64().unwrap_or(0.0), value),
            Value::Array(items) => self.size(rules.items, items.len(), value, "items"),
            Value::Object(members) => {
                self.size(rules.properties, members.len(), value, "properties");
            }
            Value::Null | Value::Bool(_) => {}
        }
        if let (true, Value::Array(items)) = (rules.unique, value) {
            if items
                .iter()
                .enumerate()
                .any(|(at, item)| items[..at].contains(item))
            {
                self.broken(value, "shouldn't contain duplicates");
            }
        }
        self.combinations(rules, value);
    }

    fn text(&mut self, rules: &Rules, text: &str) {
        let length = text.chars().count() as u64;
        if let Some(most) = rules.length.most.filter(|most| length > *most) {
            self.causes.push(Cause::too_long(self.path.text(), most));
        }
        if let Some(least) = rules.length.least.filter(|least| length < *least) {
            self.broken(
                &Value::from(text),
                &format!("should be at least {least} chars long"),
            );
        }
        if let Some(pattern) = rules
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.matches(text))
        {
            self.broken(
                &Value::from(text),
                &format!("should match '{}'", pattern.source),
            );
        }
    }

    fn number(&mut self, rules: &Rules, number: f64, value: &Value) {
        if let Some(Bound {
            value: least,
            exclusive,
        }) = rules.minimum
        {
            if number < least || (exclusive && number <= least) {
                let words = if exclusive {
                    "greater than"
                } else {
                    "greater than or equal to"
                };
                self.broken(value, &format!("should be {words} {least}"));
            }
        }
        if let Some(Bound {
            value: most,
            exclusive,
        }) = rules.maximum
        {
            if number > most || (exclusive && number >= most) {
                let words = if exclusive {
                    "less than"
                } else {
                    "less than or equal to"
                };
                self.broken(value, &format!("should be {words} {most}"));
            }
        }
        if let Some(step) = rules.multiple_of {
            let times = number / step;
            if (times - times.round()).abs() > 1e-9 {
                self.broken(value, &format!("should be a multiple of {step}"));
            }
        }
    }

    fn size(&mut self, range: Range, found: usize, value: &Value, what: &str) {
        if let Some(most) = range.most.filter(|most| found as u64 > *most) {
            self.causes
                .push(Cause::too_many(self.path.text(), found, most));
        }
        if let Some(least) = range.least.filter(|least| (found as u64) < *least) {
            self.broken(value, &format!("should have at least {least} {what}"));
        }
    }

    fn combinations(&mut self, rules: &Rules, value: &Value) {
        for one in &rules.all_of {
            self.value(one, value);
        }
        let holding = |list: &[std::sync::Arc<Structure>]| {
            list.iter()
                .filter(|one| validate(one, value).is_empty())
                .count()
        };
        if !rules.any_of.is_empty() && holding(&rules.any_of) == 0 {
            self.combination(value, "must validate at least one schema (anyOf)");
        }
        if !rules.one_of.is_empty() {
            match holding(&rules.one_of) {
                1 => {}
                0 => self.combination(
                    value,
                    "must validate one and only one schema (oneOf). Found none valid",
                ),
                several => self.combination(
                    value,
                    &format!(
                        "must validate one and only one schema (oneOf). Found {several} valid alternatives"
                    ),
                ),
            }
        }
        if rules
            .not
            .as_ref()
            .is_some_and(|not| validate(not, value).is_empty())
        {
            self.combination(value, "must not validate the schema (not)");
        }
    }

    fn combination(&mut self, value: &Value, words: &str) {
        let detail = format!("\"{}\" {words}", self.path.text());
        self.invalid(value, &detail);
    }

    fn wrong_type(&mut self, kind: Type, value: &Value) {
        let found = Value::from(type_name(value));
        let detail = self.sentence(&format!("must be of type {}: {found}", expected(kind)));
        self.causes
            .push(Cause::wrong_type(self.path.text(), &found, &detail));
    }

    fn broken(&mut self, value: &Value, words: &str) {
        let detail = self.sentence(words);
        self.invalid(value, &detail);
    }

    fn invalid(&mut self, value: &Value, detail: &str) {
        self.causes
            .push(Cause::invalid(self.path.text(), value, detail));
    }

    fn sentence(&self, words: &str) -> String {
        format!("{} in body {words}", self.path.text())
    }
}

fn is_of(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Integer => is_whole(value),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
        Type::IntOrString => value.is_string() || is_whole(value),
        Type::Quantity => value.is_string() || value.is_number(),
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|float| float.fract() == 0.0)
}

fn expected(kind: Type) -> &'static str {
    match kind {
        Type::Any => "any",
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::IntOrString => "integer,string",
        Type::Quantity => "string,number",
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The keys that tell an item of a list map apart.
fn key_of(item: &Value, keys: &[String]) -> Value {
    let found = keys
        .iter()
        .filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(found.collect())
}

#[cfg(test)]
mod tests {
    use crate::schema::Schema;
    use serde_json::{Value, json};

    /// Holds `value` at `x` to `rule` and compares reason, field and message.
    fn check(rule: &Value, value: &Value, wanted: &[(&str, &str, &str)]) {
        let schema = json!({"type": "object", "properties": {"x": rule}});
        let causes = Schema::from_openapi(&schema).validate(&json!({"x": value}));
        let found: Vec<_> = causes
            .iter()
            .map(|cause| {
                (
                    cause.reason.as_str(),
                    cause.field.as_str(),
                    cause.message.as_str(),
                )
            })
            .collect();
        assert_eq!(found, wanted, "{rule} {value}");
    }

    fn broken(rule: &Value, value: &Value, message: &str) {
        check(rule, value, &[("FieldValueInvalid", "x", message)]);
    }

    #[test]
    fn types() {
        check(
            &json!({"type": "integer"}),
            &json!("a"),
            &[(
                "FieldValueTypeInvalid",
                "x",
                "Invalid value: \"string\": x in body must be of type integer: \"string\"",
            )],
        );
        check(&json!({"type": "integer"}), &json!(3.0), &[]);
        check(
            &json!({"type": "string", "nullable": true}),
            &json!(null),
            &[],
        );
        check(
            &json!({"type": "string"}),
            &json!(null),
            &[(
                "FieldValueTypeInvalid",
                "x",
                "Invalid value: \"null\": x in body must be of type string: \"null\"",
            )],
        );
        check(
            &json!({"x-kubernetes-int-or-string": true}),
            &json!("25%"),
            &[],
        );
        check(&json!({"x-kubernetes-int-or-string": true}), &json!(1), &[]);
        check(
            &json!({"x-kubernetes-int-or-string": true}),
            &json!(true),
            &[(
                "FieldValueTypeInvalid",
                "x",
                "Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\"",
            )],
        );
        check(
            &json!({"type": "string", "format": "date-time"}),
            &json!("now"),
            &[(
                "FieldValueTypeInvalid",
                "x",
                "Invalid value: \"now\": x in body must be of type date-time: \"now\"",
            )],
        );
    }

    #[test]
    fn shapes() {
        let object = json!({"type": "object", "required": ["a"], "minProperties": 1,
            "properties": {"a": {"type": "string"}}});
        check(&object, &json!({"a": "b"}), &[]);
        check(
            &object,
            &json!({"b": 1}),
            &[("FieldValueRequired", "x.a", "Required value")],
        );
        let list = json!({"type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string"}}}, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"]});
        check(&list, &json!([{"name": "a"}, {"name": "b"}]), &[]);
        check(
            &list,
            &json!([{"name": "a"}, {"name": "a"}]),
            &[(
                "FieldValueDuplicate",
                "x[1]",
                "Duplicate value: {\"name\":\"a\"}",
            )],
        );
        let set =
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"});
        check(
            &set,
            &json!(["a", "a"]),
            &[("FieldValueDuplicate", "x[1]", "Duplicate value: \"a\"")],
        );
    }

    #[test]
    fn values() {
        check(
            &json!({"type": "string", "enum": ["a", "b"]}),
            &json!("c"),
            &[(
                "FieldValueNotSupported",
                "x",
                "Unsupported value: \"c\": supported values: \"a\", \"b\"",
            )],
        );
        check(
            &json!({"type": "string", "maxLength": 2}),
            &json!("abc"),
            &[(
                "FieldValueTooLong",
                "x",
                "Too long: may not be more than 2 bytes",
            )],
        );
        check(
            &json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            &json!(["a", "b"]),
            &[(
                "FieldValueTooMany",
                "x",
                "Too many: 2: must have at most 1 item",
            )],
        );
        let cases = [
            (
                json!({"type": "string", "minLength": 2}),
                json!("a"),
                "Invalid value: \"a\": x in body should be at least 2 chars long",
            ),
            (
                json!({"type": "string", "pattern": "^b$"}),
                json!("a"),
                "Invalid value: \"a\": x in body should match '^b$'",
            ),
            (
                json!({"type": "integer", "minimum": 2}),
                json!(1),
                "Invalid value: 1: x in body should be greater than or equal to 2",
            ),
            (
                json!({"type": "integer", "minimum": 2, "exclusiveMinimum": true}),
                json!(2),
                "Invalid value: 2: x in body should be greater than 2",
            ),
            (
                json!({"type": "integer", "maximum": 2}),
                json!(3),
                "Invalid value: 3: x in body should be less than or equal to 2",
            ),
            (
                json!({"type": "integer", "multipleOf": 2}),
                json!(3),
                "Invalid value: 3: x in body should be a multiple of 2",
            ),
            (
                json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
                json!([]),
                "Invalid value: []: x in body should have at least 1 items",
            ),
        ];
        for (rule, value, message) in &cases {
            broken(rule, value, message);
        }
    }

    #[test]
    fn combinations() {
        let one = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        check(&one, &json!({"a": "1"}), &[]);
        broken(
            &one,
            &json!({}),
            "Invalid value: {}: \"x\" must validate one and only one schema (oneOf). Found none valid",
        );
        let any = json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]});
        check(&any, &json!(0), &[]);
        broken(
            &any,
            &json!(3),
            "Invalid value: 3: \"x\" must validate at least one schema (anyOf)",
        );
        let not = json!({"type": "string", "not": {"enum": ["a"]}});
        check(&not, &json!("b"), &[]);
        broken(
            &not,
            &json!("a"),
            "Invalid value: \"a\": \"x\" must not validate the schema (not)",
        );
    }

    #[test]
    fn names_may_be_restricted() {
        let schema = json!({"type": "object", "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}}});
        let causes = Schema::from_openapi(&schema).validate(&json!({"metadata": {"name": "long"}}));
        assert_eq!(causes[0].field, "metadata.name");
    }
}
