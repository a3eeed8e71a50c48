//! The steps from one table to another: what stays is not touched, and all steps are one transaction,
//! so that no packet sees anything between the two.

use std::collections::BTreeSet;

use super::table::{Action, Base, Key, Kind, Rule, Set, Table};

/// A step, in an order that the kernel takes: what is referred to comes first and goes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step<'a> {
    AddSet(&'a str, Kind),
    AddChain(&'a str, Option<Base>),
    /// Forgets the rules of a chain.
    Flush(&'a str),
    RemoveElements(&'a str, Kind, Vec<Key>),
    AddElements(&'a str, Kind, Vec<(Key, Option<&'a str>)>),
    AddRule(&'a str, &'a Rule),
    RemoveChain(&'a str),
    RemoveSet(&'a str),
}

impl Step<'_> {
    /// Whether it is about writing of packets.
    pub(super) const fn is_report(&self) -> bool {
        matches!(self, Self::AddRule(_, rule) if matches!(rule.action, Action::Report(_)))
    }
}

/// The steps that make one table of another.
pub(super) fn steps<'a>(old: &'a Table, new: &'a Table) -> Vec<Step<'a>> {
    let renewed = renewed_sets(old, new);
    let stays = |name: &str| !renewed.contains(name);
    let mut steps = Vec::new();
    let chains: Vec<&str> = new
        .chains
        .iter()
        .filter(|(name, chain)| {
            let looks_anew = || {
                chain
                    .rules
                    .iter()
                    .any(|rule| !rule.sets().is_disjoint(&renewed))
            };
            old.chains.get(*name) != Some(chain) || looks_anew()
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let gone = old.chains.keys().map(String::as_str);
    let gone: Vec<&str> = gone
        .filter(|name| !new.chains.contains_key(*name))
        .collect();
    let known = chains.iter().filter(|name| old.chains.contains_key(**name));
    steps.extend(known.chain(&gone).map(|name| Step::Flush(name)));
    // Elements lead to chains: they have to be gone before these.
    for (name, set) in &old.sets {
        let after = new.sets.get(name).filter(|_| stays(name));
        let stale: Vec<Key> = removed(set, after);
        if !stale.is_empty() {
            steps.push(Step::RemoveElements(name, set.kind, stale));
        }
    }
    let unused = old.sets.keys().map(String::as_str);
    let unused = unused.filter(|name| !new.sets.contains_key(*name) || !stays(name));
    steps.extend(unused.map(Step::RemoveSet));
    let sets = new.sets.iter();
    let fresh = sets.filter(|(name, _)| !old.sets.contains_key(*name) || !stays(name));
    steps.extend(fresh.map(|(name, set)| Step::AddSet(name, set.kind)));
    let unknown = new.chains.iter();
    let unknown = unknown.filter(|(name, _)| !old.chains.contains_key(*name));
    steps.extend(unknown.map(|(name, chain)| Step::AddChain(name, chain.base)));
    for (name, set) in &new.sets {
        let before = old.sets.get(name).filter(|_| stays(name));
        let added = removed_or_changed(set, before);
        if !added.is_empty() {
            steps.push(Step::AddElements(name, set.kind, added));
        }
    }
    for name in chains {
        let rules = new
            .chains
            .get(name)
            .into_iter()
            .flat_map(|chain| &chain.rules);
        steps.extend(rules.map(|rule| Step::AddRule(name, rule)));
    }
    steps.extend(gone.into_iter().map(Step::RemoveChain));
    steps
}

/// Sets of the same name that hold something else than before: nothing of them can stay.
fn renewed_sets<'a>(old: &Table, new: &'a Table) -> BTreeSet<&'a str> {
    let sets = new.sets.iter();
    let renewed = sets.filter(|(name, set)| {
        let before = old.sets.get(*name);
        before.is_some_and(|before| before.kind != set.kind)
    });
    renewed.map(|(name, _)| name.as_str()).collect()
}

/// What is in a set and, as it is there, not in another.
fn removed(set: &Set, other: Option<&Set>) -> Vec<Key> {
    let differing = removed_or_changed(set, other);
    differing.into_iter().map(|(key, _)| key).collect()
}

fn removed_or_changed<'a>(set: &'a Set, other: Option<&Set>) -> Vec<(Key, Option<&'a str>)> {
    let elements = set.elements.iter();
    let differing = elements
        .filter(|(key, chain)| other.is_none_or(|other| other.elements.get(*key) != Some(chain)));
    differing
        .map(|(key, chain)| (*key, chain.as_deref()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::machine::network::table::Match;

    fn address(last: u8) -> Key {
        Key::Address(Ipv4Addr::new(10, 0, 0, last))
    }

    fn table(peers: &[u8], pods: &[(u8, &str)]) -> Table {
        let mut table = Table::default();
        let peers = peers.iter().map(|last| address(*last));
        table
            .sets
            .insert("peers".into(), Set::of(Kind::Addresses, peers));
        let mut map = Set::new(Kind::AddressChains);
        for (last, chain) in pods {
            map.lead(address(*last), *chain);
            let rule = Rule::when([Match::FromIn("peers".into())], Action::Accept);
            table.chain(*chain, vec![rule]);
        }
        table.sets.insert("pods".into(), map);
        let rules = vec![Rule::always(Action::ByDestination("pods".into()))];
        table.base("forward", Base::Forward, rules);
        table
    }

    #[test]
    fn nothing_changes_nothing() {
        let one = table(&[1, 2], &[(3, "a")]);
        assert_eq!(steps(&one, &one.clone()), []);
    }

    #[test]
    fn one_pod_more_is_its_elements() {
        let (old, new) = (
            table(&[1], &[(3, "a")]),
            table(&[1, 2], &[(3, "a"), (4, "a")]),
        );
        let kinds = [Kind::Addresses, Kind::AddressChains];
        assert_eq!(
            steps(&old, &new),
            [
                Step::AddElements("peers", kinds[0], vec![(address(2), None)]),
                Step::AddElements("pods", kinds[1], vec![(address(4), Some("a"))]),
            ]
        );
        assert_eq!(
            steps(&new, &old),
            [
                Step::RemoveElements("peers", kinds[0], vec![address(2)]),
                Step::RemoveElements("pods", kinds[1], vec![address(4)]),
            ]
        );
    }

    #[test]
    fn what_leads_to_a_chain_goes_before_it() {
        let (old, new) = (table(&[1], &[(3, "a")]), table(&[1], &[(3, "b")]));
        let kind = Kind::AddressChains;
        assert_eq!(
            steps(&old, &new),
            [
                Step::Flush("a"),
                Step::RemoveElements("pods", kind, vec![address(3)]),
                Step::AddChain("b", None),
                Step::AddElements("pods", kind, vec![(address(3), Some("b"))]),
                Step::AddRule("b", &new.chains["b"].rules[0]),
                Step::RemoveChain("a"),
            ]
        );
    }
}
