//! `choreo deploy`: a component as it is now, or with another image, becomes a release where components
//! start. Whether it has autoDeploy makes no difference: the release is the one its controller makes,
//! by the same function, and whoever comes second finds it made.

mod preview;

use std::sync::Arc;

use choreo_controllers::{Change, Index, Key, Obstacle, Release};
use choreo_model::{
    ReleaseBinding, Workload, application::WorkloadSpec, history::Action,
    release::ComponentReleaseSpec,
};
use kube::{Client, api::ListParams};
use serde_json::{Value, json};

use super::{
    api,
    rollback::{self, image::Images},
};
use crate::{
    cli::Deploy,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds, manager, pipeline,
    rollout::{self, Line, Said},
    store,
    told::Told,
};

/// Runs `choreo deploy`.
pub(crate) async fn run(folder: &Folder, args: &Deploy) -> Result {
    let client = client::connect(folder).await?;
    let mut told = Told::new(args.output.output, "deploy", &args.namespace.namespace);
    let result = deploy(&client, args, &mut told).await;
    told.end(result)
}

async fn deploy(client: &Client, args: &Deploy, told: &mut Told) -> Result {
    let namespace = &args.namespace.namespace;
    let named = (args.component.as_str(), args.track.as_deref());
    let line = rollout::line(client, namespace, named).await?;
    let pipeline = rollout::pipeline_of(client, &line.component).await?;
    let name = &*line.name();
    let bindings = rollout::bindings_of(client, &line).await?;
    if let Some(there) = preview::find(client, args).await? {
        return preview::deploy(client, args, (&line, &bindings), &there, told).await;
    }
    let environment = match pipeline::start(&pipeline.spec, name, args.env.as_deref()) {
        Ok(environment) => environment,
        Err(failure) => return Err(by_history(client, (&line, &bindings), args, failure).await),
    };
    rollout::check_deployed(&bindings, &environment)?;
    told.about(&line, &environment);
    let release = freeze(client, &line, args.image.as_deref(), told).await?;
    let before = rollout::release_in(&bindings, &environment);
    told.moves(before, &release.name);
    if before == Some(release.name.as_str()) {
        told.unchanged(format!(
            "{name} {environment}: has {} already",
            release.name
        ))?;
    } else {
        keep(client, namespace, &release).await?;
        let place = (environment.as_str(), release.name.as_str());
        let said = Said {
            manager: manager::DEPLOY,
            action: Action::Deploy,
            reason: args.reason.as_deref(),
        };
        let binding = rollout::bind(client, &line, &bindings, place, &said).await?;
        let before = before.unwrap_or("nothing");
        let line = format!("{name} {environment}: {before} -> {}", release.name);
        told.requested(binding, line)?;
    }
    let place = (environment.as_str(), release.name.as_str());
    rollout::rolled_out(client, &line, place, &args.wait, told).await
}

/// Gives the workload its image and freezes the line. A line of which no release can be
/// made is left as it is.
async fn freeze(client: &Client, line: &Line, image: Option<&str>, told: &Told) -> Result<Release> {
    let (namespace, called) = (line.namespace(), line.name());
    let mut index = index(client, namespace).await?;
    let kind = match line.owner.track_name {
        Some(_) => "DeploymentTrack",
        None => "Component",
    };
    let key = Key::new(kind, namespace, &called);
    let Some(image) = image else {
        return choreo_controllers::release(&index, &key).map_err(refused);
    };
    let workload = workload_of(client, line).await?;
    let old = &workload.spec.template.container.image;
    if image == old {
        return choreo_controllers::release(&index, &key).map_err(refused);
    }
    let mut wanted = workload.clone();
    let template = Arc::make_mut(&mut wanted.spec.template);
    image.clone_into(&mut template.container.image);
    learn(&mut index, &wanted)?;
    let rehearsed = choreo_controllers::release(&index, &key).map_err(refused)?;
    let name = rehearsed.name.as_str();
    // Looked at before the controllers can make it.
    let before = store::find::<ComponentReleaseSpec>(client, namespace, name).await?;
    let change = json!({"spec": {"container": {"image": image}}});
    let place = (workload.namespace(), workload.name());
    let changed = store::merge::<WorkloadSpec>(client, place, change, manager::DEPLOY).await?;
    let again = match before {
        Some(_) => format!(", which release {name} has already"),
        None => String::new(),
    };
    told.line(format!("{called}: image {old} -> {image}{again}"))?;
    learn(&mut index, &changed)?;
    choreo_controllers::release(&index, &key).map_err(refused)
}

/// Everything that goes into a release.
async fn index(client: &Client, namespace: &str) -> Result<Index> {
    let mut index = Index::default();
    let kinds = [
        "Component",
        "DeploymentTrack",
        "Workload",
        "ComponentType",
        "ClusterComponentType",
        "Trait",
        "ClusterTrait",
    ];
    for resource in kinds.iter().filter_map(|kind| kinds::platform(kind)) {
        let api = api(client, &resource, namespace);
        for object in api.list(&ListParams::default()).await? {
            let object = serde_json::to_value(object).map_err(unreadable)?;
            learn_of(&mut index, &resource.typed(object));
        }
    }
    Ok(index)
}

fn learn(index: &mut Index, workload: &Workload) -> Result {
    let object = serde_json::to_value(workload).map_err(unreadable)?;
    learn_of(index, &object);
    Ok(())
}

fn learn_of(index: &mut Index, object: &Value) {
    if let Some(change) = Change::applied(object) {
        index.apply(change);
    }
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, "an object cannot be read").because(error)
}

/// What to do instead where a release comes by promotion only, but had the image before.
async fn by_history(
    client: &Client,
    (line, bindings): (&Line, &[ReleaseBinding]),
    args: &Deploy,
    failure: Failure,
) -> Failure {
    let env = args.env.as_deref().unwrap_or_default();
    let (Some(image), Some(binding)) = (&args.image, rollout::binding_in(bindings, env)) else {
        return failure;
    };
    let had = async {
        let records = rollback::records_of(client, binding).await?;
        let images = Images::read(client, binding.namespace()).await?;
        Ok::<_, Failure>(images.has(&records, image))
    };
    if had.await.is_ok_and(|had| had) {
        let words = line.words();
        return failure.hint(format!(
            "it was deployed there before: `choreo rollback {words} --env {env} --to-image \
             {image}` brings it back"
        ));
    }
    failure
}

/// Stores a release, unless it is there: its name stands for its content.
async fn keep(client: &Client, namespace: &str, release: &Release) -> Result {
    let name = release.name.as_str();
    let there = store::find::<ComponentReleaseSpec>(client, namespace, name).await?;
    if there.is_none() {
        let object = release.object.clone();
        store::put::<ComponentReleaseSpec>(client, (namespace, name), object, manager::DEPLOY)
            .await?;
    }
    Ok(())
}

fn refused(obstacle: Obstacle) -> Failure {
    let exit = if obstacle.reason.ends_with("NotFound") {
        Exit::NotFound
    } else {
        Exit::Invalid
    };
    Failure::new(exit, "no release can be made of it, nothing was changed").because(obstacle)
}

/// The one workload of a line of a component.
async fn workload_of(client: &Client, line: &Line) -> Result<Workload> {
    let mut workloads = store::list::<WorkloadSpec>(client, line.namespace()).await?;
    workloads.retain(|workload| workload.spec.owner == line.owner);
    let name = line.name();
    match workloads.len() {
        1 => Ok(workloads.remove(0)),
        0 => Err(
            Failure::new(Exit::NotFound, format!("{name} has no workload")).hint(
                match line.owner.track_name {
                    Some(_) => {
                        "apply a Workload whose spec.owner names the component and the track"
                    }
                    None => "apply a Workload whose spec.owner names the component",
                },
            ),
        ),
        count => Err(
            Failure::new(Exit::Conflict, format!("{name} has {count} workloads"))
                .hint("delete all but one"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{Format, Namespace, OutputOnly, Wait},
        testing::{Api, SHOP, TRACK},
    };

    /// The shop with a component that waits to be deployed.
    fn by_hand() -> String {
        SHOP.replace("autoDeploy: true", "autoDeploy: false")
    }

    fn to(image: Option<&str>, env: Option<&str>) -> Deploy {
        Deploy {
            component: "web".to_owned(),
            track: None,
            image: image.map(str::to_owned),
            env: env.map(str::to_owned),
            reason: None,
            namespace: Namespace {
                namespace: "default".to_owned(),
            },
            wait: Wait {
                no_wait: true,
                timeout: std::time::Duration::ZERO,
            },
            output: OutputOnly {
                output: Format::Json,
            },
        }
    }

    async fn deploy(client: &Client, args: &Deploy) -> Result {
        let mut told = Told::new(Format::Json, "deploy", "default");
        super::deploy(client, args, &mut told).await
    }

    async fn image(api: &Api, release: &str) -> String {
        let found = store::get::<ComponentReleaseSpec>(&api.client, "default", release).await;
        found.unwrap().spec.workload.container.image.clone()
    }

    /// The release in development.
    async fn release(api: &Api) -> Option<String> {
        let line = rollout::line(&api.client, "default", ("web", None))
            .await
            .unwrap();
        let bindings = rollout::bindings_of(&api.client, &line).await.unwrap();
        rollout::release_in(&bindings, "development").map(str::to_owned)
    }

    #[tokio::test]
    async fn without_auto_deploy_a_release_is_made_and_bound() {
        let api = Api::start().await;
        api.apply(&by_hand()).await.unwrap();
        deploy(&api.client, &to(None, None)).await.unwrap();
        let first = release(&api).await.unwrap();
        assert_eq!(image(&api, &first).await, "web:1");
        deploy(&api.client, &to(Some("web:2"), None)).await.unwrap();
        let second = release(&api).await.unwrap();
        assert_eq!(image(&api, &second).await, "web:2");
        deploy(&api.client, &to(Some("web:1"), None)).await.unwrap();
        assert_eq!(
            release(&api).await.unwrap(),
            first,
            "the same content is the same release"
        );
        api.stop().await;
    }

    #[tokio::test]
    async fn a_track_is_deployed_beside_the_main_line() {
        let api = Api::start().await;
        api.apply(&format!("{}{TRACK}", by_hand())).await.unwrap();
        let on = |track: &str| Deploy {
            track: Some(track.to_owned()),
            ..to(Some("web:2"), None)
        };
        deploy(&api.client, &to(None, None)).await.unwrap();
        let main = release(&api).await.unwrap();
        deploy(&api.client, &on("v2")).await.unwrap();
        let line = rollout::line(&api.client, "default", ("web", Some("v2")))
            .await
            .unwrap();
        let bindings = rollout::bindings_of(&api.client, &line).await.unwrap();
        let track = rollout::release_in(&bindings, "development").unwrap();
        assert!(track.starts_with("web--v2-"), "{track}");
        assert_eq!(image(&api, track).await, "web:2");
        assert_eq!(release(&api).await.unwrap(), main);
        assert_eq!(image(&api, &main).await, "web:1");
        let failure = deploy(&api.client, &on("v3")).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::NotFound);
        api.stop().await;
    }

    #[tokio::test]
    async fn the_release_is_the_one_the_controller_makes() {
        let api = Api::with_controllers().await;
        api.apply(SHOP).await.unwrap();
        deploy(&api.client, &to(Some("web:2"), None)).await.unwrap();
        let mine = release(&api).await.unwrap();
        let latest = api.until("Component", "web", |component| {
            let name = &component["status"]["latestRelease"]["name"];
            name.as_str()
                .filter(|name| *name == mine)
                .map(str::to_owned)
        });
        assert_eq!(latest.await, mine);
        assert_eq!(release(&api).await.unwrap(), mine);
        api.stop().await;
    }

    #[tokio::test]
    async fn what_cannot_be_released_changes_nothing() {
        let api = Api::start().await;
        let wrong = by_hand().replace("name: deployment/service", "name: deployment/absent");
        api.apply(&wrong).await.unwrap();
        let failure = deploy(&api.client, &to(Some("web:2"), None))
            .await
            .unwrap_err();
        assert_eq!(failure.exit(), Exit::NotFound);
        assert!(
            failure.with_causes().contains("\"absent\" not found"),
            "{failure}"
        );
        let workload = store::get::<WorkloadSpec>(&api.client, "default", "web")
            .await
            .unwrap();
        assert_eq!(workload.spec.template.container.image, "web:1");
        let failure = deploy(&api.client, &to(None, Some("staging")))
            .await
            .unwrap_err();
        assert_eq!(failure.exit(), Exit::Conflict);
        api.stop().await;
    }

    #[tokio::test]
    async fn where_an_image_came_by_promotion_it_comes_back_by_rollback() {
        let api = Api::with_controllers().await;
        api.apply(SHOP).await.unwrap();
        let first = api.until("ReleaseBinding", "web-development", |binding| {
            let name = binding["spec"]["releaseName"].as_str();
            name.map(str::to_owned)
        });
        let first = first.await;
        let bound = format!(
            "
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: {{name: web-staging}}
spec:
  owner: {{projectName: shop, componentName: web}}
  environment: staging
  releaseName: {first}
---
apiVersion: openchoreo.dev/v1alpha1
kind: ProjectReleaseBinding
metadata: {{name: shop-staging}}
spec: {{owner: {{projectName: shop}}, environment: staging}}
"
        );
        api.apply(&bound).await.unwrap();
        api.until("ReleaseBinding", "web-staging", |binding| {
            binding["status"]["history"]["sequence"].as_i64()
        })
        .await;
        let help = async |image| {
            let wanted = to(Some(image), Some("staging"));
            let failure = deploy(&api.client, &wanted).await.unwrap_err();
            assert_eq!(failure.exit(), Exit::Conflict);
            failure.help().unwrap().to_owned()
        };
        let there = help("web:1").await;
        assert!(
            there.contains("`choreo rollback web --env staging --to-image web:1`"),
            "{there}"
        );
        assert!(help("web:9").await.starts_with("`choreo promote web"));
        api.stop().await;
    }
}
