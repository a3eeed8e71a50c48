//! Services, as chains: one for each port of one, which picks a backend.

use std::net::Ipv4Addr;

use super::{Action, Key, Kind, Match, Rule, SERVICES, Set, Table, VIRTUAL};
use crate::machine::{ServiceRule, network::table::word};

/// Adds the ports of Services.
pub(super) fn add(table: &mut Table, services: &[ServiceRule]) {
    for service in services {
        if let Some(addresses) = table.sets.get_mut(VIRTUAL) {
            let key = Key::Address(service.address);
            addresses.elements.insert(key, None);
        }
        if service.backends.is_empty() {
            continue;
        }
        let chain = format!(
            "{}-{}-{}",
            word(service.protocol),
            service.address,
            service.port
        );
        let rules = match service.affinity {
            Some(_) => remembering(table, &chain, service),
            None => balance(service, Action::Redirect),
        };
        table.chain(chain.as_str(), rules);
        let key = Key::Target(service.address, service.protocol, service.port);
        if let Some(map) = table.sets.get_mut(SERVICES) {
            map.lead(key, chain);
        }
    }
}

/// Each rule takes its share of what the rules before it left: all backends get the same.
fn balance(service: &ServiceRule, action: impl Fn(Ipv4Addr, u16) -> Action) -> Vec<Rule> {
    let left = (1..=service.backends.len()).rev();
    let backends = left.zip(&service.backends);
    let rule = |(left, (address, port)): (usize, &(Ipv4Addr, u16))| {
        let picked = match u32::try_from(left) {
            Ok(1) | Err(_) => Vec::new(),
            Ok(left) => vec![Match::OneOf(left)],
        };
        Rule::when(picked, action(*address, *port))
    };
    backends.map(rule).collect()
}

/// A client goes where it went last, as long as that serves.
fn remembering(table: &mut Table, chain: &str, service: &ServiceRule) -> Vec<Rule> {
    let time = service.affinity.unwrap_or_default();
    let backend = |address, port| format!("{chain}-{address}-{port}");
    let mut rules = Vec::new();
    for (address, port) in &service.backends {
        let name = backend(*address, *port);
        table
            .sets
            .insert(name.clone(), Set::new(Kind::Remembered(time)));
        let known = [Match::FromIn(name.clone())];
        rules.push(Rule::when(known, Action::Goto(name.clone())));
        let taken = vec![
            Rule::always(Action::Remember(name.clone())),
            Rule::always(Action::Redirect(*address, *port)),
        ];
        table.chain(name, taken);
    }
    rules.extend(balance(service, |address, port| {
        Action::Goto(backend(address, port))
    }));
    rules
}
