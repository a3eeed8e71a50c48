//! Rules of HTTP and gRPC routes as Envoy routes, each with its place in the order of precedence.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use super::{
    action::{self, Action},
    filter,
    matching::{condition, path_of, preflight},
    objects::{Match, Resource, Route, Rule},
    point::Point,
    policy::{Effect, Scope},
    status::{Outcome, Problem},
    world::World,
};

/// The name of a cluster that does not exist: Envoy answers 500 for it.
pub(super) const NO_CLUSTER: &str = "-";

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
#[derive(Default)]
pub(super) struct Translated {
    pub(super) routes: Vec<Ordered>,
    pub(super) outcome: Outcome,
    /// Whether any rule is served as it is.
    sound: bool,
}

/// Attaches a route to a listener, under some of the listener's hosts.
pub(super) fn attach(
    kind: &'static str,
    object: &Resource<Route>,
    hosts: Vec<String>,
    point: &mut Point<'_>,
    world: &mut World<'_>,
) -> Outcome {
    let translated = translate(kind, object, Some(point), world);
    for host in hosts {
        let routes = point.hosts.entry(host).or_default();
        routes.extend(translated.routes.iter().cloned());
    }
    translated.outcome
}

/// Translates all rules of a route as one listener serves it. A match that cannot be served is left out,
/// and a rule of which more cannot be is answered with 500; both are told.
pub(super) fn translate(
    kind: &'static str,
    object: &Resource<Route>,
    point: Option<&Point<'_>>,
    world: &mut World<'_>,
) -> Translated {
    let mut out = Translated::default();
    for number in 0..object.spec.rules.len() {
        let one = Rules {
            kind,
            object,
            point,
        };
        one.translate(number, world, &mut out);
    }
    if !out.sound && !out.outcome.dropped.is_empty() {
        let dropped = std::mem::take(&mut out.outcome.dropped);
        out.outcome.problems.extend(dropped);
    }
    out
}

/// The rules of a route at a listener.
#[derive(Clone, Copy)]
struct Rules<'r> {
    kind: &'static str,
    object: &'r Resource<Route>,
    point: Option<&'r Point<'r>>,
}

impl Rules<'_> {
    fn translate(self, number: usize, world: &mut World<'_>, out: &mut Translated) {
        let Some(rule) = self.object.spec.rules.get(number) else {
            return;
        };
        let effect = self.effect(rule, world, out);
        let action = self.action(rule, &effect, world, out);
        let any = [Match::default()];
        let matches = if rule.matches.is_empty() {
            &any[..]
        } else {
            &rule.matches
        };
        for (position, wanted) in matches.iter().enumerate() {
            match envoy_routes(wanted, &action, &effect) {
                Ok(built) => {
                    out.sound |= !action.is_broken();
                    let Resource {
                        namespace, name, ..
                    } = self.object;
                    let name = format!("{} {namespace}/{name}", self.kind);
                    out.routes.extend(built.into_iter().map(|mut built| {
                        built["name"] = name.clone().into();
                        Ordered {
                            order: order(self.object, wanted, (number, position)),
                            route: built,
                        }
                    }));
                }
                Err(problem) => out.outcome.dropped.push(problem),
            }
        }
    }

    /// What policies do to a rule. What leads out of a cell reaches nothing inside, so nobody is asked there.
    fn effect(self, rule: &Rule, world: &World<'_>, out: &mut Translated) -> Effect {
        let Some(point) = self.point else {
            return Effect::default();
        };
        let scope = Scope::new(self.kind, self.object, rule.name.as_deref(), point);
        let effect = world.policies.effect(&scope);
        if point.place.is_inside() && effect.asks() {
            let message = "a SecurityPolicy with extAuth or oidc is not for routes that lead out";
            out.outcome.problems.push(Problem::unsupported(message));
            return Effect::refused();
        }
        effect
    }

    fn action(
        self,
        rule: &Rule,
        effect: &Effect,
        world: &mut World<'_>,
        out: &mut Translated,
    ) -> Action {
        let from = action::Origin {
            kind: self.kind,
            namespace: &self.object.namespace,
            effect,
        };
        let problems = &mut out.outcome.problems;
        let action = filter::read(from, rule, self.point, world, problems)
            .and_then(|filters| action::of(from, rule, filters, world, problems));
        action.unwrap_or_else(|problem| {
            out.outcome.dropped.push(problem);
            Action::broken()
        })
    }
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

/// The Envoy routes of one match: one, and one more for the preflight of a match with a method.
fn envoy_routes(wanted: &Match, action: &Action, effect: &Effect) -> Result<Vec<Value>, Problem> {
    let condition = condition(wanted)?;
    let (kind, path) = path_of(wanted);
    let prefix = (kind == "PathPrefix").then(|| path.trim_end_matches('/'));
    let mut fields = action.fields(prefix)?;
    let mut filters = match fields.remove(filter::PER_FILTER) {
        Some(Value::Object(filters)) => filters,
        _ => Map::new(),
    };
    if effect.refuses() {
        fields = Map::from_iter([("direct_response".to_owned(), json!({"status": 500}))]);
        filters.clear();
    }
    effect.add_filters(&mut filters);
    let crosses_origins = filters.contains_key(filter::CORS_FILTER);
    if !filters.is_empty() {
        fields.insert(filter::PER_FILTER.to_owned(), filters.into());
    }
    let with = |condition: Value| {
        let mut route = fields.clone();
        route.insert("match".to_owned(), condition);
        Value::Object(route)
    };
    let mut routes = vec![with(condition.clone())];
    if let (true, Some(method)) = (crosses_origins, &wanted.method)
        && method != "OPTIONS"
    {
        routes.push(with(preflight(&condition, method)));
    }
    Ok(routes)
}
