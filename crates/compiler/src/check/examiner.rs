//! Looks at schemas and templates of one object, and collects what is wrong with them.

use super::problems::problems;
use super::types;
use crate::bench::Recipe;
use crate::diagnostic::{Code, Diagnostic, dotted};
use crate::dialect::DIALECT;
use crate::schema::Schema;
use choreo_model::shared::{SchemaSection, ValidationRule};
use choreo_model::traits::{PatchTarget, PostRenderValidation};
use choreo_template::{Scope, Template, Type};
use serde_json::Value;

/// How many findings about one object are told.
const MAX_FINDINGS: usize = 100;
/// What a loop's variable is called when nothing is said.
const ITEM: &str = "item";

/// The findings about one object.
pub(crate) struct Examiner<'o> {
    object: &'o str,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'o> Examiner<'o> {
    /// Nothing found about `object`, called `Kind/name`.
    pub(crate) const fn new(object: &'o str) -> Self {
        Self {
            object,
            diagnostics: Vec::new(),
        }
    }

    /// Notes an error.
    pub(crate) fn fail(&mut self, code: Code, pointer: &str, message: impl Into<String>) {
        let error = Diagnostic::error(code, self.object, dotted(pointer), message);
        self.diagnostics.push(error);
    }

    /// Whether so much was found that there is no use in looking on.
    const fn is_full(&self) -> bool {
        self.diagnostics.len() >= MAX_FINDINGS
    }

    /// The type of the values that the section at `pointer` takes.
    pub(crate) fn section(&mut self, pointer: &str, section: Option<&SchemaSection>) -> Type {
        let schema = section.and_then(|section| section.open_api_v3_schema.as_ref());
        let Some(schema) = schema else {
            return types::nothing();
        };
        let pointer = format!("{pointer}/openAPIV3Schema");
        let before = self.diagnostics.len();
        let read = Schema::read(schema);
        for problem in problems(schema, read.as_ref().ok()) {
            let at = dotted(&format!("{pointer}{}", problem.pointer));
            let found = Diagnostic::error(Code::Schema, self.object, at, problem.message);
            self.diagnostics.push(if problem.fatal {
                found
            } else {
                found.into_warning()
            });
        }
        if let Err(violation) = &read {
            let at = format!("{pointer}{}", violation.field);
            self.fail(Code::Schema, &at, violation.message.as_str());
        }
        let sound = self.diagnostics[before..].iter().all(|one| !one.is_error());
        match read {
            Ok(read) if sound => types::section(&read),
            Ok(_) | Err(_) => Type::Dyn,
        }
    }

    /// The same for kinds that keep values which no schema describes: anything, without a schema.
    pub(crate) fn open_section(&mut self, pointer: &str, section: Option<&SchemaSection>) -> Type {
        match self.section(pointer, section) {
            found if found == types::nothing() => Type::Dyn,
            found => found,
        }
    }

    /// The template at `pointer`, when it can be read; what cannot work in it is noted.
    pub(crate) fn template(
        &mut self,
        pointer: &str,
        value: &Value,
        scope: &Scope<'_>,
    ) -> Option<Template> {
        if self.is_full() {
            return None;
        }
        let (template, mut faults) = Template::read(&DIALECT, value, pointer);
        let sound = faults.is_empty();
        faults.extend(template.check(scope));
        let found = faults
            .into_iter()
            .map(|fault| Diagnostic::of_fault(self.object, fault));
        self.diagnostics.extend(found);
        sound.then_some(template)
    }

    /// The text at `pointer` must be true or false.
    pub(crate) fn condition(&mut self, pointer: &str, text: &str, scope: &Scope<'_>) {
        if !text.contains("${") {
            // That it is no expression, the kind's own check tells.
            return;
        }
        let Some(template) = self.template(pointer, &Value::from(text), scope) else {
            return;
        };
        let found = template.type_of(scope);
        if !matches!(found, Type::Bool | Type::Dyn | Type::Free) {
            let fault = template.fault(format!("must be true or false, found {found}"));
            self.diagnostics
                .push(Diagnostic::of_fault(self.object, fault));
        }
    }

    /// The text at `pointer`, an expression without `${}`, must be true or false and look at
    /// something.
    pub(crate) fn expression(&mut self, pointer: &str, text: &str, scope: &Scope<'_>) {
        let wrapped = format!("${{{text}}}");
        let before = self.diagnostics.len();
        self.condition(pointer, &wrapped, scope);
        let sound = self.diagnostics.len() == before;
        // What works where nothing is declared looks at nothing.
        let blind = Template::parse(&DIALECT, &Value::from(wrapped), pointer)
            .is_ok_and(|template| template.check(&Scope::new()).is_empty());
        if sound && blind {
            self.fail(
                Code::Expression,
                pointer,
                "must look at an attribute of resource",
            );
        }
    }

    /// A scope with the variable of a loop, when there is one below `pointer`.
    pub(crate) fn each<'s>(
        &mut self,
        pointer: &str,
        (for_each, var): (Option<&str>, Option<&str>),
        scope: &'s Scope<'s>,
    ) -> Scope<'s> {
        let mut inside = scope.scope();
        let Some(for_each) = for_each else {
            return inside;
        };
        let pointer = format!("{pointer}/forEach");
        let item = match self.template(&pointer, &Value::from(for_each), scope) {
            None => Type::Dyn,
            Some(template) => {
                let range = template.type_of(scope);
                types::item(&range).unwrap_or_else(|| {
                    let fault = template.fault(format!("must be a list or a map, found {range}"));
                    self.diagnostics
                        .push(Diagnostic::of_fault(self.object, fault));
                    Type::Dyn
                })
            }
        };
        inside.declare(var.unwrap_or(ITEM), item);
        inside
    }

    /// A template of one object or many.
    pub(crate) fn recipe(&mut self, pointer: &str, recipe: Recipe<'_>, scope: &Scope<'_>) {
        if let Some(condition) = recipe.include_when {
            self.condition(&format!("{pointer}/includeWhen"), condition, scope);
        }
        let inside = self.each(pointer, (recipe.for_each, recipe.var), scope);
        self.template(&format!("{pointer}/template"), recipe.template, &inside);
    }

    /// Rules that hold before rendering.
    pub(crate) fn rules(&mut self, pointer: &str, rules: &[ValidationRule], scope: &Scope<'_>) {
        for (index, rule) in rules.iter().enumerate() {
            self.condition(&format!("{pointer}/{index}/rule"), &rule.rule, scope);
        }
    }

    /// Rules about what was rendered.
    pub(crate) fn rules_after(
        &mut self,
        pointer: &str,
        rules: &[PostRenderValidation],
        scope: &Scope<'_>,
    ) {
        for (index, rule) in rules.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            if let Some(when) = &rule.when {
                self.condition(&format!("{pointer}/when"), when, scope);
            }
            let looped = (rule.for_each.as_deref(), rule.var.as_deref());
            let inside = self.each(&pointer, looped, scope);
            self.target(&pointer, &rule.target.object, &inside);
            let inside = with_resource(&inside);
            self.condition(&format!("{pointer}/rule"), &rule.rule, &inside);
        }
    }

    /// The condition of a target, over the object it selects.
    pub(crate) fn target(&mut self, pointer: &str, target: &PatchTarget, scope: &Scope<'_>) {
        if let Some(condition) = &target.where_ {
            let inside = with_resource(scope);
            self.condition(&format!("{pointer}/target/where"), condition, &inside);
        }
    }
}

/// `scope` with `resource`, an object whose fields nobody knows before it is there.
fn with_resource<'s>(scope: &'s Scope<'s>) -> Scope<'s> {
    let mut inside = scope.scope();
    inside.declare("resource", Type::Dyn);
    inside
}
