//! Deploying into a preview. Its bindings are made by what its specification says, so that is what is
//! changed; the component stays as it is everywhere else.

use choreo_model::{
    PreviewEnvironment, ReleaseBinding,
    preview::{PreviewComponent, PreviewEnvironmentSpec},
};
use kube::Client;

use crate::{
    cli::Deploy,
    commands::preview,
    exit::Exit,
    failure::{Failure, Result},
    rollout::{self, Line},
    store,
    told::Told,
};

/// The preview of that name, if there is one.
pub(super) async fn find(client: &Client, args: &Deploy) -> Result<Option<PreviewEnvironment>> {
    let Some(name) = &args.env else {
        return Ok(None);
    };
    store::find::<PreviewEnvironmentSpec>(client, &args.namespace.namespace, name).await
}

/// Gives `component` its release, or another image, in a preview.
pub(super) async fn deploy(
    client: &Client,
    args: &Deploy,
    (line, bindings): (&Line, &[ReleaseBinding]),
    there: &PreviewEnvironment,
    told: &mut Told,
) -> Result {
    let (project, of) = (&line.owner.project_name, &there.spec.project_name);
    let (name, env) = (line.owner.component_name.as_str(), there.name());
    if line.owner.track_name.is_some() {
        let message = format!("preview {env} has no tracks: it copies main lines");
        return Err(Failure::new(Exit::Conflict, message)
            .hint("name an image or a release of the main line, or deploy the track elsewhere"));
    }
    if project != of {
        let message = format!("preview {env} is of project {of}, and {name} of {project}");
        return Err(Failure::new(Exit::Conflict, message));
    }
    told.about(line, env);
    let before = rollout::release_in(bindings, env);
    told.summary.previous_release = before.map(str::to_owned);
    let mut wanted = PreviewComponent {
        name: name.to_owned(),
        image: args.image.clone(),
        release: None,
    };
    if wanted.image.is_none() {
        let release = super::freeze(client, line, None, told).await?;
        super::keep(client, line.namespace(), &release).await?;
        wanted.release = Some(release.name);
    }
    let what = [&wanted.image, &wanted.release]
        .into_iter()
        .flatten()
        .next();
    let what = what.cloned().unwrap_or_default();
    let changed = preview::change(client, there, vec![wanted]).await?;
    if changed.generation() == there.generation() {
        told.unchanged(format!("{name} {env}: has {what} already"))?;
    } else {
        told.summary.outcome = Some("Requested");
        told.line(format!(
            "{name} {env}: {} -> {what}",
            before.unwrap_or("nothing")
        ))?;
    }
    if preview::until_ready(client, &changed, &args.wait)
        .await?
        .is_none()
    {
        return Ok(());
    }
    let bindings = rollout::bindings_of(client, line).await?;
    let binding = rollout::binding_in(&bindings, env);
    told.summary.binding = binding.map(|binding| binding.name().to_owned());
    let release = rollout::release_in(&bindings, env);
    told.summary.release = release.map(str::to_owned);
    told.ready(format!("{name} {env} Ready"))
}

#[cfg(test)]
mod tests {
    use choreo_model::release::ReleaseBindingSpec;

    use super::*;
    use crate::{
        cli::{Cli, Command, Format},
        testing::{Api, SHOP},
    };

    fn args(words: &str) -> Deploy {
        use clap::Parser as _;
        let words = format!("choreo deploy {words} --no-wait");
        let Command::Deploy(args) = Cli::parse_from(words.split_whitespace()).command else {
            panic!("another command");
        };
        args
    }

    async fn run(api: &Api, words: &str) -> Result<Told> {
        let mut told = Told::new(Format::Json, "deploy", "default");
        super::super::deploy(&api.client, &args(words), &mut told).await?;
        Ok(told)
    }

    /// Waits until the component has a release with this image in the preview, and none other.
    async fn runs(api: &Api, image: &str) {
        let bound = api.until("ReleaseBinding", "web-look", |binding| {
            let release = binding["spec"]["releaseName"].as_str()?;
            Some(release.to_owned())
        });
        let mut release = bound.await;
        loop {
            let found = store::get::<choreo_model::release::ComponentReleaseSpec>(
                &api.client,
                "default",
                &release,
            );
            if found.await.unwrap().spec.workload.container.image == image {
                return;
            }
            let old = release.clone();
            let bound = api.until("ReleaseBinding", "web-look", |binding| {
                let release = binding["spec"]["releaseName"].as_str()?;
                (release != old).then(|| release.to_owned())
            });
            release = bound.await;
        }
    }

    #[tokio::test]
    async fn a_preview_gets_an_image_and_the_component_stays() {
        let api = Api::with_controllers().await;
        api.apply(SHOP).await.unwrap();
        api.until("ReleaseBinding", "web-development", |binding| {
            binding["status"]["release"].as_str().map(drop)
        })
        .await;
        let made = "
apiVersion: openchoreo.dev/v1alpha1
kind: PreviewEnvironment
metadata: {name: look}
spec: {projectName: shop, from: development, components: [{name: web}]}
";
        api.apply(made).await.unwrap();
        runs(&api, "web:1").await;
        let told = run(&api, "web --env look --image web:2").await.unwrap();
        assert_eq!(told.summary.outcome, Some("Requested"));
        runs(&api, "web:2").await;
        let told = run(&api, "web --env look --image web:2").await.unwrap();
        assert_eq!(told.summary.outcome, Some("Unchanged"));
        run(&api, "web --env look").await.unwrap();
        runs(&api, "web:1").await;
        let binding = store::get::<ReleaseBindingSpec>(&api.client, "default", "web-development");
        let release = binding.await.unwrap().spec.release_name;
        let workload =
            store::get::<choreo_model::application::WorkloadSpec>(&api.client, "default", "web");
        let image = &workload.await.unwrap().spec.template.container.image;
        assert_eq!(image, "web:1", "{release}");
        let unknown = run(&api, "web --env moon").await.unwrap_err();
        assert_eq!(unknown.exit(), Exit::NotFound);
        api.stop().await;
    }
}
