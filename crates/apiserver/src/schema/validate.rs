//! Holding values to the rules of a schema, in the words of Kubernetes.
//!
//! Expressions (`x-kubernetes-validations`) are no part of this walk: they need
//! the stored object and a budget. Whoever evaluates them walks the same
//! compiled graph beside this module and adds to the same causes.

use serde_json::{Map, Value};

use super::{
    cause::Cause,
    path::Path,
    quantity,
    structure::{List, Merge, Range, Rest, Rules, Structure, Type},
};

/// Everything about `object` that breaks a rule. What is as it was in `old` was let in before.
pub(super) fn validate(structure: &Structure, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut walk = Walk::default();
    walk.value(structure, object, old);
    walk.causes
}

#[derive(Default)]
struct Walk {
    path: Path,
    causes: Vec<Cause>,
}

impl Walk {
    fn value(&mut self, structure: &Structure, value: &Value, old: Option<&Value>) {
        if old == Some(value) || value.is_null() && structure.nullable {
            return;
        }
        if !is_of(structure.kind, value) {
            self.wrong_type(structure.kind, value);
            if let Some(rules) = &structure.rules {
                self.allowed(rules, value);
            }
            return;
        }
        if let Some(rules) = &structure.rules {
            self.rules(rules, value);
        }
        match value {
            Value::Object(members) => self.map(structure, members, old),
            Value::Array(items) => self.list(structure, items, old),
            Value::String(text) if structure.kind == Type::Quantity => self.quantity(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn map(&mut self, structure: &Structure, members: &Map<String, Value>, old: Option<&Value>) {
        if structure.embedded && !self.path.text().is_empty() {
            self.embedded(members);
        }
        for (name, member) in members {
            let typed = match (structure.properties.get(name.as_str()), &structure.rest) {
                (Some(typed), _) | (None, Rest::Typed(typed)) => typed,
                (None, Rest::Keep | Rest::Unknown) => continue,
            };
            // Whatever was written, these are those of the version that is read.
            let identity = self.path.text().is_empty() && (name == "apiVersion" || name == "kind");
            let old = old.filter(|_| !identity).and_then(|old| old.get(name));
            let mark = self.path.key(name);
            self.value(typed, member, old);
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
                self.causes.push(Cause::required(&path, ""));
            }
        }
    }

    fn list(&mut self, structure: &Structure, items: &[Value], old: Option<&Value>) {
        if let Some(typed) = &structure.items {
            for (position, item) in items.iter().enumerate() {
                let mark = self.path.index(position);
                self.value(typed, item, structure.list.counterpart(item, old));
                self.path.back(&mark);
            }
        }
        if structure.merge != Merge::Distinct {
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
            // Once for each value, however often it is there.
            let before = identity
                .iter()
                .take(position)
                .filter(|earlier| *earlier == one);
            if before.count() == 1 {
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
        self.allowed(rules, value);
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
        if rules.unique && value.as_array().is_some_and(|items| repeats(items)) {
            self.broken(value, "shouldn't contain duplicates");
        }
        self.combinations(rules, value);
    }

    fn allowed(&mut self, rules: &Rules, value: &Value) {
        if !rules.allowed.is_empty() && !rules.allowed.contains(value) {
            let allowed: Vec<String> = rules.allowed.iter().map(plain).collect();
            let allowed = allowed.iter().map(String::as_str);
            self.causes
                .push(Cause::unsupported(self.path.text(), value, allowed));
        }
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
        if let Some(least) = rules
            .minimum
            .filter(|least| number < least.value || (least.exclusive && number <= least.value))
        {
            let words = if least.exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            };
            self.broken(value, &format!("should be {words} {}", least.value));
        }
        if let Some(most) = rules
            .maximum
            .filter(|most| number > most.value || (most.exclusive && number >= most.value))
        {
            let words = if most.exclusive {
                "less than"
            } else {
                "less than or equal to"
            };
            self.broken(value, &format!("should be {words} {}", most.value));
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
            self.value(one, value, None);
        }
        let holding = |list: &[std::sync::Arc<Structure>]| {
            list.iter()
                .filter(|one| validate(one, value, None).is_empty())
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
            .is_some_and(|not| validate(not, value, None).is_empty())
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

fn repeats(items: &[Value]) -> bool {
    items
        .iter()
        .enumerate()
        .any(|(position, item)| items[..position].contains(item))
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
mod tests;
