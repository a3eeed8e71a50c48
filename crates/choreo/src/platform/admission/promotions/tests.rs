use super::*;

/// What is stored: a pipeline that needs bob or a manager.
#[derive(Debug)]
struct Stored;

impl Reader for Stored {
    fn get(&self, _: &str, kind: &str, _: &str, name: &str) -> Option<Value> {
        let spec = match (kind, name) {
            ("Project", "shop") => json!({
                "deploymentPipelineRef": { "name": "default" }, "type": { "name": "default" },
            }),
            ("DeploymentPipeline", "default") => json!({ "promotionPaths": [{
                "sourceEnvironmentRef": { "name": "staging" },
                "targetEnvironmentRefs": [{ "name": "production" }],
                "approvals": { "users": ["bob"], "groups": ["managers"] },
            }]}),
            _ => return None,
        };
        Some(json!({ "kind": kind, "metadata": { "name": name }, "spec": spec }))
    }

    fn list(&self, _: &str, _: &str, _: &str) -> Vec<Value> {
        Vec::new()
    }

    fn each_name(&self, _: &str, _: &str, _: &str, _: &mut dyn FnMut(&str)) {}
}

fn promotion() -> Value {
    json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": "web" },
            "sourceEnvironment": "staging", "targetEnvironment": "production",
            "releases": { "web": "web-1" },
        },
    })
}

/// The promotion as ann has made it, with a plan.
fn made() -> Value {
    let mut made = promotion();
    made["spec"]["requestedBy"] = json!("ann");
    made["status"] = json!({ "phase": "AwaitingApproval", "planDigest": "one" });
    made
}

fn user(name: &str) -> User {
    match name {
        "dan" => User::new("dan", vec!["managers".to_owned()]),
        "controllers" => User::of_part("controllers"),
        name => User::new(name, Vec::new()),
    }
}

/// What becomes of an object that somebody writes, and what is wrong with it.
fn signed(by: &str, mut object: Value, old: Option<&Value>) -> (Value, Vec<String>) {
    let user = user(by);
    let asked = Asked {
        user: &user,
        reader: &Stored,
        old,
    };
    let found = sign(&asked, &mut object, Timestamp::UNIX_EPOCH);
    let found = found
        .iter()
        .map(|one| format!("{}: {}", one.field, one.message))
        .collect();
    (object, found)
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object["spec"][field] = value;
    object
}

/// Asserts what is said of a decision that somebody adds to ann's promotion.
fn check(by: &str, approval: &Value, expected: &[&str]) {
    let old = made();
    let new = with(made(), "approvals", json!([approval]));
    assert_eq!(signed(by, new, Some(&old)).1, expected, "{by}");
}

#[test]
fn whoever_makes_a_promotion_asked_for_it() {
    let (object, found) = signed("ann", promotion(), None);
    assert_eq!(found, [""; 0]);
    assert_eq!(object["spec"]["requestedBy"], "ann");
    let forged = with(promotion(), "requestedBy", json!("bob"));
    let (_, found) = signed("ann", forged.clone(), None);
    assert_eq!(
        found,
        ["spec.requestedBy: \"bob\" is somebody else: the request is ann's"]
    );
    let (object, found) = signed("controllers", forged, None);
    assert_eq!(
        (&object["spec"]["requestedBy"], found),
        (&json!("bob"), Vec::new())
    );
    // Whoever changes it did not ask for it.
    let old = made();
    let (object, found) = signed("bob", promotion(), Some(&old));
    assert_eq!(
        (&object["spec"]["requestedBy"], found),
        (&json!("ann"), Vec::new())
    );
}

#[test]
fn nobody_approves_before_there_is_a_plan() {
    let early = with(promotion(), "approvals", json!([{ "planDigest": "one" }]));
    let (_, found) = signed("bob", early, None);
    assert_eq!(
        found,
        ["spec.approvals: must be empty: there is nothing to approve before there is a plan"]
    );
}

#[test]
fn an_approval_is_signed_with_who_asks() {
    let old = made();
    let approvals =
        json!([{ "planDigest": "one", "groups": ["forged"], "at": "2020-01-01T00:00:00Z" }]);
    let (object, found) = signed("dan", with(made(), "approvals", approvals), Some(&old));
    assert_eq!(found, [""; 0]);
    assert_eq!(
        object["spec"]["approvals"],
        json!([{
            "by": "dan", "groups": ["managers"], "decision": "approve", "planDigest": "one",
            "at": "1970-01-01T00:00:00Z",
        }])
    );
    // What is there stays as it is, whoever writes it again.
    let (same, found) = signed("eve", object.clone(), Some(&object));
    assert_eq!((same, found), (object, Vec::new()));
}

#[test]
fn what_nobody_may_say_is_refused() {
    check("bob", &json!({ "planDigest": "one" }), &[]);
    check(
        "eve",
        &json!({ "by": "bob", "planDigest": "one" }),
        &[
            "spec.approvals[0].by: \"bob\" is somebody else: the request is eve's",
            "spec.approvals[0]: eve may not decide here; those who may: bob, group managers",
        ],
    );
    check(
        "ann",
        &json!({ "planDigest": "one" }),
        &["spec.approvals[0]: ann asked for it, and nobody approves their own"],
    );
    check(
        "ann",
        &json!({ "planDigest": "one", "decision": "reject" }),
        &[],
    );
    check(
        "bob",
        &json!({ "planDigest": "two" }),
        &["spec.approvals[0].planDigest: is not the plan as it is now, one: look at it again"],
    );
}

#[test]
fn what_is_over_is_not_decided() {
    let mut old = made();
    old["status"]["phase"] = json!("Succeeded");
    let new = with(old.clone(), "approvals", json!([{ "planDigest": "one" }]));
    let (_, found) = signed("bob", new, Some(&old));
    assert_eq!(
        found,
        ["spec.approvals[0]: come too late: the promotion is Succeeded"]
    );
}

#[test]
fn the_glass_is_broken_in_the_own_name() {
    let glass = json!({ "reason": "outage", "groups": ["managers"] });
    let (object, found) = signed("bob", with(promotion(), "breakGlass", glass.clone()), None);
    assert_eq!(found, [""; 0]);
    let written = json!({ "reason": "outage", "by": "bob" });
    assert_eq!(object["spec"]["breakGlass"], written);
    let (_, found) = signed("ann", with(promotion(), "breakGlass", glass), None);
    assert_eq!(
        found,
        ["spec.breakGlass: ann may not break the glass here; those who may: bob, group managers"]
    );
    let (_, found) = signed("eve", with(made(), "breakGlass", written), Some(&object));
    assert_eq!(found, [""; 0], "what was signed is not signed again");
}

#[test]
fn a_status_is_the_platforms_to_write() {
    let old = made();
    let mut new = made();
    new["status"]["phase"] = json!("Succeeded");
    let found =
        |by: &str, object: &Value| testimony(&user(by), "Promotion", (object, Some(&old))).len();
    assert_eq!(found("bob", &new), 1);
    assert_eq!(found("bob", &old), 0);
    assert_eq!(found("controllers", &new), 0);
}
