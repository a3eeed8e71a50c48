//! What a deployment decides in small worlds.

use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use serde_json::{Value, from_value};

use super::*;
use crate::workload::tests::at;

const NOW: &str = "2026-01-01T00:00:00Z";

fn deployment(image: &str, replicas: i32, extra: &Value) -> Deployment {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": image}]}},
        },
    });
    json_merge(&mut value["spec"], extra);
    from_value(value).unwrap()
}

fn json_merge(target: &mut Value, extra: &Value) {
    for (key, value) in extra.as_object().into_iter().flatten() {
        target[key] = value.clone();
    }
}

/// Plays one round: decides, and does what was decided to the index.
fn step(index: &mut Index, now: Timestamp) -> Decision {
    let decision = decide(index, &Key::new("ns", "web"), now);
    for write in &decision.writes {
        match write {
            Write::Create(_, value) => {
                let mut set: ReplicaSet = from_value(value.clone()).unwrap();
                set.metadata.uid.clone_from(&set.metadata.name);
                set.metadata.resource_version = Some("1".into());
                set.metadata.creation_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
                index.apply(set);
            }
            Write::Merge(target, patch) if target.resource.kind == "ReplicaSet" => {
                let mut set = (**index.replica_sets.get(&target.key).unwrap()).clone();
                if let Some(replicas) = patch["spec"]["replicas"].as_i64() {
                    set.spec.as_mut().unwrap().replicas = i32::try_from(replicas).ok();
                }
                let given = &patch["metadata"]["annotations"];
                let given: BTreeMap<String, String> = from_value(given.clone()).unwrap();
                set.metadata
                    .annotations
                    .get_or_insert_default()
                    .extend(given);
                bump(&mut set.metadata);
                index.apply(set);
            }
            Write::Status(_, value) => {
                let mut deployment: Deployment = from_value(value.clone()).unwrap();
                bump(&mut deployment.metadata);
                index.apply(deployment);
            }
            Write::Merge(..) | Write::Delete { .. } | Write::Notice(_) => {}
        }
    }
    decision
}

fn bump(meta: &mut ObjectMeta) {
    let version: u64 = meta
        .resource_version
        .as_deref()
        .map_or(0, |v| v.parse().unwrap());
    meta.resource_version = Some((version + 1).to_string());
}

/// All pods of all replica sets become available.
fn settle(index: &mut Index) {
    let sets: Vec<ReplicaSet> = index
        .replica_sets
        .iter()
        .map(|set| (**set).clone())
        .collect();
    for mut set in sets {
        let count = replicas(&set);
        set.status = Some(ReplicaSetStatus {
            replicas: count,
            ready_replicas: Some(count),
            available_replicas: Some(count),
            ..ReplicaSetStatus::default()
        });
        bump(&mut set.metadata);
        index.apply(set);
    }
}

fn world(deployment: Deployment) -> Index {
    let mut index = Index::default();
    index.apply(deployment);
    index
}

fn update(index: &mut Index, image: &str) {
    let mut changed = (**index.deployments.find("ns", "web").unwrap()).clone();
    changed
        .spec
        .as_mut()
        .unwrap()
        .template
        .spec
        .as_mut()
        .unwrap()
        .containers[0]
        .image = Some(image.into());
    bump(&mut changed.metadata);
    index.apply(changed);
}

fn sizes(index: &Index) -> Vec<(i64, i32)> {
    let mut sizes: Vec<_> = index
        .replica_sets
        .iter()
        .map(|s| (revision(&s.metadata), replicas(s)))
        .collect();
    sizes.sort_unstable();
    sizes
}

fn progress(index: &Index) -> String {
    let deployment = index.deployments.find("ns", "web").unwrap();
    let conditions = deployment
        .status
        .as_ref()
        .unwrap()
        .conditions
        .as_ref()
        .unwrap();
    let progressing = conditions
        .iter()
        .find(|c| c.type_ == "Progressing")
        .unwrap();
    progressing.reason.clone().unwrap()
}

#[test]
fn a_rollout_moves_from_one_replica_set_to_the_next() {
    let mut index = world(deployment("a", 2, &json!({})));
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(1, 2)]);
    assert_eq!(progress(&index), "NewReplicaSetCreated");
    settle(&mut index);
    step(&mut index, at(NOW));
    assert_eq!(progress(&index), "NewReplicaSetAvailable");
    update(&mut index, "b");
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(1, 2), (2, 1)], "surge of one");
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(1, 2), (2, 1)], "not available yet");
    for _ in 0..4 {
        settle(&mut index);
        step(&mut index, at(NOW));
    }
    assert_eq!(sizes(&index), [(1, 0), (2, 2)]);
    settle(&mut index);
    step(&mut index, at(NOW));
    assert_eq!(progress(&index), "NewReplicaSetAvailable");
    let settled = step(&mut index, at(NOW)).writes;
    assert!(
        settled
            .iter()
            .all(|write| matches!(write, Write::Merge(..))),
        "only the revision"
    );
    update(&mut index, "a");
    step(&mut index, at(NOW));
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(2, 2), (3, 1)], "the old set is used again");
}

#[test]
fn a_stuck_rollout_exceeds_its_deadline() {
    let mut index = world(deployment("a", 1, &json!({"progressDeadlineSeconds": 60})));
    step(&mut index, at(NOW));
    let decision = step(&mut index, at("2026-01-01T00:00:30Z"));
    assert_eq!(decision.again, Some(at("2026-01-01T00:01:00Z")));
    step(&mut index, at("2026-01-01T00:01:01Z"));
    assert_eq!(progress(&index), "ProgressDeadlineExceeded");
    settle(&mut index);
    step(&mut index, at("2026-01-01T00:02:00Z"));
    assert_eq!(progress(&index), "NewReplicaSetAvailable");
}

#[test]
fn recreate_ends_the_old_before_the_new() {
    let mut index = world(deployment(
        "a",
        2,
        &json!({"strategy": {"type": "Recreate"}}),
    ));
    step(&mut index, at(NOW));
    settle(&mut index);
    update(&mut index, "b");
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(1, 0)]);
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(1, 0), (2, 2)]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut index = world(deployment("a", 1, &json!({})));
    step(&mut index, at(NOW));
    let mut paused = (**index.deployments.find("ns", "web").unwrap()).clone();
    paused.spec.as_mut().unwrap().paused = Some(true);
    paused.spec.as_mut().unwrap().replicas = Some(3);
    bump(&mut paused.metadata);
    index.apply(paused);
    update(&mut index, "b");
    step(&mut index, at(NOW));
    assert_eq!(sizes(&index), [(1, 3)]);
    assert_eq!(progress(&index), "DeploymentPaused");
}
