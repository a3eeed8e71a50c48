//! What a verb that changes something tells: lines for people as it goes on, or at its end one object
//! for scripts. All verbs tell it in the same words.

use std::collections::BTreeMap;

use choreo_model::Promotion;
use serde::Serialize;

use crate::{
    cli::Format,
    exit::Exit,
    failure::{Failure, Result},
    rollout::Line,
    terminal,
};

/// What was changed, and what came of it. Fields that say nothing are left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// The verb.
    pub(crate) action: &'static str,
    /// The namespace of everything that is named.
    pub(crate) namespace: String,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// The component, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<String>,
    /// Its track, unless it is its main line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) track: Option<String>,
    /// The managed resource, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    /// The environment that is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    /// The environment that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The release that the environment had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_release: Option<String>,
    /// The release it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    /// The releases it gets, of each component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) releases: BTreeMap<String, String>,
    /// The releases it gets, of each managed resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) resources: BTreeMap<String, String>,
    /// The number of the deployment that is brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<i64>,
    /// The binding that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binding: Option<String>,
    /// The promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) promotion: Option<String>,
    /// The digest of its plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan_digest: Option<String>,
    /// What came of it: `Unchanged`, `Requested` where nothing was waited for, `Ready`, `NotReady`,
    /// `Approved`, `Rejected`, or the phase of the promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<&'static str>,
    /// What there is to say of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// Whoever tells.
#[derive(Debug)]
pub(crate) struct Told {
    format: Format,
    /// What is known so far. Without an outcome, nothing was done.
    pub(crate) summary: Summary,
}

impl Told {
    /// Tells of a verb in a namespace.
    pub(crate) fn new(format: Format, action: &'static str, namespace: &str) -> Self {
        let summary = Summary {
            action,
            namespace: namespace.to_owned(),
            ..Summary::default()
        };
        Self { format, summary }
    }

    /// A line for people.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result {
        terminal::progress(self.format, text)
    }

    /// Several lines for people.
    pub(crate) fn lines(&self, text: &str) -> Result {
        self.line(text.strip_suffix('\n').unwrap_or(text))
    }

    /// It is about a line of a component in an environment.
    pub(crate) fn about(&mut self, line: &Line, environment: &str) {
        self.summary.project = Some(line.owner.project_name.clone());
        self.summary.component = Some(line.owner.component_name.clone());
        self.summary.track.clone_from(&line.owner.track_name);
        self.summary.environment = Some(environment.to_owned());
    }

    /// Which gets another release.
    pub(crate) fn moves(&mut self, before: Option<&str>, release: &str) {
        self.summary.previous_release = before.map(str::to_owned);
        self.summary.release = Some(release.to_owned());
    }

    /// There is nothing to do.
    pub(crate) fn unchanged(&mut self, line: impl AsRef<str>) -> Result {
        self.summary.outcome = Some("Unchanged");
        self.line(line)
    }

    /// The binding was written.
    pub(crate) fn requested(&mut self, binding: String, line: impl AsRef<str>) -> Result {
        self.summary.binding = Some(binding);
        self.summary.outcome = Some("Requested");
        self.line(line)
    }

    /// What was written runs.
    pub(crate) fn ready(&mut self, line: impl AsRef<str>) -> Result {
        let outcome = &mut self.summary.outcome;
        *outcome = outcome
            .filter(|known| *known == "Unchanged")
            .or(Some("Ready"));
        self.line(line)
    }

    /// How far a promotion has come.
    pub(crate) fn promotion(&mut self, promotion: &Promotion) {
        let (spec, status) = (&promotion.spec, &promotion.status);
        self.summary.project = Some(spec.owner.project_name.clone());
        self.summary
            .component
            .clone_from(&spec.owner.component_name);
        self.summary.track.clone_from(&spec.owner.track_name);
        self.summary.environment = Some(spec.target_environment.clone());
        self.summary.from = Some(spec.source_environment.clone());
        self.summary.resource.clone_from(&spec.owner.resource_name);
        self.summary.releases.clone_from(&spec.releases);
        self.summary.resources.clone_from(&spec.resources);
        self.summary.promotion = Some(promotion.name().to_owned());
        self.summary.plan_digest.clone_from(&status.plan_digest);
        self.summary.outcome = Some(status.phase.as_str());
        self.summary.message.clone_from(&status.outcome);
    }

    /// Ends with what the verb came to. Scripts get the object also where something was changed and
    /// did not end well.
    pub(crate) fn end(mut self, result: Result) -> Result {
        self.conclude(result.as_ref().err());
        if self.format != Format::Text && self.summary.outcome.is_some() {
            terminal::data(self.format, &self.summary)?;
        }
        result
    }

    fn conclude(&mut self, failure: Option<&Failure>) {
        let Some(failure) = failure.filter(|_| self.summary.outcome.is_some()) else {
            return;
        };
        // A promotion says itself in which phase it is.
        if failure.exit() == Exit::NotReady && self.summary.promotion.is_none() {
            self.summary.outcome = Some("NotReady");
        }
        self.summary.message = Some(failure.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(outcome: Option<&'static str>, failure: Option<Exit>) -> Summary {
        let mut told = Told::new(Format::Json, "deploy", "default");
        told.summary.outcome = outcome;
        told.conclude(failure.map(|exit| Failure::new(exit, "why")).as_ref());
        told.summary
    }

    #[test]
    fn what_was_changed_and_is_not_ready_is_told_and_what_was_not_changed_is_not() {
        let late = told(Some("Requested"), Some(Exit::NotReady));
        assert_eq!(late.outcome, Some("NotReady"));
        assert_eq!(late.message.as_deref(), Some("why"));
        let refused = told(None, Some(Exit::Conflict));
        assert_eq!((refused.outcome, refused.message), (None, None));
        let done = told(Some("Ready"), None);
        assert_eq!((done.outcome, done.message), (Some("Ready"), None));
    }
}
