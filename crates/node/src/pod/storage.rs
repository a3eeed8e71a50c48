//! Local storage of a pod: its volumes on the disk, what its containers write beside them, and their logs. A pod that
//! uses more of it than it may is evicted; what counts, and the words for it, are the kubelet's.

use std::collections::BTreeMap;

use choreo_model::quantity;
use k8s_openapi::{
    api::core::v1::{Container, Pod, Volume},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{decide::is_sidecar, volume};

/// The resource.
const NAME: &str = "ephemeral-storage";

/// How much a pod may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The volumes that are looked at, with their limits if they have one.
    pub volumes: BTreeMap<String, Option<Limit>>,
    /// Containers with a limit of their own.
    containers: BTreeMap<String, Limit>,
    /// All together, in bytes.
    whole: Option<u64>,
}

/// A limit as its pod says it, and in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    text: String,
    bytes: u64,
}

/// How much a pod uses, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// By its volumes.
    pub volumes: BTreeMap<String, u64>,
    /// By its containers: what they write beside volumes, and their logs.
    pub containers: BTreeMap<String, u64>,
}

/// How much a pod may use; `None` if that is not limited at all.
pub fn limits(pod: &Pod) -> Option<Limits> {
    let spec = pod.spec.as_ref()?;
    let initial = || spec.init_containers.iter().flatten();
    let all = initial().chain(&spec.containers);
    let containers = all.filter_map(|one| Some((one.name.clone(), limit_of(one)?)));
    let containers: BTreeMap<String, Limit> = containers.collect();
    let sum = |of: Vec<&Container>| {
        let limits = of.into_iter().filter_map(limit_of);
        limits.map(|limit| limit.bytes).reduce(u64::saturating_add)
    };
    // What runs at once: initial containers alone, one after the other, or all others.
    let beside = initial().filter(|one| is_sidecar(one));
    let together = sum(spec.containers.iter().chain(beside).collect());
    let alone = initial().filter(|one| !is_sidecar(one));
    let alone = alone.filter_map(limit_of).map(|limit| limit.bytes).max();
    let whole = together.max(alone);
    let on_disk = spec.volumes.iter().flatten();
    let on_disk = on_disk.filter_map(|volume| Some((volume.name.clone(), size(volume)?)));
    let volumes = on_disk.filter(|(_, limit)| limit.is_some() || whole.is_some());
    let limits = Limits {
        volumes: volumes.collect(),
        containers,
        whole,
    };
    (limits != Limits::default()).then_some(limits)
}

impl Limits {
    /// Whether it matters what containers write beside volumes.
    pub const fn counts_containers(&self) -> bool {
        self.whole.is_some()
    }

    /// What is more than it may be, in a sentence.
    pub fn exceeded(&self, usage: &Usage) -> Option<String> {
        self.volume_exceeded(usage)
            .or_else(|| self.whole_exceeded(usage))
            .or_else(|| self.container_exceeded(usage))
    }

    fn volume_exceeded(&self, usage: &Usage) -> Option<String> {
        let mut limited = self.volumes.iter();
        limited.find_map(|(name, limit)| {
            let limit = limit.as_ref()?;
            let text = &limit.text;
            (usage.volumes.get(name)? > &limit.bytes)
                .then(|| format!("Usage of EmptyDir volume {name:?} exceeds the limit {text:?}."))
        })
    }

    fn whole_exceeded(&self, usage: &Usage) -> Option<String> {
        let limit = self.whole?;
        let used = usage.volumes.values().chain(usage.containers.values());
        let used = used.fold(0_u64, |sum, one| sum.saturating_add(*one));
        (used > limit).then(|| {
            let limit = quantity::bytes(limit.saturating_mul(1_000));
            format!(
                "Pod ephemeral local storage usage exceeds the total limit of containers {limit}."
            )
        })
    }

    fn container_exceeded(&self, usage: &Usage) -> Option<String> {
        let mut limited = self.containers.iter();
        limited.find_map(|(name, limit)| {
            let text = &limit.text;
            (usage.containers.get(name)? > &limit.bytes).then(|| {
                format!("Container {name} exceeded its local ephemeral storage limit {text:?}.")
            })
        })
    }
}

fn limit_of(container: &Container) -> Option<Limit> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    limit(limits.get(NAME)?)
}

/// The limit of a volume that is on the disk and ends with its pod.
#[expect(
    clippy::option_option,
    reason = "what has no limit counts all the same"
)]
fn size(volume: &Volume) -> Option<Option<Limit>> {
    let empty = volume.empty_dir.as_ref()?;
    let on_disk = empty.medium.as_deref() != Some("Memory");
    on_disk.then(|| empty.size_limit.as_ref().and_then(limit))
}

/// No limit is written as zero too.
fn limit(quantity: &Quantity) -> Option<Limit> {
    let bytes = volume::bytes(quantity).filter(|bytes| *bytes > 0)?;
    Some(Limit {
        text: quantity.0.clone(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: &Value) -> Option<Limits> {
        let pod = json!({"metadata": {}, "spec": spec});
        limits(&serde_json::from_value(pod).unwrap())
    }

    fn container(name: &str, limit: &str) -> Value {
        json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}})
    }

    #[test]
    fn nothing_is_looked_at_without_a_limit() {
        let volumes = json!([{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Ki"}}]);
        assert_eq!(
            read(&json!({"containers": [{"name": "a"}], "volumes": volumes})),
            None
        );
        let zero = json!({"containers": [container("a", "0")]});
        assert_eq!(read(&zero), None);
    }

    #[test]
    fn a_volume_with_a_limit_is_looked_at_alone() {
        let volumes =
            json!([{"name": "v", "emptyDir": {"sizeLimit": "1Ki"}}, {"name": "w", "emptyDir": {}}]);
        let limits = read(&json!({"containers": [{"name": "a"}], "volumes": volumes})).unwrap();
        assert!(!limits.counts_containers());
        assert_eq!(limits.volumes.keys().collect::<Vec<_>>(), ["v"]);
        let used = |bytes| Usage {
            volumes: [("v".to_owned(), bytes)].into(),
            ..Usage::default()
        };
        assert_eq!(limits.exceeded(&used(1024)), None);
        assert_eq!(
            limits.exceeded(&used(1025)).unwrap(),
            "Usage of EmptyDir volume \"v\" exceeds the limit \"1Ki\"."
        );
    }

    #[test]
    fn a_pod_may_use_what_its_containers_may_together() {
        let sidecar = json!({"name": "side", "restartPolicy": "Always", "resources": {"limits": {"ephemeral-storage": "1Mi"}}});
        let limits = read(&json!({
            "initContainers": [sidecar, container("first", "2Mi")],
            "containers": [container("a", "1Mi"), container("b", "512Ki"), {"name": "c"}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}},
                {"name": "s", "secret": {"secretName": "s"}}],
        }))
        .unwrap();
        assert_eq!(limits.volumes.keys().collect::<Vec<_>>(), ["v"]);
        let used = |a: u64, c: u64, v: u64| Usage {
            volumes: [("v".to_owned(), v << 10)].into(),
            containers: [("a".to_owned(), a << 10), ("c".to_owned(), c << 10)].into(),
        };
        assert_eq!(limits.exceeded(&used(1024, 0, 1536)), None);
        assert_eq!(
            limits.exceeded(&used(0, 1536, 1025)).unwrap(),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2560Ki."
        );
        assert_eq!(
            limits.exceeded(&used(1025, 0, 0)).unwrap(),
            "Container a exceeded its local ephemeral storage limit \"1Mi\"."
        );
        let alone = json!({"initContainers": [container("first", "2Mi")], "containers": [container("a", "1Mi")]});
        let limits = read(&alone).unwrap();
        let usage = Usage {
            containers: [("a".to_owned(), 2 << 20)].into(),
            ..Usage::default()
        };
        assert!(limits.exceeded(&usage).unwrap().starts_with("Container a"));
    }
}
