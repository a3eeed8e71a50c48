//! `x-kubernetes-validations`: rules in CEL, parsed once per definition.

mod check;
mod cost;
mod escape;
mod field_path;

use std::sync::Arc;

use choreo_template::{Context, Dialect, Fields, Identity, Silent, Template, Tree, Type};
use serde_json::Value;

pub(super) use check::check;
pub(super) use cost::check as check_cost;
use escape::{plain, written};

use super::{
    Cause,
    compile::{flag, strings, text},
    functions,
};

/// The language of rules: CEL, and what Kubernetes adds to it.
const DIALECT: Dialect = Dialect::new(&[]).with(functions::ALL);
/// The same without what Kubernetes does not know, in which definitions are written. What was taken
/// earlier is still understood.
const WRITTEN: Dialect = DIALECT.without(&["base64.", "cel.", "math.", "oc_", "string.reverse"]);
/// The names under which a rule finds the value and the stored one.
pub(super) const SELF: &str = "self";
pub(super) const OLD: &str = "oldSelf";

/// The rules of one place and the type they see it as.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) rules: Vec<Rule>,
    pub(super) type_: Type,
    /// How messages name the type.
    pub(super) type_name: String,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    program: Template,
    source: Box<str>,
    message: Option<Box<str>>,
    message_program: Option<Template>,
    reason: Reason,
    /// Path of the field to blame, as it goes on from the place.
    pub(super) field: Box<str>,
    /// Whether it compares with the stored value.
    pub(super) transition: bool,
    /// Whether it does so even if there is none.
    pub(super) optional: bool,
}

/// What a broken rule is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Invalid,
    Forbidden,
    Required,
    Duplicate,
}

impl Rule {
    /// What breaks the rule, if it is broken.
    pub(super) fn broken(
        &self,
        context: &Context<'_, '_>,
        field: &str,
        type_name: &str,
    ) -> Option<Cause> {
        let shown = Value::from(type_name);
        match self.program.eval(context, &mut Silent) {
            Ok(Some(Tree::Bool(true))) => None,
            Ok(_) => Some(self.blame(field, &shown, &self.words(context))),
            Err(faults) => {
                let fault = faults.first().map(ToString::to_string).unwrap_or_default();
                let words = self.message.as_deref().unwrap_or(&self.source);
                let detail = format!("{fault} evaluating rule: {words}");
                Some(Cause::invalid(field, &shown, &detail))
            }
        }
    }

    fn words(&self, context: &Context<'_, '_>) -> String {
        let computed = self.message_program.as_ref().and_then(|program| {
            match program.eval(context, &mut Silent) {
                Ok(Some(Tree::String(text))) => {
                    let text = text.trim().to_owned();
                    (!text.is_empty() && !text.contains('\n')).then_some(text)
                }
                _ => None,
            }
        });
        computed
            .or_else(|| self.message.as_deref().map(str::to_owned))
            .unwrap_or_else(|| format!("failed rule: {}", self.source))
    }

    fn blame(&self, field: &str, shown: &Value, words: &str) -> Cause {
        match self.reason {
            Reason::Invalid => Cause::invalid(field, shown, words),
            Reason::Forbidden => Cause::forbidden(field, words),
            Reason::Required => Cause::required(field, words),
            Reason::Duplicate => Cause::duplicate(field, shown),
        }
    }
}

/// The rules of a schema's place; none if it has none. Rules that do not parse were
/// refused with their definition.
pub(super) fn compile(schema: &Value) -> Option<Box<Programs>> {
    let rules: Vec<Rule> = listed(schema).filter_map(|one| rule(one, schema)).collect();
    (!rules.is_empty()).then(|| {
        Box::new(Programs {
            rules,
            type_: type_of(schema, own_name).unwrap_or(Type::Dyn),
            type_name: text(schema, "type").unwrap_or_default().to_owned(),
        })
    })
}

fn listed(schema: &Value) -> impl Iterator<Item = &Value> {
    let rules = schema.get("x-kubernetes-validations");
    rules.and_then(Value::as_array).into_iter().flatten()
}

fn rule(rule: &Value, schema: &Value) -> Option<Rule> {
    let source = text(rule, "rule")?;
    let message_program = text(rule, "messageExpression").map(parse);
    let path = text(rule, "fieldPath").unwrap_or_default();
    Some(Rule {
        program: parse(source).ok()?,
        message: text(rule, "message").map(|text| text.trim().into()),
        message_program: message_program.and_then(Result::ok),
        reason: reason(text(rule, "reason").unwrap_or_default()).unwrap_or(Reason::Invalid),
        field: field_path::resolve(path, schema).unwrap_or_default().into(),
        transition: is_transition(source),
        optional: flag(rule, "optionalOldSelf"),
        source: source.trim().into(),
    })
}

fn reason(text: &str) -> Option<Reason> {
    match text {
        "" | "FieldValueInvalid" => Some(Reason::Invalid),
        "FieldValueForbidden" => Some(Reason::Forbidden),
        "FieldValueRequired" => Some(Reason::Required),
        "FieldValueDuplicate" => Some(Reason::Duplicate),
        _ => None,
    }
}

fn is_transition(source: &str) -> bool {
    choreo_template::references(&DIALECT, &plain(source))
        .iter()
        .any(|reference| reference.variable == OLD)
}

/// Parses an expression, of which the fields get their own names.
fn parse(source: &str) -> Result<Template, String> {
    parse_in(&DIALECT, &plain(source))
}

/// Parses an expression as it is written.
fn parse_written(source: &str) -> Result<Template, String> {
    parse_in(&WRITTEN, source)
}

/// Parses an expression. What is no expression at all comes back as a text.
fn parse_in(dialect: &Dialect, source: &str) -> Result<Template, String> {
    let whole = Value::from(format!("${{{source}}}"));
    Template::parse(dialect, &whole, "").map_err(|faults| {
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })
}

/// The names that a field is seen under.
type Naming = fn(&str) -> Vec<String>;

/// Values have fields under their own names.
fn own_name(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// The type a rule sees a place as. What is there without a type is not seen.
fn type_of(schema: &Value, naming: Naming) -> Option<Type> {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Some(Type::Dyn);
    }
    Some(match text(schema, "type")? {
        "boolean" => Type::Bool,
        "integer" => Type::Int,
        "number" => Type::Double,
        "string" => match text(schema, "format") {
            Some("date-time" | "date") => Type::Timestamp,
            Some("duration") => Type::Duration,
            Some("byte") => Type::Bytes,
            _ => Type::String,
        },
        "array" => {
            let items = schema.get("items").and_then(|one| type_of(one, naming))?;
            Type::List(Box::new(items), identity(schema))
        }
        "object" => return object_type(schema, naming),
        _ => return None,
    })
}

/// How the items of a list are told apart.
fn identity(schema: &Value) -> Identity {
    match text(schema, "x-kubernetes-list-type") {
        Some("set") => Identity::Value,
        Some("map") => {
            let keys = strings(schema, "x-kubernetes-list-map-keys");
            Identity::Fields(keys.map(str::to_owned).collect())
        }
        _ => Identity::Place,
    }
}

fn object_type(schema: &Value, naming: Naming) -> Option<Type> {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(additional) = schema.get("additionalProperties")
        && additional.is_object()
        && properties.is_none()
    {
        return type_of(additional, naming).map(Type::map);
    }
    let known = properties.into_iter().flatten();
    let mut fields = Fields {
        known: known
            .filter_map(|(name, schema)| Some((naming(name), type_of(schema, naming)?)))
            .flat_map(|(names, of)| names.into_iter().map(move |name| (name, of.clone())))
            .collect(),
        other: None,
    };
    if flag(schema, "x-kubernetes-embedded-resource") {
        embed(&mut fields);
    }
    Some(Type::Object(Arc::new(fields)))
}

/// What rules see of every whole object, and all they see of its metadata if its schema does not
/// say all of that itself.
fn embed(fields: &mut Fields) {
    let is_text = |fields: &Fields, name: &str| fields.known.get(name) == Some(&Type::String);
    let told = match fields.known.get("metadata") {
        Some(Type::Object(metadata)) => {
            is_text(metadata, "name") && is_text(metadata, "generateName")
        }
        _ => false,
    };
    if told && is_text(fields, "apiVersion") && is_text(fields, "kind") {
        return;
    }
    let names = [("name", Type::String), ("generateName", Type::String)];
    fields.known.insert("apiVersion".to_owned(), Type::String);
    fields.known.insert("kind".to_owned(), Type::String);
    fields
        .known
        .insert("metadata".to_owned(), Type::object(names));
}
