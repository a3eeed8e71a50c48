use std::{fs, path::Path};

use serde_json::Value;

use super::*;
use crate::{
    cli, manifest,
    testing::{Api, SHOP},
};

fn arguments(folder: &Path, env: Option<&str>) -> Render {
    Render {
        paths: vec![folder.to_owned()],
        track: None,
        env: env.map(str::to_owned),
        namespace: cli::Namespace {
            namespace: "default".to_owned(),
        },
        standalone: false,
        output_dir: None,
    }
}

fn rendered(env: Option<&str>) -> Vec<RenderedBinding> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    let args = arguments(folder.path(), env);
    let files = Files::read(&args.paths, "default").unwrap();
    render(&files, &args).unwrap()
}

/// Identifiers are what only a platform can give.
fn without_identifiers(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.contains("-uid: "));
    let kept = kept.filter(|line| !line.contains("dp-resource-hash"));
    kept.collect::<Vec<_>>().join("\n")
}

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/storefront");

fn bytes<'v, T: Serialize + 'v>(objects: impl Iterator<Item = &'v T>) -> String {
    let documents = objects.map(|object| yaml(object).unwrap());
    documents.collect::<Vec<_>>().join("---\n")
}

/// Every release rendered by the platform is what `render` makes, byte for byte: of the objects of
/// the platform, and, but for identifiers, of the files alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rendered_is_what_runs() {
    let api = Api::with_controllers().await;
    let args = arguments(Path::new(SAMPLE), None);
    let texts = manifest::texts(&args.paths).unwrap();
    let secrets = "{apiVersion: v1, kind: Namespace, metadata: {name: openchoreo-secrets}}";
    let mut files = vec![secrets];
    files.extend(texts.iter().map(|(_, text)| text.as_ref()));
    api.apply(&files.join("\n---\n")).await.unwrap();
    let offline = render(&Files::read(&args.paths, "default").unwrap(), &args).unwrap();
    assert!(offline.len() > 5, "{}", offline.len());
    // Components that call others are rendered again when those have an address.
    for one in &offline {
        let wanted = without_identifiers(&bytes(objects(one)));
        let found = api.until("renderedrelease", &one.release, |release| {
            let resources = release["spec"]["resources"].as_array()?;
            let text = bytes(resources.iter().map(|one| &one["object"]));
            (without_identifiers(&text) == wanted).then_some(text)
        });
        let running = found.await;
        let mut fleet = Fleet::read(fleet::objects(&api.client).await.unwrap());
        fleet::settle(&mut fleet);
        let online = fleet.render();
        let ours = online.iter().find(|ours| ours.release == one.release);
        assert_eq!(bytes(objects(ours.unwrap())), running, "{}", one.release);
    }
    api.stop().await;
}

#[test]
fn what_waits_for_others_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let wants = "  dependencies:\n    endpoints:\n    - {component: gone, name: http, visibility: \
                 project, envBindings: {address: GONE}}\n";
    fs::write(folder.path().join("shop.yaml"), format!("{SHOP}{wants}")).unwrap();
    let args = arguments(folder.path(), None);
    let all = render(&Files::read(&args.paths, "default").unwrap(), &args).unwrap();
    let notes: Vec<String> = waiting(&all).collect();
    let note = "note: a platform deploys web-development only when shop/gone has the endpoint http";
    assert_eq!(notes, [note]);
}

#[test]
fn any_environment_can_be_rendered() {
    let environments = |env| {
        let all = rendered(env);
        let found = all.iter().map(|one| one.environment.clone());
        found.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(
        environments(Some("production")),
        ["production".to_owned()].into()
    );
    let staged = rendered(Some("staging"));
    assert!(staged.iter().any(|one| one.component.is_some()));
    let deployed = rendered(None);
    let of_components = deployed.iter().filter(|one| one.component.is_some());
    assert_eq!(of_components.count(), 1);
}

#[test]
fn trees_are_for_kustomize_and_leave_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let all = rendered(Some("staging"));
    let count = tree::write(folder.path(), tree::placed(&all)).unwrap();
    let list = fs::read_to_string(folder.path().join("staging/kustomization.yaml")).unwrap();
    let list: Value = serde_saphyr::from_str(&list).unwrap();
    let names = list["resources"].as_array().unwrap();
    assert_eq!(names.len(), count);
    for name in names {
        let path = folder.path().join("staging").join(name.as_str().unwrap());
        let object: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(object["kind"].is_string(), "{name}");
    }
    assert_eq!(
        tree::write(folder.path(), tree::placed(&all)).unwrap(),
        count
    );
    let cells: Vec<RenderedBinding> = all
        .iter()
        .filter(|one| one.component.is_none())
        .cloned()
        .collect();
    tree::write(folder.path(), tree::placed(&cells)).unwrap();
    assert!(
        !folder
            .path()
            .join("staging/shop/web")
            .read_dir()
            .unwrap()
            .any(|_| true)
    );
    let foreign = folder.path().join("staging/kustomization.yaml");
    fs::write(&foreign, "mine: true\n").unwrap();
    let refused = tree::write(folder.path(), tree::placed(&all)).unwrap_err();
    assert_eq!(refused.exit(), Exit::Conflict);
    assert_eq!(fs::read_to_string(foreign).unwrap(), "mine: true\n");
}
