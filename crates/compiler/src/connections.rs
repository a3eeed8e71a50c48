//! Connections: the addresses of other components' endpoints, and the variables that carry them.

use crate::diagnostic::{Code, Diagnostic};
use crate::external;
use crate::resource_dependencies::{Item, Resources};
use crate::snapshot::Provider;
use choreo_model::application::{
    DependencyVisibility, EndpointDependency, Visibility, WorkloadTemplate,
};
use choreo_model::release::{
    BindingState, ConnectionTarget, EndpointUrl, PendingConnection, ReleaseBindingSpec,
    ResolvedConnection, ResourceDependencyTarget,
};
use choreo_template::{Members, Tree, tree};

/// The connections of one component, with their addresses as far as they are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connections {
    /// What the workload asks for, in its order.
    targets: Vec<ConnectionTarget>,
    /// Those whose address is known.
    pub resolved: Vec<ResolvedConnection>,
    /// Those whose address is not known, and why.
    pub pending: Vec<PendingConnection>,
    /// The managed resources of the component, which need no address.
    pub(crate) resources: Resources,
    /// The external connections of the component, whose addresses are what it declares.
    pub(crate) external: Vec<external::Item>,
}

/// The endpoints of others that a workload asks for, when bound by `binding` in `namespace`.
pub fn targets(
    namespace: &str,
    binding: &ReleaseBindingSpec,
    workload: &WorkloadTemplate,
) -> Vec<ConnectionTarget> {
    endpoint_dependencies(workload)
        .iter()
        .map(|dependency| target(namespace, binding, dependency))
        .collect()
}

/// Where the endpoints of `targets` may be: in their environment, and for a preview in the one it
/// was made after, `base`.
pub fn reach(mut targets: Vec<ConnectionTarget>, base: Option<&str>) -> Vec<ConnectionTarget> {
    let shared: Vec<ConnectionTarget> = base.map_or_else(Vec::new, |base| {
        let targets = targets.iter();
        targets.map(|target| of_environment(target, base)).collect()
    });
    targets.extend(shared);
    targets
}

/// Gives a preview the components of the environment it was made after, `base`, in the place of
/// those that it has not itself; `bound` says which it has.
pub(crate) fn share(
    targets: &mut [ConnectionTarget],
    base: Option<&str>,
    bound: impl Fn(&ConnectionTarget) -> bool,
) {
    let Some(base) = base else { return };
    for target in targets.iter_mut().filter(|target| !bound(target)) {
        *target = of_environment(target, base);
    }
}

fn of_environment(target: &ConnectionTarget, environment: &str) -> ConnectionTarget {
    ConnectionTarget {
        environment: environment.to_owned(),
        ..target.clone()
    }
}

/// The managed resources that a workload asks for.
pub fn resource_targets(
    namespace: &str,
    binding: &ReleaseBindingSpec,
    workload: &WorkloadTemplate,
) -> Vec<ResourceDependencyTarget> {
    let resources = workload.dependencies.iter().flat_map(|all| &all.resources);
    resources
        .map(|dependency| ResourceDependencyTarget {
            namespace: namespace.to_owned(),
            project: binding.owner.project_name.clone(),
            resource: dependency.reference.clone(),
            environment: binding.environment.clone(),
        })
        .collect()
}

/// Looks up every target of a component of `project`. `lookup` returns the bindings that deploy the target's component to its
/// environment; more than one is as unusable as none.
pub fn resolve<'p>(
    project: &str,
    targets: &[ConnectionTarget],
    lookup: impl Fn(&ConnectionTarget) -> Vec<Provider<'p>>,
) -> Connections {
    let mut connections = Connections {
        targets: targets.to_vec(),
        ..Connections::default()
    };
    for target in targets {
        match address(project, target, &lookup(target)) {
            Ok(url) => connections.resolved.push(ResolvedConnection {
                namespace: target.namespace.clone(),
                project: target.project.clone(),
                component: target.component.clone(),
                track: target.track.clone(),
                endpoint: target.endpoint.clone(),
                visibility: target.visibility.clone(),
                url,
            }),
            Err(reason) => connections.pending.push(PendingConnection {
                namespace: target.namespace.clone(),
                project: target.project.clone(),
                component: target.component.clone(),
                track: target.track.clone(),
                endpoint: target.endpoint.clone(),
                reason,
            }),
        }
    }
    connections
}

/// Whether `provider` is a binding of the line of a component and the environment that `target` names.
pub fn provides(provider: &Provider<'_>, target: &ConnectionTarget) -> bool {
    provider.spec.owner.project_name == target.project
        && provider.spec.owner.component_name == target.component
        && provider.spec.owner.track_name == target.track
        && provider.spec.environment == target.environment
}

fn endpoint_dependencies(workload: &WorkloadTemplate) -> &[EndpointDependency] {
    workload
        .dependencies
        .as_ref()
        .map(|dependencies| dependencies.endpoints.as_slice())
        .unwrap_or_default()
}

fn target(
    namespace: &str,
    binding: &ReleaseBindingSpec,
    dependency: &EndpointDependency,
) -> ConnectionTarget {
    let named = dependency.project.as_ref();
    let named = named.filter(|project| !project.is_empty());
    ConnectionTarget {
        namespace: namespace.to_owned(),
        project: named.unwrap_or(&binding.owner.project_name).clone(),
        component: dependency.component.clone(),
        track: dependency.track.clone().filter(|track| !track.is_empty()),
        environment: binding.environment.clone(),
        endpoint: dependency.name.clone(),
        visibility: dependency.visibility.as_str().to_owned(),
    }
}

fn address(
    caller: &str,
    target: &ConnectionTarget,
    providers: &[Provider<'_>],
) -> Result<EndpointUrl, String> {
    let component = format!("{}/{}", target.project, target.line_id());
    let provider = match providers {
        [] => {
            return Err(format!(
                "ReleaseBinding not found for component {component}"
            ));
        }
        [provider] => provider,
        _ => {
            let environment = &target.environment;
            return Err(format!(
                "multiple ReleaseBindings found for component {component} in environment {environment}"
            ));
        }
    };
    if provider.spec.state == BindingState::Undeploy {
        return Err("component is undeployed".to_owned());
    }
    let endpoint = provider
        .status
        .endpoints
        .iter()
        .find(|endpoint| endpoint.name == target.endpoint)
        .ok_or_else(|| format!("endpoint {:?} not yet resolved", target.endpoint))?;
    // Its cell would refuse every call.
    if target.project != caller && !endpoint.visibility.contains(&Visibility::Namespace) {
        let name = &target.endpoint;
        return Err(format!(
            "endpoint {name:?} is not offered to other projects: it lacks visibility \"namespace\""
        ));
    }
    endpoint.service_url.clone().ok_or_else(|| {
        format!(
            "endpoint {:?} has no URL for visibility {}",
            target.endpoint, target.visibility
        )
    })
}

/// Dependencies that resolve but will not be let in: another project's cell opens to this one only
/// for endpoints it makes visible in the namespace.
pub(crate) fn shut(binding: &ReleaseBindingSpec, workload: &WorkloadTemplate) -> Vec<Diagnostic> {
    let own = &binding.owner.project_name;
    let component = format!("Component/{}", binding.owner.component_name);
    endpoint_dependencies(workload)
        .iter()
        .enumerate()
        .filter(|(_, dependency)| {
            dependency.visibility == DependencyVisibility::Project
                && dependency
                    .project
                    .as_ref()
                    .is_some_and(|project| !project.is_empty() && project != own)
        })
        .map(|(index, dependency)| {
            let field = format!("workload.dependencies.endpoints[{index}].visibility");
            let message = format!(
                "{:?} is a component of another project, whose cell is shut to visibility project",
                dependency.component
            );
            Diagnostic::error(Code::Connection, component.as_str(), field, message)
                .with_hint("use visibility namespace, and offer the endpoint with it")
                .into_warning()
        })
        .collect()
}

/// What templates see of dependencies. A connection that is pending has no variables yet.
pub(crate) struct Dependencies<'c> {
    connections: &'c Connections,
    /// The variables that each connection to an endpoint gives.
    given: Vec<Vec<Tree>>,
}

impl<'c> Dependencies<'c> {
    pub(crate) fn of(workload: &WorkloadTemplate, connections: &'c Connections) -> Self {
        let targets = connections.targets.iter();
        let given = targets
            .zip(endpoint_dependencies(workload))
            .map(|(target, dependency)| {
                let resolved = connections.resolved.iter().find(|one| {
                    one.project == target.project
                        && one.component == target.component
                        && one.track == target.track
                        && one.endpoint == target.endpoint
                        && one.visibility == target.visibility
                });
                resolved.map_or_else(Vec::new, |one| env_variables(dependency, &one.url))
            })
            .collect();
        Self { connections, given }
    }

    fn resources(&self) -> impl Iterator<Item = &'c Item> {
        self.connections.resources.items.iter()
    }

    /// The variable.
    pub(crate) fn variable(&self) -> Tree {
        let targets = self.connections.targets.iter();
        let items = targets.zip(&self.given).map(|(target, given)| {
            tree!({
                "component": &target.component,
                "endpoint": &target.endpoint,
                "envVars": given.clone(),
                "namespace": &target.namespace,
                "project": &target.project,
                "visibility": target.visibility.as_str(),
            })
        });
        tree!({
            "envVars": self.env_vars(),
            "external": self.connections.external.iter().map(external::Item::value).collect::<Tree>(),
            "items": items.collect::<Tree>(),
            "resources": self.resources().map(Item::value).collect::<Tree>(),
            "volumeMounts": self.mounts(),
            "volumes": self.volumes(),
        })
    }

    /// The variables of all.
    pub(crate) fn env_vars(&self) -> Tree {
        let resources = self.resources().flat_map(|item| &item.variables);
        let external = self.connections.external.iter();
        let external = external.flat_map(|item| &item.variables);
        self.given
            .iter()
            .flatten()
            .chain(resources)
            .chain(external)
            .collect()
    }

    /// Where containers have the files of all.
    pub(crate) fn mounts(&self) -> Tree {
        self.resources().flat_map(|item| &item.mounts).collect()
    }

    /// What pods have the files of all from.
    pub(crate) fn volumes(&self) -> Tree {
        self.resources().flat_map(|item| &item.volumes).collect()
    }
}

fn env_variables(dependency: &EndpointDependency, url: &EndpointUrl) -> Vec<Tree> {
    let bindings = &dependency.env_bindings;
    let port = url.port.filter(|port| *port != 0);
    let port = port.map(|port| port.to_string()).unwrap_or_default();
    [
        (&bindings.address, text(url)),
        (&bindings.host, url.host.clone()),
        (&bindings.port, port),
        (&bindings.base_path, url.path.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        let name = name.as_deref().filter(|name| !name.is_empty())?;
        let mut variable = Members::default();
        variable.insert("name", name);
        if !value.is_empty() {
            variable.insert("value", value);
        }
        Some(Tree::Object(variable))
    })
    .collect()
}

/// The address as one text: a URL for what is reached by URL, `host:port` for the rest.
fn text(url: &EndpointUrl) -> String {
    let port = url.port.filter(|port| *port != 0);
    let authority = match port {
        Some(port) => format!("{}:{port}", url.host),
        None => url.host.clone(),
    };
    let path = match url.path.as_str() {
        "" => String::new(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    match url.scheme.as_str() {
        scheme @ ("http" | "https" | "ws" | "wss" | "tls") => {
            format!("{scheme}://{authority}{path}")
        }
        _ => format!("{authority}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(url: Value, expected: &str) {
        assert_eq!(text(&serde_json::from_value(url).expect("a URL")), expected);
    }

    #[test]
    fn addresses_depend_on_the_scheme() {
        check(
            json!({"scheme": "http", "host": "a", "port": 80, "path": "/x"}),
            "http://a:80/x",
        );
        check(json!({"scheme": "wss", "host": "a"}), "wss://a");
        check(json!({"scheme": "grpc", "host": "a", "port": 9}), "a:9");
        check(
            json!({"scheme": "tcp", "host": "a", "port": 9, "path": "x"}),
            "a:9/x",
        );
    }

    #[test]
    fn an_endpoint_is_for_those_it_is_offered_to() {
        let of = |caller: &str, visibility: Value| {
            let spec = json!({
                "owner": {"projectName": "depot", "componentName": "stock"},
                "environment": "test",
            });
            let spec = serde_json::from_value(spec).expect("a binding");
            let url = json!({"scheme": "http", "host": "stock", "port": 80});
            let status = json!({
                "endpoints": [{"name": "http", "serviceURL": url, "visibility": visibility}],
            });
            let status = serde_json::from_value(status).expect("a status");
            let provider = Provider {
                spec: &spec,
                status: &status,
            };
            let target = ConnectionTarget {
                namespace: "acme".to_owned(),
                project: "depot".to_owned(),
                component: "stock".to_owned(),
                track: None,
                environment: "test".to_owned(),
                endpoint: "http".to_owned(),
                visibility: "namespace".to_owned(),
            };
            let connections = resolve(caller, &[target], |_| vec![provider]);
            let pending = connections.pending.first();
            pending.map(|one| one.reason.clone())
        };
        assert_eq!(of("depot", json!([])), None);
        assert_eq!(of("shop", json!(["external", "namespace"])), None);
        assert_eq!(
            of("shop", json!(["external"])).as_deref(),
            Some(
                "endpoint \"http\" is not offered to other projects: it lacks visibility \"namespace\""
            )
        );
    }
}
