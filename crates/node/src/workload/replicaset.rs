//! `ReplicaSet`: as many pods of one template as asked for.

use std::{cmp::Reverse, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    adopt::adopt, after, available_from, count, created, has_failed, is_active, pod_of, prefix,
    ready_since, suffix,
};
use crate::{
    index::{Index, Key},
    notice::Notice,
    write::{Decision, Write},
};

/// How many failed pods are kept to be looked at.
const KEPT_FAILURES: usize = 10;

/// What to do about a replica set.
pub fn decide(index: &Index, key: &Key, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(set) = index.replica_sets.get(key) else {
        return decision;
    };
    if set.metadata.deletion_timestamp.is_some() {
        return decision;
    }
    if let Some(spec) = &set.spec {
        adopt::<_, Pod>(index, &**set, &spec.selector, &mut decision);
    }
    let pods: Vec<&Arc<Pod>> = index.pods.owned_by(&set.metadata).collect();
    let (active, failed): (Vec<_>, Vec<_>) = pods
        .into_iter()
        .filter(|pod| is_active(pod) || has_failed(pod))
        .partition(|p| is_active(p));
    let wanted = set
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let missing = wanted - count(active.len());
    if missing > 0 {
        match backed_off(&failed, now) {
            Some(until) => decision.look_again(until),
            None => create(set, missing, now, &mut decision),
        }
    } else if missing < 0 {
        delete(set, &active, missing.unsigned_abs() as usize, &mut decision);
    }
    prune(&failed, &mut decision);
    status(set, &active, &failed, now, &mut decision);
    decision
}

fn create(set: &ReplicaSet, missing: i32, now: Timestamp, decision: &mut Decision) {
    let Some(template) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else {
        return;
    };
    let name = set.metadata.name.as_deref().unwrap_or_default();
    for nth in 0..missing.min(500) {
        let name = format!("{}-{}", prefix(name), suffix(&set.metadata, now, nth));
        let message = format!("Created pod: {name}");
        decision
            .writes
            .push(Write::create(&pod_of(set, template, name)));
        decision.writes.push(Write::Notice(Notice::normal(
            set,
            "SuccessfulCreate",
            message,
        )));
    }
}

/// Deletes the pods that are missed least: not yet ready ones, then the youngest.
fn delete(set: &ReplicaSet, active: &[&Arc<Pod>], surplus: usize, decision: &mut Decision) {
    let mut ranked: Vec<_> = active.to_vec();
    ranked.sort_by_key(|pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        (
            ready_since(pod).is_some(),
            phase == Some("Running"),
            Reverse(created(&pod.metadata)),
        )
    });
    for pod in ranked.into_iter().take(surplus) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        decision.writes.push(Write::delete(&**pod));
        let message = format!("Deleted pod: {name}");
        decision.writes.push(Write::Notice(Notice::normal(
            set,
            "SuccessfulDelete",
            message,
        )));
    }
}

/// Until when no replacement is made for pods that failed: 10 s, doubling up to 5 min.
pub(super) fn backed_off(failed: &[&Arc<Pod>], now: Timestamp) -> Option<Timestamp> {
    let newest = failed.iter().map(|pod| created(&pod.metadata)).max()?;
    let doubled = 10_i64 << failed.len().saturating_sub(1).min(5);
    let until = after(newest, doubled.min(300));
    (until > now).then_some(until)
}

pub(super) fn prune(failed: &[&Arc<Pod>], decision: &mut Decision) {
    let mut oldest: Vec<_> = failed.to_vec();
    oldest.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    oldest.sort_by_key(|pod| created(&pod.metadata));
    let surplus = oldest.len().saturating_sub(KEPT_FAILURES);
    decision.writes.extend(
        oldest
            .into_iter()
            .take(surplus)
            .map(|pod| Write::delete(&**pod)),
    );
}

fn status(
    set: &ReplicaSet,
    active: &[&Arc<Pod>],
    failed: &[&Arc<Pod>],
    now: Timestamp,
    decision: &mut Decision,
) {
    let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    let times: Vec<Timestamp> = active
        .iter()
        .filter_map(|pod| available_from(pod, min_ready))
        .collect();
    if let Some(next) = times.iter().filter(|time| **time > now).min() {
        decision.look_again(*next);
    }
    let ready = count(times.len());
    let available = count(times.iter().filter(|time| **time <= now).count());
    let status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: Some(count(active.len())),
        ready_replicas: Some(ready),
        available_replicas: Some(available),
        observed_generation: set.metadata.generation,
        conditions: failure(set, failed, ready, now).map(|condition| vec![condition]),
        terminating_replicas: None,
    };
    if set.status.as_ref() != Some(&status) {
        let changed = ReplicaSet {
            status: Some(status),
            ..set.clone()
        };
        decision.writes.push(Write::status(&changed));
    }
}

/// The condition that tells why pods fail before they run, while none is ready.
fn failure(
    set: &ReplicaSet,
    failed: &[&Arc<Pod>],
    ready: i32,
    now: Timestamp,
) -> Option<ReplicaSetCondition> {
    let newest = failed.iter().max_by_key(|pod| created(&pod.metadata))?;
    if ready > 0 {
        return None;
    }
    let status = newest.status.as_ref()?;
    let known = set
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .next();
    Some(ReplicaSetCondition {
        type_: "ReplicaFailure".into(),
        status: "True".into(),
        reason: Some(
            status
                .reason
                .clone()
                .unwrap_or_else(|| "FailedCreate".into()),
        ),
        message: status.message.clone(),
        last_transition_time: known
            .and_then(|condition| condition.last_transition_time.clone())
            .or(Some(Time(now))),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::{apps::v1::ReplicaSetSpec, core::v1::PodTemplateSpec},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };

    use super::*;
    use crate::workload::tests::{at, with_phase};

    fn set(replicas: i32) -> ReplicaSet {
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some("web-abc".into()),
                namespace: Some("ns".into()),
                uid: Some("set".into()),
                generation: Some(1),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                template: Some(PodTemplateSpec::default()),
                ..ReplicaSetSpec::default()
            }),
            status: None,
        }
    }

    fn world(replicas: i32, pods: &[(&str, &str, bool)]) -> (Index, Key) {
        let mut index = Index::default();
        let set = set(replicas);
        for (name, phase, ready) in pods {
            let pod = pod_of(&set, &PodTemplateSpec::default(), (*name).to_owned());
            let since = ready.then(|| at("2026-01-01T00:00:00Z"));
            index.apply(with_phase(pod, phase, since));
        }
        let key = Key::of(&set.metadata);
        index.apply(set);
        (index, key)
    }

    fn creations(decision: &Decision) -> usize {
        decision
            .writes
            .iter()
            .filter(|w| matches!(w, Write::Create(..)))
            .count()
    }

    fn deletions(decision: &Decision) -> Vec<String> {
        let names = decision.writes.iter().filter_map(|write| match write {
            Write::Delete { target, .. } => Some(target.key.name.clone()),
            Write::Create(..) | Write::Merge(..) | Write::Status(..) | Write::Notice(_) => None,
        });
        names.collect()
    }

    #[test]
    fn missing_pods_are_made_and_finished_ones_do_not_count() {
        let now = at("2026-01-01T00:01:00Z");
        let (index, key) = world(3, &[("a", "Running", true), ("b", "Succeeded", false)]);
        assert_eq!(creations(&decide(&index, &key, now)), 2);
    }

    #[test]
    fn surplus_takes_the_unready_first() {
        let now = at("2026-01-01T00:01:00Z");
        let pods = [
            ("a", "Running", true),
            ("b", "Pending", false),
            ("c", "Running", true),
        ];
        let (index, key) = world(2, &pods);
        assert_eq!(deletions(&decide(&index, &key, now)), ["b"]);
    }

    #[test]
    fn failed_pods_slow_replacement_down_and_show() {
        let (index, key) = world(1, &[("a", "Failed", false)]);
        let decision = decide(&index, &key, at("1970-01-01T00:00:05Z"));
        assert_eq!(creations(&decision), 0);
        assert_eq!(decision.again, Some(at("1970-01-01T00:00:10Z")));
        let shown = decision.writes.iter().any(|write| match write {
            Write::Status(_, value) => value["status"]["conditions"][0]["type"] == "ReplicaFailure",
            Write::Create(..) | Write::Merge(..) | Write::Delete { .. } | Write::Notice(_) => false,
        });
        assert!(shown);
    }
}
