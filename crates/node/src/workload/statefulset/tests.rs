//! What a stateful set decides in small worlds.

use k8s_openapi::api::{apps::v1::ControllerRevision, core::v1::PersistentVolumeClaim};
use serde_json::{Value, from_value, json};

use super::*;
use crate::workload::tests::{at, with_phase};

const NOW: &str = "2026-01-01T00:10:00Z";

fn set(spec: &Value) -> StatefulSet {
    let mut whole = json!({
        "replicas": 3, "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "main", "image": "v2"}]}},
    });
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    from_value(json!({
        "metadata": {"name": "db", "namespace": "ns", "uid": "set"},
        "spec": whole, "status": {"replicas": 0, "currentRevision": "db-old"},
    }))
    .unwrap()
}

/// A set whose revision before is `db-old`, with pods: ordinal, revision (`old` or `new`), how it is.
struct Small {
    index: Index,
    set: StatefulSet,
    update: String,
}

impl Small {
    fn new(spec: &Value, pods: &[(i32, &str, &str)]) -> Self {
        let set = set(spec);
        let mut index = Index::default();
        let owner = crate::workload::owned_by(&set);
        let old = json!({
            "metadata": {"name": "db-old", "namespace": "ns", "uid": "old", "ownerReferences": [owner]},
            "revision": 1,
            "data": {"spec": {"template": {"$patch": "replace", "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "main", "image": "v1"}]}}}},
        });
        index.apply(from_value::<ControllerRevision>(old).unwrap());
        let mut decision = Decision::default();
        let template = set.spec.as_ref().unwrap().template.clone();
        let update = Revisions::keep(&index, &set, &template, &mut decision).update;
        for write in decision.writes {
            if let Write::Create(_, object) = write {
                index.apply(from_value::<ControllerRevision>(object).unwrap());
            }
        }
        for (ordinal, revision, how) in pods {
            let name = match *revision {
                "old" => "db-old",
                _ => &update,
            };
            index.apply(pod(&set, *ordinal, name, how));
        }
        index.apply(set.clone());
        Self { index, set, update }
    }

    /// The pods that are made, with their image, and those that are deleted.
    fn check(&self, made: &[(&str, &str)], deleted: &[&str]) {
        let decision = self.decide();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let creations = decision.writes.iter().filter_map(|write| {
            let pod = created(write, "Pod")?;
            let image = &pod["spec"]["containers"][0]["image"];
            Some((text(&pod["metadata"]["name"]), text(image)))
        });
        let found: Vec<_> = creations.collect();
        let found: Vec<_> = found
            .iter()
            .map(|(n, i)| (n.as_str(), i.as_str()))
            .collect();
        assert_eq!(found, made, "made");
        let deletions = decision.writes.iter().filter_map(|write| {
            let Write::Delete { target, .. } = write else {
                return None;
            };
            (target.resource.kind == "Pod").then_some(target.key.name.as_str())
        });
        assert_eq!(deletions.collect::<Vec<_>>(), deleted, "deleted");
    }

    fn decide(&self) -> Decision {
        decide(&self.index, &Key::of(&self.set.metadata), at(NOW))
    }

    fn status(&self) -> Value {
        let writes = self.decide().writes;
        let status = writes.iter().find_map(|write| {
            let Write::Status(_, object) = write else {
                return None;
            };
            Some(object["status"].clone())
        });
        status.unwrap()
    }
}

/// What a write makes, if it is of this kind.
fn created<'a>(write: &'a Write, kind: &str) -> Option<&'a Value> {
    let Write::Create(target, object) = write else {
        return None;
    };
    (target.resource.kind == kind).then_some(object)
}

/// A pod that is `ready`, `slow` (runs, not ready), `failed` or `leaving`.
fn pod(set: &StatefulSet, ordinal: i32, revision: &str, how: &str) -> Pod {
    let template = &set.spec.as_ref().unwrap().template;
    let mut pod = pod_of(set, template, format!("db-{ordinal}"));
    pod.metadata.uid = Some(format!("p{ordinal}"));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(LABEL.to_owned(), revision.to_owned());
    if how == "leaving" {
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(NOW));
        pod.metadata.deletion_timestamp = Some(time);
    }
    let since = matches!(how, "ready" | "leaving").then(|| at("2026-01-01T00:00:00Z"));
    let phase = if how == "failed" { "Failed" } else { "Running" };
    with_phase(pod, phase, since)
}

#[test]
fn pods_are_made_one_after_the_other() {
    let plain = json!({});
    Small::new(&plain, &[]).check(&[("db-0", "v2")], &[]);
    Small::new(&plain, &[(0, "new", "slow")]).check(&[], &[]);
    Small::new(&plain, &[(0, "new", "ready")]).check(&[("db-1", "v2")], &[]);
    Small::new(&plain, &[(0, "new", "leaving"), (1, "new", "ready")]).check(&[], &[]);
    Small::new(&plain, &[(0, "new", "failed")]).check(&[], &["db-0"]);
    let slow = json!({"minReadySeconds": 900});
    Small::new(&slow, &[(0, "new", "ready")]).check(&[], &[]);
}

#[test]
fn parallel_pods_do_not_wait() {
    let parallel = json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 5}});
    let all = [("db-5", "v2"), ("db-6", "v2"), ("db-7", "v2")];
    Small::new(&parallel, &[]).check(&all, &[]);
    let too_many = [
        (5, "new", "slow"),
        (6, "new", "slow"),
        (7, "new", "slow"),
        (8, "new", "slow"),
        (2, "new", "ready"),
    ];
    Small::new(&parallel, &too_many).check(&[], &["db-8", "db-2"]);
}

#[test]
fn the_highest_pod_goes_first() {
    let two = json!({"replicas": 1});
    let pods = [
        (0, "new", "ready"),
        (1, "new", "ready"),
        (2, "new", "ready"),
    ];
    Small::new(&two, &pods).check(&[], &["db-2"]);
    let pods = [
        (0, "new", "ready"),
        (1, "new", "ready"),
        (2, "new", "leaving"),
    ];
    Small::new(&two, &pods).check(&[], &[]);
    // What is wanted has to stand before anything else goes.
    let pods = [(0, "new", "slow"), (1, "new", "ready")];
    Small::new(&two, &pods).check(&[], &[]);
}

#[test]
fn updates_go_down_to_the_partition() {
    let old = |how| [(0, "old", "ready"), (1, "old", "ready"), (2, "old", how)];
    Small::new(&json!({}), &old("ready")).check(&[], &["db-2"]);
    let half = [
        (0, "old", "ready"),
        (1, "old", "ready"),
        (2, "new", "ready"),
    ];
    Small::new(&json!({}), &half).check(&[], &["db-1"]);
    let waits = [(0, "old", "ready"), (1, "old", "ready"), (2, "new", "slow")];
    Small::new(&json!({}), &waits).check(&[], &[]);
    let rolling =
        |value: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": value}});
    let held = rolling(json!({"partition": 2}));
    Small::new(&held, &half).check(&[], &[]);
    Small::new(&held, &[(0, "old", "ready")]).check(&[("db-1", "v1")], &[]);
    Small::new(&held, &[(0, "old", "ready"), (1, "old", "ready")]).check(&[("db-2", "v2")], &[]);
    let two = rolling(json!({"maxUnavailable": 2}));
    Small::new(&two, &old("ready")).check(&[], &["db-2", "db-1"]);
    let asked = json!({"updateStrategy": {"type": "OnDelete"}});
    Small::new(&asked, &old("ready")).check(&[], &[]);
    Small::new(&asked, &old("slow")).check(&[], &[]);
    Small::new(&asked, &old("ready")[..2]).check(&[("db-2", "v2")], &[]);
}

#[test]
fn a_pod_that_never_got_ready_does_not_hold_up_its_own_repair() {
    let stuck = [(0, "old", "ready"), (1, "old", "ready"), (2, "old", "slow")];
    Small::new(&json!({}), &stuck).check(&[], &["db-2"]);
    let held = json!({"updateStrategy": {"rollingUpdate": {"partition": 3}}});
    Small::new(&held, &stuck).check(&[], &[]);
}

#[test]
fn pods_have_their_identity_and_their_claims() {
    let claims = json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]});
    let small = Small::new(&claims, &[]);
    let writes = small.decide().writes;
    let created = |kind: &str| {
        writes
            .iter()
            .find_map(|write| created(write, kind).cloned())
    };
    let claim = created("PersistentVolumeClaim").unwrap();
    assert_eq!(claim["metadata"]["name"], "data-db-0");
    assert_eq!(claim["metadata"]["labels"], json!({"app": "db"}));
    assert_eq!(claim["metadata"].get("ownerReferences"), None);
    let pod = created("Pod").unwrap();
    let spec = &pod["spec"];
    assert_eq!(
        (&spec["hostname"], &spec["subdomain"]),
        (&json!("db-0"), &json!("db"))
    );
    let volume = &spec["volumes"][0];
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "data-db-0");
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels[POD_NAME], "db-0");
    assert_eq!(labels[POD_INDEX], "0");
    assert_eq!(labels[LABEL], small.update.as_str());
}

#[test]
fn claims_end_with_whom_the_policy_says() {
    let check = |policy: Value, expected: [Option<&str>; 2]| {
        let spec = json!({
            "replicas": 1, "persistentVolumeClaimRetentionPolicy": policy,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        });
        let mut small = Small::new(&spec, &[(0, "new", "ready"), (1, "new", "ready")]);
        for ordinal in 0..2 {
            let claim = json!({"metadata": {"name": format!("data-db-{ordinal}"), "namespace": "ns", "uid": "c"}});
            small
                .index
                .apply(from_value::<PersistentVolumeClaim>(claim).unwrap());
        }
        let writes = small.decide().writes;
        let owner = |name: &str| {
            writes.iter().find_map(|write| {
                let Write::Merge(target, patch) = write else {
                    return None;
                };
                let owner = &patch["metadata"]["ownerReferences"][0];
                let uid = owner["uid"].as_str().map(str::to_owned);
                uid.filter(|_| target.key.name == name)
            })
        };
        let found = [owner("data-db-0"), owner("data-db-1")];
        assert_eq!(found.each_ref().map(Option::as_deref), expected, "{policy}");
    };
    check(json!({}), [None, None]);
    check(json!({"whenDeleted": "Delete"}), [Some("set"), Some("set")]);
    check(json!({"whenScaled": "Delete"}), [None, Some("p1")]);
    let both = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    check(both, [Some("set"), Some("p1")]);
}

#[test]
fn the_status_tells_of_revisions() {
    let half = [(0, "old", "ready"), (1, "old", "slow"), (2, "new", "ready")];
    let small = Small::new(&json!({}), &half);
    let status = small.status();
    assert_eq!(status["currentRevision"], "db-old");
    assert_eq!(status["updateRevision"], small.update.as_str());
    let counts = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
    ];
    assert_eq!(
        counts.map(|name| status[name].as_i64()),
        [3, 2, 2, 1].map(Some)
    );
    let done = [
        (0, "new", "ready"),
        (1, "new", "ready"),
        (2, "new", "ready"),
    ];
    let small = Small::new(&json!({}), &done);
    assert_eq!(small.status()["currentRevision"], small.update.as_str());
}

#[test]
fn a_template_of_before_is_the_newest_again() {
    let small = Small::new(&json!({}), &[]);
    let template: k8s_openapi::api::core::v1::PodTemplateSpec = from_value(json!({
        "metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "main", "image": "v1"}]},
    }))
    .unwrap();
    let mut decision = Decision::default();
    let revisions = Revisions::keep(&small.index, &small.set, &template, &mut decision);
    assert_eq!(revisions.update, "db-old");
    let [Write::Merge(target, patch)] = decision.writes.as_slice() else {
        panic!("{:?}", decision.writes);
    };
    assert_eq!(
        (target.key.name.as_str(), &patch["revision"]),
        ("db-old", &json!(3))
    );
}
