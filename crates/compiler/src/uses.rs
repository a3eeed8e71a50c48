//! Traits as something uses them: their values, and what they do to what was rendered.

use crate::bench::{Bench, Draft, Ledger};
use crate::context::Variables;
use crate::dialect::RENDERED;
use crate::parameters::{self, Section};
use crate::{traits, validations};
use choreo_model::reference::TraitRef;
use choreo_model::traits::TraitSpec;
use choreo_template::{Context, Tree, tree};
use serde_json::Value;

/// A trait as something uses it.
pub(crate) struct Use<'a> {
    /// The trait, as `Kind/name`.
    object: String,
    instance: String,
    spec: &'a TraitSpec,
    variables: Variables,
}

impl<'a> Use<'a> {
    /// The use of a trait with parameters and environment configurations, each given at its site: the object,
    /// and the field there.
    pub(crate) fn new<L: Ledger>(
        bench: &mut Bench<L>,
        (reference, spec): (&TraitRef, &'a TraitSpec),
        instance: &str,
        (parameters, configs): (Option<&Value>, Option<&Value>),
        sites: &[(String, String); 2],
    ) -> Self {
        let object = format!("{}/{}", reference.kind, reference.name);
        let mut variables = Variables::default();
        let sections = [
            ("parameters", &spec.parameters, parameters),
            ("environmentConfigs", &spec.environment_configs, configs),
        ];
        for ((name, section, value), (given, field)) in sections.into_iter().zip(sites) {
            let site = Section {
                declared: &object,
                schema_field: &format!("spec.{name}"),
                given,
                field,
            };
            let checked = parameters::checked(bench, section.as_ref(), value, site);
            variables.set(name, checked);
        }
        let own = tree!({"instanceName": instance, "name": &reference.name});
        variables.set("trait", own);
        Self {
            object,
            instance: instance.to_owned(),
            spec,
            variables,
        }
    }
}

/// Lets traits do what they do, one after the other. Those whose rules say no do nothing.
pub(crate) fn apply<L: Ledger>(
    bench: &mut Bench<L>,
    uses: &mut [Use<'_>],
    context: &Context<'_, '_>,
    drafts: &mut Vec<Draft>,
) {
    let sees = bench.reads(RENDERED);
    for used in uses {
        if sees {
            used.variables.set(RENDERED, rendered(drafts));
        }
        let mut scope = context.scope();
        used.variables.bind(&mut scope);
        let before = bench.diagnostics.len();
        let rules = match used.spec.pre_render_validations.as_slice() {
            [] => ("validations", used.spec.validations.as_slice()),
            rules => ("preRenderValidations", rules),
        };
        validations::before(bench, &used.object, rules, &scope);
        if bench.diagnostics.len() == before {
            bench.instance = Some(used.instance.clone());
            bench.keep(&used.variables);
            traits::apply(bench, &used.object, used.spec, &scope, drafts);
        }
    }
    bench.instance = None;
}

/// Tries what traits say of all that was rendered.
pub(crate) fn validate<L: Ledger>(
    bench: &mut Bench<L>,
    uses: &[Use<'_>],
    context: &Context<'_, '_>,
    drafts: &[Draft],
) {
    let all = if bench.reads(RENDERED) {
        rendered(drafts)
    } else {
        Tree::default()
    };
    for used in uses {
        let mut scope = context.scope();
        used.variables.bind(&mut scope);
        scope.bind_tree(RENDERED, &all);
        let rules = &used.spec.post_render_validations;
        validations::after(bench, &used.object, rules, &scope, drafts);
    }
}

/// The objects of drafts, as templates see them.
fn rendered(drafts: &[Draft]) -> Tree {
    drafts.iter().map(|draft| draft.object.clone()).collect()
}
