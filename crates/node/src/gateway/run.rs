//! The running gateway.

use std::sync::Arc;

use super::{Bound, Result};
use crate::machine::Machine;

/// Runs the gateways until it is dropped or the machine ends.
pub async fn run(client: kube::Client, machine: Arc<dyn Machine>, bound: Bound) -> Result<()> {
    let _ = (client, machine);
    let sockets = Arc::new(super::relay::Sockets::open(&bound.settings.folder)?);
    super::relay::serve(bound, sockets).await
}
