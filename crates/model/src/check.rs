//! Rules that a schema cannot say: what may not change, what excludes what, what must be unique.
//!
//! Every rule is tried, so that a person sees everything that is wrong at once.

use std::collections::BTreeSet;
use std::fmt::Display;

use regex::Regex;
use serde_json::Value;

use crate::object::{Object, Spec};
use crate::schema;
use crate::shared::{ResourceTemplate, ValidationRule, ValueFrom};

/// Something wrong with one field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `spec.traits[1].instanceName`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

/// The rules of a specification.
pub trait Check: Sized {
    /// Reports everything wrong with `self`, and with changing `old` into it.
    fn check(&self, old: Option<&Self>, out: &mut Checker);

    /// Reports what is wrong with the name of an object that says `self`.
    fn check_name(&self, _name: &str, _out: &mut Checker) {}
}

/// Everything wrong with `value`, an object of the kind of `T`, and with changing `old` into it.
pub(crate) fn object<T: Spec>(value: &Value, old: Option<&Value>) -> Vec<Violation> {
    let new = match serde_json::from_value::<Object<T>>(value.clone()) {
        Ok(object) => object,
        Err(error) => {
            return vec![Violation {
                field: "spec".to_owned(),
                message: error.to_string(),
            }];
        }
    };
    // An old object of an older form must not stop anyone from correcting it.
    let old = old.and_then(|old| serde_json::from_value::<Object<T>>(old.clone()).ok());
    // A manifest may leave its namespace to whoever applies it: only the kind tells the scope.
    let kind = value.get("kind").and_then(Value::as_str);
    let cluster = kind.unwrap_or_else(|| new.kind()) == T::CLUSTER_KIND.unwrap_or_default();
    let mut out = Checker {
        cluster,
        violations: Vec::new(),
    };
    new.spec.check(old.as_ref().map(|old| &old.spec), &mut out);
    // What has no name yet will get one from the API.
    if !new.name().is_empty() {
        new.spec.check_name(new.name(), &mut out);
    }
    out.violations
}

/// Collects what is wrong. Fields are named relative to the specification.
pub struct Checker {
    cluster: bool,
    violations: Vec<Violation>,
}

impl Checker {
    /// Whether the object is of the cluster-scoped twin.
    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster
    }

    pub(crate) fn add(&mut self, field: impl AsRef<str>, message: &str) {
        let field = match field.as_ref() {
            "" => "spec".to_owned(),
            field => format!("spec.{field}"),
        };
        self.violations.push(Violation {
            field,
            message: message.to_owned(),
        });
    }

    pub(crate) fn add_name(&mut self, message: String) {
        self.violations.push(Violation {
            field: "metadata.name".to_owned(),
            message,
        });
    }

    pub(crate) fn unchanged<T: PartialEq>(&mut self, field: &str, new: &T, old: &T) {
        if new != old {
            self.add(field, "is immutable");
        }
    }

    pub(crate) fn filled(&mut self, field: &str, value: &str) {
        if value.is_empty() {
            self.add(field, "must not be empty");
        }
    }

    pub(crate) fn no_longer(&mut self, field: &str, value: &str, limit: usize) {
        if value.len() > limit {
            self.add(field, &format!("must be at most {limit} characters"));
        }
    }

    pub(crate) fn filled_list<T>(&mut self, field: &str, values: &[T]) {
        if values.is_empty() {
            self.add(field, "must not be empty");
        }
    }

    pub(crate) fn port(&mut self, field: &str, port: u16) {
        if port == 0 {
            self.add(field, "must be between 1 and 65535");
        }
    }

    pub(crate) fn at_most(&mut self, field: &str, count: usize, limit: usize) {
        if count > limit {
            self.add(
                field,
                &format!("has {count} entries, at most {limit} are allowed"),
            );
        }
    }

    pub(crate) fn dns_label(&mut self, field: &str, value: &str) {
        if value.len() > 63 || !is_match(schema::DNS_LABEL, value) {
            self.add(
                field,
                &format!(
                    "\"{value}\" must be at most 63 lower-case letters, digits and '-', and start \
                     and end with a letter or digit"
                ),
            );
        }
    }

    pub(crate) fn matches(&mut self, field: &str, value: &str, pattern: &str) {
        if !is_match(pattern, value) {
            self.add(field, &format!("\"{value}\" must match {pattern}"));
        }
    }

    pub(crate) fn unique<T: Ord + Display>(
        &mut self,
        field: &str,
        key: &str,
        values: impl Iterator<Item = T>,
    ) {
        let mut seen = BTreeSet::new();
        for (index, value) in values.enumerate() {
            if seen.contains(&value) {
                self.add(
                    format!("{field}[{index}].{key}"),
                    &format!("\"{value}\" is used twice"),
                );
            }
            seen.insert(value);
        }
    }

    pub(crate) fn one_value(&mut self, field: &str, literal: bool, from: Option<&ValueFrom>) {
        let references = from.map_or(0, |from| {
            usize::from(from.secret_key_ref.is_some())
                + usize::from(from.configuration_group_ref.is_some())
        });
        match (literal, from.is_some()) {
            (true, true) => self.add(field, "value and valueFrom are mutually exclusive"),
            (false, false) => self.add(field, "needs value or valueFrom"),
            (false, true) if references != 1 => self.add(
                format!("{field}.valueFrom"),
                "needs either secretKeyRef or configurationGroupRef",
            ),
            (true, false) | (false, true) => {}
        }
    }

    /// The rules that must hold before rendering, which may be written under one of two names.
    pub(crate) fn rules_before(&mut self, older: &[ValidationRule], rules: &[ValidationRule]) {
        if !older.is_empty() && !rules.is_empty() {
            self.add(
                "validations",
                "and preRenderValidations are mutually exclusive; use preRenderValidations",
            );
        }
        self.rules("validations", older);
        self.rules("preRenderValidations", rules);
    }

    pub(crate) fn rules(&mut self, field: &str, rules: &[ValidationRule]) {
        for (index, rule) in rules.iter().enumerate() {
            self.expression(&format!("{field}[{index}].rule"), &rule.rule);
            self.filled(&format!("{field}[{index}].message"), &rule.message);
        }
    }

    pub(crate) fn templates(&mut self, field: &str, templates: &[ResourceTemplate]) {
        self.filled_list(field, templates);
        self.unique(field, "id", templates.iter().map(|one| &one.id));
        for (index, one) in templates.iter().enumerate() {
            let field = format!("{field}[{index}]");
            self.filled(&format!("{field}.id"), &one.id);
            self.loop_variable(&field, one.for_each.as_ref(), one.var.as_ref());
            self.condition(&format!("{field}.includeWhen"), one.include_when.as_ref());
            self.template(&format!("{field}.template"), &one.template);
        }
    }

    pub(crate) fn loop_variable(
        &mut self,
        field: &str,
        for_each: Option<&String>,
        var: Option<&String>,
    ) {
        if let Some(for_each) = for_each {
            self.expression(&format!("{field}.forEach"), for_each);
            if var.is_none() {
                self.add(format!("{field}.var"), "is required when forEach is set");
            }
        }
        if let Some(var) = var {
            self.matches(&format!("{field}.var"), var, schema::VARIABLE);
        }
    }

    /// A template of an object says what it makes, and puts it nowhere but into the cell.
    pub(crate) fn template(&mut self, field: &str, template: &Value) {
        let text = |path: &str| template.pointer(path).and_then(Value::as_str);
        for (path, name) in [
            ("/apiVersion", "apiVersion"),
            ("/kind", "kind"),
            ("/metadata/name", "metadata.name"),
        ] {
            if text(path).is_none_or(str::is_empty) {
                self.add(format!("{field}.{name}"), "is required");
            }
        }
        if text("/kind").is_some_and(|kind| kind.contains("${")) {
            self.add(
                format!("{field}.kind"),
                "must be written out, without ${...}",
            );
        }
        if let Some(namespace) = template.pointer("/metadata/namespace")
            && !namespace.as_str().is_some_and(is_cell_namespace)
        {
            self.add(
                format!("{field}.metadata.namespace"),
                "must be ${metadata.namespace}",
            );
        }
    }

    /// A template of an object of a workflow also says where: in the namespace of its runs.
    pub(crate) fn namespaced_template(&mut self, field: &str, template: &Value) {
        self.template(field, template);
        if template.pointer("/metadata/namespace").is_none() {
            self.add(
                format!("{field}.metadata.namespace"),
                "must be ${metadata.namespace}",
            );
        }
    }

    pub(crate) fn condition(&mut self, field: &str, condition: Option<&String>) {
        if let Some(condition) = condition {
            self.expression(field, condition);
        }
    }

    fn expression(&mut self, field: &str, value: &str) {
        if !is_match(schema::EXPRESSION, value) {
            self.add(
                field,
                &format!("\"{value}\" must be one ${{...}} expression"),
            );
        }
    }
}

impl ResourceTemplate {
    /// The kind of object the template makes.
    pub fn kind(&self) -> Option<&str> {
        self.template.get("kind").and_then(Value::as_str)
    }
}

/// Whether `kind` runs pods. Components get the one of their type: no other is made, none is taken
/// away.
pub(crate) fn is_workload(kind: &str) -> bool {
    ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]
        .iter()
        .any(|workload| workload.eq_ignore_ascii_case(kind))
}

/// Whether `text` is `${metadata.namespace}`, with or without spaces.
fn is_cell_namespace(text: &str) -> bool {
    let inner = text.trim().strip_prefix("${");
    let inner = inner.and_then(|inner| inner.strip_suffix('}'));
    inner.is_some_and(|inner| inner.trim() == "metadata.namespace")
}

/// Whether `value` matches. The patterns are constants of this crate, held valid by a test.
fn is_match(pattern: &str, value: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(value))
}
