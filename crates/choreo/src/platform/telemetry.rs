//! Where the platform's log goes: a file in the data folder, and standard error when asked.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    failure::{self, Result},
    folder::Folder,
};

/// The longest log that is kept from one start to the next.
const LONG: u64 = 16 << 20;

/// Sends everything that is traced to the log of a folder. `CHOREO_LOG` chooses what, as in
/// `debug,kube=info`; without it `verbose` does.
pub(crate) fn log_to(folder: &Folder, verbose: u8) -> Result {
    let path = folder.log();
    let doing = || failure::io(format!("opening the log {}", path.display()));
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LONG) {
        std::fs::rename(&path, path.with_extension("log.1")).map_err(doing())?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(doing())?;
    let words = match verbose {
        0 | 1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("CHOREO_LOG").unwrap_or_else(|_| EnvFilter::new(words));
    let to_file = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(file);
    let to_terminal = (verbose > 0).then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .boxed()
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(to_file)
        .with(to_terminal)
        .init();
    Ok(())
}
