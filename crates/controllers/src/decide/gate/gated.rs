//! What bindings of components and of managed resources have in common, as far as promotions and gates
//! are concerned.

use std::collections::BTreeMap;

use choreo_model::conditions::types;
use choreo_model::promotion::Part;
use choreo_model::release::{
    BindingState, ComponentReleaseSpec, ReleaseBindingSpec, ReleaseBindingStatus, RolledOut,
};
use choreo_model::resource::{
    ResourceReleaseBindingSpec, ResourceReleaseBindingStatus, ResourceReleaseSpec,
};

use super::super::history::Recorded;
use crate::tables::Kept;

/// The specification of bindings that promotions move.
pub(crate) trait Gated: Recorded + 'static {
    /// The specification of the releases that they name.
    type Release: Kept + 'static;
    /// The condition that tells whether what is rendered is as wanted.
    const SYNCED: &'static str;

    fn project(&self) -> &str;
    fn part(&self) -> Part<'_>;
    fn set_release(&mut self, release: &str);
    /// Whether nothing is to be rendered.
    fn is_undeployed(&self) -> bool;
    fn rolled_out(status: &Self::Status) -> RolledOut<'_>;
    fn set_rolled_out(status: &mut Self::Status, new: Remembered);
}

/// What a binding remembers of the releases that were rolled out.
#[derive(Default)]
pub(crate) struct Remembered {
    pub(super) release: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) proven: BTreeMap<String, String>,
}

impl Gated for ReleaseBindingSpec {
    type Release = ComponentReleaseSpec;
    const SYNCED: &'static str = types::RELEASE_SYNCED;

    fn project(&self) -> &str {
        &self.owner.project_name
    }

    fn part(&self) -> Part<'_> {
        self.owner.part()
    }

    fn set_release(&mut self, release: &str) {
        release.clone_into(&mut self.release_name);
    }

    fn is_undeployed(&self) -> bool {
        self.state == BindingState::Undeploy
    }

    fn rolled_out(status: &ReleaseBindingStatus) -> RolledOut<'_> {
        status.rolled_out()
    }

    fn set_rolled_out(status: &mut ReleaseBindingStatus, new: Remembered) {
        status.release = new.release;
        status.release_uid = new.uid;
        status.proven_releases = new.proven;
    }
}

impl Gated for ResourceReleaseBindingSpec {
    type Release = ResourceReleaseSpec;
    const SYNCED: &'static str = types::SYNCED;

    fn project(&self) -> &str {
        &self.owner.project_name
    }

    fn part(&self) -> Part<'_> {
        Part::Resource(&self.owner.resource_name)
    }

    fn set_release(&mut self, release: &str) {
        release.clone_into(&mut self.resource_release);
    }

    fn is_undeployed(&self) -> bool {
        false
    }

    fn rolled_out(status: &ResourceReleaseBindingStatus) -> RolledOut<'_> {
        status.rolled_out()
    }

    fn set_rolled_out(status: &mut ResourceReleaseBindingStatus, new: Remembered) {
        status.release = new.release;
        status.release_uid = new.uid;
        status.proven_releases = new.proven;
    }
}
