//! The way from rendered fields back to what somebody wrote.

use choreo_compiler::explain::{Explained, Explanation, Role, Step, locate};
use choreo_compiler::fleet::Fleet;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn fleet() -> Fleet {
    of_files(&[
        "goldens/platform.yaml",
        "goldens/connections/input.yaml",
        "goldens/traits/input.yaml",
        "goldens/workflows/platform.yaml",
        "goldens/workflows/plain/input.yaml",
    ])
}

fn of_files(files: &[&str]) -> Fleet {
    let manifests = files
        .iter()
        .flat_map(|file| serde_saphyr::from_multiple::<Value>(&read(file)).expect("YAML"));
    let mut fleet = Fleet::read(manifests);
    fleet.bind_cells();
    fleet.settle();
    fleet
}

fn place(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(place(file)).expect("a file")
}

/// The sentence about a field of the first object of `kind`.
#[track_caller]
fn check(binding: &str, kind: &str, path: &str, expected: &str) {
    let fleet = fleet();
    let rendered = fleet.render();
    let rendered = rendered.iter().find(|one| one.name == binding);
    let explained = fleet
        .explain(rendered.expect("a binding"))
        .expect("a binding");
    let index = explained
        .objects()
        .iter()
        .position(|one| one.object["kind"] == kind);
    let index = index.expect("an object");
    let object = &explained.objects()[index];
    let pointer = locate(&object.object, path).expect("a field");
    let found: Vec<String> = explained
        .leaves(index, &pointer)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, [expected]);
}

#[test]
fn values_are_followed_to_who_gave_them() {
    check(
        "basket-test",
        "Deployment",
        ".spec.template.spec.containers[name=main].image",
        "spec.template.spec.containers[0].image is \"example.org/basket:1\": \
         set by Workload/basket in spec.container.image",
    );
}

#[test]
fn defaults_are_named() {
    check(
        "web-test",
        "Deployment",
        "spec.template.spec.containers[1].resources.limits.memory",
        "spec.template.spec.containers[1].resources.limits.memory is \"32Mi\": the default that \
         ClusterTrait/sidecar declares in \
         spec.environmentConfigs.openAPIV3Schema.properties.memory.default",
    );
}

#[test]
fn what_traits_do_is_told() {
    check(
        "web-test",
        "Deployment",
        "spec.template.spec.containers[1].securityContext.readOnlyRootFilesystem",
        "spec.template.spec.containers[1].securityContext.readOnlyRootFilesystem is true: \
         patched by ClusterTrait/sidecar at spec.patches[0].operations[1]",
    );
    check(
        "web-test",
        "Deployment",
        "spec.template.spec.containers[0].args[0]",
        "spec.template.spec.containers[0].args[0] is \"--behind=tap\": \
         set by Component/web in spec.traits[1].instanceName",
    );
}

#[test]
fn what_is_the_platforms_own_is_told() {
    check(
        "basket-test",
        "Deployment",
        "metadata.labels.openchoreo.dev/component",
        "metadata.labels[\"openchoreo.dev/component\"] is \"basket\": a label that the platform \
         puts on every object, and made by the platform of the name of Component/basket",
    );
    for (label, value, object) in [
        ("project", "shop", "Project/shop"),
        ("environment", "test", "Environment/test"),
    ] {
        let path = format!("metadata.labels.openchoreo.dev/{label}");
        let told = format!(
            "metadata.labels[\"openchoreo.dev/{label}\"] is \"{value}\": a label that the \
             platform puts on every object, and made by the platform of the name of {object}"
        );
        check("basket-test", "Deployment", &path, &told);
    }
    check(
        "basket-test",
        "NetworkPolicy",
        "spec.policyTypes[0]",
        "spec.policyTypes[0] is \"Ingress\": part of the network policy that the platform makes \
         for the component, and set by Workload/basket in spec.endpoints",
    );
    let policy = "part of the network policy that the platform makes for the component";
    let name = "made by the platform of the name of";
    for (path, told) in [
        (
            "metadata.name",
            format!(
                "metadata.name is \"openchoreo-basket\": {policy}, and {name} Component/basket"
            ),
        ),
        (
            "metadata.namespace",
            format!(
                "metadata.namespace is \"dp-acme-shop-test-23d2bc38\": {policy}, and {name} \
                 Project/shop, and {name} Environment/test"
            ),
        ),
        (
            "spec.podSelector.matchLabels.openchoreo.dev/project",
            format!(
                "spec.podSelector.matchLabels[\"openchoreo.dev/project\"] is \"shop\": {policy}, \
                 and {name} Project/shop"
            ),
        ),
    ] {
        check("basket-test", "NetworkPolicy", path, &told);
    }
}

/// What a template takes all labels with is the one thing that a label is of.
#[test]
fn labels_are_told_apart() {
    for (label, told) in [
        (
            "component",
            "\"basket\": made by the platform of the name of Component/basket",
        ),
        (
            "project",
            "\"shop\": made by the platform of the name of Project/shop",
        ),
        (
            "environment",
            "\"test\": made by the platform of the name of Environment/test",
        ),
        ("namespace", "\"acme\": the namespace of Component/basket"),
        (
            "project-uid",
            "\"uid:Project/shop\": the uid of Project/shop",
        ),
    ] {
        let path = format!("spec.selector.matchLabels.openchoreo.dev/{label}");
        let told = format!("spec.selector.matchLabels[\"openchoreo.dev/{label}\"] is {told}");
        check("basket-test", "Deployment", &path, &told);
    }
}

#[test]
fn cells_are_explained() {
    check(
        "shop-test",
        "Namespace",
        "metadata.name",
        "metadata.name is \"dp-acme-shop-test-23d2bc38\": made by the platform of the name of \
         Project/shop, and made by the platform of the name of Environment/test",
    );
}

#[test]
fn runs_of_workflows_are_explained() {
    check(
        "errand-1",
        "Job",
        "data.said",
        "data.said is \"hello\": set by WorkflowRun/errand-1 in spec.workflow.parameters.say",
    );
    check(
        "errand-1",
        "Job",
        "metadata.name",
        "metadata.name is \"errand-1\": made by the platform of the name of WorkflowRun/errand-1",
    );
}

#[test]
fn a_step_names_what_the_release_keeps_of_it() {
    let fleet = fleet();
    let rendered = fleet.render();
    let rendered = rendered.iter().find(|one| one.name == "web-test");
    let explained = fleet.explain(rendered.expect("a binding"));
    let explained = explained.expect("a binding");
    let frozen = |object: &str, field: &str| {
        let step = Step {
            role: Role::Given,
            object: object.to_owned(),
            field: field.to_owned(),
            expression: None,
        };
        explained.frozen(&step).map(|frozen| frozen.field)
    };
    let image = Some("spec.workload.container.image".to_owned());
    assert_eq!(frozen("Workload/web", "spec.container.image"), image);
    let template = Some("spec.componentType.spec.resources[0]".to_owned());
    assert_eq!(
        frozen("ClusterComponentType/api", "spec.resources[0]"),
        template
    );
    let patch = Some("spec.traits[0].spec.patches[0]".to_owned());
    assert_eq!(frozen("ClusterTrait/sidecar", "spec.patches[0]"), patch);
    let instance = Some("spec.componentProfile.traits[1].instanceName".to_owned());
    assert_eq!(
        frozen("Component/web", "spec.traits[1].instanceName"),
        instance
    );
    assert_eq!(frozen("ReleaseBinding/web-test", "spec.state"), None);
}

/// Every field of what `files` render that an expression made, and the way to it.
fn told(files: &[&str], bindings: &[&str]) -> String {
    let fleet = of_files(files);
    let mut told = Vec::new();
    for rendered in fleet.render() {
        if !bindings.contains(&rendered.name.as_str()) {
            continue;
        }
        let problems = rendered.compiled.diagnostics.iter();
        let problems: Vec<String> = problems.map(ToString::to_string).collect();
        assert_eq!(problems, [""; 0]);
        let explained = fleet.explain(&rendered).expect("a binding");
        for (index, one) in explained.objects().iter().enumerate() {
            let kind = one.object["kind"].as_str().expect("a kind");
            let made = explained.leaves(index, "").into_iter();
            let made = made.filter(|field| field.steps[0].expression.is_some());
            told.extend(made.map(|field| line(&explained, kind, &field)));
        }
    }
    told.concat()
}

/// A field with the steps of its way but for the first, which is the template.
fn line(explained: &Explained<'_>, kind: &str, field: &Explanation) -> String {
    let steps = field.steps.iter().skip(1).map(|step| {
        let expression = step
            .expression
            .as_deref()
            .map_or_else(String::new, |source| format!(" ${{{source}}}"));
        let frozen = explained
            .frozen(step)
            .map_or_else(String::new, |frozen| format!(" ({})", frozen.field));
        let (role, object, field) = (step.role, &step.object, &step.field);
        format!("\n    {role:?} {object} {field}{expression}{frozen}")
    });
    let (name, value) = (&field.field, &field.value);
    format!("{kind} {name} {value}{}\n", steps.collect::<String>())
}

/// `UPDATE_GOLDENS=1` writes down what is told now, to be read before it is committed.
#[track_caller]
fn check_all(files: &[&str], bindings: &[&str], expected: &str) {
    let told = told(files, bindings);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        return std::fs::write(place(expected), told).expect("written");
    }
    let expected = read(expected);
    let mut lines = told.lines().zip(expected.lines());
    let differ = lines.find(|(told, expected)| told != expected);
    assert_eq!(differ, None, "{told}");
    assert_eq!(told.lines().count(), expected.lines().count(), "{told}");
}

#[test]
fn what_helpers_return_is_followed_to_the_entry() {
    check_all(
        &["explain/helpers.yaml"],
        &["web-test"],
        "explain/helpers.txt",
    );
}

#[test]
fn everything_that_templates_see_is_followed() {
    let files = [
        "explain/surroundings.yaml",
        "goldens/workflows/platform.yaml",
        "goldens/workflows/build/input.yaml",
    ];
    let bindings = ["web-test", "shop-test", "db-test", "web-build-1"];
    check_all(&files, &bindings, "explain/surroundings.txt");
}
