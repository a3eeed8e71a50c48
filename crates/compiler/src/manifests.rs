//! Templates that make one object each, as managed resources and workflows have them.

use crate::bench::{Bench, Draft, Ledger, Recipe, Site};
use choreo_model::resource_type::ResourceManifest;
use choreo_model::shared::TargetPlane;
use choreo_model::workflow::WorkflowResource;
use choreo_template::Context;
use serde_json::Value;

impl<'a> From<&'a ResourceManifest> for Recipe<'a> {
    fn from(manifest: &'a ResourceManifest) -> Self {
        recipe(
            &manifest.id,
            manifest.include_when.as_deref(),
            &manifest.template,
        )
    }
}

impl<'a> From<&'a WorkflowResource> for Recipe<'a> {
    fn from(resource: &'a WorkflowResource) -> Self {
        recipe(
            &resource.id,
            resource.include_when.as_deref(),
            &resource.template,
        )
    }
}

fn recipe<'a>(id: &'a str, include_when: Option<&'a str>, template: &'a Value) -> Recipe<'a> {
    Recipe {
        id,
        plane: TargetPlane::DataPlane,
        include_when,
        for_each: None,
        var: None,
        template,
    }
}

/// What the templates in `spec.resources` of `object` make.
pub(crate) fn make<'a, L: Ledger, T>(
    bench: &mut Bench<L>,
    object: &str,
    resources: &'a [T],
    context: &Context<'_, '_>,
) -> Vec<Draft>
where
    Recipe<'a>: From<&'a T>,
{
    let mut drafts = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let pointer = format!("/spec/resources/{index}");
        let site = Site {
            object,
            pointer: &pointer,
        };
        bench.make(site, Recipe::from(resource), context, &mut drafts);
    }
    drafts
}
