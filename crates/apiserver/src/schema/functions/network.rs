//! Addresses and networks.

use std::{net::IpAddr, str::FromStr as _};

use choreo_template::{Overload, Plain, Sig};
use ipnet::IpNet;

use super::{Answer, Typed, held, of, string, text};

impl Typed for IpAddr {
    const NAME: &'static str = "net.IP";
}

impl Typed for IpNet {
    const NAME: &'static str = "net.CIDR";
}

const IP: Sig = Sig::Foreign(<IpAddr as Typed>::NAME);
const CIDR: Sig = Sig::Foreign(<IpNet as Typed>::NAME);
const ONE_TEXT: &[Sig] = &[Sig::String];
const ONE_IP: &[Sig] = &[IP];
const ONE_CIDR: &[Sig] = &[CIDR];

pub(super) const FUNCTIONS: &[Overload] = &[
    Overload::function("ip", ONE_TEXT, IP, |args| address(text(args, 0)?).map(held)),
    Overload::function("isIP", ONE_TEXT, Sig::Bool, |args| {
        Ok(Plain::Bool(address(text(args, 0)?).is_ok()))
    }),
    Overload::function("ip.isCanonical", ONE_TEXT, Sig::Bool, |args| {
        let text = text(args, 0)?;
        Ok(Plain::Bool(address(text)?.to_string() == text))
    }),
    Overload::function("string", ONE_IP, Sig::String, |args| {
        Ok(string(of::<IpAddr>(args, 0)?.to_string()))
    }),
    Overload::method("family", ONE_IP, Sig::Int, |args| {
        let v6 = of::<IpAddr>(args, 0)?.is_ipv6();
        Ok(Plain::Int(if v6 { 6 } else { 4 }))
    }),
    Overload::method("isUnspecified", ONE_IP, Sig::Bool, |args| {
        is(args, IpAddr::is_unspecified)
    }),
    Overload::method("isLoopback", ONE_IP, Sig::Bool, |args| {
        is(args, IpAddr::is_loopback)
    }),
    Overload::method("isLinkLocalMulticast", ONE_IP, Sig::Bool, |args| {
        is(args, is_local_multicast)
    }),
    Overload::method("isLinkLocalUnicast", ONE_IP, Sig::Bool, |args| {
        is(args, is_local)
    }),
    Overload::method("isGlobalUnicast", ONE_IP, Sig::Bool, |args| {
        is(args, is_global)
    }),
    Overload::function("cidr", ONE_TEXT, CIDR, |args| {
        network(text(args, 0)?).map(held)
    }),
    Overload::function("isCIDR", ONE_TEXT, Sig::Bool, |args| {
        Ok(Plain::Bool(network(text(args, 0)?).is_ok()))
    }),
    Overload::function("string", ONE_CIDR, Sig::String, |args| {
        Ok(string(of::<IpNet>(args, 0)?.to_string()))
    }),
    Overload::method("containsIP", &[CIDR, IP], Sig::Bool, contains_address),
    Overload::method(
        "containsIP",
        &[CIDR, Sig::String],
        Sig::Bool,
        contains_address,
    ),
    Overload::method("containsCIDR", &[CIDR, CIDR], Sig::Bool, contains_network),
    Overload::method(
        "containsCIDR",
        &[CIDR, Sig::String],
        Sig::Bool,
        contains_network,
    ),
    Overload::method("ip", ONE_CIDR, IP, |args| {
        Ok(held(of::<IpNet>(args, 0)?.addr()))
    }),
    Overload::method("masked", ONE_CIDR, CIDR, |args| {
        Ok(held(of::<IpNet>(args, 0)?.trunc()))
    }),
    Overload::method("prefixLength", ONE_CIDR, Sig::Int, |args| {
        let length = of::<IpNet>(args, 0)?.prefix_len();
        Ok(Plain::Int(i64::from(length)))
    }),
];

fn address(text: &str) -> Result<IpAddr, String> {
    let parsed = IpAddr::from_str(text);
    let parsed = parsed.map_err(|error| format!("IP Address {text:?} cannot be read: {error}"))?;
    if is_mapped(parsed) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    Ok(parsed)
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = IpNet::from_str(text);
    let parsed = parsed.map_err(|error| format!("network {text:?} cannot be read: {error}"))?;
    if is_mapped(parsed.addr()) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    Ok(parsed)
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn is(args: &[Plain], what: fn(&IpAddr) -> bool) -> Answer {
    Ok(Plain::Bool(what(of(args, 0)?)))
}

fn is_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_global(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(broadcast
        || address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || is_local(address))
}

fn contains_address(args: &[Plain]) -> Answer {
    let inner = match args.get(1) {
        Some(Plain::String(text)) => address(text)?,
        _ => *of(args, 1)?,
    };
    Ok(Plain::Bool(of::<IpNet>(args, 0)?.contains(&inner)))
}

fn contains_network(args: &[Plain]) -> Answer {
    let inner = match args.get(1) {
        Some(Plain::String(text)) => network(text)?,
        _ => *of(args, 1)?,
    };
    let outer = of::<IpNet>(args, 0)?;
    let within = outer.contains(&inner.trunc()) && outer.prefix_len() <= inner.prefix_len();
    Ok(Plain::Bool(within))
}
