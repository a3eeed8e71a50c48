//! Components: released and bound.

use super::*;

#[test]
fn a_component_says_what_it_lacks() {
    check(
        COMPONENT,
        "Component",
        "web",
        &[
            "Ready False WorkloadNotFound: Workload for component \"web\" not found, waiting for \
         workload to be created",
        ],
    );
    check(
        &format!("{COMPONENT}{WORKLOAD}"),
        "Component",
        "web",
        &["Ready False ProjectNotFound: Project \"shop\" not found"],
    );
    check(
        &COMPONENT.replace("service", "absent"),
        "Component",
        "web",
        &["Ready False ComponentTypeNotFound: ClusterComponentType \"absent\" not found"],
    );
    // The type is looked at before the workload.
    check(
        &COMPONENT.replace("deployment/service", "cronjob/service"),
        "Component",
        "web",
        &[
            "Ready False InvalidConfiguration: \"cronjob/service\" does not name a type for \
             deployment workloads",
        ],
    );
    let mut manual = World::new(&shop().replace("autoDeploy: true", "autoDeploy: false"));
    assert!(manual.status("Component", "web")[0].starts_with("Ready True Reconciled"));
}

#[test]
fn a_component_says_what_its_traits_lack() {
    check(
        &shop().replace(
            "autoDeploy: true",
            "autoDeploy: true\n  traits: [{ kind: ClusterTrait, name: absent, instanceName: a }]",
        ),
        "Component",
        "web",
        &[
            "Ready False InvalidConfiguration: ClusterComponentType \"service\": traits \
         [ClusterTrait:absent] are not in the allowed list [ClusterTrait:observability-alert-rule, \
         ClusterTrait:jwt-authentication, ClusterTrait:api-key-authentication, \
         ClusterTrait:basic-authentication, ClusterTrait:sign-in, \
         ClusterTrait:external-authorization, ClusterTrait:ip-filter, ClusterTrait:cors, \
         ClusterTrait:headers, ClusterTrait:rate-limit, ClusterTrait:timeouts, \
         ClusterTrait:retries, ClusterTrait:circuit-breaker, ClusterTrait:load-balancing, \
         ClusterTrait:request-size]",
        ],
    );
    let mut untold = World::new(&shop().replace(
        "autoDeploy: true",
        "autoDeploy: true\n  traits: [{ kind: ClusterTrait, name: observability-alert-rule, \
         instanceName: a }]",
    ));
    let key = Key::new("ClusterTrait", "", "observability-alert-rule");
    let alerts = untold.stored.remove(&key).unwrap();
    untold.index.apply(Change::deleted(&alerts).unwrap());
    assert_eq!(
        untold.status("Component", "web"),
        ["Ready False TraitNotFound: ClusterTrait \"observability-alert-rule\" not found"]
    );
}

#[test]
fn a_component_is_released_and_bound_once() {
    let mut world = World::new(&shop());
    let writes: Vec<String> = world
        .decide("Component", "web")
        .writes
        .iter()
        .map(words)
        .collect();
    assert_eq!(writes.len(), 3, "{writes:?}");
    assert_eq!(
        writes[0],
        "finalizers web [\"openchoreo.dev/component-cleanup\"]"
    );
    assert!(writes[1].starts_with("apply ComponentRelease web-"));
    assert_eq!(writes[2], "apply ReleaseBinding web-development");
    world.settle(&[("Component", "web")]);
    let again = world.decide("Component", "web");
    assert!(
        again
            .writes
            .iter()
            .all(|write| matches!(write, Write::Finalizers { .. }))
    );
}

/// In whose name the component would be bound now.
fn author(world: &mut World) -> Option<Value> {
    let writes = world.decide("Component", "web").writes;
    let object = writes.iter().find_map(|write| match write {
        Write::Apply { object, .. } if object["kind"] == "ReleaseBinding" => Some(object),
        Write::Apply { .. }
        | Write::Place { .. }
        | Write::Delete { .. }
        | Write::Status { .. }
        | Write::Finalizers { .. }
        | Write::Call { .. } => None,
    })?;
    Some(object["metadata"]["annotations"]["openchoreo.dev/on-behalf-of"].clone())
}

#[test]
fn a_deployment_is_in_the_name_of_whoever_changed_what_it_is_made_of() {
    let mut world = World::new(&shop());
    let mut change = |kind: &'static str, field: &str, value: Value, metadata: Value| {
        let namespace = if kind.starts_with("Cluster") {
            ""
        } else {
            "default"
        };
        let name = if kind == "ClusterComponentType" {
            "service"
        } else {
            "web"
        };
        let mut object = world.stored[&Key::new(kind, namespace, name)].clone();
        *object.pointer_mut(field).unwrap() = value;
        for (key, value) in metadata.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        world.put(object);
        let author = author(&mut world).unwrap();
        world.live(&[("Component", "web")]);
        author
    };
    let by = |name: &str| json!({"annotations": {"openchoreo.dev/changed-by": name}});
    let image = "/spec/container/image";
    assert_eq!(change("Workload", image, json!("web:2"), by("ann")), "ann");
    assert_eq!(change("Workload", image, json!("web:3"), by("bob")), "bob");
    // Where nobody is noted, the manager of the last change of the specification.
    let wrote = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "time": time, "fieldsV1": fields});
    let noon = "2026-01-01T12:00:00Z";
    let managers = json!({"annotations": {}, "managedFields": [
        wrote("kubectl", noon, json!({"f:spec": {}})),
        wrote("flux", "2026-01-01T11:00:00Z", json!({"f:spec": {}})),
        wrote("labeller", "2026-01-01T13:00:00Z", json!({"f:metadata": {}})),
    ]});
    let told = change("Workload", image, json!("web:4"), managers);
    assert_eq!(told, "manager:kubectl");
    // What only its type made another is nobody's.
    let told = change(
        "ClusterComponentType",
        "/spec/resources/0/id",
        json!("renamed"),
        json!({}),
    );
    assert_eq!(told, Value::Null);
}

#[test]
fn a_binding_moved_by_hand_stays_until_the_next_release() {
    let mut world = World::new(&shop());
    let first = world.decide("Component", "web");
    assert_eq!(first.status, None, "it is told once it is there");
    world.settle(&[("Component", "web")]);
    let status = world.decide("Component", "web").status.unwrap();
    let mut component = documents(COMPONENT).remove(0);
    component["status"] = status;
    world.put(component);
    let moves = |world: &mut World| {
        let decision = world.decide("Component", "web");
        let binding = |write: &&Write| words(write).starts_with("apply ReleaseBinding");
        decision.writes.iter().filter(binding).count()
    };
    world.add(
        "apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: {name: web-development, namespace: default}
spec:
  owner: {projectName: shop, componentName: web}
  environment: development
  releaseName: web-older
",
    );
    assert_eq!(moves(&mut world), 0, "a rollback is obeyed");
    world.add(&WORKLOAD.replace("image: ", "image: newer/"));
    assert_eq!(moves(&mut world), 1, "a new release is bound");
}

#[test]
fn a_release_that_is_not_there_is_not_the_latest() {
    let mut world = World::new(&shop());
    let writes = world.decide("Component", "web").writes;
    let [_, _, Write::Apply { object, .. }] = writes.as_slice() else {
        panic!("{writes:?}")
    };
    world.put(object.clone());
    let decision = world.decide("Component", "web");
    assert_eq!(decision.writes.len(), 2, "{decision:#?}");
    assert_eq!(decision.status, None, "it is told once it is there");
}

#[test]
fn a_component_is_built_by_a_workflow_that_is_there_and_allowed() {
    let built = COMPONENT.replace("autoDeploy", "workflow: { name: docker }\n  autoDeploy");
    let built = format!("{built}{WORKLOAD}{PROJECT}");
    check(
        &built,
        "Component",
        "web",
        &[
            "Ready False WorkflowNotAllowed: ClusterWorkflow:docker is not among the workflows that \
         ClusterComponentType \"service\" allows: []",
        ],
    );
    let mut world = World::new(&built);
    let mut defaults = choreo_model::defaults().iter();
    let service = defaults.find(|one| one.name == "service").unwrap();
    let mut service = documents(service.yaml).remove(0);
    service["spec"]["allowedWorkflows"] = json!([{ "name": "docker" }]);
    world.put(service);
    assert_eq!(
        world.status("Component", "web"),
        ["Ready False WorkflowNotFound: ClusterWorkflow \"docker\" not found"]
    );
    world.add(
        "apiVersion: openchoreo.dev/v1alpha1
kind: ClusterWorkflow
metadata: {name: docker}
spec: {runTemplate: {}}
",
    );
    world.live(&[("Component", "web")]);
    let ready = world.condition("Component", "web", "Ready");
    assert!(ready.starts_with("Ready True"), "{ready}");
}
