//! What a translation works with, together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    Input,
    backend::{Backends, Wish},
    client_certificate::Shown,
    objects::BackendRef,
    policy::Policies,
    references::{References, Referrer},
    status::Problem,
};
use crate::outside::Bounds;

/// Objects, and what is collected while routes are translated.
pub(super) struct World<'a> {
    pub(super) input: &'a Input,
    pub(super) references: References<'a>,
    pub(super) backends: Backends<'a>,
    pub(super) policies: Policies<'a>,
}

impl<'a> World<'a> {
    pub(super) fn new(input: &'a Input, references: References<'a>, shown: &'a Shown) -> Self {
        let mut backends = Backends::new(input, &references, shown);
        let policies = Policies::new(input, &references, &mut backends);
        Self {
            input,
            references,
            backends,
            policies,
        }
    }

    /// The name of the cluster of a backend.
    pub(super) fn backend(
        &mut self,
        from: Referrer<'_>,
        to: &BackendRef,
        wish: &Wish<'_>,
    ) -> Result<String, Problem> {
        self.backends.cluster(&self.references, from, to, wish)
    }
}

/// Where connections of Envoy leave the machine: names of sockets, and what stands behind each.
pub type Outlets = BTreeMap<String, Outlet>;

/// What stands behind a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlet {
    /// An address outside, that a `Backend` names.
    Address {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// How far it may lead.
        bounds: Bounds,
    },
    /// Whatever host is asked for by name, if it is one of these.
    Names {
        /// Names, and `*.` before those of which all below are meant.
        hosts: BTreeSet<String>,
        /// The port.
        port: u16,
    },
}

/// What tells outlets apart.
impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { host, port, bounds } => {
                write!(f, "{host}:{port}")?;
                match bounds {
                    Bounds::Others => Ok(()),
                    Bounds::Public => write!(f, " (public)"),
                }
            }
            Self::Names { hosts, port } => {
                let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                write!(f, "{}:{port}", hosts.join(","))
            }
        }
    }
}
