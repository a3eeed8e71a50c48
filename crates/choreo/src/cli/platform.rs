//! The platform itself: starting and stopping it, and letting others in.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::{
    Format,
    values::{StandIn, seconds, stand_in},
};

/// Start the platform.
#[derive(Debug, Clone, Args)]
pub(crate) struct Up {
    /// Files or folders to apply once the platform answers
    pub(crate) paths: Vec<PathBuf>,
    /// Leave it running in the background and return when everything is ready
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Be the process in the background
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// Port of the gateway for requests from outside
    #[arg(long, default_value_t = 19080, value_name = "PORT")]
    pub(crate) gateway_port: u16,
    /// Port of the gateway for requests from outside over TLS; without it when it is in use
    #[arg(long, default_value_t = 19443, value_name = "PORT")]
    pub(crate) gateway_tls_port: u16,
    /// Port of the gateway for requests from the organisation
    #[arg(long, default_value_t = 19081, value_name = "PORT")]
    pub(crate) internal_gateway_port: u16,
    /// Address of the API; port 0 keeps the one used before, or takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// The Envoy program used as gateway
    #[arg(
        long,
        env = "CHOREO_ENVOY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) envoy: Option<PathBuf>,
    /// Lead a host outside elsewhere, as to a program on this machine; may be given several times
    #[arg(long = "stand-in", value_parser = stand_in, value_name = "HOST:PORT=ADDRESS:PORT")]
    pub(crate) stand_ins: Vec<StandIn>,
    /// How long to wait until everything is ready
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Stop the platform.
#[derive(Debug, Clone, Args)]
pub(crate) struct Down {
    /// How long to wait before it is ended by force
    #[arg(long, default_value = "30s", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Print a kubeconfig for somebody.
#[derive(Debug, Clone, Args)]
pub(crate) struct Kubeconfig {
    /// Who it is for, as roles are bound to them
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// A group they are in; may be given several times
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// For how long they are let in; a certificate cannot be taken back
    #[arg(
        long,
        default_value_t = 30,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub(crate) days: u16,
}
