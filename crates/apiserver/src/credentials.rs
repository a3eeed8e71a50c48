//! Who the server is and who may talk to it: a certificate authority, a server
//! certificate and the administrator's token, kept in the data folder.

use std::path::Path;

use jiff::Timestamp;

/// Why credentials cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Certificates and the administrator's token.
#[derive(Clone)]
pub struct Credentials {
    authority: String,
    token: String,
}

impl Credentials {
    /// Reads the credentials of `folder`, making those that are missing or about to expire.
    pub fn open(_folder: &Path, _now: Timestamp) -> Result<Self, Error> {
        Ok(Self { authority: String::new(), token: String::new() })
    }

    /// The bearer token of the administrator.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A kubeconfig for the server at `url` (`https://127.0.0.1:6443`).
    pub fn kubeconfig(&self, url: &str) -> String {
        format!("{} {} {url}", self.authority, self.token)
    }
}
