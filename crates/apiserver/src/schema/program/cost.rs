//! Whether rules are cheap enough for the largest object their schema allows, as
//! Kubernetes estimates it.

use std::{collections::BTreeMap, sync::Arc};

use choreo_template::Extent;
use serde_json::Value;

use crate::body;

use super::{
    super::{
        Cause,
        compile::{flag, strings, text},
    },
    OLD, SELF, listed, parse,
};

/// The largest body of a request: what a client wants of an object is not larger.
const LARGEST: u64 = body::LARGEST as u64;
/// What one rule may cost, for all the places of an object it holds at.
const OF_RULE: u64 = 10_000_000;
/// What all rules of a schema may cost.
const OF_SCHEMA: u64 = 100_000_000;
/// How many of the rules that make a schema too expensive are told.
const TOLD: usize = 4;

/// What is too expensive in a definition's schema at `path`.
pub(in crate::schema) fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut bill = Bill::default();
    bill.place(schema, path, Some(1));
    let Bill {
        mut causes,
        total,
        mut large,
    } = bill;
    if total > OF_SCHEMA {
        large.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, field) in large.iter().take(TOLD) {
            let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            causes.push(Cause::forbidden(field, why));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        causes.push(Cause::forbidden(path, &excess(what, total, OF_SCHEMA)));
    }
    causes
}

#[derive(Default)]
struct Bill {
    causes: Vec<Cause>,
    total: u64,
    /// The rules that cost a hundredth of what all may, and where they are.
    large: Vec<(u64, String)>,
}

impl Bill {
    /// `count` is how often the place can be in an object, if anything says so.
    fn place(&mut self, schema: &Value, path: &str, count: Option<u64>) {
        if listed(schema).next().is_some() {
            let count = count.unwrap_or_else(|| LARGEST / (least(schema) + 1));
            self.rules(schema, path, count);
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, member) in properties.into_iter().flatten() {
            self.place(member, &format!("{path}.properties[{name}]"), count);
        }
        let times = |most: &str| Some(count?.saturating_mul(number(schema, most)?));
        let values = schema.get("additionalProperties");
        if let Some(values) = values.filter(|one| one.is_object()) {
            let path = format!("{path}.additionalProperties");
            self.place(values, &path, times("maxProperties"));
        }
        if let Some(items) = schema.get("items") {
            self.place(items, &format!("{path}.items"), times("maxItems"));
        }
    }

    fn rules(&mut self, schema: &Value, path: &str, count: u64) {
        let extent = extent(schema);
        let seen = [(SELF, extent.clone()), (OLD, extent)];
        for (position, rule) in listed(schema).enumerate() {
            let at = format!("{path}.x-kubernetes-validations[{position}]");
            for (part, count, what) in [
                ("rule", count, "estimated rule cost"),
                ("messageExpression", 1, "estimated messageExpression cost"),
            ] {
                let program = text(rule, part).and_then(|source| parse(source).ok());
                let Some(program) = program else {
                    continue;
                };
                let cost = program.cost(&seen).saturating_mul(count);
                self.add(cost, format!("{at}.{part}"), what);
            }
        }
    }

    fn add(&mut self, cost: u64, field: String, what: &str) {
        if cost > OF_RULE {
            let why = excess(what, cost, OF_RULE);
            self.causes.push(Cause::forbidden(&field, &why));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= OF_SCHEMA / 100 {
            self.large.push((cost, field));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "told to one place")]
fn excess(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

fn number(schema: &Value, key: &str) -> Option<u64> {
    schema.get(key).and_then(Value::as_u64)
}

/// The fewest bytes a value takes in a request.
fn least(schema: &Value) -> u64 {
    if flag(schema, "x-kubernetes-int-or-string") {
        return 1;
    }
    match text(schema, "type") {
        Some("boolean") => 4,
        Some("integer" | "number") => 1,
        Some("string") => match text(schema, "format") {
            Some("date-time") => 21,
            Some("date") => 12,
            Some("duration") => 3,
            _ => 2,
        },
        Some("object") => {
            let required: Vec<&str> = strings(schema, "required").collect();
            let properties = schema.get("properties").and_then(Value::as_object);
            let needed = properties
                .into_iter()
                .flatten()
                .filter(|(name, member)| {
                    required.contains(&name.as_str()) && member.get("default").is_none()
                })
                .map(|(name, member)| name.len() as u64 + least(member) + 4);
            2 + needed.sum::<u64>()
        }
        _ => 2,
    }
}

/// How large a value may be.
fn extent(schema: &Value) -> Extent {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Extent::Text(number(schema, "maxLength").map_or(LARGEST - 2, |most| most * 4));
    }
    match text(schema, "type") {
        Some("boolean" | "integer" | "number") => Extent::One,
        Some("string") => Extent::Text(longest(schema)),
        Some("array") => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            let most = number(schema, "maxItems");
            let most = most.unwrap_or_else(|| (LARGEST - 2) / (least(items) + 1));
            Extent::List(most, Arc::new(extent(items)))
        }
        Some("object") => object(schema),
        _ => Extent::Any,
    }
}

fn longest(schema: &Value) -> u64 {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let lengths = values.iter().filter_map(Value::as_str).map(str::len);
        return lengths.max().unwrap_or(0) as u64;
    }
    match (text(schema, "format"), number(schema, "maxLength")) {
        (Some("duration" | "date-time"), _) => 32,
        (Some("date"), _) => 12,
        (Some("byte"), Some(most)) => most,
        // A character takes up to four bytes.
        (_, Some(most)) => most.saturating_mul(4),
        (_, None) => LARGEST - 2,
    }
}

fn object(schema: &Value) -> Extent {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(values) = schema.get("additionalProperties")
        && properties.is_none()
    {
        let most = number(schema, "maxProperties");
        let most = most.unwrap_or_else(|| (LARGEST - 2) / (least(values) + 6));
        return Extent::Map(most, Arc::new(extent(values)));
    }
    let mut fields: BTreeMap<String, Extent> = properties
        .into_iter()
        .flatten()
        .map(|(name, member)| (name.clone(), extent(member)))
        .collect();
    let whole = || Extent::Text(LARGEST - 2);
    // Every whole object has these.
    for name in ["apiVersion", "kind"] {
        fields.entry(name.to_owned()).or_insert_with(whole);
    }
    let metadata = ["name", "generateName"].map(|name| (name.to_owned(), whole()));
    fields.insert(
        "metadata".to_owned(),
        Extent::Object(Arc::new(metadata.into_iter().collect())),
    );
    Extent::Object(Arc::new(fields))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(schema: &Value) -> Vec<String> {
        let causes = check(schema, "s").into_iter();
        causes.map(|cause| cause.field).collect()
    }

    fn list(bounds: &Value, rule: &str) -> Value {
        let mut items = json!({"type": "string"});
        let mut list = json!({"type": "array", "x-kubernetes-validations": [{"rule": rule}]});
        if let Some(most) = bounds.get("length") {
            items["maxLength"] = most.clone();
        }
        if let Some(most) = bounds.get("items") {
            list["maxItems"] = most.clone();
        }
        list["items"] = items;
        json!({"type": "object", "properties": {"l": list}})
    }

    #[test]
    fn what_has_no_bounds_is_too_expensive() {
        let rule = "s.properties[l].x-kubernetes-validations[0].rule";
        let nested = "self.all(x, self.all(y, x == y))";
        assert_eq!(fields(&list(&json!({}), nested)), [rule, rule, "s"]);
        let bounded = json!({"items": 10, "length": 20});
        assert!(fields(&list(&bounded, nested)).is_empty());
        assert!(fields(&list(&json!({}), "size(self) < 10")).is_empty());
    }

    #[test]
    fn a_rule_counts_as_often_as_its_place() {
        let rules = json!([{"rule": "self.matches('^[a-z]{1,30}$')"}]);
        let item = json!({"type": "string", "maxLength": 1000, "x-kubernetes-validations": rules});
        let with = |most: u64| json!({"type": "array", "maxItems": most, "items": item});
        assert!(fields(&with(100)).is_empty());
        assert_eq!(fields(&with(10_000)).len(), 1);
        let without = json!({"type": "array", "items": item});
        assert_eq!(
            fields(&without)[0],
            "s.items.x-kubernetes-validations[0].rule"
        );
    }
}
