//! What happens to the requests of a rule: where they go, how long they may take, what is tried again.

use serde_json::{Map, Value, json};

use super::{
    backend::{Protocol, Wish},
    filter::{self, Filters},
    objects::{Retry, Rule},
    policy::Effect,
    references::Referrer,
    route::NO_CLUSTER,
    status::Problem,
    world::World,
};

/// What Envoy is to retry for a rule that asks for it: its statuses, and connections that break.
const RETRY_ON: &str = "connect-failure,refused-stream,reset,retriable-status-codes";
/// The most attempts that Envoy is asked for.
const MAX_ATTEMPTS: u32 = 100;

/// Whose rule it is, and the policies on it.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) kind: &'static str,
    pub(super) namespace: &'a str,
    pub(super) effect: &'a Effect,
}

impl Origin<'_> {
    pub(super) fn referrer(&self) -> Referrer<'_> {
        Referrer::of(self.kind, self.namespace)
    }

    /// How backends are to be spoken to.
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            protocol: if self.kind == "GRPCRoute" {
                Protocol::Grpc
            } else {
                Protocol::Http
            },
            settings: self.effect.cluster(),
        }
    }
}

/// What happens to a request, apart from what depends on how its path matched.
pub(super) struct Action {
    filters: Filters,
    target: Target,
}

enum Target {
    /// The rule's redirect answers.
    Redirect,
    Forward(Map<String, Value>),
    /// Nobody can answer.
    Broken,
    /// The rule cannot be served.
    Refused,
}

impl Action {
    /// Of a rule that cannot be served.
    pub(super) fn broken() -> Self {
        Self {
            filters: Filters::default(),
            target: Target::Refused,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.target, Target::Refused)
    }

    /// The fields of the Envoy route; `prefix` is what a path prefix match matched, without its last `/`.
    pub(super) fn fields(&self, prefix: Option<&str>) -> Result<Map<String, Value>, Problem> {
        let mut fields = self.filters.around();
        let (name, action) = match &self.target {
            Target::Redirect => ("redirect", self.filters.redirect(prefix)?),
            Target::Broken | Target::Refused => (
                "direct_response",
                Map::from_iter([("status".to_owned(), json!(500))]),
            ),
            Target::Forward(forward) => {
                let mut forward = forward.clone();
                forward.extend(self.filters.rewrite(prefix)?);
                ("route", forward)
            }
        };
        fields.insert(name.to_owned(), action.into());
        Ok(fields)
    }
}

/// The action of a rule; what is wrong with some of its backends is added to `problems`.
pub(super) fn of(
    from: Origin<'_>,
    rule: &Rule,
    filters: Filters,
    world: &mut World<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Action, Problem> {
    if filters.redirects() {
        return Ok(Action {
            filters,
            target: Target::Redirect,
        });
    }
    let mut targets: Vec<Value> = Vec::new();
    let mut sound = false;
    for reference in &rule.backend_refs {
        let weight = reference.weight.unwrap_or(1);
        let changes = filter::of_backend(reference)?;
        let cluster = world.backend(from.referrer(), reference, &from.wish());
        let cluster = cluster
            .inspect(|cluster| sound |= weight > 0 && cluster != NO_CLUSTER)
            .unwrap_or_else(|problem| {
                problems.push(problem);
                NO_CLUSTER.to_owned()
            });
        if weight > 0 {
            let mut target = Map::from_iter([
                ("name".to_owned(), json!(cluster)),
                ("weight".to_owned(), json!(weight)),
            ]);
            target.extend(changes);
            targets.push(target.into());
        }
    }
    let target = if sound {
        Target::Forward(forward(from.effect, rule, targets)?)
    } else {
        Target::Broken
    };
    Ok(Action { filters, target })
}

/// The Envoy `RouteAction` of a rule, without rewrites.
fn forward(
    effect: &Effect,
    rule: &Rule,
    mut targets: Vec<Value>,
) -> Result<Map<String, Value>, Problem> {
    let mut action = effect.action();
    let plain = targets
        .first()
        .and_then(Value::as_object)
        .is_some_and(|t| t.len() == 2);
    if targets.len() == 1 && plain {
        action.insert("cluster".into(), targets[0]["name"].take());
    } else {
        action.insert("weighted_clusters".into(), json!({"clusters": targets}));
    }
    action.insert(
        "cluster_not_found_response_code".into(),
        json!("INTERNAL_SERVER_ERROR"),
    );
    let mut retry = match &rule.retry {
        Some(wanted) => retry_policy(wanted)?,
        None => action.remove("retry_policy").unwrap_or_else(usual_retry),
    };
    if let Some(attempt) = rule.timeouts.backend_request.as_deref() {
        let attempt = duration(attempt)?;
        // In Envoy as in the Gateway API zero is no limit, but there it must be left out.
        if attempt.is_zero() {
            if let Some(retry) = retry.as_object_mut() {
                retry.remove("per_try_timeout");
            }
        } else {
            retry["per_try_timeout"] = json!(seconds(attempt));
        }
    }
    action.insert("retry_policy".into(), retry);
    // Envoy's own default of 15 s would cut long answers; 0 is none, as in the Gateway API.
    if let Some(request) = rule.timeouts.request.as_deref() {
        action.insert("timeout".into(), json!(seconds(duration(request)?)));
    } else if !action.contains_key("timeout") {
        action.insert("timeout".into(), json!("0s"));
    }
    Ok(action)
}

/// Where nothing is said, a backend that cannot be connected to costs nothing when another can.
fn usual_retry() -> Value {
    json!({
        "retry_on": "connect-failure",
        "num_retries": 1,
        "retry_host_predicate": [previous_hosts()],
        "host_selection_retry_max_attempts": "3",
    })
}

/// Prefers hosts that were not tried yet.
pub(super) fn previous_hosts() -> Value {
    json!({
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        },
    })
}

fn retry_policy(wanted: &Retry) -> Result<Value, Problem> {
    let mut policy = json!({
        "retry_on": RETRY_ON,
        "retriable_status_codes": codes(&wanted.codes)?,
        "num_retries": wanted.attempts.unwrap_or(1).min(MAX_ATTEMPTS),
        "retry_host_predicate": [previous_hosts()],
        "host_selection_retry_max_attempts": "3",
    });
    if let Some(text) = wanted.backoff.as_deref() {
        let pause = duration(text)?;
        if !pause.is_zero() {
            policy["retry_back_off"] = back_off(pause, pause * 10)?;
        }
    }
    Ok(policy)
}

/// Envoy's pauses between attempts.
pub(super) fn back_off(
    first: std::time::Duration,
    longest: std::time::Duration,
) -> Result<Value, Problem> {
    if !first.subsec_nanos().is_multiple_of(1_000_000) || longest < first {
        let message =
            "pauses between attempts are whole milliseconds, the longest not below the first";
        return Err(Problem::unsupported(message));
    }
    Ok(json!({"base_interval": seconds(first), "max_interval": seconds(longest)}))
}

fn codes(codes: &[u16]) -> Result<&[u16], Problem> {
    match codes.iter().find(|code| !(400..=599).contains(*code)) {
        None => Ok(codes),
        Some(code) => Err(Problem::unsupported(format!(
            "{code} is not the status of a failure"
        ))),
    }
}

/// A Gateway API duration: `1h30m`, `500ms`.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, Problem> {
    let parsed = text.parse::<kube::core::Duration>().ok();
    let positive = parsed
        .filter(|d| !d.is_negative())
        .map(std::time::Duration::try_from);
    match positive {
        // Envoy counts nanoseconds in 64 bits.
        Some(Ok(duration)) if duration.as_secs() < 1 << 32 => Ok(duration),
        _ => Err(Problem::unsupported(format!("{text:?} is not a duration"))),
    }
}

/// A duration in the words of Envoy's JSON.
pub(super) fn seconds(duration: std::time::Duration) -> String {
    format!("{}.{:03}s", duration.as_secs(), duration.subsec_millis())
}
