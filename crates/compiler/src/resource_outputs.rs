//! What a managed resource offers to components, and whether it is ready: both are read from the
//! status of its live objects.

use crate::bench::{Bench, Ledger, Site};
use crate::diagnostic::{self, Code, Diagnostic};
use choreo_model::rendered::{Health, ResourceStatus};
use choreo_model::resource_type::{ResourceOutput, ResourceTypeSpec};
use choreo_model::shared::KeyRef;
use choreo_template::{Context, Members, Tree, tree};
use serde_json::Value;

/// An output that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnresolvedOutput {
    /// The name the type gives it.
    pub name: String,
    /// Why it is not known.
    pub reason: String,
}

/// How a live object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The id of its template.
    pub id: String,
    /// How it is: by `readyWhen` where the type has one, otherwise by what is known of its kind.
    pub health: Health,
    /// Why it is not ready.
    pub message: Option<String>,
}

impl Readiness {
    /// Whether it is as wanted, or deliberately not running.
    pub fn is_ready(&self) -> bool {
        matches!(self.health, Health::Healthy | Health::Suspended)
    }
}

/// The variable `applied`: the status of every live object, by the id of its template.
pub(crate) fn applied(observed: &[ResourceStatus]) -> Tree {
    let entries = observed.iter().map(|one| {
        let status = one.status.as_ref();
        let status = status.map_or_else(|| tree!({}), Tree::from);
        (&one.id, tree!({ "status": status }))
    });
    Tree::from(entries.collect::<Members>())
}

/// How each of the objects `ids` is, by what was `observed`.
pub(crate) fn readiness<L: Ledger>(
    bench: &mut Bench<L>,
    object: &str,
    spec: &ResourceTypeSpec,
    context: &Context<'_, '_>,
    (ids, observed): (&[&str], &[ResourceStatus]),
) -> Vec<Readiness> {
    let entries = spec.resources.iter().enumerate();
    entries
        .filter(|(_, resource)| ids.contains(&resource.id.as_str()))
        .map(|(index, resource)| {
            let live = observed.iter().find(|one| one.id == resource.id);
            let (health, message) = match (&resource.ready_when, live) {
                (_, None) => (Health::Unknown, None),
                (None, Some(live)) => (live.health_status, live.message.clone()),
                (Some(condition), Some(_)) => {
                    let pointer = format!("/spec/resources/{index}/readyWhen");
                    let site = Site {
                        object,
                        pointer: &pointer,
                    };
                    by_condition(bench, site, condition, context)
                }
            };
            Readiness {
                id: resource.id.clone(),
                health,
                message,
            }
        })
        .collect()
}

/// A condition that cannot be told yet, for a field that is not there yet, does not hold yet.
fn by_condition<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    condition: &str,
    context: &Context<'_, '_>,
) -> (Health, Option<String>) {
    match attempt(bench, |bench| bench.test(site, condition, context)) {
        Ok(true) => (Health::Healthy, None),
        Ok(false) => {
            let message = format!("readyWhen does not hold: {}", condition.trim());
            (Health::Progressing, Some(message))
        }
        Err(reason) => (Health::Progressing, Some(reason)),
    }
}

/// What components can use, and what they cannot use yet.
pub(crate) fn outputs<L: Ledger>(
    bench: &mut Bench<L>,
    object: &str,
    templates: &[ResourceOutput],
    context: &Context<'_, '_>,
) -> (Vec<ResourceOutput>, Vec<UnresolvedOutput>) {
    let (mut outputs, mut unresolved) = (Vec::new(), Vec::new());
    for (index, template) in templates.iter().enumerate() {
        let pointer = format!("/spec/outputs/{index}");
        let site = Site {
            object,
            pointer: &pointer,
        };
        match attempt(bench, |bench| output(bench, site, template, context)) {
            Ok(output) => outputs.push(output),
            Err(reason) => unresolved.push(UnresolvedOutput {
                name: template.name.clone(),
                reason,
            }),
        }
    }
    (outputs, unresolved)
}

fn output<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    template: &ResourceOutput,
    context: &Context<'_, '_>,
) -> Option<ResourceOutput> {
    let mut output = ResourceOutput {
        name: template.name.clone(),
        ..ResourceOutput::default()
    };
    if let Some(value) = &template.value {
        output.value = Some(text(bench, site, "value", value, context)?);
    }
    if let Some(reference) = &template.secret_key_ref {
        let found = key(bench, site, "secretKeyRef", reference, context)?;
        output.secret_key_ref = Some(found);
    }
    if let Some(reference) = &template.config_map_key_ref {
        let found = key(bench, site, "configMapKeyRef", reference, context)?;
        output.config_map_key_ref = Some(found);
    }
    Some(output)
}

fn key<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    field: &str,
    reference: &KeyRef,
    context: &Context<'_, '_>,
) -> Option<KeyRef> {
    let name = format!("{field}/name");
    let name = text(bench, site, &name, &reference.name, context)?;
    let key = format!("{field}/key");
    let key = text(bench, site, &key, &reference.key, context)?;
    Some(KeyRef { name, key })
}

/// The text that the template `value` makes in `field` below `site`.
fn text<L: Ledger>(
    bench: &mut Bench<L>,
    site: Site<'_>,
    field: &str,
    value: &str,
    context: &Context<'_, '_>,
) -> Option<String> {
    let pointer = format!("{}/{field}", site.pointer);
    let site = Site {
        pointer: &pointer,
        ..site
    };
    match bench.eval(site, &Value::from(value), context)? {
        Some(Tree::String(text)) => Some(text.to_string()),
        other => {
            let found = other.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
            let message = format!("must be a text, found {found}");
            let error = Diagnostic::error(
                Code::Expression,
                site.object,
                diagnostic::dotted(site.pointer),
                message,
            );
            bench
                .diagnostics
                .push(error.with_hint("string(...) makes a text of it"));
            None
        }
    }
}

/// Tries `run`; what goes wrong is told, not noted: it is about live objects, not about the type.
fn attempt<L: Ledger, T>(
    bench: &mut Bench<L>,
    run: impl FnOnce(&mut Bench<L>) -> Option<T>,
) -> Result<T, String> {
    let noted = std::mem::take(&mut bench.diagnostics);
    let result = run(bench);
    let found = std::mem::replace(&mut bench.diagnostics, noted);
    result.ok_or_else(|| diagnostic::summary(&found))
}
