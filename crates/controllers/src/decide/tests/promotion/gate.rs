//! The gate of an environment.

use super::*;

impl Stage {
    /// Somebody names a release in the binding of production.
    fn bind(&mut self, release: &str) {
        let stored = self.edit("ReleaseBinding", "web-production");
        stored["spec"]["releaseName"] = json!(release);
        let generation = stored["metadata"]["generation"].as_i64().unwrap() + 1;
        stored["metadata"]["generation"] = json!(generation);
    }
}

const SYNCED: &str = "ReleaseSynced";

#[test]
fn without_a_promotion_what_runs_stays() {
    let mut stage = shop_with("requiresApproval: true");
    stage.bind("web-2");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    assert_eq!(
        stage.says("ReleaseBinding", "web-production", SYNCED),
        "ReleaseSynced False PromotionRequired: releases come to production by promotion, and none \
         has brought web-2: what runs stays; `choreo promote web --to production` asks for one"
    );
    let status = &stage.get("ReleaseBinding", "web-production")["status"];
    assert_eq!(status["release"], "web-1");
    assert_eq!(
        status["provenReleases"],
        json!({ "web-1": "ComponentRelease-web-1" })
    );
    // Configuration goes on being what it is told to be.
    let configs = json!({ "level": "high" });
    stage.edit("ReleaseBinding", "web-production")["spec"]["componentTypeEnvironmentConfigs"] =
        configs;
    stage.step("ReleaseBinding", "web-production");
    let annotations = "/spec/resources/0/object/spec/template/metadata/annotations/level";
    let rendered = stage.get("RenderedRelease", "web-production");
    assert_eq!(rendered.pointer(annotations), Some(&json!("high")));
    assert_eq!(stage.image("web-production"), Some("web:1"));
}

#[test]
fn where_nothing_runs_nothing_comes() {
    let mut stage = shop_with("requiresApproval: true");
    stage
        .objects
        .remove(&Stage::key("RenderedRelease", "web-production"));
    stage.edit("ReleaseBinding", "web-production")["status"] = json!({});
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), None);
    let said = stage.says("ReleaseBinding", "web-production", "Ready");
    assert!(said.contains("nothing is deployed"), "{said}");
}

#[test]
fn what_was_ready_before_may_come_back() {
    let mut stage = shop_with("");
    stage.bind("web-2");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:2"), "no gate");
    let gated = WORLD.replace("$BRAKES", "requiresApproval: true");
    stage.add(&gated);
    stage.bind("web-1");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    // It was there, but never ready.
    stage.bind("web-2");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
}

#[test]
fn what_is_undeployed_runs_no_release() {
    let mut stage = shop_with("requiresApproval: true");
    stage.edit("ReleaseBinding", "web-production")["spec"]["state"] = json!("Undeploy");
    stage.step("ReleaseBinding", "web-production");
    let status = &stage.get("ReleaseBinding", "web-production")["status"];
    assert_eq!(status["release"], Value::Null);
    assert_eq!(
        status["provenReleases"],
        json!({ "web-1": "ComponentRelease-web-1" })
    );
}

#[test]
fn any_brake_closes_the_gate() {
    for brakes in [
        "approvals: { count: 1 }",
        "checks: [{ name: smoke, job: { image: smoke } }]",
        "freezeWindows: [{ name: never, dated: { from: 2020-01-01, until: 2020-01-02 } }]",
        "automatic: { soak: 1h }",
        "rollback: { deadline: 5m }",
        "strategy: Project",
    ] {
        let mut stage = shop_with(brakes);
        stage.bind("web-2");
        stage.step("ReleaseBinding", "web-production");
        assert_eq!(stage.image("web-production"), Some("web:1"), "{brakes}");
    }
}

#[test]
fn a_path_without_a_gate_lets_through_what_runs_where_it_begins() {
    let mut stage = shop_with("requiresApproval: true");
    let paths = &mut stage.edit("DeploymentPipeline", "default")["spec"]["promotionPaths"];
    paths.as_array_mut().unwrap().push(json!({
        "sourceEnvironmentRef": { "name": "sandbox" },
        "targetEnvironmentRefs": [{ "name": "production" }],
    }));
    stage.bind("web-2");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    let sandbox = component("web", "").replace("staging", "sandbox");
    let binding = documents(&sandbox).remove(1);
    stage.apply(&binding);
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:2"));
}

#[test]
fn the_approvals_of_a_promotion_under_way_are_counted_again() {
    let mut stage = shop_with("approvals: { users: [bob] }");
    stage.add(PROMOTION_WEB);
    stage.bind("web-2");
    // Whoever can write a status cannot make approvals of it.
    stage.edit("Promotion", "web")["status"] = json!({
        "phase": "Deploying", "planDigest": "one",
        "plan": [{ "component": "web", "to": "web-2", "uid": "ComponentRelease-web-2" }],
    });
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    stage.decided("bob", &json!("one"), "approve");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:2"));
}

#[test]
fn another_release_of_the_same_name_is_another_release() {
    let mut stage = shop_with("requiresApproval: true");
    let release = stage.edit("ComponentRelease", "web-1");
    release["metadata"]["uid"] = json!("made-again");
    release["spec"]["workload"]["container"]["image"] = json!("evil:1");
    stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    let said = stage.says("ReleaseBinding", "web-production", SYNCED);
    assert!(
        said.starts_with("ReleaseSynced False PromotionRequired"),
        "{said}"
    );
}
