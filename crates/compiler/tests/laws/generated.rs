//! Laws of what is rendered, for platforms nobody wrote.

use crate::platform::{Platform, parameters, platform};
use choreo_compiler::fleet::{Fleet, RenderedBinding};
use choreo_compiler::plan::plan;
use choreo_compiler::pointer::{Change, Path};
use choreo_compiler::schema::Schema;
use choreo_compiler::{Rendered, Tree, leaves, release};
use choreo_model::{Project, Resource};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What the controllers make of `manifests`, when everything in the first environment is promoted.
fn settled(manifests: Vec<Value>) -> Fleet {
    let is_later = |one: &Value| one["spec"]["environment"] == "live";
    let (mut later, first): (Vec<_>, Vec<_>) = manifests.into_iter().partition(is_later);
    let mut fleet = Fleet::read(first);
    fleet.bind_cells();
    fleet.settle();
    for binding in &mut later {
        let component = &binding["spec"]["owner"]["componentName"];
        let mut bound = fleet.bindings();
        let bound = bound.find(|one| *component == one.spec.owner.component_name);
        binding["spec"]["releaseName"] = json!(bound.expect("a binding").spec.release_name);
    }
    fleet.apply(later);
    fleet.settle();
    assert_eq!(fleet.diagnostics(), []);
    fleet
}

/// What is rendered of `manifests`, all of which can be.
fn rendered(manifests: Vec<Value>) -> Vec<RenderedBinding> {
    let rendered = settled(manifests).render();
    for one in &rendered {
        assert_eq!(one.compiled.diagnostics, [], "{}", one.name);
    }
    rendered
}

/// The objects of every binding, whatever the order in which they were made.
fn objects(manifests: Vec<Value>) -> Vec<(String, Vec<Rendered>)> {
    let sorted = |mut one: RenderedBinding| {
        one.compiled
            .objects
            .sort_by(|left, right| left.id.cmp(&right.id));
        (one.name, one.compiled.objects)
    };
    rendered(manifests).into_iter().map(sorted).collect()
}

fn components(manifests: &mut [Value]) -> impl Iterator<Item = &mut Value> {
    manifests
        .iter_mut()
        .filter(|one| one["kind"] == "Component")
}

/// JSON with the fields of every object in the opposite order.
fn backwards(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sign = '{';
            for (name, field) in fields.iter().rev() {
                let _ = write!(text, "{sign}{}:", json!(name));
                backwards(field, text);
                sign = ',';
            }
            text.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                backwards(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_platform_gives_the_same_bytes(platform in platform()) {
        let once = rendered(platform.manifests());
        prop_assert!(once.iter().filter(|one| one.component.is_some()).count() == platform.bindings());
        let bytes = |all: &[RenderedBinding]| -> Vec<String> {
            let objects = all.iter().flat_map(|one| &one.compiled.objects);
            objects.map(|one| format!("{} {}", one.id, one.object)).collect()
        };
        prop_assert_eq!(bytes(&once), bytes(&rendered(platform.manifests())));
    }

    #[test]
    fn the_order_of_documents_and_of_fields_does_not_matter(
        (platform, shuffled) in platform().prop_flat_map(|platform| {
            let manifests = platform.manifests();
            (Just(platform), Just(manifests).prop_shuffle())
        }),
    ) {
        let once = rendered(platform.manifests());
        let backwards = shuffled.iter().map(|one| {
            let mut text = String::new();
            backwards(one, &mut text);
            serde_json::from_str(&text).expect("JSON")
        });
        prop_assert_eq!(&once, &rendered(backwards.collect()));
        prop_assert_eq!(once, rendered(shuffled));
    }

    #[test]
    fn the_order_of_unrelated_traits_does_not_matter(platform in platform()) {
        let mut reversed = platform.manifests();
        for component in components(&mut reversed) {
            component["spec"]["traits"].as_array_mut().expect("traits").reverse();
        }
        prop_assert_eq!(objects(platform.manifests()), objects(reversed));
    }

    /// Who writes down what would be there anyway gets the same.
    #[test]
    fn values_with_their_defaults_render_the_same(platform in platform()) {
        let schema = Schema::read(&parameters()).expect("a schema");
        let mut filled = platform.manifests();
        for component in components(&mut filled) {
            let values = &mut component["spec"]["parameters"];
            schema.fill(values);
            let once = values.clone();
            schema.fill(values);
            prop_assert_eq!(&*values, &once);
            prop_assert_eq!(schema.validate(values), []);
        }
        prop_assert_eq!(objects(platform.manifests()), objects(filled));
    }

    #[test]
    fn a_trait_that_takes_back_leaves_what_was_there(platform in platform()) {
        let with = |traits: &[&str]| {
            let mut manifests = platform.manifests();
            for component in components(&mut manifests) {
                let traits = traits.iter().map(|name| {
                    json!({"kind": "ClusterTrait", "name": name, "instanceName": name})
                });
                component["spec"]["traits"] = traits.collect();
            }
            objects(manifests)
        };
        prop_assert_ne!(with(&[]), with(&["note"]));
        prop_assert_eq!(with(&[]), with(&["note", "undo"]));
    }

    #[test]
    fn every_leaf_has_an_origin(platform in platform()) {
        let fleet = settled(platform.manifests());
        let mut count = 0;
        for rendered in fleet.render() {
            let explained = fleet.explain(&rendered).expect("a binding");
            prop_assert_eq!(explained.objects(), &rendered.compiled.objects);
            for (index, object) in explained.objects().iter().enumerate() {
                let found = explained.leaves(index, "");
                prop_assert_eq!(found.len(), leaves(&object.object).len());
                let lost = found.iter().find(|one| one.steps.is_empty());
                prop_assert_eq!(lost, None);
                count += found.len();
            }
        }
        prop_assert!(count > 10);
    }

    #[test]
    fn a_plan_of_no_change_is_empty(platform in platform()) {
        let fleet = settled(platform.manifests());
        let mut again = fleet.clone();
        again.apply(platform.manifests());
        again.bind_cells();
        again.settle();
        let plan = plan(&fleet, &again);
        prop_assert_eq!(plan.bindings, fleet.render().len());
        prop_assert!(plan.is_empty(), "{plan:?}");
        prop_assert_eq!(plan.changed, 0);
    }

    /// Every binding that changes is in one group and no other.
    #[test]
    fn the_groups_of_a_plan_hold_every_changed_binding_once(
        (before, after) in (platform(), platform()),
    ) {
        let (old, new) = (settled(before.manifests()), settled(after.manifests()));
        let plan = plan(&old, &new);
        let sizes: usize = plan.groups.iter().map(|group| group.size).sum();
        prop_assert_eq!(sizes, plan.changed);
        let names = |fleet: &Fleet| fleet.render().into_iter().map(|one| (one.name, one.compiled.objects));
        let (old, new): (Vec<_>, Vec<_>) = (names(&old).collect(), names(&new).collect());
        let of = |all: &[(String, _)], name: &String| all.iter().any(|(known, _)| known == name);
        let gone = old.iter().filter(|(name, _)| !of(&new, name)).count();
        let changed = new.iter().filter(|one| !old.contains(one)).count();
        prop_assert_eq!(plan.changed, gone + changed);
        prop_assert_eq!(plan.bindings, new.len() + gone);
    }

    #[test]
    fn all_that_is_new_is_planned(platform in platform()) {
        let plan = plan(&Fleet::default(), &settled(platform.manifests()));
        let sizes: usize = plan.groups.iter().map(|group| group.size).sum();
        prop_assert_eq!(sizes, plan.bindings);
    }
}

/// Any JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        "[a-c~/]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/.]{1,3}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Every place in `value` that holds fields or items, as a path.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(path.to_owned());
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(field, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(items) => {
            found.push(path.to_owned());
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[track_caller]
fn change(value: &mut Tree, path: &str, change: Change<'_>) {
    let path = Path::parse(path).expect("a path");
    path.apply(value, change).expect("fits");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_patch_and_its_inverse_change_nothing(
        object in value().prop_map(|value| json!({"at": value})),
        place in any::<Index>(), item in any::<Index>(), new in value(),
    ) {
        let mut all = Vec::new();
        places(&object, "", &mut all);
        let place = place.get(&all);
        let (object, new) = (Tree::from(object), Tree::from(new));
        let mut patched = object.clone();
        match object.pointer(place).expect("a place") {
            Tree::Array(items) => {
                let at = format!("{place}/{}", item.index(items.len() + 1));
                change(&mut patched, &at, Change::Add(&new));
                prop_assert_eq!(patched.pointer(&at), Some(&new));
                change(&mut patched, &at, Change::Remove);
                prop_assert_eq!(&patched, &object);
                change(&mut patched, &format!("{place}/-"), Change::Add(&new));
                change(&mut patched, &format!("{place}[{}]", items.len()), Change::Remove);
            }
            Tree::Object(fields) => {
                change(&mut patched, &format!("{place}/new"), Change::Add(&new));
                change(&mut patched, &format!("{place}/new"), Change::Remove);
                prop_assert_eq!(&patched, &object);
                if let Some((name, old)) = fields.iter().next() {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    change(&mut patched, &format!("{place}/{name}"), Change::Replace(&new));
                    change(&mut patched, &format!("{place}/{name}"), Change::Replace(old));
                    prop_assert_eq!(&patched, &object);
                    change(&mut patched, &format!("{place}/{name}"), Change::Remove);
                    change(&mut patched, &format!("{place}/{name}"), Change::Add(old));
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => {}
        }
        prop_assert_eq!(patched, object);
    }
}

/// What releases are called is kept in bindings, pipelines and registries: a name that changes with
/// a version of the platform would deploy everything anew.
#[test]
fn names_of_releases_never_change() {
    let fleet = settled(Platform::fixed().manifests());
    let components = fleet.bindings().map(|one| one.spec.release_name.clone());
    let mut found: Vec<String> = components.collect();
    let metadata = json!({"name": "shop", "namespace": "acme"});
    let template = json!({"id": "a", "template": {"kind": "X", "n": [1.5, -1, null, "é"]}});
    for parameters in [Value::Null, json!({"b": 1, "a": {}})] {
        let project: Project = serde_json::from_value(json!({
            "metadata": metadata,
            "spec": {"deploymentPipelineRef": {"name": "x"}, "type": {"name": "cell"}, "parameters": parameters},
        }))
        .expect("a project");
        let type_ = json!({"metadata": {"name": "cell"}, "spec": {"resources": [template]}});
        let cut =
            release::project_release(&project, &serde_json::from_value(type_).expect("a type"));
        found.push(cut.expect("a release").0);
        let resource: Resource = serde_json::from_value(json!({
            "metadata": metadata,
            "spec": {"owner": {"projectName": "shop"}, "type": {"name": "db"}, "parameters": parameters},
        }))
        .expect("a resource");
        let type_ =
            json!({"metadata": {"name": "db"}, "spec": {"resources": [template], "outputs": []}});
        let cut =
            release::resource_release(&resource, &serde_json::from_value(type_).expect("a type"));
        found.push(cut.expect("a release").0);
    }
    let expected = [
        "part-0-557dcc7dbd",
        "part-0-557dcc7dbd",
        "shop-5c6bdf8dd5",
        "shop-57d654fdf4",
        "shop-67bf99bfd8",
        "shop-67548c8795",
    ];
    assert_eq!(found, expected);
}
