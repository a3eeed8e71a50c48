//! The variables that templates of types and traits see.

use crate::bench::{Bench, Ledger};
use crate::configurations::Configurations;
use crate::connections::Dependencies;
use crate::programs::Programs;
use crate::snapshot::{ComponentSnapshot, ProjectSnapshot};
use crate::{dialect, protocol_schema};
use choreo_model::application::{
    Container, EndpointType, Visibility, WorkloadEndpoint, WorkloadTemplate,
};
use choreo_model::plane::{GatewayPair, GatewaySpec};
use choreo_model::{DataPlane, Environment, SecretReference, labels, names};
use choreo_template::{Context, Helper, Members, Tree, tree};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Variables by name, and what helpers return.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Variables {
    variables: Vec<(&'static str, Tree)>,
    helpers: Vec<(&'static Helper, Tree)>,
}

impl Variables {
    /// Makes everything visible in `context`.
    pub(crate) fn bind<'v>(&'v self, context: &mut Context<'_, 'v>) {
        context.reserve(self.variables.len(), self.helpers.len());
        for (name, value) in &self.variables {
            context.bind_tree(name, value);
        }
        for (helper, value) in &self.helpers {
            context.bind_helper(helper, value);
        }
    }

    /// Sets what `helper` returns.
    pub(crate) fn set_helper(&mut self, helper: &'static Helper, value: Tree) {
        self.helpers.push((helper, value));
    }

    pub(crate) fn set(&mut self, name: &'static str, value: Tree) {
        self.variables.push((name, value));
    }

    /// The variable `name`.
    pub(crate) fn variable(&self, name: &str) -> Option<&Tree> {
        let found = self.variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    /// What `helper` returns.
    pub(crate) fn helper(&self, helper: Helper) -> Option<&Tree> {
        let found = self.helpers.iter().find(|(known, _)| **known == helper);
        found.map(|(_, value)| value)
    }
}

/// The labels all objects of a component in an environment share, and its pods are found by.
pub(crate) fn component_labels(snapshot: &ComponentSnapshot<'_>) -> Members {
    let mut labels = project_labels(
        snapshot.binding.namespace(),
        (snapshot.project.name(), snapshot.project.uid()),
        snapshot.environment,
    );
    let owner = &snapshot.binding.spec.owner;
    labels.insert(labels::COMPONENT, &*owner.line());
    labels.insert(labels::COMPONENT_UID, snapshot.component.uid());
    if let Some(track) = &owner.track_name {
        labels.insert(labels::TRACK, track);
    }
    labels
}

pub(crate) fn project_labels(
    namespace: &str,
    (project, uid): (&str, &str),
    environment: &Environment,
) -> Members {
    // With room for those that belong to one thing in the project.
    let mut labels = Members::with_capacity(8);
    labels.insert(labels::ENVIRONMENT, environment.name());
    labels.insert(labels::ENVIRONMENT_UID, environment.uid());
    labels.insert(labels::NAMESPACE, namespace);
    labels.insert(labels::PROJECT, project);
    labels.insert(labels::PROJECT_UID, uid);
    labels
}

/// What is known of a component where it is rendered.
pub(crate) struct Known<'k> {
    /// The namespace of its cell.
    pub(crate) cell: &'k str,
    /// What all its objects are labelled with.
    pub(crate) labels: &'k Members,
    /// Its container, with what the binding says of it.
    pub(crate) container: &'k Container,
    pub(crate) configurations: &'k Configurations<'k>,
    pub(crate) dependencies: &'k Dependencies<'k>,
}

/// The variables of a component, without its places, `parameters` and `environmentConfigs`. What no
/// template on `bench` asks for is left empty.
pub(crate) fn component<L: Ledger>(
    bench: &Bench<L>,
    snapshot: &ComponentSnapshot<'_>,
    known: &Known<'_>,
) -> Variables {
    type Make<S> = (&'static Helper, fn(&S) -> Tree);
    let configured: [Make<Configurations<'_>>; 7] = [
        (&dialect::ENV_FROM, Configurations::env_from),
        (&dialect::CONFIG_ENVS, Configurations::config_envs),
        (&dialect::SECRET_ENVS, Configurations::secret_envs),
        (&dialect::CONFIG_FILES, Configurations::config_files),
        (&dialect::SECRET_FILES, Configurations::secret_files),
        (&dialect::FILE_MOUNTS, Configurations::mounts),
        (&dialect::FILE_VOLUMES, Configurations::volumes),
    ];
    let depended: [Make<Dependencies<'_>>; 3] = [
        (&dialect::DEPENDENCY_ENVS, Dependencies::env_vars),
        (&dialect::DEPENDENCY_MOUNTS, Dependencies::mounts),
        (&dialect::DEPENDENCY_VOLUMES, Dependencies::volumes),
    ];
    let Known {
        configurations,
        dependencies,
        ..
    } = known;
    let workload = &snapshot.release.workload;
    let mut variables = Variables {
        // As many as a component has.
        variables: Vec::with_capacity(9),
        helpers: Vec::with_capacity(dialect::HELPERS.len()),
    };
    variables.set("metadata", component_metadata(snapshot, known));
    variables.set("workload", workload_variable(workload, known.container));
    // Who asks where something comes from needs to know what helpers were made of.
    let read = |name, make: &dyn Fn() -> Tree| {
        let is_read = L::ENABLED || bench.reads(name);
        if is_read { make() } else { Tree::default() }
    };
    variables.set(
        "dependencies",
        read("dependencies", &|| dependencies.variable()),
    );
    variables.set(
        "configurations",
        read("configurations", &|| configurations.variable()),
    );
    let asked = |helper: &Helper| bench.mentions(*helper);
    let configured = configured.into_iter().filter(|(helper, _)| asked(helper));
    let depended = depended.into_iter().filter(|(helper, _)| asked(helper));
    let configured = configured.map(|(helper, make)| (helper, make(configurations)));
    let depended = depended.map(|(helper, make)| (helper, make(dependencies)));
    variables.helpers.extend(configured.chain(depended));
    if asked(&dialect::SERVICE_PORTS) {
        variables.set_helper(&dialect::SERVICE_PORTS, service_ports(workload));
    }
    if bench.reads(dialect::SECRET_REFERENCES) {
        let named = secret_references(&snapshot.secret_references);
        variables.set(dialect::SECRET_REFERENCES, named);
    }
    // Schemas may be long, and few types ask for what they say.
    if asked(&dialect::ENDPOINT_RESOURCES) {
        let resources = protocol_schema::all(workload);
        variables.set_helper(&dialect::ENDPOINT_RESOURCES, resources.into());
    }
    variables
}

/// The variables of a project, without `parameters` and `environmentConfigs`.
pub(crate) fn project(snapshot: &ProjectSnapshot<'_>, programs: &Programs) -> Variables {
    let mut variables = Variables::default();
    variables.set("metadata", project_metadata(snapshot));
    set_places(
        &mut variables,
        snapshot.environment,
        snapshot.data_plane,
        None,
        programs,
    );
    variables
}

fn component_metadata(snapshot: &ComponentSnapshot<'_>, known: &Known<'_>) -> Tree {
    let Known { cell, labels, .. } = *known;
    let (owner, environment) = (&snapshot.binding.spec.owner, snapshot.environment.name());
    let plane = snapshot.data_plane;
    let label = |key| labels.get(key).cloned().unwrap_or_default();
    tree!({
        "annotations": {},
        "componentName": label(labels::COMPONENT),
        "componentNamespace": label(labels::NAMESPACE),
        "componentUID": label(labels::COMPONENT_UID),
        "dataPlaneName": plane.name(),
        "dataPlaneUID": plane.uid(),
        "environmentName": label(labels::ENVIRONMENT),
        "environmentUID": label(labels::ENVIRONMENT_UID),
        "labels": labels.clone(),
        "name": names::component_name(&owner.line(), environment),
        "namespace": cell,
        "podSelectors": labels.clone(),
        "projectName": label(labels::PROJECT),
        "projectUID": label(labels::PROJECT_UID),
        "trackName": label(labels::TRACK),
    })
}

fn project_metadata(snapshot: &ProjectSnapshot<'_>) -> Tree {
    let namespace = snapshot.binding.namespace();
    let (project, environment, plane) =
        (snapshot.project, snapshot.environment, snapshot.data_plane);
    let annotations = snapshot
        .binding
        .metadata
        .annotations
        .clone()
        .unwrap_or_default();
    tree!({
        "namespace": names::cell_namespace(namespace, project.name(), environment.name()),
        "projectNamespace": namespace,
        "projectName": project.name(),
        "projectUID": project.uid(),
        "environmentName": environment.name(),
        "environmentUID": environment.uid(),
        "dataPlaneName": plane.name(),
        "dataPlaneUID": plane.uid(),
        "labels": project_labels(namespace, (project.name(), project.uid()), environment),
        "annotations": &annotations,
    })
}

/// `dataplane`, `environment` and, if there is one, `gateway`.
pub(crate) fn set_places(
    variables: &mut Variables,
    environment: &Environment,
    plane: &DataPlane,
    channel: Option<&str>,
    programs: &Programs,
) {
    let gateway_value = |gateway: &GatewaySpec| {
        let configured = gateway.ingress.is_some() || gateway.egress.is_some();
        configured.then(|| programs.gateway(gateway))
    };
    let mut data_plane = Members::with_capacity(4);
    let annotations = plane.metadata.annotations.as_ref();
    if let Some(annotations) = annotations.filter(|annotations| !annotations.is_empty()) {
        data_plane.insert("annotations", annotations);
    }
    if let Some(store) = &plane.spec.secret_store_ref {
        data_plane.insert("secretStore", &store.name);
    }
    if let Some(gateway) = plane.spec.gateway.as_ref().and_then(gateway_value) {
        data_plane.insert("gateway", gateway);
    }
    if let Some(Ok(observability)) = plane.spec.observability_plane_ref.as_ref().map(Tree::of) {
        data_plane.insert("observabilityPlaneRef", observability);
    }
    variables.set("dataplane", Tree::Object(data_plane));
    let mut surroundings = Members::with_capacity(2);
    if let Some(gateway) = gateway_value(&gateway(environment, plane)) {
        surroundings.insert("gateway", &gateway);
        variables.set("gateway", gateway);
    }
    if let Some(channel) = channel {
        surroundings.insert("defaultNotificationChannel", channel);
    }
    variables.set("environment", Tree::Object(surroundings));
}

/// The gateways of an environment: its own entries, each taken whole, over the data plane's.
pub(crate) fn gateway<'p>(
    environment: &'p Environment,
    plane: &'p DataPlane,
) -> Cow<'p, GatewaySpec> {
    let (own, base) = (&environment.spec.gateway, &plane.spec.gateway);
    match (own, base) {
        (None, None) => Cow::Owned(GatewaySpec::default()),
        (None, Some(only)) | (Some(only), None) if says_all(only) => Cow::Borrowed(only),
        _ => {
            let own = own.clone().unwrap_or_default();
            let base = base.clone().unwrap_or_default();
            Cow::Owned(GatewaySpec {
                ingress: overlaid(base.ingress, own.ingress),
                egress: overlaid(base.egress, own.egress),
            })
        }
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
    .filter(says_anything)
}

/// Whether none of the gateways' directions is there without saying anything.
fn says_all(gateway: &GatewaySpec) -> bool {
    let mut directions = gateway.ingress.iter().chain(&gateway.egress);
    directions.all(says_anything)
}

const fn says_anything(pair: &GatewayPair) -> bool {
    pair.external.is_some() || pair.internal.is_some()
}

/// Where the values are that secret references name, by their names and keys.
pub(crate) fn secret_references(references: &[&SecretReference]) -> Tree {
    let by_key = |reference: &&SecretReference| -> Members {
        let data = reference.spec.data.iter();
        data.map(|one| {
            let remote = Tree::of(&one.remote_ref).unwrap_or_default();
            (one.secret_key.clone(), remote)
        })
        .collect()
    };
    let named = references.iter();
    let named: Members = named
        .map(|one| (one.name().to_owned(), by_key(one)))
        .collect();
    named.into()
}

fn workload_variable(workload: &WorkloadTemplate, container: &Container) -> Tree {
    let mut described = Members::with_capacity(3);
    described.insert("image", &container.image);
    for (name, words) in [("command", &container.command), ("args", &container.args)] {
        if !words.is_empty() {
            described.insert(name, words.as_slice());
        }
    }
    let endpoints: Members = workload
        .endpoints
        .iter()
        .map(|(name, endpoint)| (name, endpoint_variable(endpoint)))
        .collect();
    tree!({"container": described, "endpoints": endpoints})
}

fn endpoint_variable(endpoint: &WorkloadEndpoint) -> Tree {
    let declared = endpoint.visibility.iter().copied();
    let others = declared.filter(|visibility| *visibility != Visibility::Project);
    let visibility: Vec<&str> = std::iter::once(Visibility::Project)
        .chain(others)
        .map(Visibility::as_str)
        .collect();
    let mut variable = Members::with_capacity(6);
    variable.insert("port", endpoint.port);
    variable.insert("targetPort", endpoint.target_port.unwrap_or(endpoint.port));
    variable.insert("type", endpoint.type_.as_str());
    variable.insert("visibility", visibility);
    for (name, text) in [
        ("displayName", &endpoint.display_name),
        ("basePath", &endpoint.base_path),
    ] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            variable.insert(name, text);
        }
    }
    variable.into()
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
fn service_ports(workload: &WorkloadTemplate) -> Tree {
    let mut seen = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let is_only = workload.endpoints.len() == 1;
    workload
        .endpoints
        .iter()
        .filter(|(_, endpoint)| is_only || seen.insert((endpoint.port, protocol(endpoint))))
        .map(|(name, endpoint)| {
            tree!({
                "name": port_name(name, endpoint.port, &mut taken),
                "port": endpoint.port,
                "protocol": protocol(endpoint),
                "targetPort": endpoint.target_port.unwrap_or(endpoint.port),
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
