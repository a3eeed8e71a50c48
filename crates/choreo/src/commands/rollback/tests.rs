use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    cli::{Format, Namespace, OutputOnly, Wait},
    commands::audit,
    testing::{Api, SHOP},
};

/// A deployment: action, release, value of a variable, outcome.
type Deployed = (&'static str, &'static str, &'static str, &'static str);

const HISTORY: [Deployed; 4] = [
    ("Deploy", "c-1", "a", "Succeeded"),
    ("Deploy", "c-2", "a", "Succeeded"),
    ("Deploy", "c-3", "a", "Failed"),
    ("Configure", "c-3", "b", "Succeeded"),
];

fn overrides(value: &str) -> Value {
    json!({"container": {"env": [{"key": "MODE", "value": value}]}})
}

fn records(history: &[Deployed]) -> Vec<DeploymentRecord> {
    let record = |(at, (action, release, value, outcome)): (usize, &Deployed)| {
        json!({
            "metadata": {"name": format!("c-{at}")},
            "spec": {
                "owner": {"projectName": "p", "componentName": "c"}, "environment": "production",
                "binding": {"kind": "ReleaseBinding", "name": "c-production", "uid": "u"},
                "sequence": at + 1, "action": action, "release": release,
                "configuration": {"state": "Active", "workloadOverrides": overrides(value)},
                "startedAt": "2026-01-01T00:00:00Z", "hash": "h",
            },
            "status": {"outcome": outcome},
        })
    };
    let all = history.iter().enumerate().map(record);
    all.map(|record| serde_json::from_value(record).unwrap())
        .collect()
}

fn binding((_, release, value, _): Deployed) -> ReleaseBinding {
    let binding = json!({
        "metadata": {"name": "c-production", "uid": "u"},
        "spec": {
            "owner": {"projectName": "p", "componentName": "c"}, "environment": "production",
            "releaseName": release, "workloadOverrides": overrides(value),
        },
    });
    serde_json::from_value(binding).unwrap()
}

fn asked((component, env): (&str, &str), to: Option<&str>, keep_configuration: bool) -> Rollback {
    Rollback {
        component: component.to_owned(),
        track: None,
        env: env.to_owned(),
        to: to.map(str::to_owned),
        to_image: None,
        keep_configuration,
        reason: Some("it loses orders".to_owned()),
        namespace: Namespace {
            namespace: "default".to_owned(),
        },
        wait: Wait {
            no_wait: true,
            timeout: Duration::ZERO,
        },
        output: OutputOnly {
            output: Format::Json,
        },
    }
}

async fn rollback(client: &Client, args: &Rollback) -> Result<Told> {
    let mut told = Told::new(Format::Json, "rollback", "default");
    super::rollback(client, args, &mut told).await?;
    Ok(told)
}

/// Asserts to which number a history goes back, with which release and which value.
#[track_caller]
fn check(
    history: &[Deployed],
    (to, keep_configuration): (Option<&str>, bool),
    expected: std::result::Result<(Option<i64>, &str, &str), Exit>,
) {
    let args = asked(("c", "production"), to, keep_configuration);
    let now = binding(history[history.len() - 1]);
    let found = target((&records(history), &Images::default()), &now, &args)
        .map_err(|failure| failure.exit());
    let told = found.map(|target| {
        let wanted = serde_json::to_value(configured(&now, &target).unwrap().spec).unwrap();
        let value = wanted
            .pointer("/workloadOverrides/container/env/0/value")
            .cloned();
        (target.sequence, target.release, value.unwrap_or_default())
    });
    let expected =
        expected.map(|(number, release, value)| (number, release.to_owned(), Value::from(value)));
    assert_eq!(told, expected);
}

#[test]
fn the_last_that_succeeded_comes_back_as_it_was_configured() {
    check(&HISTORY, (None, false), Ok((Some(2), "c-2", "a")));
    check(&HISTORY, (None, true), Ok((Some(2), "c-2", "b")));
    check(&HISTORY[..2], (None, false), Ok((Some(1), "c-1", "a")));
    check(&HISTORY[..1], (None, false), Err(Exit::Conflict));
}

#[test]
fn going_back_twice_goes_back_further() {
    let again = [HISTORY.as_slice(), &[("Rollback", "c-2", "a", "Succeeded")]].concat();
    check(&again, (None, false), Ok((Some(1), "c-1", "a")));
}

#[test]
fn any_deployment_can_be_named() {
    check(&HISTORY, (Some("1"), false), Ok((Some(1), "c-1", "a")));
    check(&HISTORY, (Some("c-1"), false), Ok((Some(1), "c-1", "a")));
    check(&HISTORY, (Some("3"), false), Ok((Some(3), "c-3", "a")));
    check(&HISTORY, (Some("3"), true), Err(Exit::Conflict));
    check(&HISTORY, (Some("c-3"), false), Err(Exit::Conflict));
    check(&HISTORY, (Some("5"), false), Err(Exit::NotFound));
    check(&HISTORY, (Some("c-9"), false), Ok((None, "c-9", "b")));
}

/// Asserts to which number and value a history goes back for an image.
#[track_caller]
fn check_image(
    image: &str,
    images: &Images,
    expected: std::result::Result<(i64, &str), (Exit, &str)>,
) {
    let mut args = asked(("c", "production"), None, false);
    args.to_image = Some(image.to_owned());
    let history = [
        ("Deploy", "c-1", "a", "Succeeded"),
        ("Configure", "c-1", "b", "Succeeded"),
        ("Deploy", "c-1", "c", "Failed"),
        ("Deploy", "c-2", "a", "Failed"),
        ("Undeploy", "c-2", "a", "Succeeded"),
        ("Deploy", "c-3", "a", "Succeeded"),
        ("Configure", "c-3", "b", "Succeeded"),
    ];
    let now = binding(history[history.len() - 1]);
    let found = target((&records(&history), images), &now, &args);
    let told = found.map(|target| {
        let wanted = serde_json::to_value(configured(&now, &target).unwrap().spec).unwrap();
        let value = wanted["workloadOverrides"]["container"]["env"][0]["value"].clone();
        (target.sequence.unwrap(), value)
    });
    let told = told.map_err(|failure| {
        (
            failure.exit(),
            failure.help().unwrap_or_default().to_owned(),
        )
    });
    let expected = expected
        .map(|(number, value)| (number, Value::from(value)))
        .map_err(|(exit, help)| (exit, help.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn an_image_stands_for_the_last_deployment_that_had_it() {
    let images = Images::from([("c-1", "c:1"), ("c-2", "c:2"), ("c-3", "c:3")]);
    let known = "there were: c:3 (deployment 7), c:2 (deployment 4), c:1 (deployment 3)";
    check_image("c:1", &images, Ok((2, "b")));
    check_image("c:2", &images, Ok((4, "a")));
    check_image("c:3", &images, Ok((6, "a")));
    check_image("c:9", &images, Err((Exit::NotFound, known)));
    let lost = "of none of its deployments is the release still kept";
    check_image("c:1", &Images::default(), Err((Exit::NotFound, lost)));
}

#[test]
fn the_image_that_is_deployed_is_not_gone_back_to() {
    let mut args = asked(("c", "production"), None, false);
    args.to_image = Some("c:1".to_owned());
    let images = Images::from([("c-1", "c:1")]);
    let found = target(
        (&records(&HISTORY[..1]), &images),
        &binding(HISTORY[0]),
        &args,
    );
    assert_eq!(found.unwrap_err().exit(), Exit::Conflict);
}

async fn recorded(api: &Api, number: i64) -> DeploymentRecord {
    api.until("ReleaseBinding", "web-development", |binding| {
        (binding["status"]["history"]["sequence"] == number).then_some(())
    })
    .await;
    let mut records = store::list::<DeploymentRecordSpec>(&api.client, "default")
        .await
        .unwrap();
    records.retain(|record| record.spec.owner.component_name.is_some());
    assert_eq!(i64::try_from(records.len()).unwrap(), number);
    records.pop().unwrap()
}

#[tokio::test]
async fn a_deployment_comes_back_and_the_history_tells_it() {
    let api = Api::with_controllers().await;
    api.apply(SHOP).await.unwrap();
    let first = recorded(&api, 1).await;
    assert_eq!(first.spec.changed_by, "admin", "who applied the component");
    let place = ("default", "web-development");
    let change = json!({"spec": {"workloadOverrides": overrides("slow")}});
    store::merge::<ReleaseBindingSpec>(&api.client, place, change, "somebody")
        .await
        .unwrap();
    let second = recorded(&api, 2).await;
    assert_eq!(
        (second.spec.action, second.spec.changed_by.as_str()),
        (Action::Configure, "admin")
    );
    assert_ne!(first.spec.plan_digest, second.spec.plan_digest);

    let told = rollback(
        &api.client,
        &asked(("web", "development"), Some("1"), false),
    )
    .await
    .unwrap();
    let release = &first.spec.release;
    let expected = json!({
        "action": "rollback", "namespace": "default", "project": "shop", "component": "web",
        "environment": "development", "previousRelease": release, "release": release,
        "deployment": 1, "binding": "web-development", "outcome": "Requested",
    });
    assert_eq!(serde_json::to_value(&told.summary).unwrap(), expected);
    let third = recorded(&api, 3).await;
    assert_eq!(third.spec.action, Action::Rollback);
    assert_eq!(third.spec.reason, "it loses orders");
    assert_eq!(third.spec.configuration, first.spec.configuration);
    assert_eq!(third.spec.plan_digest, first.spec.plan_digest);

    // The same by its image: the last deployment that had it and was configured otherwise.
    let mut by_image = asked(("web", "development"), None, false);
    by_image.to_image = Some("web:1".to_owned());
    rollback(&api.client, &by_image).await.unwrap();
    let fourth = recorded(&api, 4).await;
    assert_eq!(fourth.spec.configuration, second.spec.configuration);

    let found = audit::examine(&api.client, Some("default")).await.unwrap();
    assert_eq!(found.broken, []);
    api.stop().await;
}

#[tokio::test]
async fn nobody_changes_a_record_or_takes_it_away() {
    let api = Api::with_controllers().await;
    api.apply(SHOP).await.unwrap();
    let record = recorded(&api, 1).await;
    let place = ("default", record.name());
    let change = json!({"metadata": {"labels": {"a": "b"}}});
    let refused =
        store::merge::<DeploymentRecordSpec>(&api.client, place, change, "somebody").await;
    assert!(
        refused
            .unwrap_err()
            .with_causes()
            .contains("controllers alone")
    );
    let resource = crate::kinds::platform("DeploymentRecord").unwrap();
    let records = crate::commands::api(&api.client, &resource, "default");
    let refused = records
        .delete(record.name(), &kube::api::DeleteParams::default())
        .await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("as long as its binding")
    );
    assert_eq!(record.metadata.managed_fields, None, "records are small");
    let size = serde_json::to_string(&record).unwrap().len();
    assert!(size < 1200, "{size}");
    api.stop().await;
}
