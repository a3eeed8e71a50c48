//! External connections in files: those that are for nobody, and those that are declared where nobody approves them.

use super::references::Found;
use super::{Fleet, Place};
use crate::diagnostic::{Code, Diagnostic};
use crate::external::{self, Written};
use choreo_model::shared::Egress;
use choreo_model::{Component, Environment, ExternalConnection, Project, Workload};

impl Fleet {
    /// Projects, components and environments that a connection names. One that is not there does no harm, but
    /// is rarely meant.
    pub(super) fn connection_references(&self, connection: &ExternalConnection, found: &mut Found) {
        let object = format!("ExternalConnection/{}", connection.name());
        let namespace = connection.namespace();
        let place = (namespace, object.as_str());
        let spec = &connection.spec;
        for (index, name) in spec.projects.iter().enumerate() {
            let known = self.projects.all_in(namespace).map(Project::name);
            let there = self.projects.find(Some(namespace), name);
            found.doubtful(
                place,
                format!("spec.projects[{index}]"),
                (name, there),
                known,
            );
        }
        for (index, name) in spec.components.iter().enumerate() {
            let known = self.components.all_in(namespace).map(Component::name);
            let there = self.components.find(Some(namespace), name);
            found.doubtful(
                place,
                format!("spec.components[{index}]"),
                (name, there),
                known,
            );
        }
        for (index, name) in spec.environments.iter().enumerate() {
            let known = self.environments.all_in(namespace).map(Environment::name);
            let there = self.environments.find(Some(namespace), name);
            found.doubtful(
                place,
                format!("spec.environments[{index}]"),
                (name, there),
                known,
            );
        }
    }

    /// The connections that a workload declares, or a binding in its stead, and that are not approved where the
    /// pipeline of its project leads.
    pub(super) fn unapproved(&self, workload: &Workload, found: &mut Found) {
        let (namespace, owner) = (workload.namespace(), &workload.spec.owner);
        let Ok(project) = self.projects.find(Some(namespace), &owner.project_name) else {
            return;
        };
        let type_ = &project.spec.type_;
        let type_ = self
            .project_types
            .find(type_.namespace(namespace), &type_.name);
        let usual = type_.ok().and_then(|type_| type_.spec.egress);
        let names = self.pipeline(project).map(|one| one.environments());
        let names = names.unwrap_or_default().into_iter();
        let environments = names.filter_map(|name| self.environments.get(namespace, name));
        let approving =
            environments.filter(|one| one.spec.egress.or(usual) == Some(Egress::Approved));
        for environment in approving {
            let place = Place::new(namespace, owner, environment.name());
            let binding = self.bound(&place).into_iter().next();
            let overrides = binding.and_then(|one| one.spec.workload_overrides.as_ref());
            let given = self.external_connections_of(owner, environment);
            for (one, written) in external::declared(&workload.spec.template, overrides) {
                if given.iter().any(|given| given.spec.connection.covers(one)) {
                    continue;
                }
                let (object, field) = match written {
                    Written::Workload(index) => (
                        format!("Workload/{}", workload.name()),
                        format!("spec.dependencies.external[{index}]"),
                    ),
                    Written::Binding(index) => (
                        format!("ReleaseBinding/{}", binding.map_or("", |one| one.name())),
                        format!("{}[{index}]", external::OVERRIDES),
                    ),
                };
                let message = external::not_covered(environment, project.name(), one);
                let warning = Diagnostic::error(Code::Connection, object, field, message);
                found.push(namespace, warning.into_warning());
            }
        }
    }
}
