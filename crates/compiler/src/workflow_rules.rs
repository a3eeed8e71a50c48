//! What must hold before a run of a workflow is rendered.

use choreo_model::reference::WorkflowRef;
use choreo_model::shared::ComponentOwner;
use choreo_model::workflow::time_to_live;
use choreo_model::{Component, ComponentType, Workflow, WorkflowRun, labels};

/// Why a run will never be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The run says half of which component it builds.
    #[error("label {given} is set but {missing} is not; a run that builds a component needs both")]
    HalfAComponent {
        /// The label that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// The component the run builds is not there.
    #[error("Component {component:?} not found in project {project:?}")]
    ComponentNotFound {
        /// The project.
        project: String,
        /// The component.
        component: String,
    },
    /// The type of the component allows other workflows only.
    #[error("{workflow} is not among the workflows that {object} allows: [{allowed}]")]
    NotAllowed {
        /// The workflow of the run.
        workflow: WorkflowRef,
        /// The type, as `Kind "name"`.
        object: String,
        /// What it allows.
        allowed: String,
    },
    /// The component is built by no workflow, or by another one.
    #[error("Component {component:?} is built by {wanted}, not by {workflow}")]
    OtherWorkflow {
        /// The component.
        component: String,
        /// The workflow that the component names, or "no workflow".
        wanted: String,
        /// The workflow of the run.
        workflow: WorkflowRef,
    },
}

/// The component that `run` builds, by its labels; none for a run that builds none.
pub fn component_of(run: &WorkflowRun) -> Result<Option<ComponentOwner>, Refusal> {
    let filled = |key| run.label(key).filter(|value| !value.is_empty());
    let half = |given, missing| Err(Refusal::HalfAComponent { given, missing });
    match (filled(labels::PROJECT), filled(labels::COMPONENT)) {
        (None, None) => Ok(None),
        (Some(_), None) => half(labels::PROJECT, labels::COMPONENT),
        (None, Some(_)) => half(labels::COMPONENT, labels::PROJECT),
        (Some(project), Some(component)) => Ok(Some(ComponentOwner {
            project_name: project.to_owned(),
            component_name: component.to_owned(),
            track_name: None,
        })),
    }
}

/// Whether `run` may build the component `owner`. `component` is the object of that name and its
/// type, if there is one.
pub fn check_build(
    run: &WorkflowRun,
    owner: &ComponentOwner,
    component: Option<(&Component, &ComponentType)>,
) -> Result<(), Refusal> {
    let (component, type_) = component
        .filter(|(component, _)| component.spec.owner.project_name == owner.project_name)
        .ok_or_else(|| Refusal::ComponentNotFound {
            project: owner.project_name.clone(),
            component: owner.component_name.clone(),
        })?;
    let workflow = &run.spec.workflow.reference;
    check_allowed(workflow, type_)?;
    let wanted = component.spec.workflow.as_ref();
    if wanted.is_some_and(|wanted| wanted.reference == *workflow) {
        return Ok(());
    }
    Err(Refusal::OtherWorkflow {
        component: owner.component_name.clone(),
        wanted: wanted.map_or_else(
            || "no workflow".to_owned(),
            |wanted| wanted.reference.to_string(),
        ),
        workflow: workflow.clone(),
    })
}

/// Whether components of `type_` may be built with `workflow`.
pub fn check_allowed(workflow: &WorkflowRef, type_: &ComponentType) -> Result<(), Refusal> {
    let allowed = &type_.spec.allowed_workflows;
    if allowed.contains(workflow) {
        return Ok(());
    }
    let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Err(Refusal::NotAllowed {
        workflow: workflow.clone(),
        object: format!("{} {:?}", type_.kind(), type_.name()),
        allowed: names.join(", "),
    })
}

/// How many seconds `run` is kept after its end: as long as it says, else as long as `workflow`
/// says; forever when neither does.
pub fn kept_for(run: &WorkflowRun, workflow: Option<&Workflow>) -> Option<u64> {
    match run.spec.ttl_after_completion.as_str() {
        "" => time_to_live(&workflow?.spec.ttl_after_completion),
        own => time_to_live(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_model::{Object, Spec};
    use serde_json::{Value, json};

    fn object<T: Spec>(value: Value) -> Object<T> {
        serde_json::from_value(value).expect("an object")
    }

    fn run(labels: &Value, ttl: &str) -> WorkflowRun {
        object(json!({
            "metadata": {"name": "r", "namespace": "n", "labels": labels},
            "spec": {"workflow": {"name": "docker"}, "ttlAfterCompletion": ttl},
        }))
    }

    #[track_caller]
    fn check_labels(labels: &Value, expected: Result<Option<&str>, &str>) {
        let found = component_of(&run(labels, ""));
        let found = found.map(|owner| owner.map(|owner| owner.component_name));
        let expected = expected.map(|name| name.map(str::to_owned));
        assert_eq!(
            found.map_err(|error| error.to_string()),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn a_run_builds_a_component_or_none() {
        check_labels(&json!({}), Ok(None));
        let both = json!({"openchoreo.dev/project": "shop", "openchoreo.dev/component": "web"});
        check_labels(&both, Ok(Some("web")));
        check_labels(
            &json!({"openchoreo.dev/project": "shop"}),
            Err(
                "label openchoreo.dev/project is set but openchoreo.dev/component is not; \
                 a run that builds a component needs both",
            ),
        );
        check_labels(
            &json!({"openchoreo.dev/component": "web", "openchoreo.dev/project": ""}),
            Err(
                "label openchoreo.dev/component is set but openchoreo.dev/project is not; \
                 a run that builds a component needs both",
            ),
        );
    }

    #[track_caller]
    fn check_component(project: &str, workflow: &Value, allowed: &Value, expected: &str) {
        let component: Component = object(json!({
            "metadata": {"name": "web", "namespace": "n"},
            "spec": {
                "owner": {"projectName": project},
                "componentType": {"name": "deployment/service"},
                "workflow": workflow,
            },
        }));
        let type_: ComponentType = object(json!({
            "metadata": {"name": "service"},
            "spec": {"workloadType": "deployment", "resources": [], "allowedWorkflows": allowed},
        }));
        let owner = ComponentOwner {
            project_name: "shop".to_owned(),
            component_name: "web".to_owned(),
            track_name: None,
        };
        let found = check_build(&run(&json!({}), ""), &owner, Some((&component, &type_)));
        assert_eq!(
            found
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default(),
            expected
        );
    }

    #[test]
    fn a_component_is_built_by_its_own_workflow_if_its_type_allows() {
        let docker = json!({"name": "docker"});
        let other = json!({"name": "other"});
        check_component("shop", &docker, &json!([docker]), "");
        check_component(
            "office",
            &docker,
            &json!([docker]),
            "Component \"web\" not found in project \"shop\"",
        );
        check_component(
            "shop",
            &docker,
            &json!([other]),
            "ClusterWorkflow:docker is not among the workflows that ClusterComponentType \
             \"service\" allows: [ClusterWorkflow:other]",
        );
        check_component(
            "shop",
            &other,
            &json!([docker]),
            "Component \"web\" is built by ClusterWorkflow:other, not by ClusterWorkflow:docker",
        );
        check_component(
            "shop",
            &json!(null),
            &json!([docker]),
            "Component \"web\" is built by no workflow, not by ClusterWorkflow:docker",
        );
    }

    #[test]
    fn a_run_is_kept_as_it_or_its_workflow_says() {
        let workflow: Workflow = object(json!({
            "metadata": {"name": "docker"},
            "spec": {"runTemplate": {}, "ttlAfterCompletion": "1d"},
        }));
        assert_eq!(
            kept_for(&run(&json!({}), "1h"), Some(&workflow)),
            Some(3_600)
        );
        assert_eq!(
            kept_for(&run(&json!({}), ""), Some(&workflow)),
            Some(86_400)
        );
        assert_eq!(kept_for(&run(&json!({}), ""), None), None);
    }
}
