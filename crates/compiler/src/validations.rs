//! Rules of types and traits, before anything is rendered and after everything is.

use crate::bench::{Bench, Draft, Ledger, Site};
use crate::diagnostic::Code;
use crate::traits::selects;
use choreo_model::shared::ValidationRule;
use choreo_model::traits::PostRenderValidation;
use choreo_template::Context;

/// Evaluates every rule; each that says no is an error.
pub(crate) fn before<L: Ledger>(
    bench: &mut Bench<L>,
    object: &str,
    (field, rules): (&str, &[ValidationRule]),
    context: &Context<'_, '_>,
) {
    for (index, rule) in rules.iter().enumerate() {
        let pointer = format!("/spec/{field}/{index}/rule");
        let site = Site {
            object,
            pointer: &pointer,
        };
        if bench.test(site, &rule.rule, context) == Some(false) {
            bench.fail(Code::Validation, site, rule.message.as_str());
        }
    }
}

/// Evaluates every rule over the objects it targets.
pub(crate) fn after<L: Ledger>(
    bench: &mut Bench<L>,
    object: &str,
    rules: &[PostRenderValidation],
    context: &Context<'_, '_>,
    drafts: &[Draft],
) {
    for (index, rule) in rules.iter().enumerate() {
        let pointer = format!("/spec/postRenderValidations/{index}");
        let site = Site {
            object,
            pointer: &pointer,
        };
        if !applies(bench, site, rule, context) {
            continue;
        }
        let looped = (rule.for_each.as_deref(), rule.var.as_deref());
        bench.each(site, looped, context, |bench, scope, _| {
            after_one(bench, site, rule, scope, drafts);
        });
    }
}

/// Whether the rule is looked at: told once, before its loop, which may depend on it.
fn applies<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    rule: &PostRenderValidation,
    context: &Context<'_, '_>,
) -> bool {
    let Some(when) = &rule.when else {
        return true;
    };
    let pointer = format!("{}/when", site.pointer);
    let at = Site {
        pointer: &pointer,
        ..site
    };
    bench.test(at, when, context) == Some(true)
}

fn after_one<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    rule: &PostRenderValidation,
    context: &Context<'_, '_>,
    drafts: &[Draft],
) {
    let pointer = format!("{}/rule", site.pointer);
    let at = Site {
        pointer: &pointer,
        ..site
    };
    let mut matched = false;
    for draft in drafts {
        let plane = rule.target_plane;
        if !selects(bench, site, (&rule.target.object, plane), draft, context) {
            continue;
        }
        matched = true;
        let mut scope = context.scope();
        scope.bind_tree("resource", &draft.object);
        if bench.test(at, &rule.rule, &scope) == Some(false) {
            bench.fail(
                Code::Validation,
                at,
                format!("{}: {}", draft.id, rule.message),
            );
        }
    }
    if !matched && rule.target.must_match {
        let target = &rule.target.object;
        let message = format!("no {} was rendered: {}", target.kind, rule.message);
        bench.fail(Code::Validation, site, message);
    }
}
