//! Where Gateways are reached: the platform's own address, on the ports it was given, or a loopback
//! address of a Gateway's own, on any port.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use sha2::{Digest as _, Sha256};

use super::{
    Input,
    objects::{Gateway, Resource},
    point::Side,
};
use crate::machine::GATEWAYS;

/// Addresses that are given to Gateways, first and length of prefix.
const OWN: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 64, 0, 0), 10);

/// Where a Gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At the platform's address, together with all others of the same port.
    Shared,
    /// At addresses that no other Gateway has; the first one names it.
    Own(BTreeSet<IpAddr>),
    /// At an address in the network of cells, for the pods of its namespace.
    Inside(Ipv4Addr),
    /// It asks for an address of a type that there is not.
    Unsupported(String),
    /// It asks for an address that cannot be had.
    Unusable(String),
}

impl Place {
    /// The name of the socket of a port at this place.
    pub(super) fn socket(&self, port: u16) -> String {
        match self {
            Self::Own(addresses) => match addresses.first() {
                Some(address) => format!("{address}_{port}"),
                None => port.to_string(),
            },
            Self::Inside(address) => format!("{address}_{port}"),
            Self::Shared | Self::Unsupported(_) | Self::Unusable(_) => port.to_string(),
        }
    }

    /// Whether it is for pods.
    pub(super) fn is_inside(&self) -> bool {
        matches!(self, Self::Inside(_))
    }

    /// Whether it can be served.
    pub(super) fn serves(&self) -> bool {
        matches!(self, Self::Shared | Self::Own(_) | Self::Inside(_))
    }
}

/// The places of Gateways, in their order.
pub(super) fn places<'a>(
    input: &Input,
    gateways: impl Iterator<Item = &'a Resource<Gateway>> + Clone,
) -> Vec<Place> {
    let mut taken = BTreeSet::new();
    // What is asked for comes before what is given.
    let asked: Vec<Option<Place>> = gateways
        .clone()
        .map(|gateway| asked(input, gateway, &mut taken))
        .collect();
    let place = |(gateway, asked): (&Resource<Gateway>, Option<Place>)| {
        asked.unwrap_or_else(|| {
            if leads_out(input, gateway) {
                return Place::Inside(given(gateway, GATEWAYS, &mut taken));
            }
            let mut ports = gateway.spec.listeners.iter().map(|l| l.port);
            if ports.all(|port| input.ports.contains(&port)) {
                Place::Shared
            } else {
                Place::Own(BTreeSet::from([given(gateway, OWN, &mut taken).into()]))
            }
        })
    };
    gateways.zip(asked).map(place).collect()
}

fn leads_out(input: &Input, gateway: &Resource<Gateway>) -> bool {
    Side::of(input, gateway) == Some(Side::Out)
}

/// What a Gateway's own addresses come to; `None` if it leaves it open.
fn asked(
    input: &Input,
    gateway: &Resource<Gateway>,
    taken: &mut BTreeSet<IpAddr>,
) -> Option<Place> {
    if leads_out(input, gateway) {
        let asks = gateway.spec.addresses.iter().any(|a| !a.value.is_empty());
        let message = "a Gateway that leads out has the address that it is given";
        return asks.then(|| Place::Unsupported(message.to_owned()));
    }
    let mut addresses = BTreeSet::new();
    let mut unusable = Vec::new();
    for address in &gateway.spec.addresses {
        let kind = address.kind.as_deref().unwrap_or("IPAddress");
        if kind != "IPAddress" {
            let message = format!("addresses of type {kind} are not served here");
            return Some(Place::Unsupported(message));
        }
        if address.value.is_empty() {
            continue;
        }
        match address.value.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() && !taken.contains(&ip) => {
                addresses.insert(ip);
            }
            _ => unusable.push(address.value.clone()),
        }
    }
    if !unusable.is_empty() {
        let message = format!(
            "{} cannot be had: only loopback addresses (127.0.0.0/8) that no other Gateway has",
            unusable.join(", ")
        );
        return Some(Place::Unusable(message));
    }
    taken.extend(&addresses);
    (!addresses.is_empty()).then_some(Place::Own(addresses))
}

/// An address by the Gateway's name, so that it is the same one every time; the next if it is taken.
fn given(
    gateway: &Resource<Gateway>,
    (first, prefix): (Ipv4Addr, u8),
    taken: &mut BTreeSet<IpAddr>,
) -> Ipv4Addr {
    let count = u32::MAX.checked_shr(prefix.into()).unwrap_or_default();
    let name = format!("{}/{}", gateway.namespace, gateway.name);
    let digest = Sha256::digest(&name);
    let begin = digest.iter().take(4).fold(0_u32, |sum, byte| {
        sum.wrapping_mul(256).wrapping_add(u32::from(*byte))
    });
    let mut chosen = first;
    for step in 0..count {
        // The first is the name of the range.
        let number = 1 + begin.wrapping_add(step) % count;
        chosen = Ipv4Addr::from(first.to_bits() + number);
        if !taken.contains(&IpAddr::V4(chosen)) {
            break;
        }
    }
    taken.insert(chosen.into());
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::objects::{Address, Listener};

    fn gateway(name: &str, ports: &[u16], addresses: &[(&str, &str)]) -> Resource<Gateway> {
        let listener = |port: &u16| Listener {
            port: *port,
            ..Listener::default()
        };
        let address = |(kind, value): &(&str, &str)| Address {
            kind: (!kind.is_empty()).then(|| (*kind).to_owned()),
            value: (*value).to_owned(),
        };
        Resource {
            name: name.to_owned(),
            spec: Gateway {
                listeners: ports.iter().map(listener).collect(),
                addresses: addresses.iter().map(address).collect(),
                ..Gateway::default()
            },
            ..Resource::default()
        }
    }

    fn check(gateway: &Resource<Gateway>) -> Place {
        let input = Input {
            ports: BTreeSet::from([80]),
            ..Input::default()
        };
        places(&input, std::iter::once(gateway)).remove(0)
    }

    #[test]
    fn platform_ports_are_shared_and_others_have_an_address() {
        assert_eq!(check(&gateway("a", &[80], &[])), Place::Shared);
        let Place::Own(addresses) = check(&gateway("a", &[80, 443], &[])) else {
            panic!("it has an address of its own");
        };
        assert!(addresses.iter().all(IpAddr::is_loopback));
        assert_eq!(
            check(&gateway("a", &[443], &[("IPAddress", "")])),
            Place::Own(addresses)
        );
    }

    #[test]
    fn addresses_that_are_asked_for() {
        let own = "127.9.9.9".parse().unwrap();
        let asked = check(&gateway("a", &[80], &[("", "127.9.9.9")]));
        assert_eq!(asked, Place::Own(BTreeSet::from([own])));
        assert_eq!(asked.socket(80), "127.9.9.9_80");
        let unusable = check(&gateway("a", &[80], &[("IPAddress", "192.0.2.1")]));
        assert!(matches!(unusable, Place::Unusable(_)), "{unusable:?}");
        let unsupported = check(&gateway("a", &[80], &[("Hostname", "a.test")]));
        assert!(
            matches!(unsupported, Place::Unsupported(_)),
            "{unsupported:?}"
        );
    }

    #[test]
    fn no_two_gateways_have_the_same() {
        let gateways = [
            gateway("a", &[443], &[]),
            gateway("a", &[443], &[]),
            gateway("b", &[443], &[("", "127.9.9.9")]),
            gateway("c", &[443], &[("", "127.9.9.9")]),
        ];
        let found = places(&Input::default(), gateways.iter());
        assert_ne!(found[0], found[1]);
        assert!(matches!(found[3], Place::Unusable(_)), "{found:?}");
    }
}
