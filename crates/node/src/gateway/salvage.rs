//! Keeping what is good of configuration that Envoy refuses.
//!
//! Whatever Envoy would refuse should be found by the translation. Should something slip through, Envoy
//! itself is asked which parts it were, half of them at a time: the parts of a resource are its routes, or
//! the providers of tokens. One that is refused is answered with 500, or leads to no token being good, and
//! everything beside it is served.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value, json};

use super::discovery::{Discovery, Key, Verdict};

/// The most questions that are asked about one resource, and how long an answer may take.
const MOST_QUESTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(3);

/// Finds the parts that Envoy does not take of a resource that it refused, among those that are not in what
/// it has, and leaves it with all the others.
pub(super) async fn salvage(
    discovery: &Discovery,
    key: &Key,
    parts: &mut Parts,
) -> BTreeSet<usize> {
    let good = discovery.good(key).map(|good| parts.again(&good).texts());
    let good: BTreeSet<String> = good.into_iter().flatten().collect();
    let texts = parts.texts();
    let suspects = texts
        .iter()
        .enumerate()
        .filter(|(_, text)| !good.contains(*text));
    let mut search = Search::new(suspects.map(|(number, _)| number));
    // It may be their very conditions that are refused: then nothing can stand in their place.
    parts.remove = !is_taken(discovery, key, parts.without(&search.doubted)).await;
    for _ in 0..MOST_QUESTIONS {
        let Some(left_out) = search.next() else { break };
        search.learn(is_taken(discovery, key, parts.without(&left_out)).await);
    }
    let bad = search.doubted;
    is_taken(discovery, key, parts.without(&bad)).await;
    bad
}

async fn is_taken(discovery: &Discovery, key: &Key, resource: Value) -> bool {
    discovery.offer(key, vec![resource]);
    let settled = discovery.wait(PATIENCE, |verdicts| {
        verdicts.get(key) != Some(&Verdict::Open)
    });
    let verdict = settled
        .await
        .and_then(|verdicts| verdicts.get(key).copied());
    verdict == Some(Verdict::Taken)
}

/// A resource in its parts.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    whole: Value,
    places: Vec<Place>,
    read: fn(&Value) -> Self,
    /// Whether parts are taken out, instead of being answered for.
    remove: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Route { host: usize, number: usize },
    Provider(String),
}

impl Parts {
    /// The routes of a route configuration.
    pub(super) fn of_routes(whole: &Value) -> Self {
        let hosts = whole["virtual_hosts"].as_array();
        let places = hosts.into_iter().flatten().enumerate();
        let places = places.flat_map(|(host, virtual_host)| {
            let routes = virtual_host["routes"].as_array().map_or(0, Vec::len);
            (0..routes).map(move |number| Place::Route { host, number })
        });
        Self {
            places: places.collect(),
            whole: whole.clone(),
            read: Self::of_routes,
            remove: false,
        }
    }

    /// The providers of the filter for tokens.
    pub(super) fn of_tokens(whole: &Value) -> Self {
        let providers = whole["typed_config"]["providers"].as_object();
        let names = providers.into_iter().flat_map(Map::keys);
        Self {
            places: names.cloned().map(Place::Provider).collect(),
            whole: whole.clone(),
            read: Self::of_tokens,
            remove: false,
        }
    }

    /// Another resource of the same kind.
    fn again(&self, whole: &Value) -> Self {
        (self.read)(whole)
    }

    /// The objects that some parts were made from, by kind, namespace and name.
    pub(super) fn objects(&self, bad: &BTreeSet<usize>) -> BTreeSet<String> {
        let places = bad.iter().filter_map(|number| self.places.get(*number));
        let names = places.filter_map(|place| match place {
            Place::Route { host, number } => {
                self.whole["virtual_hosts"][*host]["routes"][*number]["name"].as_str()
            }
            Place::Provider(_) => None,
        });
        names.map(str::to_owned).collect()
    }

    /// Each part as text: what was refused once is known by it.
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |place: &Place| match place {
            Place::Route { host, number } => {
                self.whole["virtual_hosts"][*host]["routes"][*number].to_string()
            }
            Place::Provider(name) => self.whole["typed_config"]["providers"][name].to_string(),
        };
        self.places.iter().map(text).collect()
    }

    /// The resource without some of its parts.
    pub(super) fn without(&self, bad: &BTreeSet<usize>) -> Value {
        let mut whole = self.whole.clone();
        for place in bad.iter().filter_map(|number| self.places.get(*number)) {
            match place {
                Place::Route { host, number } => {
                    let route = &mut whole["virtual_hosts"][*host]["routes"][*number];
                    *route = if self.remove {
                        Value::Null
                    } else {
                        instead(route)
                    };
                }
                // What requires it is answered with 403.
                Place::Provider(name) => {
                    let config = &mut whole["typed_config"];
                    if let Some(providers) = config["providers"].as_object_mut() {
                        providers.remove(name);
                    }
                    if let Some(requirements) = config["requirement_map"].as_object_mut() {
                        requirements.retain(|_, needs| !needs.to_string().contains(name.as_str()));
                    }
                }
            }
        }
        for host in whole["virtual_hosts"].as_array_mut().into_iter().flatten() {
            if let Some(routes) = host["routes"].as_array_mut() {
                routes.retain(|route| !route.is_null());
            }
        }
        whole
    }
}

/// What answers in a route's place. Its host's other routes do not: they may be meant for less.
fn instead(route: &Value) -> Value {
    json!({"name": route["name"], "match": route["match"], "direct_response": {"status": 500}})
}

/// The search for bad parts: what to try next, by what became of what was tried.
#[derive(Debug)]
struct Search {
    /// Sets of parts, each of which is still to be tried.
    open: Vec<Vec<usize>>,
    /// Parts that are not known to be good; in the end those that are bad.
    doubted: BTreeSet<usize>,
}

impl Search {
    /// Among some parts.
    fn new(suspects: impl IntoIterator<Item = usize>) -> Self {
        let suspects: Vec<usize> = suspects.into_iter().collect();
        Self {
            doubted: suspects.iter().copied().collect(),
            open: halves(suspects),
        }
    }

    /// The parts to leave out of the next try; `None` once all is known.
    fn next(&self) -> Option<BTreeSet<usize>> {
        let tried = self.open.last()?;
        let mut left_out = self.doubted.clone();
        for part in tried {
            left_out.remove(part);
        }
        Some(left_out)
    }

    /// Takes in what became of it.
    fn learn(&mut self, taken: bool) {
        let Some(tried) = self.open.pop() else {
            return;
        };
        if taken {
            for part in tried {
                self.doubted.remove(&part);
            }
        } else if tried.len() > 1 {
            self.open.extend(halves(tried));
        }
    }
}

fn halves(mut parts: Vec<usize>) -> Vec<Vec<usize>> {
    let second = parts.split_off(parts.len() / 2);
    [second, parts]
        .into_iter()
        .filter(|half| !half.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: usize, bad: &[usize]) {
        let mut search = Search::new(0..parts);
        let mut asked = 0;
        while let Some(left_out) = search.next() {
            asked += 1;
            search.learn(bad.iter().all(|part| left_out.contains(part)));
        }
        assert_eq!(search.doubted, bad.iter().copied().collect());
        assert!(
            asked <= 2 * (1 + bad.len()) * (parts.ilog2() as usize + 1),
            "{asked}"
        );
    }

    #[test]
    fn bad_parts_are_found() {
        check(1, &[0]);
        check(2, &[1]);
        check(100, &[63]);
        check(100, &[0, 63, 99]);
        check(3, &[0, 1, 2]);
    }

    #[test]
    fn a_route_that_is_left_out_is_answered_for() {
        let whole = json!({"virtual_hosts": [{"routes": [
            {"name": "a", "match": {"path": "/a"}, "route": {}}, {"match": {"prefix": "/"}, "route": {}},
        ]}]});
        let parts = Parts::of_routes(&whole);
        assert_eq!(parts.texts().len(), 2);
        let without = parts.without(&BTreeSet::from([0]));
        let routes = &without["virtual_hosts"][0]["routes"];
        assert_eq!(
            routes[0],
            json!({"name": "a", "match": {"path": "/a"}, "direct_response": {"status": 500}})
        );
        assert_eq!(
            parts.objects(&BTreeSet::from([0])),
            BTreeSet::from(["a".to_owned()])
        );
        assert_eq!(routes[1], whole["virtual_hosts"][0]["routes"][1]);
    }
}
