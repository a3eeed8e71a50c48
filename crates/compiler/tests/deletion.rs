//! What taking objects away would do: everything that goes with them is told, and what stays.

use choreo_compiler::fleet::{Fleet, ObjectName};
use choreo_compiler::plan::{Action, Effect, Group, Plan, plan};
use serde_json::{Value, json};
use std::path::Path;

fn read(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = std::fs::read_to_string(folder.join(file)).expect("a file");
    serde_saphyr::from_multiple::<Value>(&text).expect("YAML")
}

fn shop() -> Vec<Value> {
    let files = ["platform.yaml", "connections/input.yaml", "prices.yaml"];
    files.into_iter().flat_map(read).collect()
}

/// A resource that nobody uses, in its environment.
fn database(retain_policy: &str) -> Vec<Value> {
    let files = ["resources/platform.yaml", "resources/database/input.yaml"];
    let mut all: Vec<Value> = files.into_iter().flat_map(read).collect();
    for one in &mut all {
        if one["kind"] == "ResourceReleaseBinding" {
            one["spec"]["retainPolicy"] = json!(retain_policy);
        }
    }
    all
}

/// What applying `changes` and taking away `gone`, each `Kind/name`, would do to `manifests`.
fn planned(manifests: Vec<Value>, changes: Vec<Value>, gone: &[&str]) -> Plan {
    let names = gone.iter().map(|one| {
        let (kind, name) = one.split_once('/').expect("Kind/name");
        let namespace = if kind.starts_with("Cluster") {
            ""
        } else {
            "acme"
        };
        let wanted = json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}});
        ObjectName::of(&wanted)
    });
    let mut before = Fleet::read(manifests);
    before.bind_everywhere();
    before.bind_cells();
    before.settle();
    let mut after = before.clone();
    after.apply(changes);
    after.remove(names);
    after.bind_cells();
    after.settle();
    plan(&before, &after)
}

fn deleted(plan: &Plan) -> Vec<String> {
    plan.deletions.iter().map(ToString::to_string).collect()
}

fn wrong(plan: &Plan) -> Vec<String> {
    let told = plan.introduced.iter();
    told.map(|one| format!("{}: {}", one.object, one.message))
        .collect()
}

/// The bindings of which everything goes, and why.
#[track_caller]
fn check_gone(plan: &Plan, reason: &str, bindings: &[&str]) {
    let mut gone = Vec::new();
    let deletes = |group: &&Group| group.effect >= Effect::Deletes;
    for group in plan.groups.iter().filter(deletes) {
        assert!(group.objects.iter().all(|one| one.action == Action::Remove));
        assert_eq!(group.reasons.len(), 1, "{group:?}");
        assert_eq!(group.reasons[0].object, reason);
        gone.extend(group.bindings.iter().map(|one| one.name.as_str()));
    }
    gone.sort_unstable();
    assert_eq!(gone, bindings);
}

#[test]
fn a_component_takes_its_bindings_along() {
    let plan = planned(shop(), Vec::new(), &["Component/basket"]);
    check_gone(&plan, "Component/basket", &["basket-live", "basket-test"]);
    let kinds: Vec<&str> = plan.deletions.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "Component",
            "ComponentRelease",
            "ReleaseBinding",
            "ReleaseBinding",
            "Workload"
        ]
    );
    assert_eq!(wrong(&plan), [""; 0]);
}

#[test]
fn a_project_takes_everything_along() {
    let plan = planned(shop(), Vec::new(), &["Project/depot"]);
    check_gone(
        &plan,
        "Project/depot",
        &["depot-live", "depot-test", "stock-live", "stock-test"],
    );
    assert_eq!(plan.effect(), Some(Effect::DeletesData));
    let waits = "ReleaseBinding/basket-test: waits for depot/stock rpc";
    assert!(
        wrong(&plan).iter().any(|one| one.starts_with(waits)),
        "{:?}",
        wrong(&plan)
    );
}

#[test]
fn what_is_in_use_stays_and_is_a_mistake() {
    let gone = [
        "Environment/live",
        "DeploymentPipeline/usual",
        "ClusterDataPlane/iron",
    ];
    let plan = planned(shop(), Vec::new(), &gone);
    assert!(plan.groups.is_empty() && plan.deletions.is_empty() && plan.has_errors());
    assert_eq!(
        wrong(&plan),
        [
            "ClusterDataPlane/iron: cannot be deleted: it is still used by Environment/live and \
             1 more",
            "DeploymentPipeline/usual: cannot be deleted: it is still used by Project/depot and \
             1 more",
            "Environment/live: cannot be deleted: it is still used by DeploymentPipeline/usual",
        ]
    );
}

#[test]
fn an_environment_that_no_pipeline_names_takes_what_is_in_it_along() {
    let mut pipeline = shop();
    pipeline.retain(|one| one["kind"] == "DeploymentPipeline");
    pipeline[0]["spec"]["promotionPaths"] = json!([{
        "sourceEnvironmentRef": {"name": "test"}, "targetEnvironmentRefs": [],
    }]);
    let plan = planned(shop(), pipeline, &["Environment/live"]);
    let gone = [
        "basket-live",
        "depot-live",
        "prices-live",
        "shop-live",
        "stock-live",
    ];
    check_gone(&plan, "Environment/live", &gone);
    assert!(deleted(&plan).contains(&"Environment/live".to_owned()));
}

#[test]
fn a_type_in_use_breaks_what_comes_and_nothing_that_runs() {
    let plan = planned(shop(), Vec::new(), &["ClusterComponentType/api"]);
    assert!(plan.groups.is_empty());
    assert_eq!(deleted(&plan), ["ClusterComponentType/api"]);
    let wrong = wrong(&plan);
    let lost = "Component/basket: ClusterComponentType \"api\" not found".to_owned();
    assert!(wrong.contains(&lost), "{wrong:?}");
}

#[test]
fn objects_of_a_resource_go_or_are_retained_as_its_policy_says() {
    let plan = planned(database("Delete"), Vec::new(), &["Resource/db"]);
    check_gone(&plan, "Resource/db", &["db-development"]);
    assert_eq!(plan.deletions.len(), 3, "{:?}", deleted(&plan));
    for gone in ["Resource/db", "Project/shop"] {
        let plan = planned(database("Retain"), Vec::new(), &[gone]);
        assert!(plan.groups.is_empty() && !plan.has_errors(), "{plan:?}");
        let told = format!(
            "{gone}: is not deleted: ResourceReleaseBinding/db-development retains its objects"
        );
        assert!(wrong(&plan).contains(&told), "{:?}", wrong(&plan));
    }
}

#[test]
fn a_binding_that_its_component_makes_again_only_loses_what_it_said() {
    let mut binding = shop();
    binding.retain(|one| one["kind"] == "ReleaseBinding");
    assert_eq!(binding[0]["metadata"]["name"], "basket-test");
    let plan = planned(shop(), Vec::new(), &["ReleaseBinding/basket-test"]);
    assert_eq!(plan.deletions, []);
    assert!(plan.groups.iter().all(|one| one.effect < Effect::Deletes));
    assert_eq!(plan.changed, 1, "{plan:?}");
}
