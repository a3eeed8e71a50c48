//! Promotions that a pipeline asks for by itself.

use super::*;

/// The promotions that a decision asks for.
fn asked(decision: &Decision) -> Vec<&Value> {
    let objects = decision.writes.iter().filter_map(|write| match write {
        Write::Apply { object, .. } => Some(object),
        Write::Status { .. }
        | Write::Place { .. }
        | Write::Delete { .. }
        | Write::Finalizers { .. }
        | Write::Call { .. } => None,
    });
    objects.filter(|one| one["kind"] == "Promotion").collect()
}

/// Lets the component run and be ready in staging.
fn run_in_staging(stage: &mut Stage) {
    stage.step("ReleaseBinding", "web-staging");
    stage.run("web-staging", "Healthy");
    let decision = stage.step("ReleaseBinding", "web-staging");
    assert!(asked(&decision).is_empty());
}

#[test]
fn what_was_ready_for_long_enough_is_asked_for_once() {
    let mut stage = shop_with("automatic: { soak: 30m }");
    run_in_staging(&mut stage);
    let decision = stage.decide("ReleaseBinding", "web-staging");
    assert_eq!(
        decision.look_again.unwrap().to_string(),
        "2026-11-23T12:30:00Z"
    );
    stage.wait(30 * 60);
    let decision = stage.step("ReleaseBinding", "web-staging");
    let [promotion] = asked(&decision)[..] else {
        panic!("{decision:?}");
    };
    assert_eq!(
        promotion["spec"],
        json!({
            "owner": { "projectName": "shop", "componentName": "web" },
            "sourceEnvironment": "staging", "targetEnvironment": "production",
            "releases": { "web": "web-2" },
            "requestedBy": "system:choreo:pipeline", "reason": "ready in staging for 1800s",
        })
    );
    let name = promotion["metadata"]["name"].as_str().unwrap().to_owned();
    let again = stage.decide("ReleaseBinding", "web-staging");
    assert!(asked(&again).is_empty());
    stage.step("Promotion", &name);
    assert_eq!(stage.phase(&name), "Deploying");
    // However it ends, the same is not asked for again.
    stage.edit("Promotion", &name)["status"] = json!({ "phase": "RolledBack" });
    let again = stage.decide("ReleaseBinding", "web-staging");
    assert!(asked(&again).is_empty());
}

#[test]
fn what_is_not_ready_is_not_asked_for() {
    let mut stage = shop_with("automatic: { soak: 30m }");
    run_in_staging(&mut stage);
    stage.run("web-staging", "Degraded");
    stage.step("ReleaseBinding", "web-staging");
    stage.wait(3600);
    let decision = stage.decide("ReleaseBinding", "web-staging");
    assert_eq!((asked(&decision).len(), decision.look_again), (0, None));
    // Ready again, its time begins again.
    stage.run("web-staging", "Healthy");
    stage.step("ReleaseBinding", "web-staging");
    let decision = stage.decide("ReleaseBinding", "web-staging");
    assert_eq!(
        decision.look_again.unwrap().to_string(),
        "2026-11-23T13:30:00Z"
    );
}

#[test]
fn a_project_that_goes_together_is_asked_for_as_a_whole() {
    let world = WORLD.replace("$BRAKES", "automatic: { soak: 30m }\n    strategy: Project");
    let all = format!("{world}{}{}", component("web", ""), component("api", ""));
    let mut stage = Stage::new(&all, NOON);
    run_in_staging(&mut stage);
    stage.wait(1800);
    assert!(
        asked(&stage.decide("Project", "shop")).is_empty(),
        "api is not ready"
    );
    for _ in 0..2 {
        stage.step("ReleaseBinding", "api-staging");
        stage.run("api-staging", "Healthy");
    }
    stage.step("ReleaseBinding", "api-staging");
    let decision = stage.decide("Project", "shop");
    assert_eq!(
        decision.look_again.unwrap().to_string(),
        "2026-11-23T13:00:00Z"
    );
    stage.wait(1800);
    let decision = stage.decide("Project", "shop");
    let [promotion] = asked(&decision)[..] else {
        panic!("{decision:?}");
    };
    assert_eq!(promotion["spec"]["owner"], json!({ "projectName": "shop" }));
    assert_eq!(
        promotion["spec"]["releases"],
        json!({ "api": "api-2", "web": "web-2" })
    );
}
