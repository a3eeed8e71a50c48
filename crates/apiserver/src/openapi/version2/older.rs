//! Paths and schemas of version 3 in the words of version 2.

use serde_json::{Map, Value, json};

/// Brings the operations of a path into the older form.
pub(super) fn path(path: &mut Value) {
    let Some(members) = path.as_object_mut() else {
        return;
    };
    for (key, value) in members {
        if key == "parameters" {
            parameters(value);
        } else {
            operation(value);
        }
    }
}

fn operation(operation: &mut Value) {
    let Some(members) = operation.as_object_mut() else {
        return;
    };
    if let Some(given) = members.get_mut("parameters") {
        parameters(given);
    }
    let body = members.remove("requestBody");
    if let Some(Value::Object(content)) = body.as_ref().and_then(|body| body.get("content")) {
        members.insert("consumes".into(), content.keys().cloned().collect());
        if let Some(mut schema) = content.values().find_map(|one| one.get("schema")).cloned() {
            self::schema(&mut schema);
            let body = json!({"name": "body", "in": "body", "required": true, "schema": schema});
            if let Some(Value::Array(parameters)) = members.get_mut("parameters") {
                parameters.push(body);
            }
        }
    }
    let responses = members.get_mut("responses").and_then(Value::as_object_mut);
    for response in responses.into_iter().flat_map(Map::values_mut) {
        let content = response
            .as_object_mut()
            .and_then(|one| one.remove("content"));
        let schema =
            content.and_then(|content| content.pointer("/application~1json/schema").cloned());
        if let Some(mut schema) = schema {
            self::schema(&mut schema);
            response["schema"] = schema;
        }
    }
    members.insert("produces".into(), json!(["application/json"]));
}

/// The type of a parameter stands beside its name.
fn parameters(parameters: &mut Value) {
    let all = parameters.as_array_mut().into_iter().flatten();
    for parameter in all.filter_map(Value::as_object_mut) {
        if let Some(Value::Object(schema)) = parameter.remove("schema") {
            parameter.extend(schema);
        }
    }
}

/// What version 2 cannot say.
const LATER: [&str; 4] = ["anyOf", "oneOf", "not", "nullable"];

/// Brings a schema into the older form.
pub(super) fn schema(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::String(target)) = members.get_mut("$ref") {
        *target = target.replace("#/components/schemas/", "#/definitions/");
    }
    // Who takes null takes what has no one type.
    if members.get("nullable") == Some(&Value::Bool(true)) {
        for name in ["type", "properties", "items"] {
            members.remove(name);
        }
    }
    for name in LATER {
        members.remove(name);
    }
    for (key, value) in members {
        match key.as_str() {
            "properties" => {
                let properties = value.as_object_mut().into_iter().flat_map(Map::values_mut);
                properties.for_each(self::schema);
            }
            "items" | "additionalProperties" => self::schema(value),
            "allOf" => value
                .as_array_mut()
                .into_iter()
                .flatten()
                .for_each(self::schema),
            _ => {}
        }
    }
}
