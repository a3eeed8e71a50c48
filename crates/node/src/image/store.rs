//! The store's folder: an OCI layout (`blobs/sha256`, `index.json`) that other tools can read too.
//!
//! Two locks guard it. `index.lock` is held while the index is read, changed and renamed into place.
//! `blobs.lock` is shared by everyone who adds blobs, until the index names them, and taken alone
//! by the collection of garbage: so a blob never goes away between its arrival and its first reference.
//! Readers need no lock: documents and blobs only ever appear whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use oci_client::Reference;

use super::{
    Error, Image, Layer, Result, Summary, blob,
    layout::{self, Descriptor, Digest, ImageConfig, Index, Manifest},
    reference,
};

/// How many images are pulled at the same time: more would share one line, and each come later.
const PULLS: usize = 4;

/// Where an image came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Local,
    Registry,
}

impl Origin {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Registry => "registry",
        }
    }
}

/// A content-addressed store of images in one folder. May be opened by several processes at once.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    pub(super) pulls: tokio::sync::Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Room for pulls at the same time.
    pub(super) slots: tokio::sync::Semaphore,
}

/// Proof that blobs may be added: no collection of garbage runs while it lives.
pub(super) struct Adding {
    _lock: File,
}

impl Store {
    /// Opens the store of a folder, making it when it is not there.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Self {
            folder: folder.to_owned(),
            pulls: tokio::sync::Mutex::default(),
            slots: tokio::sync::Semaphore::new(PULLS),
        };
        for made in [store.blobs(), store.temporary()] {
            fs::create_dir_all(&made)
                .map_err(|e| Error::io(format!("create {}", made.display()), e))?;
        }
        let marker = folder.join("oci-layout");
        if !marker.exists() {
            store.replace(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        store.index()?;
        store.collect()?;
        Ok(store)
    }

    /// All images, by reference.
    pub fn list(&self) -> Result<Vec<Summary>> {
        let mut found = Vec::new();
        for entry in self.index()?.manifests {
            let Some(reference) = entry.annotations.get(layout::REF_NAME) else {
                continue;
            };
            let manifest = self.manifest(&entry.digest)?;
            let layers: u64 = manifest.layers.iter().map(|l| l.size).sum();
            found.push(Summary {
                reference: reference.clone(),
                size: layers.saturating_add(manifest.config.size),
                created: self.config(&manifest)?.created,
                digest: entry.digest.into(),
            });
        }
        found.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(found)
    }

    /// Forgets a reference and deletes what no other image needs.
    pub fn remove(&self, reference: &str) -> Result<()> {
        let wanted = normal(reference)?;
        let removed = self.change_index(|index| {
            let before = index.manifests.len();
            index
                .manifests
                .retain(|d| name_of(d) != Some(wanted.clone()));
            before != index.manifests.len()
        })?;
        if !removed {
            return Err(Error::NotFound {
                reference: reference.to_owned(),
                hint: " in the local store",
            });
        }
        self.collect()
    }

    /// The image of a reference if the store has it, and where it came from.
    pub(super) fn local(&self, reference: &str) -> Result<Option<(Image, Origin)>> {
        let wanted = reference::parse(reference)?;
        let entry = self.index()?.manifests.into_iter().find(|d| {
            name_of(d).as_deref() == Some(&wanted.whole())
                || wanted
                    .digest()
                    .is_some_and(|digest| d.digest.as_str() == digest && same_name(d, &wanted))
        });
        let Some(entry) = entry else { return Ok(None) };
        let origin = match entry.annotations.get(layout::ORIGIN).map(String::as_str) {
            Some("registry") => Origin::Registry,
            _ => Origin::Local,
        };
        Ok(Some((self.image(reference, &entry.digest)?, origin)))
    }

    /// Everything about the image of a manifest.
    pub(super) fn image(&self, reference: &str, digest: &Digest) -> Result<Image> {
        let manifest = self.manifest(digest)?;
        let config = self.config(&manifest)?;
        if manifest.layers.len() != config.rootfs.diff_ids.len() {
            return Err(Error::corrupt(
                format!("image {reference}"),
                "its manifest and its configuration disagree about the layers",
            ));
        }
        let layers = manifest
            .layers
            .iter()
            .zip(config.rootfs.diff_ids)
            .map(|(layer, diff_id)| {
                Ok(Layer {
                    diff_id: diff_id.into(),
                    blob: self.path(&layer.digest),
                    gzip: layer.gzip()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Image {
            reference: reference.to_owned(),
            digest: digest.to_string(),
            layers,
            config: config.config.unwrap_or_default().into(),
        })
    }

    /// Begins to add blobs.
    pub(super) fn adding(&self) -> Result<Adding> {
        let lock = self.lock_file("blobs.lock")?;
        lock.lock_shared()
            .map_err(|e| Error::io("lock the image store", e))?;
        Ok(Adding { _lock: lock })
    }

    /// Begins one blob.
    pub(super) fn writer(&self, _adding: &Adding, limit: u64) -> Result<blob::Writer> {
        blob::Writer::create(&self.temporary(), &self.blobs(), limit)
    }

    /// Adds a document as a blob.
    pub(super) fn put(&self, adding: &Adding, kind: &str, bytes: &[u8]) -> Result<Descriptor> {
        use std::io::Write as _;
        let mut writer = self.writer(adding, layout::MAX_DOCUMENT)?;
        writer
            .write_all(bytes)
            .map_err(|e| Error::io("store an image document", e))?;
        let (digest, size) = writer.finish(None)?;
        Ok(Descriptor::new(kind, digest, size))
    }

    /// Whether a whole blob is there already.
    pub(super) fn has(&self, descriptor: &Descriptor) -> bool {
        fs::symlink_metadata(self.path(&descriptor.digest))
            .is_ok_and(|m| m.is_file() && m.len() == descriptor.size)
    }

    /// Lets a reference name a manifest that is in the store.
    pub(super) fn name(
        &self,
        _adding: &Adding,
        reference: &str,
        mut manifest: Descriptor,
        origin: Origin,
    ) -> Result<()> {
        let wanted = normal(reference)?;
        manifest.annotations = BTreeMap::from([
            (layout::REF_NAME.to_owned(), reference.to_owned()),
            (layout::ORIGIN.to_owned(), origin.text().to_owned()),
        ]);
        self.change_index(|index| {
            index
                .manifests
                .retain(|d| name_of(d) != Some(wanted.clone()));
            index.manifests.push(manifest);
        })
    }

    /// A folder for files that are not yet blobs.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs").join("sha256")
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(super) fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        layout::parse(&format!("manifest {digest}"), &self.document(digest)?)
    }

    pub(super) fn config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        let digest = &manifest.config.digest;
        layout::parse(
            &format!("image configuration {digest}"),
            &self.document(digest)?,
        )
    }

    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = read_bounded(&path, layout::MAX_DOCUMENT)?;
        if Digest::of(&bytes) == *digest {
            Ok(bytes)
        } else {
            Err(Error::corrupt(
                path.display().to_string(),
                "its bytes do not have the digest of its name; remove the image and add it again",
            ))
        }
    }

    pub(super) fn index(&self) -> Result<Index> {
        let path = self.folder.join("index.json");
        match fs::read(&path) {
            Ok(bytes) => layout::parse(&path.display().to_string(), &bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Index::default()),
            Err(e) => Err(Error::io(format!("read {}", path.display()), e)),
        }
    }

    pub(super) fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T> {
        let lock = self.lock_file("index.lock")?;
        lock.lock()
            .map_err(|e| Error::io("lock the image index", e))?;
        let mut index = self.index()?;
        let outcome = change(&mut index);
        let bytes = layout::render("the image index", &index)?;
        self.replace(&self.folder.join("index.json"), &bytes)?;
        Ok(outcome)
    }

    /// Writes a file so that it is seen old or new, never in between.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        use std::io::Write as _;
        let temporary = self.temporary().join(uuid::Uuid::new_v4().to_string());
        let write = || {
            let mut file = File::create_new(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io(format!("write {}", path.display()), e)
        })?;
        blob::sync_folder(&self.folder)
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.folder.join(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io(format!("open {}", path.display()), e))
    }

    /// Deletes blobs that no image needs and what an earlier process left half done. While somebody
    /// adds an image this is put off: the next removal or start does it.
    pub(super) fn collect(&self) -> Result<()> {
        let lock = self.lock_file("blobs.lock")?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let mut needed = BTreeSet::new();
        for entry in self.index()?.manifests {
            // An image that cannot be read keeps nobody from opening the store; it stays as it is,
            // and so does every blob, because it might need any of them.
            let Ok(manifest) = self.manifest(&entry.digest) else {
                tracing::warn!(digest = %entry.digest, "image manifest cannot be read");
                return Ok(());
            };
            needed.insert(entry.digest);
            needed.insert(manifest.config.digest);
            needed.extend(manifest.layers.into_iter().map(|l| l.digest));
        }
        let names: BTreeSet<&str> = needed.iter().map(Digest::hex).collect();
        sweep(&self.blobs(), |name| names.contains(name))?;
        sweep(&self.temporary(), |_| false)
    }
}

fn sweep(folder: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
    let doing = || format!("clean {}", folder.display());
    for entry in fs::read_dir(folder).map_err(|e| Error::io(doing(), e))? {
        let entry = entry.map_err(|e| Error::io(doing(), e))?;
        if entry.file_name().to_str().is_some_and(&keep) {
            continue;
        }
        let kind = entry.file_type().map_err(|e| Error::io(doing(), e))?;
        let gone = if kind.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        gone.map_err(|e| Error::io(doing(), e))?;
    }
    Ok(())
}

/// Reads a file that must not be large.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|e| Error::io(format!("read {}", path.display()), e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::corrupt(
            path.display().to_string(),
            format!("longer than the {limit} bytes allowed"),
        ));
    }
    Ok(bytes)
}

/// The full form of a reference: registry, repository, tag or digest.
pub(super) fn normal(reference: &str) -> Result<String> {
    reference::parse(reference).map(|reference| reference.whole())
}

fn name_of(entry: &Descriptor) -> Option<String> {
    normal(entry.annotations.get(layout::REF_NAME)?).ok()
}

fn same_name(entry: &Descriptor, wanted: &Reference) -> bool {
    entry
        .annotations
        .get(layout::REF_NAME)
        .and_then(|name| reference::parse(name.as_str()).ok())
        .is_some_and(|name| {
            name.registry() == wanted.registry() && name.repository() == wanted.repository()
        })
}
