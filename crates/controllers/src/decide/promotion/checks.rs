//! The checks of a promotion: jobs in the cell that the releases come from, and requests.
//!
//! A check begins in the status before it begins in the world, so that its time is counted from
//! there. What came of it is kept for the plan it was made for; a result that is lost before it is
//! kept is had again.

use choreo_model::brakes::{HttpCheck, JobCheck, PromotionCheck};
use choreo_model::conditions::reasons;
use choreo_model::project::ProjectReleaseBindingSpec;
use choreo_model::promotion::{CheckState, CheckStatus, PromotionStatus};
use choreo_model::rendered::Health;
use choreo_model::shared::TargetPlane;
use choreo_model::{Promotion, labels, names};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Context, Obstacle, no_later, rendering};
use super::road::Road;
use crate::calls::{Answer, Request};
use crate::decision::{Home, Write};
use crate::key::By;
use crate::queue::back_off;

/// What the checks amount to.
pub(super) struct Checked {
    pub(super) statuses: Vec<CheckStatus>,
    pub(super) writes: Vec<Write>,
    pub(super) look_again: Option<Timestamp>,
    /// Why they let the promotion pass, or why not.
    pub(super) outcome: Result<(&'static str, String), Obstacle>,
}

/// Makes the checks of the plan in `status`, as far as they are not made.
pub(super) fn run(
    context: &Context<'_>,
    promotion: &Promotion,
    road: &Road<'_>,
    status: &PromotionStatus,
) -> Checked {
    let digest = status.plan_digest.as_deref().unwrap_or_default();
    let mut run = Run {
        context,
        promotion,
        digest,
        writes: Vec::new(),
        look_again: None,
    };
    let checks = &road.path.checks;
    let statuses: Vec<CheckStatus> = checks
        .iter()
        .map(|check| {
            let mut known = status.checks.iter();
            run.check(check, known.find(|known| known.name == check.name))
        })
        .collect();
    Checked {
        outcome: outcome(&statuses),
        statuses,
        writes: run.writes,
        look_again: run.look_again,
    }
}

fn outcome(statuses: &[CheckStatus]) -> Result<(&'static str, String), Obstacle> {
    let of = |state: CheckState| statuses.iter().filter(move |check| check.state == state);
    if let Some(failed) = of(CheckState::Failed).next() {
        let why = failed.message.as_deref().unwrap_or_default();
        let message = format!("check \"{}\" failed: {why}", failed.name);
        return Err(Obstacle::new(reasons::CHECK_FAILED, message));
    }
    let running: Vec<&str> = of(CheckState::Running)
        .map(|check| check.name.as_str())
        .collect();
    match (statuses.len(), running.as_slice()) {
        (0, _) => Ok((reasons::NO_CHECKS, "The path has no checks".to_owned())),
        (all, []) => Ok((reasons::CHECKS_PASSED, format!("{all} checks passed"))),
        (_, running) => Err(Obstacle::new(
            reasons::CHECKS_RUNNING,
            format!("waiting for checks: {}", running.join(", ")),
        )),
    }
}

struct Run<'r> {
    context: &'r Context<'r>,
    promotion: &'r Promotion,
    digest: &'r str,
    writes: Vec<Write>,
    look_again: Option<Timestamp>,
}

impl Run<'_> {
    fn check(&mut self, check: &PromotionCheck, known: Option<&CheckStatus>) -> CheckStatus {
        let Some(known) = known else {
            return CheckStatus {
                name: check.name.clone(),
                plan_digest: self.digest.to_owned(),
                started_at: Some(self.context.now.clone()),
                ..CheckStatus::default()
            };
        };
        let mut status = known.clone();
        if status.state != CheckState::Running {
            return status;
        }
        let started = status
            .started_at
            .as_ref()
            .map_or(self.context.now.0, |time| time.0);
        let end = started + check.timeout();
        let found = match (&check.http, &check.job) {
            (Some(http), _) => self.request(&check.name, http),
            (None, Some(job)) => self.job(check, job),
            (None, None) => Found::Waits("the check is neither a request nor a job".to_owned()),
        };
        let now = self.context.now.0;
        let (state, message) = match found {
            Found::Passed(message) => (CheckState::Passed, message),
            Found::Failed(message) => (CheckState::Failed, message),
            Found::Waits(message) if now >= end => {
                let seconds = check.timeout().as_secs();
                (
                    CheckState::Failed,
                    format!("{message}, still after {seconds}s"),
                )
            }
            Found::Waits(message) => {
                self.look(end);
                (CheckState::Running, message)
            }
        };
        // What is begun when the time is up would be heard by nobody.
        if state != CheckState::Running {
            self.writes.retain(|write| !is_of(write, &check.name));
        }
        status.state = state;
        status.message = Some(message);
        status
    }

    fn request(&mut self, name: &str, http: &HttpCheck) -> Found {
        let id = format!("{name}/{}", self.digest);
        let answer = self.context.view.answer(self.context.key, &id);
        let expected = http.expected_status;
        let (message, next) = match answer {
            None => ("no answer yet".to_owned(), None),
            Some(Answer {
                outcome,
                at,
                attempts,
            }) => {
                let said = match outcome {
                    Ok(status) if *status == expected => {
                        return Found::Passed(format!("answered {status}"));
                    }
                    Ok(status) => format!("answered {status} in place of {expected}"),
                    Err(error) => error.clone(),
                };
                (said, Some(*at + back_off(*attempts)))
            }
        };
        match next.filter(|next| *next > self.context.now.0) {
            Some(next) => self.look(next),
            None => self.writes.push(Write::Call {
                id,
                request: Request {
                    method: http.method.as_str(),
                    url: http.url.clone(),
                    headers: http.headers.clone(),
                    body: http.body.clone(),
                },
            }),
        }
        Found::Waits(message)
    }

    fn job(&mut self, check: &PromotionCheck, job: &JobCheck) -> Found {
        let digest = self.digest.get(..8).unwrap_or(self.digest);
        let parts = [self.promotion.name(), check.name.as_str(), digest];
        let name = names::kubernetes_name(names::LABEL_LIMIT, &parts);
        let live = self.context.view.live_of(self.promotion.uid());
        if let Some(live) = live.iter().find(|live| *live.key.name == *name) {
            let message = live.message.as_deref().map(str::to_owned);
            return match live.health {
                Health::Healthy => Found::Passed(format!("Job \"{name}\" is complete")),
                Health::Degraded => {
                    let why = message.unwrap_or_else(|| "it failed".to_owned());
                    Found::Failed(format!("Job \"{name}\": {why}"))
                }
                Health::Progressing | Health::Unknown | Health::Suspended => {
                    Found::Waits(format!("Job \"{name}\" has not ended"))
                }
            };
        }
        match self.place() {
            Ok((home, namespace)) => {
                let object = self.object(check, job, (&namespace, &name));
                self.writes.push(Write::Apply { home, object });
                Found::Waits(format!("Job \"{name}\" is being made"))
            }
            Err(obstacle) => Found::Waits(obstacle.message),
        }
    }

    /// The cell that the releases come from.
    fn place(&self) -> Result<(Home, String), Obstacle> {
        let spec = &self.promotion.spec;
        let source = &spec.source_environment;
        let home = rendering::home(self.context, source, TargetPlane::DataPlane)?;
        let (namespace, project) = (self.context.namespace(), &spec.owner.project_name);
        let cells = self
            .context
            .view
            .members_with_status::<ProjectReleaseBindingSpec>(By::Project, &[namespace, project]);
        let cell = cells.iter().find(|cell| &cell.spec.environment == source);
        let cell = cell.and_then(|cell| cell.status.namespace.clone());
        let cell = cell.unwrap_or_else(|| names::cell_namespace(namespace, project, source));
        let there = match home {
            Home::Plane(home) => self.context.view.namespace(home, &cell),
            Home::Control => None,
        };
        match there {
            Some(false) => Ok((home, cell)),
            Some(true) | None => Err(Obstacle::new(
                reasons::CHECKS_WAITING,
                format!("waiting for namespace \"{cell}\", the cell in {source}"),
            )),
        }
    }

    fn object(&self, check: &PromotionCheck, job: &JobCheck, place: (&str, &str)) -> Value {
        let spec = &self.promotion.spec;
        let told = [
            ("CHOREO_PROMOTION", self.promotion.name()),
            ("CHOREO_PROJECT", &spec.owner.project_name),
            ("CHOREO_SOURCE_ENVIRONMENT", &spec.source_environment),
            ("CHOREO_TARGET_ENVIRONMENT", &spec.target_environment),
            ("CHOREO_PLAN_DIGEST", self.digest),
        ];
        let own = job.env.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        let env: Vec<Value> = told
            .into_iter()
            .filter(|(name, _)| !job.env.contains_key(*name))
            .chain(own)
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let labels = json!({
            labels::MANAGED_BY: labels::PROMOTION_CONTROLLER,
            labels::PROMOTION_UID: self.promotion.uid(),
        });
        let mut container = json!({ "name": "check", "image": job.image, "env": env });
        for (field, words) in [("command", &job.command), ("args", &job.args)] {
            if !words.is_empty() {
                container[field] = json!(words);
            }
        }
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": place.1, "namespace": place.0, "labels": labels },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": check.timeout().as_secs().max(1),
                "template": {
                    "metadata": { "labels": { labels::PROMOTION_UID: self.promotion.uid() } },
                    "spec": { "restartPolicy": "Never", "containers": [container] },
                },
            },
        })
    }

    fn look(&mut self, time: Timestamp) {
        no_later(&mut self.look_again, time);
    }
}

/// What is known of a check that runs.
enum Found {
    Passed(String),
    Failed(String),
    Waits(String),
}

/// Whether a write is the request of the check `name`.
fn is_of(write: &Write, name: &str) -> bool {
    match write {
        Write::Call { id, .. } => id.split('/').next() == Some(name),
        Write::Apply { .. }
        | Write::Status { .. }
        | Write::Place { .. }
        | Write::Delete { .. }
        | Write::Finalizers { .. } => false,
    }
}
