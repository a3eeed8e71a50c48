//! What types say of the objects that use them, as branches of one schema: the parameters of
//! components, projects, resources and runs, those of traits, and what bindings may set for an
//! environment. Which branch holds is told by the names that an object gives.

use choreo_compiler::{fleet::ObjectName, type_schema};
use choreo_model::shared::SchemaSection;
use serde_json::{Map, Value, json};

use super::{named, shelf::Shelf};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// How objects of one kind use objects of another.
struct Use {
    /// The kind of the type, without a word for its cluster-scoped twin.
    of: &'static str,
    /// What is meant when no kind is named.
    implied: &'static str,
    /// The kind of the objects that use it.
    by: &'static str,
    /// Where they name it, in their specification.
    reference: &'static str,
    /// Where they give the values of its parameters.
    values: &'static [&'static str],
}

const fn parameters(of: &'static str, by: &'static str, reference: &'static str) -> Use {
    let (implied, values) = (of, &["parameters"]);
    Use {
        of,
        implied,
        by,
        reference,
        values,
    }
}

const fn run(by: &'static str) -> Use {
    Use {
        implied: "ClusterWorkflow",
        values: &["workflow", "parameters"],
        ..parameters("Workflow", by, "workflow")
    }
}

const USES: [Use; 5] = [
    parameters("ComponentType", "Component", "componentType"),
    parameters("ProjectType", "Project", "type"),
    parameters("ResourceType", "Resource", "type"),
    run("WorkflowRun"),
    run("Component"),
];

/// A branch for every use of the types among `objects`, and for every binding that these may have.
pub(super) fn branches(objects: &[Value], shelf: &mut Shelf) -> Result<Vec<Value>> {
    let mut branches = Vec::new();
    for object in objects {
        let kind = text(object, "/kind");
        let local = kind.strip_prefix("Cluster").unwrap_or(kind);
        for one in USES.iter().filter(|one| one.of == local) {
            let reference = inside(&[one.reference], reference(object, one.implied));
            let values = within(one.values, section(object, "parameters", shelf)?);
            branches.push(branch(one.by, reference, values));
        }
        match kind {
            "Trait" | "ClusterTrait" => branches.push(of_trait(object, shelf)?),
            "Component" => branches.extend(of_component(objects, object, shelf)?),
            "Project" => branches.extend(of_owned((objects, object), &PROJECT, shelf)?),
            "Resource" => branches.extend(of_owned((objects, object), &RESOURCE, shelf)?),
            _ => {}
        }
    }
    Ok(branches)
}

/// The schema of the values that `object`, a type, calls `name`; its definitions go to `shelf`.
pub(super) fn section(object: &Value, name: &str, shelf: &mut Shelf) -> Result<Value> {
    let what = if name == "parameters" {
        "Parameters"
    } else {
        "Environment configuration"
    };
    let of = ObjectName::of(object);
    let declared: Option<SchemaSection> =
        serde_json::from_value(object["spec"][name].clone()).unwrap_or_default();
    let title = format!("{what} of {} {}", of.kind, of.name);
    let schema = type_schema::section(&title, declared.as_ref()).map_err(|violation| {
        let message = format!("the schema of {of} cannot be used");
        Failure::new(Exit::Invalid, message).because(violation.to_string())
    })?;
    Ok(shelf.take(&format!("{}.{}.{name}", of.kind, of.name), schema))
}

/// What names `object`: its kind may be left out when that is the `implied` one.
fn reference(object: &Value, implied: &str) -> Value {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    let name = match text(object, "/spec/workloadType") {
        "" => name.to_owned(),
        workload => format!("{workload}/{name}"),
    };
    let mut required = vec!["name"];
    if kind != implied {
        required.push("kind");
    }
    json!({
        "type": "object",
        "required": required,
        "properties": {"kind": {"const": kind}, "name": {"const": name}},
    })
}

/// The parameters of a trait wherever a component uses it.
fn of_trait(object: &Value, shelf: &mut Shelf) -> Result<Value> {
    let parameters = within(&["parameters"], section(object, "parameters", shelf)?);
    let item = json!({"if": reference(object, "Trait"), "then": parameters});
    let traits = within(&["traits"], json!({"items": item}));
    Ok(branch("Component", json!({}), traits))
}

/// What the bindings of a component may set.
fn of_component(objects: &[Value], component: &Value, shelf: &mut Shelf) -> Result<Option<Value>> {
    let named = &component["spec"]["componentType"];
    let Some(type_) = find(objects, named, "ComponentType") else {
        return Ok(None);
    };
    let cluster = text(type_, "/kind").starts_with("Cluster");
    let mut configs = Map::new();
    for (used, forced) in [(type_, cluster), (component, false)] {
        let traits = used["spec"]["traits"].as_array().into_iter().flatten();
        for one in traits {
            // A cluster-scoped type embeds cluster-scoped traits only.
            let implied = if forced { "ClusterTrait" } else { "Trait" };
            if let Some(found) = find(objects, one, implied) {
                let instance = text(one, "/instanceName").to_owned();
                configs.insert(instance, section(found, "environmentConfigs", shelf)?);
            }
        }
    }
    let values = json!({"properties": {
        "componentTypeEnvironmentConfigs": section(type_, "environmentConfigs", shelf)?,
        "traitEnvironmentConfigs": {"properties": configs},
    }});
    let owner = json!({
        "required": ["projectName", "componentName"],
        "properties": {
            "projectName": {"const": component["spec"]["owner"]["projectName"]},
            "componentName": {"const": component["metadata"]["name"]},
        },
    });
    Ok(Some(branch(
        "ReleaseBinding",
        inside(&["owner"], owner),
        values,
    )))
}

/// How bindings of a kind of objects say what differs in an environment.
struct Owned {
    type_: &'static str,
    binding: &'static str,
    owner: &'static str,
    values: &'static str,
}

const PROJECT: Owned = Owned {
    type_: "ProjectType",
    binding: "ProjectReleaseBinding",
    owner: "projectName",
    values: "environmentConfigs",
};
const RESOURCE: Owned = Owned {
    type_: "ResourceType",
    binding: "ResourceReleaseBinding",
    owner: "resourceName",
    values: "resourceTypeEnvironmentConfigs",
};

/// What the bindings of a project or a resource may set.
fn of_owned(
    (objects, object): (&[Value], &Value),
    owned: &Owned,
    shelf: &mut Shelf,
) -> Result<Option<Value>> {
    let Some(type_) = find(objects, &object["spec"]["type"], owned.type_) else {
        return Ok(None);
    };
    let values = within(
        &[owned.values],
        section(type_, "environmentConfigs", shelf)?,
    );
    let name = json!({"const": object["metadata"]["name"]});
    let owner = inside(&["owner", owned.owner], name);
    Ok(Some(branch(owned.binding, owner, values)))
}

/// The object that `reference` names; without a kind it is of the `implied` one.
fn find<'v>(objects: &'v [Value], reference: &Value, implied: &str) -> Option<&'v Value> {
    let kind = match text(reference, "/kind") {
        "" => implied,
        kind => kind,
    };
    let name = text(reference, "/name");
    let name = name.rsplit('/').next().unwrap_or(name);
    objects
        .iter()
        .rev()
        .find(|object| text(object, "/kind") == kind && text(object, "/metadata/name") == name)
}

/// Objects of `kind` whose specification is `like`, and what then holds for it.
fn branch(kind: &str, like: Value, then: Value) -> Value {
    let mut is = named(kind);
    is["properties"]["spec"] = like;
    json!({"if": is, "then": within(&["spec"], then)})
}

/// `schema` for what is at `path`, if anything is.
fn within(path: &[&str], schema: Value) -> Value {
    path.iter()
        .rev()
        .fold(schema, |inner, name| json!({"properties": {*name: inner}}))
}

/// `schema` for what must be at `path`.
fn inside(path: &[&str], schema: Value) -> Value {
    path.iter().rev().fold(
        schema,
        |inner, name| json!({"required": [name], "properties": {*name: inner}}),
    )
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}
