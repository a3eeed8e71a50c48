//! References between objects.
//!
//! A reference names a kind and an object, never a namespace: a namespaced kind is looked up in
//! the namespace of the referrer, a cluster-scoped kind everywhere.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::schema;

/// A reference to a kind that has a cluster-scoped twin, and the two kinds it may name.
macro_rules! twin_reference {
    (
        $(#[$doc:meta])* $Ref:ident to $Kind:ident { $Local:ident, $Cluster:ident }
        kind $(#[$kind:meta])*,
        name $(#[$name:meta])*
    ) => {
        #[doc = concat!("`", stringify!($Local), "` or `", stringify!($Cluster), "`.")]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $Kind {
            #[expect(missing_docs, reason = "named like the kind it stands for")]
            $Local,
            #[expect(missing_docs, reason = "named like the kind it stands for")]
            $Cluster,
        }

        impl $Kind {
            /// The kind, as written in manifests.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$Local => stringify!($Local),
                    Self::$Cluster => stringify!($Cluster),
                }
            }

            /// Whether the kind has no namespace.
            pub const fn is_cluster(self) -> bool {
                matches!(self, Self::$Cluster)
            }
        }

        impl fmt::Display for $Kind {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub struct $Ref {
            /// The kind of the object.
            $(#[$kind])*
            pub kind: $Kind,
            /// The name of the object.
            $(#[$name])*
            pub name: String,
        }

        impl $Ref {
            /// The namespace to look in, for a referrer in `namespace`.
            pub fn namespace<'a>(&self, namespace: &'a str) -> Option<&'a str> {
                (!self.kind.is_cluster()).then_some(namespace)
            }
        }

        impl fmt::Display for $Ref {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}:{}", self.kind, self.name)
            }
        }
    };
}

/// What a reference means when it names no kind.
macro_rules! implied_kind {
    ($($Kind:ident::$Variant:ident),* $(,)?) => {
        $(
            impl Default for $Kind {
                fn default() -> Self {
                    Self::$Variant
                }
            }
        )*
    };
}

twin_reference!(
    /// The type of a project.
    ProjectTypeRef to ProjectTypeKind { ProjectType, ClusterProjectType }
    kind #[serde(default)],
    name #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
);
twin_reference!(
    /// The type of a component: `<workload type>/<name>`.
    ComponentTypeRef to ComponentTypeKind { ComponentType, ClusterComponentType }
    kind #[serde(default)],
    name #[schemars(regex(pattern = COMPONENT_TYPE_NAME))]
);
twin_reference!(
    /// The type of a managed resource.
    ResourceTypeRef to ResourceTypeKind { ResourceType, ClusterResourceType }
    kind #[serde(default)],
    name #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
);
twin_reference!(
    /// A trait.
    TraitRef to TraitKind { Trait, ClusterTrait }
    kind #[serde(default)],
    name #[schemars(length(min = 1))]
);
twin_reference!(
    /// A workflow.
    WorkflowRef to WorkflowKind { Workflow, ClusterWorkflow }
    kind #[serde(default)],
    name #[schemars(length(min = 1))]
);
twin_reference!(
    /// A data plane.
    DataPlaneRef to DataPlaneKind { DataPlane, ClusterDataPlane }
    kind,
    name #[schemars(length(min = 1))]
);
twin_reference!(
    /// A workflow plane.
    WorkflowPlaneRef to WorkflowPlaneKind { WorkflowPlane, ClusterWorkflowPlane }
    kind,
    name #[schemars(length(min = 1, max = 63))]
);
twin_reference!(
    /// An observability plane.
    ObservabilityPlaneRef to ObservabilityPlaneKind { ObservabilityPlane, ClusterObservabilityPlane }
    kind,
    name #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
);
twin_reference!(
    /// A role that a binding grants.
    RoleRef to RoleKind { AuthzRole, ClusterAuthzRole }
    kind,
    name #[schemars(length(min = 1))]
);

implied_kind!(
    ProjectTypeKind::ProjectType,
    ComponentTypeKind::ComponentType,
    ResourceTypeKind::ResourceType,
    TraitKind::Trait,
    WorkflowKind::ClusterWorkflow,
);

/// The form of the name in a [`ComponentTypeRef`].
pub const COMPONENT_TYPE_NAME: &str =
    "^(deployment|statefulset|cronjob|job|proxy)/[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

impl ComponentTypeRef {
    /// The kind of workload the reference expects the type to have.
    pub fn workload_type(&self) -> &str {
        self.name
            .split_once('/')
            .map_or("", |(workload, _)| workload)
    }

    /// The name of the type object.
    pub fn type_name(&self) -> &str {
        self.name
            .split_once('/')
            .map_or(self.name.as_str(), |(_, name)| name)
    }
}

/// The pipeline of a project. Manifests may also write the bare name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeploymentPipelineRef {
    /// The kind of the object.
    #[serde(default)]
    pub kind: DeploymentPipelineKind,
    /// The name of the pipeline.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// The one kind a pipeline reference may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeploymentPipelineKind {
    /// A pipeline in the namespace of the referrer.
    #[default]
    DeploymentPipeline,
}

impl<'de> Deserialize<'de> for DeploymentPipelineRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Read {
            Bare(String),
            Full {
                #[serde(default)]
                kind: DeploymentPipelineKind,
                name: String,
            },
        }
        Ok(match Read::deserialize(deserializer)? {
            Read::Bare(name) => Self {
                kind: DeploymentPipelineKind::default(),
                name,
            },
            Read::Full { kind, name } => Self { kind, name },
        })
    }
}

/// An environment of a promotion path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentRef {
    /// The kind of the object.
    #[serde(default)]
    pub kind: EnvironmentKind,
    /// The name of the environment.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// The one kind an environment reference may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EnvironmentKind {
    /// An environment in the namespace of the referrer.
    #[default]
    Environment,
}

/// A store of secrets on a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretStoreRef {
    /// The name of a `ClusterSecretStore`.
    #[schemars(length(min = 1))]
    pub name: String,
}
