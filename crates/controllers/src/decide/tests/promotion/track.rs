//! Tracks at gates: each line has promotions of its own.

use super::*;

/// Track v2 of the component, which runs its first release in production and its second in staging.
fn track() -> String {
    let main = component("web", "");
    let (_, rest) = main.split_once("\n---\n").unwrap();
    let (_, rest) = rest.split_once("\n---\n").unwrap();
    of_track(&format!("---\n{rest}"))
}

/// What is said of the main line, said of the track.
fn of_track(yaml: &str) -> String {
    yaml.replace("web-", "web--v2-")
        .replace("'web:", "'web-v2:")
        .replace(
            "componentName: web }",
            "componentName: web, trackName: v2 }",
        )
        .replace("metadata: { name: web,", "metadata: { name: web--v2,")
}

/// The promotion of the second release of the track.
pub(super) const PROMOTION: &str = r"
apiVersion: openchoreo.dev/v1alpha1
kind: Promotion
metadata: { name: web, finalizers: [openchoreo.dev/promotion-cleanup] }
spec:
  owner: { projectName: shop, componentName: web, trackName: v2 }
  sourceEnvironment: staging
  targetEnvironment: production
  releases: { web: web--v2-2 }
  requestedBy: ann
";

pub(super) fn shop_with_track(brakes: &str) -> Stage {
    let mut stage = shop_with(brakes);
    stage.add(&track());
    stage.step("ReleaseBinding", "web--v2-production");
    stage.run("web--v2-production", "Healthy");
    stage.step("ReleaseBinding", "web--v2-production");
    assert_eq!(stage.image("web--v2-production"), Some("web-v2:1"));
    stage
}

impl Stage {
    /// Somebody names the second release in both bindings of production.
    fn bind_both(&mut self) {
        for line in ["web", "web--v2"] {
            let binding = format!("{line}-production");
            let stored = self.edit("ReleaseBinding", &binding);
            stored["spec"]["releaseName"] = json!(format!("{line}-2"));
            let generation = stored["metadata"]["generation"].as_i64().unwrap() + 1;
            stored["metadata"]["generation"] = json!(generation);
            self.step("ReleaseBinding", &binding);
        }
    }

    /// What runs in production, on the main line and on the track.
    fn images(&self) -> [&str; 2] {
        ["web-production", "web--v2-production"].map(|name| self.image(name).unwrap())
    }
}

/// Whoever can write a status cannot make one line's promotion that of another.
fn under_way(release: &str, track: Option<&str>) -> Value {
    json!({
        "phase": "Deploying", "planDigest": "one",
        "plan": [{
            "component": "web", "track": track, "to": release, "uid": format!("ComponentRelease-{release}"),
        }],
    })
}

#[test]
fn any_brake_closes_the_gate_for_tracks_too() {
    for brakes in [
        "requiresApproval: true",
        "checks: [{ name: smoke, job: { image: smoke } }]",
        "freezeWindows: [{ name: never, dated: { from: 2020-01-01, until: 2020-01-02 } }]",
        "automatic: { soak: 1h }",
        "rollback: { deadline: 5m }",
        "strategy: Project",
    ] {
        let mut stage = shop_with_track(brakes);
        stage.bind_both();
        assert_eq!(stage.images(), ["web:1", "web-v2:1"], "{brakes}");
        let said = stage.says("ReleaseBinding", "web--v2-production", "ReleaseSynced");
        assert!(
            said.ends_with("`choreo promote web --track v2 --to production` asks for one"),
            "{said}"
        );
    }
}

#[test]
fn a_promotion_lets_one_line_through() {
    let mut stage = shop_with_track("approvals: { users: [bob] }");
    stage.bind_both();
    stage.add(PROMOTION_WEB);
    stage.edit("Promotion", "web")["status"] = under_way("web-2", None);
    stage.decided("bob", &json!("one"), "approve");
    stage.bind_both();
    assert_eq!(stage.images(), ["web:2", "web-v2:1"], "the main line");
    let mut stage = shop_with_track("approvals: { users: [bob] }");
    stage.add(&of_track(PROMOTION_WEB));
    let promotion = stage.edit("Promotion", "web--v2");
    promotion["spec"]["approvals"] = json!([{ "by": "bob", "planDigest": "one" }]);
    promotion["status"] = under_way("web--v2-2", Some("v2"));
    stage.bind_both();
    assert_eq!(stage.images(), ["web:1", "web-v2:2"], "the track");
}

#[test]
fn a_track_is_promoted_past_its_approval() {
    let mut stage = shop_with_track("approvals: { users: [bob] }");
    stage.add(&of_track(PROMOTION_WEB));
    let settle = |stage: &mut Stage| {
        for _ in 0..6 {
            stage.step("Promotion", "web--v2");
            stage.step("ReleaseBinding", "web--v2-production");
            stage.run("web--v2-production", "Healthy");
            stage.step("ReleaseBinding", "web--v2-production");
        }
    };
    settle(&mut stage);
    assert_eq!(stage.phase("web--v2"), "AwaitingApproval");
    assert_eq!(stage.images(), ["web:1", "web-v2:1"]);
    let digest = stage.get("Promotion", "web--v2")["status"]["planDigest"].clone();
    stage.edit("Promotion", "web--v2")["spec"]["approvals"] =
        json!([{ "by": "bob", "planDigest": digest, "decision": "approve" }]);
    settle(&mut stage);
    stage.wait(10);
    settle(&mut stage);
    assert_eq!(stage.phase("web--v2"), "Succeeded");
    assert_eq!(stage.images(), ["web:1", "web-v2:2"]);
}

#[test]
fn an_automatic_promotion_is_of_its_line() {
    let mut stage = shop_with_track("automatic: { soak: 0s }");
    let ready = json!([{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-11-23T11:00:00Z",
    }]);
    let asked = |stage: &mut Stage, binding: &str| {
        stage.step("ReleaseBinding", binding);
        let rendered = binding.to_owned();
        stage.run(&rendered, "Healthy");
        stage.edit("ReleaseBinding", binding)["status"]["conditions"] = ready.clone();
        let decision = stage.decide("ReleaseBinding", binding);
        let mut promotions = decision.writes.into_iter().filter_map(|write| {
            let Write::Apply { object, .. } = write else {
                return None;
            };
            (object["kind"] == "Promotion").then_some(object)
        });
        promotions.next_back()
    };
    let promotion = asked(&mut stage, "web--v2-staging").unwrap();
    assert_eq!(promotion["spec"]["owner"]["trackName"], "v2");
    assert_eq!(promotion["spec"]["releases"], json!({"web": "web--v2-2"}));
    let name = promotion["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("web--v2-production-"), "{name}");
    let of_project =
        crate::decide::decide(&stage.index(), &Stage::key("Project", "shop"), stage.now);
    let promotions = of_project.writes.iter().map(words);
    assert_eq!(
        promotions.filter(|one| one.contains("Promotion")).count(),
        0
    );
}
