//! Promotions that a pipeline asks for by itself: of releases that were ready where a path begins for
//! as long as it says.
//!
//! Each release is asked for once. What became of that - rolled back, rejected, still waiting - is
//! for people to see, and to ask for again.

use std::collections::BTreeMap;

use choreo_model::brakes::{Automatic, PromotionStrategy};
use choreo_model::conditions::{self, types};
use choreo_model::platform::{DeploymentPipelineSpec, PromotionPath};
use choreo_model::promotion::{PIPELINE, Part, PromotionSpec};
use choreo_model::release::ReleaseBindingSpec;
use choreo_model::resource::ResourceReleaseBindingSpec;
use choreo_model::{Object, Project, Promotion, labels, names};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::gate::Gated;
use super::{Context, apply, metadata, no_later, pipeline};
use crate::decision::Write;
use crate::key::{By, groups};

/// The promotions to ask for, and when to look again.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) writes: Vec<Write>,
    pub(super) look_again: Option<Timestamp>,
}

impl Asked {
    fn look(&mut self, time: Timestamp) {
        no_later(&mut self.look_again, time);
    }
}

/// Asks for the release of a part, whose status will be `status`, on every path of its own that begins
/// where `binding` is.
pub(super) fn of_binding<T: Gated>(
    context: &Context<'_>,
    binding: &Object<T>,
    status: &T::Status,
) -> Asked {
    let mut asked = Asked::default();
    let spec = &binding.spec;
    let pipeline = pipeline::of_project(context, spec.project()).ok();
    let release = T::rolled_out(status).release;
    let Some((pipeline, release)) = pipeline.zip(release) else {
        return asked;
    };
    let source = spec.environment();
    for (path, target) in steps(&pipeline.spec, source, PromotionStrategy::Component) {
        let request = Request {
            project: spec.project(),
            alone: Some(spec.part()),
            source,
            target,
            parts: vec![(spec.part(), release)],
        };
        let ready = ready_since::<T>(status);
        request.when_due(context, path, ready, &mut asked);
    }
    asked
}

/// Asks for the releases of everything in a project on every path that it takes as a whole.
pub(super) fn of_project(context: &Context<'_>, project: &Project) -> Asked {
    let mut asked = Asked::default();
    let Ok(pipeline) = pipeline::of_project(context, project.name()) else {
        return asked;
    };
    let pipeline = &pipeline.spec;
    for source in pipeline.environments() {
        for (path, target) in steps(pipeline, source, PromotionStrategy::Project) {
            let components = bindings::<ReleaseBindingSpec>(context, project, source);
            let resources = bindings::<ResourceReleaseBindingSpec>(context, project, source);
            let (mut parts, since) = bound(&components);
            let (more, resources_since) = bound(&resources);
            parts.extend(more);
            let request = Request {
                project: project.name(),
                alone: None,
                source,
                target,
                parts,
            };
            // One that is not ready keeps all of them.
            let ready = since.into_iter().chain(resources_since);
            let ready: Option<Vec<Timestamp>> = ready.collect();
            let last = ready.and_then(|ready| ready.into_iter().max());
            request.when_due(context, path, last, &mut asked);
        }
    }
    asked
}

/// What runs of each binding, and since when each is ready.
fn bound<'a, T: Gated>(
    bindings: &[&'a Object<T>],
) -> (Vec<(Part<'a>, &'a str)>, Vec<Option<Timestamp>>) {
    let running = bindings.iter().filter_map(|binding| {
        let release = T::rolled_out(&binding.status).release?;
        Some((binding.spec.part(), release))
    });
    let since = bindings
        .iter()
        .map(|binding| ready_since::<T>(&binding.status));
    (running.collect(), since.collect())
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

/// The bindings of a project in an environment, but those of tracks, which go alone.
fn bindings<'a, T: Gated>(
    context: &Context<'a>,
    project: &Project,
    environment: &str,
) -> Vec<&'a Object<T>> {
    let of = [context.namespace(), environment];
    let mut bindings = context.view.members_with_status::<T>(By::Environment, &of);
    bindings.retain(|binding| {
        let spec = &binding.spec;
        let is_track = matches!(spec.part(), Part::Track(..));
        spec.project() == project.name() && !is_track && !binding.is_deleting()
    });
    bindings
}

/// Since when a binding is ready.
fn ready_since<T: Gated>(status: &T::Status) -> Option<Timestamp> {
    let ready = conditions::find(T::conditions(status), types::READY)?;
    (ready.status == "True").then_some(ready.last_transition_time.0)
}

/// A promotion to be asked for.
struct Request<'a> {
    project: &'a str,
    /// The part, if it goes by itself.
    alone: Option<Part<'a>>,
    source: &'a str,
    target: &'a str,
    /// Everything that goes, with its release.
    parts: Vec<(Part<'a>, &'a str)>,
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
        if self.parts.is_empty() || self.is_settled(context) {
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
        let known = |(part, release): &(Part<'_>, &str)| match part {
            Part::Component(_) | Part::Track(..) => {
                self.was_there::<ReleaseBindingSpec>(context, *part, release)
            }
            Part::Resource(_) => {
                self.was_there::<ResourceReleaseBindingSpec>(context, *part, release)
            }
        };
        self.parts.iter().all(known) || self.is_asked(context)
    }

    fn was_there<T: Gated>(&self, context: &Context<'_>, part: Part<'_>, release: &str) -> bool {
        let (_, by, name) = groups(part);
        let of = [context.namespace(), self.project, &name, self.target];
        let found = context.view.members_with_status::<T>(by, &of);
        found.iter().any(|binding| {
            let seen = T::rolled_out(&binding.status);
            seen.release == Some(release) || seen.proven.contains_key(release)
        })
    }

    fn is_asked(&self, context: &Context<'_>) -> bool {
        let Some((part, _)) = self.parts.first() else {
            return true;
        };
        let (_, by, name) = groups(*part);
        let of = [context.namespace(), self.project, &name, self.target];
        let found = context.view.members::<PromotionSpec>(by, &of);
        let wanted: BTreeMap<Part<'_>, &str> = self.parts.iter().copied().collect();
        let same = |promotion: &&Promotion| {
            let spec = &promotion.spec;
            let parts: BTreeMap<Part<'_>, &str> = spec.parts().collect();
            spec.source_environment == self.source && parts == wanted
        };
        found.iter().any(same)
    }

    fn write(&self, context: &Context<'_>, soak: i64) -> Option<Write> {
        let mut owner = json!({ "projectName": self.project });
        let mut labels = vec![
            (labels::PROJECT, self.project),
            (labels::ENVIRONMENT, self.target),
        ];
        let title = match self.alone {
            None => self.project.into(),
            Some(Part::Component(name)) => {
                owner["componentName"] = json!(name);
                labels.push((labels::COMPONENT, name));
                name.into()
            }
            Some(Part::Track(component, track)) => {
                owner["componentName"] = json!(component);
                owner["trackName"] = json!(track);
                labels.extend([(labels::COMPONENT, component), (labels::TRACK, track)]);
                names::line(component, Some(track))
            }
            Some(Part::Resource(name)) => {
                owner["resourceName"] = json!(name);
                labels.push((labels::RESOURCE, name));
                name.into()
            }
        };
        let (mut releases, mut resources) = (BTreeMap::new(), BTreeMap::new());
        for (part, release) in &self.parts {
            match part {
                Part::Component(name) | Part::Track(name, _) => releases.insert(*name, *release),
                Part::Resource(name) => resources.insert(*name, *release),
            };
        }
        let content: Vec<&str> = releases
            .values()
            .chain(resources.values())
            .copied()
            .collect();
        // The same releases always have the same promotion.
        let name = names::kubernetes_name_with(
            names::LABEL_LIMIT,
            &[&*title, self.target],
            &format!("{}/{}", self.source, content.join("/")),
        );
        let mut spec = json!({
            "owner": owner,
            "sourceEnvironment": self.source,
            "targetEnvironment": self.target,
            "requestedBy": PIPELINE,
            "reason": format!("ready in {} for {soak}s", self.source),
        });
        for (field, releases) in [("releases", &releases), ("resources", &resources)] {
            if !releases.is_empty() {
                spec[field] = json!(releases);
            }
        }
        apply(
            "Promotion",
            metadata(context.namespace(), &name, &labels),
            &spec,
        )
    }
}
