//! The registry: one row per kind.

use serde_json::{Value, json};

use crate::api::ApiSpec;
use crate::application::{ComponentSpec, WorkloadSpec};
use crate::authz::{AuthzRoleBindingSpec, AuthzRoleSpec, ClusterAuthzRoleBindingSpec};
use crate::check::{self, Violation};
use crate::component_type::ComponentTypeSpec;
use crate::configuration::ConfigurationGroupSpec;
use crate::external::ExternalConnectionSpec;
use crate::finalizers;
use crate::history::DeploymentRecordSpec;
use crate::object::{GROUP, Spec, VERSION};
use crate::observability::{
    ObservabilityAlertRuleSpec, ObservabilityAlertsNotificationChannelSpec,
};
use crate::organization::OrganizationSpec;
use crate::plane::{DataPlaneSpec, ObservabilityPlaneSpec, WorkflowPlaneSpec};
use crate::platform::{DeploymentPipelineSpec, EnvironmentSpec};
use crate::preview::PreviewEnvironmentSpec;
use crate::project::{ProjectReleaseBindingSpec, ProjectReleaseSpec, ProjectSpec, ProjectTypeSpec};
use crate::promotion::PromotionSpec;
use crate::release::{ComponentReleaseSpec, ReleaseBindingSpec};
use crate::rendered::RenderedReleaseSpec;
use crate::resource::{ResourceReleaseBindingSpec, ResourceReleaseSpec, ResourceSpec};
use crate::resource_type::ResourceTypeSpec;
use crate::schema;
use crate::secret::SecretReferenceSpec;
use crate::track::DeploymentTrackSpec;
use crate::traits::TraitSpec;
use crate::workflow::{WorkflowRunSpec, WorkflowSpec};

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
    /// Whether anything is ever reported about an object.
    pub has_status: bool,
    /// What keeps a deleted object until all that depends on it is gone, if anything does.
    pub finalizer: Option<&'static str>,
    /// What a table shows besides the name.
    pub columns: &'static [Column],
    /// The fields by which objects can be selected, as JSON paths.
    pub selectable: &'static [&'static str],
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
        });
        if self.has_status {
            version["subresources"] = json!({ "status": {} });
        }
        if !columns.is_empty() {
            version["additionalPrinterColumns"] = Value::Array(columns);
        }
        if !self.selectable.is_empty() {
            let fields = self.selectable.iter();
            let fields = fields.map(|path| json!({ "jsonPath": path }));
            version["selectableFields"] = fields.collect();
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
const RESOURCE: Column = column("Resource", ".spec.owner.resourceName");
const READY: Column = column("Ready", ".status.conditions[?(@.type==\"Ready\")].status");
const PORT: Column = Column {
    name: "Port",
    type_: "integer",
    json_path: ".spec.connection.port",
};
const NOTIFICATIONS: Column = Column {
    name: "Notifications",
    type_: "integer",
    json_path: ".status.notificationCount",
};

/// The schema of a specification, in its scope.
macro_rules! schema_of {
    (Namespaced $Spec:ty) => {
        schema::object::<$Spec>
    };
    (Cluster $Spec:ty) => {
        schema::cluster_object::<$Spec>
    };
}

/// A row of the registry: specification, scope, names, finalizer, columns.
macro_rules! row {
    (
        $Spec:ty, $scope:ident, $kind:literal, $plural:literal, $singular:literal,
        short $short:expr, aliases $aliases:expr, finalizer $finalizer:expr, columns $columns:expr
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
            has_status: <$Spec as Spec>::HAS_STATUS,
            finalizer: $finalizer,
            columns: &$columns,
            selectable: <$Spec as Spec>::SELECTABLE,
            schema: schema_of!($scope $Spec),
            check: check::object::<$Spec>,
        }
    };
}

const REGISTRY: &[Kind] = &[
    row!(OrganizationSpec, Cluster, "Organization", "organizations", "organization",
        short ["org", "orgs"], aliases [], finalizer Some(finalizers::ORGANIZATION),
        columns [column("Namespace", ".status.namespace"), READY, AGE]),
    row!(ProjectSpec, Namespaced, "Project", "projects", "project",
        short ["proj", "projs"], aliases [], finalizer Some(finalizers::PROJECT),
        columns []),
    row!(ComponentSpec, Namespaced, "Component", "components", "component",
        short ["comp", "comps"], aliases [], finalizer Some(finalizers::COMPONENT),
        columns [PROJECT, column("ComponentType", ".spec.componentType.name"), AGE]),
    row!(DeploymentTrackSpec, Namespaced, "DeploymentTrack", "deploymenttracks", "deploymenttrack",
        short ["track", "tracks"], aliases [], finalizer Some(finalizers::DEPLOYMENT_TRACK),
        columns [PROJECT, COMPONENT, column("Branch", ".spec.branch"), column("API version", ".spec.apiVersion"),
            column("Release", ".status.latestRelease.name"), READY, AGE]),
    row!(ApiSpec, Namespaced, "API", "apis", "api",
        short [], aliases [], finalizer Some(finalizers::API),
        columns [PROJECT, column("Context", ".spec.context"), column("Version", ".spec.version"), READY, AGE]),
    row!(WorkloadSpec, Namespaced, "Workload", "workloads", "workload",
        short [], aliases ["wl"], finalizer None,
        columns [PROJECT, COMPONENT, AGE]),
    row!(ComponentReleaseSpec, Namespaced, "ComponentRelease", "componentreleases", "componentrelease",
        short [], aliases ["release", "releases", "cr", "crs"], finalizer None,
        columns [PROJECT, COMPONENT, AGE]),
    row!(ReleaseBindingSpec, Namespaced, "ReleaseBinding", "releasebindings", "releasebinding",
        short [], aliases ["binding", "bindings", "rb", "rbs"], finalizer Some(finalizers::RELEASE_BINDING),
        columns [PROJECT, COMPONENT, ENVIRONMENT, AGE]),
    row!(RenderedReleaseSpec, Namespaced, "RenderedRelease", "renderedreleases", "renderedrelease",
        short [], aliases ["rendered", "rr", "rrs"], finalizer Some(finalizers::DATA_PLANE),
        columns []),
    row!(DeploymentRecordSpec, Namespaced, "DeploymentRecord", "deploymentrecords", "deploymentrecord",
        short [], aliases ["record", "records"], finalizer None,
        columns [COMPONENT, ENVIRONMENT, column("Action", ".spec.action"), column("Release", ".spec.release"),
            column("By", ".spec.changedBy"), column("Outcome", ".status.outcome"), AGE]),
    row!(ProjectReleaseSpec, Namespaced, "ProjectRelease", "projectreleases", "projectrelease",
        short [], aliases ["pr", "prs"], finalizer None,
        columns [PROJECT, AGE]),
    row!(ProjectReleaseBindingSpec, Namespaced, "ProjectReleaseBinding", "projectreleasebindings", "projectreleasebinding",
        short ["prb", "prbs"], aliases ["cell", "cells"], finalizer Some(finalizers::PROJECT_RELEASE_BINDING),
        columns [PROJECT, ENVIRONMENT, column("Release", ".spec.projectRelease"), READY, AGE]),
    row!(ResourceSpec, Namespaced, "Resource", "resources", "resource",
        short ["res"], aliases [], finalizer Some(finalizers::RESOURCE),
        columns [PROJECT, column("Type", ".spec.type.name"), AGE]),
    row!(ResourceReleaseSpec, Namespaced, "ResourceRelease", "resourcereleases", "resourcerelease",
        short [], aliases [], finalizer None,
        columns [PROJECT, RESOURCE, AGE]),
    row!(ResourceReleaseBindingSpec, Namespaced, "ResourceReleaseBinding", "resourcereleasebindings", "resourcereleasebinding",
        short ["rrb", "rrbs"], aliases [], finalizer Some(finalizers::RESOURCE_RELEASE_BINDING),
        columns [PROJECT, RESOURCE, ENVIRONMENT, column("Release", ".spec.resourceRelease"), READY, AGE]),
    row!(WorkflowRunSpec, Namespaced, "WorkflowRun", "workflowruns", "workflowrun",
        short [], aliases ["run", "runs"], finalizer Some(finalizers::WORKFLOW_RUN),
        columns []),
    row!(EnvironmentSpec, Namespaced, "Environment", "environments", "environment",
        short ["env", "envs"], aliases [], finalizer Some(finalizers::ENVIRONMENT),
        columns []),
    row!(PreviewEnvironmentSpec, Namespaced, "PreviewEnvironment", "previewenvironments", "previewenvironment",
    short ["preview", "previews"], aliases [], finalizer Some(finalizers::PREVIEW_ENVIRONMENT),
    columns [
        column("Project", ".spec.projectName"), column("From", ".spec.from"),
        column("Phase", ".status.phase"), column("Expires", ".status.expiresAt"), AGE,
    ]),
    row!(DeploymentPipelineSpec, Namespaced, "DeploymentPipeline", "deploymentpipelines", "deploymentpipeline",
        short ["deppipe", "deppipes"], aliases ["pipeline", "pipelines"], finalizer Some(finalizers::DEPLOYMENT_PIPELINE),
        columns []),
    row!(PromotionSpec, Namespaced, "Promotion", "promotions", "promotion",
        short ["promo", "promos"], aliases [], finalizer Some(finalizers::PROMOTION),
        columns [PROJECT, COMPONENT, column("From", ".spec.sourceEnvironment"), column("To", ".spec.targetEnvironment"),
            column("Phase", ".status.phase"), column("Requested by", ".spec.requestedBy"), AGE]),
    row!(DataPlaneSpec, Namespaced, "DataPlane", "dataplanes", "dataplane",
        short ["dp", "dps"], aliases [], finalizer Some(finalizers::DATA_PLANE),
        columns []),
    row!(DataPlaneSpec, Cluster, "ClusterDataPlane", "clusterdataplanes", "clusterdataplane",
        short ["cdp", "cdps"], aliases [], finalizer Some(finalizers::CLUSTER_DATA_PLANE),
        columns []),
    row!(WorkflowPlaneSpec, Namespaced, "WorkflowPlane", "workflowplanes", "workflowplane",
        short [], aliases ["wp", "wps"], finalizer Some(finalizers::WORKFLOW_PLANE),
        columns []),
    row!(WorkflowPlaneSpec, Cluster, "ClusterWorkflowPlane", "clusterworkflowplanes", "clusterworkflowplane",
        short ["cwp", "cwps"], aliases [], finalizer Some(finalizers::CLUSTER_WORKFLOW_PLANE),
        columns []),
    row!(ObservabilityPlaneSpec, Namespaced, "ObservabilityPlane", "observabilityplanes", "observabilityplane",
        short [], aliases ["op", "ops"], finalizer Some(finalizers::OBSERVABILITY_PLANE_OBJECT),
        columns []),
    row!(ObservabilityPlaneSpec, Cluster, "ClusterObservabilityPlane", "clusterobservabilityplanes", "clusterobservabilityplane",
        short ["cop", "cops"], aliases [], finalizer Some(finalizers::CLUSTER_OBSERVABILITY_PLANE),
        columns []),
    row!(ComponentTypeSpec, Namespaced, "ComponentType", "componenttypes", "componenttype",
        short ["ct", "cts"], aliases [], finalizer None,
        columns [column("WorkloadType", ".spec.workloadType"), AGE]),
    row!(ComponentTypeSpec, Cluster, "ClusterComponentType", "clustercomponenttypes", "clustercomponenttype",
        short ["cct", "ccts"], aliases [], finalizer None,
        columns [column("WorkloadType", ".spec.workloadType"), AGE]),
    row!(TraitSpec, Namespaced, "Trait", "traits", "trait",
        short ["trait", "traits"], aliases [], finalizer None,
        columns []),
    row!(TraitSpec, Cluster, "ClusterTrait", "clustertraits", "clustertrait",
        short ["ctrait", "ctraits"], aliases [], finalizer None,
        columns []),
    row!(ProjectTypeSpec, Namespaced, "ProjectType", "projecttypes", "projecttype",
        short ["pt", "pts"], aliases [], finalizer None,
        columns []),
    row!(ProjectTypeSpec, Cluster, "ClusterProjectType", "clusterprojecttypes", "clusterprojecttype",
        short ["cpt", "cpts"], aliases [], finalizer None,
        columns []),
    row!(ResourceTypeSpec, Namespaced, "ResourceType", "resourcetypes", "resourcetype",
        short ["rt", "rts"], aliases [], finalizer None,
        columns []),
    row!(ResourceTypeSpec, Cluster, "ClusterResourceType", "clusterresourcetypes", "clusterresourcetype",
        short ["crt", "crts"], aliases [], finalizer None,
        columns []),
    row!(WorkflowSpec, Namespaced, "Workflow", "workflows", "workflow",
        short [], aliases ["wf"], finalizer None,
        columns []),
    row!(WorkflowSpec, Cluster, "ClusterWorkflow", "clusterworkflows", "clusterworkflow",
        short ["cwf", "cwfs"], aliases [], finalizer None,
        columns []),
    row!(ConfigurationGroupSpec, Namespaced, "ConfigurationGroup", "configurationgroups", "configurationgroup",
        short ["cg", "cgs"], aliases ["configgroup", "configgroups"], finalizer None,
        columns [AGE]),
    row!(ExternalConnectionSpec, Namespaced, "ExternalConnection", "externalconnections", "externalconnection",
        short ["extconn", "extconns"], aliases [], finalizer None,
        columns [column("Host", ".spec.connection.host"), PORT, column("Protocol", ".spec.connection.protocol"), READY, AGE]),
    row!(SecretReferenceSpec, Namespaced, "SecretReference", "secretreferences", "secretreference",
        short [], aliases ["secretref", "secretrefs"], finalizer None,
        columns []),
    row!(ObservabilityAlertRuleSpec, Namespaced, "ObservabilityAlertRule", "observabilityalertrules", "observabilityalertrule",
        short [], aliases ["alertrule", "alertrules"], finalizer Some(finalizers::ALERT_RULE),
        columns [column("Severity", ".spec.severity"), column("Enabled", ".spec.enabled"), column("Phase", ".status.phase"), AGE]),
    row!(ObservabilityAlertsNotificationChannelSpec, Namespaced, "ObservabilityAlertsNotificationChannel", "observabilityalertsnotificationchannels", "observabilityalertsnotificationchannel",
        short [], aliases ["channel", "channels"], finalizer Some(finalizers::NOTIFICATION_CHANNEL),
        columns [column("Type", ".spec.type"), AGE, NOTIFICATIONS]),
    row!(AuthzRoleSpec, Namespaced, "AuthzRole", "authzroles", "authzrole",
        short [], aliases [], finalizer None,
        columns [AGE]),
    row!(AuthzRoleSpec, Cluster, "ClusterAuthzRole", "clusterauthzroles", "clusterauthzrole",
        short [], aliases [], finalizer None,
        columns [AGE]),
    row!(AuthzRoleBindingSpec, Namespaced, "AuthzRoleBinding", "authzrolebindings", "authzrolebinding",
        short [], aliases [], finalizer None,
        columns [AGE]),
    row!(ClusterAuthzRoleBindingSpec, Cluster, "ClusterAuthzRoleBinding", "clusterauthzrolebindings", "clusterauthzrolebinding",
        short [], aliases [], finalizer None,
        columns [AGE]),
];
