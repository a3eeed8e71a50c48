//! What templates saw: kept for those who ask where a field comes from, since only with the values
//! it is known which side of a conditional was taken, or which item of a list became which.

use super::follow::Sight;
use crate::bench;
use crate::context::Variables;
use crate::dialect::{DIALECT, HELPERS};
use crate::origin::Looped;
use choreo_template::{Context, Helper, Reference, Silent, Template, Tree, sources};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the templates of one binding saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// Those of the type.
    own: Variables,
    /// What those of a trait saw besides, by its instance.
    instances: BTreeMap<String, Variables>,
}

impl Seen {
    /// Adds what `instance` saw, or the type.
    pub(crate) fn add(&mut self, instance: Option<String>, variables: Variables) {
        match instance {
            Some(instance) => {
                self.instances.insert(instance, variables);
            }
            None => self.own = variables,
        }
    }

    /// What the helper returned.
    pub(super) fn helper(&self, helper: Helper) -> &Tree {
        self.own.helper(helper).unwrap_or(&Tree::Null)
    }

    /// What the variable of the type's templates was.
    pub(super) fn variable(&self, name: &str) -> &Tree {
        self.own.variable(name).unwrap_or(&Tree::Null)
    }

    /// What the variable or the helper was that `reference` starts with.
    pub(super) fn root(&self, reference: &Reference) -> &Tree {
        let Some(name) = &reference.helper else {
            return self.variable(&reference.variable);
        };
        let is_it = |one: &&Helper| one.receiver == reference.variable && one.name == name;
        let found = HELPERS.iter().find(is_it);
        found.map_or(&Tree::Null, |helper| self.helper(*helper))
    }

    /// What the part at `part` of the value of `source` comes from.
    pub(super) fn sources(
        &self,
        source: &str,
        part: &[String],
        sight: Sight<'_>,
    ) -> Vec<Reference> {
        let item = sight.looped.and_then(|looped| {
            let all = bench::items(self.looped(looped, sight)?)?;
            Some((looped.variable.as_str(), all.get(looped.index)?.clone()))
        });
        let mut context = self.context(sight);
        if let Some((variable, item)) = &item {
            context.bind_tree(variable, item);
        }
        sources(&DIALECT, source, &context, part)
    }

    /// Where in what is looped over the part at `path` of the loop's item is; of a map the items
    /// are its keys and values. All of it, when that cannot be told.
    pub(super) fn behind(&self, looped: &Looped, path: &[String], outer: Sight<'_>) -> Vec<String> {
        let Some(all) = self.looped(looped, outer) else {
            return Vec::new();
        };
        let keys = all.as_object();
        let key = keys.and_then(|members| members.keys().nth(looped.index));
        let (at, rest) = match (key, path) {
            (Some(key), [_, rest @ ..]) => (key.to_owned(), rest),
            (Some(key), []) => (key.to_owned(), path),
            (None, path) => (looped.index.to_string(), path),
        };
        std::iter::once(at).chain(rest.iter().cloned()).collect()
    }

    /// What is looped over.
    fn looped(&self, looped: &Looped, outer: Sight<'_>) -> Option<Tree> {
        let source = Value::from(["${", &looped.expression, "}"].concat());
        let template = Template::parse(&DIALECT, &source, "").ok()?;
        template.eval(&self.context(outer), &mut Silent).ok()?
    }

    fn context<'v>(&'v self, sight: Sight<'v>) -> Context<'v, 'v> {
        let mut context = Context::within(sight.budget.clone());
        self.own.bind(&mut context);
        let instance = sight.instance.and_then(|name| self.instances.get(name));
        if let Some(variables) = instance {
            variables.bind(&mut context);
        }
        context
    }
}
