//! The pipeline of an API: its endpoints in one environment, under its path on the gateways.
//!
//! It makes a route for every endpoint and gateway, and a policy that lets gateways reach the endpoint; what is
//! done with requests, its traits say, which see the routes as they see those of a component.

mod keys;
mod operations;

use crate::bench::{Bench, Draft, Ledger};
use crate::context::{self, Variables};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect;
use crate::finish;
use crate::origin::{Cause, Origin, Trail};
use crate::programs::Programs;
use crate::protocol_schema;
use crate::result::Compiled;
use crate::uses::{self, Use};
use choreo_model::api::{ApiEndpoint, ApiKey, ApiSpec, ApiVisibility, Operations};
use choreo_model::application::{EndpointSchema, EndpointType, WorkloadEndpoint};
use choreo_model::names::{OBJECT_LIMIT, kubernetes_name};
use choreo_model::plane::GatewayEndpoint;
use choreo_model::release::{ComponentReleaseSpec, EndpointUrl, GatewayUrls};
use choreo_model::shared::TargetPlane;
use choreo_model::traits::TraitSpec;
use choreo_model::{
    Api, DataPlane, Environment, Object, Project, ReleaseBinding, SecretReference, labels, names,
};
use choreo_template::{Context, Members, Recorder, Silent, Tree, tree};

/// What rendering an API in an environment needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiSnapshot<'a> {
    /// The API.
    pub api: &'a Api,
    /// Its project.
    pub project: &'a Project,
    /// The environment.
    pub environment: &'a Environment,
    /// The data plane of the environment.
    pub data_plane: &'a DataPlane,
    /// Those of its endpoints that are deployed there, by name.
    pub targets: Vec<Target<'a>>,
    /// Those that are not offered there yet, and why.
    pub pending: Vec<(&'a str, String)>,
    /// The traits that its own name, in their order; nothing for one that is not there.
    pub traits: Vec<Option<&'a Object<TraitSpec>>>,
    /// The secret references of the namespace; those not used do no harm.
    pub secret_references: Vec<&'a SecretReference>,
    /// The keys that count there now.
    pub keys: Vec<&'a ApiKey>,
}

/// An endpoint of an API where it is deployed.
#[derive(Debug, Clone, PartialEq)]
pub struct Target<'a> {
    /// Its name in the API.
    pub name: &'a str,
    /// What the API says of it.
    pub endpoint: &'a ApiEndpoint,
    /// Where its requests go.
    pub front: Front<'a>,
}

/// Where requests for an endpoint go.
#[derive(Debug, Clone, PartialEq)]
pub enum Front<'a> {
    /// To a Service of the cell.
    Service {
        /// Its name.
        name: &'a str,
        /// What the component says of the endpoint.
        workload: &'a WorkloadEndpoint,
    },
    /// To a Service of the cell that speaks gRPC.
    Grpc {
        /// Its name.
        name: &'a str,
        /// What the component says of the endpoint.
        workload: &'a WorkloadEndpoint,
        /// The names of services in full, each with a method unless it is all of them.
        methods: Vec<(String, Option<String>)>,
    },
    /// Where the route of a component that runs nothing leads.
    Route(Tree),
}

impl<'a> Front<'a> {
    /// The Service in front of an endpoint of a component that runs: `release` is what `binding` has
    /// deployed. Otherwise why the API cannot offer it.
    pub fn of_binding(
        api: &ApiSpec,
        endpoint: &ApiEndpoint,
        (binding, release): (&'a ReleaseBinding, &'a ComponentReleaseSpec),
    ) -> Result<Self, String> {
        let line = names::line(&endpoint.component, endpoint.track.as_deref());
        let wanted = &endpoint.endpoint;
        let workload = release.workload.endpoints.get(wanted);
        let workload = workload.ok_or_else(|| format!("{line} has no endpoint {wanted}"))?;
        let mut addresses = binding.status.endpoints.iter();
        let address = addresses.find(|one| one.name == *wanted);
        let service = address.and_then(|address| {
            let host = &address.service_url.as_ref()?.host;
            host.split_once('.').map(|(service, _)| service)
        });
        let service = service.ok_or_else(|| format!("{line} has no Service for {wanted}"))?;
        Self::of_service(api, endpoint, (service, workload))
    }

    /// The Service `name` in front of an endpoint, or why the API cannot offer it.
    fn of_service(
        api: &ApiSpec,
        endpoint: &ApiEndpoint,
        (name, workload): (&'a str, &'a WorkloadEndpoint),
    ) -> Result<Self, String> {
        let (wanted, type_) = (&endpoint.endpoint, workload.type_.as_str());
        match workload.type_ {
            EndpointType::Http | EndpointType::GraphQL | EndpointType::Websocket => {
                Ok(Self::Service { name, workload })
            }
            EndpointType::Tcp | EndpointType::Udp => Err(format!(
                "{wanted} is of type {type_}, which no gateway knows the requests of"
            )),
            EndpointType::Grpc if endpoint.rewrite.is_some() => Err(format!(
                "{wanted} is of type {type_}, whose paths are names of services: take rewrite out"
            )),
            EndpointType::Grpc => {
                let methods = methods(api, workload);
                if methods.is_empty() {
                    return Err(format!(
                        "{wanted} is of type {type_}, and neither schema nor the endpoint has a protobuf description: \
                         it says which services are offered"
                    ));
                }
                Ok(Self::Grpc {
                    name,
                    workload,
                    methods,
                })
            }
        }
    }

    /// What the component says of the endpoint, if it runs.
    fn workload(&self) -> Option<&'a WorkloadEndpoint> {
        match self {
            Self::Service { workload, .. } | Self::Grpc { workload, .. } => Some(workload),
            Self::Route(_) => None,
        }
    }
}

/// The services of a gRPC endpoint by its description, or that of the API; with their methods where only those
/// that are described pass.
fn methods(api: &ApiSpec, workload: &WorkloadEndpoint) -> Vec<(String, Option<String>)> {
    let own = workload.schema.as_ref().or(api.schema.as_ref());
    let content = own.and_then(|schema| schema.content.as_deref());
    let found = content.map(protocol_schema::remote_procedures);
    let found = found.unwrap_or_default().into_iter();
    let mut methods: Vec<_> = found
        .map(|(service, method)| match api.operations {
            Operations::All => (service, None),
            Operations::FromSchema => (service, Some(method)),
        })
        .collect();
    methods.dedup();
    methods
}

impl Target<'_> {
    /// The description of the endpoint, as its component has it.
    fn schema(&self) -> Option<&EndpointSchema> {
        self.front.workload()?.schema.as_ref()
    }
}

/// Renders an API in an environment.
pub fn compile_api(snapshot: &ApiSnapshot<'_>, programs: &Programs) -> Compiled {
    compile::<Silent>(snapshot, programs)
}

/// The same, with where every field came from.
pub fn explain_api(snapshot: &ApiSnapshot<'_>, programs: &Programs) -> Compiled {
    compile::<Recorder>(snapshot, programs)
}

fn compile<L: Ledger>(snapshot: &ApiSnapshot<'_>, programs: &Programs) -> Compiled {
    let mut bench = Bench::<L>::default();
    for found in snapshot.traits.iter().flatten() {
        let object = format!("{}/{}", found.kind(), found.name());
        bench.open(programs, &object, &found.spec);
    }
    let maker = Maker::new(snapshot);
    let mut compiled = Compiled {
        namespace: maker.cell.clone(),
        ..Compiled::default()
    };
    let waits = snapshot.pending.iter().map(|(name, why)| {
        let field = format!("spec.endpoints.{name}");
        let environment = snapshot.environment.name();
        let message = format!("is not offered in {environment} yet: {why}");
        Diagnostic::error(Code::Connection, &*maker.object, field, message).into_warning()
    });
    compiled.diagnostics.extend(waits);
    let variables = maker.variables(programs);
    bench.keep(&variables);
    let mut context = Context::within(bench.budget.clone());
    variables.bind(&mut context);
    let mut drafts = maker.base(&mut bench);
    let mut uses = maker.uses(&mut bench);
    if bench.diagnostics.is_empty() {
        uses::apply(&mut bench, &mut uses, &context, &mut drafts);
        operations::enforce(snapshot, &mut bench, &mut drafts);
        uses::validate(&mut bench, &uses, &context, &drafts);
        finish::label(&mut drafts, &maker.labels);
        finish::check(&mut bench, &maker.object, &drafts);
    }
    compiled.diagnostics.append(&mut bench.diagnostics);
    if !compiled.has_errors() {
        compiled.provenance.seen = std::mem::take(&mut bench.seen);
        finish::sort(&mut drafts);
        finish::identify(&mut drafts);
        finish::hand_over(drafts, &mut compiled);
    }
    compiled
}

/// The addresses of an API on one gateway of an environment; nothing where there is no such gateway.
pub fn urls(
    api: &Api,
    environment: &Environment,
    plane: &DataPlane,
    visibility: ApiVisibility,
) -> Option<GatewayUrls> {
    let gateway = gateway(environment, plane, visibility)?;
    let url = |scheme: &str, listener: &choreo_model::plane::Listener| EndpointUrl {
        scheme: scheme.to_owned(),
        host: host(api, environment, &listener.host),
        port: Some(listener.port),
        path: api.spec.base_path(),
    };
    Some(GatewayUrls {
        http: gateway.http.as_ref().map(|http| url("http", http)),
        https: gateway.https.as_ref().map(|https| url("https", https)),
        tls: None,
    })
}

/// Whether an object is the route of an endpoint.
pub fn is_route_of(object: &Tree, endpoint: &str) -> bool {
    let labels = object.pointer("/metadata/labels");
    let name = labels.and_then(|labels| labels.get(labels::ENDPOINT_NAME)?.as_str());
    object.get("kind").and_then(Tree::as_str) == Some("HTTPRoute") && name == Some(endpoint)
}

fn gateway(
    environment: &Environment,
    plane: &DataPlane,
    visibility: ApiVisibility,
) -> Option<GatewayEndpoint> {
    let ingress = context::gateway(environment, plane).into_owned().ingress?;
    match visibility {
        ApiVisibility::External => ingress.external,
        ApiVisibility::Internal => ingress.internal,
    }
}

/// The host of an environment behind that of a listener, as the default types have it.
fn host(api: &Api, environment: &Environment, listener: &str) -> String {
    format!("{}-{}.{listener}", environment.name(), api.namespace())
}

/// Makes what the API itself says.
struct Maker<'a> {
    snapshot: &'a ApiSnapshot<'a>,
    /// The API, for messages.
    object: String,
    cell: String,
    /// What its objects are named by beside those of components.
    stem: String,
    labels: Members,
}

impl<'a> Maker<'a> {
    fn new(snapshot: &'a ApiSnapshot<'a>) -> Self {
        let (api, project) = (snapshot.api, snapshot.project);
        let (namespace, environment) = (api.namespace(), snapshot.environment);
        let of_project = (project.name(), project.uid());
        let mut labels = context::project_labels(namespace, of_project, environment);
        labels.insert(labels::API, api.name());
        Self {
            snapshot,
            object: format!("API/{}", api.name()),
            cell: names::cell_namespace(namespace, project.name(), environment.name()),
            stem: names::api_stem(api.name()),
            labels,
        }
    }

    /// What traits see: as much as there is of what they see of a component.
    fn variables(&self, programs: &Programs) -> Variables {
        let snapshot = self.snapshot;
        let (api, plane) = (snapshot.api, snapshot.data_plane);
        let mut variables = Variables::default();
        let labels = &self.labels;
        let metadata = tree!({
            "annotations": {},
            "componentName": &self.stem,
            "componentNamespace": api.namespace(),
            "componentUID": api.uid(),
            "dataPlaneName": plane.name(),
            "dataPlaneUID": plane.uid(),
            "environmentName": snapshot.environment.name(),
            "environmentUID": snapshot.environment.uid(),
            "labels": labels.clone(),
            "name": kubernetes_name(OBJECT_LIMIT, &[&self.stem, snapshot.environment.name()]),
            "namespace": &self.cell,
            "podSelectors": labels.clone(),
            "projectName": snapshot.project.name(),
            "projectUID": snapshot.project.uid(),
            "trackName": "",
        });
        variables.set("metadata", metadata);
        variables.set("workload", tree!({"container": {}, "endpoints": {}}));
        let secrets = context::secret_references(&snapshot.secret_references);
        variables.set(dialect::SECRET_REFERENCES, secrets);
        context::set_places(&mut variables, snapshot.environment, plane, None, programs);
        variables
    }

    /// The traits of the API with what is given for them.
    fn uses<L: Ledger>(&self, bench: &mut Bench<L>) -> Vec<Use<'a>> {
        let spec = &self.snapshot.api.spec;
        let configs = spec
            .trait_environment_configs
            .get(self.snapshot.environment.name());
        let mut uses = Vec::new();
        for (index, (own, found)) in spec.traits.iter().zip(&self.snapshot.traits).enumerate() {
            let Some(found) = found else {
                let (kind, name) = (own.reference.kind, &own.reference.name);
                let message = format!("{kind} \"{name}\" is not there");
                let field = format!("spec.traits[{index}].name");
                bench.note(Diagnostic::error(
                    Code::Trait,
                    &*self.object,
                    field,
                    message,
                ));
                continue;
            };
            let instance = own.instance_name.as_str();
            let environment = self.snapshot.environment.name();
            let sites = [
                format!("spec.traits[{index}].parameters"),
                format!("spec.traitEnvironmentConfigs.{environment}.{instance}"),
            ]
            .map(|field| (self.object.clone(), field));
            let values = (
                own.parameters.as_ref(),
                configs.and_then(|configs| configs.get(instance)),
            );
            let trait_ = (&own.reference, &found.spec);
            uses.push(Use::new(bench, trait_, instance, values, &sites));
        }
        uses
    }

    /// Routes, the policies that let gateways reach the endpoints, and what keys need.
    fn base<L: Ledger>(&self, bench: &mut Bench<L>) -> Vec<Draft> {
        let mut objects = Vec::new();
        for target in &self.snapshot.targets {
            objects.extend(self.network_policy(target));
            for visibility in &self.snapshot.api.spec.visibility {
                let field = "spec.visibility";
                let (environment, plane) = (self.snapshot.environment, self.snapshot.data_plane);
                let Some(gateway) = gateway(environment, plane, *visibility) else {
                    let message = format!(
                        "neither Environment \"{}\" nor its data plane has gateway.ingress.{}",
                        environment.name(),
                        visibility.as_str()
                    );
                    bench.note(Diagnostic::error(
                        Code::Reference,
                        &*self.object,
                        field,
                        message,
                    ));
                    continue;
                };
                objects.push(self.route(target, *visibility, &gateway));
            }
        }
        objects.extend(keys::objects(self, &objects));
        objects.into_iter().map(draft::<L>).collect()
    }

    fn route(
        &self,
        target: &Target<'_>,
        visibility: ApiVisibility,
        gateway: &GatewayEndpoint,
    ) -> Tree {
        let (api, side) = (self.snapshot.api, visibility.as_str());
        let mut labels = self.labels.clone();
        labels.insert(labels::ENDPOINT_NAME, target.name);
        labels.insert(labels::ENDPOINT_VISIBILITY, side);
        let listeners = [&gateway.http, &gateway.https].into_iter().flatten();
        let mut hosts: Vec<String> = listeners
            .map(|listener| host(api, self.snapshot.environment, &listener.host))
            .collect();
        hosts.dedup();
        let metadata = tree!({
            "name": kubernetes_name(OBJECT_LIMIT, &[&self.stem, target.name, side]),
            "namespace": &self.cell,
            "labels": labels,
        });
        let parents = tree!([{"name": &gateway.name, "namespace": &gateway.namespace}]);
        if let Front::Grpc { methods, .. } = &target.front {
            let (backends, ..) = target.front.leads();
            return tree!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GRPCRoute",
                "metadata": metadata,
                "spec": {
                    "parentRefs": parents,
                    "hostnames": hosts,
                    "rules": [{"matches": matches(methods), "backendRefs": backends}],
                },
            });
        }
        let (backends, host, base) = target.front.leads();
        let rewrite = target.endpoint.rewrite.as_deref().or(base);
        let rewrite = rewrite.filter(|path| !path.is_empty()).unwrap_or("/");
        let mut change = Members::default();
        if let Some(host) = host {
            change.insert("hostname", host);
        }
        let path = tree!({"type": "ReplacePrefixMatch", "replacePrefixMatch": rewrite});
        change.insert("path", path);
        tree!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {
                "parentRefs": parents,
                "hostnames": hosts,
                "rules": [{
                    "matches": [{
                        "path": {"type": "PathPrefix", "value": api.spec.path_of(target.endpoint)},
                    }],
                    "filters": [{"type": "URLRewrite", "urlRewrite": change}],
                    "backendRefs": backends,
                }],
            },
        })
    }

    /// Gateways may reach the endpoint, whoever else may. What runs nothing they reach anyway.
    fn network_policy(&self, target: &Target<'_>) -> Option<Tree> {
        let workload = target.front.workload()?;
        let line = names::line(&target.endpoint.component, target.endpoint.track.as_deref());
        let mut pods = self.labels.clone();
        pods.remove(labels::API);
        pods.insert(labels::COMPONENT, &*line);
        let port = workload.target_port.unwrap_or(workload.port);
        Some(tree!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": kubernetes_name(OBJECT_LIMIT, &[&self.stem, target.name, "callers"]),
                "namespace": &self.cell,
            },
            "spec": {
                "podSelector": {"matchLabels": pods},
                "policyTypes": ["Ingress"],
                "ingress": [{
                    "from": [{
                        "namespaceSelector": {},
                        "podSelector": {"matchExpressions": [
                            {"key": labels::SYSTEM_COMPONENT, "operator": "Exists"},
                        ]},
                    }],
                    "ports": [{"port": port, "protocol": "TCP"}],
                }],
            },
        }))
    }
}

/// What a route for methods of gRPC matches.
fn matches(methods: &[(String, Option<String>)]) -> Tree {
    let methods = methods.iter().map(|(service, method)| {
        let mut wanted = Members::default();
        wanted.insert("type", "Exact");
        wanted.insert("service", service);
        if let Some(method) = method {
            wanted.insert("method", method);
        }
        tree!({"method": wanted})
    });
    methods.collect()
}

impl Front<'_> {
    /// The backends of a route that leads there, the host that requests are to name, if it is another than their
    /// own, and the path that they have there.
    fn leads(&self) -> (Tree, Option<&str>, Option<&str>) {
        match self {
            Self::Service { name, workload } | Self::Grpc { name, workload, .. } => {
                let backends = tree!([{"name": *name, "port": workload.port}]);
                (backends, None, workload.base_path.as_deref())
            }
            Self::Route(route) => {
                let rule = route.pointer("/spec/rules/0");
                let backends = rule.and_then(|rule| rule.get("backendRefs")).cloned();
                let filters = rule.and_then(|rule| rule.get("filters")?.as_array());
                let mut filters = filters.into_iter().flat_map(|filters| filters.iter());
                let rewrite = filters.find_map(|filter| filter.get("urlRewrite"));
                let said = |path: &str| rewrite.and_then(|one| one.pointer(path)?.as_str());
                let path = said("/path/replacePrefixMatch");
                (backends.unwrap_or_default(), said("/hostname"), path)
            }
        }
    }
}

fn draft<L: Ledger>(object: Tree) -> Draft {
    Draft {
        id: String::new(),
        plane: TargetPlane::DataPlane,
        trail: L::ENABLED.then(|| Trail::whole(&object, Origin::platform(Cause::Api))),
        object,
    }
}
