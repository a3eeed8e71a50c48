//! What changes would do: told whole, once, with the reason, and nothing more.

use choreo_compiler::fleet::Fleet;
use choreo_compiler::plan::{Action, Effect, Plan, plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn read(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = std::fs::read_to_string(folder.join(file)).expect("a file");
    serde_saphyr::from_multiple::<Value>(&text).expect("YAML")
}

fn manifests() -> Vec<Value> {
    [
        "platform.yaml",
        "connections/input.yaml",
        "prices.yaml",
        "traits/input.yaml",
    ]
    .into_iter()
    .flat_map(read)
    .collect()
}

fn settled(manifests: impl IntoIterator<Item = Value>) -> Fleet {
    let mut fleet = Fleet::read(manifests);
    fleet.bind_cells();
    fleet.settle();
    fleet
}

fn find<'v>(manifests: &'v mut [Value], kind: &str, name: &str) -> &'v mut Value {
    let mut found = manifests
        .iter_mut()
        .filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.next().expect("a manifest")
}

/// What `change` would do.
fn planned(change: impl FnOnce(&mut [Value])) -> Plan {
    let mut changed = manifests();
    change(&mut changed);
    let before = settled(manifests());
    let mut after = before.clone();
    after.apply(changed);
    after.bind_cells();
    after.settle();
    let plan = plan(&before, &after);
    let sizes: usize = plan.groups.iter().map(|group| group.size).sum();
    assert_eq!(sizes, plan.changed);
    plan
}

/// The fields that change, with what that does and the first reason.
fn told(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for group in &plan.groups {
        for object in &group.objects {
            let action = match object.action {
                Action::Add => "+",
                Action::Change => "~",
                Action::Remove => "-",
            };
            lines.push(format!(
                "{}x {action} {} {}",
                group.size,
                object.kind,
                object.effect.as_str()
            ));
            for field in &object.fields {
                let reasons: Vec<String> = field
                    .reasons
                    .iter()
                    .map(|one| format!("{} {}", one.object, one.field))
                    .collect();
                lines.push(format!("  {}: {}", field.field, reasons.join(", ")));
            }
        }
    }
    lines
}

#[test]
fn nothing_changes_by_itself() {
    let plan = planned(|_| {});
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.effect(), None);
}

#[test]
fn what_nothing_uses_is_told_and_makes_no_difference() {
    let before = settled(manifests());
    let mut all = manifests();
    let mut spare = find(&mut all, "ClusterComponentType", "api").clone();
    spare["metadata"]["name"] = json!("spare");
    let mut other = find(&mut all, "Component", "web").clone();
    other["metadata"]["name"] = json!("other");
    other["spec"]["componentType"]["name"] = json!("deployment/spare");
    let mut workload = find(&mut all, "Workload", "web").clone();
    workload["metadata"]["name"] = json!("other");
    workload["spec"]["owner"]["componentName"] = json!("other");
    let with = |objects: &[&Value]| {
        let mut after = before.clone();
        after.apply(objects.iter().map(|one| (*one).clone()));
        after.bind_cells();
        after.settle();
        plan(&before, &after)
    };
    let names =
        |plan: &Plan| -> Vec<String> { plan.unused.iter().map(ToString::to_string).collect() };
    let unused = with(&[&spare]);
    assert_eq!(names(&unused), ["ClusterComponentType/spare"]);
    assert!(unused.is_empty() && !unused.has_errors());
    let used = with(&[&spare, &other, &workload]);
    assert_eq!(names(&used), [""; 0]);
    let bindings = used.groups.iter().flat_map(|group| &group.bindings);
    let mut subjects = bindings.map(|one| (one.component.as_deref(), one.resource.as_deref()));
    assert!(subjects.all(|one| one == (Some("other"), None)));
    let reasons = used.groups.iter().flat_map(|group| &group.reasons);
    let reasons: BTreeSet<&str> = reasons.map(|one| one.object.as_str()).collect();
    assert_eq!(Vec::from_iter(reasons), ["Component/other"]);
    other["spec"]["autoDeploy"] = json!(false);
    let waiting = with(&[&spare, &other, &workload]);
    let all = [
        "ClusterComponentType/spare",
        "Component/other",
        "Workload/other",
    ];
    assert_eq!(names(&waiting), all);
    assert!(waiting.is_empty(), "{waiting:?}");
    // Of everything new, only what no binding is made of.
    assert_eq!(names(&plan(&Fleet::default(), &before)), [""; 0]);
}

/// What is told as a reason when the field at `pointer` of an object in `file` becomes `value`.
fn reasons(file: &str, (kind, name): (&str, &str), pointer: &str, value: &str) -> Vec<String> {
    let manifests = read(file);
    let mut changed = manifests.clone();
    let object = find(&mut changed, kind, name);
    let (around, field) = pointer.rsplit_once('/').expect("a field");
    object.pointer_mut(around).expect("an object")[field] = json!(value);
    let groups = plan(&settled(manifests), &settled(changed)).groups;
    let reasons = groups.iter().flat_map(|group| &group.reasons);
    let told: BTreeSet<String> = reasons
        .map(|one| format!("{} {}", one.object, one.field))
        .collect();
    told.into_iter().collect()
}

#[test]
fn whatever_a_binding_is_made_of_can_be_the_reason() {
    let check = |file: &str, object: (&str, &str), pointer: &str, expected: &[&str]| {
        assert_eq!(reasons(file, object, pointer, "new"), expected, "{pointer}");
    };
    let around = "../explain/surroundings.yaml";
    check(
        around,
        ("ProjectReleaseBinding", "shop-test"),
        "/spec/environmentConfigs/quota",
        &["ProjectReleaseBinding/shop-test spec.environmentConfigs.quota"],
    );
    check(
        around,
        ("ResourceReleaseBinding", "db-test"),
        "/spec/resourceTypeEnvironmentConfigs/disk",
        &["ResourceReleaseBinding/db-test spec.resourceTypeEnvironmentConfigs.disk"],
    );
    check(
        around,
        ("ResourceRelease", "db-first"),
        "/spec/parameters/version",
        &["Resource/db spec.parameters.version"],
    );
    check(
        around,
        ("ResourceRelease", "db-first"),
        "/spec/resourceType/spec/resources/0/template/disk",
        &["ResourceType/database spec.resources[0].template.disk"],
    );
    for (kind, name) in [("Component", "web"), ("Project", "shop")] {
        let found = reasons(around, (kind, name), "/metadata/uid", "new");
        assert_eq!(found, [format!("{kind}/{name} metadata.uid")]);
    }
    let helpers = "../explain/helpers.yaml";
    check(
        helpers,
        ("SecretReference", "vault"),
        "/spec/data/1/remoteRef/key",
        &["SecretReference/vault spec.data[1].remoteRef.key"],
    );
    let found = reasons(
        helpers,
        ("Workload", "stock"),
        "/spec/endpoints/rest/type",
        "TCP",
    );
    let provider = "ReleaseBinding/stock-test status.endpoints[0].serviceURL.scheme";
    assert!(found.iter().any(|one| one == provider), "{found:?}");
}

#[test]
fn what_an_environment_gets_rolls_or_scales() {
    let plan = planned(|manifests| {
        let binding = find(manifests, "ReleaseBinding", "basket-test");
        binding["spec"]["componentTypeEnvironmentConfigs"]["replicas"] = json!(7);
    });
    assert_eq!(
        told(&plan),
        [
            "1x ~ Deployment no effect on pods",
            "  spec.replicas: ReleaseBinding/basket-test \
             spec.componentTypeEnvironmentConfigs.replicas",
        ]
    );
    assert!(plan.releases.is_empty() && plan.moves.is_empty());
}

#[test]
fn a_changed_image_is_a_release_that_rolls_pods() {
    let plan = planned(|manifests| {
        let workload = find(manifests, "Workload", "basket");
        workload["spec"]["container"]["image"] = json!("example.org/basket:2");
    });
    assert_eq!(
        told(&plan),
        [
            "1x ~ Deployment rolls pods",
            "  spec.template.spec.containers[0].image: Workload/basket spec.container.image",
        ]
    );
    assert_eq!(plan.releases.len(), 1);
    let moved = &plan.moves[0];
    assert_eq!((moved.name.as_str(), plan.moves.len()), ("basket-test", 1));
    assert_eq!(moved.to, plan.releases[0].name);
    assert_ne!(moved.from.as_ref(), Some(&moved.to));
}

/// Of several things that change, a field has those as reasons that it is made of.
#[test]
fn every_field_has_reasons_of_its_own() {
    let plan = planned(|manifests| {
        let binding = find(manifests, "ReleaseBinding", "basket-test");
        binding["spec"]["componentTypeEnvironmentConfigs"]["replicas"] = json!(7);
        let workload = find(manifests, "Workload", "basket");
        workload["spec"]["container"]["image"] = json!("example.org/basket:2");
    });
    assert_eq!(
        told(&plan),
        [
            "1x ~ Deployment rolls pods",
            "  spec.replicas: ReleaseBinding/basket-test \
             spec.componentTypeEnvironmentConfigs.replicas",
            "  spec.template.spec.containers[0].image: Workload/basket spec.container.image",
        ]
    );
}

#[test]
fn a_plan_with_anything_in_it_is_not_empty() {
    let full = planned(|manifests| {
        let workload = find(manifests, "Workload", "basket");
        workload["spec"]["container"]["image"] = json!("example.org/basket:2");
        let prices = find(manifests, "Component", "prices");
        prices["spec"]["componentType"]["name"] = json!("deployment/nope");
    });
    let empty = Plan::default;
    assert!(empty().is_empty() && !full.introduced.is_empty());
    for part in [
        Plan {
            groups: full.groups.clone(),
            ..empty()
        },
        Plan {
            releases: full.releases.clone(),
            ..empty()
        },
        Plan {
            moves: full.moves.clone(),
            ..empty()
        },
        Plan {
            introduced: full.introduced.clone(),
            ..empty()
        },
        Plan {
            resolved: full.introduced.clone(),
            ..empty()
        },
    ] {
        assert!(!part.is_empty(), "{part:?}");
        assert_ne!(part.digest(), empty().digest());
        assert_ne!(part.digest(), full.digest());
    }
}

#[test]
fn what_a_type_changes_for_all_is_one_group() {
    let plan = planned(|manifests| {
        let type_ = find(manifests, "ClusterComponentType", "api");
        let template = &mut type_["spec"]["resources"][0]["template"];
        template["spec"]["minReadySeconds"] = json!(5);
    });
    let [group] = plan.groups.as_slice() else {
        panic!("{:?}", told(&plan))
    };
    assert!(group.size > 2, "{group:?}");
    assert_eq!(group.effect, Effect::None);
    assert_eq!(group.reasons[0].object, "ClusterComponentType/api");
}

#[test]
fn what_goes_away_is_told() {
    let mut fewer = manifests();
    fewer.retain(|one| {
        let name = one["metadata"]["name"].as_str().unwrap_or_default();
        !name.starts_with("basket")
    });
    let plan = plan(&settled(manifests()), &settled(fewer));
    let group = &plan.groups[0];
    assert_eq!(group.effect, Effect::Deletes);
    assert!(group.objects.iter().all(|one| one.action == Action::Remove));
}

#[test]
fn mistakes_stop_nothing_that_runs() {
    let plan = planned(|manifests| {
        let type_ = find(manifests, "ClusterComponentType", "api");
        type_["spec"]["resources"][0]["template"]["spec"]["replicas"] = json!("${nope}");
    });
    assert!(plan.groups.is_empty() && plan.has_errors());
    assert!(plan.introduced[0].message.contains("nope"), "{plan:?}");
}

#[test]
fn what_waits_for_others_is_told() {
    let plan = planned(|manifests| {
        let workload = find(manifests, "Workload", "basket");
        let wanted = &mut workload["spec"]["dependencies"]["endpoints"][0];
        wanted["component"] = json!("nobody");
    });
    assert!(!plan.has_errors(), "{plan:?}");
    let mut introduced = plan.introduced.iter();
    let waits = introduced.find(|one| one.object == "ReleaseBinding/basket-test");
    let waits = waits.expect("something that waits");
    assert!(
        waits.message.starts_with("waits for shop/nobody web"),
        "{waits:?}"
    );
}

/// What another text in the template of a workflow would do to its run.
fn replanned(status: Value) -> Plan {
    let files = ["workflows/platform.yaml", "workflows/plain/input.yaml"];
    let mut all: Vec<Value> = files.into_iter().flat_map(read).collect();
    find(&mut all, "WorkflowRun", "errand-1")["status"] = status;
    let before = settled(all.clone());
    find(&mut all, "Workflow", "errand")["spec"]["runTemplate"]["data"]["said"] = json!("bye");
    plan(&before, &settled(all))
}

#[test]
fn a_workflow_changes_the_runs_that_have_not_begun() {
    let waiting = replanned(json!({}));
    assert_eq!(
        told(&waiting),
        [
            "1x ~ Job no effect on pods",
            "  data.said: Workflow/errand spec.runTemplate.data.said",
        ]
    );
    assert_eq!(waiting.groups[0].bindings[0].kind, "WorkflowRun");
    let begun =
        json!({"runReference": {"apiVersion": "batch/v1", "kind": "Job", "name": "errand-1"}});
    assert!(replanned(begun).is_empty());
}

#[test]
fn a_pipeline_brings_cells_to_its_environments() {
    let mut more = manifests();
    let mut later = find(&mut more, "Environment", "live").clone();
    later["metadata"]["name"] = json!("later");
    more.push(later);
    let before = settled(more.clone());
    let pipeline = find(&mut more, "DeploymentPipeline", "usual");
    let targets = &mut pipeline["spec"]["promotionPaths"][0]["targetEnvironmentRefs"];
    *targets = json!([{"name": "live"}, {"name": "later"}]);
    let plan = plan(&before, &settled(more));
    let [group] = plan.groups.as_slice() else {
        panic!("{:?}", told(&plan))
    };
    assert_eq!(group.size, 2, "{group:?}");
    let reason = &group.reasons[0];
    assert_eq!(
        (reason.object.as_str(), reason.field.as_str()),
        ("DeploymentPipeline/usual", "spec.promotionPaths")
    );
}

#[test]
fn objects_that_name_what_is_not_there_are_told() {
    let plan = planned(|manifests| {
        let binding = find(manifests, "ReleaseBinding", "basket-test");
        binding["metadata"]["name"] = json!("basket-moon");
        binding["spec"]["environment"] = json!("moon");
    });
    let told: Vec<String> = plan
        .introduced
        .iter()
        .map(|one| format!("{} {}: {}", one.object, one.field, one.message))
        .collect();
    let expected = ["ReleaseBinding/basket-moon spec.environment: Environment \"moon\" not found"];
    assert_eq!(told, expected);
    assert!(plan.has_errors());
}

/// Many components of a few types.
fn crowd(components: usize) -> Vec<Value> {
    let mut all = read("platform.yaml");
    for number in 0..components {
        let name = format!("c{number}");
        let owner = json!({"projectName": "shop", "componentName": name});
        all.push(json!({
            "kind": "Component", "metadata": {"name": name, "namespace": "acme"},
            "spec": {
                "owner": {"projectName": "shop"}, "autoDeploy": true,
                "componentType": {"kind": "ClusterComponentType", "name": "deployment/api"},
            },
        }));
        all.push(json!({
            "kind": "Workload", "metadata": {"name": name, "namespace": "acme"},
            "spec": {
                "owner": owner, "container": {"image": format!("example.org/{name}:1")},
                "endpoints": {"web": {"type": "HTTP", "port": 80, "visibility": ["external"]}},
            },
        }));
    }
    all
}

#[test]
fn a_thousand_components_are_one_group() {
    let before = settled(crowd(1000));
    let mut changed = read("platform.yaml");
    let type_ = find(&mut changed, "ClusterComponentType", "api");
    type_["spec"]["resources"][0]["template"]["spec"]["template"]["spec"]["hostname"] = json!("x");
    let mut after = before.clone();
    after.apply(changed);
    after.settle();
    let plan = plan(&before, &after);
    assert_eq!(
        (plan.changed, plan.groups.len()),
        (1000, 1),
        "{:?}",
        told(&plan)
    );
    assert_eq!(plan.effect(), Some(Effect::RollsPods));
    assert_eq!((plan.releases.len(), plan.moves.len()), (1000, 1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The order in which objects are found changes nothing about a plan.
    #[test]
    fn order_does_not_matter(shuffled in Just(manifests()).prop_shuffle(), replicas in 1..9) {
        let change = |mut manifests: Vec<Value>| {
            let binding = find(&mut manifests, "ReleaseBinding", "basket-test");
            binding["spec"]["componentTypeEnvironmentConfigs"]["replicas"] = json!(replicas);
            settled(manifests)
        };
        let sorted = plan(&settled(manifests()), &change(manifests()));
        let mixed = plan(&settled(shuffled.clone()), &change(shuffled));
        prop_assert_eq!(sorted.digest(), mixed.digest());
        prop_assert_eq!(sorted, mixed);
    }
}
