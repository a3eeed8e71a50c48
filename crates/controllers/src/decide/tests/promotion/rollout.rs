//! Promotions from request to end.

use super::*;

fn ready(stage: &Stage) -> String {
    stage.says("Promotion", "web", "Ready")
}

#[test]
fn an_approved_promotion_is_rolled_out() {
    let mut stage = shop_with("approvals: { count: 2, users: [ann, bob, cid] }");
    stage.add(PROMOTION_WEB);
    stage.settle();
    assert_eq!(
        ready(&stage),
        "Ready False AwaitingApproval: 0 of 2 approvals by ann, bob, cid"
    );
    let plan = &stage.get("Promotion", "web")["status"]["plan"][0];
    assert_eq!(plan["from"], "web-1");
    assert_eq!(plan["to"], "web-2");
    assert_eq!(plan["changes"], json!(["~ Deployment/web"]));
    for by in ["ann", "bob", "eve", "bob"] {
        stage.approve(by);
    }
    stage.settle();
    assert_eq!(
        ready(&stage),
        "Ready False AwaitingApproval: 1 of 2 approvals by ann, bob, cid"
    );
    stage.approve("cid");
    stage.settle();
    assert_eq!(stage.image("web-production"), Some("web:2"));
    assert_eq!(stage.phase("web"), "Succeeded");
    assert_eq!(
        ready(&stage),
        "Ready True Deployed: 1 components run in production"
    );
    let binding = stage.get("ReleaseBinding", "web-production");
    assert_eq!(
        binding["status"]["provenReleases"],
        json!({ "web-1": "ComponentRelease-web-1", "web-2": "ComponentRelease-web-2" })
    );
    assert!(stage.decide("Promotion", "web").status.is_none());
}

#[test]
fn a_changed_plan_makes_approvals_stale() {
    let mut stage = shop_with("approvals: { users: [bob] }");
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    stage.approve("bob");
    stage.edit("ReleaseBinding", "web-production")["spec"]["componentTypeEnvironmentConfigs"] =
        json!({ "level": "high" });
    stage.settle();
    assert_eq!(stage.image("web-production"), Some("web:1"));
    assert_eq!(
        ready(&stage),
        "Ready False AwaitingApproval: 0 of 1 approvals by bob; what bob approved was another plan"
    );
    stage.approve("bob");
    stage.settle();
    assert_eq!(stage.image("web-production"), Some("web:2"));
}

#[test]
fn a_plan_that_changes_at_the_last_moment_is_asked_for_again() {
    let mut stage = shop_with("approvals: { users: [bob] }");
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    stage.approve("bob");
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Deploying");
    stage.edit("ReleaseBinding", "web-production")["spec"]["componentTypeEnvironmentConfigs"] =
        json!({ "level": "high" });
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "AwaitingApproval");
    assert_eq!(
        stage.get("Promotion", "web")["status"]["startedAt"],
        Value::Null
    );
}

#[test]
fn a_rejection_is_the_end() {
    let mut stage = shop_with("approvals: { users: [bob] }");
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    stage.decided("bob", &json!("whatever"), "reject");
    stage.settle();
    assert_eq!(stage.phase("web"), "Rejected");
    assert_eq!(ready(&stage), "Ready False Rejected: bob rejected it");
    stage.approve("bob");
    stage.settle();
    assert_eq!(stage.image("web-production"), Some("web:1"));
}

const LUNCH: &str = "freezeWindows: [{ name: lunch, timeZone: Europe/Zurich, weekly: { days: [Mon], \
                     from: '12:30', to: '14:00' } }]";

#[test]
fn a_freeze_is_waited_for() {
    let mut stage = shop_with(LUNCH);
    stage.add(PROMOTION_WEB);
    let decision = stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Frozen");
    assert_eq!(
        ready(&stage),
        "Ready False Frozen: freeze window \"lunch\" is open until 2026-11-23T13:00:00Z"
    );
    assert_eq!(
        decision.look_again.unwrap().to_string(),
        "2026-11-23T13:00:00Z"
    );
    stage.wait(3600);
    stage.settle();
    assert_eq!(stage.image("web-production"), Some("web:2"));
}

#[test]
fn a_freeze_that_begins_at_the_last_moment_holds_at_the_gate() {
    let mut stage = shop_with(LUNCH);
    stage.now = "2026-11-23T11:29:59Z".parse().unwrap();
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    stage.step("Promotion", "web");
    let binding = stage.get("ReleaseBinding", "web-production");
    assert_eq!(binding["spec"]["releaseName"], "web-2");
    stage.wait(1);
    let held = stage.step("ReleaseBinding", "web-production");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    assert_eq!(held.look_again.unwrap().to_string(), "2026-11-23T13:00:00Z");
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Frozen");
    stage.wait(2 * 3600);
    stage.settle();
    assert_eq!(stage.phase("web"), "Succeeded");
}

#[test]
fn broken_glass_waits_for_nobody_and_is_told() {
    let brakes = format!("approvals: {{ users: [bob, ann] }}\n    {LUNCH}");
    let mut stage = shop_with(&brakes);
    let glass = |by: &str| format!("{PROMOTION_WEB}  breakGlass: {{ reason: outage, by: {by} }}\n");
    stage.add(&glass("eve"));
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "AwaitingApproval");
    stage.objects.remove(&Stage::key("Promotion", "web"));
    stage.add(&glass("ann"));
    let decision = stage.step("Promotion", "web");
    let told: Vec<&str> = decision
        .events
        .iter()
        .map(|one| one.reason.as_str())
        .collect();
    assert!(told.contains(&"BreakGlass"), "{told:?}");
    stage.settle();
    assert_eq!(stage.image("web-production"), Some("web:2"));
    stage.wait(2);
    stage.settle();
    assert_eq!(stage.phase("web"), "Succeeded");
}

#[test]
fn what_never_ran_in_the_source_does_not_go_on() {
    let mut stage = shop_with("requiresApproval: true");
    stage.add(&PROMOTION_WEB.replace("web: web-2", "web: web-3"));
    stage.step("Promotion", "web");
    assert_eq!(
        ready(&stage),
        "Ready False NotInSource: web does not run web-3 in staging, and was not ready with it there"
    );
}

#[test]
fn a_path_that_is_not_there_leads_nowhere() {
    let mut stage = shop_with("requiresApproval: true");
    stage.add(&PROMOTION_WEB.replace("staging", "sandbox"));
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Pending");
    let said = ready(&stage);
    assert!(
        said.contains("does not lead from sandbox to production"),
        "{said}"
    );
}

#[test]
fn a_project_that_goes_together_goes_in_no_parts() {
    let mut stage = shop_with("strategy: Project");
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    let said = ready(&stage);
    assert!(
        said.contains("choreo promote --project shop --to production"),
        "{said}"
    );
}

#[test]
fn a_release_that_is_not_ready_in_time_goes_back() {
    let mut stage = shop_with("rollback: { deadline: 5m }");
    stage.add(PROMOTION_WEB);
    for _ in 0..3 {
        stage.step("Promotion", "web");
        stage.step("ReleaseBinding", "web-production");
    }
    assert_eq!(stage.image("web-production"), Some("web:2"));
    stage.run("web-production", "Degraded");
    stage.step("ReleaseBinding", "web-production");
    let decision = stage.step("Promotion", "web");
    assert_eq!(
        decision.look_again.unwrap().to_string(),
        "2026-11-23T12:05:00Z"
    );
    stage.wait(300);
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "RollingBack");
    stage.settle();
    assert_eq!(stage.phase("web"), "RolledBack");
    assert_eq!(stage.image("web-production"), Some("web:1"));
    assert_eq!(
        ready(&stage),
        "Ready False RolledBack: web was not ready with web-2 after 300s; the releases before are \
         there again"
    );
    let binding = stage.get("ReleaseBinding", "web-production");
    assert_eq!(
        binding["status"]["provenReleases"],
        json!({ "web-1": "ComponentRelease-web-1" })
    );
}

#[test]
fn without_a_way_back_it_fails_and_stays() {
    let mut stage = shop_with("requiresApproval: true");
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    stage.approve("bob");
    for _ in 0..3 {
        stage.step("Promotion", "web");
        stage.step("ReleaseBinding", "web-production");
    }
    stage.wait(15 * 60);
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Failed");
    assert_eq!(stage.image("web-production"), Some("web:2"));
}

#[test]
fn whoever_moves_the_binding_is_obeyed() {
    let mut stage = shop_with("rollback: { deadline: 5m }");
    stage.add(PROMOTION_WEB);
    for _ in 0..4 {
        stage.step("Promotion", "web");
        stage.step("ReleaseBinding", "web-production");
    }
    stage.edit("ReleaseBinding", "web-production")["spec"]["releaseName"] = json!("web-1");
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Superseded");
    assert_eq!(
        ready(&stage),
        "Ready False Superseded: somebody moved web to web-1"
    );
}

#[test]
fn of_two_promotions_one_goes_and_the_earlier_is_overtaken() {
    let mut stage = shop_with("approvals: { users: [bob] }");
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    stage.wait(60);
    stage.add(&PROMOTION_WEB.replace("name: web,", "name: later,"));
    stage.step("Promotion", "later");
    stage.approve("bob");
    stage.step("Promotion", "web");
    assert_eq!(stage.phase("web"), "Deploying");
    let digest = stage.get("Promotion", "later")["status"]["planDigest"].clone();
    let approval = json!([{ "by": "bob", "planDigest": digest }]);
    stage.edit("Promotion", "later")["spec"]["approvals"] = approval;
    stage.step("Promotion", "later");
    assert_eq!(
        stage.says("Promotion", "later", "Ready"),
        "Ready False PromotionInProgress: waiting for Promotion \"web\" to end"
    );
    // Had the later one started, the earlier would not go any more.
    let mut other = stage.clone();
    let start = json!({ "phase": "Deploying", "startedAt": other.now });
    other.edit("Promotion", "later")["status"] = start;
    other.step("Promotion", "web");
    assert_eq!(other.phase("web"), "Superseded");
}

#[test]
fn a_project_goes_in_the_order_of_its_calls() {
    let world = WORLD.replace("$BRAKES", "rollback: { deadline: 5m }");
    let calls =
        "{ component: api, name: http, visibility: project, envBindings: { address: API } }";
    let all = format!("{world}{}{}", component("web", calls), component("api", ""));
    let mut stage = Stage::new(&all, NOON);
    stage.add(
        &PROMOTION_WEB
            .replace(", componentName: web", "")
            .replace("web: web-2", "web: web-2, api: api-2"),
    );
    stage.step("Promotion", "web");
    let plan = stage.get("Promotion", "web")["status"]["plan"].clone();
    assert_eq!(
        (&plan[0]["component"], &plan[0]["wave"]),
        (&json!("api"), &json!(0))
    );
    assert_eq!(
        (&plan[1]["component"], &plan[1]["wave"]),
        (&json!("web"), &json!(1))
    );
    let writes = |decision: &Decision| decision.writes.iter().map(words).collect::<Vec<_>>();
    let first = stage.step("Promotion", "web");
    assert_eq!(writes(&first), ["apply ReleaseBinding api-production"]);
    let next = stage.step("Promotion", "web");
    assert_eq!(writes(&next), [""; 0]);
    for _ in 0..2 {
        stage.step("ReleaseBinding", "api-production");
        stage.run("api-production", "Healthy");
    }
    stage.step("ReleaseBinding", "api-production");
    stage.step("Promotion", "web");
    let last = stage.step("Promotion", "web");
    assert_eq!(writes(&last), ["apply ReleaseBinding web-production"]);
}

#[test]
fn a_job_in_the_source_cell_decides() {
    let brakes = "checks: [{ name: smoke, timeout: 2m, job: { image: 'smoke:1', env: { A: b } } }]";
    let mut stage = shop_with(brakes);
    stage.add(PROMOTION_WEB);
    assert_eq!(stage.step("Promotion", "web").writes, []);
    assert_eq!(stage.phase("web"), "Checking");
    let cell = choreo_model::names::cell_namespace("default", "shop", "staging");
    let decide = |job: Option<&Value>| {
        let mut index = stage.index();
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": cell } });
        index.apply(Change::LiveApplied(0, namespace));
        if let Some(job) = job {
            index.apply(Change::LiveApplied(0, job.clone()));
        }
        decide_at(&index, &Stage::key("Promotion", "web"), stage.now)
    };
    let made = decide(None);
    let [
        Write::Apply {
            home: Home::Plane(0),
            object,
        },
    ] = made.writes.as_slice()
    else {
        panic!("{:?}", made.writes);
    };
    assert_eq!(object["metadata"]["namespace"], cell);
    assert_eq!(object["spec"]["activeDeadlineSeconds"], 120);
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "smoke:1");
    let env = container["env"].as_array().unwrap();
    assert!(env.contains(&json!({ "name": "CHOREO_TARGET_ENVIRONMENT", "value": "production" })));
    let mut job = object.clone();
    job["metadata"]["uid"] = json!("job");
    let running = decide(Some(&job));
    assert_eq!(running.writes, []);
    let ended = |type_: &str| {
        let mut job = job.clone();
        job["status"] =
            json!({ "conditions": [{ "type": type_, "status": "True", "reason": "R" }] });
        decide(Some(&job)).status.unwrap()["phase"].clone()
    };
    assert_eq!(ended("Complete"), "Deploying");
    assert_eq!(ended("Failed"), "Failed");
}

#[test]
fn a_request_is_made_until_it_is_answered_as_expected_or_the_time_is_up() {
    let brakes = "checks: [{ name: budget, timeout: 10s, http: { url: 'https://slo.example/' } }]";
    let mut stage = shop_with(brakes);
    stage.add(PROMOTION_WEB);
    stage.step("Promotion", "web");
    let key = Stage::key("Promotion", "web");
    let mut index = stage.index();
    let asked = decide_at(&index, &key, stage.now);
    let [Write::Call { id, request }] = asked.writes.as_slice() else {
        panic!("{:?}", asked.writes);
    };
    assert_eq!(
        (request.method, request.url.as_str()),
        ("GET", "https://slo.example/")
    );
    index.answered(&key, id.clone(), Ok(503), stage.now);
    let again = decide_at(&index, &key, stage.now);
    assert_eq!(again.writes, [], "not at once");
    stage.now = again.look_again.unwrap();
    assert_eq!(decide_at(&index, &key, stage.now).writes.len(), 1);
    stage.wait(10);
    let late = decide_at(&index, &key, stage.now);
    assert_eq!(late.writes, []);
    let status = late.status.unwrap();
    assert_eq!(status["phase"], "Failed");
    assert_eq!(
        status["outcome"],
        "check \"budget\" failed: answered 503 in place of 200, still after 10s"
    );
    index.answered(&key, id.clone(), Ok(200), stage.now);
    let passed = decide_at(&index, &key, stage.now).status.unwrap();
    assert_eq!(passed["phase"], "Deploying");
}

#[test]
fn promotions_go_with_what_they_are_of() {
    let mut stage = shop_with("requiresApproval: true");
    stage.add(PROMOTION_WEB);
    let deleted = |decision: &Decision| {
        let writes = decision.writes.iter().map(words);
        writes.filter(|one| one == "delete Promotion web").count()
    };
    for (kind, name) in [("Component", "web"), ("Project", "shop")] {
        let mut leaving = stage.clone();
        leaving.edit(kind, name)["metadata"]["deletionTimestamp"] = json!(NOON);
        assert_eq!(deleted(&leaving.decide(kind, name)), 1, "{kind}");
    }
    // Its own deletion ends at once: it made no jobs.
    stage.edit("Promotion", "web")["metadata"]["deletionTimestamp"] = json!(NOON);
    let decision = stage.decide("Promotion", "web");
    assert_eq!(
        decision.writes.iter().map(words).collect::<Vec<_>>(),
        ["finalizers web []"]
    );
}
