//! How lists and maps of the built-in kinds merge. The derivations of
//! k8s-openapi leave these extensions out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// How one field merges.
pub(super) struct Merge {
    definition: &'static str,
    pub(super) field: &'static str,
    how: How,
}

enum How {
    /// Items are told apart by keys; the first is the key of strategic patches.
    By(&'static [&'static str]),
    /// Distinct scalars.
    Set,
    /// Distinct scalars that strategic patches replace whole.
    Distinct,
    /// Items are replaced whole by apply, but strategic patches merge by a key.
    Patch(&'static str),
    /// A map that is replaced whole.
    Whole,
    /// A key of items that has a default.
    Default(&'static str),
    /// A struct of which strategic patches keep only the keys they name.
    Union,
}

impl Merge {
    /// The extensions that say so.
    pub(super) fn extensions(&self) -> Map<String, Value> {
        let extensions = match self.how {
            How::By(keys) => json!({
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": keys,
                "x-kubernetes-patch-merge-key": keys.first(),
                "x-kubernetes-patch-strategy": if self.retains() { "merge,retainKeys" } else { "merge" },
            }),
            How::Set => json!({
                "x-kubernetes-list-type": "set",
                "x-kubernetes-patch-strategy": "merge",
            }),
            How::Distinct => json!({"x-kubernetes-list-type": "set"}),
            How::Patch(key) => json!({
                "x-kubernetes-patch-merge-key": key,
                "x-kubernetes-patch-strategy": "merge",
            }),
            How::Whole => json!({"x-kubernetes-map-type": "atomic"}),
            How::Default(value) => json!({"default": value}),
            How::Union => json!({"x-kubernetes-patch-strategy": "retainKeys"}),
        };
        extensions.as_object().cloned().unwrap_or_default()
    }

    fn retains(&self) -> bool {
        self.field == "volumes"
    }
}

/// The table by definition.
pub(super) fn by_definition() -> BTreeMap<&'static str, Vec<&'static Merge>> {
    let mut by: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for merge in MERGES {
        by.entry(merge.definition).or_default().push(merge);
    }
    by
}

/// Whether a definition's values are replaced whole wherever they are, by its name or the end of it.
pub(super) fn is_atomic(name: &str) -> bool {
    const ATOMIC: [&str; 23] = [
        "autoscaling.v1.CrossVersionObjectReference",
        "ConfigMapKeySelector",
        "EndpointAddress",
        "EndpointPort",
        "FileKeySelector",
        "LabelSelector",
        "LocalObjectReference",
        "MatchResources",
        "NamedRuleWithOperations",
        "NodeSelector",
        "NodeSelectorTerm",
        "ObjectFieldSelector",
        "ObjectReference",
        "OwnerReference",
        "ParamKind",
        "ParamRef",
        "ResourceFieldSelector",
        "RoleRef",
        "ScopeSelector",
        "SecretKeySelector",
        "SecretReference",
        "Subject",
        "TypedLocalObjectReference",
    ];
    let ends = |end: &&str| {
        let rest = name.strip_suffix(*end);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    ATOMIC.iter().any(ends)
}

const fn by(definition: &'static str, field: &'static str, keys: &'static [&'static str]) -> Merge {
    Merge {
        definition,
        field,
        how: How::By(keys),
    }
}

const fn set(definition: &'static str, field: &'static str) -> Merge {
    Merge {
        definition,
        field,
        how: How::Set,
    }
}

const fn distinct(definition: &'static str, field: &'static str) -> Merge {
    Merge {
        definition,
        field,
        how: How::Distinct,
    }
}

const fn patch(definition: &'static str, field: &'static str, key: &'static str) -> Merge {
    Merge {
        definition,
        field,
        how: How::Patch(key),
    }
}

const fn whole(definition: &'static str, field: &'static str) -> Merge {
    Merge {
        definition,
        field,
        how: How::Whole,
    }
}

const fn default(definition: &'static str, field: &'static str, value: &'static str) -> Merge {
    Merge {
        definition,
        field,
        how: How::Default(value),
    }
}

const fn union(definition: &'static str, field: &'static str) -> Merge {
    Merge {
        definition,
        field,
        how: How::Union,
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const POD_STATUS: &str = "io.k8s.api.core.v1.PodStatus";
const CONTAINER: &str = "io.k8s.api.core.v1.Container";
const EPHEMERAL: &str = "io.k8s.api.core.v1.EphemeralContainer";
const SERVICE_SPEC: &str = "io.k8s.api.core.v1.ServiceSpec";
const NODE_STATUS: &str = "io.k8s.api.core.v1.NodeStatus";

static MERGES: &[Merge] = &[
    set(META, "finalizers"),
    by(META, "ownerReferences", &["uid"]),
    // Pods
    by(POD_SPEC, "containers", &["name"]),
    by(POD_SPEC, "initContainers", &["name"]),
    by(POD_SPEC, "ephemeralContainers", &["name"]),
    by(POD_SPEC, "volumes", &["name"]),
    by(POD_SPEC, "imagePullSecrets", &["name"]),
    by(POD_SPEC, "hostAliases", &["ip"]),
    by(
        POD_SPEC,
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    by(POD_SPEC, "resourceClaims", &["name"]),
    by(POD_SPEC, "schedulingGates", &["name"]),
    whole(POD_SPEC, "nodeSelector"),
    by(CONTAINER, "env", &["name"]),
    by(CONTAINER, "ports", &["containerPort", "protocol"]),
    by(CONTAINER, "volumeMounts", &["mountPath"]),
    by(CONTAINER, "volumeDevices", &["devicePath"]),
    by(EPHEMERAL, "env", &["name"]),
    by(EPHEMERAL, "ports", &["containerPort", "protocol"]),
    by(EPHEMERAL, "volumeMounts", &["mountPath"]),
    by(EPHEMERAL, "volumeDevices", &["devicePath"]),
    by(
        "io.k8s.api.core.v1.ResourceRequirements",
        "claims",
        &["name"],
    ),
    by(POD_STATUS, "conditions", &["type"]),
    by(POD_STATUS, "podIPs", &["ip"]),
    by(POD_STATUS, "resourceClaimStatuses", &["name"]),
    patch(POD_STATUS, "hostIPs", "ip"),
    by(
        "io.k8s.api.core.v1.ContainerStatus",
        "volumeMounts",
        &["mountPath"],
    ),
    // Services and addresses
    by(SERVICE_SPEC, "ports", &["port", "protocol"]),
    whole(SERVICE_SPEC, "selector"),
    by("io.k8s.api.core.v1.ServiceStatus", "conditions", &["type"]),
    default("io.k8s.api.core.v1.ContainerPort", "protocol", "TCP"),
    default("io.k8s.api.core.v1.ServicePort", "protocol", "TCP"),
    // Others of core
    by(
        "io.k8s.api.core.v1.NamespaceStatus",
        "conditions",
        &["type"],
    ),
    by(NODE_STATUS, "conditions", &["type"]),
    by(NODE_STATUS, "addresses", &["type"]),
    set("io.k8s.api.core.v1.NodeSpec", "podCIDRs"),
    by(
        "io.k8s.api.core.v1.PersistentVolumeClaimStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.api.core.v1.ReplicationControllerStatus",
        "conditions",
        &["type"],
    ),
    whole("io.k8s.api.core.v1.ReplicationControllerSpec", "selector"),
    by("io.k8s.api.core.v1.ServiceAccount", "secrets", &["name"]),
    patch(
        "io.k8s.api.core.v1.ServiceAccount",
        "imagePullSecrets",
        "name",
    ),
    // Workloads
    union("io.k8s.api.apps.v1.DeploymentSpec", "strategy"),
    by(
        "io.k8s.api.apps.v1.DeploymentStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.api.apps.v1.ReplicaSetStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.api.apps.v1.StatefulSetStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.api.apps.v1.DaemonSetStatus",
        "conditions",
        &["type"],
    ),
    patch("io.k8s.api.batch.v1.JobStatus", "conditions", "type"),
    by(
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.api.policy.v1.PodDisruptionBudgetStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        "conditions",
        &["type"],
    ),
    by(
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        "webhooks",
        &["name"],
    ),
    by(
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
        "webhooks",
        &["name"],
    ),
    by(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "matchConditions",
        &["name"],
    ),
    by(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "variables",
        &["name"],
    ),
    by(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus",
        "conditions",
        &["type"],
    ),
    distinct(
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec",
        "validationActions",
    ),
    by(
        "io.k8s.api.admissionregistration.v1.ValidatingWebhook",
        "matchConditions",
        &["name"],
    ),
    by(
        "io.k8s.api.admissionregistration.v1.MutatingWebhook",
        "matchConditions",
        &["name"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::{definitions::definitions, rows::ROWS};

    #[test]
    fn every_row_names_a_field_that_exists() {
        let kinds: Vec<_> = ROWS.iter().map(|row| row.register).collect();
        let (_, definitions) = definitions(&kinds);
        for merge in MERGES {
            let field = &definitions[merge.definition]["properties"][merge.field];
            assert!(field.is_object(), "{} {}", merge.definition, merge.field);
            for key in field["x-kubernetes-list-map-keys"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let item = field["items"]["$ref"]
                    .as_str()
                    .unwrap()
                    .rsplit('/')
                    .next()
                    .unwrap();
                let key = key.as_str().unwrap();
                assert!(
                    definitions[item]["properties"][key].is_object(),
                    "{item} {key}"
                );
            }
        }
    }
}
