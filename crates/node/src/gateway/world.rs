//! What a translation works with, together.

use std::collections::BTreeMap;

use super::{
    Input,
    backend::{Backends, Wish},
    objects::BackendRef,
    policy::Policies,
    references::{References, Referrer},
    status::Problem,
};

/// Objects, and what is collected while routes are translated.
pub(super) struct World<'a> {
    pub(super) input: &'a Input,
    pub(super) references: References<'a>,
    pub(super) backends: Backends<'a>,
    pub(super) policies: Policies<'a>,
}

impl<'a> World<'a> {
    pub(super) fn new(input: &'a Input, references: References<'a>) -> Self {
        let mut backends = Backends::new(input, &references);
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

/// An address outside, that a `Backend` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outlet {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}
