//! What bindings of components, projects and resources have in common, as far as their history is concerned.

use choreo_model::history::HistoryHead;
use choreo_model::project::{ProjectReleaseBindingSpec, ProjectReleaseBindingStatus};
use choreo_model::release::{ReleaseBindingSpec, ReleaseBindingStatus};
use choreo_model::rendered::RenderedOwner;
use choreo_model::resource::{ResourceReleaseBindingSpec, ResourceReleaseBindingStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use crate::tables::Kept;

/// The specification of bindings whose deployments are recorded.
pub(crate) trait Recorded: Kept {
    /// The field that names the release.
    const RELEASE: &'static str;

    fn owner(&self) -> RenderedOwner;
    fn environment(&self) -> &str;
    fn release(&self) -> &str;
    fn head(status: &Self::Status) -> Option<&HistoryHead>;
    fn conditions(status: &Self::Status) -> &[Condition];
}

impl Recorded for ReleaseBindingSpec {
    const RELEASE: &'static str = "releaseName";

    fn owner(&self) -> RenderedOwner {
        RenderedOwner::from(&self.owner)
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn release(&self) -> &str {
        &self.release_name
    }

    fn head(status: &ReleaseBindingStatus) -> Option<&HistoryHead> {
        status.history.as_ref()
    }

    fn conditions(status: &ReleaseBindingStatus) -> &[Condition] {
        &status.conditions
    }
}

impl Recorded for ProjectReleaseBindingSpec {
    const RELEASE: &'static str = "projectRelease";

    fn owner(&self) -> RenderedOwner {
        RenderedOwner {
            project_name: self.owner.project_name.clone(),
            ..RenderedOwner::default()
        }
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn release(&self) -> &str {
        &self.project_release
    }

    fn head(status: &ProjectReleaseBindingStatus) -> Option<&HistoryHead> {
        status.history.as_ref()
    }

    fn conditions(status: &ProjectReleaseBindingStatus) -> &[Condition] {
        &status.conditions
    }
}

impl Recorded for ResourceReleaseBindingSpec {
    const RELEASE: &'static str = "resourceRelease";

    fn owner(&self) -> RenderedOwner {
        RenderedOwner {
            project_name: self.owner.project_name.clone(),
            resource_name: Some(self.owner.resource_name.clone()),
            ..RenderedOwner::default()
        }
    }

    fn environment(&self) -> &str {
        &self.environment
    }

    fn release(&self) -> &str {
        &self.resource_release
    }

    fn head(status: &ResourceReleaseBindingStatus) -> Option<&HistoryHead> {
        status.history.as_ref()
    }

    fn conditions(status: &ResourceReleaseBindingStatus) -> &[Condition] {
        &status.conditions
    }
}

/// Everything that a binding says beside what it binds.
pub(super) fn configuration<T: Recorded>(spec: &T) -> Option<Value> {
    let mut value = serde_json::to_value(spec).ok()?;
    let fields = value.as_object_mut()?;
    for key in ["owner", "environment", T::RELEASE] {
        fields.remove(key);
    }
    let said = !fields.is_empty();
    said.then_some(value)
}
