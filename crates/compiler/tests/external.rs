//! What external connections change, with the types that every platform has: what is told before, and where
//! everything comes from.

use choreo_compiler::fleet::Fleet;
use choreo_compiler::plan::plan;
use serde_json::{Value, json};

const PLATFORM: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: DeploymentPipeline
metadata: {name: usual, namespace: default}
spec:
  promotionPaths:
  - {sourceEnvironmentRef: {name: development}, targetEnvironmentRefs: []}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Project
metadata: {name: shop, namespace: default}
spec:
  deploymentPipelineRef: {name: usual}
  type: {kind: ClusterProjectType, name: default}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: web, namespace: default}
spec:
  owner: {projectName: shop}
  autoDeploy: true
  componentType: {kind: ClusterComponentType, name: deployment/worker}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {name: web, namespace: default}
spec:
  owner: {projectName: shop, componentName: web}
  container: {image: 'web:1'}
  dependencies:
    external:
    - name: rates
      host: rates.example
      port: 443
      protocol: HTTPS
      tls: {mode: Originate}
      timeouts: {request: 10s}
      retries: {attempts: 3}
      envBindings: {url: RATES}
";

fn given(spec: &Value) -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ExternalConnection",
        "metadata": {"name": "given", "namespace": "default"}, "spec": spec,
    })
}

fn rates(host: &str) -> Value {
    given(&json!({
        "projects": ["shop"],
        "connection": {"name": "given", "host": host, "port": 443, "protocol": "HTTPS"},
    }))
}

fn fleet(egress: &str, more: &[Value]) -> Fleet {
    let mut manifests: Vec<Value> = choreo_model::defaults()
        .iter()
        .map(|one| one.yaml)
        .chain([PLATFORM])
        .flat_map(|yaml| serde_saphyr::from_multiple::<Value>(yaml).expect("YAML"))
        .collect();
    for manifest in &mut manifests {
        if manifest["kind"] == "Environment" && manifest["metadata"]["name"] == "development" {
            manifest["spec"]["egress"] = json!(egress);
        }
    }
    manifests.extend(more.iter().cloned());
    let mut fleet = Fleet::read(manifests);
    fleet.bind_cells();
    fleet.settle();
    fleet
}

fn problems(fleet: &Fleet) -> Vec<String> {
    let problems = fleet.problems().into_iter();
    problems.map(|(_, one)| one.to_string()).collect()
}

#[test]
fn what_is_not_approved_is_told_of_files() {
    let says = "environment \"development\" allows only what an ExternalConnection of the platform team covers, and \
                none for project \"shop\" covers rates.example:443 with protocol HTTPS";
    assert_eq!(
        problems(&fleet("approved", &[])),
        [format!(
            "Workload/web spec.dependencies.external[0]: {says}"
        )]
    );
    assert_eq!(
        problems(&fleet("approved", &[rates("rates.example")])),
        [""; 0]
    );
    assert_eq!(problems(&fleet("closed", &[])), [""; 0]);
}

/// A binding that calls another host, and one more.
fn overridden() -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "ReleaseBinding",
        "metadata": {"name": "web-development", "namespace": "default"},
        "spec": {
            "owner": {"projectName": "shop", "componentName": "web"}, "environment": "development",
            "workloadOverrides": {"dependencies": {"external": [
                {"name": "traces", "host": "traces.example", "port": 80, "protocol": "HTTP"},
                {"name": "rates", "host": "sandbox.example", "port": 443, "protocol": "HTTPS"},
            ]}},
        },
    })
}

#[test]
fn what_a_binding_declares_is_to_be_approved_instead() {
    let told = problems(&fleet("approved", &[overridden(), rates("rates.example")]));
    let places: Vec<&str> = told
        .iter()
        .filter_map(|one| one.split_once(": ").map(|(place, _)| place))
        .collect();
    let field = "ReleaseBinding/web-development spec.workloadOverrides.dependencies.external";
    assert_eq!(places, [format!("{field}[1]"), format!("{field}[0]")]);
    assert!(told[0].contains("sandbox.example:443"), "{told:?}");
}

#[test]
fn fields_lead_to_the_binding_that_overrides_them() {
    let fleet = fleet("closed", &[overridden()]);
    let bindings = fleet.render();
    let web = bindings.iter().find(|one| one.name == "web-development");
    let explained = fleet.explain(web.expect("a binding")).expect("a binding");
    let objects = explained.objects().iter().enumerate();
    let routes = objects.filter(|(_, one)| one.object["kind"] == "TLSRoute");
    let ends: Vec<String> = routes
        .flat_map(|(index, _)| explained.leaves(index, "/spec/hostnames"))
        .filter_map(|leaf| {
            leaf.steps
                .last()
                .map(|end| format!("{} {}", end.object, end.field))
        })
        .collect();
    let place =
        "ReleaseBinding/web-development spec.workloadOverrides.dependencies.external[1].host";
    assert_eq!(ends, [place]);
}

#[test]
fn what_a_connection_names_and_is_not_there_is_told() {
    let connection = json!({"name": "x", "host": "x.example", "port": 443, "protocol": "HTTPS"});
    let given = given(&json!({
        "projects": ["shop", "shup"], "components": ["wep"], "environments": ["developmnt"],
        "connection": connection,
    }));
    assert_eq!(
        problems(&fleet("closed", &[given])),
        [
            "ExternalConnection/given spec.projects[1]: Project \"shup\" not found (did you mean \"shop\"?)",
            "ExternalConnection/given spec.components[0]: Component \"wep\" not found (did you mean \"web\"?)",
            "ExternalConnection/given spec.environments[0]: Environment \"developmnt\" not found (did you mean \
             \"development\"?)",
        ]
    );
}

#[test]
fn a_plan_says_what_is_not_approved_and_what_a_connection_changes() {
    let plan_of =
        |before: &Fleet, after: &Fleet| serde_json::to_value(plan(before, after)).expect("a plan");
    let approved = fleet("approved", &[rates("rates.example")]);
    let withdrawn = plan_of(&approved, &fleet("approved", &[]));
    let introduced = withdrawn["introduced"].to_string();
    assert!(
        introduced.contains("external connection \\\"rates\\\" is not approved"),
        "{introduced}"
    );
    let changed = plan_of(
        &fleet("closed", &[rates("first.example")]),
        &fleet("closed", &[rates("second.example")]),
    );
    let groups = changed["groups"].to_string();
    assert!(
        groups.contains("ExternalConnection/given") && groups.contains("spec.connection.host"),
        "{groups}"
    );
    let came = plan_of(
        &fleet("closed", &[]),
        &fleet("closed", &[rates("first.example")]),
    );
    assert!(
        came["groups"]
            .to_string()
            .contains("ExternalConnection/given")
    );
}

#[test]
fn fields_of_the_way_out_lead_to_what_declares_them() {
    let fleet = fleet("closed", &[rates("given.example")]);
    let bindings = fleet.render();
    let web = bindings.iter().find(|one| one.name == "web-development");
    let explained = fleet.explain(web.expect("a binding")).expect("a binding");
    let told = |kind: &str, field: &str| -> Vec<String> {
        let objects = explained.objects().iter().enumerate();
        let of_kind = objects.filter(|(_, one)| one.object["kind"] == kind);
        let leaves = of_kind.flat_map(|(index, _)| explained.leaves(index, field));
        let mut ends: Vec<String> = leaves
            .filter_map(|leaf| {
                let end = leaf.steps.last()?;
                Some(format!("{} {}", end.object, end.field))
            })
            .collect();
        ends.dedup();
        ends
    };
    let workload = |field: &str| format!("Workload/web spec.dependencies.external[0]{field}");
    let given = |field: &str| format!("ExternalConnection/given spec.connection{field}");
    assert_eq!(told("HTTPRoute", "/spec/hostnames"), [workload(".host")]);
    assert_eq!(told("TLSRoute", "/spec/hostnames"), [given(".host")]);
    assert_eq!(
        told("Backend", "/spec/endpoints/0/fqdn/port"),
        [workload(".port"), given(".port")]
    );
    assert_eq!(
        told("Gateway", "/spec/listeners/0/port"),
        [workload(".tls.listenPort")]
    );
    assert_eq!(
        told("Gateway", "/spec/listeners/1/protocol"),
        [given(".protocol")]
    );
    assert_eq!(
        told("BackendTLSPolicy", "/spec/validation/hostname"),
        [workload(".host")]
    );
    assert_eq!(
        told("BackendTrafficPolicy", "/spec/timeout"),
        [workload(".timeouts.request")]
    );
    assert_eq!(
        told("BackendTrafficPolicy", "/spec/retry/numRetries"),
        [workload(".retries.attempts")]
    );
    let deployment = told("Deployment", "/spec/template/spec/containers/0/env");
    assert!(
        deployment.contains(&workload(".envBindings.url")),
        "{deployment:?}"
    );
    assert!(
        deployment.contains(&workload(".protocol")),
        "{deployment:?}"
    );
    let policy = told("NetworkPolicy", "/spec/egress/1/ports");
    assert_eq!(policy, [given("")]);
}
