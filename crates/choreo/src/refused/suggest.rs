//! What a component would have to declare to be let through to what it tried. Plain functions of what is
//! there.

use std::{collections::BTreeSet, net::IpAddr};

use choreo_model::{
    Environment, Workload,
    application::{DependencyVisibility, Visibility},
    external::{self, ExternalDependency, ExternalProtocol, Layer},
    labels, names,
    shared::Egress,
};
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;
use serde_json::{Value, json};

/// What a suggestion is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) pods: &'a [Pod],
    /// The addresses of the Gateways that lead out of cells.
    pub(super) gateways: &'a BTreeSet<IpAddr>,
    pub(super) workloads: &'a [Workload],
    pub(super) environments: &'a [Environment],
}

/// A line of a component in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller<'a> {
    pub(super) project: &'a str,
    pub(super) line: &'a str,
    pub(super) environment: &'a str,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt<'a> {
    /// Looking up a name.
    Name(&'a str),
    /// A request to the egress gateway for a host that it does not lead to.
    Host { host: &'a str, port: u16 },
    /// Packets to an address.
    Flow {
        address: IpAddr,
        /// The protocol and its port, if it has ports.
        port: Option<(&'a str, u16)>,
        /// Namespace and name of the pod that has the address.
        pod: Option<(&'a str, &'a str)>,
    },
}

/// What would allow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Suggestion {
    /// What to do, as a sentence.
    pub(crate) advice: String,
    /// The part of a manifest to add, or all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) declaration: Option<Value>,
}

impl Suggestion {
    /// There is nothing to declare.
    fn none(advice: impl Into<String>) -> Self {
        Self {
            advice: advice.into(),
            declaration: None,
        }
    }

    /// Says more of what to do.
    fn and(&mut self, more: &str) {
        self.advice.extend(["; ", more]);
    }
}

/// What was tried, for people.
pub(super) fn target(world: &World<'_>, attempt: &Attempt<'_>) -> String {
    match attempt {
        Attempt::Name(name) => format!("name {name}"),
        Attempt::Host { host: "", port } => format!("unnamed host on TCP port {port}"),
        Attempt::Host { host, port } => format!("{host} on TCP port {port}"),
        Attempt::Flow { address, port, pod } => {
            let callee = pod.and_then(|pod| world.callee(pod));
            let who = match callee {
                Some(Callee::Component(one)) => format!("{}/{}", one.project, one.line),
                Some(Callee::Resource { project, resource }) => format!("{project}/{resource}"),
                None if world.gateways.contains(address) => "the way out".to_owned(),
                None => address.to_string(),
            };
            match port {
                Some((protocol, port)) => format!("{who} on {protocol} port {port}"),
                None => who,
            }
        }
    }
}

/// What `caller` would have to declare for `attempt`.
pub(super) fn suggest(world: &World<'_>, caller: &Caller<'_>, attempt: &Attempt<'_>) -> Suggestion {
    match *attempt {
        Attempt::Name(name) => match cluster_name(name) {
            Some((service, namespace)) => world.named(caller, service, namespace),
            None => world.outside(caller, name, 443, ExternalProtocol::Https),
        },
        Attempt::Host { host: "", .. } => Suggestion::none(
            "the request does not say which host it is for: speak TLS with a server name (SNI), or HTTP with a Host",
        ),
        Attempt::Host { host, port } => {
            let protocol = world.protocol(caller, port);
            world.outside(caller, host, port, protocol)
        }
        Attempt::Flow { address, port, pod } => match (pod.and_then(|pod| world.callee(pod)), port)
        {
            (Some(callee), port) => world.inside(caller, callee, port.map(|(_, port)| port)),
            (None, Some(("TCP", port))) if world.gateways.contains(&address) => {
                Suggestion::none(format!(
                    "no host is declared with port {port}: of those that the workload of {} declares, only the \
                     ports that it names are reached",
                    caller.line
                ))
            }
            (None, Some(("TCP", port))) => {
                let host = address.to_string();
                world.outside(caller, &host, port, ExternalProtocol::Tcp)
            }
            (None, Some(("UDP", _)))
                if !world.gateways.contains(&address)
                    && external::is_private(&address.to_string()) == Ok(false) =>
            {
                Suggestion::none(format!(
                    "what is declared leaves the cells by TCP only: UDP does where the platform team sets `egress: \
                     open`, of Environment {} or of the type of the project",
                    caller.environment
                ))
            }
            (None, _) => {
                Suggestion::none("only TCP leaves the cells: nothing can be declared for this")
            }
        },
    }
}

/// Something in a cell.
#[derive(Debug, Clone, Copy)]
enum Callee<'a> {
    Component(Caller<'a>),
    Resource { project: &'a str, resource: &'a str },
}

/// Service and namespace of a name of the cluster.
fn cluster_name(name: &str) -> Option<(&str, &str)> {
    let name = name.trim_end_matches('.');
    let name = name.strip_suffix(".cluster.local").unwrap_or(name);
    let name = name.strip_suffix(".svc")?;
    let mut parts = name.rsplit('.');
    let (namespace, service) = (parts.next()?, parts.next()?);
    Some((service, namespace))
}

impl<'a> World<'a> {
    /// What the pod is of.
    fn callee(&self, (namespace, name): (&str, &str)) -> Option<Callee<'a>> {
        let pod = self.pods.iter().find(|pod| {
            let metadata = &pod.metadata;
            metadata.namespace.as_deref() == Some(namespace)
                && metadata.name.as_deref() == Some(name)
        })?;
        let labels = pod.metadata.labels.as_ref()?;
        let label = |key: &str| labels.get(key).map(String::as_str);
        match (super::caller(pod), label(labels::RESOURCE)) {
            (Some(component), _) => Some(Callee::Component(component)),
            (None, Some(resource)) => Some(Callee::Resource {
                project: label(labels::PROJECT)?,
                resource,
            }),
            (None, None) => None,
        }
    }

    /// The workload of a line of a component.
    fn workload(&self, of: &Caller<'_>) -> Option<&'a Workload> {
        let mut workloads = self.workloads.iter();
        workloads.find(|one| {
            let owner = &one.spec.owner;
            owner.project_name == of.project && owner.line() == of.line
        })
    }

    /// A component whose service is called `service` in the cell `namespace`.
    fn named(&self, caller: &Caller<'_>, service: &str, namespace: &str) -> Suggestion {
        let in_cell = self
            .pods
            .iter()
            .filter(|pod| pod.metadata.namespace.as_deref() == Some(namespace));
        let found = in_cell
            .filter_map(super::caller)
            .find(|one| one.line == service);
        match found {
            Some(callee) => self.inside(caller, Callee::Component(callee), None),
            None => Suggestion::none(format!(
                "no component of a cell that runs here is called {service:?}: is the name right?"
            )),
        }
    }

    fn inside(&self, caller: &Caller<'_>, callee: Callee<'_>, port: Option<u16>) -> Suggestion {
        match callee {
            Callee::Component(callee) => self.component(caller, &callee, port),
            Callee::Resource { project, resource } if project == caller.project => {
                let uses = json!({"resources": [{"ref": resource}]});
                self.declare(
                    caller,
                    &format!("use the managed resource {resource}"),
                    &uses,
                )
            }
            Callee::Resource { project, resource } => Suggestion::none(format!(
                "resource {resource} belongs to project {project}: only components of that use it"
            )),
        }
    }

    fn component(&self, caller: &Caller<'_>, callee: &Caller<'_>, port: Option<u16>) -> Suggestion {
        let name = format!("{}/{}", callee.project, callee.line);
        if callee.environment != caller.environment {
            return Suggestion::none(format!(
                "{name} is in environment {}: components call those of their own environment only",
                callee.environment
            ));
        }
        let Some(workload) = self.workload(callee) else {
            return Suggestion::none(format!("the Workload of {name} is not there any more"));
        };
        let mut endpoints = workload.spec.template.endpoints.iter();
        let listens =
            |wanted: u16, port: u16, target: Option<u16>| target.unwrap_or(port) == wanted;
        let endpoint = endpoints
            .find(|(_, one)| port.is_none_or(|wanted| listens(wanted, one.port, one.target_port)));
        let Some((endpoint, spec)) = endpoint else {
            return undeclared(workload, &name, port);
        };
        let is_own = callee.project == caller.project;
        let visibility = if is_own {
            DependencyVisibility::Project
        } else {
            DependencyVisibility::Namespace
        };
        let owner = &workload.spec.owner;
        let mut dependency = json!({
            "component": owner.component_name,
            "name": endpoint,
            "visibility": visibility.as_str(),
            "envBindings": {"address": format!("{}_URL", variable(&owner.component_name))},
        });
        if let Some(track) = &owner.track_name {
            dependency["track"] = json!(track);
        }
        if !is_own {
            dependency["project"] = json!(callee.project);
        }
        let what = format!("call endpoint {endpoint} of {name}");
        let mut suggestion = self.declare(caller, &what, &json!({"endpoints": [dependency]}));
        if !is_own && !spec.visibility.contains(&Visibility::Namespace) {
            suggestion.and(&format!(
                "and have the endpoint offered to other projects: visibility namespace in Workload {}",
                workload.name()
            ));
        }
        suggestion
    }

    /// A host outside.
    fn outside(
        &self,
        caller: &Caller<'_>,
        host: &str,
        port: u16,
        protocol: ExternalProtocol,
    ) -> Suggestion {
        let host = host.trim_end_matches('.').to_lowercase();
        let name = label(&host);
        let connection = json!({"name": name, "host": host, "port": port, "protocol": protocol});
        match external::is_private(&host) {
            Err(why) => Suggestion::none(format!("{host} {why}")),
            Ok(true) => Suggestion {
                advice: format!(
                    "{host} is of a private network: only the platform team can open it, with this"
                ),
                declaration: Some(given(caller, &name, &connection)),
            },
            Ok(false) if self.is_declared(caller, &host, port) => Suggestion::none(format!(
                "the workload of {} declares it already: `choreo status {}` tells whether that is deployed",
                caller.line, caller.line
            )),
            Ok(false) => {
                let what = format!("call {host}");
                let dependency = json!({"external": [connection]});
                let mut suggestion = self.declare(caller, &what, &dependency);
                if self.needs_approval(caller) {
                    suggestion.and(&format!(
                        "environment {} also wants an ExternalConnection of the platform team for project {} \
                         that covers it",
                        caller.environment, caller.project
                    ));
                }
                suggestion
            }
        }
    }

    /// Whether the workload has a connection to the host already.
    fn is_declared(&self, caller: &Caller<'_>, host: &str, port: u16) -> bool {
        let workload = self.workload(caller);
        let dependencies = workload.and_then(|one| one.spec.template.dependencies.as_ref());
        let mut external = dependencies.into_iter().flat_map(|all| &all.external);
        external.any(|one| one.is_called(host) && [one.port, one.listen_port()].contains(&port))
    }

    /// What is spoken on a port of the gateway, as far as the workload says so.
    fn protocol(&self, caller: &Caller<'_>, port: u16) -> ExternalProtocol {
        let workload = self.workload(caller);
        let dependencies = workload.and_then(|one| one.spec.template.dependencies.as_ref());
        let mut external = dependencies.into_iter().flat_map(|all| &all.external);
        let known = external.find(|one| one.listen_port() == port);
        match known.map(ExternalDependency::layer) {
            Some(Layer::Http) => ExternalProtocol::Http,
            None if port == 80 => ExternalProtocol::Http,
            Some(Layer::Tls | Layer::Tcp) | None => ExternalProtocol::Https,
        }
    }

    fn needs_approval(&self, caller: &Caller<'_>) -> bool {
        let mut environments = self.environments.iter();
        environments.any(|one| {
            one.name() == caller.environment && one.spec.egress == Some(Egress::Approved)
        })
    }

    /// Something to add to the dependencies of the caller's workload.
    fn declare(&self, caller: &Caller<'_>, what: &str, dependencies: &Value) -> Suggestion {
        let workload = self.workload(caller).map_or(caller.line, |one| one.name());
        Suggestion {
            advice: format!("to {what}, add this to Workload {workload}"),
            declaration: Some(json!({"spec": {"dependencies": dependencies}})),
        }
    }
}

/// What the platform team would give.
fn given(caller: &Caller<'_>, name: &str, connection: &Value) -> Value {
    json!({
        "apiVersion": choreo_model::API_VERSION,
        "kind": "ExternalConnection",
        "metadata": {"name": name},
        "spec": {
            "projects": [caller.project],
            "environments": [caller.environment],
            "connection": connection,
        },
    })
}

/// A component that listens where it declares no endpoint.
fn undeclared(workload: &Workload, name: &str, port: Option<u16>) -> Suggestion {
    let Some(port) = port else {
        return Suggestion::none(format!("{name} has no endpoints"));
    };
    let endpoint = json!({"type": "TCP", "port": port});
    Suggestion {
        advice: format!(
            "{name} has no endpoint on port {port}; if it is to be called there, add this to Workload {}, and then \
             a dependency",
            workload.name()
        ),
        declaration: Some(json!({"spec": {"endpoints": {format!("port-{port}"): endpoint}}})),
    }
}

/// A name for a connection to `host`.
fn label(host: &str) -> String {
    let letters = host.chars().map(|letter| match letter {
        'a'..='z' | '0'..='9' => letter,
        _ => '-',
    });
    let name: String = letters.collect();
    let name = name.trim_matches('-');
    if name.len() > names::LABEL_LIMIT || name.is_empty() {
        return names::kubernetes_name(names::LABEL_LIMIT, &[host]).replace('.', "-");
    }
    name.to_owned()
}

/// A name for a variable about `name`.
fn variable(name: &str) -> String {
    let letters = name.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    letters.collect()
}
