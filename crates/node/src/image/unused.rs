//! What of a store is not needed: images that can be pulled again, and the blobs of images that are
//! not there any more.

use std::collections::BTreeSet;

use super::{Result, Store, layout, store::Origin};

impl Store {
    /// The unpacked digests of the layers of all images.
    pub fn unpacked_layers(&self) -> Result<BTreeSet<String>> {
        let mut layers = BTreeSet::new();
        for entry in self.index()?.manifests {
            let config = self.manifest(&entry.digest).and_then(|it| self.config(&it));
            match config {
                Ok(config) => layers.extend(config.rootfs.diff_ids.into_iter().map(String::from)),
                // It keeps nobody from looking at the others.
                Err(error) => tracing::warn!(digest = %entry.digest, %error, "an unreadable image"),
            }
        }
        Ok(layers)
    }

    /// Removes the blobs that no image has.
    pub fn remove_remains(&self) -> Result<()> {
        self.collect()
    }

    /// Removes images of registries but for these digests; returns how many. Images that were loaded
    /// or packed here stay: nothing brings them back.
    pub fn remove_unused(&self, used: &BTreeSet<String>) -> Result<usize> {
        let gone = self.change_index(|index| {
            let before = index.manifests.len();
            index.manifests.retain(|entry| {
                let origin = entry.annotations.get(layout::ORIGIN).map(String::as_str);
                origin != Some(Origin::Registry.text()) || used.contains(entry.digest.as_str())
            });
            before - index.manifests.len()
        })?;
        self.collect()?;
        Ok(gone)
    }
}
