use super::*;
use crate::testing::{Api, SHOP};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/storefront");

fn arguments(target: &str, field: &str, env: Option<&str>) -> Explain {
    Explain {
        target: target.to_owned(),
        field: field.to_owned(),
        track: None,
        env: env.map(str::to_owned),
        namespace: None,
        filenames: vec![SAMPLE.into()],
        source: Vec::new(),
        output: Format::Text,
    }
}

fn explained(target: &str, field: &str, env: Option<&str>) -> Result<String> {
    let answer = offline(&arguments(target, field, env))?;
    Ok(text::answer(&answer).replace(SAMPLE, "samples"))
}

#[test]
fn fields_are_followed_to_the_line_that_gives_them() {
    let told = explained("catalog", "deployment.spec.replicas", Some("staging")).unwrap();
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert!(
        lines[0].starts_with("spec.replicas is 2: set by ReleaseBinding/catalog-staging in "),
        "{told}"
    );
    assert!(
        lines[1].contains("${environmentConfigs.replicas}"),
        "{told}"
    );
    assert!(
        lines[1].contains("(the platform's default service:"),
        "{told}"
    );
    assert!(lines[2].contains("(samples/catalog.yaml:"), "{told}");
    let name = told.lines().next().unwrap();
    assert_eq!(explained(name, ".spec.replicas", None).unwrap(), told);
    let default = explained("catalog", "deployment.spec.replicas", Some("production")).unwrap();
    assert!(
        default.contains("the default that ClusterComponentType/service"),
        "{default}"
    );
}

fn hint(target: &str, field: &str, env: Option<&str>) -> String {
    let failure = explained(target, field, env).unwrap_err();
    failure.help().unwrap_or_default().to_owned()
}

#[test]
fn a_name_that_is_also_a_components_may_mean_that() {
    let asked = hint("catalog", ".spec.replicas", None);
    assert!(
        asked.starts_with("name one of: Service/catalog --env"),
        "{asked}"
    );
    let of_it = "the component: catalog deployment.spec.replicas --env development";
    assert!(asked.ends_with(&format!("; or {of_it}")), "{asked}");
    let asked = hint("deployment/catalog", ".spec.replicas", None);
    assert_eq!(asked, format!("name {of_it}"));
    let asked = hint("service/catalog", ".spec.replicas", Some("staging"));
    let kind = "the component: catalog service.spec.replicas --env development";
    assert_eq!(asked, format!("did you mean {kind}?"));
}

#[test]
fn what_is_not_there_is_said() {
    let said = |target: &str, field: &str, env: Option<&str>| {
        let failure = explained(target, field, env).unwrap_err();
        (failure.exit(), failure.to_string())
    };
    assert_eq!(
        said("catalog", "job.spec", Some("staging")),
        (Exit::NotFound, "catalog has no job in staging".to_owned())
    );
    assert_eq!(said("deployment/x", ".spec", None).0, Exit::NotFound);
    let (exit, message) = said("catalog", "deployment.spec.nope", Some("staging"));
    assert_eq!(exit, Exit::NotFound);
    assert!(message.contains("there is no nope in spec"), "{message}");
    assert_eq!(
        hint("catalog", "deployment.spec.image", Some("staging")),
        "did you mean spec.template.spec.containers[0].image?"
    );
    assert_eq!(
        hint("catalog", "deployment.spec.replica", Some("staging")),
        "did you mean replicas?"
    );
    assert_eq!(
        hint("catalogue", "deployment.spec", Some("staging")),
        "did you mean catalog?"
    );
    assert_eq!(
        hint("catalog", "deployment.spec", Some("stagin")),
        "did you mean staging?"
    );
    let one = "NetworkPolicy/openchoreo-catalog --env staging";
    let several = hint("catalog", "networkpolicy.spec", Some("staging"));
    assert!(several.contains(one), "{several}");
    let several = hint("networkpolicy/openchoreo-catalog", ".spec", None);
    assert!(several.contains(one), "{several}");
    assert!(explained("networkpolicy/openchoreo-catalog", ".spec", Some("staging")).is_ok());
    let there = hint("catalog", "job.spec", Some("staging"));
    assert!(
        there.starts_with("there is: ") && there.contains("Deployment/"),
        "{there}"
    );
    let meant = hint("catalog", "deploymnt.spec", Some("staging"));
    assert!(meant.starts_with("did you mean Deployment/"), "{meant}");
    assert_eq!(said("catalog", ".spec", Some("staging")).0, Exit::Usage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_explained_by_its_release_and_files_that_agree() {
    let api = Api::with_controllers().await;
    api.apply(SHOP).await.unwrap();
    api.until("renderedrelease", "web-development", |_| Some(()))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, SHOP).unwrap();
    let mut args = arguments(
        "web",
        "deployment.spec.template.spec.containers[0].image",
        Some("development"),
    );
    args.filenames.clear();
    args.source = vec![file.clone()];
    let objects = fleet::objects(&api.client).await.unwrap();
    let told = || {
        let text = text::answer(&online(&objects, &args).unwrap());
        text.replace(&folder.path().display().to_string(), "")
    };
    let line = told().lines().last().unwrap().to_owned();
    let start = "  <- set by Workload/web in spec.container.image (kept by ComponentRelease/web-";
    assert!(line.starts_with(start), "{line}");
    assert!(
        line.ends_with(" in spec.workload.container.image; /shop.yaml:22)"),
        "{line}"
    );
    std::fs::write(&file, SHOP.replace("web:1", "web:2")).unwrap();
    assert!(
        told().ends_with("/shop.yaml:22 says otherwise)\n"),
        "{}",
        told()
    );
    api.stop().await;
}
