//! The order in which the components of a project go: whoever is called before whoever calls.

use std::collections::{BTreeMap, BTreeSet};

/// The turn of each component, given whom each of them calls. A component comes after all it calls;
/// those that call each other come together.
pub(super) fn waves<'a>(calls: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeMap<&'a str, u32> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = calls
        .keys()
        .map(|component| (*component, reachable(calls, component)))
        .collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
    let mut waves: BTreeMap<&str, u32> = BTreeMap::new();
    // Whoever reaches fewer comes first: what a component calls reaches no more than itself does.
    let mut order: Vec<&str> = calls.keys().copied().collect();
    order.sort_by_key(|component| reached.get(component).map_or(0, BTreeSet::len));
    for component in order {
        let (mutual, before): (Vec<&str>, Vec<&str>) = reached
            .get(component)
            .into_iter()
            .flatten()
            .partition(|other| reaches(other, component));
        let after = |other: &str| waves.get(other).map_or(0, |wave| wave + 1);
        let own = before.into_iter().map(after).max().unwrap_or_default();
        let theirs = mutual
            .into_iter()
            .filter_map(|other| waves.get(other).copied());
        waves.insert(component, theirs.max().unwrap_or(own).max(own));
    }
    waves
}

/// Everything that `component` calls, at one or more removes.
fn reachable<'a>(
    calls: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    component: &str,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![component];
    while let Some(next) = open.pop() {
        for called in calls.get(next).into_iter().flatten() {
            if calls.contains_key(called) && seen.insert(*called) {
                open.push(called);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts the turns of components, each written as `caller>called,called`.
    fn check(calls: &[&'static str], expected: &[(&str, u32)]) {
        let calls: BTreeMap<&str, BTreeSet<&str>> = calls
            .iter()
            .map(|one| {
                let (caller, called) = one.split_once('>').unwrap_or((one, ""));
                let called = called.split(',').filter(|name| !name.is_empty());
                (caller, called.collect())
            })
            .collect();
        let waves: Vec<(&str, u32)> = waves(&calls).into_iter().collect();
        assert_eq!(waves, expected);
    }

    #[test]
    fn whoever_is_called_comes_first() {
        check(&["api", "web>api"], &[("api", 0), ("web", 1)]);
        check(
            &["a>b,c", "b>d", "c", "d"],
            &[("a", 2), ("b", 1), ("c", 0), ("d", 0)],
        );
    }

    #[test]
    fn those_that_call_each_other_come_together() {
        check(
            &["a>b", "b>a,db", "db", "web>a"],
            &[("a", 1), ("b", 1), ("db", 0), ("web", 2)],
        );
        check(&["a>a"], &[("a", 0)]);
    }

    #[test]
    fn whoever_is_elsewhere_is_not_waited_for() {
        check(&["web>billing"], &[("web", 0)]);
    }
}
