//! The authority of this machine: it certifies the names under which gateways are reached here, so that
//! a browser that trusts it speaks to them over TLS.
//!
//! It is made once and kept in a folder of its own, whose key only its owner can read. It can certify
//! names of one domain and nothing else, so that to trust it is to trust it for no more than that.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};

use super::{Error, Result};

const CERTIFICATE: &str = "authority.crt";
const KEY: &str = "authority.key";
const MANAGER: &str = "choreo-gateway";
/// Notes by whom a certificate was made, for what and until when: another is made when it changes.
const MADE: &str = "node.choreo.dev/certificate";
/// How long the authority is good, and each certificate of it.
const AUTHORITY_DAYS: i64 = 3650;
const CERTIFICATE_DAYS: i64 = 90;
/// A certificate is made anew so long before it ends.
const RENEW_DAYS: i64 = 30;
const LOOK_AGAIN: Duration = Duration::from_hours(1);
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What is certified.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The domain; the names directly below it are certified with it.
    pub domain: String,
    /// The namespace of the Secret.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The authority.
pub struct Authority {
    certificate: String,
    key: KeyPair,
    domain: String,
}

impl Authority {
    /// The authority of a folder for a domain, made when there is none.
    pub fn open(folder: &Path, domain: &str, now: Timestamp) -> Result<Self> {
        let failed = |doing: &str, cause: io::Error| Error::Io {
            doing: format!("{doing} {}", folder.display()),
            cause,
        };
        let made = |path: &Path| {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        };
        made(folder).map_err(|cause| failed("create", cause))?;
        let read = |name: &str| match fs::read_to_string(folder.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed("read the authority in", cause)),
        };
        if let (Some(certificate), Some(key)) = (read(CERTIFICATE)?, read(KEY)?) {
            let key = KeyPair::from_pem(&key).map_err(unusable)?;
            return Ok(Self {
                certificate,
                key,
                domain: domain.to_owned(),
            });
        }
        let key = KeyPair::generate().map_err(unusable)?;
        let parameters = parameters_of(domain, now);
        let certificate = parameters.self_signed(&key).map_err(unusable)?.pem();
        // The key first: a certificate without one would not be made again.
        write(&folder.join(KEY), &key.serialize_pem(), 0o600)
            .and_then(|()| write(&folder.join(CERTIFICATE), &certificate, 0o644))
            .map_err(|cause| failed("write the authority to", cause))?;
        Ok(Self {
            certificate,
            key,
            domain: domain.to_owned(),
        })
    }

    /// A certificate for the domain and the names directly below it, with its key, in PEM.
    fn issue(&self, now: Timestamp) -> Result<(String, String)> {
        let names = vec![format!("*.{}", self.domain), self.domain.clone()];
        let mut parameters = CertificateParams::new(names).map_err(unusable)?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, &self.domain);
        span(&mut parameters, now, CERTIFICATE_DAYS);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(unusable)?;
        let issuer = Issuer::new(parameters_of(&self.domain, now), &self.key);
        let certificate = parameters.signed_by(&key, &issuer).map_err(unusable)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// What tells this authority from another.
    fn fingerprint(&self) -> Result<String> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let certificate = certificate.map_err(unusable)?;
        let digest = Sha256::digest(&certificate);
        Ok(digest.iter().take(8).fold(String::new(), |mut text, byte| {
            use std::fmt::Write as _;
            // Writing to a string does not fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The Secret that there should be, if the one there is will not do. One that somebody else made is
    /// left alone.
    fn decide(
        &self,
        known: Option<&Secret>,
        of: &Certified,
        now: Timestamp,
    ) -> Result<Option<Secret>> {
        let by = self.fingerprint()?;
        let note = known.and_then(|secret| secret.metadata.annotations.as_ref()?.get(MADE));
        if known.is_some() && note.is_none() {
            return Ok(None);
        }
        let good = |note: &String| {
            let (maker, until) = note.split_once(' ')?;
            let until: Timestamp = until.parse().ok()?;
            Some(
                maker == by
                    && until.duration_since(now) > SignedDuration::from_hours(24 * RENEW_DAYS),
            )
        };
        if note.and_then(good) == Some(true) {
            return Ok(None);
        }
        let (certificate, key) = self.issue(now)?;
        let until = now + SignedDuration::from_hours(24 * CERTIFICATE_DAYS);
        let data = [
            ("tls.crt", certificate),
            ("tls.key", key),
            ("ca.crt", self.certificate.clone()),
        ];
        let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())));
        Ok(Some(Secret {
            metadata: ObjectMeta {
                name: Some(of.name.clone()),
                namespace: Some(of.namespace.clone()),
                annotations: Some(BTreeMap::from([(MADE.to_owned(), format!("{by} {until}"))])),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(BTreeMap::from(data)),
            ..Secret::default()
        }))
    }
}

/// Keeps a Secret with a certificate of the authority, for ever.
pub async fn certify(client: Client, authority: Authority, of: Certified) -> Infallible {
    let secrets: Api<Secret> = Api::namespaced(client, &of.namespace);
    loop {
        let pause = match renew(&secrets, &authority, &of).await {
            Ok(()) => LOOK_AGAIN,
            Err(error) => {
                tracing::warn!(error, "the gateways' certificate cannot be kept up to date");
                TRY_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(
    secrets: &Api<Secret>,
    authority: &Authority,
    of: &Certified,
) -> std::result::Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let known = secrets.get_opt(&of.name).await.map_err(|e| told(&e))?;
    let wanted = authority.decide(known.as_ref(), of, Timestamp::now());
    if let Some(wanted) = wanted.map_err(|e| told(&e))? {
        let params = PatchParams::apply(MANAGER).force();
        let written = secrets
            .patch(&of.name, &params, &Patch::Apply(&wanted))
            .await;
        written.map_err(|e| told(&e))?;
    }
    Ok(())
}

/// What the authority says of itself. Made anew it names the same issuer.
fn parameters_of(domain: &str, now: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let name = format!("Choreo on this machine ({domain})");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    span(&mut parameters, now, AUTHORITY_DAYS);
    parameters
}

/// Valid from the day before, as clocks differ, for so many days.
fn span(parameters: &mut CertificateParams, now: Timestamp, days: i64) {
    let day = |days: i64| {
        let at = now + SignedDuration::from_hours(24 * days);
        let date = at.to_zoned(TimeZone::UTC).date();
        let part = |number: i8| number.unsigned_abs();
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    parameters.not_before = day(-1);
    parameters.not_after = day(days);
}

/// Writes a file that only those may read whom `mode` says.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Authority {
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certified() -> Certified {
        Certified {
            domain: "a.test".to_owned(),
            namespace: "plane".to_owned(),
            name: "tls".to_owned(),
        }
    }

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("authority");
        let now = Timestamp::now();
        let first = Authority::open(&folder, "a.test", now).unwrap();
        let again = Authority::open(&folder, "a.test", now).unwrap();
        assert_eq!(first.certificate, again.certificate);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(KEY)), 0o600);
    }

    #[test]
    fn certificates_are_renewed_in_time_and_those_of_others_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let authority = Authority::open(home.path(), "a.test", now).unwrap();
        let decide =
            |known: Option<&Secret>, now| authority.decide(known, &certified(), now).unwrap();
        let made = decide(None, now).unwrap();
        assert!(decide(Some(&made), now).is_none());
        let later = |days: i64| now + SignedDuration::from_hours(24 * days);
        assert!(decide(Some(&made), later(50)).is_none());
        assert!(decide(Some(&made), later(70)).is_some());
        assert!(decide(Some(&Secret::default()), later(70)).is_none());
        // Another authority: what this one certified is not good any more.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Authority::open(elsewhere.path(), "a.test", now).unwrap();
        assert!(
            other
                .decide(Some(&made), &certified(), now)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn whoever_trusts_it_trusts_names_of_its_domain() {
        use rustls::{client::WebPkiServerVerifier, client::danger::ServerCertVerifier as _};
        let home = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let authority = Authority::open(home.path(), "a.test", now).unwrap();
        let (certificate, _) = authority.issue(now).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.into());
        let verifier = verifier.build().unwrap();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let check = |name: &str| {
            let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
            let now = rustls::pki_types::UnixTime::now();
            verifier
                .verify_server_cert(&certificate, &[], &name, &[], now)
                .is_ok()
        };
        assert!(check("www.a.test"));
        assert!(check("a.test"));
        assert!(!check("b.test"));
    }
}
