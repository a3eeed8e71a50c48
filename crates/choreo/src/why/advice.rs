//! What a person can do about a cause. One table: reasons, and what to do, with the names of the object
//! filled in.

use choreo_model::{conditions::reasons, labels, names};
use serde_json::Value;

use super::{Link, text};
use crate::refused;

/// What to do about an object for which no other object is to blame; nothing where its message is all
/// there is to say.
pub(super) fn of(object: &Value, link: &Link) -> Option<String> {
    if link.warnings.iter().any(|one| refused::is_told(one)) {
        let advice =
            "it was refused what it called: choreo status {component} shows what to declare";
        return Some(filled(advice, object, link));
    }
    let of_reason = ADVICES
        .iter()
        .find(|(reason, _)| *reason == link.reason)
        .map(|(_, advice)| *advice);
    let advice = of_reason.or_else(|| of_kind(&link.kind))?;
    Some(filled(advice, object, link))
}

fn of_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(
            "look at what it prints: choreo logs {component} --env {environment}; and at its events: \
             choreo describe pod {name} -n {namespace}",
        ),
        "HTTPRoute" | "GRPCRoute" | "Gateway" => {
            Some("look at its conditions: choreo describe {kind} {name} -n {namespace}")
        }
        "PersistentVolumeClaim" => Some(
            "nothing gives it a volume: choreo describe {kind} {name} -n {namespace} shows its class \
             and events",
        ),
        _ => None,
    }
}

/// What is known about reasons.
const ADVICES: &[(&str, &str)] = &[
    (
        reasons::WORKLOAD_NOT_FOUND,
        "apply a Workload with spec.owner.projectName {project} and spec.owner.componentName {name}",
    ),
    (
        reasons::COMPONENT_TYPE_NOT_FOUND,
        "apply the type, or choose one that is there (choreo get types): spec.componentType of \
         Component {name} never changes, so delete and make it again with the right one",
    ),
    (
        reasons::TRAIT_NOT_FOUND,
        "apply the trait, or take it out of spec.traits of Component {name}",
    ),
    (
        reasons::PROJECT_NOT_FOUND,
        "apply Project {project}, or correct spec.owner.projectName of {kind} {name}",
    ),
    (
        reasons::PROJECT_TYPE_NOT_FOUND,
        "apply the type that spec.type of Project {name} names",
    ),
    (
        reasons::RESOURCE_TYPE_NOT_FOUND,
        "apply the type that spec.type of Resource {name} names; `choreo get \
         clusterresourcetypes,resourcetypes` shows what is there",
    ),
    (
        reasons::DEPLOYMENT_PIPELINE_NOT_FOUND,
        "apply the pipeline that spec.deploymentPipelineRef of Project {project} names",
    ),
    (
        reasons::ENVIRONMENT_NOT_FOUND,
        "apply Environment {environment}, or delete {kind} {name}",
    ),
    (
        reasons::DATA_PLANE_NOT_FOUND,
        "apply the data plane that Environment {environment} names in spec.dataPlaneRef",
    ),
    (
        reasons::COMPONENT_NOT_FOUND,
        "apply Component {component}, or delete {kind} {name}",
    ),
    (
        reasons::INVALID_CONFIGURATION,
        "correct what the message names and apply it again",
    ),
    (
        reasons::AUTO_DEPLOY_FAILED,
        "correct what the message names and apply it again",
    ),
    (
        reasons::WORKFLOW_NOT_ALLOWED,
        "take the workflow out of spec.workflow of Component {name}, or have its type allow it",
    ),
    (
        reasons::WORKFLOW_NOT_FOUND,
        "apply the workflow that spec.workflow of Component {name} names",
    ),
    (
        reasons::COMPONENT_RELEASE_NOT_SET,
        "choreo deploy {component}, or choreo promote {component} --to {environment}",
    ),
    (
        reasons::COMPONENT_RELEASE_NOT_FOUND,
        "choose a release that is there: choreo get releases -n {namespace}; then choreo promote or \
         choreo rollback",
    ),
    (
        reasons::RESOURCE_RELEASE_NOT_SET,
        "name a release in spec.resourceRelease of {kind} {name}",
    ),
    (
        reasons::EXTERNAL_CONNECTIONS_NOT_APPROVED,
        "have the platform team make an ExternalConnection for project {project} that covers the host, port and \
         protocol that the message names; or take the connection out of the workload",
    ),
    (
        reasons::RENDERING_FAILED,
        "correct the field that the message names; choreo check finds such mistakes in files before \
         they are applied",
    ),
    (
        reasons::NAMESPACE_MISSING,
        "add the Namespace that the message describes to the resources of the project's type",
    ),
    (
        reasons::RELEASE_OWNERSHIP_CONFLICT,
        "delete one of the two bindings: both make the same objects",
    ),
    (
        reasons::RESOURCE_APPLY_FAILED,
        "the plane refused an object; correct what the message names in the type or trait that makes it",
    ),
    (
        reasons::APPLY_FAILED,
        "the plane refused an object; correct what the message names in the type or trait that makes it",
    ),
    (
        reasons::PROMOTION_REQUIRED,
        "choreo promote {component} --to {environment}; or name the release that runs in \
         spec.releaseName of {kind} {name}",
    ),
    (
        reasons::AWAITING_APPROVAL,
        "somebody else who may approve: choreo approve {name}",
    ),
    (
        reasons::FROZEN,
        "wait, or in an emergency ask for it with choreo promote --break-glass REASON",
    ),
    (
        reasons::RETAIN_HOLD,
        "its data is kept on purpose; to delete it set spec.retainPolicy of {kind} {name} to Delete",
    ),
    (
        reasons::OUTPUT_RESOLUTION_FAILED,
        "correct spec.outputs of the resource's type",
    ),
    (
        reasons::RESOURCES_DEGRADED,
        "look at what the message names: choreo logs {component} --env {environment}, and choreo describe of \
         the object; choreo rollback {component} --env {environment} brings back what ran before",
    ),
    (
        reasons::DELETION_BLOCKED,
        "change or delete what the message names; the deletion then goes on by itself",
    ),
    (
        reasons::JOB_FAILED,
        "look at what it printed: choreo logs {component} --env {environment}",
    ),
    (
        "ErrImagePull",
        "is the image's name right, and may this platform read it? choreo image list shows those that \
         are here; choreo deploy {component} --image REFERENCE takes another",
    ),
    (
        "ImagePullBackOff",
        "is the image's name right, and may this platform read it? choreo image list shows those that \
         are here; choreo deploy {component} --image REFERENCE takes another",
    ),
    (
        "ErrImageNeverPull",
        "bring the image here: choreo image load ARCHIVE, or let imagePullPolicy be IfNotPresent",
    ),
    (
        "CrashLoopBackOff",
        "it ends as soon as it starts: choreo logs {component} --env {environment} --previous shows its \
         last words; choreo rollback {component} --env {environment} brings back what ran before",
    ),
    (
        "OOMKilled",
        "it takes more memory than it may: raise its limit, or choreo logs {component} --env \
         {environment} --previous for what it did",
    ),
    (
        "CreateContainerConfigError",
        "something it refers to is not there: a Secret (choreo secret list) or a ConfigMap of its \
         namespace {namespace}",
    ),
];

/// An advice with the names of an object in it.
fn filled(advice: &str, object: &Value, link: &Link) -> String {
    let label = |key: &str| {
        let labels = object.pointer("/metadata/labels");
        let found = labels
            .and_then(|labels| labels.get(key))
            .and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let either = |pointers: &[&str], key: &str, word: &str| {
        let own = pointers.iter().map(|pointer| text(object, pointer));
        let mut found = own.map(str::to_owned).chain([label(key)]);
        let found = found.find(|one| !one.is_empty());
        found.unwrap_or_else(|| word.to_owned())
    };
    let component = if link.kind == "Component" {
        link.name.clone()
    } else {
        either(
            &["/spec/owner/componentName"],
            labels::COMPONENT,
            "COMPONENT",
        )
    };
    let component = match either(&["/spec/owner/trackName"], labels::TRACK, "") {
        none if none.is_empty() => component,
        // On a plane a track goes by the name of both.
        track => {
            let component = names::component_of(&component, &track);
            format!("{component} --track {track}")
        }
    };
    let environment = either(
        &["/spec/environment", "/spec/environmentName"],
        labels::ENVIRONMENT,
        "ENVIRONMENT",
    );
    let project = either(&["/spec/owner/projectName"], labels::PROJECT, "PROJECT");
    advice
        .replace("{kind}", &link.kind)
        .replace("{name}", &link.name)
        .replace("{namespace}", &link.namespace)
        .replace("{component}", &component)
        .replace("{environment}", &environment)
        .replace("{project}", &project)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tree::State;

    fn advice(object: &Value, reason: &str) -> Option<String> {
        advice_of(object, reason, &[])
    }

    fn advice_of(object: &Value, reason: &str, warnings: &[String]) -> Option<String> {
        let link = Link {
            kind: text(object, "/kind").to_owned(),
            namespace: "default".to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            state: State::Failed,
            reason: reason.to_owned(),
            message: String::new(),
            since: None,
            warnings: warnings.to_vec(),
            advice: None,
            because: Vec::new(),
        };
        of(object, &link)
    }

    #[test]
    fn names_are_filled_in() {
        let binding = json!({"kind": "ReleaseBinding", "metadata": {"name": "web-staging"}, "spec": {
            "owner": {"projectName": "shop", "componentName": "web"}, "environment": "staging"}});
        assert_eq!(
            advice(&binding, reasons::COMPONENT_RELEASE_NOT_SET).unwrap(),
            "choreo deploy web, or choreo promote web --to staging"
        );
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "labels": {
            labels::COMPONENT: "web", labels::ENVIRONMENT: "staging"}}});
        let crashes = advice(&pod, "CrashLoopBackOff").unwrap();
        assert!(
            crashes.contains("choreo logs web --env staging --previous"),
            "{crashes}"
        );
        assert!(
            advice(&pod, "Unheard")
                .unwrap()
                .starts_with("look at what it prints")
        );
        let denied = ["NameDenied: the name \"example.com\" is not looked up (3 times)".to_owned()];
        assert_eq!(
            advice_of(&pod, "CrashLoopBackOff", &denied).unwrap(),
            "it was refused what it called: choreo status web shows what to declare"
        );
    }

    #[test]
    fn no_name_stays_open() {
        let bare = json!({"kind": "Component", "metadata": {"name": "web"}});
        for (reason, _) in ADVICES {
            let text = advice(&bare, reason).unwrap();
            assert!(!text.contains('{') && !text.contains('}'), "{text}");
        }
    }

    #[test]
    fn each_reason_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        assert!(ADVICES.iter().all(|(reason, _)| seen.insert(reason)));
    }
}
