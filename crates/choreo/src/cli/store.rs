//! What the platform keeps: objects as a whole, images and secret values.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Namespace, OutputOnly,
    values::{seconds, user, variable},
};

/// Images kept on this machine.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Image {
    /// Take the images of an archive (as `docker save` and OCI tools write them)
    Load {
        /// The archive
        archive: PathBuf,
    },
    /// Make an image of files
    Pack(Pack),
    /// Show the images
    List(OutputOnly),
    /// Remove an image
    Rm {
        /// Its reference
        reference: String,
    },
}

/// Make an image of files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pack {
    /// Name of the image, as shop/catalog:1
    pub(crate) reference: String,
    /// A program to put at /NAME and to start (it must not need shared libraries)
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// A file or folder to add, and where it goes in the image
    #[arg(long = "add", value_name = "FILE:PATH")]
    pub(crate) files: Vec<String>,
    /// What the image starts; repeat for arguments
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) entrypoint: Vec<String>,
    /// A variable of the image
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<String>,
    /// Numeric user and group the image runs as, as 1000:1000
    #[arg(long, value_name = "UID:GID", value_parser = user)]
    pub(crate) user: Option<String>,
}

/// Secret values that components refer to.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Secret {
    /// Store a value: from standard input, or a file; never from the command line
    Set {
        /// Name of the secret: `remoteRef.key` of a `SecretReference`
        name: String,
        /// Key in it: `remoteRef.property`
        key: String,
        /// Read the value from a file
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// Show names and keys, never values
    List(OutputOnly),
    /// Remove a secret, or one key of it
    Rm {
        /// Name of the secret
        name: String,
        /// Only this key
        key: Option<String>,
    },
    /// Make a new key; the next start of the platform seals every stored secret with it
    RotateKey,
}

/// APIs, and the keys of their consumers.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Api {
    /// Keys by which consumers call an API
    #[command(subcommand)]
    Key(ApiKey),
}

/// Keys by which consumers call an API.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ApiKey {
    /// Make a key for a consumer, and show it: the only time
    Create(KeyOf),
    /// Show which keys there are, never their values
    List {
        /// The API
        api: String,
        #[command(flatten)]
        namespace: Namespace,
        #[command(flatten)]
        output: OutputOnly,
    },
    /// Make another key for a consumer, and show it: the only time
    Rotate {
        #[command(flatten)]
        of: KeyOf,
        /// How long the key before still counts; left out, no longer
        #[arg(long, value_parser = seconds, value_name = "TIME")]
        overlap: Option<Duration>,
    },
    /// Take the keys of a consumer away: the next request with one is refused
    Revoke(KeyOf),
}

/// A consumer of an API in an environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyOf {
    /// The API
    pub(crate) api: String,
    /// The consumer, as the API's endpoints know it
    #[arg(long, value_name = "NAME")]
    pub(crate) consumer: String,
    /// The environment; needed where the API is offered in several
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    #[command(flatten)]
    pub(crate) output: OutputOnly,
}

/// Write a backup.
#[derive(Debug, Clone, Args)]
pub(crate) struct Backup {
    /// The file to write
    pub(crate) file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Put the key of secrets into it too: whoever has the file can read them
    #[arg(long)]
    pub(crate) with_key: bool,
}

/// Bring back a backup.
#[derive(Debug, Clone, Args)]
pub(crate) struct Restore {
    /// What `choreo backup` wrote
    pub(crate) file: PathBuf,
    /// Only say whether it could be restored, and what is in it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long to wait until a running platform has started again
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}
