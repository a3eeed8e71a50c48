//! Plays folders of input and expected output of managed resources and of workflows.
//!
//! Inputs are manifests, expectations are written from what the pipelines promise: names, outputs
//! and reasons. Of diagnostics only the place is compared, of what is unresolved only the name.

use choreo_compiler::fleet::Fleet;
use choreo_compiler::{
    Compiled, CompiledResource, Programs, Provenance, ResourceSnapshot, WorkflowSnapshot,
    compile_resource, compile_workflow, explain_resource, explain_workflow, release,
};
use choreo_model::rendered::ResourceStatus;
use choreo_model::{
    DataPlane, Environment, Object, Project, RenderedRelease, Resource, ResourceReleaseBinding,
    ResourceType, SecretReference, Spec, Workflow, WorkflowPlane, WorkflowRun, names,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn folder(topic: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    folder.join(topic)
}

fn documents(path: &Path) -> Vec<Value> {
    let name = path.to_string_lossy();
    let text = std::fs::read_to_string(path).expect(&name);
    serde_saphyr::from_multiple(&text).expect(&name)
}

fn manifests(topic: &str, case: &str) -> Vec<Value> {
    let folder = folder(topic);
    let mut all = documents(&folder.join("platform.yaml"));
    all.extend(documents(&folder.join(case).join("input.yaml")));
    all
}

/// The objects of a kind, or of its cluster-scoped twin.
fn all<T: Spec>(manifests: &[Value]) -> Vec<Object<T>> {
    let wanted = |manifest: &&Value| {
        manifest["kind"] == T::KIND || T::CLUSTER_KIND.is_some_and(|kind| manifest["kind"] == kind)
    };
    let objects = manifests.iter().filter(wanted).cloned();
    objects
        .map(|manifest| serde_json::from_value(manifest).expect("an object"))
        .collect()
}

fn one<T: Spec>(manifests: &[Value], name: &str) -> Object<T> {
    let mut found = all::<T>(manifests).into_iter();
    found.find(|one| one.name() == name).expect(name)
}

fn places(compiled: &Compiled) -> Vec<String> {
    let diagnostics = compiled.diagnostics.iter();
    diagnostics
        .map(|one| format!("{} {}", one.object, one.field).trim().to_owned())
        .collect()
}

fn objects(compiled: &Compiled) -> Vec<Value> {
    let objects = compiled.objects.iter();
    objects
        .map(|one| json!({"id": one.id, "object": one.object}))
        .collect()
}

/// Compiles every binding of a managed resource among `manifests`, both plain and explained.
fn resources(manifests: &[Value]) -> Vec<(String, CompiledResource)> {
    let mut bindings: Vec<ResourceReleaseBinding> = all(manifests);
    bindings.sort_by(|left, right| left.name().cmp(right.name()));
    let compile = |binding: &ResourceReleaseBinding| {
        let owner = &binding.spec.owner;
        let resource: Resource = one(manifests, &owner.resource_name);
        let type_: ResourceType = one(manifests, &resource.spec.type_.name);
        let (_, release) = release::resource_release(&resource, &type_).expect("a release");
        let project: Project = one(manifests, &owner.project_name);
        let environment: Environment = one(manifests, &binding.spec.environment);
        let data_plane: DataPlane = one(manifests, "iron");
        let rendered = names::resource_name(resource.name(), environment.name());
        let observed: Vec<ResourceStatus> = all(manifests)
            .into_iter()
            .filter(|one: &RenderedRelease| one.name() == rendered)
            .flat_map(|one| one.status.resources)
            .collect();
        let snapshot = ResourceSnapshot {
            release: &release,
            binding,
            resource: &resource,
            project: &project,
            environment: &environment,
            data_plane: &data_plane,
            observed: &observed,
        };
        let plain = compile_resource(&snapshot, &Programs::default());
        let mut explained = explain_resource(&snapshot, &Programs::default());
        let is_explained = explained.compiled.provenance != Provenance::default();
        assert_eq!(is_explained, !plain.compiled.objects.is_empty());
        explained.compiled.provenance = Provenance::default();
        assert_eq!(plain, explained);
        plain
    };
    let compiled = bindings.iter().map(compile).collect::<Vec<_>>();
    let names = bindings.iter().map(|one| one.name().to_owned());
    names.zip(compiled).collect()
}

fn describe_resource((name, resource): (String, CompiledResource), expected: &Value) -> Value {
    let names = resource.unresolved.iter().map(|one| one.name.as_str());
    let readiness = resource.readiness.iter().enumerate();
    let readiness = readiness.map(|(index, one)| {
        // Words of the template engine are not for these tests to hold.
        let any = expected["readiness"][index]["message"] == "<any>" && one.message.is_some();
        let message = if any {
            Some("<any>")
        } else {
            one.message.as_deref()
        };
        json!({"id": one.id, "health": one.health, "message": message})
    });
    json!({
        "name": name,
        "namespace": resource.compiled.namespace,
        "retain": resource.retain_policy,
        "ready": resource.is_ready(),
        "diagnostics": places(&resource.compiled),
        "objects": objects(&resource.compiled),
        "readiness": readiness.collect::<Vec<_>>(),
        "outputs": resource.outputs,
        "unresolved": names.collect::<Vec<_>>(),
    })
}

#[track_caller]
fn check_resources(case: &str) {
    let expected = documents(&folder("resources").join(case).join("expected.yaml")).remove(0);
    let found = resources(&manifests("resources", case)).into_iter();
    let found: Vec<Value> = found
        .enumerate()
        .map(|(index, one)| describe_resource(one, &expected[index]))
        .collect();
    assert_eq!(json!(found), expected, "{case}");
}

#[test]
fn a_database_offers_what_its_server_reports() {
    check_resources("database");
}

#[test]
fn what_is_not_reported_yet_is_waited_for() {
    check_resources("waiting");
}

#[test]
fn nothing_of_a_resource_that_fails_is_made() {
    check_resources("faults");
}

/// What the platform brings along is whole: all outputs are known at once, and the secrets they name
/// are made once, of a password that nobody here ever sees.
#[test]
fn default_types_offer_secrets_that_stay() {
    let defaults = choreo_model::defaults().iter();
    let types: Vec<Value> = defaults
        .flat_map(|one| serde_saphyr::from_multiple::<Value>(one.yaml).expect(one.name))
        .filter(|one| one["kind"] == "ClusterResourceType")
        .collect();
    for type_ in &types {
        let mut all = documents(&folder("resources").join("platform.yaml"));
        all.retain(|one| one["kind"] != type_["kind"]);
        all.extend(documents(&folder("resources").join("default.yaml")));
        for one in &mut all {
            if one["kind"] == "Resource" {
                one["spec"]["type"]["name"] = type_["metadata"]["name"].clone();
            }
        }
        all.push(type_.clone());
        let (name, found) = resources(&all).remove(0);
        assert_eq!(found.compiled.diagnostics, [], "{name}");
        assert_eq!(found.unresolved, [], "{name}");
        let made = |kind: &str| {
            let mut objects = found.compiled.objects.iter().map(|one| &one.object);
            objects.find(|one| one["kind"] == kind).expect(kind)
        };
        let secret = made("ExternalSecret");
        assert_eq!(secret["spec"]["refreshInterval"], "0");
        let data = secret["spec"]["target"]["template"]["data"].as_object();
        for output in &found.outputs {
            if let Some(reference) = &output.secret_key_ref {
                assert_eq!(secret["spec"]["target"]["name"], reference.name.as_str());
                assert!(data.is_some_and(|data| data.contains_key(&reference.key)));
            }
        }
        let pods = &made("Deployment")["spec"]["template"]["metadata"]["labels"];
        for (label, value) in made("Service")["spec"]["selector"]
            .as_object()
            .expect("labels")
            .iter()
        {
            assert_eq!(pods[label.as_ref()], *value, "{name} {label}");
        }
    }
    assert_eq!(types.len(), 3);
}

fn workflow(manifests: &[Value]) -> (String, choreo_compiler::CompiledWorkflow) {
    let run: WorkflowRun = all(manifests).remove(0);
    let workflow: Workflow = one(manifests, &run.spec.workflow.reference.name);
    let plane: WorkflowPlane = one(manifests, &workflow.spec.workflow_plane_ref.name);
    let references: Vec<SecretReference> = all(manifests);
    let snapshot = WorkflowSnapshot {
        workflow: &workflow,
        run: &run,
        plane: &plane,
        secret_references: references.iter().collect(),
    };
    let plain = compile_workflow(&snapshot, &Programs::default());
    let mut explained = explain_workflow(&snapshot, &Programs::default());
    explained.compiled.provenance = Provenance::default();
    assert_eq!(plain, explained);
    (run.name().to_owned(), plain)
}

#[track_caller]
fn check_workflow(case: &str) {
    let expected = documents(&folder("workflows").join(case).join("expected.yaml")).remove(0);
    let (name, found) = workflow(&manifests("workflows", case));
    let described = json!([{
        "name": name,
        "namespace": found.compiled.namespace,
        "diagnostics": places(&found.compiled),
        "objects": objects(&found.compiled),
    }]);
    assert_eq!(described, expected, "{case}");
    assert_eq!(found.run().is_some(), !found.compiled.has_errors());
}

#[test]
fn a_build_is_rendered_with_its_secrets() {
    check_workflow("build");
}

#[test]
fn objects_of_a_run_stay_in_the_namespace_of_runs() {
    check_workflow("plain");
}

#[test]
fn every_fault_of_a_run_is_told_and_nothing_is_made() {
    check_workflow("faults");
}

#[test]
fn a_run_finds_the_account_it_works_as() {
    let (_, compiled) = workflow(&manifests("workflows", "plain"));
    let found: Vec<String> = compiled
        .prerequisites
        .iter()
        .map(|one| {
            let text = |pointer: &str| one.pointer(pointer).and_then(Value::as_str);
            let parts = ["/kind", "/metadata/namespace", "/metadata/name"].map(text);
            parts.map(Option::unwrap_or_default).join(" ")
        })
        .collect();
    assert_eq!(
        found,
        [
            "Namespace  workflows-acme",
            "ServiceAccount workflows-acme workflow-sa",
            "Role workflows-acme workflow-sa-role",
            "RoleBinding workflows-acme workflow-sa-role-binding",
        ]
    );
    let role = &compiled.prerequisites[2];
    assert_eq!(role["rules"][0]["verbs"], json!(["create", "patch"]));
    assert_eq!(
        compiled.prerequisites[3]["roleRef"]["name"],
        role["metadata"]["name"]
    );
}

/// Who may be called is for the environment to say, else for the type of the project in its cell.
#[test]
fn the_way_out_is_as_open_as_it_is_said_to_be() {
    for (environment, project, is_open) in [
        (None, None, false),
        (None, Some("open"), true),
        (None, Some("closed"), false),
        (Some("open"), None, true),
        (Some("closed"), Some("open"), false),
    ] {
        let mut all = documents(&folder("platform.yaml"));
        all.extend(documents(&folder("managed/input.yaml")));
        all.push(json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": "ProjectReleaseBinding",
            "metadata": {"name": "any-name", "namespace": "acme"},
            "spec": {"owner": {"projectName": "mall"}, "environment": "walled"},
        }));
        for manifest in &mut all {
            let said = match manifest["kind"].as_str() {
                Some("Environment") => environment,
                Some("ClusterProjectType") => project,
                _ => continue,
            };
            let spec = manifest["spec"].as_object_mut().expect("a specification");
            spec.remove("egress");
            spec.extend(said.map(|said| ("egress".to_owned(), json!(said))));
        }
        let mut fleet = Fleet::read(all);
        fleet.settle();
        let rendered = fleet.render().into_iter();
        let mut objects = rendered.flat_map(|one| one.compiled.objects);
        let policy = objects.find(|one| one.id == "networkpolicy-egress-openchoreo-till");
        let policy = policy.expect("a policy").object.to_string();
        let leads_out = policy.contains("0.0.0.0/0");
        assert_eq!(leads_out, is_open, "{environment:?} {project:?}");
    }
}

#[test]
fn references_that_lead_nowhere_are_told() {
    let mut all = documents(&folder("platform.yaml"));
    all.extend(documents(&folder("managed/input.yaml")));
    for (kind, name, spec) in [
        (
            "Resource",
            "lost",
            json!({"owner": {"projectName": "nowhere"}, "type": {"name": "none"}}),
        ),
        (
            "ResourceReleaseBinding",
            "lost",
            json!({
                "owner": {"projectName": "mall", "resourceName": "gone"}, "environment": "moon",
            }),
        ),
    ] {
        all.push(json!({
            "apiVersion": "openchoreo.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "acme"},
            "spec": spec,
        }));
    }
    let missing = Fleet::read(all).missing().into_iter();
    let told: Vec<String> = missing
        .map(|(_, one)| one.to_string())
        .filter(|one| one.contains("esource"))
        .collect();
    assert_eq!(
        told,
        [
            "Workload/till spec.dependencies.resources[1].ref: resource mall/queue not found",
            "Resource/lost spec.owner.projectName: Project \"nowhere\" not found",
            "Resource/lost spec.type.name: ResourceType \"none\" not found",
            "ResourceReleaseBinding/lost spec.owner.resourceName: Resource \"gone\" not found",
            "ResourceReleaseBinding/lost spec.environment: Environment \"moon\" not found",
        ]
    );
}

#[test]
fn an_endpoint_that_is_not_offered_to_the_caller_is_told_before_it_is_called() {
    let told = |visibility: Value, project: &str| -> Vec<String> {
        let workload = |name: &str, project: &str, more: Value| {
            let mut spec = json!({
                "owner": {"projectName": project, "componentName": name},
                "container": {"image": "i"},
            });
            spec.as_object_mut()
                .expect("a specification")
                .extend(more.as_object().cloned().expect("more of it"));
            json!({
                "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Workload",
                "metadata": {"name": name, "namespace": "acme"}, "spec": spec,
            })
        };
        let endpoint = json!({"type": "HTTP", "port": 80, "visibility": visibility});
        let stock = workload("stock", "depot", json!({"endpoints": {"http": endpoint}}));
        let call = json!({
            "project": "depot", "component": "stock", "name": "http", "visibility": "namespace",
            "envBindings": {"address": "STOCK"},
        });
        let till = workload(
            "till",
            project,
            json!({"dependencies": {"endpoints": [call]}}),
        );
        let missing = Fleet::read([stock, till]).missing().into_iter();
        missing
            .filter(|(_, one)| one.field.starts_with("spec.dependencies"))
            .map(|(_, one)| format!("{:?} {one}", one.severity))
            .collect()
    };
    assert_eq!(told(json!(["namespace"]), "mall"), [""; 0]);
    assert_eq!(told(json!([]), "depot"), [""; 0]);
    for shut in [json!([]), json!(["project", "internal", "external"])] {
        assert_eq!(
            told(shut, "mall"),
            [
                "Error Workload/till spec.dependencies.endpoints[0]: endpoint \"http\" of component \
                 depot/stock is not offered to other projects, whose calls its cell refuses (give the \
                 endpoint the visibility \"namespace\")"
            ]
        );
    }
}

fn release_name(change: impl FnOnce(&mut Resource, &mut ResourceType)) -> String {
    let manifests = manifests("resources", "database");
    let (mut resource, mut type_) = (one(&manifests, "db"), one(&manifests, "postgres"));
    change(&mut resource, &mut type_);
    let (name, spec) = release::resource_release(&resource, &type_).expect("a release");
    assert_eq!(spec.owner.resource_name, "db");
    name
}

#[test]
fn a_release_has_another_name_if_and_only_if_it_has_another_content() {
    let name = release_name(|_, _| ());
    assert!(name.starts_with("db-"), "{name}");
    let same = release_name(|resource, type_| {
        resource.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        type_.metadata.generation = Some(7);
        resource.spec.parameters = Some(json!({"database": "orders"}));
    });
    assert_eq!(name, same);
    let parameters = release_name(|resource, _| {
        resource.spec.parameters = Some(json!({"database": "bills"}));
    });
    let output = release_name(|_, type_| {
        type_.spec.outputs.pop();
    });
    let kind = release_name(|resource, _| {
        resource.spec.type_.kind = choreo_model::reference::ResourceTypeKind::ResourceType;
    });
    let distinct: std::collections::BTreeSet<_> = [&name, &parameters, &output, &kind].into();
    assert_eq!(distinct.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The order in which objects are found changes nothing that is rendered.
    #[test]
    fn order_of_input_does_not_matter(
        shuffled in Just(manifests("resources", "database")).prop_shuffle(),
        mut statuses in Just(vec![0, 1, 2]).prop_shuffle(),
    ) {
        let mut shuffled = shuffled;
        for manifest in &mut shuffled {
            if let Some(all) = manifest.pointer_mut("/status/resources") {
                let reordered: Vec<Value> = statuses.drain(..).map(|index| all[index].clone()).collect();
                *all = json!(reordered);
            }
        }
        prop_assert_eq!(resources(&manifests("resources", "database")), resources(&shuffled));
        let build = manifests("workflows", "build");
        let mut reversed = build.clone();
        reversed.reverse();
        prop_assert_eq!(workflow(&build), workflow(&reversed));
    }

    /// Values that have their defaults already render the same.
    #[test]
    fn defaulting_twice_is_defaulting_once(admin in any::<bool>(), database in "[a-z]{1,8}") {
        let render = |parameters: Value, configs: Value| {
            let mut all = manifests("resources", "waiting");
            for manifest in &mut all {
                if manifest["kind"] == "Resource" {
                    manifest["spec"]["parameters"] = parameters.clone();
                } else if manifest["kind"] == "ResourceReleaseBinding" {
                    manifest["spec"]["resourceTypeEnvironmentConfigs"] = configs.clone();
                }
            }
            resources(&all)
        };
        let bare = render(json!({"database": database}), json!({"admin": admin}));
        let full = json!({"admin": admin, "memory": "256Mi"});
        prop_assert_eq!(bare, render(json!({"database": database}), full));
    }
}

/// A resource is bound in every environment; only the first follows its latest release.
#[test]
fn resources_are_bound_as_their_controller_does() {
    let manifests = |size: &str| -> Vec<Value> {
        let yaml = format!(
            "
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceType
metadata: {{name: database, namespace: default}}
spec: {{resources: [{{id: one, template: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: one}}}}}}]}}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: {{name: db, namespace: default}}
spec: {{owner: {{projectName: shop}}, type: {{name: database}}, parameters: {{size: {size}}}}}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: {{name: shop, namespace: default}}
spec: {{deploymentPipelineRef: {{name: default}}, type: {{kind: ClusterProjectType, name: default}}}}
"
        );
        let defaults = choreo_model::defaults().iter().map(|one| one.yaml);
        let texts = defaults.chain([yaml.as_str()]);
        texts
            .flat_map(|text| serde_saphyr::from_multiple::<Value>(text).expect("YAML"))
            .collect()
    };
    let bound = |fleet: &Fleet| -> Vec<(String, String)> {
        let bindings = fleet.resource_bindings();
        let bound = bindings.map(|one| (one.name().to_owned(), one.spec.resource_release.clone()));
        bound.collect()
    };
    let mut small = Fleet::read(manifests("small"));
    small.bind_cells();
    small.settle();
    let before = bound(&small);
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["db-development", "db-production", "db-staging"]);
    let stored = small.resource_bindings();
    let stored = stored.map(|binding| serde_json::to_value(binding).expect("a value"));
    let mut large = Fleet::read(manifests("large").into_iter().chain(stored));
    large.bind_cells();
    large.settle();
    let after = bound(&large);
    assert_ne!(after[0].1, before[0].1, "development follows");
    assert_eq!(after[1..], before[1..], "the others do not");
}
