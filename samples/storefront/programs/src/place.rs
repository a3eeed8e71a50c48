//! Where a program runs, as far as it can tell.

use serde::{Deserialize, Serialize};

/// Where a program runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Host name: the name of the pod.
    pub host: String,
    /// What the environment says about itself.
    pub banner: String,
}

impl Place {
    /// Asks the system and the environment.
    pub fn here() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let banner = std::env::var("BANNER").unwrap_or_default();
        Self {
            host: host.trim().to_owned(),
            banner,
        }
    }
}
