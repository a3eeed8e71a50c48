//! The document of version 2 in protobuf, in the messages of `openapi.v2` of gnostic:
//! the only form that Argo CD and kubectl before 1.29 read.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            // The low seven bits; more follow.
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.number(field << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u64, value: &Value) {
        for text in value.as_array().into_iter().flatten() {
            self.text(field, text);
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.number(field << 3);
            self.number(1);
        }
    }

    fn whole(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_i64() {
            self.number(field << 3);
            self.number(number.cast_unsigned());
        }
    }

    fn double(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.number(field << 3 | 1);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// A value of any type, as YAML, of which JSON is a part.
    fn any(&mut self, field: u64, value: &Value) {
        self.message(field, &of(|any| any.text(2, &json!(format!("{value}\n")))));
    }

    fn extension(&mut self, field: u64, name: &str, value: &Value) {
        let extension = named(name, |one| one.any(2, value));
        self.message(field, &extension);
    }
}

fn of(fill: impl FnOnce(&mut Message)) -> Message {
    let mut message = Message::default();
    fill(&mut message);
    message
}

/// A message of a name and whatever it is the name of.
fn named(name: &str, fill: impl FnOnce(&mut Message)) -> Message {
    of(|message| {
        message.bytes(1, name.as_bytes());
        fill(message);
    })
}

/// How the document begins.
pub(super) fn head(info: &Value) -> Bytes {
    let info = of(|message| {
        message.text(1, &info["title"]);
        message.text(2, &info["version"]);
    });
    let head = of(|document| {
        document.bytes(1, b"2.0");
        document.message(2, &info);
    });
    Bytes::from(head.0)
}

/// A path of the document. Parts of one message may stand apart: readers join them.
pub(super) fn path(name: &str, value: &Value) -> Bytes {
    let item = named(name, |named| named.message(2, &path_item(value)));
    let document = of(|document| document.message(8, &of(|paths| paths.message(2, &item))));
    Bytes::from(document.0)
}

/// A definition of the document.
pub(super) fn definition(name: &str, value: &Value) -> Bytes {
    let document = of(|document| document.message(9, &of(|all| property(all, name, value))));
    Bytes::from(document.0)
}

fn path_item(value: &Value) -> Message {
    of(|item| {
        for (key, value) in value.as_object().into_iter().flatten() {
            match key.as_str() {
                "get" => item.message(2, &operation(value)),
                "put" => item.message(3, &operation(value)),
                "post" => item.message(4, &operation(value)),
                "delete" => item.message(5, &operation(value)),
                "patch" => item.message(8, &operation(value)),
                "parameters" => parameters(item, 9, value),
                _ => {}
            }
        }
    })
}

fn operation(value: &Value) -> Message {
    of(|operation| {
        for (key, value) in value.as_object().into_iter().flatten() {
            match key.as_str() {
                "produces" => operation.texts(6, value),
                "consumes" => operation.texts(7, value),
                "parameters" => parameters(operation, 8, value),
                "responses" => operation.message(9, &responses(value)),
                _ if key.starts_with("x-") => operation.extension(13, key, value),
                _ => {}
            }
        }
    })
}

fn parameters(to: &mut Message, field: u64, value: &Value) {
    for value in value.as_array().into_iter().flatten() {
        let parameter = of(|parameter| match value["in"].as_str() {
            Some("body") => parameter.message(1, &body(value)),
            Some("query") => {
                let query = of(|query| {
                    query.flag(1, &value["required"]);
                    query.text(2, &value["in"]);
                    query.text(4, &value["name"]);
                    query.text(6, &value["type"]);
                    query.flag(20, &value["uniqueItems"]);
                });
                parameter.message(2, &of(|other| other.message(3, &query)));
            }
            _ => {
                let path = of(|path| {
                    path.flag(1, &value["required"]);
                    path.text(2, &value["in"]);
                    path.text(4, &value["name"]);
                    path.text(5, &value["type"]);
                });
                parameter.message(2, &of(|other| other.message(4, &path)));
            }
        });
        to.message(field, &of(|item| item.message(1, &parameter)));
    }
}

fn body(value: &Value) -> Message {
    of(|body| {
        body.text(2, &value["name"]);
        body.text(3, &value["in"]);
        body.flag(4, &value["required"]);
        body.message(5, &schema(&value["schema"]));
    })
}

fn responses(value: &Value) -> Message {
    of(|responses| {
        for (code, value) in value.as_object().into_iter().flatten() {
            let response = of(|response| {
                response.text(1, &value["description"]);
                if let Some(given) = value.get("schema") {
                    response.message(2, &of(|item| item.message(1, &schema(given))));
                }
            });
            let response = of(|value| value.message(1, &response));
            responses.message(1, &named(code, |named| named.message(2, &response)));
        }
    })
}

/// A schema under its name.
fn property(to: &mut Message, name: &str, value: &Value) {
    to.message(1, &named(name, |named| named.message(2, &schema(value))));
}

fn schema(value: &Value) -> Message {
    of(|schema| {
        for (key, value) in value.as_object().into_iter().flatten() {
            member(schema, key, value);
        }
    })
}

fn member(to: &mut Message, key: &str, value: &Value) {
    match key {
        "$ref" => to.text(1, value),
        "format" => to.text(2, value),
        "title" => to.text(3, value),
        "description" => to.text(4, value),
        "default" => to.any(5, value),
        "multipleOf" => to.double(6, value),
        "maximum" => to.double(7, value),
        "exclusiveMaximum" => to.flag(8, value),
        "minimum" => to.double(9, value),
        "exclusiveMinimum" => to.flag(10, value),
        "maxLength" => to.whole(11, value),
        "minLength" => to.whole(12, value),
        "pattern" => to.text(13, value),
        "maxItems" => to.whole(14, value),
        "minItems" => to.whole(15, value),
        "uniqueItems" => to.flag(16, value),
        "maxProperties" => to.whole(17, value),
        "minProperties" => to.whole(18, value),
        "required" => to.texts(19, value),
        "enum" => value
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|one| to.any(20, one)),
        "additionalProperties" if value.is_boolean() => {
            to.message(21, &of(|item| item.flag(2, value)));
        }
        "additionalProperties" => to.message(21, &of(|item| item.message(1, &schema(value)))),
        "type" => to.message(22, &of(|item| item.text(1, value))),
        "items" => to.message(23, &of(|item| item.message(1, &schema(value)))),
        "allOf" => {
            let all = value.as_array().into_iter().flatten();
            all.for_each(|one| to.message(24, &schema(one)));
        }
        "properties" => to.message(25, &properties(value.as_object())),
        _ if key.starts_with("x-") => to.extension(31, key, value),
        _ => {}
    }
}

fn properties(all: Option<&Map<String, Value>>) -> Message {
    of(|properties| {
        for (name, value) in all.into_iter().flatten() {
            property(properties, name, value);
        }
    })
}
