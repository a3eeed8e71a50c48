//! What controllers find out is in the event log of the object it is about.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::harness::{PATIENCE, Platform};
use crate::lifecycle::{COMPONENT, PROJECT, WORKLOAD};

/// Waits for an event with this reason about the object of `kind`.
async fn wait_for_event(platform: &Platform, kind: &str, reason: &str) -> Value {
    let events = platform.api("v1", "Event", "events", "default");
    let late = Instant::now() + PATIENCE;
    loop {
        let all = events.list(&ListParams::default()).await.unwrap();
        let all: Vec<Value> = all
            .iter()
            .map(|one| serde_json::to_value(one).unwrap())
            .collect();
        let about = |one: &&Value| one["involvedObject"]["kind"] == kind && one["reason"] == reason;
        if let Some(event) = all.iter().find(about) {
            return event.clone();
        }
        assert!(Instant::now() < late, "{kind} {reason}: {all:#?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn events_tell_what_changed() {
    let platform = Platform::start().await;
    platform.apply(COMPONENT).await;
    let lacking = wait_for_event(&platform, "Component", "WorkloadNotFound").await;
    assert_eq!(lacking["type"], "Warning");
    let component = platform.platform("component", "default");
    let component = component.get("web").await.unwrap();
    let uid = component.metadata.uid.unwrap();
    assert_eq!(lacking["involvedObject"]["uid"], uid.as_str());
    for yaml in [PROJECT, WORKLOAD] {
        platform.apply(yaml).await;
    }
    let ready = wait_for_event(&platform, "Component", "ComponentReleaseReady").await;
    assert_eq!(ready["type"], "Normal");
    let types = platform.platform("clustercomponenttype", "");
    types
        .delete("service", &DeleteParams::default())
        .await
        .unwrap();
    let gone = wait_for_event(&platform, "ClusterComponentType", "DeletedInUse").await;
    assert_eq!(gone["type"], "Warning");
    wait_for_event(&platform, "Component", "ComponentTypeNotFound").await;
    platform.stop().await;
}
