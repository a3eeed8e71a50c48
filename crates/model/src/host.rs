//! Hosts outside the platform, as people declare them: what may be called at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex::Regex;

use crate::schema;

/// Names that never leave the machine or the cluster: RFC 6761, RFC 6762 and Kubernetes' own.
const LOCAL: [&str; 4] = ["localhost", "local", "cluster.local", "svc"];
/// Names of private networks: RFC 8375, and the domain that ICANN has set aside for them.
const PRIVATE: [&str; 2] = ["internal", "home.arpa"];

/// A host, as far as it matters how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) form: Form,
    /// Whether it is of a private network.
    pub(crate) is_private: bool,
}

/// How a host is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One DNS name.
    Name,
    /// `*.` and a DNS name: every name below it.
    Wildcard,
    /// An IP address.
    Address,
}

const MALFORMED: &str = "must be a DNS name in lower case, \"*.\" and a DNS name, or an IP address";
const SHORT: &str =
    "must be a full DNS name, as in api.example.com: a name without a dot is one of the cell";
const WIDE: &str = "is too wide: at least two labels follow the \"*.\", as in *.example.com";
const NOT_OUTSIDE: &str = "is a name of the machine or the cluster, which is not outside; other components are \
                           dependencies.endpoints";
const RESERVED: &str =
    "is an address of the machine, its link or no host at all, which is never reached";

/// Reads a host, or says what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Host, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return address_of(address);
    }
    let (name, form) = match text.strip_prefix("*.") {
        Some(rest) => (rest, Form::Wildcard),
        None => (text, Form::Name),
    };
    if !is_name(name) {
        return Err(MALFORMED);
    }
    let is_below = |suffixes: &[&str]| {
        let mut suffixes = suffixes.iter();
        suffixes.any(|suffix| {
            let rest = name.strip_suffix(suffix);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    };
    if is_below(&LOCAL) {
        return Err(NOT_OUTSIDE);
    }
    match (name.contains('.'), form) {
        (false, Form::Wildcard) => Err(WIDE),
        (false, _) => Err(SHORT),
        (true, form) => Ok(Host {
            form,
            is_private: is_below(&PRIVATE),
        }),
    }
}

fn is_name(name: &str) -> bool {
    // The last label of a name is no number, or it would be read as an address (RFC 3696).
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    // The pattern is a constant of this crate, held valid by a test.
    label.len() <= 63 && Regex::new(schema::DNS_LABEL).is_ok_and(|one| one.is_match(label))
}

fn address_of(address: IpAddr) -> Result<Host, &'static str> {
    let (reserved, is_private) = match address {
        IpAddr::V4(address) => (is_reserved(address), is_private(address)),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(inner) => (is_reserved(inner), is_private(inner)),
            None => (is_reserved_v6(address), address.is_unique_local()),
        },
    };
    if reserved {
        return Err(RESERVED);
    }
    Ok(Host {
        form: Form::Address,
        is_private,
    })
}

/// This host, its link, multicast, and what is reserved (RFC 6890).
fn is_reserved(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first == 0 || first >= 224 || address.is_loopback() || address.is_link_local()
}

fn is_reserved_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
}

/// Private networks (RFC 1918), and those that a carrier shares (RFC 6598).
fn is_private(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || (first == 100 && (64..128).contains(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        let of = |form, is_private| Ok(Host { form, is_private });
        let (name, wildcard) = (of(Form::Name, false), of(Form::Wildcard, false));
        let private = |is_private| of(Form::Address, is_private);
        for (text, wanted) in [
            ("api.example.com", name),
            ("xn--bcher-kva.example", name),
            ("*.example.com", wildcard),
            ("192.0.2.7", private(false)),
            ("2001:db8::1", private(false)),
            ("10.1.2.3", private(true)),
            ("172.31.0.1", private(true)),
            ("192.168.0.1", private(true)),
            ("100.64.0.1", private(true)),
            ("100.128.0.1", private(false)),
            ("fd00::1", private(true)),
            ("::ffff:10.0.0.1", private(true)),
            ("127.0.0.1", Err(RESERVED)),
            ("0.0.0.0", Err(RESERVED)),
            ("169.254.169.254", Err(RESERVED)),
            ("224.0.0.1", Err(RESERVED)),
            ("255.255.255.255", Err(RESERVED)),
            ("::1", Err(RESERVED)),
            ("::", Err(RESERVED)),
            ("fe80::1", Err(RESERVED)),
            ("ff02::1", Err(RESERVED)),
            ("::ffff:127.0.0.1", Err(RESERVED)),
            ("db", Err(SHORT)),
            ("localhost", Err(NOT_OUTSIDE)),
            ("app.localhost", Err(NOT_OUTSIDE)),
            ("db.shop.svc", Err(NOT_OUTSIDE)),
            ("db.shop.svc.cluster.local", Err(NOT_OUTSIDE)),
            ("*.cluster.local", Err(NOT_OUTSIDE)),
            ("db.corp.internal", of(Form::Name, true)),
            ("*.home.arpa", of(Form::Wildcard, true)),
            ("notlocalhost.example", name),
            ("*.com", Err(WIDE)),
            ("*", Err(MALFORMED)),
            ("a.*.example.com", Err(MALFORMED)),
            ("*.*.example.com", Err(MALFORMED)),
            ("*.192.0.2.1", Err(MALFORMED)),
            ("API.example.com", Err(MALFORMED)),
            ("api.example.com.", Err(MALFORMED)),
            ("api_1.example.com", Err(MALFORMED)),
            ("https://api.example.com", Err(MALFORMED)),
            ("api.example.com:443", Err(MALFORMED)),
            ("192.0.2.300", Err(MALFORMED)),
            ("127.1", Err(MALFORMED)),
            ("", Err(MALFORMED)),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        let long = format!("{}.example", "a.".repeat(130));
        assert_eq!(read(&long), Err(MALFORMED));
    }
}
