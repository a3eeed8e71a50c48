//! The documents of an OCI image, as far as the store reads and writes them. Own types rather than
//! those of a library, because Docker's media types and missing fields are normal in the wild.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Config, Error, Result};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The annotation that holds an image's name in a layout.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's annotation for the full name.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Our annotation: `local` (loaded or packed) or `registry`.
pub(super) const ORIGIN: &str = "dev.choreo.origin";

/// Documents (manifests, configurations) larger than this are refused.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;
/// Layers larger than this are refused.
pub(super) const MAX_LAYER: u64 = 16 << 30;
/// Images of more layers are refused: overlay file systems end near this too.
pub(super) const MAX_LAYERS: usize = 128;

/// A checked `sha256:...` digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// The digest of what a hasher has seen.
    pub(super) fn finish(hasher: Sha256) -> Self {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hasher.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The hexadecimal part: a file name that cannot leave its folder.
    pub(super) fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The whole text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let valid = hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if valid {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is not a sha256 digest"))
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(super) fn is_index(&self) -> bool {
        self.media_type == INDEX || self.media_type == DOCKER_LIST
    }

    /// Whether a layer is compressed with gzip; other compressions are refused.
    pub(super) fn gzip(&self) -> Result<bool> {
        let kind = self.media_type.as_str();
        if kind.ends_with("gzip") {
            Ok(true)
        } else if kind.rsplit('.').next() == Some("tar") {
            Ok(false)
        } else {
            Err(Error::unsupported(
                format!("layer {}", self.digest),
                format!("media type {kind:?}"),
            ))
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: Vec::new(),
        }
    }
}

impl Index {
    /// The manifest of an image for this machine, or what there is instead.
    pub(super) fn for_this_machine(&self) -> std::result::Result<&Descriptor, String> {
        let wanted = architecture();
        let fits = |d: &&Descriptor| {
            d.platform
                .as_ref()
                .is_some_and(|p| p.os == "linux" && p.architecture == wanted)
        };
        if let Some(found) = self.manifests.iter().find(fits) {
            return Ok(found);
        }
        match self.manifests.as_slice() {
            [only] if only.platform.is_none() => Ok(only),
            others => {
                let offered: Vec<String> = others
                    .iter()
                    .filter_map(|d| d.platform.as_ref())
                    .map(|p| format!("{}/{}", p.os, p.architecture))
                    .collect();
                Err(format!(
                    "there is none for linux/{wanted}, only {}",
                    offered.join(", ")
                ))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImageConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<jiff::Timestamp>,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) config: Option<RunConfig>,
    pub(super) rootfs: RootFs,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootFs {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RunConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
}

impl From<RunConfig> for Config {
    fn from(run: RunConfig) -> Self {
        Self {
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            exposed_ports: run.exposed_ports.unwrap_or_default().into_keys().collect(),
            stop_signal: run.stop_signal.unwrap_or_default(),
        }
    }
}

impl From<Config> for RunConfig {
    fn from(config: Config) -> Self {
        let list = |v: Vec<String>| (!v.is_empty()).then_some(v);
        let text = |v: String| (!v.is_empty()).then_some(v);
        let ports: BTreeMap<_, _> = config
            .exposed_ports
            .into_iter()
            .map(|port| (port, serde_json::json!({})))
            .collect();
        Self {
            user: text(config.user),
            exposed_ports: (!ports.is_empty()).then_some(ports),
            env: list(config.env),
            entrypoint: list(config.entrypoint),
            cmd: list(config.cmd),
            working_dir: text(config.working_dir),
            stop_signal: text(config.stop_signal),
        }
    }
}

/// This machine's architecture in the words of images.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// Reads a document, naming it when it is not what it should be.
pub(super) fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::corrupt(what, e.to_string()))
}

/// Writes a document. Maps are ordered, so equal documents are equal bytes.
pub(super) fn render<T: Serialize>(what: &str, document: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|e| Error::corrupt(what, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_cannot_name_other_files() {
        for bad in ["sha256:../../etc/passwd", "sha512:00", "", "sha256:ABC"] {
            assert!(Digest::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(Digest::try_from(String::from(digest)).is_ok());
    }

    #[test]
    fn index_offers_this_architecture() {
        let of = |arch: &str| Descriptor {
            platform: Some(Platform {
                architecture: arch.into(),
                os: "linux".into(),
            }),
            ..Descriptor::new(MANIFEST, Digest::of(arch.as_bytes()), 1)
        };
        let mut index = Index {
            manifests: vec![of("s390x"), of(architecture())],
            ..Index::default()
        };
        assert_eq!(
            index.for_this_machine().unwrap().digest,
            Digest::of(architecture().as_bytes())
        );
        index.manifests.pop();
        assert!(
            index
                .for_this_machine()
                .unwrap_err()
                .contains("linux/s390x")
        );
    }
}
