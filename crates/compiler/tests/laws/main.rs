//! What holds whatever is compiled: determinism, provenance, names of releases.

mod generated;
mod platform;

use choreo_compiler::fleet::Fleet;
use choreo_compiler::{
    Code, Compiled, Programs, Provenance, compile_component, compile_project, explain_component,
    explain_project, release,
};
use choreo_model::{Component, ComponentType, Workload};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn manifests() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let files = [
        "platform.yaml",
        "connections/input.yaml",
        "traits/input.yaml",
        "external/input.yaml",
    ];
    let documents = files.into_iter().flat_map(|file| {
        let text = std::fs::read_to_string(folder.join(file)).expect("a file");
        serde_saphyr::from_multiple::<Value>(&text).expect("YAML")
    });
    // Cases may say the same object differently, and the last of them counts.
    let same = |one: &Value, other: &Value| {
        let fields = ["/kind", "/metadata/namespace", "/metadata/name"];
        let mut fields = fields.iter();
        fields.all(|field| one.pointer(field) == other.pointer(field))
    };
    documents.fold(Vec::new(), |mut all, one| {
        match all.iter_mut().find(|other| same(&one, other)) {
            Some(other) => *other = one,
            None => all.push(one),
        }
        all
    })
}

fn fleet(manifests: Vec<Value>) -> Fleet {
    let mut fleet = Fleet::read(manifests);
    fleet.settle();
    assert_eq!(fleet.diagnostics(), []);
    fleet
}

fn compiled(fleet: &Fleet, name: &str, explain: bool) -> Compiled {
    let binding = fleet.bindings().find(|binding| binding.name() == name);
    let binding = binding.expect("a binding");
    let snapshot = fleet.component_snapshot(binding).expect("a snapshot");
    if explain {
        explain_component(&snapshot, &Programs::default())
    } else {
        compile_component(&snapshot, &Programs::default())
    }
}

#[test]
fn explaining_changes_nothing() {
    let fleet = fleet(manifests());
    for binding in fleet.bindings() {
        let plain = compiled(&fleet, binding.name(), false);
        let mut explained = compiled(&fleet, binding.name(), true);
        assert_eq!(plain.provenance, Provenance::default());
        explained.provenance = Provenance::default();
        assert_eq!(plain, explained);
    }
    for binding in fleet.project_bindings() {
        let snapshot = fleet.project_snapshot(binding).expect("a snapshot");
        assert_eq!(
            compile_project(&snapshot, &Programs::default()).objects,
            explain_project(&snapshot, &Programs::default()).objects
        );
    }
}

#[track_caller]
fn check_origin(binding: &str, id: &str, pointer: &str, expected: (&str, &str)) {
    let fleet = fleet(manifests());
    let compiled = compiled(&fleet, binding, true);
    let origin = &compiled.made(id, pointer).expect("an origin").origin;
    assert_eq!((origin.source.as_str(), origin.field.as_str()), expected);
}

#[test]
fn fields_know_where_they_come_from() {
    check_origin(
        "basket-test",
        "deployment-basket-test-d94696bf",
        "/spec/replicas",
        (
            "ClusterComponentType/api",
            "spec.resources[0].template.spec.replicas",
        ),
    );
    check_origin(
        "web-test",
        "deployment-web-test-5f1494a1",
        "/spec/template/spec/containers/0/args/0",
        (
            "ClusterTrait/sidecar",
            "spec.patches[0].operations[2].value",
        ),
    );
    check_origin(
        "web-test",
        "service-web-proxy-9901",
        "/metadata/annotations/example.org~1port-2",
        (
            "ClusterTrait/sidecar",
            "spec.patches[1].operations[0].value",
        ),
    );
}

/// The folders in `folder` that hold a case, each with what is rendered before it.
fn cases(folder: &Path, base: &[&str]) -> Vec<(String, Vec<Value>)> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).expect("a file");
        serde_saphyr::from_multiple::<Value>(&text).expect("YAML")
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let inputs = entries.map(|entry| entry.expect("an entry").path().join("input.yaml"));
    let mut inputs: Vec<_> = inputs.filter(|input| input.exists()).collect();
    inputs.sort();
    let manifests = |input: &Path| {
        let base = base.iter().flat_map(|file| read(&folder.join(file)));
        base.chain(read(input)).collect()
    };
    inputs
        .iter()
        .map(|input| (input.display().to_string(), manifests(input)))
        .collect()
}

/// Every leaf of everything that is rendered has an origin, in our cases and in the reference's,
/// which are kept outside the repository.
#[test]
fn nothing_comes_from_nowhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = cases(&folder.join("tests/goldens"), &["platform.yaml"]);
    all.extend(cases(
        &folder.join("../../../shared/goldens"),
        &["platform.yaml", "dataplane.yaml"],
    ));
    let mut count = 0;
    for (case, manifests) in all {
        let mut fleet = Fleet::read(manifests);
        fleet.settle();
        for rendered in fleet.render() {
            let explained = fleet.explain(&rendered).expect("a binding");
            assert_eq!(explained.objects(), rendered.compiled.objects);
            for (index, object) in explained.objects().iter().enumerate() {
                let leaves = choreo_compiler::leaves(&object.object);
                let found = explained.leaves(index, "");
                assert_eq!(found.len(), leaves.len(), "{case} {}", object.id);
                assert!(found.iter().all(|one| !one.steps.is_empty()));
                count += leaves.len();
            }
        }
    }
    assert!(count > 400, "{count}");
}

#[test]
fn unreadable_manifests_are_named() {
    let fleet = Fleet::read([json!({"kind": "Component", "metadata": {"name": "x"}, "spec": {}})]);
    let found: Vec<_> = fleet
        .diagnostics()
        .iter()
        .map(|one| (one.code, one.object.as_str()))
        .collect();
    assert_eq!(found, [(Code::Manifest, "Component/x")]);
}

fn release_name(parameters: Value, image: &str) -> String {
    let read = |kind: &str| {
        let manifests = manifests().into_iter();
        manifests
            .filter(|one| one["kind"] == kind)
            .collect::<Vec<_>>()
            .remove(0)
    };
    let type_: ComponentType =
        serde_json::from_value(read("ClusterComponentType")).expect("a type");
    let mut component = read("Component");
    component["spec"]["parameters"] = parameters;
    let component: Component = serde_json::from_value(component).expect("a component");
    let mut workload = read("Workload");
    workload["spec"]["container"]["image"] = json!(image);
    let workload: Workload = serde_json::from_value(workload).expect("a workload");
    let cut = release::component_release(&component, &type_, &[], &workload, &Programs::default());
    cut.expect("a release").0
}

#[test]
fn release_names_follow_content() {
    let name = release_name(json!({"a": 1, "b": {"c": 2, "d": 3}}), "i:1");
    assert_eq!(
        name,
        release_name(json!({"b": {"d": 3, "c": 2}, "a": 1}), "i:1")
    );
    assert_ne!(name, release_name(json!({"a": 1}), "i:1"));
    assert_ne!(
        name,
        release_name(json!({"a": 1, "b": {"c": 2, "d": 3}}), "i:2")
    );
    assert_eq!(
        release::hash_of(&name),
        name.strip_prefix("stock-").expect("the component")
    );
}

/// A type without a namespace cannot mean a trait that has one, so it need not say so.
#[test]
fn a_cluster_scoped_type_allows_cluster_scoped_traits() {
    let read = |manifest: Value| serde_json::from_value(manifest).expect("a type");
    let type_ = |metadata: Value| -> ComponentType {
        read(json!({
            "metadata": metadata,
            "spec": {
                "workloadType": "deployment", "resources": [], "allowedTraits": [{"name": "volume"}],
            },
        }))
    };
    let component: Component = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "acme"},
        "spec": {
            "owner": {"projectName": "shop"},
            "componentType": {"kind": "ClusterComponentType", "name": "deployment/service"},
            "traits": [{"kind": "ClusterTrait", "name": "volume", "instanceName": "data"}],
        },
    }))
    .expect("a component");
    let workload: Workload = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "acme"},
        "spec": {
            "owner": {"projectName": "shop", "componentName": "web"},
            "container": {"image": "web:1"},
        },
    }))
    .expect("a workload");
    let volume: release::AnyTrait = serde_json::from_value(json!({
        "kind": "ClusterTrait", "metadata": {"name": "volume"}, "spec": {},
    }))
    .expect("a trait");
    let cut = |type_| {
        release::component_release(
            &component,
            &type_,
            &[&volume],
            &workload,
            &Programs::default(),
        )
    };
    assert!(cut(type_(json!({"name": "service"}))).is_ok());
    let refused = cut(type_(json!({"name": "service", "namespace": "acme"})));
    assert!(matches!(
        refused,
        Err(release::Refusal::TraitNotAllowed { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The order in which objects are found changes nothing that is rendered.
    #[test]
    fn order_of_input_does_not_matter(shuffled in Just(manifests()).prop_shuffle()) {
        let sorted = |fleet: &Fleet| {
            let mut rendered: Vec<_> = fleet
                .render()
                .into_iter()
                .map(|one| (one.release, one.compiled))
                .collect();
            rendered.sort_by(|(left, _), (right, _)| left.cmp(right));
            rendered
        };
        prop_assert_eq!(sorted(&fleet(manifests())), sorted(&fleet(shuffled)));
    }
}
