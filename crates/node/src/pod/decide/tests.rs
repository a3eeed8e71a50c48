//! What is done next for small pods.

use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::{Value, from_value, json};

use super::*;
use crate::pod::{state::Report, token::Token};

const NOW: &str = "2026-01-01T00:10:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn pod(spec: &Value) -> Pod {
    from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec})).unwrap()
}

fn runs(id: &str) -> Container {
    Container {
        state: State::Running {
            id: id.to_owned(),
            since: now(),
        },
        ..Container::default()
    }
}

fn ended(code: i32) -> Container {
    Container {
        state: State::Ended(Ended {
            id: "x".into(),
            code,
            reason: "Completed".into(),
            message: None,
            since: now(),
            at: now(),
        }),
        ..Container::default()
    }
}

fn plan(pod: &Pod, runtime: &Runtime) -> Plan {
    let inputs = Inputs {
        pod,
        payload: Ok(Payload::new()),
        problems: BTreeMap::new(),
        now: now(),
    };
    decide(&inputs, runtime)
}

/// The containers that are stopped, with the seconds they are given.
fn stops(pod: &Pod, runtime: &Runtime) -> Vec<(String, i64)> {
    let actions = plan(pod, runtime).actions.into_iter();
    let stops = actions.filter_map(|action| {
        let Action::Stop(name, _, grace, _) = action else {
            return None;
        };
        Some((name, grace))
    });
    stops.collect()
}

fn with_sidecars() -> Value {
    json!({
        "initContainers": [
            {"name": "prepare"}, {"name": "proxy", "restartPolicy": "Always"},
            {"name": "log", "restartPolicy": "Always"},
        ],
        "containers": [{"name": "main"}, {"name": "other"}],
        "terminationGracePeriodSeconds": 20,
    })
}

#[test]
fn sidecars_end_after_those_they_serve_and_in_reverse() {
    let mut pod = pod(&with_sidecars());
    let deadline = Time(after(now(), 20));
    pod.metadata.deletion_timestamp = Some(deadline);
    pod.metadata.deletion_grace_period_seconds = Some(20);
    let mut runtime = Runtime::default();
    for name in ["main", "other", "proxy", "log"] {
        runtime.containers.insert(name.to_owned(), runs(name));
    }
    runtime.containers.insert("prepare".into(), ended(0));
    let both = [("main".to_owned(), 20), ("other".to_owned(), 20)];
    assert_eq!(stops(&pod, &runtime), both);
    for name in ["main", "other"] {
        runtime.container(name).stopping = true;
    }
    assert_eq!(stops(&pod, &runtime), []);
    for name in ["main", "other"] {
        runtime.containers.insert(name.to_owned(), ended(143));
    }
    pod.metadata.deletion_timestamp = Some(Time(after(now(), 5)));
    assert_eq!(stops(&pod, &runtime), [("log".to_owned(), 5)]);
    runtime.containers.insert("log".into(), ended(137));
    pod.metadata.deletion_timestamp = Some(Time(after(now(), -5)));
    assert_eq!(stops(&pod, &runtime), [("proxy".to_owned(), LAST_MOMENT)]);
    runtime.containers.insert("proxy".into(), ended(137));
    assert!(plan(&pod, &runtime).actions.contains(&Action::TearDown));
}

#[test]
fn sidecars_end_when_a_job_is_done() {
    let mut spec = with_sidecars();
    spec["restartPolicy"] = json!("Never");
    let pod = pod(&spec);
    let mut runtime = Runtime::default();
    for name in ["prepare", "main", "other"] {
        runtime.containers.insert(name.to_owned(), ended(0));
    }
    runtime.containers.insert("proxy".into(), runs("proxy"));
    runtime.containers.insert("log".into(), runs("log"));
    assert_eq!(stops(&pod, &runtime), [("log".to_owned(), 20)]);
}

#[test]
fn a_probe_may_give_less_time_than_the_pod() {
    let pod = pod(&json!({"containers": [{"name": "main"}], "terminationGracePeriodSeconds": 60}));
    let mut runtime = Runtime {
        started: Some(now()),
        ..Runtime::default()
    };
    runtime.containers.insert("main".into(), runs("main"));
    for (grace, expected) in [(None, 60), (Some(3), 3)] {
        let message = "Liveness probe failed".to_owned();
        runtime.container("main").checks.verdict = Some(Verdict { message, grace });
        assert_eq!(stops(&pod, &runtime), [("main".to_owned(), expected)]);
    }
}

#[test]
fn a_pull_does_not_hold_up_the_end() {
    let mut pod = pod(&json!({"containers": [{"name": "main"}]}));
    pod.metadata.deletion_timestamp = Some(Time(now()));
    let mut runtime = Runtime::default();
    runtime.container("main").state = State::Pulling;
    assert_eq!(plan(&pod, &runtime).actions, [Action::TearDown]);
}

#[test]
fn what_a_run_left_is_removed_once() {
    let pod = pod(&json!({"containers": [{"name": "main"}]}));
    let mut runtime = Runtime::default();
    runtime.containers.insert("main".into(), runs("u-main-0"));
    let exit = crate::machine::Exit {
        code: 1,
        out_of_memory: false,
        error: None,
    };
    let message = Some("no space".to_owned());
    let report = Report::Exited("u-main-0".into(), exit, message.clone());
    runtime.apply(report, &pod, now());
    let State::Ended(end) = &runtime.containers["main"].state else {
        panic!("{runtime:?}");
    };
    assert_eq!(end.message, message);
    let discard = Action::Discard("u-main-0".to_owned());
    assert!(plan(&pod, &runtime).actions.contains(&discard));
    begin(&mut runtime, &pod, &discard);
    assert!(!plan(&pod, &runtime).actions.contains(&discard));
}

#[test]
fn restarts_follow_the_policy() {
    let spec = |policy: &str| -> PodSpec {
        from_value(json!({"containers": [], "restartPolicy": policy})).unwrap()
    };
    let plain = Spec::default();
    for (policy, code, expected) in [
        ("Always", 0, true),
        ("OnFailure", 0, false),
        ("OnFailure", 1, true),
        ("Never", 1, false),
    ] {
        let found = restarts(&spec(policy), &plain, false, code);
        assert_eq!(found, expected, "{policy} {code}");
    }
    assert!(!restarts(&spec("Always"), &plain, true, 0), "prepared once");
}

#[test]
fn containers_may_have_a_policy_and_rules_of_their_own() {
    let never: PodSpec = from_value(json!({"containers": [], "restartPolicy": "Never"})).unwrap();
    let always = PodSpec::default();
    let check = |container: Value, pod: &PodSpec, code, expected| {
        let container: Spec = from_value(container).unwrap();
        assert_eq!(restarts(pod, &container, false, code), expected, "{code}");
    };
    check(
        json!({"name": "c", "restartPolicy": "Always"}),
        &never,
        0,
        true,
    );
    check(
        json!({"name": "c", "restartPolicy": "Never"}),
        &always,
        1,
        false,
    );
    check(
        json!({"name": "c", "restartPolicy": "OnFailure"}),
        &always,
        0,
        false,
    );
    for (operator, code, expected) in [("In", 42, true), ("In", 1, false), ("NotIn", 1, true)] {
        let rule = json!({
            "action": "Restart", "exitCodes": {"operator": operator, "values": [42, 43]},
        });
        let container =
            json!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": [rule]});
        check(container, &always, code, expected);
    }
}

#[test]
fn an_object_that_others_hold_is_given_up_once() {
    let mut pod = pod(&json!({"containers": [{"name": "main"}]}));
    pod.metadata.deletion_timestamp = Some(Time(now()));
    let mut runtime = Runtime {
        teardown: Step::Done,
        ..Runtime::default()
    };
    assert_eq!(plan(&pod, &runtime).actions, [Action::Remove]);
    begin(&mut runtime, &pod, &Action::Remove);
    assert_eq!(plan(&pod, &runtime).actions, []);
    for (outcome, expected) in [(Err("full".to_owned()), true), (Ok(()), false)] {
        runtime.apply(Report::Removed(outcome), &pod, now());
        let plan = plan(&pod, &runtime);
        assert_eq!((plan.actions.len(), plan.again.is_some()), (0, expected));
    }
}

#[test]
fn what_has_stopped_is_not_asked_again_before_its_exit_is_told() {
    let mut pod = pod(&json!({"containers": [{"name": "main"}]}));
    pod.metadata.deletion_timestamp = Some(Time(now()));
    for (done, expected) in [(true, 0), (false, 1)] {
        let mut runtime = Runtime::default();
        runtime.containers.insert("main".into(), runs("id"));
        let stop = plan(&pod, &runtime).actions.remove(0);
        begin(&mut runtime, &pod, &stop);
        let report = Report::Stopped("main".into(), "id".into(), done);
        runtime.apply(report, &pod, now());
        assert_eq!(stops(&pod, &runtime).len(), expected, "{done}");
    }
}

#[test]
fn volumes_with_a_limit_are_measured_now_and_then() {
    let volumes = json!([
        {"name": "cache", "emptyDir": {"sizeLimit": "1Ki"}}, {"name": "free", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Ki"}},
    ]);
    let pod = pod(&json!({"volumes": volumes, "containers": [{"name": "main"}]}));
    let mut runtime = Runtime {
        started: Some(now()),
        ..Runtime::default()
    };
    let limits = storage::limits(&pod).unwrap();
    assert_eq!(limits.volumes.len(), 1);
    let running = [("main".to_owned(), "main".to_owned())].into();
    let measure = Action::Measure(limits, running);
    assert!(
        !plan(&pod, &runtime).actions.contains(&measure),
        "nothing runs"
    );
    runtime.containers.insert("main".into(), runs("main"));
    assert!(plan(&pod, &runtime).actions.contains(&measure));
    begin(&mut runtime, &pod, &measure);
    assert!(
        !plan(&pod, &runtime).actions.contains(&measure),
        "it is being done"
    );
    runtime.apply(Report::Measured(Ok(())), &pod, now());
    let later = plan(&pod, &runtime);
    assert!(!later.actions.contains(&measure));
    assert_eq!(later.again, Some(after(now(), MEASURED)));
    runtime.apply(Report::Measured(Err("too large".into())), &pod, now());
    assert_eq!(
        runtime.rejected,
        Some(("Evicted".into(), "too large".into()))
    );
    assert_eq!(stops(&pod, &runtime).len(), 1);
}

#[test]
fn tokens_are_asked_for_at_first_and_in_time() {
    let token = json!({"serviceAccountToken": {"path": "token", "audience": "vault"}});
    let pod = pod(&json!({
        "containers": [{"name": "main"}],
        "volumes": [{"name": "v", "projected": {"sources": [token]}}],
    }));
    let wanted = Wanted {
        audience: "vault".to_owned(),
        lasts: 3600,
    };
    let ask = Action::AskToken(wanted.clone());
    let asks = |runtime: &Runtime| {
        let plan = plan(&pod, runtime);
        (plan.actions.contains(&ask), plan.again)
    };
    let mut runtime = Runtime::default();
    assert!(asks(&runtime).0);
    begin(&mut runtime, &pod, &ask);
    assert!(!asks(&runtime).0, "it is being asked for");
    let mut answered = |issued: i64, answer: Result<(), &str>| {
        let token = answer.map(|()| Token {
            text: "t".to_owned(),
            issued: after(now(), issued),
            expires: after(now(), issued + 3600),
        });
        let report = Report::Token(wanted.clone(), token.map_err(str::to_owned));
        runtime.apply(report, &pod, now());
        asks(&runtime)
    };
    let minutes = |minutes: i64| Some(after(now(), minutes * 60));
    assert_eq!(answered(0, Ok(())), (false, minutes(48)));
    assert_eq!(answered(-47 * 60, Ok(())), (false, minutes(1)));
    assert!(answered(-48 * 60, Ok(())).0);
    assert_eq!(answered(0, Err("busy")), (false, Some(after(now(), 5))));
}
