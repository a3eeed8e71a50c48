//! Paths and operations of a kind.

use serde_json::{Map, Value, json};

use crate::resource::Resource;

/// Every path of `resource` in the group version at `base` (`apis/apps/v1`).
pub(super) fn of(base: &str, resource: &Resource, component: &str) -> Map<String, Value> {
    let mut paths = Map::new();
    let plural = &resource.plural;
    let kind = Kind {
        resource,
        component,
    };
    let scope = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let whole = format!("/{base}{scope}/{plural}");
    let one = format!("{whole}/{{name}}");
    paths.insert(whole, kind.collection());
    if resource.namespaced {
        paths.insert(
            format!("/{base}/{plural}"),
            json!({"get": kind.read("list")}),
        );
    }
    if resource.subresources.status {
        paths.insert(format!("{one}/status"), kind.subresource());
    }
    if (resource.group.as_str(), plural.as_str()) == ("", "pods") {
        paths.insert(format!("{one}/ephemeralcontainers"), kind.subresource());
    }
    if resource.subresources.scale.is_some() {
        paths.insert(format!("{one}/scale"), kind.scale());
    }
    paths.insert(one, kind.object());
    paths
}

struct Kind<'a> {
    resource: &'a Resource,
    component: &'a str,
}

impl Kind<'_> {
    fn collection(&self) -> Value {
        let mut path = json!({
            "get": self.read("list"),
            "post": self.write("post"),
            "delete": self.operation("deletecollection", &["dryRun", "labelSelector", "fieldSelector"]),
        });
        self.parameters(&mut path, false);
        path
    }

    fn object(&self) -> Value {
        let mut path = json!({
            "get": self.read("get"),
            "put": self.write("put"),
            "patch": self.patch(),
            "delete": self.operation("delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
        });
        self.parameters(&mut path, true);
        path
    }

    fn subresource(&self) -> Value {
        let mut path =
            json!({"get": self.read("get"), "put": self.write("put"), "patch": self.patch()});
        self.parameters(&mut path, true);
        path
    }

    fn scale(&self) -> Value {
        let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        let mut path = self.subresource();
        for operation in ["get", "put", "patch"] {
            path[operation]["x-kubernetes-group-version-kind"] = scale.clone();
        }
        path
    }

    fn read(&self, action: &str) -> Value {
        self.operation(
            action,
            &[
                "labelSelector",
                "fieldSelector",
                "limit",
                "continue",
                "resourceVersion",
                "watch",
            ],
        )
    }

    fn write(&self, action: &str) -> Value {
        let mut operation = self.operation(action, &["dryRun", "fieldManager", "fieldValidation"]);
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": self.reference()}}});
        operation
    }

    /// What clients look at to choose how they patch, and to learn that the
    /// server validates fields.
    fn patch(&self) -> Value {
        const TYPES: [&str; 4] = [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ];
        let schema = json!({"schema": {"type": "object"}});
        // Custom kinds have no strategic merge patch.
        let types = TYPES.iter().take(if self.resource.builtin { 4 } else { 3 });
        let content: Map<String, Value> = types
            .map(|name| ((*name).to_owned(), schema.clone()))
            .collect();
        let mut operation = self.operation(
            "patch",
            &["dryRun", "fieldManager", "fieldValidation", "force"],
        );
        operation["requestBody"] = json!({"required": true, "content": content});
        operation
    }

    fn operation(&self, action: &str, parameters: &[&str]) -> Value {
        let parameters: Vec<Value> = parameters.iter().map(|name| query(name)).collect();
        let returned = json!({"application/json": {"schema": self.reference()}});
        json!({
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": returned}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": self.resource.group,
                "version": self.resource.version,
                "kind": self.resource.kind,
            },
        })
    }

    fn reference(&self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.component)})
    }

    fn parameters(&self, path: &mut Value, named: bool) {
        let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
        let mut parameters = Vec::new();
        if named {
            parameters.push(in_path("name"));
        }
        if self.resource.namespaced {
            parameters.push(in_path("namespace"));
        }
        path["parameters"] = Value::from(parameters);
    }
}

fn query(name: &str) -> Value {
    let kind = match name {
        "limit" | "gracePeriodSeconds" => "integer",
        "watch" | "force" => "boolean",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}
