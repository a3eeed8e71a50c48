//! Managed resources on their way through environments: held at the gate like components, and brought
//! on before the components that use them.

use super::*;

const RRB: &str = "ResourceReleaseBinding";

/// A database that runs db-1 in production and db-2 in staging.
const DATABASE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: Resource
metadata: { name: db }
spec:
  owner: { projectName: shop }
  type: { name: database }
---
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceReleaseBinding
metadata: { name: db-staging, finalizers: [openchoreo.dev/resourcereleasebinding-cleanup] }
spec:
  owner: { projectName: shop, resourceName: db }
  environment: staging
  resourceRelease: db-2
status:
  release: db-2
  releaseUid: ResourceRelease-db-2
---
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceReleaseBinding
metadata: { name: db-production, finalizers: [openchoreo.dev/resourcereleasebinding-cleanup] }
spec:
  owner: { projectName: shop, resourceName: db }
  environment: production
  resourceRelease: db-1
status:
  release: db-1
  releaseUid: ResourceRelease-db-1
";

const DATABASE_RELEASE: &str = r"
---
apiVersion: openchoreo.dev/v1alpha1
kind: ResourceRelease
metadata: { name: db-$NUMBER }
spec:
  owner: { projectName: shop, resourceName: db }
  resourceType:
    kind: ResourceType
    name: database
    spec:
      environmentConfigs:
        openAPIV3Schema: { type: object, properties: { level: { type: string, default: low } } }
      resources:
      - id: server
        template:
          apiVersion: apps/v1
          kind: Deployment
          metadata: { name: '${metadata.name}', namespace: '${metadata.namespace}' }
          spec:
            template:
              metadata: { annotations: { level: '${environmentConfigs.level}' } }
              spec: { containers: [{ name: main, image: 'db:$NUMBER' }] }
";

pub(super) const PROMOTION: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Promotion
metadata: { name: web, finalizers: [openchoreo.dev/promotion-cleanup] }
spec:
  owner: { projectName: shop, resourceName: db }
  sourceEnvironment: staging
  targetEnvironment: production
  resources: { db: db-2 }
  requestedBy: ann
";

pub(super) fn rendered() -> String {
    choreo_model::names::resource_name("db", "production")
}

impl Stage {
    /// The image of the database in production.
    fn database(&self) -> Option<&str> {
        self.image(&rendered())
    }

    fn binds(&mut self, release: &str) {
        self.apply(&json!({
            "kind": RRB,
            "metadata": { "name": "db-production" },
            "spec": { "resourceRelease": release },
        }));
        self.step(RRB, "db-production");
    }

    /// Lets everything go on until nothing changes anything.
    fn all_settle(&mut self) {
        for _ in 0..40 {
            let before = self.objects.clone();
            self.step("Promotion", "web");
            self.step(RRB, "db-production");
            self.step("ReleaseBinding", "web-production");
            self.run(&rendered(), "Healthy");
            self.run("web-production", "Healthy");
            self.step(RRB, "db-production");
            self.step("ReleaseBinding", "web-production");
            self.wait(3);
            if self.objects == before {
                return;
            }
        }
        panic!("the world does not come to rest");
    }
}

/// The shop with its database, which runs in production.
pub(super) fn with_database(brakes: &str) -> Stage {
    let mut stage = shop_with(brakes);
    stage.add(DATABASE);
    for number in ["1", "2"] {
        stage.add(&DATABASE_RELEASE.replace("$NUMBER", number));
    }
    stage.step(RRB, "db-production");
    stage.run(&rendered(), "Healthy");
    stage.step(RRB, "db-production");
    assert_eq!(stage.database(), Some("db:1"));
    let ready = stage.says(RRB, "db-production", "Ready");
    assert!(ready.starts_with("Ready True"), "{ready}");
    stage
}

#[test]
fn without_a_promotion_the_release_that_runs_stays() {
    let mut stage = with_database("requiresApproval: true");
    stage.binds("db-2");
    assert_eq!(stage.database(), Some("db:1"));
    assert_eq!(
        stage.says(RRB, "db-production", "Synced"),
        "Synced False PromotionRequired: releases come to production by promotion, and none has \
         brought db-2: what runs stays; `choreo promote --resource db --to production` asks for one"
    );
    let status = &stage.get(RRB, "db-production")["status"];
    assert_eq!(status["release"], "db-1");
    let proven = json!({ "db-1": "ResourceRelease-db-1" });
    assert_eq!(status["provenReleases"], proven);
    // Without a gate it goes where it is told to.
    stage.add(&WORLD.replace("$BRAKES", ""));
    stage.binds("db-2");
    stage.step(RRB, "db-production");
    assert_eq!(stage.database(), Some("db:2"));
}

#[test]
fn where_none_runs_none_comes() {
    let mut stage = with_database("requiresApproval: true");
    stage
        .objects
        .remove(&Stage::key("RenderedRelease", &rendered()));
    stage.edit(RRB, "db-production")["status"] = json!({});
    stage.step(RRB, "db-production");
    assert_eq!(stage.database(), None);
    let said = stage.says(RRB, "db-production", "Ready");
    assert!(said.contains("nothing is deployed"), "{said}");
}

#[test]
fn a_resource_alone_is_approved_and_brought_on() {
    let mut stage = with_database("approvals: { users: [bob] }");
    stage.add(PROMOTION);
    stage.all_settle();
    assert_eq!(stage.phase("web"), "AwaitingApproval");
    assert_eq!(stage.database(), Some("db:1"));
    let plan = &stage.get("Promotion", "web")["status"]["plan"];
    let changes = json!([format!("~ Deployment/{}", rendered())]);
    assert_eq!(plan[0]["resource"], "db");
    assert_eq!(plan[0]["component"], Value::Null);
    assert_eq!(
        plan[0]["changes"].as_array().map(Vec::len),
        changes.as_array().map(Vec::len)
    );
    stage.approve("bob");
    stage.all_settle();
    assert_eq!(stage.phase("web"), "Succeeded");
    assert_eq!(stage.database(), Some("db:2"));
    let outcome = &stage.get("Promotion", "web")["status"]["outcome"];
    assert_eq!(outcome, "1 resources run in production");
}

#[test]
fn the_resource_of_a_component_goes_first() {
    let mut stage = with_database("approvals: { users: [bob] }");
    let release = stage.edit("ComponentRelease", "web-2");
    release["spec"]["workload"]["dependencies"] = json!({ "resources": [{ "ref": "db" }] });
    let both = PROMOTION
        .replace(", resourceName: db", "")
        .replace("  resources:", "  releases: { web: web-2 }\n  resources:");
    stage.add(&both);
    stage.step("Promotion", "web");
    let plan = &stage.get("Promotion", "web")["status"]["plan"];
    let turns: Vec<_> = plan
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["wave"])
        .collect();
    assert_eq!(
        (&plan[0]["resource"], &plan[1]["component"]),
        (&json!("db"), &json!("web"))
    );
    assert_eq!(turns, [&json!(0), &json!(1)]);
    stage.approve("bob");
    stage.step("Promotion", "web");
    stage.step("Promotion", "web");
    stage.step(RRB, "db-production");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.database(), Some("db:2"));
    assert_eq!(
        stage.image("web-production"),
        Some("web:1"),
        "its turn is later"
    );
    stage.all_settle();
    assert_eq!(stage.image("web-production"), Some("web:2"));
    let outcome = &stage.get("Promotion", "web")["status"]["outcome"];
    assert_eq!(outcome, "1 components and 1 resources run in production");
}

#[test]
fn a_resource_that_does_not_become_ready_is_taken_back() {
    let mut stage = with_database("rollback: { deadline: 5m }");
    stage.add(PROMOTION);
    for _ in 0..4 {
        stage.step("Promotion", "web");
        stage.step(RRB, "db-production");
    }
    assert_eq!(stage.database(), Some("db:2"));
    stage.run(&rendered(), "Degraded");
    stage.step(RRB, "db-production");
    stage.step("Promotion", "web");
    stage.wait(301);
    for _ in 0..4 {
        stage.step("Promotion", "web");
        stage.step(RRB, "db-production");
    }
    assert_eq!(stage.phase("web"), "RolledBack");
    assert_eq!(stage.database(), Some("db:1"));
}

#[test]
fn a_path_that_promotes_by_itself_takes_resources_along() {
    let mut stage = with_database("automatic: { soak: 1h }");
    stage.step(RRB, "db-staging");
    stage.run(
        &choreo_model::names::resource_name("db", "staging"),
        "Healthy",
    );
    stage.step(RRB, "db-staging");
    stage.wait(3601);
    let asked = stage.step(RRB, "db-staging");
    let promotions = asked.writes.iter().filter_map(|write| {
        let Write::Apply { object, .. } = write else {
            return None;
        };
        (object["kind"] == "Promotion").then_some(&object["spec"])
    });
    let specs: Vec<&Value> = promotions.collect();
    assert_eq!(specs.len(), 1);
    assert_eq!(specs[0]["owner"]["resourceName"], "db");
    assert_eq!(specs[0]["resources"], json!({ "db": "db-2" }));
}
