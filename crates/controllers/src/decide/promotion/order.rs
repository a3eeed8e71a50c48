//! The order in which the parts of a project go: whatever is called or used before whoever does that.

use std::collections::{BTreeMap, BTreeSet};

/// The turn of each part, given what each of them needs. A part comes after all it needs; those that
/// need each other come together.
pub(super) fn waves<T: Ord + Copy>(needs: &BTreeMap<T, BTreeSet<T>>) -> BTreeMap<T, u32> {
    let reached: BTreeMap<T, BTreeSet<T>> = needs
        .keys()
        .map(|part| (*part, reachable(needs, *part)))
        .collect();
    let reaches = |from: T, to: T| reached.get(&from).is_some_and(|all| all.contains(&to));
    let mut waves: BTreeMap<T, u32> = BTreeMap::new();
    // Whatever reaches fewer comes first: what a part needs reaches no more than itself does.
    let mut order: Vec<T> = needs.keys().copied().collect();
    order.sort_by_key(|part| reached.get(part).map_or(0, BTreeSet::len));
    for part in order {
        let (mutual, before): (Vec<T>, Vec<T>) = reached
            .get(&part)
            .into_iter()
            .flatten()
            .copied()
            .partition(|other| reaches(*other, part));
        let after = |other: T| waves.get(&other).map_or(0, |wave| wave + 1);
        let own = before.into_iter().map(after).max().unwrap_or_default();
        let theirs = mutual
            .into_iter()
            .filter_map(|other| waves.get(&other).copied());
        waves.insert(part, theirs.max().unwrap_or(own).max(own));
    }
    waves
}

/// Everything that `part` needs, at one or more removes.
fn reachable<T: Ord + Copy>(needs: &BTreeMap<T, BTreeSet<T>>, part: T) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    let mut open = vec![part];
    while let Some(next) = open.pop() {
        for needed in needs.get(&next).into_iter().flatten() {
            if needs.contains_key(needed) && seen.insert(*needed) {
                open.push(*needed);
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
