//! What a type's schemas make of the values given for them.

use crate::diagnostic::{Code, Diagnostic};
use crate::schema::Schema;
use choreo_model::shared::SchemaSection;
use serde_json::{Map, Value};

/// Where a section is declared and where its values are given, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    /// The type or trait, as `Kind/name`.
    pub(crate) declared: &'a str,
    /// The field of the schema there.
    pub(crate) schema_field: &'a str,
    /// The object that gives the values, as `Kind/name`.
    pub(crate) given: &'a str,
    /// The field of the values there.
    pub(crate) field: &'a str,
}

/// The values with defaults, validated. Without a schema nothing may be given, so it is `{}`.
pub(crate) fn checked(
    section: Option<&SchemaSection>,
    value: Option<&Value>,
    site: Section<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Value {
    let Some(schema) = read(section, site, diagnostics) else {
        return Value::Object(Map::new());
    };
    let mut value = given(value);
    schema.fill(&mut value);
    for violation in schema.validate(&value) {
        let field = match violation.field.as_str() {
            "" => site.field.to_owned(),
            below => format!("{}.{below}", site.field),
        };
        diagnostics.push(Diagnostic::error(
            Code::Parameters,
            site.given,
            field,
            violation.message,
        ));
    }
    value
}

/// The values with defaults, as they are otherwise: what projects do.
pub(crate) fn filled(
    section: Option<&SchemaSection>,
    value: Option<&Value>,
    site: Section<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Value {
    let mut value = given(value);
    if let Some(schema) = read(section, site, diagnostics) {
        schema.fill(&mut value);
    }
    value
}

fn given(value: Option<&Value>) -> Value {
    match value {
        Some(value) if !value.is_null() => value.clone(),
        _ => Value::Object(Map::new()),
    }
}

fn read(
    section: Option<&SchemaSection>,
    site: Section<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Schema> {
    let schema = section?.open_api_v3_schema.as_ref()?;
    match Schema::read(schema) {
        Ok(schema) => Some(schema),
        Err(violation) => {
            let field = format!("{}.openAPIV3Schema{}", site.schema_field, violation.field);
            diagnostics.push(Diagnostic::error(
                Code::Schema,
                site.declared,
                field,
                violation.message,
            ));
            None
        }
    }
}
