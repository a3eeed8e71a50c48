//! What a table of packet rules holds, as plain values: compared to find what changed, printed to be
//! read in tests. [`super::kernel`] turns them into what the kernel takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
    time::Duration,
};

use crate::machine::Protocol;

/// Everything that is in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) sets: BTreeMap<String, Set>,
    pub(super) chains: BTreeMap<String, Chain>,
}

/// A named set of keys, or a map from keys to chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) kind: Kind,
    /// Keys, and the chains that maps lead them to.
    pub(super) elements: BTreeMap<Key, Option<String>>,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Addresses.
    Addresses,
    /// Addresses and the chains that decide about them.
    AddressChains,
    /// Pairs of source and destination.
    Pairs,
    /// Ports of addresses.
    Targets,
    /// Ports of addresses and the chains that decide about them.
    TargetChains,
    /// The addresses that links may speak with. Its elements follow the links, not a plan.
    Senders,
    /// Addresses that packets put there, for a while.
    Remembered(Duration),
    /// Links that were written about, each at its own rate, put there by packets.
    Limited,
}

/// An element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Address(Ipv4Addr),
    Pair(Ipv4Addr, Ipv4Addr),
    Target(Ipv4Addr, Protocol, u16),
}

/// A chain of rules; a base chain is where packets enter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// Where packets enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// As they come from a link, before anything is known of them.
    Source,
    /// As they come from a link, with where they go.
    Outward,
    /// On their way through the machine.
    Forward,
    /// To the machine itself.
    Input,
    /// From the machine itself.
    Output,
    /// Before the way of a packet that came in is looked up.
    Arriving,
    /// Before the way of a packet of the machine is looked up.
    Leaving,
    /// Before a packet goes out.
    Departing,
}

/// A rule: what packets have to be like, and what becomes of those that are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
    pub(super) action: Action,
}

/// What a packet has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// It came from the machine itself.
    Local,
    /// It came over the link that leads out of the network.
    Outer,
    /// It would go out over that link.
    Outbound,
    /// It came from the link, with the hardware address and the address that belong together.
    Sender,
    /// It answers what was let through.
    Reply,
    /// It belongs to a connection that both ends have spoken on.
    Open,
    /// It tells of trouble with what was let through.
    Related,
    /// It belongs to nothing that is known.
    Invalid,
    /// It may leave the network of cells.
    Marked,
    /// Its destination was a Service.
    Translated,
    /// Its source is among addresses.
    From(Ipv4Addr, Ipv4Addr),
    /// Its destination is among addresses.
    To(Ipv4Addr, Ipv4Addr),
    /// Its source is in a set.
    FromIn(String),
    /// Its destination is in a set.
    ToIn(String),
    /// Its source and destination are in a set.
    PairIn(String),
    /// Its destination and port are in a set.
    TargetIn(String),
    /// It has this protocol.
    Protocol(Protocol),
    /// It goes to one of these ports.
    Ports(Protocol, u16, u16),
    /// It is one of so many, by chance.
    OneOf(u32),
    /// Its link has not been written about too often.
    Seldom,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Drop,
    /// It is marked, and goes on.
    Mark,
    /// Its sender is told that it may not go there.
    Prohibit,
    /// Its sender is told that nobody serves there.
    Refuse(Protocol),
    /// It is written about.
    Report(Reason),
    /// Another chain decides, and this one goes on when that does not.
    Jump(String),
    /// Another chain decides.
    Goto(String),
    /// The chain of its source decides.
    BySource(String),
    /// The chain of its destination decides.
    ByDestination(String),
    /// The chain of its destination and port decides.
    ByTarget(String),
    /// Its source is put into a set.
    Remember(String),
    /// It goes there instead.
    Redirect(Ipv4Addr, u16),
    /// It seems to come from the machine.
    Hide,
}

/// Why a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its sender is not let out.
    Egress,
    /// Its receiver does not let it in.
    Ingress,
    /// It does not come from whom it says.
    Source,
}

impl Reason {
    /// The word that stands before a packet in the kernel's report.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Source => "source",
        }
    }

    /// The reason of a word.
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Egress, Self::Ingress, Self::Source]
            .into_iter()
            .find(|reason| reason.word() == word)
    }
}

impl Rule {
    /// A rule for packets that match all of these.
    pub(super) fn when(matches: impl Into<Vec<Match>>, action: Action) -> Self {
        Self {
            matches: matches.into(),
            action,
        }
    }

    /// A rule for all packets.
    pub(super) fn always(action: Action) -> Self {
        Self::when([], action)
    }

    /// The sets that the rule looks into.
    pub(super) fn sets(&self) -> BTreeSet<&str> {
        let of_matches = self.matches.iter().filter_map(|one| match one {
            Match::FromIn(set) | Match::ToIn(set) | Match::PairIn(set) | Match::TargetIn(set) => {
                Some(set.as_str())
            }
            Match::Local
            | Match::Outer
            | Match::Outbound
            | Match::Sender
            | Match::Reply
            | Match::Open
            | Match::Related
            | Match::Invalid
            | Match::Marked
            | Match::Translated
            | Match::From(..)
            | Match::To(..)
            | Match::Protocol(_)
            | Match::Ports(..)
            | Match::OneOf(_)
            | Match::Seldom => None,
        });
        let of_action = match &self.action {
            Action::BySource(set)
            | Action::ByDestination(set)
            | Action::ByTarget(set)
            | Action::Remember(set) => Some(set.as_str()),
            Action::Accept
            | Action::Drop
            | Action::Mark
            | Action::Prohibit
            | Action::Refuse(_)
            | Action::Report(_)
            | Action::Jump(_)
            | Action::Goto(_)
            | Action::Redirect(..)
            | Action::Hide => None,
        };
        of_matches.chain(of_action).collect()
    }
}

impl Set {
    /// A set without elements.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            elements: BTreeMap::new(),
        }
    }

    /// A set of these.
    pub(super) fn of(kind: Kind, keys: impl IntoIterator<Item = Key>) -> Self {
        Self {
            kind,
            elements: keys.into_iter().map(|key| (key, None)).collect(),
        }
    }

    /// Leads a key to a chain.
    pub(super) fn lead(&mut self, key: Key, chain: impl Into<String>) {
        self.elements.insert(key, Some(chain.into()));
    }
}

impl Table {
    /// Adds a chain.
    pub(super) fn chain(&mut self, name: impl Into<String>, rules: Vec<Rule>) {
        self.chains.insert(name.into(), Chain { base: None, rules });
    }

    /// Adds a chain where packets enter.
    pub(super) fn base(&mut self, name: &str, base: Base, rules: Vec<Rule>) {
        let chain = Chain {
            base: Some(base),
            rules,
        };
        self.chains.insert(name.to_owned(), chain);
    }
}

/// The word of a protocol.
pub(super) const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => write!(f, "iif lo"),
            Self::Outer => write!(f, "outer"),
            Self::Outbound => write!(f, "outbound"),
            Self::Sender => write!(f, "iif . ether saddr . ip saddr @senders"),
            Self::Reply => write!(f, "reply"),
            Self::Open => write!(f, "open"),
            Self::Related => write!(f, "related"),
            Self::Invalid => write!(f, "invalid"),
            Self::Marked => write!(f, "marked"),
            Self::Translated => write!(f, "translated"),
            Self::From(first, last) => write!(f, "saddr {first}-{last}"),
            Self::To(first, last) => write!(f, "daddr {first}-{last}"),
            Self::FromIn(set) => write!(f, "saddr @{set}"),
            Self::ToIn(set) => write!(f, "daddr @{set}"),
            Self::PairIn(set) => write!(f, "saddr . daddr @{set}"),
            Self::TargetIn(set) => write!(f, "daddr . dport @{set}"),
            Self::Protocol(protocol) => f.write_str(word(*protocol)),
            Self::Ports(protocol, first, last) => {
                write!(f, "{} {first}-{last}", word(*protocol))
            }
            Self::OneOf(count) => write!(f, "one of {count}"),
            Self::Seldom => write!(f, "seldom"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => write!(f, "accept"),
            Self::Drop => write!(f, "drop"),
            Self::Mark => write!(f, "mark"),
            Self::Prohibit => write!(f, "prohibit"),
            Self::Refuse(_) => write!(f, "refuse"),
            Self::Report(reason) => write!(f, "report {}", reason.word()),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::BySource(map) => write!(f, "saddr vmap @{map}"),
            Self::ByDestination(map) => write!(f, "daddr vmap @{map}"),
            Self::ByTarget(map) => write!(f, "daddr . dport vmap @{map}"),
            Self::Remember(set) => write!(f, "update @{set}"),
            Self::Redirect(address, port) => write!(f, "dnat {address}:{port}"),
            Self::Hide => write!(f, "masquerade"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.matches {
            write!(f, "{one} ")?;
        }
        write!(f, "{}", self.action)
    }
}
