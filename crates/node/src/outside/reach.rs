//! Which addresses may be reached, by what kind of address they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far something may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bounds {
    /// To any other machine: not to this host, nor to link-local addresses, nor to many at once.
    Others,
    /// To addresses that are everybody's: not to private networks either, whatever a name leads to.
    Public,
}

/// Ranges of IPv4 that are not public, by first address and length of prefix: the IANA registry of
/// special-purpose addresses (RFC 6890), multicast, and what is reserved.
pub(crate) const SPECIAL: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Whether an address may be reached; `loopback` lets this host be.
pub(super) fn may_reach(address: IpAddr, bounds: Bounds, loopback: bool) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return loopback;
    }
    match bounds {
        Bounds::Others => is_another(address),
        Bounds::Public => is_public(address),
    }
}

/// Whether an address is one of another machine: not this host, not the link's own, not many at once.
fn is_another(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

/// Whether an address is a public one.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => SPECIAL.iter().all(|range| !within(v4, *range)),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether an IPv4 address is in a range.
fn within(address: Ipv4Addr, (first, prefix): (Ipv4Addr, u8)) -> bool {
    let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or_default();
    address.to_bits() & !hosts == first.to_bits()
}

/// Of what is global unicast (`2000::/3`), without Teredo and what else is special of `2001::/23`, without
/// documentation, and without 6to4, which leads to IPv4 addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let special = match a {
        0x2001 => b < 0x200 || b == 0xdb8,
        0x2002 | 0x3fff => true,
        _ => false,
    };
    a & 0xe000 == 0x2000 && !special
}

/// Whether an address is one of this host's own.
pub(super) fn is_own(address: IpAddr) -> bool {
    let Ok(mut links) = nix::ifaddrs::getifaddrs() else {
        // What cannot be known is not reached.
        return true;
    };
    let address = address.to_canonical();
    links.any(|link| {
        let own = link.address.as_ref();
        let v4 = own
            .and_then(|own| own.as_sockaddr_in())
            .map(|own| IpAddr::V4(own.ip()));
        let v6 = own
            .and_then(|own| own.as_sockaddr_in6())
            .map(|own| IpAddr::V6(own.ip()));
        v4.or(v6) == Some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bounds: Bounds, good: &[&str], bad: &[&str]) {
        let may = |address: &str| may_reach(address.parse().unwrap(), bounds, false);
        for good in good {
            assert!(may(good), "{good}");
        }
        for bad in bad {
            assert!(!may(bad), "{bad}");
        }
    }

    #[test]
    fn ways_out_do_not_lead_back() {
        let back = [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
        ];
        check(
            Bounds::Others,
            &["192.0.2.1", "10.1.2.3", "2001:db8::1"],
            &back,
        );
        check(Bounds::Public, &[], &back);
        let own = IpAddr::from([127, 0, 0, 1]);
        assert!(may_reach(own, Bounds::Public, true));
        assert!(is_own(own) && !is_own(IpAddr::from([192, 0, 2, 1])));
    }

    #[test]
    fn what_is_private_is_not_public() {
        let public = [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "2606:4700::1",
        ];
        let private = [
            "10.1.2.3",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.19.0.1",
            "203.0.113.9",
            "::ffff:10.0.0.1",
            "fd00::1",
            "2002:a00:1::1",
            "64:ff9b::a00:1",
            "2001:db8::1",
            "2001::1",
        ];
        check(Bounds::Public, &public, &private);
    }
}
