//! What an earlier machine left in the statuses of its pods is not true any more.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};

/// The reason of pods whose machine went away under them.
pub const REASON: &str = "NodeRestarted";

/// Marks every pod that was running on an earlier machine as not ready, before anyone takes its last
/// status for the present. Call it before the node starts; the node then starts the containers again.
///
/// # Errors
/// When the API refuses a list or a write.
pub async fn mark(client: &Client) -> Result<(), kube::Error> {
    let all = Api::<Pod>::all(client.clone());
    for mut pod in all.list(&ListParams::default()).await? {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        if pod.status.as_mut().is_some_and(not_ready) {
            let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
            pods.replace_status(&name, &PostParams::default(), &pod)
                .await?;
        }
    }
    Ok(())
}

/// Takes readiness out of a status; whether there was any.
fn not_ready(status: &mut PodStatus) -> bool {
    let mut changed = false;
    for condition in status.conditions.iter_mut().flatten() {
        let tells = matches!(condition.type_.as_str(), "Ready" | "ContainersReady");
        if tells && condition.status == "True" {
            "False".clone_into(&mut condition.status);
            condition.reason = Some(REASON.to_owned());
            condition.message = Some("the platform was restarted; containers start again".into());
            changed = true;
        }
    }
    if changed {
        for container in status.container_statuses.iter_mut().flatten() {
            container.ready = false;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn only_readiness_is_taken() {
        let mut status: PodStatus = from_value(json!({
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True"}
            ],
            "containerStatuses": [{"name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 0}]
        }))
        .unwrap();
        assert!(not_ready(&mut status));
        let conditions = status.conditions.clone().unwrap();
        assert_eq!(conditions[0].status, "True");
        assert_eq!(conditions[1].reason.as_deref(), Some(REASON));
        assert!(!status.container_statuses.as_ref().unwrap()[0].ready);
        assert!(!not_ready(&mut status), "a second time changes nothing");
    }
}
