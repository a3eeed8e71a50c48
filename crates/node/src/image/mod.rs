//! Container images without a container engine: a content-addressed OCI layout on disk, filled from
//! archives, from binaries built on this machine and from registries.
//!
//! What is in the store under a reference is authoritative: an image that was loaded or packed here is
//! used under its name even where a registry of that name cannot be reached or does not know it
//! (see [`Store::resolve`]). A name is what its text says: `catalog:1` and
//! `docker.io/library/catalog:1` are the same image.

mod archive;
mod blob;
mod credentials;
mod interpreter;
mod layout;
mod pack;
mod pull;
mod reference;
mod store;
mod tls;
mod unused;
mod user;

use std::{collections::BTreeSet, io, path::PathBuf};

pub use credentials::Credentials;
pub use pack::File;
pub use pull::Progress;
pub use store::Store;
pub use user::resolve_user;

/// When a registry is asked for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time; what was loaded or packed locally still serves where the registry cannot.
    Always,
    /// Only when the store does not hold the reference.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// An image with everything needed to unpack and run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The reference it was asked for by.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// How it wants to be run.
    pub config: Config,
}

/// One layer of an image, in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the uncompressed archive.
    pub diff_id: String,
    /// The archive on disk.
    pub blob: PathBuf,
    /// Whether the archive is compressed with gzip.
    pub gzip: bool,
}

/// How an image wants to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a container may replace.
    pub cmd: Vec<String>,
    /// Environment as `NAME=value`.
    pub env: Vec<String>,
    /// `name`, `uid` or either with `:group`; empty: root. See [`resolve_user`].
    pub user: String,
    /// Working directory; empty: `/`.
    pub working_dir: String,
    /// Ports as `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// The signal that asks its program to end, as `SIGINT` or `2`; empty: `SIGTERM`.
    pub stop_signal: String,
}

/// A line of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The reference as it was given.
    pub reference: String,
    /// Digest of the manifest.
    pub digest: String,
    /// Bytes of all layers and the configuration.
    pub size: u64,
    /// When the image says it was made.
    pub created: Option<jiff::Timestamp>,
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "it is named with its module, as in `image::Error`"
)]
pub enum Error {
    /// The text is not an image reference.
    #[error("{reference:?} is not an image reference: {reason}")]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither the store nor the registry has it.
    #[error("image {reference} not found{hint}")]
    NotFound {
        /// The image.
        reference: String,
        /// Where it was looked for.
        hint: &'static str,
    },
    /// The registry wants other credentials.
    #[error("the registry refuses access to image {reference}: check its pull secret and its name")]
    Unauthorized {
        /// The image.
        reference: String,
    },
    /// The registry does not answer as a registry.
    #[error("the registry of image {reference} cannot be reached: {reason}")]
    Unreachable {
        /// The image.
        reference: String,
        /// What happened.
        reason: String,
    },
    /// Bytes are not what their digest, size or format promises.
    #[error("{what} is corrupt: {reason}")]
    Corrupt {
        /// Image, blob or archive.
        what: String,
        /// What does not agree.
        reason: String,
    },
    /// A well-formed image that cannot be used here.
    #[error("{what} cannot be used: {reason}")]
    Unsupported {
        /// Image or archive.
        what: String,
        /// What is not supported.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the disk to {what}")]
    NoSpace {
        /// What was being done.
        what: String,
    },
    /// A file could not be read or written.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system answered.
        #[source]
        cause: io::Error,
    },
}

/// Result of an operation on images.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn io(doing: impl Into<String>, cause: io::Error) -> Self {
        let doing = doing.into();
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&cause.kind()) {
            Self::NoSpace { what: doing }
        } else {
            Self::Io { doing, cause }
        }
    }

    fn corrupt(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            what: what.into(),
            reason: reason.into(),
        }
    }

    fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            reason: reason.into(),
        }
    }
}
