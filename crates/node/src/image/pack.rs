//! Images from binaries of this machine: one layer, the same bytes for the same input.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File as Source,
    io::{self, Write},
    path::{Component, Path, PathBuf},
};

use super::{
    Config, Error, Result, Store, Summary, interpreter,
    layout::{self, Descriptor, ImageConfig, Manifest, RootFs},
    store::Origin,
};

/// A file for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where its bytes are now.
    pub source: PathBuf,
    /// Its absolute path in the image.
    pub target: PathBuf,
    /// Its permissions (`0o755`).
    pub mode: u32,
}

impl Store {
    /// Makes an image of one layer out of files and gives it a reference, replacing what had it.
    /// Blocks while it reads and writes.
    pub fn pack(&self, reference: &str, files: &[File], config: Config) -> Result<Summary> {
        let adding = self.adding()?;
        let mut writer = self.writer(&adding, layout::MAX_LAYER)?;
        archive(files, &mut writer)?;
        let (diff_id, size) = writer.finish(None)?;
        let layer = Descriptor::new(layout::LAYER, diff_id.clone(), size);
        let document = ImageConfig {
            created: Some(jiff::Timestamp::UNIX_EPOCH),
            architecture: layout::architecture().to_owned(),
            os: "linux".to_owned(),
            config: Some(config.into()),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![diff_id],
            },
        };
        let bytes = layout::render("the image configuration", &document)?;
        let config = self.put(&adding, layout::CONFIG, &bytes)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: layout::MANIFEST.to_owned(),
            config,
            layers: vec![layer],
        };
        self.finish(&adding, reference, &manifest, document.created)
    }

    /// Stores a manifest whose blobs are there and names it.
    pub(super) fn finish(
        &self,
        adding: &super::store::Adding,
        reference: &str,
        manifest: &Manifest,
        created: Option<jiff::Timestamp>,
    ) -> Result<Summary> {
        let bytes = layout::render("the image manifest", manifest)?;
        let descriptor = self.put(adding, layout::MANIFEST, &bytes)?;
        let layers: u64 = manifest.layers.iter().map(|l| l.size).sum();
        let summary = Summary {
            reference: reference.to_owned(),
            digest: descriptor.digest.to_string(),
            size: layers.saturating_add(manifest.config.size),
            created,
        };
        self.name(adding, reference, descriptor, Origin::Local)?;
        Ok(summary)
    }
}

/// Writes the files and the folders above them as a tar archive: sorted, owned by root, dated 1970.
fn archive(files: &[File], out: &mut impl Write) -> Result<()> {
    let mut by_target = BTreeMap::new();
    for file in files {
        if by_target.insert(relative(&file.target)?, file).is_some() {
            return Err(Error::unsupported(
                format!("file {}", file.target.display()),
                "it is given twice",
            ));
        }
    }
    check_loaders(&by_target)?;
    let folders: BTreeSet<&Path> = by_target
        .keys()
        .flat_map(|target| target.ancestors().skip(1))
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    let mut tar = tar::Builder::new(out);
    for folder in folders {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        tar.append_data(&mut header, folder, io::empty())
            .map_err(|e| Error::io(format!("pack {}", folder.display()), e))?;
    }
    for (target, file) in &by_target {
        let doing = || format!("pack {}", file.source.display());
        let source = Source::open(&file.source).map_err(|e| Error::io(doing(), e))?;
        let metadata = source.metadata().map_err(|e| Error::io(doing(), e))?;
        if !metadata.is_file() {
            return Err(Error::unsupported(doing(), "it is not a file"));
        }
        let mut header = header(tar::EntryType::Regular, file.mode & 0o7777, metadata.len());
        tar.append_data(&mut header, target, source)
            .map_err(|e| Error::io(doing(), e))?;
    }
    tar.finish().map_err(|e| Error::io("finish the layer", e))
}

/// Refuses programs whose loader is not in the image: they would end in "no such file" when started.
fn check_loaders(files: &BTreeMap<PathBuf, &File>) -> Result<()> {
    for file in files.values().filter(|file| file.mode & 0o111 != 0) {
        let doing = || format!("pack {}", file.source.display());
        let loader = Source::open(&file.source)
            .and_then(|mut source| interpreter::of(&mut source))
            .map_err(|e| Error::io(doing(), e))?;
        if let Some(loader) = loader
            && !files.contains_key(&relative(&loader)?)
        {
            let missing = format!(
                "it needs shared libraries and their loader {}, which are not in the image: build it \
                 without any (for Rust: RUSTFLAGS='-C target-feature=+crt-static')",
                loader.display()
            );
            return Err(Error::unsupported(doing(), missing));
        }
    }
    Ok(())
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// A path in the image without its leading `/`, if it is one that stays in the image.
fn relative(target: &Path) -> Result<PathBuf> {
    let refuse = |reason: &str| {
        Err(Error::unsupported(
            format!("path {}", target.display()),
            reason.to_owned(),
        ))
    };
    let Ok(inner) = target.strip_prefix("/") else {
        return refuse("a path in an image is absolute");
    };
    let plain = |c| matches!(c, Component::Normal(_));
    if inner.as_os_str().is_empty() || !inner.components().all(plain) {
        return refuse("a path in an image names a file and has no `..`");
    }
    Ok(inner.to_owned())
}
