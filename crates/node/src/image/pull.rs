//! Pulling from registries.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};

use super::{
    Credentials, Error, Image, PullPolicy, Result, Store,
    layout::{self, Descriptor, Digest, Index, Manifest},
    reference,
    store::{Adding, Origin},
    tls,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a registry may be silent in the middle of a blob.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(30);
const PARALLEL_LAYERS: usize = 3;
const ACCEPTED: &[&str] = &[
    layout::MANIFEST,
    layout::DOCKER_MANIFEST,
    layout::INDEX,
    layout::DOCKER_LIST,
];

/// How far the pull of one blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The blob.
    pub digest: String,
    /// Bytes so far.
    pub done: u64,
    /// Bytes altogether.
    pub total: u64,
}

type Report<'a> = &'a (dyn Fn(Progress) + Send + Sync);

impl Store {
    /// The image of a reference, from the store or a registry as the policy says.
    ///
    /// An image loaded or packed into the store is authoritative: with [`PullPolicy::Always`] it is
    /// also the answer when the registry cannot be reached, refuses access or does not know it.
    pub async fn resolve(
        &self,
        reference: &str,
        policy: PullPolicy,
        credentials: Option<Credentials>,
    ) -> Result<Image> {
        self.resolve_reporting(reference, policy, credentials, &|_| {})
            .await
    }

    /// [`Store::resolve`], reporting the progress of what is pulled.
    pub async fn resolve_reporting(
        &self,
        reference: &str,
        policy: PullPolicy,
        credentials: Option<Credentials>,
        report: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image> {
        let local = self.local(reference)?;
        if let Some((image, _)) = local {
            if policy != PullPolicy::Always {
                return Ok(image);
            }
        } else if policy == PullPolicy::Never {
            return Err(Error::NotFound {
                reference: reference.to_owned(),
                hint: " in the local store, and its pull policy is Never",
            });
        }
        let alone = self.alone(reference).await;
        let _turn = alone.lock().await;
        // Whoever was ahead may have pulled it.
        let local = self.local(reference)?;
        if policy == PullPolicy::IfNotPresent
            && let Some((image, _)) = local
        {
            return Ok(image);
        }
        // Nobody closes it; without a slot there is no bound, and nothing else is wrong.
        let _slot = self.slots.acquire().await.ok();
        let pulled = self.pull(reference, credentials.as_ref(), report).await;
        match (pulled, local) {
            (Err(error), Some((image, Origin::Local))) if error.leaves_local() => {
                tracing::info!(reference, %error, "the image of the local store is used");
                Ok(image)
            }
            (pulled, _) => pulled,
        }
    }

    /// The turn of one reference: the same image is not pulled twice at once.
    async fn alone(&self, reference: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulls = self.pulls.lock().await;
        pulls.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(pulls.entry(reference.to_owned()).or_default())
    }

    async fn pull(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
        report: Report<'_>,
    ) -> Result<Image> {
        let remote = Remote::new(reference, credentials).await?;
        let adding = self.adding()?;
        let (descriptor, bytes) = remote.manifest().await?;
        let manifest: Manifest = layout::parse(&format!("manifest of {reference}"), &bytes)?;
        if manifest.layers.len() > layout::MAX_LAYERS {
            return Err(Error::unsupported(
                format!("image {reference}"),
                format!("it has more than {} layers", layout::MAX_LAYERS),
            ));
        }
        for layer in &manifest.layers {
            layer.gzip()?;
        }
        let job = Job {
            remote,
            adding,
            report,
        };
        self.fetch(&job, &manifest.config, layout::MAX_DOCUMENT)
            .await?;
        futures::stream::iter(&manifest.layers)
            .map(|layer| self.fetch(&job, layer, layout::MAX_LAYER))
            .buffer_unordered(PARALLEL_LAYERS)
            .try_collect::<()>()
            .await?;
        self.put(&job.adding, &descriptor.media_type, &bytes)?;
        let image = self.image(reference, &descriptor.digest)?;
        self.name(&job.adding, reference, descriptor, Origin::Registry)?;
        Ok(image)
    }

    async fn fetch(&self, job: &Job<'_>, blob: &Descriptor, limit: u64) -> Result<()> {
        if self.has(blob) {
            return Ok(());
        }
        if blob.size > limit {
            return Err(Error::unsupported(
                format!("blob {}", blob.digest),
                format!("it is larger than {limit} bytes"),
            ));
        }
        let remote = &job.remote;
        let mut writer = self.writer(&job.adding, blob.size)?;
        let mut stream = remote
            .client
            .pull_blob_stream(&remote.reference, blob.digest.as_str())
            .await
            .map_err(|e| remote.error(e))?;
        let mut done = 0;
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|e| remote.stream_error(&blob.digest, &e))?;
            writer.write_all(&bytes).map_err(|e| write_error(blob, e))?;
            done += bytes.len() as u64;
            (job.report)(Progress {
                digest: blob.digest.to_string(),
                done,
                total: blob.size,
            });
        }
        if done != blob.size {
            return Err(Error::corrupt(
                format!("blob {}", blob.digest),
                format!("{done} bytes instead of {}", blob.size),
            ));
        }
        // Waits for the disk; other layers go on meanwhile on other threads.
        let digest = blob.digest.clone();
        tokio::task::spawn_blocking(move || writer.finish(Some(&digest)))
            .await
            .map_err(|e| Error::io("store a blob", io::Error::other(e)))??;
        Ok(())
    }
}

impl Error {
    /// Whether an image in the local store may stand in for what was not pulled.
    fn leaves_local(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NotFound { .. } | Self::Unauthorized { .. }
        )
    }
}

/// The pull of one image.
struct Job<'a> {
    remote: Remote<'a>,
    adding: Adding,
    report: Report<'a>,
}

/// One image of one registry.
struct Remote<'a> {
    client: Client,
    asked: &'a str,
    reference: Reference,
    auth: RegistryAuth,
}

impl<'a> Remote<'a> {
    async fn new(asked: &'a str, credentials: Option<&Credentials>) -> Result<Self> {
        // Already installed is as good: every part of the program uses the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reference = reference::parse(asked)?;
        let registry = reference.resolve_registry().to_owned();
        let config = ClientConfig {
            protocol: if is_loopback(&registry) && !tls::spoken_at(&registry).await {
                ClientProtocol::HttpsExcept(vec![registry])
            } else {
                ClientProtocol::Https
            },
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|e| Error::Unreachable {
            reference: asked.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Self {
            client,
            asked,
            reference,
            auth: credentials.map_or(RegistryAuth::Anonymous, Credentials::auth),
        })
    }

    /// The manifest for this machine, checked.
    async fn manifest(&self) -> Result<(Descriptor, Vec<u8>)> {
        let bytes = self.document(&self.reference).await?;
        let Ok(index) = serde_json::from_slice::<Index>(&bytes) else {
            return Ok((descriptor(&bytes), bytes));
        };
        let chosen = index
            .for_this_machine()
            .map_err(|reason| Error::unsupported(format!("image {}", self.asked), reason))?;
        let exact = self.reference.clone_with_digest(chosen.digest.to_string());
        let bytes = self.document(&exact).await?;
        Ok((descriptor(&bytes), bytes))
    }

    async fn document(&self, reference: &Reference) -> Result<Vec<u8>> {
        let pulled = self
            .client
            .pull_manifest_raw(reference, &self.auth, ACCEPTED);
        let (bytes, _) = tokio::time::timeout(MANIFEST_TIMEOUT, pulled)
            .await
            .map_err(|_| self.unreachable("no answer in time"))?
            .map_err(|e| self.error(e))?;
        let actual = Digest::of(&bytes);
        match reference.digest() {
            Some(promised) if promised != actual.as_str() => Err(Error::corrupt(
                format!("manifest {promised}"),
                format!("its digest is {actual}"),
            )),
            _ if bytes.len() as u64 > layout::MAX_DOCUMENT => Err(Error::unsupported(
                format!("image {}", self.asked),
                "its manifest is too large",
            )),
            _ => Ok(bytes.to_vec()),
        }
    }

    fn unreachable(&self, reason: impl Into<String>) -> Error {
        Error::Unreachable {
            reference: self.asked.to_owned(),
            reason: reason.into(),
        }
    }

    fn not_found(&self) -> Error {
        Error::NotFound {
            reference: self.asked.to_owned(),
            hint: " in the local store or its registry",
        }
    }

    fn unauthorized(&self) -> Error {
        Error::Unauthorized {
            reference: self.asked.to_owned(),
        }
    }

    /// A failure in the middle of a blob: of its digest, or of the connection.
    fn stream_error(&self, digest: &Digest, cause: &io::Error) -> Error {
        let text = chain(cause);
        // The library's words; the text may also hold an image's name, which has no capitals.
        if text.contains("Invalid digest") {
            Error::corrupt(format!("blob {digest}"), text)
        } else {
            self.unreachable(trusting(text))
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else goes wrong between here and there is told in the library's words"
    )]
    fn error(&self, error: OciDistributionError) -> Error {
        use OciDistributionError as E;
        match error {
            E::ImageManifestNotFoundError(_) | E::ServerError { code: 404, .. } => self.not_found(),
            E::UnauthorizedError { .. }
            | E::AuthenticationFailure(_)
            | E::ServerError {
                code: 401 | 403, ..
            } => self.unauthorized(),
            E::RegistryError { envelope, .. } => {
                let codes = || envelope.errors.iter().map(|e| &e.code);
                if codes().any(|c| matches!(c, OciErrorCode::Unauthorized | OciErrorCode::Denied)) {
                    self.unauthorized()
                } else if codes().any(is_unknown) {
                    self.not_found()
                } else {
                    self.unreachable(envelope.to_string())
                }
            }
            E::DigestError(e) => Error::corrupt(format!("image {}", self.asked), e.to_string()),
            E::IoError(e) => Error::io(format!("pull {}", self.asked), e),
            E::JsonError(_)
            | E::ManifestEncodingError(_)
            | E::ManifestParsingError(_)
            | E::VersionedParsingError(_)
            | E::SpecViolationError(_) => Error::corrupt(
                format!("the answer for image {}", self.asked),
                chain(&error),
            ),
            other => self.unreachable(trusting(chain(&other))),
        }
    }
}

fn write_error(blob: &Descriptor, cause: io::Error) -> Error {
    if cause.kind() == io::ErrorKind::FileTooLarge {
        Error::corrupt(
            format!("blob {}", blob.digest),
            format!("longer than the promised {} bytes", blob.size),
        )
    } else {
        Error::io(format!("store blob {}", blob.digest), cause)
    }
}

fn is_unknown(code: &OciErrorCode) -> bool {
    matches!(
        code,
        OciErrorCode::ManifestUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound
            | OciErrorCode::BlobUnknown
            | OciErrorCode::ManifestBlobUnknown
    )
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::new(layout::MANIFEST, Digest::of(bytes), bytes.len() as u64)
}

/// An error and its causes: the system's reason for a failed connection is the innermost.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = inner.source();
    }
    text
}

/// Adds to a failure what to do when a registry's certificate is not trusted.
fn trusting(mut text: String) -> String {
    // The words of the one TLS library there is.
    if text.contains("invalid peer certificate") {
        text.push_str(
            "; if the registry's certificate is of an authority of your own, start choreo with \
             SSL_CERT_FILE=/path/to/authorities.pem",
        );
    }
    text
}

/// Registries of this machine may speak plain HTTP, as other container tools hold it.
fn is_loopback(registry: &str) -> bool {
    let host = registry
        .rsplit_once(':')
        .map_or(registry, |(host, _)| host)
        .trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_encryption() {
        for here in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:5000",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "docker.io",
            "localhost.test:5000",
            "127.0.0.1.test",
            "10.0.0.1:5000",
            "0.0.0.0:5000",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
