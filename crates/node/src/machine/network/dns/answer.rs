//! What the name server of a cell says to a question: a pure function of the names it has.
//!
//! It has the last word on names of the cluster and on addresses of it: what it does not have does not
//! exist. A host outside is the Gateway that leads there, for the pods that may call that Gateway. Anything
//! else it refuses, for it asks nobody: a name that is looked up elsewhere is a message
//! to whoever answers it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    str::FromStr as _,
};

use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, CNAME, PTR, SOA, SRV},
    },
};

use crate::machine::CellNames;

/// How long an answer may be kept; short, since addresses of pods change.
const TTL: u32 = 5;
/// The domain of the cluster.
const DOMAIN: &str = "cluster.local";
/// The domain of addresses.
const REVERSE: &str = "in-addr.arpa";
/// How often an alias leads to another.
const ALIASES: usize = 8;

/// Names, and what is found the other way round.
#[derive(Debug, Default)]
pub(super) struct Zone {
    names: CellNames,
    reverse: BTreeMap<Ipv4Addr, String>,
    leavers: BTreeSet<Ipv4Addr>,
}

/// What a server knows.
#[derive(Debug, Clone, Default)]
pub(in crate::machine::network) struct Known {
    pub(in crate::machine::network) names: CellNames,
    /// The pods that policies let out to public addresses: they may know all names outside.
    pub(in crate::machine::network) leavers: BTreeSet<Ipv4Addr>,
}

impl Zone {
    /// The zone of these names.
    pub(super) fn new(known: Known) -> Self {
        let Known { names, leavers } = known;
        let pairs = names.addresses.iter().flat_map(|(name, addresses)| {
            // The longer name is that of the pod itself.
            addresses
                .iter()
                .map(move |address| (*address, name.clone()))
        });
        let mut reverse = BTreeMap::<Ipv4Addr, String>::new();
        for (address, name) in pairs {
            let known = reverse.entry(address).or_default();
            if known.len() < name.len() {
                *known = name;
            }
        }
        Self {
            names,
            reverse,
            leavers,
        }
    }
}

impl Zone {
    /// Whether a client may know all names outside.
    fn may_ask(&self, client: IpAddr) -> bool {
        matches!(client, IpAddr::V4(client) if self.leavers.contains(&client))
    }
}

/// An answer, and the name that was refused, if one was.
pub(super) struct Answer {
    pub(super) message: Message,
    pub(super) refused: Option<String>,
    /// Whether others are to be asked instead, outside.
    pub(super) asks: bool,
}

/// The answer to a query of a client.
pub(super) fn answer(query: &Message, zone: &Zone, client: IpAddr) -> Answer {
    let id = query.metadata.id;
    let failed = |code, error| Answer {
        message: Message::error_msg(id, code, error),
        refused: None,
        asks: false,
    };
    if query.metadata.op_code != OpCode::Query {
        return failed(query.metadata.op_code, ResponseCode::NotImp);
    }
    let [question] = query.queries.as_slice() else {
        return failed(OpCode::Query, ResponseCode::FormErr);
    };
    let mut message = Message::response(id, OpCode::Query);
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_query(question.clone());
    let name = question.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let outside = outside(name, zone, client);
    let known = is_ours(name) || outside.is_some();
    if question.query_class() != DNSClass::IN || !known {
        message.metadata.response_code = ResponseCode::Refused;
        let asks = question.query_class() == DNSClass::IN && zone.may_ask(client);
        return Answer {
            message,
            refused: (!asks).then(|| name.to_owned()),
            asks,
        };
    }
    message.metadata.authoritative = true;
    let found = match outside {
        Some(gateway) => through(question, gateway),
        None => records(question, name, zone),
    };
    if found.exists {
        message.add_answers(found.answers);
        message.add_additionals(found.additionals);
    } else {
        message.metadata.response_code = ResponseCode::NXDomain;
    }
    if message.answers.is_empty() {
        message.add_authorities(authority(name));
    }
    Answer {
        message,
        refused: None,
        asks: false,
    }
}

/// Whether a name is the server's to answer. A single word is: who tries search domains ends there.
fn is_ours(name: &str) -> bool {
    let within = |domain: &str| {
        name.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    within(DOMAIN) || within(REVERSE) || !name.contains('.')
}

/// The Gateway that leads a client to the host of a name, if one does that it may call: that of the very
/// name, or of the closest of those that have it below them.
fn outside(name: &str, zone: &Zone, client: IpAddr) -> Option<Ipv4Addr> {
    let given = |known: &str| {
        let mut all = zone.names.outside.get(known)?.iter();
        let mine = all.find(|one| one.clients.iter().any(|of| IpAddr::V4(*of) == client))?;
        Some(mine.address)
    };
    let below = name.match_indices('.').map(|(dot, _)| &name[dot..]);
    given(name).or_else(|| {
        let mut wide = below.map(|rest| format!("*{rest}"));
        wide.find_map(|known| given(&known))
    })
}

/// What is said of a host that a Gateway leads to: that it is there, and, for all that is asked of it,
/// nothing but an address.
fn through(question: &Query, gateway: Ipv4Addr) -> Found {
    let addressed = matches!(question.query_type(), RecordType::A | RecordType::ANY);
    Found {
        exists: true,
        answers: if addressed {
            hosts(question.name(), &[gateway])
        } else {
            Vec::new()
        },
        additionals: Vec::new(),
    }
}

#[derive(Default)]
struct Found {
    exists: bool,
    answers: Vec<Record>,
    additionals: Vec<Record>,
}

fn records(question: &Query, name: &str, zone: &Zone) -> Found {
    let kind = question.query_type();
    if name.ends_with(REVERSE) {
        return pointer(question, name, zone);
    }
    let mut found = Found::default();
    let mut owner = question.name().clone();
    let mut name = name.to_owned();
    for _ in 0..ALIASES {
        let Some(target) = zone.names.aliases.get(&name) else {
            break;
        };
        let Ok(target) = Name::from_str(&format!("{target}.")) else {
            break;
        };
        found.exists = true;
        let alias = RData::CNAME(CNAME(target.clone()));
        found.answers.push(Record::from_rdata(owner, TTL, alias));
        if kind == RecordType::CNAME {
            return found;
        }
        name = target.to_ascii().trim_end_matches('.').to_lowercase();
        owner = target;
    }
    if let Some(addresses) = zone.names.addresses.get(&name) {
        found.exists = true;
        if matches!(kind, RecordType::A | RecordType::ANY) {
            found.answers.extend(hosts(&owner, addresses));
        }
    }
    if let Some(ports) = zone.names.ports.get(&name) {
        found.exists = true;
        if matches!(kind, RecordType::SRV | RecordType::ANY) {
            services(&owner, ports, zone, &mut found);
        }
    }
    found.exists |= has_below(zone, &name);
    found
}

fn hosts(owner: &Name, addresses: &[Ipv4Addr]) -> Vec<Record> {
    let addresses = addresses.iter();
    addresses
        .map(|address| Record::from_rdata(owner.clone(), TTL, RData::A(A(*address))))
        .collect()
}

fn services(owner: &Name, ports: &[(String, u16)], zone: &Zone, found: &mut Found) {
    for (target, port) in ports {
        let Ok(host) = Name::from_str(&format!("{target}.")) else {
            continue;
        };
        let service = RData::SRV(SRV::new(0, 100, *port, host.clone()));
        found
            .answers
            .push(Record::from_rdata(owner.clone(), TTL, service));
        let addresses = zone.names.addresses.get(target);
        let addresses = addresses.map_or(&[][..], Vec::as_slice);
        found.additionals.extend(hosts(&host, addresses));
    }
}

/// Whether there are names below one that has nothing of its own.
fn has_below(zone: &Zone, name: &str) -> bool {
    let below = |known: &String| {
        known
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    zone.names.addresses.keys().any(below) || zone.names.ports.keys().any(below)
}

/// The name of an address.
fn pointer(question: &Query, name: &str, zone: &Zone) -> Found {
    let mut found = Found::default();
    let Some(target) = address(name).and_then(|address| zone.reverse.get(&address)) else {
        return found;
    };
    found.exists = true;
    if let Ok(target) = Name::from_str(&format!("{target}."))
        && matches!(question.query_type(), RecordType::PTR | RecordType::ANY)
    {
        let pointer = RData::PTR(PTR(target));
        let record = Record::from_rdata(question.name().clone(), TTL, pointer);
        found.answers.push(record);
    }
    found
}

/// The address of a reverse name.
fn address(name: &str) -> Option<Ipv4Addr> {
    let digits = name.strip_suffix(REVERSE)?.strip_suffix('.')?;
    let mut octets = digits.split('.').map(str::parse::<u8>);
    let mut next = || octets.next()?.ok();
    let reversed = [next()?, next()?, next()?, next()?];
    let [d, c, b, a] = reversed;
    octets.next().is_none().then(|| Ipv4Addr::new(a, b, c, d))
}

/// Who says that something is not there, and for how long.
fn authority(name: &str) -> Option<Record> {
    let zone = if name.ends_with(REVERSE) {
        REVERSE
    } else if is_ours(name) {
        DOMAIN
    } else {
        name
    };
    let server = Name::from_str(&format!("ns.dns.{zone}.")).ok()?;
    let zone = Name::from_str(&format!("{zone}.")).ok()?;
    let times = (7200, 1800, 86_400);
    let soa = SOA::new(server.clone(), server, 1, times.0, times.1, times.2, TTL);
    Some(Record::from_rdata(zone, TTL, RData::SOA(soa)))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::MessageType;

    use super::*;
    use crate::machine::OutsideName;

    const WEB: &str = "web.shop.svc.cluster.local";

    fn zone() -> Zone {
        let pod = "web-0.all.shop.svc.cluster.local";
        let [service, own] = [Ipv4Addr::new(10, 96, 0, 1), Ipv4Addr::new(10, 128, 1, 2)];
        let addresses = [
            (WEB, vec![service]),
            ("all.shop.svc.cluster.local", vec![own]),
            (pod, vec![own]),
        ];
        let aliases = [
            ("out.shop.svc.cluster.local", "db.example.com"),
            ("in.shop.svc.cluster.local", WEB),
            ("loop.shop.svc.cluster.local", "loop.shop.svc.cluster.local"),
        ];
        let leavers = BTreeSet::from([Ipv4Addr::new(10, 128, 1, 5)]);
        let names = CellNames {
            addresses: addresses.map(|(name, of)| (name.to_owned(), of)).into(),
            ports: [(format!("_http._tcp.{WEB}"), vec![(WEB.to_owned(), 80)])].into(),
            aliases: aliases
                .map(|(name, of)| (name.to_owned(), of.to_owned()))
                .into(),
            outside: [
                (
                    "api.example.com".to_owned(),
                    vec![leads(1, &[2]), leads(2, &[3])],
                ),
                ("*.example.com".to_owned(), vec![leads(3, &[2])]),
                (
                    "gate.shop.svc.cluster.local".to_owned(),
                    vec![leads(4, &[2])],
                ),
            ]
            .into(),
        };
        Zone::new(Known { names, leavers })
    }

    /// A Gateway and the pods that may call it.
    fn leads(gateway: u8, clients: &[u8]) -> OutsideName {
        let clients = clients.iter().map(|last| Ipv4Addr::new(10, 128, 1, *last));
        OutsideName {
            address: Ipv4Addr::new(10, 112, 0, gateway),
            clients: clients.collect(),
        }
    }

    fn check(name: &str, kind: RecordType, code: ResponseCode, expected: &[&str]) {
        check_for(9, name, kind, code, expected);
    }

    /// What the pod with an address is told.
    fn check_for(client: u8, name: &str, kind: RecordType, code: ResponseCode, expected: &[&str]) {
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        let client = IpAddr::from([10, 128, 1, client]);
        let given = answer(&query, &zone(), client);
        let found: Vec<_> = given
            .message
            .answers
            .iter()
            .map(|record| record.data.to_string())
            .collect();
        assert_eq!(given.message.metadata.response_code, code, "{name} {kind}");
        assert_eq!(found, expected, "{name} {kind}");
        let refused = code == ResponseCode::Refused;
        let asks = refused && client == IpAddr::from([10, 128, 1, 5]);
        assert_eq!(given.asks, asks, "{name}");
        assert_eq!(given.refused.is_some(), refused && !asks, "{name}");
        let told = found.is_empty() && !refused;
        assert_eq!(given.message.authorities.len(), usize::from(told), "{name}");
    }

    #[test]
    fn names_of_the_cell_are_answered() {
        use ResponseCode::NoError;
        check(
            "Web.shop.svc.cluster.local.",
            RecordType::A,
            NoError,
            &["10.96.0.1"],
        );
        check(WEB, RecordType::AAAA, NoError, &[]);
        check("shop.svc.cluster.local", RecordType::A, NoError, &[]);
        let http = format!("_http._tcp.{WEB}");
        check(
            &http,
            RecordType::SRV,
            NoError,
            &[&format!("0 100 80 {WEB}.")],
        );
        check(&http, RecordType::A, NoError, &[]);
        let alias = format!("{WEB}.");
        check(
            "in.shop.svc.cluster.local",
            RecordType::A,
            NoError,
            &[&alias, "10.96.0.1"],
        );
        check(
            "out.shop.svc.cluster.local",
            RecordType::A,
            NoError,
            &["db.example.com."],
        );
    }

    #[test]
    fn hosts_outside_are_the_gateways_that_lead_there_for_those_who_may_call_them() {
        use ResponseCode::{NXDomain, NoError, Refused};
        let (host, a) = ("API.example.com", RecordType::A);
        check_for(2, host, a, NoError, &["10.112.0.1"]);
        check_for(3, host, a, NoError, &["10.112.0.2"]);
        check_for(4, host, a, Refused, &[]);
        for kind in [RecordType::AAAA, RecordType::TXT, RecordType::MX] {
            check_for(2, host, kind, NoError, &[]);
        }
        check_for(2, "a.b.example.com", a, NoError, &["10.112.0.3"]);
        check_for(3, "a.b.example.com", a, Refused, &[]);
        check_for(2, "example.com", a, Refused, &[]);
        check_for(2, "api.example.com.evil.test", a, Refused, &[]);
        check_for(2, "anexample.com", a, Refused, &[]);
        let own = "gate.shop.svc.cluster.local";
        check_for(2, own, a, NoError, &["10.112.0.4"]);
        check_for(2, "none.shop.svc.cluster.local", a, NXDomain, &[]);
    }

    #[test]
    fn who_may_leave_may_know_all_names_outside_and_no_more_of_those_inside() {
        use ResponseCode::{NXDomain, NoError, Refused};
        let a = RecordType::A;
        // Refused here: others are asked.
        check_for(5, "example.com", a, Refused, &[]);
        check_for(5, "example.com", RecordType::TXT, Refused, &[]);
        check_for(5, "other.shop.svc.cluster.local", a, NXDomain, &[]);
        check_for(5, WEB, a, NoError, &["10.96.0.1"]);
    }

    #[test]
    fn aliases_end() {
        let itself = "loop.shop.svc.cluster.local.";
        check(
            itself,
            RecordType::A,
            ResponseCode::NoError,
            &[itself; ALIASES],
        );
    }

    #[test]
    fn addresses_have_the_name_of_their_pod_or_service() {
        use ResponseCode::{NXDomain, NoError};
        let pod = "web-0.all.shop.svc.cluster.local.";
        check("2.1.128.10.in-addr.arpa", RecordType::PTR, NoError, &[pod]);
        let service = format!("{WEB}.");
        check(
            "1.0.96.10.in-addr.arpa.",
            RecordType::PTR,
            NoError,
            &[&service],
        );
        check("1.0.0.127.in-addr.arpa", RecordType::PTR, NXDomain, &[]);
        check("1.1.0.96.10.in-addr.arpa", RecordType::PTR, NXDomain, &[]);
    }

    #[test]
    fn what_the_cell_does_not_have_does_not_exist_and_the_rest_is_refused() {
        use ResponseCode::{NXDomain, Refused};
        check("other.shop.svc.cluster.local", RecordType::A, NXDomain, &[]);
        check(
            "example.com.shop.svc.cluster.local",
            RecordType::A,
            NXDomain,
            &[],
        );
        check("redis", RecordType::A, NXDomain, &[]);
        check("example.com.", RecordType::A, Refused, &[]);
        check("secret.notcluster.local", RecordType::TXT, Refused, &[]);
    }
}
