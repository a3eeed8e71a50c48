//! How a preview goes: components first, then resources, then the cell, then the environment, last the
//! releases that were made for it. What was ever made is in the report until it is seen to be gone.

use std::collections::BTreeSet;

use choreo_model::platform::EnvironmentSpec;
use choreo_model::preview::PreviewObject;
use choreo_model::project::ProjectReleaseBindingSpec;
use choreo_model::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::shared::TargetPlane;
use choreo_model::{ComponentRelease, Object, PreviewEnvironment, Spec, labels, names};

use super::super::{Context, delete_all, rendering};
use super::own_environment;
use crate::decision::{Home, Write};
use crate::key::By;
use crate::tables::Kept;

/// What to delete now, what is waited for, and what is known of everything.
pub(super) struct Removal {
    pub(super) writes: Vec<Write>,
    pub(super) waits: Vec<String>,
    pub(super) report: Vec<PreviewObject>,
}

pub(super) fn plan(context: &Context<'_>, preview: &PreviewEnvironment) -> Removal {
    let report = report(context, preview);
    let bindings = members::<ReleaseBindingSpec>(context, preview);
    let resources = members::<ResourceReleaseBindingSpec>(context, preview);
    let cells = members::<ProjectReleaseBindingSpec>(context, preview);
    let environment = own_environment(context, preview);
    let writes: Vec<Write> = if !bindings.is_empty() {
        delete_all(bindings).collect()
    } else if !resources.is_empty() {
        delete_all(resources).collect()
    } else if !cells.is_empty() {
        delete_all(cells).collect()
    } else if environment.is_some() {
        delete_all(environment).collect()
    } else {
        delete_all(releases(context, preview, &report)).collect()
    };
    let waits = report
        .iter()
        .filter(|one| !one.gone)
        .map(|one| format!("{} \"{}\"", one.kind, one.name))
        .collect();
    Removal {
        writes,
        waits,
        report,
    }
}

/// Everything that was ever made for the preview, and whether it is gone.
pub(super) fn report(context: &Context<'_>, preview: &PreviewEnvironment) -> Vec<PreviewObject> {
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    let told = preview.status.report.iter();
    known.extend(told.map(|one| (one.kind.clone(), one.name.clone())));
    let bindings = members::<ReleaseBindingSpec>(context, preview);
    known.extend(bindings.iter().filter_map(|binding| {
        let name = &binding.spec.release_name;
        let release = context
            .view
            .get::<ComponentReleaseSpec>(context.namespace(), name)?;
        is_made_for_previews(release).then(|| title(release))
    }));
    known.extend(bindings.into_iter().map(title));
    let resources = members::<ResourceReleaseBindingSpec>(context, preview);
    known.extend(resources.into_iter().map(title));
    let cells = members::<ProjectReleaseBindingSpec>(context, preview);
    known.extend(cells.into_iter().map(title));
    known.extend(own_environment(context, preview).map(title));
    if !known.is_empty() {
        known.insert(("Namespace".to_owned(), cell(context, preview)));
    }
    known
        .into_iter()
        .filter_map(|(kind, name)| {
            let gone = is_gone(context, preview, &kind, &name)?;
            Some(PreviewObject { kind, name, gone })
        })
        .collect()
}

fn title<T: Spec>(object: &Object<T>) -> (String, String) {
    (object.kind().to_owned(), object.name().to_owned())
}

/// What is in the environment of the preview; what is in one of the same name that is another's is
/// not its own.
fn members<'a, T: Kept>(context: &Context<'a>, preview: &PreviewEnvironment) -> Vec<&'a Object<T>> {
    let of = [context.namespace(), preview.name()];
    let mut members = context.view.members::<T>(By::Environment, &of);
    if own_environment(context, preview).is_none() {
        members.retain(|one| one.label(labels::PREVIEW) == Some(preview.name()));
    }
    members
}

/// Whether something of the report is gone. Nothing for what is another's by now.
fn is_gone(
    context: &Context<'_>,
    preview: &PreviewEnvironment,
    kind: &str,
    name: &str,
) -> Option<bool> {
    let (view, namespace) = (context.view, context.namespace());
    match kind {
        EnvironmentSpec::KIND => Some(own_environment(context, preview).is_none()),
        ReleaseBindingSpec::KIND => Some(view.get::<ReleaseBindingSpec>(namespace, name).is_none()),
        ResourceReleaseBindingSpec::KIND => {
            let found = view.get::<ResourceReleaseBindingSpec>(namespace, name);
            Some(found.is_none())
        }
        ProjectReleaseBindingSpec::KIND => {
            let found = view.get::<ProjectReleaseBindingSpec>(namespace, name);
            Some(found.is_none())
        }
        ComponentReleaseSpec::KIND => match view.get::<ComponentReleaseSpec>(namespace, name) {
            None => Some(true),
            Some(release) if is_used_elsewhere(context, preview, release) => None,
            Some(_) => Some(false),
        },
        _ => {
            // The cell, where the environment that was copied has its own.
            let home = rendering::home(context, &preview.spec.from, TargetPlane::DataPlane);
            let Ok(Home::Plane(home)) = home else {
                return Some(true);
            };
            Some(view.namespace(home, name).is_none())
        }
    }
}

fn cell(context: &Context<'_>, preview: &PreviewEnvironment) -> String {
    let project = &preview.spec.project_name;
    names::cell_namespace(context.namespace(), project, preview.name())
}

/// The releases of the report that are there and that nothing else uses.
fn releases<'a>(
    context: &Context<'a>,
    preview: &PreviewEnvironment,
    report: &[PreviewObject],
) -> Vec<&'a ComponentRelease> {
    let of_kind = report
        .iter()
        .filter(|one| one.kind == ComponentReleaseSpec::KIND && !one.gone);
    let view = context.view;
    of_kind
        .filter_map(|one| view.get::<ComponentReleaseSpec>(context.namespace(), &one.name))
        .filter(|release| is_made_for_previews(release))
        .filter(|release| !is_used_elsewhere(context, preview, release))
        .collect()
}

fn is_made_for_previews(release: &ComponentRelease) -> bool {
    release.label(labels::PREVIEW).is_some()
}

/// Whether a binding of another environment has the release.
fn is_used_elsewhere(
    context: &Context<'_>,
    preview: &PreviewEnvironment,
    release: &ComponentRelease,
) -> bool {
    let owner = &release.spec.owner;
    let of = [
        context.namespace(),
        owner.project_name.as_str(),
        &owner.line_id(),
    ];
    let bindings = context
        .view
        .members::<ReleaseBindingSpec>(By::Component, &of);
    bindings.iter().any(|binding| {
        binding.spec.release_name == release.name() && binding.spec.environment != preview.name()
    })
}
