//! The gateways of the node: Gateway API objects in, a real Envoy that asks for its configuration out.
//!
//! [`translate`] is a function of the objects; [`bind`] takes the host's ports, early, so that one that
//! is in use is reported before anything starts; [`run`] watches, answers Envoy, supervises it and tells
//! the result in the objects' statuses. Envoy lives in the machine's own network, and accepts at ports
//! of the host that it is given as it asks for them; what it sends to addresses outside, this process carries.

mod action;
mod admin;
mod attach;
mod authorities;
mod authority;
mod backend;
mod capsule;
mod client_certificate;
mod cluster;
mod cookies;
mod datagrams;
mod definitions;
mod discovery;
mod egress;
mod elsewhere;
mod envoy;
mod filter;
mod gate;
mod gateway_status;
mod hostname;
mod issuer;
mod listener_set;
mod matching;
mod named;
pub mod objects;
mod outlet;
mod place;
mod point;
mod policy;
mod policy_status;
mod ports;
mod publish;
mod references;
mod refusal;
mod regular;
mod relay;
mod report;
mod route;
mod run;
mod salvage;
mod socket;
mod stand_in;
mod status;
mod stream;
mod tls;
mod translate;
mod upstream_tls;
mod watch;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

pub use admin::metrics;
pub use authorities::of_this_host as authorities_of_this_host;
pub use authority::{Authority, Certified, certify};
pub use cookies::CookieKey;
pub use definitions::definitions;
pub use gateway_status::FEATURES;
pub use issuer::{Issuer, Issuers};
pub use ports::{Bound, bind};
pub use references::{Found, Wanted};
pub use run::run;
pub use socket::{Bind, Binds, Transport};
pub use status::{CONTROLLER, EGRESS_CLASS, EGRESS_CONTROLLER, Status};
pub use translate::{Input, Translation, translate};
pub use world::{Outlet, Outlets};

use crate::outside::Reach;

/// The Gateway API's group.
const GROUP: &str = "gateway.networking.k8s.io";
/// The group of Envoy Gateway's policies.
const ENVOY_GROUP: &str = "gateway.envoyproxy.io";

/// Where and how the gateways run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Envoy program.
    pub envoy: PathBuf,
    /// The folder for its configuration, sockets and logs; seen by the machine under the same path.
    pub folder: PathBuf,
    /// Ports of Gateway listeners and where the host listens for each, from the start. Gateways with other
    /// ports are given loopback addresses of their own.
    pub listen: BTreeMap<u16, SocketAddr>,
    /// Further ports at the same address, for which the host listens once a Gateway does, if it can.
    pub more_ports: BTreeSet<u16>,
    /// Where a `Backend` may lead.
    pub reach: Reach,
    /// The authorities that backends are certified by where nothing else is said, in PEM.
    pub authorities: Option<Arc<str>>,
}

/// Why the gateways cannot run.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "it is named with its module, as in `gateway::Error`"
)]
pub enum Error {
    /// Another program has the port.
    #[error("the gateway cannot listen on {address}: the port is in use by another program")]
    PortInUse {
        /// Where it should have listened.
        address: SocketAddr,
    },
    /// The host refuses the port for another reason.
    #[error("the gateway cannot listen on {address}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system answered.
        #[source]
        cause: io::Error,
    },
    /// A file of the gateway's folder could not be read or written.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system answered.
        #[source]
        cause: io::Error,
    },
    /// The machine cannot run Envoy, or has ended.
    #[error("the gateway's Envoy cannot run")]
    Machine(#[from] crate::machine::Error),
    /// The authority that certifies names of this machine cannot be made or read.
    #[error("the authority of the gateways cannot be used: {cause}")]
    Authority {
        /// What is wrong with it.
        cause: String,
    },
    /// A watch or another task of the gateway ended.
    #[error("the gateway's {what} ended")]
    Ended {
        /// Which.
        what: &'static str,
    },
}

/// Result of running gateways.
pub type Result<T> = std::result::Result<T, Error>;
