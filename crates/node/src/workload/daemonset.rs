//! `DaemonSet`: one pod on the one node there is, if it is a node that the template selects.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus},
    core::v1::{Node, Pod},
};

use super::{
    adopt::adopt,
    available_from, count, created, has_failed, is_active, pod_of, prefix, ready_since,
    replicaset::{backed_off, prune},
    scaled, suffix, template_hash,
};
use crate::{
    index::{Index, Key},
    notice::Notice,
    service::matches_all,
    write::{Decision, Write},
};

const LABEL: &str = "controller-revision-hash";

/// A daemon set and its pods.
struct World<'a> {
    set: &'a DaemonSet,
    spec: &'a DaemonSetSpec,
    /// What tells pods of the present template.
    hash: String,
    /// Whether there should be a pod.
    wanted: bool,
    active: Vec<&'a Arc<Pod>>,
    failed: Vec<&'a Arc<Pod>>,
    /// Whether pods are still on their way out.
    leaving: bool,
    now: Timestamp,
}

/// What to do about a daemon set.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(set) = index.daemon_sets.get(key) else {
        return decision;
    };
    let Some(spec) = &set.spec else {
        return decision;
    };
    if set.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    adopt::<_, Pod>(index, &**set, &spec.selector, &mut decision);
    let world = World::new(index, set, spec, now);
    world.keep(&mut decision);
    prune(&world.failed, &mut decision);
    world.status(&mut decision);
    decision
}

impl<'a> World<'a> {
    fn new(
        index: &'a Index,
        set: &'a Arc<DaemonSet>,
        spec: &'a DaemonSetSpec,
        now: Timestamp,
    ) -> Self {
        let pods: Vec<&Arc<Pod>> = index.pods.owned_by(&set.metadata).collect();
        let leaving = pods
            .iter()
            .any(|pod| pod.metadata.deletion_timestamp.is_some());
        let (mut active, failed): (Vec<_>, Vec<_>) = pods
            .into_iter()
            .filter(|pod| is_active(pod) || has_failed(pod))
            .partition(|pod| is_active(pod));
        // The youngest last, so that it is taken for the one that comes.
        active.sort_by_key(|pod| created(&pod.metadata));
        Self {
            set,
            spec,
            hash: template_hash(&spec.template, 0),
            wanted: index.nodes.iter().any(|node| takes(spec, node)),
            active,
            failed,
            leaving,
            now,
        }
    }

    fn is_current(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(LABEL)) == Some(&self.hash)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        available_from(pod, self.spec.min_ready_seconds).is_some_and(|time| time <= self.now)
    }

    fn keep(&self, decision: &mut Decision) {
        let of = |current: bool| {
            let all = self.active.iter().copied();
            all.filter(move |pod| self.is_current(pod) == current)
        };
        if !self.wanted {
            self.active
                .iter()
                .for_each(|pod| self.delete(pod, decision));
            return;
        }
        for pod in of(true).skip(1).chain(of(false).skip(1)) {
            self.delete(pod, decision);
        }
        match (of(true).next(), of(false).next()) {
            (Some(new), Some(old)) if self.is_available(new) || !self.surges() => {
                self.delete(old, decision);
            }
            (None, Some(_)) if self.is_left_alone() => {}
            (None, Some(_)) if self.surges() => self.create(decision),
            (None, Some(old)) => self.delete(old, decision),
            (None, None) if !self.leaving => self.create(decision),
            _ => {}
        }
    }

    /// Whether pods are replaced only by those who delete them.
    fn is_left_alone(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        strategy.and_then(|one| one.type_.as_deref()) == Some("OnDelete")
    }

    /// Whether the next pod comes before the last one goes.
    fn surges(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|one| one.rolling_update.as_ref());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
        scaled(surge, 1, true).is_some_and(|surge| surge > 0)
    }

    fn create(&self, decision: &mut Decision) {
        if let Some(until) = backed_off(&self.failed, self.now) {
            decision.look_again(until);
            return;
        }
        let meta = &self.set.metadata;
        let own = prefix(meta.name.as_deref().unwrap_or_default());
        let name = format!("{own}-{}", suffix(meta, self.now, 0));
        let mut pod = pod_of(self.set, &self.spec.template, name.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(LABEL.to_owned(), self.hash.clone());
        decision.writes.push(Write::create(&pod));
        self.tell("SuccessfulCreate", format!("Created pod: {name}"), decision);
    }

    fn delete(&self, pod: &Pod, decision: &mut Decision) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        decision.writes.push(Write::delete(pod));
        self.tell("SuccessfulDelete", format!("Deleted pod: {name}"), decision);
    }

    fn tell(&self, reason: &'static str, message: String, decision: &mut Decision) {
        let notice = Notice::normal(self.set, reason, message);
        decision.writes.push(Write::Notice(notice));
    }

    fn status(&self, decision: &mut Decision) {
        let times = self
            .active
            .iter()
            .filter_map(|pod| available_from(pod, self.spec.min_ready_seconds));
        if let Some(next) = times.filter(|time| *time > self.now).min() {
            decision.look_again(next);
        }
        // Of each node only one pod counts, the best.
        let mut best: Vec<_> = self.active.clone();
        best.sort_by_key(|pod| Reverse((self.is_available(pod), self.is_current(pod))));
        best.truncate(usize::from(self.wanted));
        let number =
            |wanted: &dyn Fn(&Pod) -> bool| count(best.iter().filter(|pod| wanted(pod)).count());
        let (desired, available) = (
            i32::from(self.wanted),
            number(&|pod| self.is_available(pod)),
        );
        let status = DaemonSetStatus {
            current_number_scheduled: number(&|_| true),
            desired_number_scheduled: desired,
            number_misscheduled: if self.wanted {
                0
            } else {
                count(self.active.len())
            },
            number_ready: number(&|pod| ready_since(pod).is_some()),
            number_available: Some(available),
            number_unavailable: (desired > available).then_some(desired - available),
            updated_number_scheduled: Some(number(&|pod| self.is_current(pod))),
            observed_generation: self.set.metadata.generation,
            ..DaemonSetStatus::default()
        };
        if self.set.status.as_ref() != Some(&status) {
            let changed = DaemonSet {
                status: Some(status),
                ..self.set.clone()
            };
            decision.writes.push(Write::status(&changed));
        }
    }
}

/// Whether the pods of a set may be on a node.
fn takes(spec: &DaemonSetSpec, node: &Node) -> bool {
    let template = spec.template.spec.as_ref();
    let wanted = template.and_then(|spec| spec.node_selector.as_ref());
    matches_all(wanted.unwrap_or(&BTreeMap::new()), &node.metadata.labels)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;
    use crate::workload::tests::{at, with_phase};

    const NOW: &str = "2026-01-01T00:10:00Z";

    fn set(spec: &Value) -> DaemonSet {
        let mut whole = json!({
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "main"}]}},
        });
        for (key, value) in spec.as_object().unwrap() {
            match key.as_str() {
                "nodeSelector" => whole["template"]["spec"]["nodeSelector"] = value.clone(),
                _ => whole[key] = value.clone(),
            }
        }
        let metadata = json!({"name": "agent", "namespace": "ns", "uid": "set"});
        from_value(json!({"metadata": metadata, "spec": whole})).unwrap()
    }

    /// What is decided: pods made, pods deleted, and three numbers of the status.
    fn check(spec: &Value, pods: &[(&str, &str)], expected: (usize, &[&str], [i64; 3])) {
        let set = set(spec);
        let template = &set.spec.as_ref().unwrap().template;
        let mut index = Index::default();
        let node = json!({"metadata": {"name": "here", "labels": {"disk": "ssd"}}});
        index.apply::<Node>(from_value(node).unwrap());
        for (nth, (revision, how)) in pods.iter().enumerate() {
            let mut pod = pod_of(&set, template, format!("p{nth}"));
            let hash = match *revision {
                "new" => template_hash(template, 0),
                other => other.to_owned(),
            };
            pod.metadata
                .labels
                .get_or_insert_default()
                .insert(LABEL.to_owned(), hash);
            let since = (*how == "ready").then(|| at("2026-01-01T00:00:00Z"));
            let phase = if *how == "failed" {
                "Failed"
            } else {
                "Running"
            };
            index.apply(with_phase(pod, phase, since));
        }
        let key = Key::of(&set.metadata);
        index.apply(set);
        let writes = decide(&index, &key, at(NOW)).writes;
        let made = writes
            .iter()
            .filter(|write| matches!(write, Write::Create(..)))
            .count();
        let deleted = writes.iter().filter_map(|write| {
            let Write::Delete { target, .. } = write else {
                return None;
            };
            Some(target.key.name.as_str())
        });
        assert_eq!(
            (made, deleted.collect::<Vec<_>>().as_slice()),
            (expected.0, expected.1),
            "{spec} {pods:?}"
        );
        let status = writes.iter().find_map(|write| {
            let Write::Status(_, object) = write else {
                return None;
            };
            let fields = [
                "desiredNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
            ];
            Some(fields.map(|field| object["status"][field].as_i64().unwrap()))
        });
        assert_eq!(status.unwrap(), expected.2, "{spec} {pods:?}");
    }

    #[test]
    fn the_node_has_one_pod() {
        let plain = json!({});
        check(&plain, &[], (1, &[], [1, 0, 0]));
        check(&plain, &[("new", "ready")], (0, &[], [1, 1, 1]));
        check(
            &plain,
            &[("new", "ready"), ("new", "slow")],
            (0, &["p1"], [1, 1, 1]),
        );
        check(&plain, &[("new", "failed")], (1, &[], [1, 0, 0]));
        check(
            &json!({"nodeSelector": {"disk": "ssd"}}),
            &[],
            (1, &[], [1, 0, 0]),
        );
        let elsewhere = json!({"nodeSelector": {"disk": "tape"}});
        check(&elsewhere, &[("new", "ready")], (0, &["p0"], [0, 0, 0]));
    }

    #[test]
    fn another_template_replaces_it_as_the_strategy_says() {
        let old = [("old", "ready")];
        check(&json!({}), &old, (0, &["p0"], [1, 1, 0]));
        let strategy = |strategy: Value| json!({"updateStrategy": strategy});
        check(
            &strategy(json!({"type": "OnDelete"})),
            &old,
            (0, &[], [1, 1, 0]),
        );
        let surge = strategy(json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}));
        check(&surge, &old, (1, &[], [1, 1, 0]));
        check(
            &surge,
            &[("old", "ready"), ("new", "slow")],
            (0, &[], [1, 1, 0]),
        );
        check(
            &surge,
            &[("old", "ready"), ("new", "ready")],
            (0, &["p0"], [1, 1, 1]),
        );
    }
}
