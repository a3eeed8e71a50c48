//! Where templates are evaluated: collects what goes wrong and, when asked, where things come from.

use crate::context::Variables;
use crate::diagnostic::{Code, Diagnostic, dotted};
use crate::dialect::DIALECT;
use crate::explain::Seen;
use crate::origin::{Cause, Looped, Origin, Trail, Writing};
use crate::programs::{Parsed, Programs, Read, Sheet};
use crate::schema::Schema;
use choreo_model::shared::{ResourceTemplate, TargetPlane};
use choreo_model::traits::TraitCreate;
use choreo_template::{
    Budget, Context, Entry, Exhausted, Helper, Items, Output, Recorder, Silent, Template, Trace,
    Tree, clipped, tree,
};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// How many problems of one binding are told.
const MAX_PROBLEMS: usize = 100;
/// How many objects one binding may render.
const MAX_OBJECTS: usize = 1_000;
/// What looking at an object for one operation costs, in steps.
const LOOK: usize = 1;
/// What an evaluation costs besides what it evaluates, in steps.
const EVALUATION: usize = 40;

/// A trace that can be emptied.
pub(crate) trait Ledger: Trace + Default {
    /// Takes what was recorded since the last time.
    fn drain(&mut self) -> Vec<Entry>;
}

impl Ledger for Silent {
    fn drain(&mut self) -> Vec<Entry> {
        Vec::new()
    }
}

impl Ledger for Recorder {
    fn drain(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }
}

/// A place in an object of the platform: which object, and a JSON pointer into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) object: &'a str,
    pub(crate) pointer: &'a str,
}

/// An object on its way through the pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) plane: TargetPlane,
    pub(crate) object: Tree,
    /// Where its fields come from; only when somebody asked.
    pub(crate) trail: Option<Trail>,
}

impl Draft {
    /// Lets `change` change the object, and follows what it did. What it adds comes from `value`,
    /// whose own trail is known, or from `origin`.
    pub(crate) fn change<R>(
        &mut self,
        origin: impl FnOnce() -> Origin,
        value: Option<(&Tree, &Trail)>,
        change: impl FnOnce(&mut Tree) -> R,
    ) -> R {
        let Some(trail) = &mut self.trail else {
            return change(&mut self.object);
        };
        let before = self.object.clone();
        let result = change(&mut self.object);
        trail.follow((&before, &self.object), origin(), value);
        result
    }
}

/// What a resource of a type and a creation of a trait have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) id: &'a str,
    pub(crate) plane: TargetPlane,
    pub(crate) include_when: Option<&'a str>,
    pub(crate) for_each: Option<&'a str>,
    pub(crate) var: Option<&'a str>,
    pub(crate) template: &'a Value,
}

impl<'a> From<&'a ResourceTemplate> for Recipe<'a> {
    fn from(resource: &'a ResourceTemplate) -> Self {
        Self {
            id: &resource.id,
            plane: resource.target_plane,
            include_when: resource.include_when.as_deref(),
            for_each: resource.for_each.as_deref(),
            var: resource.var.as_deref(),
            template: &resource.template,
        }
    }
}

impl<'a> From<&'a TraitCreate> for Recipe<'a> {
    fn from(create: &'a TraitCreate) -> Self {
        Self {
            id: "",
            plane: create.target_plane,
            include_when: create.include_when.as_deref(),
            for_each: create.for_each.as_deref(),
            var: create.var.as_deref(),
            template: &create.template,
        }
    }
}

/// The evaluator of one compilation.
#[derive(Default)]
pub(crate) struct Bench<L> {
    /// What was parsed before of the documents that are read here, by their names.
    sheets: Vec<(String, Arc<Sheet>)>,
    ledger: L,
    /// What everything that is done here may cost together.
    pub(crate) budget: Budget,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether there is no use in going on: too much is wrong, or nothing is left of the budget.
    stopped: bool,
    /// The instance of the trait that is being applied.
    pub(crate) instance: Option<String>,
    /// The loop that is being run.
    looped: Option<Looped>,
    /// What templates see; only when somebody asked.
    pub(crate) seen: Seen,
}

impl<L: Ledger> Bench<L> {
    /// Takes what `programs` has of the document `content`, which sites call `object`.
    pub(crate) fn open<T>(&mut self, programs: &Programs, object: &str, content: &T)
    where
        T: PartialEq + Clone + Serialize + Send + Sync + 'static,
    {
        if self.sheet(object).is_none() {
            let sheet = programs.sheet(object, content);
            self.sheets.push((object.to_owned(), sheet));
        }
    }

    /// Whether any of the documents may use `helper`: what it returns may be costly to find out.
    pub(crate) fn mentions(&self, helper: Helper) -> bool {
        self.sheets.iter().any(|(_, sheet)| sheet.mentions(helper))
    }

    /// Whether any of the documents may read the variable `name`, beyond asking its helpers.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.sheets.iter().any(|(_, sheet)| sheet.reads(name))
    }

    fn sheet(&self, object: &str) -> Option<&Sheet> {
        let found = self.sheets.iter().find(|(name, _)| name == object);
        found.map(|(_, sheet)| sheet.as_ref())
    }

    /// The template that is written at `site`.
    fn parsed(&self, site: Site<'_>, value: &Value) -> Arc<Parsed> {
        match self.sheet(site.object) {
            Some(sheet) => sheet.template(site.pointer, value),
            None => Arc::new(Template::parse(&DIALECT, value, site.pointer)),
        }
    }

    /// The schema that is written in `field` of `object`.
    pub(crate) fn schema(&self, object: &str, field: &str, value: &Value) -> Arc<Read> {
        match self.sheet(object) {
            Some(sheet) => sheet.schema(field, value),
            None => Arc::new(Schema::read(value)),
        }
    }

    /// Keeps what the templates of the type see, or those of the trait that is being applied, if
    /// somebody asked.
    pub(crate) fn keep(&mut self, variables: &Variables) {
        if L::ENABLED {
            self.seen.add(self.instance.clone(), variables.clone());
        }
    }

    /// Notes an error.
    pub(crate) fn fail(&mut self, code: Code, site: Site<'_>, message: impl Into<String>) {
        let error = Diagnostic::error(code, site.object, dotted(site.pointer), message);
        self.note(error);
    }

    /// Notes a finding, unless there are too many already.
    pub(crate) fn note(&mut self, found: Diagnostic) {
        if !self.stopped {
            self.diagnostics.push(found);
            let errors = self.diagnostics.iter().filter(|one| one.is_error());
            self.stopped = errors.count() >= MAX_PROBLEMS;
        }
    }

    /// Notes that something cannot be paid for, after which nothing is done any more; what was paid
    /// for otherwise.
    pub(crate) fn paid<R>(&mut self, site: Site<'_>, cost: Result<R, Exhausted>) -> Option<R> {
        match cost {
            Ok(paid) if !self.stopped => Some(paid),
            Ok(_) => None,
            Err(exhausted) => {
                self.fail(Code::Expression, site, exhausted.to_string());
                self.stopped = true;
                None
            }
        }
    }

    /// Pays for looking at one object; whether there is still any use in it.
    pub(crate) fn look(&mut self, site: Site<'_>) -> bool {
        let cost = self.budget.step(LOOK);
        self.paid(site, cost).is_some()
    }

    /// Evaluates the template `value`; `None` when it failed, which is noted.
    pub(crate) fn eval(
        &mut self,
        site: Site<'_>,
        value: &Value,
        context: &Context<'_, '_>,
    ) -> Option<Output> {
        let cost = self.budget.step(EVALUATION);
        self.paid(site, cost)?;
        let result = match self.parsed(site, value).as_ref() {
            Ok(template) => template.eval(context, &mut self.ledger),
            Err(faults) => Err(faults.clone()),
        };
        match result {
            Ok(output) => Some(output),
            Err(faults) => {
                for fault in faults {
                    self.note(Diagnostic::of_fault(site.object, fault));
                }
                None
            }
        }
    }

    /// Evaluates a condition.
    pub(crate) fn test(
        &mut self,
        site: Site<'_>,
        expression: &str,
        context: &Context<'_, '_>,
    ) -> Option<bool> {
        match self.eval(site, &Value::from(expression), context)? {
            Some(Tree::Bool(answer)) => Some(answer),
            other => {
                let found = other.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
                let message = clipped(format!("must be true or false, found {found}"));
                self.fail(Code::Expression, site, message);
                None
            }
        }
    }

    /// Runs `run` once, or once per item of `for_each` with the item bound to `var`.
    pub(crate) fn each(
        &mut self,
        site: Site<'_>,
        (for_each, var): (Option<&str>, Option<&str>),
        context: &Context<'_, '_>,
        mut run: impl FnMut(&mut Self, &Context<'_, '_>, Option<usize>),
    ) {
        let Some(for_each) = for_each else {
            return run(self, context, None);
        };
        let pointer = format!("{}/forEach", site.pointer);
        let site = Site {
            pointer: &pointer,
            ..site
        };
        for (index, item) in self.items(site, for_each, context).iter().enumerate() {
            if !self.look(site) {
                break;
            }
            let mut scope = context.scope();
            let variable = var.unwrap_or("item");
            scope.reserve(1, 0);
            scope.bind_tree(variable, item);
            self.looped = L::ENABLED.then(|| Looped {
                expression: unwrapped(for_each).to_owned(),
                variable: variable.to_owned(),
                index,
            });
            run(self, &scope, Some(index));
        }
        self.looped = None;
    }

    fn items(&mut self, site: Site<'_>, for_each: &str, context: &Context<'_, '_>) -> Items {
        let Some(value) = self.eval(site, &Value::from(for_each), context) else {
            return Items::default();
        };
        value.and_then(items).unwrap_or_else(|| {
            self.fail(Code::Expression, site, "must be a list or a map");
            Items::default()
        })
    }

    /// Renders what `recipe` makes.
    pub(crate) fn make(
        &mut self,
        site: Site<'_>,
        recipe: Recipe<'_>,
        context: &Context<'_, '_>,
        drafts: &mut Vec<Draft>,
    ) {
        if let Some(condition) = recipe.include_when {
            let pointer = format!("{}/includeWhen", site.pointer);
            let at = Site {
                pointer: &pointer,
                ..site
            };
            if self.test(at, condition, context) != Some(true) {
                return;
            }
        }
        let pointer = format!("{}/template", site.pointer);
        let at = Site {
            pointer: &pointer,
            ..site
        };
        self.each(
            site,
            (recipe.for_each, recipe.var),
            context,
            |bench, scope, index| {
                bench.ledger.drain();
                if drafts.len() >= MAX_OBJECTS {
                    let message = format!("more than {MAX_OBJECTS} objects are rendered");
                    bench.fail(Code::Object, site, message);
                    bench.stopped = true;
                    return;
                }
                let Some(Some(object)) = bench.eval(at, recipe.template, scope) else {
                    return;
                };
                let trail = bench.trail(Cause::Template, at, (recipe.template, &object));
                drafts.push(Draft {
                    id: index.map_or_else(
                        || recipe.id.to_owned(),
                        |index| format!("{}-{index}", recipe.id),
                    ),
                    plane: recipe.plane,
                    object,
                    trail,
                });
            },
        );
    }

    /// Forgets what was recorded so far.
    pub(crate) fn forget(&mut self) {
        self.ledger.drain();
    }

    /// Where `output` comes from, which the last evaluation made of `template` at `site`.
    pub(crate) fn trail(
        &mut self,
        cause: Cause,
        site: Site<'_>,
        (template, output): (&Value, &Tree),
    ) -> Option<Trail> {
        let entries = self.ledger.drain();
        L::ENABLED.then(|| {
            let writing = Writing {
                origin: self.origin(cause, site),
                pointer: site.pointer,
                entries,
            };
            Trail::of_template(&writing, template, output)
        })
    }

    /// What is written at `site`, as the origin of fields.
    pub(crate) fn origin(&self, cause: Cause, site: Site<'_>) -> Origin {
        Origin {
            source: site.object.to_owned(),
            instance: self.instance.clone(),
            field: dotted(site.pointer),
            looped: self.looped.clone(),
            ..Origin::platform(cause)
        }
    }
}

/// What a loop over `value` goes over: a list as it is; a map as a list of `{key, value}`, sorted by
/// key.
pub(crate) fn items(value: Tree) -> Option<Items> {
    match value {
        Tree::Array(items) => Some(items),
        Tree::Object(members) => Some(
            members
                .iter()
                .map(|(key, value)| tree!({"key": key.clone(), "value": value}))
                .collect(),
        ),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => None,
    }
}

/// An expression without `${` and `}`.
fn unwrapped(text: &str) -> &str {
    let inner = text.trim().strip_prefix("${");
    inner
        .and_then(|inner| inner.strip_suffix('}'))
        .unwrap_or(text)
        .trim()
}
