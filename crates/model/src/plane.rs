//! Planes: where workloads run and are reached, where workflows run, where both are watched.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::reference::{ObservabilityPlaneRef, SecretStoreRef};
use crate::schema;
use crate::shared::AgentConnection;

/// A data plane of one namespace.
pub type DataPlane = Object<DataPlaneSpec>;
/// A data plane of every namespace.
pub type ClusterDataPlane = Object<DataPlaneSpec>;
/// A workflow plane of one namespace.
pub type WorkflowPlane = Object<WorkflowPlaneSpec>;
/// A workflow plane of every namespace.
pub type ClusterWorkflowPlane = Object<WorkflowPlaneSpec>;
/// An observability plane of one namespace.
pub type ObservabilityPlane = Object<ObservabilityPlaneSpec>;
/// An observability plane of every namespace.
pub type ClusterObservabilityPlane = Object<ObservabilityPlaneSpec>;

/// What every plane says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Identifies the plane to its agents; left out, the name of the object.
    #[serde(rename = "planeID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = schema::DNS_LABEL))]
    pub plane_id: Option<String>,
    /// How agents of the plane prove who they are.
    pub cluster_agent: ClusterAgent,
}

/// What a data plane is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataPlaneSpec {
    /// Which plane it is.
    #[serde(flatten)]
    pub registration: Registration,
    /// The gateways of the plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// Where the plane reads secrets from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<SecretStoreRef>,
    /// Where the plane sends logs, metrics and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability_plane_ref: Option<ObservabilityPlaneRef>,
}

/// What a workflow plane is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowPlaneSpec {
    /// Which plane it is.
    #[serde(flatten)]
    pub registration: Registration,
    /// Where the plane reads secrets from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<SecretStoreRef>,
    /// Where the plane sends logs, metrics and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability_plane_ref: Option<ObservabilityPlaneRef>,
}

/// What an observability plane is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservabilityPlaneSpec {
    /// Which plane it is.
    #[serde(flatten)]
    pub registration: Registration,
    /// Where its logs, metrics and traces are asked for.
    #[serde(rename = "observerURL")]
    #[schemars(length(min = 1))]
    pub observer_url: String,
    /// The agent that looks for causes of incidents.
    #[serde(
        rename = "rcaAgentURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub rca_agent_url: Option<String>,
    /// The agent that watches costs.
    #[serde(
        rename = "finOpsAgentURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub fin_ops_agent_url: Option<String>,
}

/// How agents prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAgent {
    /// The authority that signs their client certificates.
    #[serde(rename = "clientCA")]
    pub client_ca: CertificateSource,
}

/// A PEM certificate, written down or kept in a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSource {
    /// The certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The secret it is kept in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<NamespacedSecretKeyRef>,
}

/// A key of a Kubernetes secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespacedSecretKeyRef {
    /// The name of the secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The key in it.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// The gateways of a plane or environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GatewaySpec {
    /// For traffic that enters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<GatewayPair>,
    /// For traffic that leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<GatewayPair>,
}

/// The external and the internal gateway of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GatewayPair {
    /// Towards the internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<GatewayEndpoint>,
    /// Towards the organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<GatewayEndpoint>,
}

/// A Gateway object and its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayEndpoint {
    /// The name of the Gateway.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Its HTTP listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Listener>,
    /// Its HTTPS listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<Listener>,
    /// Its TLS listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Listener>,
}

/// A listener of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// The name of the listener.
    #[serde(
        rename = "listenerName",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
    /// The port callers use.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The host under which endpoints get their names.
    #[schemars(length(min = 1))]
    pub host: String,
}

impl GatewaySpec {
    pub(crate) fn check(&self, field: &str, out: &mut Checker) {
        for (direction, pair) in [("ingress", &self.ingress), ("egress", &self.egress)] {
            let Some(pair) = pair else { continue };
            for (side, gateway) in [("external", &pair.external), ("internal", &pair.internal)] {
                let Some(gateway) = gateway else { continue };
                let field = format!("{field}.{direction}.{side}");
                out.filled(&format!("{field}.name"), &gateway.name);
                out.filled(&format!("{field}.namespace"), &gateway.namespace);
                for (name, listener) in [
                    ("http", &gateway.http),
                    ("https", &gateway.https),
                    ("tls", &gateway.tls),
                ] {
                    if let Some(listener) = listener {
                        out.port(&format!("{field}.{name}.port"), listener.port);
                        out.filled(&format!("{field}.{name}.host"), &listener.host);
                    }
                }
            }
        }
    }
}

/// What was observed of a plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlaneStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// `Created` and `Finalizing`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Whether agents are connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_connection: Option<AgentConnection>,
}

/// What was observed of a data plane.
pub type DataPlaneStatus = PlaneStatus;

impl Spec for DataPlaneSpec {
    type Status = PlaneStatus;
    const KIND: &'static str = "DataPlane";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterDataPlane");
}

impl Spec for WorkflowPlaneSpec {
    type Status = PlaneStatus;
    const KIND: &'static str = "WorkflowPlane";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterWorkflowPlane");
}

impl Spec for ObservabilityPlaneSpec {
    type Status = PlaneStatus;
    const KIND: &'static str = "ObservabilityPlane";
    const CLUSTER_KIND: Option<&'static str> = Some("ClusterObservabilityPlane");
}

impl Check for DataPlaneSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        self.registration.check(out);
        check_observability(self.observability_plane_ref.as_ref(), out);
        if let Some(gateway) = &self.gateway {
            gateway.check("gateway", out);
        }
    }
}

impl Check for WorkflowPlaneSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        self.registration.check(out);
        check_observability(self.observability_plane_ref.as_ref(), out);
    }
}

impl Check for ObservabilityPlaneSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        self.registration.check(out);
        out.filled("observerURL", &self.observer_url);
    }
}

impl Registration {
    fn check(&self, out: &mut Checker) {
        match &self.plane_id {
            Some(id) => out.dns_label("planeID", id),
            None if out.is_cluster() => out.add("planeID", "is required"),
            None => {}
        }
        let source = &self.cluster_agent.client_ca;
        if source.value.is_some() == source.secret_key_ref.is_some() {
            out.add(
                "clusterAgent.clientCA",
                "needs exactly one of value and secretKeyRef",
            );
        }
    }
}

fn check_observability(reference: Option<&ObservabilityPlaneRef>, out: &mut Checker) {
    let Some(reference) = reference else { return };
    out.dns_label("observabilityPlaneRef.name", &reference.name);
}
