//! The variables that templates of types and traits see.

use crate::configurations::Configurations;
use crate::connections::{self, Connections};
use crate::dialect;
use crate::snapshot::{ComponentSnapshot, ProjectSnapshot};
use choreo_model::application::{
    Container, EndpointType, Visibility, WorkloadEndpoint, WorkloadTemplate,
};
use choreo_model::plane::{GatewayPair, GatewaySpec};
use choreo_model::{DataPlane, Environment, labels, names};
use choreo_template::{Context, Helper};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Variables by name, and what helpers return.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Variables {
    variables: BTreeMap<&'static str, Value>,
    helpers: Vec<(Helper, Value)>,
}

impl Variables {
    /// Makes everything visible in `context`.
    pub(crate) fn bind<'v>(&'v self, context: &mut Context<'_, 'v>) {
        for (name, value) in &self.variables {
            context.bind(name, value);
        }
        for (helper, value) in &self.helpers {
            context.bind_helper(helper, value);
        }
    }

    /// Sets what `helper` returns.
    pub(crate) fn set_helper(&mut self, helper: Helper, value: Value) {
        self.helpers.push((helper, value));
    }

    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        self.variables.insert(name, value);
    }

    /// The variable `name`.
    pub(crate) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    /// What `helper` returns.
    pub(crate) fn helper(&self, helper: Helper) -> Option<&Value> {
        let found = self.helpers.iter().find(|(known, _)| *known == helper);
        found.map(|(_, value)| value)
    }
}

/// The labels all objects of a component in an environment share, and its pods are found by.
pub(crate) fn component_labels(snapshot: &ComponentSnapshot<'_>) -> BTreeMap<&'static str, String> {
    let mut labels = project_labels(
        snapshot.binding.namespace(),
        (snapshot.project.name(), snapshot.project.uid()),
        snapshot.environment,
    );
    labels.insert(labels::COMPONENT, snapshot.component.name().to_owned());
    labels.insert(labels::COMPONENT_UID, snapshot.component.uid().to_owned());
    labels
}

pub(crate) fn project_labels(
    namespace: &str,
    (project, uid): (&str, &str),
    environment: &Environment,
) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (labels::NAMESPACE, namespace.to_owned()),
        (labels::PROJECT, project.to_owned()),
        (labels::PROJECT_UID, uid.to_owned()),
        (labels::ENVIRONMENT, environment.name().to_owned()),
        (labels::ENVIRONMENT_UID, environment.uid().to_owned()),
    ])
}

/// The variables of a component, without `parameters` and `environmentConfigs`.
pub(crate) fn component(
    snapshot: &ComponentSnapshot<'_>,
    labels: &BTreeMap<&'static str, String>,
    container: &Container,
    configurations: Configurations,
    connections: &Connections,
) -> Variables {
    let workload = &snapshot.release.workload;
    let dependencies = connections::variable(workload, connections);
    let mut variables = Variables::default();
    variables.set("metadata", component_metadata(snapshot, labels));
    variables.set("workload", workload_variable(workload, container));
    set_places(
        &mut variables,
        snapshot.environment,
        snapshot.data_plane,
        snapshot.notification_channel,
    );
    variables.helpers = vec![
        (dialect::DEPENDENCY_ENVS, dependencies["envVars"].clone()),
        (
            dialect::DEPENDENCY_MOUNTS,
            dependencies["volumeMounts"].clone(),
        ),
        (dialect::DEPENDENCY_VOLUMES, dependencies["volumes"].clone()),
        (dialect::SERVICE_PORTS, service_ports(workload)),
        (dialect::ENV_FROM, configurations.env_from),
        (dialect::CONFIG_ENVS, configurations.config_envs),
        (dialect::SECRET_ENVS, configurations.secret_envs),
        (dialect::CONFIG_FILES, configurations.config_files),
        (dialect::SECRET_FILES, configurations.secret_files),
        (dialect::FILE_MOUNTS, configurations.mounts),
        (dialect::FILE_VOLUMES, configurations.volumes),
    ];
    variables.set("dependencies", dependencies);
    variables.set("configurations", configurations.variable);
    variables
}

/// The variables of a project, without `parameters` and `environmentConfigs`.
pub(crate) fn project(snapshot: &ProjectSnapshot<'_>) -> Variables {
    let mut variables = Variables::default();
    variables.set("metadata", project_metadata(snapshot));
    set_places(
        &mut variables,
        snapshot.environment,
        snapshot.data_plane,
        None,
    );
    variables
}

fn component_metadata(
    snapshot: &ComponentSnapshot<'_>,
    labels: &BTreeMap<&'static str, String>,
) -> Value {
    let namespace = snapshot.binding.namespace();
    let (component, project) = (snapshot.component, snapshot.project);
    let (environment, plane) = (snapshot.environment, snapshot.data_plane);
    json!({
        "name": names::component_name(component.name(), environment.name()),
        "namespace": names::cell_namespace(namespace, project.name(), environment.name()),
        "componentNamespace": namespace,
        "componentName": component.name(),
        "componentUID": component.uid(),
        "projectName": project.name(),
        "projectUID": project.uid(),
        "environmentName": environment.name(),
        "environmentUID": environment.uid(),
        "dataPlaneName": plane.name(),
        "dataPlaneUID": plane.uid(),
        "labels": labels,
        "annotations": {},
        "podSelectors": labels,
    })
}

fn project_metadata(snapshot: &ProjectSnapshot<'_>) -> Value {
    let namespace = snapshot.binding.namespace();
    let (project, environment, plane) =
        (snapshot.project, snapshot.environment, snapshot.data_plane);
    let annotations = snapshot
        .binding
        .metadata
        .annotations
        .clone()
        .unwrap_or_default();
    json!({
        "namespace": names::cell_namespace(namespace, project.name(), environment.name()),
        "projectNamespace": namespace,
        "projectName": project.name(),
        "projectUID": project.uid(),
        "environmentName": environment.name(),
        "environmentUID": environment.uid(),
        "dataPlaneName": plane.name(),
        "dataPlaneUID": plane.uid(),
        "labels": project_labels(namespace, (project.name(), project.uid()), environment),
        "annotations": annotations,
    })
}

/// `dataplane`, `environment` and, if there is one, `gateway`.
pub(crate) fn set_places(
    variables: &mut Variables,
    environment: &Environment,
    plane: &DataPlane,
    channel: Option<&str>,
) {
    let mut data_plane = Map::new();
    let annotations = plane.metadata.annotations.as_ref();
    if let Some(annotations) = annotations.filter(|annotations| !annotations.is_empty()) {
        data_plane.insert("annotations".to_owned(), json!(annotations));
    }
    if let Some(store) = &plane.spec.secret_store_ref {
        data_plane.insert("secretStore".to_owned(), json!(store.name));
    }
    if let Some(gateway) = plane.spec.gateway.as_ref().and_then(gateway_value) {
        data_plane.insert("gateway".to_owned(), gateway);
    }
    if let Some(observability) = &plane.spec.observability_plane_ref {
        data_plane.insert("observabilityPlaneRef".to_owned(), json!(observability));
    }
    variables.set("dataplane", Value::Object(data_plane));
    let mut surroundings = Map::new();
    if let Some(gateway) = gateway_value(&gateway(environment, plane)) {
        surroundings.insert("gateway".to_owned(), gateway.clone());
        variables.set("gateway", gateway);
    }
    if let Some(channel) = channel {
        surroundings.insert("defaultNotificationChannel".to_owned(), json!(channel));
    }
    variables.set("environment", Value::Object(surroundings));
}

/// The gateways of an environment: its own entries, each taken whole, over the data plane's.
pub(crate) fn gateway(environment: &Environment, plane: &DataPlane) -> GatewaySpec {
    let own = environment.spec.gateway.clone().unwrap_or_default();
    let base = plane.spec.gateway.clone().unwrap_or_default();
    GatewaySpec {
        ingress: overlaid(base.ingress, own.ingress),
        egress: overlaid(base.egress, own.egress),
    }
}

fn overlaid(base: Option<GatewayPair>, own: Option<GatewayPair>) -> Option<GatewayPair> {
    match (base, own) {
        (Some(base), Some(own)) => Some(GatewayPair {
            external: own.external.or(base.external),
            internal: own.internal.or(base.internal),
        }),
        (base, own) => own.or(base),
    }
    .filter(|pair| pair.external.is_some() || pair.internal.is_some())
}

fn gateway_value(gateway: &GatewaySpec) -> Option<Value> {
    let configured = gateway.ingress.is_some() || gateway.egress.is_some();
    configured.then(|| json!(gateway))
}

fn workload_variable(workload: &WorkloadTemplate, container: &Container) -> Value {
    let mut described = json!({"image": container.image});
    for (name, words) in [("command", &container.command), ("args", &container.args)] {
        if !words.is_empty() {
            described[name] = words.as_slice().into();
        }
    }
    let endpoints: Map<String, Value> = workload
        .endpoints
        .iter()
        .map(|(name, endpoint)| (name.clone(), endpoint_variable(endpoint)))
        .collect();
    Value::from_iter([
        ("container", described),
        ("endpoints", Value::Object(endpoints)),
    ])
}

fn endpoint_variable(endpoint: &WorkloadEndpoint) -> Value {
    let declared = endpoint.visibility.iter().copied();
    let others = declared.filter(|visibility| *visibility != Visibility::Project);
    let visibility: Vec<&str> = std::iter::once(Visibility::Project)
        .chain(others)
        .map(Visibility::as_str)
        .collect();
    let mut variable = json!({
        "type": endpoint.type_.as_str(),
        "port": endpoint.port,
        "targetPort": endpoint.target_port.unwrap_or(endpoint.port),
        "visibility": visibility,
    });
    for (name, text) in [
        ("displayName", &endpoint.display_name),
        ("basePath", &endpoint.base_path),
    ] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            variable[name] = Value::from(text);
        }
    }
    variable
}

/// `TCP` or `UDP`.
pub(crate) const fn protocol(endpoint: &WorkloadEndpoint) -> &'static str {
    match endpoint.type_ {
        EndpointType::Udp => "UDP",
        EndpointType::Http
        | EndpointType::Grpc
        | EndpointType::GraphQL
        | EndpointType::Websocket
        | EndpointType::Tcp => "TCP",
    }
}

/// One port per port number and protocol, in the order of endpoint names.
fn service_ports(workload: &WorkloadTemplate) -> Value {
    let mut seen = BTreeSet::new();
    let mut taken = BTreeSet::new();
    workload
        .endpoints
        .iter()
        .filter(|(_, endpoint)| seen.insert((endpoint.port, protocol(endpoint))))
        .map(|(name, endpoint)| {
            json!({
                "name": port_name(name, endpoint.port, &mut taken),
                "port": endpoint.port,
                "targetPort": endpoint.target_port.unwrap_or(endpoint.port),
                "protocol": protocol(endpoint),
            })
        })
        .collect()
}

/// A port's name: what `endpoint` has of lower-case letters, digits and `-`, at most 15 of them,
/// and unlike those taken.
fn port_name(endpoint: &str, port: u16, taken: &mut BTreeSet<String>) -> String {
    const LIMIT: usize = 15;
    let clean: String = endpoint
        .to_lowercase()
        .chars()
        .map(|c| if c == '_' { '-' } else { c })
        .filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
        .collect();
    let clean = clean.trim_matches('-');
    let clean = clean.get(..LIMIT).unwrap_or(clean).trim_end_matches('-');
    let stem = match clean {
        "" => format!("port-{port}"),
        clean => clean.to_owned(),
    };
    let mut name = stem.clone();
    for number in 2_usize.. {
        if taken.insert(name.clone()) {
            break;
        }
        let suffix = format!("-{number}");
        let room = LIMIT.saturating_sub(suffix.len());
        name = format!("{}{suffix}", stem.get(..room).unwrap_or(&stem));
    }
    name
}
