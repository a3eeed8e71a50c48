//! Unpacked layers: made one at a time, removed when nobody wants them any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{serve::Context, volumes};
use crate::machine::{Error, LayerSource, Result, layer};

/// How long a layer stays that was just asked for: who did has not said yet what it is for.
const FRESH: Duration = Duration::from_mins(10);

type Asked = BTreeMap<String, Instant>;

/// The unpacked layers.
#[derive(Debug)]
pub(super) struct Layers {
    context: Context,
    /// Two calls for one layer must not unpack it twice, nor may one go that is being unpacked.
    turn: tokio::sync::Mutex<()>,
    asked: Arc<Mutex<Asked>>,
}

impl Layers {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            turn: tokio::sync::Mutex::default(),
            asked: Arc::default(),
        }
    }

    /// Unpacks a layer unless it is there.
    pub(super) async fn unpack(&self, source: LayerSource) -> Result<PathBuf> {
        let _turn = self.turn.lock().await;
        lock(&self.asked).insert(source.diff_id.clone(), Instant::now());
        let layers = self.context.layout.layers(&self.context.info);
        let owners = layer::Owners {
            limit: self.context.info.user_ids,
            rootless: self.context.rootless(),
        };
        tokio::task::spawn_blocking(move || layer::unpack(&source, &layers, owners))
            .await
            .map_err(|error| Error::failed("unpacking a layer", error))?
            .map_err(|error| Error::failed("unpacking a layer", error))
    }

    /// Removes layers but for these and fresh ones.
    pub(super) async fn keep(&self, mut kept: BTreeSet<String>) -> Result<()> {
        let _turn = self.turn.lock().await;
        {
            let mut asked = lock(&self.asked);
            asked.retain(|_, since| since.elapsed() < FRESH);
            kept.extend(asked.keys().cloned());
        }
        let layers = self.context.layout.layers(&self.context.info);
        tokio::task::spawn_blocking(move || sweep(&layers, &kept))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|error| Error::failed("removing layers", error))
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what is in a folder of layers and not named by one of these digests, what was never
/// finished too.
fn sweep(layers: &Path, kept: &BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(layers) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("sha256:{}", entry.file_name().to_string_lossy());
        if !kept.contains(&name) {
            volumes::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_stays() {
        let home = tempfile::tempdir().unwrap();
        let layers = home.path().join("layers");
        let none = BTreeSet::new();
        sweep(&layers, &none).unwrap();
        for name in ["aa", "bb", ".cc"] {
            fs::create_dir_all(layers.join(name).join("etc")).unwrap();
        }
        sweep(&layers, &BTreeSet::from(["sha256:bb".to_owned()])).unwrap();
        let left = fs::read_dir(&layers)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["bb"]);
    }
}
