//! The gateways of the node: Gateway API objects in, a real Envoy configured by files out.
//!
//! [`translate`] is a function of the objects; [`bind`] takes the host's ports, early, so that one that
//! is in use is reported before anything starts; [`run`] watches, writes, supervises Envoy and tells
//! the result in the objects' statuses. Envoy lives in the machine's own network and listens on unix
//! sockets; the relay of this process carries connections from the host's ports to them.

mod admin;
mod backend;
mod definitions;
mod discovery;
mod envoy;
mod filter;
mod hostname;
pub mod objects;
mod regular;
mod relay;
mod route;
mod run;
mod status;
mod translate;
mod watch;

use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf};

pub use definitions::definitions;
pub use relay::{Bound, bind};
pub use run::run;
pub use status::{CONTROLLER, Status};
pub use translate::{Input, Translation, translate};

/// The Gateway API's group.
const GROUP: &str = "gateway.networking.k8s.io";

/// Where and how the gateways run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Envoy program.
    pub envoy: PathBuf,
    /// The folder for its configuration, sockets and logs; seen by the machine under the same path.
    pub folder: PathBuf,
    /// Ports of Gateway listeners and where the host listens for each.
    pub listen: BTreeMap<u16, SocketAddr>,
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
    /// A watch or another task of the gateway ended.
    #[error("the gateway's {what} ended")]
    Ended {
        /// Which.
        what: &'static str,
    },
}

/// Result of running gateways.
pub type Result<T> = std::result::Result<T, Error>;
