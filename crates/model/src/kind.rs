//! The registry: one row per kind.

use serde_json::{Value, json};

use crate::application::{ComponentSpec, WorkloadSpec};
use crate::check::{self, Violation};
use crate::component_type::ComponentTypeSpec;
use crate::object::{GROUP, VERSION};
use crate::plane::DataPlaneSpec;
use crate::platform::{DeploymentPipelineSpec, EnvironmentSpec};
use crate::project::{ProjectReleaseBindingSpec, ProjectReleaseSpec, ProjectSpec, ProjectTypeSpec};
use crate::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use crate::rendered::RenderedReleaseSpec;
use crate::schema;
use crate::secret::SecretReferenceSpec;
use crate::traits::TraitSpec;

/// Everything that varies per kind.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "a kind has a kind, as in manifests"
)]
pub struct Kind {
    /// The API group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind, as written in manifests.
    pub kind: &'static str,
    /// The plural, as written in paths.
    pub plural: &'static str,
    /// The singular, as written in commands.
    pub singular: &'static str,
    /// Short names, part of the definition.
    pub short: &'static [&'static str],
    /// More names a command line understands; no part of the definition.
    pub aliases: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// What a table shows besides the name.
    pub columns: &'static [Column],
    /// The structural schema of a whole object.
    pub schema: fn() -> Value,
    /// Everything wrong with an object, and with changing an old one into it.
    pub check: fn(&Value, Option<&Value>) -> Vec<Violation>,
}

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They do not.
    Cluster,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// The type, as in a definition: `string`, `date`, ...
    pub type_: &'static str,
    /// Where the value is found.
    pub json_path: &'static str,
}

impl Kind {
    /// `GROUP/VERSION`, as written in manifests.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// The definition of the kind, in the form `apiextensions.k8s.io/v1` wants.
    pub fn crd(&self) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.name, "type": column.type_, "jsonPath": column.json_path,
                })
            })
            .collect();
        let mut version = json!({
            "name": self.version,
            "served": true,
            "storage": true,
            "schema": { "openAPIV3Schema": (self.schema)() },
            "subresources": { "status": {} },
        });
        if !columns.is_empty() {
            version["additionalPrinterColumns"] = Value::Array(columns);
        }
        let mut names = json!({
            "kind": self.kind,
            "listKind": format!("{}List", self.kind),
            "plural": self.plural,
            "singular": self.singular,
        });
        if !self.short.is_empty() {
            names["shortNames"] = json!(self.short);
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{}.{}", self.plural, self.group) },
            "spec": {
                "group": self.group,
                "names": names,
                "scope": match self.scope {
                    Scope::Namespaced => "Namespaced",
                    Scope::Cluster => "Cluster",
                },
                "versions": [version],
            },
        })
    }

    /// Whether `name` means this kind: its plural, singular, kind, or a shorter name.
    pub fn is_called(&self, name: &str) -> bool {
        [self.plural, self.singular, self.kind]
            .iter()
            .chain(self.short)
            .chain(self.aliases)
            .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Every kind, in the order in which a person reads them.
pub fn registry() -> &'static [Kind] {
    REGISTRY
}

/// The kind that `name` means: a plural, singular, kind or shorter name, in any case.
pub fn find(name: &str) -> Option<&'static Kind> {
    REGISTRY.iter().find(|kind| kind.is_called(name))
}

const fn column(name: &'static str, json_path: &'static str) -> Column {
    Column {
        name,
        type_: "string",
        json_path,
    }
}

const AGE: Column = Column {
    name: "Age",
    type_: "date",
    json_path: ".metadata.creationTimestamp",
};
const PROJECT: Column = column("Project", ".spec.owner.projectName");
const COMPONENT: Column = column("Component", ".spec.owner.componentName");
const ENVIRONMENT: Column = column("Environment", ".spec.environment");

/// A row of the registry: specification, scope, names, columns.
macro_rules! row {
    (
        $Spec:ty, $scope:ident, $kind:literal, $plural:literal, $singular:literal,
        short $short:expr, aliases $aliases:expr, columns $columns:expr
    ) => {
        Kind {
            group: GROUP,
            version: VERSION,
            kind: $kind,
            plural: $plural,
            singular: $singular,
            short: &$short,
            aliases: &$aliases,
            scope: Scope::$scope,
            columns: &$columns,
            schema: schema::object::<$Spec>,
            check: check::object::<$Spec>,
        }
    };
}

const REGISTRY: &[Kind] = &[
    row!(ProjectSpec, Namespaced, "Project", "projects", "project",
        short ["proj", "projs"], aliases [], columns []),
    row!(ComponentSpec, Namespaced, "Component", "components", "component",
        short ["comp", "comps"], aliases [],
        columns [PROJECT, column("ComponentType", ".spec.componentType.name"), AGE]),
    row!(WorkloadSpec, Namespaced, "Workload", "workloads", "workload",
        short [], aliases ["wl"], columns [PROJECT, COMPONENT, AGE]),
    row!(ComponentReleaseSpec, Namespaced, "ComponentRelease", "componentreleases",
        "componentrelease",
        short [], aliases ["release", "releases", "cr", "crs"],
        columns [PROJECT, COMPONENT, AGE]),
    row!(ReleaseBindingSpec, Namespaced, "ReleaseBinding", "releasebindings", "releasebinding",
        short [], aliases ["binding", "bindings", "rb", "rbs"],
        columns [PROJECT, COMPONENT, ENVIRONMENT, AGE]),
    row!(RenderedReleaseSpec, Namespaced, "RenderedRelease", "renderedreleases",
        "renderedrelease",
        short [], aliases ["rendered", "rr", "rrs"], columns []),
    row!(ProjectReleaseSpec, Namespaced, "ProjectRelease", "projectreleases", "projectrelease",
        short [], aliases ["pr", "prs"], columns [PROJECT, AGE]),
    row!(ProjectReleaseBindingSpec, Namespaced, "ProjectReleaseBinding",
    "projectreleasebindings", "projectreleasebinding",
    short ["prb", "prbs"], aliases ["cell", "cells"],
    columns [
        PROJECT,
        ENVIRONMENT,
        column("Release", ".spec.projectRelease"),
        column("Ready", ".status.conditions[?(@.type==\"Ready\")].status"),
        AGE,
    ]),
    row!(EnvironmentSpec, Namespaced, "Environment", "environments", "environment",
        short ["env", "envs"], aliases [], columns []),
    row!(DeploymentPipelineSpec, Namespaced, "DeploymentPipeline", "deploymentpipelines",
        "deploymentpipeline",
        short ["deppipe", "deppipes"], aliases ["pipeline", "pipelines"], columns []),
    row!(DataPlaneSpec, Namespaced, "DataPlane", "dataplanes", "dataplane",
        short ["dp", "dps"], aliases [], columns []),
    row!(DataPlaneSpec, Cluster, "ClusterDataPlane", "clusterdataplanes", "clusterdataplane",
        short ["cdp", "cdps"], aliases [], columns []),
    row!(ComponentTypeSpec, Namespaced, "ComponentType", "componenttypes", "componenttype",
        short ["ct", "cts"], aliases [],
        columns [column("WorkloadType", ".spec.workloadType"), AGE]),
    row!(ComponentTypeSpec, Cluster, "ClusterComponentType", "clustercomponenttypes",
        "clustercomponenttype",
        short ["cct", "ccts"], aliases [],
        columns [column("WorkloadType", ".spec.workloadType"), AGE]),
    row!(TraitSpec, Namespaced, "Trait", "traits", "trait",
        short [], aliases [], columns []),
    row!(TraitSpec, Cluster, "ClusterTrait", "clustertraits", "clustertrait",
        short ["ctrait", "ctraits"], aliases [], columns []),
    row!(ProjectTypeSpec, Namespaced, "ProjectType", "projecttypes", "projecttype",
        short ["pt", "pts"], aliases [], columns []),
    row!(ProjectTypeSpec, Cluster, "ClusterProjectType", "clusterprojecttypes",
        "clusterprojecttype",
        short ["cpt", "cpts"], aliases [], columns []),
    row!(SecretReferenceSpec, Namespaced, "SecretReference", "secretreferences",
        "secretreference",
        short [], aliases ["secretref", "secretrefs"], columns []),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_name_means_two_kinds() {
        let mut seen = BTreeMap::new();
        for kind in registry() {
            let names = [kind.plural, kind.singular].into_iter();
            for name in names
                .chain(kind.short.iter().copied())
                .chain(kind.aliases.iter().copied())
            {
                if let Some(other) = seen.insert(name, kind.kind) {
                    panic!("{name} means {other} and {}", kind.kind);
                }
            }
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(find("Components").unwrap().kind, "Component");
        assert_eq!(find("COMPS").unwrap().kind, "Component");
        assert_eq!(
            find("ClusterDataPlane").unwrap().plural,
            "clusterdataplanes"
        );
        assert_eq!(find("releases").unwrap().kind, "ComponentRelease");
        assert!(find("pods").is_none());
    }

    #[test]
    fn definitions_are_complete() {
        let crd = find("prb").unwrap().crd();
        assert_eq!(
            crd["metadata"]["name"],
            "projectreleasebindings.openchoreo.dev"
        );
        assert_eq!(crd["spec"]["names"]["shortNames"], json!(["prb", "prbs"]));
        let version = &crd["spec"]["versions"][0];
        assert_eq!(
            version["additionalPrinterColumns"]
                .as_array()
                .unwrap()
                .len(),
            5
        );
        assert!(version["subresources"]["status"].is_object());
        assert_eq!(find("cdp").unwrap().crd()["spec"]["scope"], "Cluster");
    }
}
