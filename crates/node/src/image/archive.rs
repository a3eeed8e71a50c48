//! Loading images from files: `docker save` archives and OCI layouts, as tar (gzip too) or folder.
//!
//! An archive is never unpacked by its own paths: each member goes to a numbered file, and its name is
//! only a key of a map. So no name, link or device in it can touch anything.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Seek as _},
    path::{Component, Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    Error, Result, Store, Summary,
    layout::{self, Descriptor, Digest, ImageConfig, Index, Manifest},
    store::{Adding, read_bounded},
};

const MAX_MEMBERS: usize = 20_000;
const MAX_TOTAL: u64 = 64 << 30;

impl Store {
    /// Loads every named image of an archive or OCI folder. Blocks while it reads and writes.
    pub fn load(&self, path: &Path) -> Result<Vec<Summary>> {
        self.load_as(path, None)
    }

    /// Loads an archive; `reference` names its image if it holds exactly one.
    pub fn load_as(&self, path: &Path, reference: Option<&str>) -> Result<Vec<Summary>> {
        let adding = self.adding()?;
        let members = Members::open(path, &self.temporary())?;
        let found = if members.has("manifest.json") {
            self.docker(&adding, &members)?
        } else if members.has("index.json") {
            self.oci(&adding, &members)?
        } else {
            return Err(Error::unsupported(
                path.display().to_string(),
                "it is neither a `docker save` archive nor an OCI layout",
            ));
        };
        let named = name(path, found, reference)?;
        named
            .into_iter()
            .map(|(reference, image)| {
                self.finish(&adding, &reference, &image.manifest, image.created)
            })
            .collect()
    }

    fn docker(&self, adding: &Adding, members: &Members) -> Result<Vec<Found>> {
        let entries: Vec<DockerEntry> =
            layout::parse("manifest.json", &members.read("manifest.json")?)?;
        entries
            .into_iter()
            .map(|entry| {
                let bytes = members.read(&entry.config)?;
                let config: ImageConfig = layout::parse(&entry.config, &bytes)?;
                let layers = self.layers(adding, members, &entry.layers, &config)?;
                let manifest = Manifest {
                    schema_version: 2,
                    media_type: layout::MANIFEST.to_owned(),
                    config: self.put(adding, layout::CONFIG, &bytes)?,
                    layers,
                };
                Ok(Found {
                    names: entry.repo_tags.unwrap_or_default(),
                    manifest,
                    created: config.created,
                })
            })
            .collect()
    }

    fn oci(&self, adding: &Adding, members: &Members) -> Result<Vec<Found>> {
        let index: Index = layout::parse("index.json", &members.read("index.json")?)?;
        index
            .manifests
            .iter()
            .map(|entry| {
                let bytes = members.document(&select(members, entry)?)?;
                let mut manifest: Manifest = layout::parse("the image manifest", &bytes)?;
                let bytes = members.document(&manifest.config)?;
                let config: ImageConfig = layout::parse("the image configuration", &bytes)?;
                let names: Vec<String> = manifest.layers.iter().map(blob_name).collect();
                for (layer, name) in manifest.layers.iter().zip(&names) {
                    members.expect_size(name, layer)?;
                }
                let stored = self.layers(adding, members, &names, &config)?;
                for (promised, layer) in manifest.layers.iter().zip(&stored) {
                    agree("layer", &promised.digest, &layer.digest)?;
                }
                manifest.layers = stored;
                layout::MANIFEST.clone_into(&mut manifest.media_type);
                manifest.config = self.put(adding, layout::CONFIG, &bytes)?;
                Ok(Found {
                    names: oci_name(entry).into_iter().collect(),
                    manifest,
                    created: config.created,
                })
            })
            .collect()
    }

    /// Stores the layers of an image, checking each against the configuration's digest of its
    /// uncompressed bytes.
    fn layers(
        &self,
        adding: &Adding,
        members: &Members,
        names: &[String],
        config: &ImageConfig,
    ) -> Result<Vec<Descriptor>> {
        let promised = &config.rootfs.diff_ids;
        if names.len() != promised.len() || names.len() > layout::MAX_LAYERS {
            return Err(Error::corrupt(
                "the archive's image",
                format!(
                    "{} layers, {} digests of layers, at most {} allowed",
                    names.len(),
                    promised.len(),
                    layout::MAX_LAYERS
                ),
            ));
        }
        names
            .iter()
            .zip(promised)
            .map(|(name, diff_id)| self.layer(adding, members, name, diff_id))
            .collect()
    }

    fn layer(
        &self,
        adding: &Adding,
        members: &Members,
        name: &str,
        diff_id: &Digest,
    ) -> Result<Descriptor> {
        let doing = || format!("read layer {name}");
        let mut file = members.open_member(name)?;
        let gzip = is_gzip(&mut file).map_err(|e| Error::io(doing(), e))?;
        if gzip {
            let plain = hash(MultiGzDecoder::new(BufReader::new(&file)))
                .map_err(|e| Error::corrupt(doing(), e.to_string()))?;
            agree(name, diff_id, &plain)?;
            file.rewind().map_err(|e| Error::io(doing(), e))?;
        }
        let mut writer = self.writer(adding, layout::MAX_LAYER)?;
        io::copy(&mut file, &mut writer).map_err(|e| Error::io(doing(), e))?;
        let (digest, size) = writer.finish((!gzip).then_some(diff_id))?;
        let kind = if gzip {
            layout::LAYER_GZIP
        } else {
            layout::LAYER
        };
        Ok(Descriptor::new(kind, digest, size))
    }
}

/// An image of an archive, its blobs stored, not named yet.
struct Found {
    names: Vec<String>,
    manifest: Manifest,
    created: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Decides under which names the images of an archive are stored: all of them, or an error.
fn name(path: &Path, found: Vec<Found>, reference: Option<&str>) -> Result<Vec<(String, Found)>> {
    let refuse = |reason: String| Err(Error::unsupported(path.display().to_string(), reason));
    match (reference, found.len()) {
        (_, 0) => return refuse("it holds no image".to_owned()),
        (Some(reference), 1) => {
            super::store::normal(reference)?;
            let named = found.into_iter().map(|image| (reference.to_owned(), image));
            return Ok(named.collect());
        }
        (Some(_), several) => {
            return refuse(format!(
                "it holds {several} images, so one name does not fit"
            ));
        }
        (None, _) => {}
    }
    let mut named = Vec::new();
    for image in found {
        if image.names.is_empty() {
            return refuse("it does not name its image: give a reference for it".to_owned());
        }
        for name in &image.names {
            super::store::normal(name)?;
            let copy = Found {
                names: Vec::new(),
                manifest: image.manifest.clone(),
                created: image.created,
            };
            named.push((name.clone(), copy));
        }
    }
    Ok(named)
}

/// The name in an index entry. A bare tag (`latest`) is no name of an image.
fn oci_name(entry: &Descriptor) -> Option<String> {
    let annotations = &entry.annotations;
    annotations
        .get(layout::CONTAINERD_NAME)
        .or_else(|| {
            annotations
                .get(layout::REF_NAME)
                .filter(|name| name.contains([':', '/', '@']))
        })
        .cloned()
}

/// Follows an index entry to the manifest for this machine.
fn select(members: &Members, entry: &Descriptor) -> Result<Descriptor> {
    if !entry.is_index() {
        return Ok(entry.clone());
    }
    let inner: Index = layout::parse("the image index", &members.document(entry)?)?;
    let chosen = inner
        .for_this_machine()
        .map_err(|reason| Error::unsupported("the archive's image", reason))?;
    if chosen.is_index() {
        return Err(Error::unsupported(
            "the archive's image",
            "its index names another index",
        ));
    }
    Ok(chosen.clone())
}

fn blob_name(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest.hex())
}

fn agree(what: &str, promised: &Digest, actual: &Digest) -> Result<()> {
    if promised == actual {
        Ok(())
    } else {
        Err(Error::corrupt(
            what,
            format!("its digest is {actual}, not {promised}"),
        ))
    }
}

fn is_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == [0x1f, 0x8b])
}

/// The tool for an archive that is compressed otherwise than with gzip.
fn foreign_compression(file: &mut File) -> io::Result<Option<&'static str>> {
    const KNOWN: [(&[u8], &str); 3] = [
        (b"BZh", "bunzip2"),
        (b"\xfd7zXZ\0", "unxz"),
        (b"\x28\xb5\x2f\xfd", "unzstd"),
    ];
    let mut start = Vec::new();
    file.by_ref().take(6).read_to_end(&mut start)?;
    file.rewind()?;
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic));
    Ok(known.map(|(_, tool)| *tool))
}

fn hash(reader: impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut reader = reader.take(layout::MAX_LAYER + 1);
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(Digest::finish(hasher));
        }
        total += count as u64;
        if total > layout::MAX_LAYER {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        hasher.update(&buffer[..count]);
    }
}

/// The regular files of an archive or folder, by their names.
struct Members {
    files: BTreeMap<String, PathBuf>,
    /// Names that stand for others: old Docker archives link equal layers.
    links: BTreeMap<String, String>,
    temporary: Option<PathBuf>,
}

impl Drop for Members {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary {
            // What cannot be removed now is swept when the store is opened next.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl Members {
    fn open(path: &Path, temporary: &Path) -> Result<Self> {
        let doing = || format!("read {}", path.display());
        let metadata = fs::metadata(path).map_err(|e| Error::io(doing(), e))?;
        if metadata.is_dir() {
            return Self::folder(path);
        }
        if !metadata.is_file() {
            let reason = "it is neither a file nor a folder";
            return Err(Error::unsupported(path.display().to_string(), reason));
        }
        let mut file = File::open(path).map_err(|e| Error::io(doing(), e))?;
        if let Some(tool) = foreign_compression(&mut file).map_err(|e| Error::io(doing(), e))? {
            let reason =
                format!("it is compressed in a way that is not read: unpack it with {tool} first");
            return Err(Error::unsupported(path.display().to_string(), reason));
        }
        let folder = temporary.join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&folder).map_err(|e| Error::io(doing(), e))?;
        let mut members = Self {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            temporary: Some(folder.clone()),
        };
        let gzip = is_gzip(&mut file).map_err(|e| Error::io(doing(), e))?;
        let reader: Box<dyn Read> = if gzip {
            Box::new(MultiGzDecoder::new(BufReader::new(file)))
        } else {
            Box::new(BufReader::new(file))
        };
        members.extract(&path.display().to_string(), reader, &folder)?;
        Ok(members)
    }

    /// Copies each regular member to a numbered file.
    fn extract(&mut self, archive: &str, reader: Box<dyn Read>, folder: &Path) -> Result<()> {
        let bad = |e: io::Error| {
            if e.kind() == io::ErrorKind::StorageFull {
                Error::io(format!("unpack {archive}"), e)
            } else {
                Error::corrupt(archive, e.to_string())
            }
        };
        let mut tar = tar::Archive::new(reader.take(MAX_TOTAL));
        for (number, entry) in tar.entries().map_err(bad)?.enumerate() {
            let mut entry = entry.map_err(|e| match (number, e.kind()) {
                // The reason quotes the bytes it stumbled over.
                (0, io::ErrorKind::Other) => Error::unsupported(archive, "it is not a tar archive"),
                _ => bad(e),
            })?;
            if number >= MAX_MEMBERS {
                return Err(Error::unsupported(archive, "it has too many members"));
            }
            let path = entry.path().map_err(bad)?.into_owned();
            let Some(name) = key(&path) else { continue };
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let place = folder.join(number.to_string());
                let mut out = File::create_new(&place).map_err(|e| Error::io(archive, e))?;
                io::copy(&mut entry, &mut out).map_err(bad)?;
                self.files.insert(name, place);
            } else if (kind.is_symlink() || kind.is_hard_link())
                && let Some(link) = entry.link_name().map_err(bad)?
            {
                // A symbolic link starts at its own folder, a hard link at the archive's root.
                let base = path.parent().filter(|_| kind.is_symlink());
                if let Some(target) =
                    key(&base.map_or_else(|| link.to_path_buf(), |b| b.join(&link)))
                {
                    self.links.insert(name, target);
                }
            }
        }
        Ok(())
    }

    fn folder(root: &Path) -> Result<Self> {
        let mut members = Self {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            temporary: None,
        };
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            let doing = || format!("read {}", folder.display());
            for entry in fs::read_dir(&folder).map_err(|e| Error::io(doing(), e))? {
                let entry = entry.map_err(|e| Error::io(doing(), e))?;
                let kind = entry.file_type().map_err(|e| Error::io(doing(), e))?;
                if members.files.len() + open.len() >= MAX_MEMBERS {
                    return Err(Error::unsupported(doing(), "it has too many files"));
                }
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file()
                    && let Ok(inner) = entry.path().strip_prefix(root)
                    && let Some(name) = key(inner)
                {
                    members.files.insert(name, entry.path());
                }
            }
        }
        Ok(members)
    }

    fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn place(&self, name: &str) -> Result<&Path> {
        let name = key(Path::new(name)).unwrap_or_default();
        let target = self.links.get(&name).unwrap_or(&name);
        self.files
            .get(target)
            .map(PathBuf::as_path)
            .ok_or_else(|| Error::corrupt("the archive", format!("{name:?} is missing")))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        read_bounded(self.place(name)?, layout::MAX_DOCUMENT)
    }

    fn open_member(&self, name: &str) -> Result<File> {
        File::open(self.place(name)?).map_err(|e| Error::io(format!("read {name}"), e))
    }

    fn expect_size(&self, name: &str, promised: &Descriptor) -> Result<()> {
        let size = fs::metadata(self.place(name)?)
            .map_err(|e| Error::io(format!("read {name}"), e))?
            .len();
        if size == promised.size {
            return Ok(());
        }
        Err(Error::corrupt(
            format!("blob {}", promised.digest),
            format!("{size} bytes instead of {}", promised.size),
        ))
    }

    /// A document of an OCI layout, checked.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let name = blob_name(descriptor);
        self.expect_size(&name, descriptor)?;
        let bytes = self.read(&name)?;
        agree(&name, &descriptor.digest, &Digest::of(&bytes))?;
        Ok(bytes)
    }
}

/// A member's path as a key: `.` and `..` resolved by text alone; `None` if it leaves the archive.
fn key(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
