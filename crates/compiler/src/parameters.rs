//! What a type's schemas make of the values given for them.

use crate::bench::{Bench, Ledger, Site};
use crate::diagnostic::{Code, Diagnostic};
use crate::programs::Read;
use choreo_model::shared::SchemaSection;
use choreo_template::{Tree, tree};
use serde_json::{Map, Value};
use std::sync::Arc;

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

impl<'a> Section<'a> {
    /// Where the values are given.
    const fn values(&self) -> Site<'a> {
        Site {
            object: self.given,
            pointer: "",
        }
    }
}

/// The values with defaults, validated. Without a schema nothing may be given, so it is `{}`.
pub(crate) fn checked<L: Ledger>(
    bench: &mut Bench<L>,
    section: Option<&SchemaSection>,
    value: Option<&Value>,
    site: Section<'_>,
) -> Tree {
    let read = read(bench, section, site);
    let Some(Ok(schema)) = read.as_deref() else {
        return tree!({});
    };
    let checked = schema.check(value, &bench.budget);
    let Some(checked) = bench.paid(site.values(), checked) else {
        return tree!({});
    };
    for violation in checked.violations {
        let field = match violation.field.as_str() {
            "" => site.field.to_owned(),
            below => format!("{}.{below}", site.field),
        };
        bench.note(Diagnostic::error(
            Code::Parameters,
            site.given,
            field,
            violation.message,
        ));
    }
    checked.value
}

/// The values with defaults, as they are otherwise: what projects do.
pub(crate) fn filled<L: Ledger>(
    bench: &mut Bench<L>,
    section: Option<&SchemaSection>,
    value: Option<&Value>,
    site: Section<'_>,
) -> Tree {
    let mut value = match value {
        Some(value) if !value.is_null() => value.clone(),
        _ => Value::Object(Map::new()),
    };
    if let Some(Ok(schema)) = read(bench, section, site).as_deref() {
        let filled = schema.fill_within(&mut value, &bench.budget);
        if bench.paid(site.values(), filled).is_none() {
            return tree!({});
        }
    }
    value.into()
}

/// The section's schema; what is wrong with it is noted.
fn read<L: Ledger>(
    bench: &mut Bench<L>,
    section: Option<&SchemaSection>,
    site: Section<'_>,
) -> Option<Arc<Read>> {
    let schema = section?.open_api_v3_schema.as_ref()?;
    let read = bench.schema(site.declared, site.schema_field, schema);
    if let Err(violation) = read.as_ref() {
        let field = format!("{}.openAPIV3Schema{}", site.schema_field, violation.field);
        bench.note(Diagnostic::error(
            Code::Schema,
            site.declared,
            field,
            violation.message.as_str(),
        ));
    }
    Some(read)
}
