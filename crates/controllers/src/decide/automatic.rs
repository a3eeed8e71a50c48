//! Promotions that a pipeline asks for by itself: of releases that were ready where a path begins for
//! as long as it says.
//!
//! Each release is asked for once. What became of that - rolled back, rejected, still waiting - is
//! for people to see, and to ask for again.

use std::collections::BTreeMap;

use choreo_model::brakes::{Automatic, PromotionStrategy};
use choreo_model::conditions::{self, types};
use choreo_model::platform::{DeploymentPipelineSpec, PromotionPath};
use choreo_model::promotion::{PIPELINE, PromotionSpec};
use choreo_model::release::{ReleaseBindingSpec, ReleaseBindingStatus};
use choreo_model::{Project, Promotion, ReleaseBinding, labels, names};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{Context, apply, metadata, pipeline};
use crate::decision::Write;
use crate::key::By;

/// What is asked for now, and when to look again.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) writes: Vec<Write>,
    pub(super) look_again: Option<Timestamp>,
}

impl Asked {
    fn look(&mut self, time: Timestamp) {
        self.look_again = Some(self.look_again.map_or(time, |known| known.min(time)));
    }
}

/// Asks for the release of a component, whose status will be `status`, on every path of its own that
/// begins where `binding` is.
pub(super) fn of_component(
    context: &Context<'_>,
    binding: &ReleaseBinding,
    status: &ReleaseBindingStatus,
) -> Asked {
    let mut asked = Asked::default();
    let owner = &binding.spec.owner;
    let pipeline = pipeline::of_project(context, &owner.project_name).ok();
    let Some((pipeline, release)) = pipeline.zip(status.release.clone()) else {
        return asked;
    };
    let source = &binding.spec.environment;
    for (path, target) in steps(&pipeline.spec, source, PromotionStrategy::Component) {
        let releases = BTreeMap::from([(owner.component_name.clone(), release.clone())]);
        let request = Request {
            project: &owner.project_name,
            component: Some(&owner.component_name),
            source,
            target,
            releases,
        };
        let ready = ready_since(status);
        request.when_due(context, path, ready, &mut asked);
    }
    asked
}

/// Asks for the releases of all components of a project on every path that it takes as a whole.
pub(super) fn of_project(context: &Context<'_>, project: &Project) -> Asked {
    let mut asked = Asked::default();
    let Ok(pipeline) = pipeline::of_project(context, project.name()) else {
        return asked;
    };
    let pipeline = &pipeline.spec;
    for source in pipeline.environments() {
        for (path, target) in steps(pipeline, source, PromotionStrategy::Project) {
            let bindings = bindings(context, project, source);
            let releases: BTreeMap<String, String> = bindings
                .iter()
                .filter_map(|binding| {
                    let component = binding.spec.owner.component_name.clone();
                    Some((component, binding.status.release.clone()?))
                })
                .collect();
            let ready = bindings.iter().map(|binding| ready_since(&binding.status));
            // One that is not ready keeps all of them.
            let ready: Option<Vec<Timestamp>> = ready.collect();
            let request = Request {
                project: project.name(),
                component: None,
                source,
                target,
                releases,
            };
            let last = ready.and_then(|ready| ready.into_iter().max());
            request.when_due(context, path, last, &mut asked);
        }
    }
    asked
}

/// The automatic steps of a strategy that begin at `source`.
fn steps<'a>(
    pipeline: &'a DeploymentPipelineSpec,
    source: &'a str,
    strategy: PromotionStrategy,
) -> impl Iterator<Item = (&'a PromotionPath, &'a str)> {
    let paths = pipeline.promotion_paths.iter().filter(move |path| {
        let begins = path.source_environment_ref.name == source;
        begins && path.automatic.is_some() && path.strategy == strategy
    });
    paths.flat_map(|path| {
        let targets = path.target_environment_refs.iter();
        targets.map(move |target| (path, target.name.as_str()))
    })
}

/// The bindings of a project in an environment.
fn bindings<'a>(
    context: &Context<'a>,
    project: &Project,
    environment: &str,
) -> Vec<&'a ReleaseBinding> {
    let of = [context.namespace(), environment];
    let mut bindings = context
        .view
        .members_with_status::<ReleaseBindingSpec>(By::Environment, &of);
    bindings.retain(|binding| {
        binding.spec.owner.project_name == project.name() && !binding.is_deleting()
    });
    bindings
}

/// Since when a binding is ready.
fn ready_since(status: &ReleaseBindingStatus) -> Option<Timestamp> {
    let ready = conditions::find(&status.conditions, types::READY)?;
    (ready.status == "True").then_some(ready.last_transition_time.0)
}

/// A promotion to be asked for.
struct Request<'a> {
    project: &'a str,
    component: Option<&'a str>,
    source: &'a str,
    target: &'a str,
    releases: BTreeMap<String, String>,
}

impl Request<'_> {
    /// Asks for it once everything has been ready since `ready` for as long as `path` says.
    fn when_due(
        &self,
        context: &Context<'_>,
        path: &PromotionPath,
        ready: Option<Timestamp>,
        asked: &mut Asked,
    ) {
        let soak = path.automatic.as_ref().map(Automatic::soak);
        let Some((ready, soak)) = ready.zip(soak) else {
            return;
        };
        if self.releases.is_empty() || self.is_settled(context) {
            return;
        }
        let Ok(due) = ready.checked_add(soak) else {
            return;
        };
        if due <= context.now.0 {
            asked.writes.extend(self.write(context, soak.as_secs()));
        } else {
            asked.look(due);
        }
    }

    /// Whether the releases have been there, or were asked for.
    fn is_settled(&self, context: &Context<'_>) -> bool {
        let known = |(component, release): (&String, &String)| {
            let of = [context.namespace(), self.project, component, self.target];
            let found = context
                .view
                .members_with_status::<ReleaseBindingSpec>(By::ComponentEnvironment, &of);
            found.iter().any(|binding| {
                let status = &binding.status;
                status.release.as_ref() == Some(release)
                    || status.proven_releases.contains_key(release)
            })
        };
        self.releases.iter().all(known) || self.is_asked(context)
    }

    fn is_asked(&self, context: &Context<'_>) -> bool {
        let Some(component) = self.releases.keys().next() else {
            return true;
        };
        let of = [context.namespace(), self.project, component, self.target];
        let found = context
            .view
            .members::<PromotionSpec>(By::ComponentEnvironment, &of);
        let same = |promotion: &&Promotion| {
            let spec = &promotion.spec;
            spec.source_environment == self.source && spec.releases == self.releases
        };
        found.iter().any(same)
    }

    fn write(&self, context: &Context<'_>, soak: i64) -> Option<Write> {
        let owner = self.component.unwrap_or(self.project);
        let content: Vec<&str> = self.releases.values().map(String::as_str).collect();
        // The same releases always have the same promotion.
        let name = names::kubernetes_name_with(
            names::LABEL_LIMIT,
            &[owner, self.target],
            &format!("{}/{}", self.source, content.join("/")),
        );
        let mut labels = vec![
            (labels::PROJECT, self.project),
            (labels::ENVIRONMENT, self.target),
        ];
        labels.extend(
            self.component
                .map(|component| (labels::COMPONENT, component)),
        );
        let mut owner = json!({ "projectName": self.project });
        if let Some(component) = self.component {
            owner["componentName"] = json!(component);
        }
        let spec = json!({
            "owner": owner,
            "sourceEnvironment": self.source,
            "targetEnvironment": self.target,
            "releases": self.releases,
            "requestedBy": PIPELINE,
            "reason": format!("ready in {} for {soak}s", self.source),
        });
        apply(
            "Promotion",
            &metadata(context.namespace(), &name, &labels),
            &spec,
        )
    }
}
