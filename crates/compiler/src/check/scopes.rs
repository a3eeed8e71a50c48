//! What the templates of each kind may name: the types of what `context` binds.

use crate::dialect;
use choreo_template::{Fields, Scope, Type};
use std::sync::Arc;

/// An object of which more than `known` may be asked.
fn open<const N: usize>(known: [(&str, Type); N]) -> Type {
    Type::Object(Arc::new(Fields {
        known: known
            .into_iter()
            .map(|(name, field)| (name.to_owned(), field))
            .collect(),
        other: Some(Type::Dyn),
    }))
}

fn texts() -> Type {
    Type::list(Type::String)
}

/// Pieces of Kubernetes objects.
fn pieces() -> Type {
    Type::list(Type::map(Type::Dyn))
}

fn strings<const N: usize>(names: [&str; N]) -> impl Iterator<Item = (&str, Type)> {
    names.into_iter().map(|name| (name, Type::String))
}

/// What a component's type sees.
pub(crate) fn component(parameters: Type, environment_configs: Type) -> Scope<'static> {
    let mut scope = Scope::new();
    let names = strings([
        "name",
        "namespace",
        "componentNamespace",
        "componentName",
        "componentUID",
        "projectName",
        "projectUID",
        "environmentName",
        "environmentUID",
        "dataPlaneName",
        "dataPlaneUID",
        "trackName",
    ]);
    let maps =
        ["labels", "annotations", "podSelectors"].map(|name| (name, Type::map(Type::String)));
    scope.declare("metadata", Type::object(names.chain(maps)));
    scope.declare("workload", workload());
    declare_dependencies(&mut scope);
    declare_configurations(&mut scope);
    declare_places(&mut scope);
    scope.declare("parameters", parameters);
    scope.declare("environmentConfigs", environment_configs);
    let remote = Type::object(strings(["key", "property", "version"]));
    let secrets = Type::map(Type::map(remote));
    scope.declare(dialect::SECRET_REFERENCES, secrets);
    scope
}

/// What a trait sees: its own values, what was rendered before it, and everything its component's type
/// sees.
pub(crate) fn of_trait(parameters: Type, environment_configs: Type) -> Scope<'static> {
    let mut scope = component(parameters, environment_configs);
    scope.declare("trait", Type::object(strings(["name", "instanceName"])));
    scope.declare(dialect::RENDERED, pieces());
    scope
}

/// What a project's type sees.
pub(crate) fn project(parameters: Type, environment_configs: Type) -> Scope<'static> {
    let own = ["projectNamespace"];
    of_cell(&own, parameters, environment_configs)
}

/// What a managed resource's type sees before its objects are live.
pub(crate) fn resource(parameters: Type, environment_configs: Type) -> Scope<'static> {
    let own = ["name", "resourceNamespace", "resourceName", "resourceUID"];
    of_cell(&own, parameters, environment_configs)
}

/// What types see that render into a cell, with names of their own in `metadata`.
fn of_cell(own: &[&'static str], parameters: Type, environment_configs: Type) -> Scope<'static> {
    let mut scope = Scope::new();
    let names = strings([
        "namespace",
        "projectName",
        "projectUID",
        "environmentName",
        "environmentUID",
        "dataPlaneName",
        "dataPlaneUID",
    ]);
    let own = own.iter().map(|name| (*name, Type::String));
    let maps = ["labels", "annotations"].map(|name| (name, Type::map(Type::String)));
    scope.declare("metadata", Type::object(names.chain(own).chain(maps)));
    declare_places(&mut scope);
    scope.declare("parameters", parameters);
    scope.declare("environmentConfigs", environment_configs);
    scope
}

/// The same with `applied`, the live objects of the templates named `ids`.
pub(crate) fn with_applied<'s, 'i>(
    scope: &'s Scope<'s>,
    ids: impl Iterator<Item = &'i str>,
) -> Scope<'s> {
    let mut inside = scope.scope();
    let live = Type::object([("status", Type::Dyn)]);
    inside.declare("applied", Type::object(ids.map(|id| (id, live.clone()))));
    inside
}

/// What the references of a workflow see.
pub(crate) fn workflow(parameters: Type) -> Scope<'static> {
    let mut scope = Scope::new();
    let names = strings(["workflowRunName", "namespaceName", "namespace"]);
    let labels = [("labels", Type::map(Type::String))];
    scope.declare("metadata", Type::object(names.chain(labels)));
    scope.declare("workflowplane", Type::object(strings(["secretStore"])));
    scope.declare("parameters", parameters);
    scope
}

/// The same with `externalRefs`, which is what a workflow's templates see.
pub(crate) fn with_references<'s, 'i>(
    scope: &'s Scope<'s>,
    ids: impl Iterator<Item = &'i str>,
) -> Scope<'s> {
    let mut inside = scope.scope();
    let found = Type::object([("spec", Type::Dyn)]);
    inside.declare(
        "externalRefs",
        Type::object(ids.map(|id| (id, found.clone()))),
    );
    inside
}

/// `dataplane`, `environment` and `gateway`: where something is deployed.
pub(crate) fn declare_places(scope: &mut Scope<'_>) {
    let listener = Type::object([
        ("listenerName", Type::String),
        ("port", Type::Int),
        ("host", Type::String),
    ]);
    let entry = Type::object([
        ("name", Type::String),
        ("namespace", Type::String),
        ("http", listener.clone()),
        ("https", listener.clone()),
        ("tls", listener),
    ]);
    let pair = Type::object([("external", entry.clone()), ("internal", entry)]);
    let gateway = Type::object([("ingress", pair.clone()), ("egress", pair)]);
    let plane = Type::object([
        ("secretStore", Type::String),
        ("gateway", gateway.clone()),
        (
            "observabilityPlaneRef",
            Type::object(strings(["kind", "name"])),
        ),
        ("annotations", Type::map(Type::String)),
    ]);
    let environment = Type::object([
        ("gateway", gateway.clone()),
        ("defaultNotificationChannel", Type::String),
    ]);
    scope.declare("dataplane", plane);
    scope.declare("environment", environment);
    scope.declare("gateway", gateway);
}

fn workload() -> Type {
    let container = Type::object([
        ("image", Type::String),
        ("command", texts()),
        ("args", texts()),
    ]);
    let endpoint = Type::object([
        ("displayName", Type::String),
        ("port", Type::Int),
        ("targetPort", Type::Int),
        ("type", Type::String),
        ("basePath", Type::String),
        ("visibility", texts()),
    ]);
    Type::object([("container", container), ("endpoints", Type::map(endpoint))])
}

fn declare_dependencies(scope: &mut Scope<'_>) {
    let variables = Type::list(open([("name", Type::String), ("value", Type::String)]));
    let endpoint = open([
        ("namespace", Type::String),
        ("project", Type::String),
        ("component", Type::String),
        ("endpoint", Type::String),
        ("visibility", Type::String),
        ("envVars", variables.clone()),
    ]);
    let resource = open([
        ("ref", Type::String),
        ("envVars", variables.clone()),
        ("volumeMounts", pieces()),
        ("volumes", pieces()),
    ]);
    let external = open([
        ("name", Type::String),
        ("host", Type::String),
        ("port", Type::Int),
        ("protocol", Type::String),
        ("envVars", variables.clone()),
    ]);
    let all = Type::object([
        ("items", Type::list(endpoint)),
        ("external", Type::list(external)),
        ("resources", Type::list(resource)),
        ("envVars", variables.clone()),
        ("volumeMounts", pieces()),
        ("volumes", pieces()),
    ]);
    scope.declare("dependencies", all);
    scope.declare_helper(&dialect::DEPENDENCY_ENVS, variables);
    scope.declare_helper(&dialect::DEPENDENCY_MOUNTS, pieces());
    scope.declare_helper(&dialect::DEPENDENCY_VOLUMES, pieces());
    let port = Type::object([
        ("name", Type::String),
        ("port", Type::Int),
        ("targetPort", Type::Int),
        ("protocol", Type::String),
    ]);
    scope.declare_helper(&dialect::SERVICE_PORTS, Type::list(port));
    let resource = Type::object(strings(["kind", "service", "method", "path"]));
    let resources = Type::Optional(Box::new(Type::list(resource)));
    scope.declare_helper(&dialect::ENDPOINT_RESOURCES, resources);
}

fn declare_configurations(scope: &mut Scope<'_>) {
    let remote = Type::object(strings(["key", "property", "version"]));
    let env = open([
        ("name", Type::String),
        ("value", Type::String),
        ("remoteRef", remote.clone()),
    ]);
    let file = open([
        ("name", Type::String),
        ("mountPath", Type::String),
        ("value", Type::String),
        ("resourceName", Type::String),
        ("remoteRef", remote),
    ]);
    let group = Type::object([
        ("envs", Type::list(env.clone())),
        ("files", Type::list(file.clone())),
    ]);
    let all = Type::object([("configs", group.clone()), ("secrets", group)]);
    scope.declare("configurations", all);
    let by_container = Type::list(open([
        ("resourceName", Type::String),
        ("envs", Type::list(env)),
    ]));
    for (helper, returned) in [
        (&dialect::ENV_FROM, pieces()),
        (&dialect::CONFIG_ENVS, by_container.clone()),
        (&dialect::SECRET_ENVS, by_container),
        (&dialect::CONFIG_FILES, Type::list(file.clone())),
        (&dialect::SECRET_FILES, Type::list(file)),
        (&dialect::FILE_MOUNTS, pieces()),
        (&dialect::FILE_VOLUMES, pieces()),
    ] {
        scope.declare_helper(helper, returned);
    }
}
