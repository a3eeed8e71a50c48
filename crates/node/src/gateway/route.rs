//! Rules of a route as Envoy routes, each with its place in the order of precedence.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use super::{
    backend::{Backends, Referrer},
    filter,
    objects::{BackendRef, Match, Resource, Route, Rule, ValueMatch},
    regular,
    status::Problem,
};

/// The name of a cluster that does not exist: Envoy answers 500 for it.
const NO_CLUSTER: &str = "-";
/// The Gateway API's limit.
const MAX_PATH: usize = 1024;

/// An Envoy route and where it stands among those of its host.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    order: Order,
    pub(super) route: Value,
}

/// The Gateway API's precedence: smaller comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    path: u8,
    length: Reverse<usize>,
    no_method: bool,
    headers: Reverse<usize>,
    params: Reverse<usize>,
    created: Option<jiff::Timestamp>,
    name: (String, String),
    position: (usize, usize),
}

impl Ordered {
    /// Sorts the routes of one host.
    pub(super) fn sort(routes: &mut [Self]) {
        routes.sort_by(|a, b| a.order.cmp(&b.order));
    }
}

/// What a route object becomes.
pub(super) struct Translated {
    pub(super) routes: Vec<Ordered>,
    pub(super) problems: Vec<Problem>,
}

/// Translates all rules of a route. A rule that cannot be served is left out, and said so.
pub(super) fn translate(
    kind: &'static str,
    route: &Resource<Route>,
    backends: &mut Backends<'_>,
) -> Translated {
    let from = Referrer {
        kind,
        namespace: &route.namespace,
    };
    let mut out = Translated {
        routes: Vec::new(),
        problems: Vec::new(),
    };
    for (number, rule) in route.spec.rules.iter().enumerate() {
        let action = match filter::read(from, rule, backends) {
            Ok(filters) => destination(from, rule, filters, backends, &mut out.problems),
            Err(problem) => {
                out.problems.push(problem);
                continue;
            }
        };
        let any = [Match::default()];
        let matches = if rule.matches.is_empty() {
            &any[..]
        } else {
            &rule.matches
        };
        for (position, wanted) in matches.iter().enumerate() {
            match one(wanted, &action) {
                Ok(built) => {
                    out.routes.extend(built.into_iter().map(|built| Ordered {
                        order: order(route, wanted, (number, position)),
                        route: built,
                    }));
                }
                Err(problem) => out.problems.push(problem),
            }
        }
    }
    out
}

fn order(route: &Resource<Route>, wanted: &Match, position: (usize, usize)) -> Order {
    let (kind, value) = path_of(wanted);
    Order {
        path: match kind {
            "Exact" => 0,
            "RegularExpression" => 1,
            _ => 2,
        },
        length: Reverse(value.len()),
        no_method: wanted.method.is_none(),
        headers: Reverse(wanted.headers.len()),
        params: Reverse(wanted.query_params.len()),
        created: route.created,
        name: (route.namespace.clone(), route.name.clone()),
        position,
    }
}

/// What happens to a request, apart from what depends on how its path matched.
pub(super) struct Action {
    /// Filters of the rule.
    pub(super) filters: filter::Filters,
    /// `None`: the rule's redirect answers.
    target: Option<Target>,
}

enum Target {
    Forward(Map<String, Value>),
    Broken,
}

fn destination(
    from: Referrer<'_>,
    rule: &Rule,
    filters: filter::Filters,
    backends: &mut Backends<'_>,
    problems: &mut Vec<Problem>,
) -> Action {
    if filters.redirects() {
        return Action {
            filters,
            target: None,
        };
    }
    let mut targets: Vec<Value> = Vec::new();
    let mut sound = false;
    for reference in &rule.backend_refs {
        let weight = reference.weight.unwrap_or(1);
        let (cluster, changes) = match backend(from, reference, backends) {
            Ok(found) => {
                sound |= weight > 0;
                found
            }
            Err(problem) => {
                problems.push(problem);
                (NO_CLUSTER.to_owned(), Map::new())
            }
        };
        if weight > 0 {
            let mut target = json!({"name": cluster, "weight": weight});
            merge(&mut target, changes);
            targets.push(target);
        }
    }
    let target = if sound {
        Target::Forward(forward(rule, targets, problems))
    } else {
        Target::Broken
    };
    Action {
        filters,
        target: Some(target),
    }
}

fn backend(
    from: Referrer<'_>,
    reference: &BackendRef,
    backends: &mut Backends<'_>,
) -> Result<(String, Map<String, Value>), Problem> {
    let cluster = backends.cluster(from, reference)?;
    let changes = filter::of_backend(reference)?;
    Ok((cluster, changes))
}

/// The Envoy `RouteAction` of a rule, without rewrites.
fn forward(
    rule: &Rule,
    mut targets: Vec<Value>,
    problems: &mut Vec<Problem>,
) -> Map<String, Value> {
    let mut action = Map::new();
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
    let mut retry = json!({
        "retry_on": "connect-failure",
        "num_retries": 1,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
        "host_selection_retry_max_attempts": "3",
    });
    let request = duration(rule.timeouts.request.as_deref(), problems);
    let attempt = duration(rule.timeouts.backend_request.as_deref(), problems);
    // Envoy's own default of 15 s would cut long answers; 0 is none, as in the Gateway API.
    action.insert(
        "timeout".into(),
        json!(request.unwrap_or_else(|| "0s".into())),
    );
    if let Some(attempt) = attempt {
        retry["per_try_timeout"] = json!(attempt);
    }
    action.insert("retry_policy".into(), retry);
    action
}

/// A Gateway API duration (`1h30m`, `500ms`) in the words of Envoy's JSON.
fn duration(text: Option<&str>, problems: &mut Vec<Problem>) -> Option<String> {
    let text = text?;
    let parsed = text.parse::<kube::core::Duration>().ok();
    let positive = parsed
        .filter(|d| !d.is_negative())
        .map(std::time::Duration::try_from);
    if let Some(Ok(duration)) = positive {
        return Some(format!(
            "{}.{:03}s",
            duration.as_secs(),
            duration.subsec_millis()
        ));
    }
    problems.push(Problem::unsupported(format!("{text:?} is not a duration")));
    None
}

/// The Envoy routes of one match: one, and one more for the preflight of a match with a method.
fn one(wanted: &Match, action: &Action) -> Result<Vec<Value>, Problem> {
    let condition = condition(wanted)?;
    let (kind, path) = path_of(wanted);
    let prefix = (kind == "PathPrefix").then(|| path.trim_end_matches('/'));
    let mut route = Map::new();
    route.insert("match".into(), condition.clone());
    match &action.target {
        None => {
            route.insert("redirect".into(), action.filters.redirect(prefix)?.into());
        }
        Some(Target::Broken) => {
            route.insert("direct_response".into(), json!({"status": 500}));
        }
        Some(Target::Forward(forward)) => {
            let mut forward = forward.clone();
            forward.extend(action.filters.rewrite(prefix)?);
            route.insert("route".into(), forward.into());
        }
    }
    route.extend(action.filters.around());
    let mut routes = vec![Value::Object(route.clone())];
    if let (true, Some(method)) = (action.filters.has_cors(), &wanted.method)
        && method != "OPTIONS"
    {
        let mut preflight = condition;
        preflight["headers"][0] = exact_header(":method", "OPTIONS");
        if let Some(headers) = preflight["headers"].as_array_mut() {
            headers.push(exact_header("access-control-request-method", method));
        }
        route.insert("match".into(), preflight);
        routes.push(route.into());
    }
    Ok(routes)
}

fn path_of(wanted: &Match) -> (&str, &str) {
    match &wanted.path {
        None => ("PathPrefix", "/"),
        Some(path) => {
            let value = if path.value.is_empty() {
                "/"
            } else {
                &path.value
            };
            (path.kind.as_deref().unwrap_or("PathPrefix"), value)
        }
    }
}

fn condition(wanted: &Match) -> Result<Value, Problem> {
    let (kind, path) = path_of(wanted);
    if kind != "RegularExpression" {
        check_path(path)?;
    }
    let mut condition = match kind {
        "Exact" => json!({"path": path}),
        "RegularExpression" => json!({"safe_regex": safe_regex(path)?}),
        "PathPrefix" => match path.trim_end_matches('/') {
            "" => json!({"prefix": "/"}),
            prefix => json!({"path_separated_prefix": prefix}),
        },
        other => return Err(Problem::unsupported(format!("path match {other:?}"))),
    };
    let mut headers = Vec::new();
    if let Some(method) = &wanted.method {
        check_token("method", method)?;
        headers.push(exact_header(":method", method));
    }
    for header in distinct(&wanted.headers, str::to_ascii_lowercase) {
        check_token("header", &header.name)?;
        headers.push(json!({"name": header.name, "string_match": string_match(header)?}));
    }
    if !headers.is_empty() {
        condition["headers"] = headers.into();
    }
    let mut params = Vec::new();
    for param in distinct(&wanted.query_params, str::to_owned) {
        check_token("query parameter", &param.name)?;
        params.push(json!({"name": param.name, "string_match": string_match(param)?}));
    }
    if !params.is_empty() {
        condition["query_parameters"] = params.into();
    }
    Ok(condition)
}

/// Of several conditions on one name the first counts.
fn distinct(
    matches: &[ValueMatch],
    key: impl Fn(&str) -> String,
) -> impl Iterator<Item = &ValueMatch> {
    let mut seen = std::collections::BTreeSet::new();
    matches.iter().filter(move |m| seen.insert(key(&m.name)))
}

fn exact_header(name: &str, value: &str) -> Value {
    json!({"name": name, "string_match": {"exact": value}})
}

fn string_match(wanted: &ValueMatch) -> Result<Value, Problem> {
    match wanted.kind.as_deref().unwrap_or("Exact") {
        "Exact" => Ok(json!({"exact": wanted.value})),
        "RegularExpression" => Ok(json!({"safe_regex": safe_regex(&wanted.value)?})),
        other => Err(Problem::unsupported(format!("match {other:?}"))),
    }
}

/// A regular expression that Envoy will take: one that it refuses would hold up every other route.
fn safe_regex(text: &str) -> Result<Value, Problem> {
    if regular::is_re2(text) {
        return Ok(json!({"regex": text}));
    }
    Err(Problem::unsupported(format!(
        "{text:?} is not a regular expression the gateway understands (RE2, up to {} bytes)",
        regular::MAX_LENGTH
    )))
}

/// Checks a path to compare with: the characters that the Gateway API allows, for Envoy does not take
/// all others.
fn check_path(path: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&b);
    if path.starts_with('/') && path.len() <= MAX_PATH && path.bytes().all(plain) {
        Ok(())
    } else {
        Err(Problem::unsupported(format!(
            "path {path:?} is not well-formed"
        )))
    }
}

/// Checks the name of a header or a method.
pub(super) fn check_token(what: &str, name: &str) -> Result<(), Problem> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.len() <= 256 && name.bytes().all(token) {
        Ok(())
    } else {
        Err(Problem::unsupported(format!(
            "{what} {name:?} is not well-formed"
        )))
    }
}

/// Adds fields to an object.
fn merge(target: &mut Value, fields: Map<String, Value>) {
    if let Some(object) = target.as_object_mut() {
        object.extend(fields);
    }
}
