//! Platforms that could be somebody's: types with schemas, defaults, conditions and loops, traits
//! that create, patch and remove, components that use them and bindings that override.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// What is told of a component.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    parameters: Value,
    configs: Value,
    endpoints: Vec<(&'static str, u16, bool)>,
    env: Vec<String>,
    /// Whether it has each of the traits, and what it tells them.
    traits: [Option<Value>; 3],
    live: bool,
}

/// A platform.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    /// Whether parts of the type are there at all.
    type_: [bool; 3],
    replicas: u8,
    parts: Vec<Part>,
}

/// Any platform.
pub(crate) fn platform() -> impl Strategy<Value = Platform> {
    let type_ = any::<[bool; 3]>();
    (type_, 1..5_u8, vec(part(), 1..4)).prop_map(|(type_, replicas, parts)| Platform {
        type_,
        replicas,
        parts,
    })
}

fn part() -> impl Strategy<Value = Part> {
    let told = |strategy: BoxedStrategy<Value>| option::of(strategy);
    let port =
        (1..9_u16, "[a-z]{1,5}").prop_map(|(port, name)| json!({"port": port, "name": name}));
    let parameters = (
        told(any::<bool>().prop_map(Value::from).boxed()),
        told(vec(port, 0..3).prop_map(Value::from).boxed()),
        told(
            btree_map("[a-z]{1,3}", "[a-z ]{0,4}", 0..3)
                .prop_map(|map| json!(map))
                .boxed(),
        ),
        told(
            option::of("[a-z]{1,4}")
                .prop_map(|name| json!({"name": name}))
                .boxed(),
        ),
    )
        .prop_map(|(on, ports, notes, nested)| {
            some([
                ("on", on),
                ("ports", ports),
                ("notes", notes),
                ("nested", nested),
            ])
        });
    let configs = (
        told((1..5_u8).prop_map(Value::from).boxed()),
        told("[0-9]{1,2}Mi".prop_map(Value::from).boxed()),
    )
        .prop_map(|(replicas, memory)| some([("replicas", replicas), ("memory", memory)]));
    let endpoints = (any::<bool>(), any::<bool>()).prop_map(|(second, external)| {
        let all = [("web", 80, external), ("admin", 8080, !external)];
        all[..=usize::from(second)].to_vec()
    });
    let trait_ =
        option::of(option::of(1..4_u8).prop_map(|size| some([("size", size.map(Value::from))])));
    let traits = [trait_.clone(), trait_.clone(), trait_];
    (
        parameters,
        configs,
        endpoints,
        vec("[A-Z]{1,4}", 0..3),
        traits,
        any::<bool>(),
    )
        .prop_map(|(parameters, configs, endpoints, mut env, traits, live)| {
            env.sort();
            env.dedup();
            Part {
                parameters,
                configs,
                endpoints,
                env,
                traits,
                live,
            }
        })
}

fn some<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let fields = fields.into_iter();
    let told = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(told.collect::<Map<_, _>>())
}

impl Platform {
    /// One that is always the same.
    pub(crate) fn fixed() -> Self {
        Self {
            type_: [true; 3],
            replicas: 2,
            parts: vec![Part {
                parameters: json!({"on": false, "ports": [{"port": 1}], "nested": {"name": "é"}}),
                configs: json!({"replicas": 1}),
                endpoints: vec![("web", 80, true)],
                env: vec!["A".to_owned()],
                traits: [Some(json!({"size": 1})), None, Some(json!({}))],
                live: true,
            }],
        }
    }

    /// Its objects.
    pub(crate) fn manifests(&self) -> Vec<Value> {
        let mut all = around();
        all.push(self.component_type());
        all.extend(traits());
        for (index, part) in self.parts.iter().enumerate() {
            all.extend(part.manifests(&format!("part-{index}")));
        }
        all
    }

    /// How many bindings it has.
    pub(crate) fn bindings(&self) -> usize {
        self.parts
            .iter()
            .map(|part| 1 + usize::from(part.live))
            .sum()
    }

    fn component_type(&self) -> Value {
        let [looped, conditional, nested] = self.type_;
        let mut resources = vec![deployment(nested)];
        if looped {
            resources.push(json!({
                "id": "service", "forEach": "${workload.endpoints}", "var": "each",
                "includeWhen": "${size(workload.endpoints) > 0}",
                "template": {
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": {"name": "${oc_dns_label(metadata.name, each.key)}", "namespace": "${metadata.namespace}"},
                    "spec": {"selector": "${metadata.podSelectors}", "ports": [{"port": "${each.value.port}"}]},
                },
            }));
        }
        resources.push(json!({
            "id": "env", "forEach": "${configurations.toConfigEnvsByContainer()}", "var": "group",
            "template": {
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "${group.resourceName}", "namespace": "${metadata.namespace}"},
                "data": "${group.envs.transformMapEntry(i, e, {e.name: e.value})}",
            },
        }));
        if conditional {
            resources.push(json!({
                "id": "settings", "includeWhen": "${parameters.on && size(parameters.ports) > 1}",
                "template": {
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": "${metadata.name}", "namespace": "${metadata.namespace}"},
                    "data": "${parameters.ports.transformMapEntry(i, p, {string(i) + '-' + p.name: string(p.port)})}",
                },
            }));
        }
        let allowed = ["note", "sidecar", "volume", "undo"];
        let allowed = allowed.map(|name| json!({"kind": "ClusterTrait", "name": name}));
        json!({
            "kind": "ClusterComponentType", "metadata": {"name": "made"},
            "spec": {
                "workloadType": "deployment",
                "allowedTraits": allowed,
                "parameters": {"openAPIV3Schema": parameters()},
                "environmentConfigs": {"openAPIV3Schema": {
                    "type": "object",
                    "$defs": {"Size": {"type": "integer", "minimum": 1, "maximum": 9}},
                    "properties": {
                        "replicas": {"$ref": "#/$defs/Size", "default": self.replicas},
                        "memory": {"type": "string", "default": "64Mi"},
                    },
                }},
                "resources": resources,
            },
        })
    }
}

/// What the type asks of a component.
pub(crate) fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "on": {"type": "boolean", "default": true},
            "ports": {
                "type": "array", "default": [{}],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer", "default": 7},
                    "name": {"type": "string", "default": "any"},
                }},
            },
            "notes": {"type": "object", "default": {}, "additionalProperties": {"type": "string"}},
            "nested": {"type": "object", "default": {}, "properties": {
                "name": {"type": "string", "nullable": true},
                "deep": {"type": "object", "default": {}, "properties": {
                    "list": {"type": "array", "items": {"type": "string"}, "default": ["x", "y"]},
                }},
            }},
        },
    })
}

fn deployment(nested: bool) -> Value {
    let mut container = json!({
        "name": "main",
        "image": "${workload.container.image}",
        "args": ["--on=${parameters.on}", "${parameters.nested.?name.orValue(oc_omit())}"],
        "envFrom": "${configurations.toContainerEnvFrom()}",
        "resources": {"limits": {"memory": "${environmentConfigs.memory}"}},
    });
    if nested {
        container["command"] = json!("${parameters.nested.deep.list.map(x, x + '!')}");
        container["ports"] = json!(
            "${parameters.ports.map(p, p.port > 3, {'containerPort': p.port, 'name': p.name})}"
        );
    }
    json!({
        "id": "deployment",
        "template": {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "${metadata.name}", "namespace": "${metadata.namespace}",
                "annotations": "${parameters.notes}",
            },
            "spec": {
                "replicas": "${environmentConfigs.replicas}",
                "template": {
                    "metadata": {"labels": "${metadata.podSelectors}"},
                    "spec": {"containers": [container]},
                },
            },
        },
    })
}

fn around() -> Vec<Value> {
    let environment = |name: &str| {
        json!({
            "kind": "Environment", "metadata": {"name": name, "namespace": "acme"},
            "spec": {"dataPlaneRef": {"kind": "ClusterDataPlane", "name": "iron"}, "egress": "open"},
        })
    };
    vec![
        json!({"kind": "ClusterDataPlane", "metadata": {"name": "iron"}, "spec": {
            "planeID": "iron", "clusterAgent": {"clientCA": {"value": "none"}}}}),
        json!({
            "kind": "ClusterProjectType", "metadata": {"name": "cell"},
            "spec": {"resources": [{"id": "cell", "template": {
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "${metadata.namespace}"}}}]},
        }),
        environment("test"),
        environment("live"),
        json!({
            "kind": "DeploymentPipeline", "metadata": {"name": "usual", "namespace": "acme"},
            "spec": {"promotionPaths": [{"sourceEnvironmentRef": {"name": "test"}, "targetEnvironmentRefs": [{"name": "live"}]}]},
        }),
        json!({
            "kind": "Project", "metadata": {"name": "shop", "namespace": "acme"},
            "spec": {"deploymentPipelineRef": {"name": "usual"}, "type": {"kind": "ClusterProjectType", "name": "cell"}},
        }),
    ]
}

/// Three traits that have nothing to do with each other, and one that takes back what `note` does.
fn traits() -> [Value; 4] {
    let trait_ = |name: &str, mut spec: Value| {
        spec["parameters"] = json!({"openAPIV3Schema": {
            "type": "object", "properties": {"size": {"type": "integer", "default": 2}}}});
        json!({"kind": "ClusterTrait", "metadata": {"name": name}, "spec": spec})
    };
    let patch = |operations: Value| {
        json!([{
            "target": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "operations": operations,
        }])
    };
    let note = "/metadata/labels/example.org~1${trait.instanceName}";
    [
        trait_(
            "note",
            json!({"patches": patch(json!([{"op": "add", "path": note, "value": "size-${parameters.size}"}]))}),
        ),
        trait_(
            "sidecar",
            json!({"patches": patch(json!([
                {"op": "add", "path": "/spec/template/spec/initContainers/-",
                    "value": {"name": "${trait.instanceName}", "image": "side:${parameters.size}"}},
                {"op": "add", "path": "/spec/template/spec/initContainers/[?(@.name=='${trait.instanceName}')]/tty",
                    "value": "${parameters.size > 2 ? true : oc_omit()}"},
            ]))}),
        ),
        trait_(
            "volume",
            json!({"creates": [{
                "forEach": "${lists.range(parameters.size)}", "var": "n",
                "template": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "${metadata.name}-${n}", "namespace": "${metadata.namespace}"},
                    "spec": {"resources": {"requests": {"storage": "${n + 1}Gi"}}},
                },
            }]}),
        ),
        trait_(
            "undo",
            json!({"patches": patch(json!([{"op": "remove", "path": "/metadata/labels/example.org~1note"}]))}),
        ),
    ]
}

impl Part {
    fn manifests(&self, name: &str) -> Vec<Value> {
        let metadata = json!({"name": name, "namespace": "acme"});
        let owner = json!({"projectName": "shop", "componentName": name});
        let names = ["note", "sidecar", "volume"];
        let traits = names.iter().zip(&self.traits).filter_map(|(name, told)| {
            let told = told.as_ref()?;
            Some(json!({"kind": "ClusterTrait", "name": name, "instanceName": name, "parameters": told}))
        });
        let endpoints = self.endpoints.iter().map(|(name, port, external)| {
            let visibility = if *external {
                json!(["external"])
            } else {
                json!([])
            };
            let endpoint = json!({"type": "HTTP", "port": port, "visibility": visibility});
            ((*name).to_owned(), endpoint)
        });
        let env = self.env.iter().map(|key| json!({"key": key, "value": "v"}));
        let binding = |environment: &str, configs: &Value| {
            json!({
                "kind": "ReleaseBinding",
                "metadata": {"name": format!("{name}-{environment}"), "namespace": "acme"},
                "spec": {"owner": owner, "environment": environment, "componentTypeEnvironmentConfigs": configs},
            })
        };
        let mut all = vec![
            json!({
                "kind": "Component", "metadata": metadata,
                "spec": {
                    "owner": {"projectName": "shop"}, "autoDeploy": true,
                    "componentType": {"kind": "ClusterComponentType", "name": "deployment/made"},
                    "parameters": self.parameters, "traits": traits.collect::<Vec<_>>(),
                },
            }),
            json!({
                "kind": "Workload", "metadata": metadata,
                "spec": {
                    "owner": owner,
                    "container": {"image": format!("{name}:1"), "env": env.collect::<Vec<_>>()},
                    "endpoints": endpoints.collect::<Map<_, _>>(),
                },
            }),
            binding("test", &self.configs),
        ];
        if self.live {
            all.push(binding("live", &json!({})));
        }
        all
    }
}
