use std::{fs, path::PathBuf};

use choreo_compiler::plan::Effect;

use super::*;
use crate::testing::{Api, SHOP};

fn arguments(files: Vec<PathBuf>, base: Option<PathBuf>) -> cli::Plan {
    cli::Plan {
        filenames: files,
        offline: base.is_none(),
        base,
        base_ref: None,
        prune: cli::Prune::default(),
        namespace: cli::Namespace {
            namespace: "default".to_owned(),
        },
        output: Format::Text,
    }
}

#[test]
fn folders_are_compared_without_a_platform() {
    let folder = tempfile::tempdir().unwrap();
    let (base, file) = (folder.path().join("base"), folder.path().join("web.yaml"));
    fs::create_dir(&base).unwrap();
    fs::write(base.join("shop.yaml"), SHOP).unwrap();
    fs::write(&file, SHOP).unwrap();
    let same = offline(&arguments(vec![file.clone()], Some(base.clone()))).unwrap();
    assert_eq!(exit(&same), Exit::Ok, "{same:?}");
    fs::write(&file, SHOP.replace("web:1", "web:2")).unwrap();
    let args = arguments(vec![file.clone()], Some(base));
    let changed = offline(&args).unwrap();
    assert_eq!(exit(&changed), Exit::Changes);
    let told = text::plan(&changed);
    let wanted = "\"web:1\" -> \"web:2\"  (Workload/web spec.container.image)";
    assert!(
        told.starts_with("rolls pods: web in development\n"),
        "{told}"
    );
    assert!(told.contains(wanted), "{told}");
    assert!(
        told.contains("1 of 6 bindings change; at most: rolls pods"),
        "{told}"
    );
    assert_eq!(changed.digest(), offline(&args).unwrap().digest());
    fs::write(
        &file,
        SHOP.replace("name: deployment/service", "name: deployment/nope"),
    )
    .unwrap();
    assert_eq!(exit(&offline(&args).unwrap()), Exit::Invalid);
    let new = offline(&arguments(vec![file], None)).unwrap();
    assert_eq!(new.moves.len(), 3, "{new:?}");
}

#[test]
fn a_revision_of_the_files_is_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    fs::write(&file, SHOP).unwrap();
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "commit",
            "--quiet",
            "-m",
            "a",
        ],
    ] {
        let mut git = std::process::Command::new("git");
        let done = git.arg("-C").arg(folder.path()).args(arguments).output();
        assert!(done.unwrap().status.success());
    }
    let mut args = arguments(vec![folder.path().to_owned()], None);
    (args.offline, args.base_ref) = (false, Some("HEAD".to_owned()));
    assert_eq!(exit(&offline(&args).unwrap()), Exit::Ok);
    fs::write(&file, SHOP.replace("web:1", "web:2")).unwrap();
    let told = text::plan(&offline(&args).unwrap());
    assert!(told.contains("\"web:1\" -> \"web:2\""), "{told}");
}

#[test]
fn what_nothing_uses_yet_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let (base, file) = (
        folder.path().join("base.yaml"),
        folder.path().join("new.yaml"),
    );
    fs::write(&base, SHOP).unwrap();
    let secret = "apiVersion: openchoreo.dev/v1alpha1\nkind: SecretReference\n\
                  metadata: {name: spare}\nspec: {template: {}, data: \
                  [{secretKey: a, remoteRef: {key: b}}]}\n";
    fs::write(&file, format!("{SHOP}\n---\n{secret}")).unwrap();
    let plan = offline(&arguments(vec![file], Some(base))).unwrap();
    assert_eq!(exit(&plan), Exit::Ok);
    let told = text::plan(&plan);
    let note = "note: 1 new object nothing uses yet: SecretReference/spare\nno changes in ";
    assert!(told.starts_with(note), "{told}");
    assert_eq!(json!(plan)["unused"][0]["name"], "spare");
}

#[test]
fn what_the_files_leave_out_of_the_base_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (base, file) = (
        folder.path().join("base.yaml"),
        folder.path().join("new.yaml"),
    );
    fs::write(&base, SHOP).unwrap();
    fs::write(&file, SHOP.split("---").next().unwrap()).unwrap();
    let args = arguments(vec![file], Some(base));
    let plan = offline(&args).unwrap();
    assert_eq!(exit(&plan), Exit::Changes);
    let told = text::plan(&plan);
    for wanted in [
        "deletes: web in development, web in production, web in staging\n",
        "  because Component/web goes\n",
        "deleted:\n  Component/web\n",
        "3 of 6 bindings change; at most: deletes",
    ] {
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
    assert_eq!(plan.digest(), offline(&args).unwrap().digest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_platform_says_what_it_would_make_of_files() {
    let api = Api::with_controllers().await;
    api.apply(SHOP).await.unwrap();
    api.until("renderedrelease", "web-development", |_| Some(()))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, SHOP).unwrap();
    let args = arguments(vec![file.clone()], None);
    let same = online(&api.client, &args).await.unwrap();
    assert_eq!(exit(&same), Exit::Ok, "{same:?}");
    fs::write(&file, SHOP.replace("web:1", "web:2")).unwrap();
    let changed = online(&api.client, &args).await.unwrap();
    assert_eq!(
        (changed.changed, changed.releases.len()),
        (1, 1),
        "{changed:?}"
    );
    let again = online(&api.client, &args).await.unwrap();
    fs::write(&file, SHOP.split("---").next().unwrap()).unwrap();
    let kept = online(&api.client, &args).await.unwrap();
    assert_eq!(exit(&kept), Exit::Ok, "{kept:?}");
    let mut pruning = args.clone();
    pruning.prune.prune = true;
    let pruned = online(&api.client, &pruning).await.unwrap();
    let effect = pruned.effect().unwrap();
    assert_eq!((pruned.changed, effect), (1, Effect::Deletes), "{pruned:?}");
    assert_eq!(changed.digest(), again.digest());
    api.stop().await;
}
