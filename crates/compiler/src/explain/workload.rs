//! From what templates see of a workload to the field of it that says so.

use super::follow::step;
use super::{Explained, Role, Step};
use crate::context::protocol;
use crate::dialect;
use crate::fleet::Snapshot;
use crate::origin::join;
use crate::snapshot::ComponentSnapshot;
use choreo_model::application::{Visibility, WorkloadEndpoint};
use choreo_template::Reference;
use serde_json::json;

impl<'a> Explained<'a> {
    /// What is rendered, when that is a component.
    pub(super) const fn component(&self) -> Option<&ComponentSnapshot<'a>> {
        match &self.snapshot {
            Snapshot::Component(snapshot) => Some(snapshot),
            Snapshot::Project(_) | Snapshot::Resource(_) | Snapshot::Run(_) | Snapshot::Api(_) => {
                None
            }
        }
    }

    /// The field of the workload behind a part of `workload`, or of what a helper makes of it.
    pub(super) fn workload(&self, reference: &Reference) -> Vec<Step> {
        let Some(snapshot) = self.component() else {
            return Vec::new();
        };
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        let of = |name: &str, field: &str| {
            let endpoint = snapshot.release.workload.endpoints.get(name);
            let root = join("/spec/endpoints", name);
            root + &endpoint.map_or_else(String::new, |one| written(one, field))
        };
        let pointer = match (reference.helper.as_deref(), path.as_slice()) {
            (Some(helper), [name, ..]) if helper == dialect::ENDPOINT_RESOURCES.name => {
                of(name, "schema")
            }
            (Some(_), [index, rest @ ..]) => {
                let field = rest.first().copied().unwrap_or_default();
                match self.served(snapshot, index) {
                    Some(name) => of(name, field),
                    None => "/spec/endpoints".to_owned(),
                }
            }
            (Some(_), []) => "/spec/endpoints".to_owned(),
            (None, ["endpoints", name, "visibility", index]) => of(name, index),
            (None, ["endpoints", name, field]) => of(name, field),
            (None, path) => path
                .iter()
                .fold("/spec".to_owned(), |at, part| join(&at, part)),
        };
        vec![self.of_workload(&pointer)]
    }

    /// The endpoint behind the port at `index` of those of the service.
    fn served<'s>(&self, snapshot: &'s ComponentSnapshot<'_>, index: &str) -> Option<&'s str> {
        let port = self
            .compiled
            .provenance
            .seen
            .helper(dialect::SERVICE_PORTS)
            .step(index)?;
        let mut endpoints = snapshot.release.workload.endpoints.iter();
        let is_it = |one: &WorkloadEndpoint| {
            port["port"].as_u64() == Some(one.port.into()) && port["protocol"] == protocol(one)
        };
        let (name, _) = endpoints.find(|(_, endpoint)| is_it(endpoint))?;
        Some(name)
    }

    /// The field at `pointer` of the workload, which need not be set.
    pub(super) fn of_workload(&self, pointer: &str) -> Step {
        let Some(snapshot) = self.component() else {
            return step(Role::Given, String::new(), pointer);
        };
        let owner = &snapshot.binding.spec.owner;
        let workloads = self.fleet.workloads_of(snapshot.binding.namespace(), owner);
        let component = owner.component_name.as_str();
        let name = workloads.first().map_or(component, |one| one.name());
        let workload = json!({"spec": *snapshot.release.workload});
        let role = match workload.pointer(pointer) {
            Some(_) => Role::Given,
            None => Role::Unset,
        };
        step(role, format!("Workload/{name}"), pointer)
    }
}

/// Where in an endpoint that is written which templates see as `field`: of its visibilities, which
/// start with one that is always there, by number.
fn written(endpoint: &WorkloadEndpoint, field: &str) -> String {
    let has_schema = endpoint
        .schema
        .as_ref()
        .is_some_and(|one| one.content.is_some());
    match field {
        "" | "name" | "0" => String::new(),
        "protocol" => "/type".to_owned(),
        "targetPort" if endpoint.target_port.is_none() => "/port".to_owned(),
        "schema" if has_schema => "/schema/content".to_owned(),
        field => match field.parse::<usize>() {
            Ok(number) => {
                let all = endpoint.visibility.iter().enumerate();
                let mut others = all.filter(|(_, one)| **one != Visibility::Project);
                let found = others.nth(number.saturating_sub(1));
                found.map_or_else(String::new, |(index, _)| format!("/visibility/{index}"))
            }
            Err(_) => join("", field),
        },
    }
}
