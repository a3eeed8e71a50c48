//! What the platform keeps: objects as a whole, images and secret values.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{
    OutputOnly,
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
