//! Who the server is and who may talk to it: a certificate authority, a server certificate, the
//! administrator's token and the key that signs tokens of service accounts, kept in the data folder.

mod client;

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use rand::RngExt as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::auth::token;

/// Names and addresses under which the server is reached.
const NAMES: [&str; 6] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
];
/// Life of the authority.
const AUTHORITY_YEARS: i32 = 10;
/// Life of the server's certificate.
const SERVER_YEARS: i32 = 1;
/// A certificate that ends sooner than this is renewed.
const RENEW_DAYS: i64 = 30;

/// Why credentials cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "named by its module: `credentials::Error`"
)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what this program wrote.
    #[error("{} is damaged ({why}): remove it, and new credentials are made", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificates cannot be used for TLS.
    #[error("the certificates cannot be used: {0}")]
    Tls(String),
    /// The key of service accounts is none that can sign.
    #[error("the key that signs tokens of service accounts cannot be used: {0}")]
    Accounts(String),
}

/// Certificates and the administrator's token.
#[derive(Clone, Deserialize, Serialize)]
pub struct Credentials {
    /// PEM.
    authority: String,
    authority_key: String,
    authority_ends: Date,
    certificate: String,
    key: String,
    ends: Date,
    token: String,
    /// What signs tokens of service accounts, as PEM. It is made once: whoever trusts the tokens knows
    /// its public half. Folders of earlier versions have none.
    #[serde(default)]
    accounts_key: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys and the token do not belong in logs.
        formatter
            .debug_struct("Credentials")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the credentials of `folder`, making those that are missing or about to expire.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, Error> {
        let path = folder.join("credentials.json");
        let today = now.to_zoned(TimeZone::UTC).date();
        let known = read(&path)?;
        let current = match &known {
            Some(known) if soon(known.authority_ends, today) => Self {
                accounts_key: known.accounts_key.clone(),
                ..Self::make(today, &known.token)?
            },
            Some(known) if soon(known.ends, today) => known.renewed(today)?,
            Some(known) if known.accounts_key.is_some() => return Ok(known.clone()),
            Some(known) => known.clone(),
            None => Self::make(today, &draw_token())?,
        };
        let current = current.with_accounts_key()?;
        std::fs::create_dir_all(folder).map_err(|source| Error::File {
            path: folder.into(),
            source,
        })?;
        current.write(&path)?;
        Ok(current)
    }

    fn make(today: Date, token: &str) -> Result<Self, Error> {
        let ends = later(today, AUTHORITY_YEARS);
        let key = KeyPair::generate()?;
        let authority = authority_parameters(today, ends)?.self_signed(&key)?;
        let bare = Self {
            authority: authority.pem(),
            authority_key: key.serialize_pem(),
            authority_ends: ends,
            certificate: String::new(),
            key: String::new(),
            ends: today,
            token: token.to_owned(),
            accounts_key: None,
        };
        bare.renewed(today)
    }

    /// The same with a key that signs tokens of service accounts, if there was none.
    fn with_accounts_key(mut self) -> Result<Self, Error> {
        if self.accounts_key.is_none() {
            self.accounts_key = Some(KeyPair::generate()?.serialize_pem());
        }
        Ok(self)
    }

    /// The same authority and token with a new server certificate.
    fn renewed(&self, today: Date) -> Result<Self, Error> {
        let ends = later(today, SERVER_YEARS).min(self.authority_ends);
        let mut parameters = CertificateParams::new(NAMES.map(str::to_owned))?;
        span(&mut parameters, today, ends);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "choreo");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, key) = self.signed(parameters)?;
        Ok(Self {
            certificate,
            key,
            ends,
            ..self.clone()
        })
    }

    /// Writes beside and renames, so a crash leaves the old file or the new one.
    fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::File {
            path: path.into(),
            source,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let beside = path.with_extension("json.new");
        let mut file = create(&beside).map_err(failed)?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(failed)
    }

    /// The bearer token of the administrator.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The certificate authority, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What signs tokens of service accounts.
    pub(crate) fn accounts(&self) -> Result<token::Issuer, Error> {
        let pem = self.accounts_key.as_deref().unwrap_or_default();
        token::Issuer::new(pem).map_err(Error::Accounts)
    }

    /// A certificate and its key (PEM) by which the server knows `user`, a member of
    /// `groups`, for a number of days from `now` on.
    pub fn certify(
        &self,
        user: &str,
        groups: &[String],
        now: Timestamp,
        days: i64,
    ) -> Result<(String, String), Error> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let key = KeyPair::generate()?;
        let request = client::Request {
            user,
            groups,
            key: &key,
            // Clocks differ.
            from: today.yesterday().unwrap_or(today),
            ends: today.saturating_add(days.days()).min(self.authority_ends),
        };
        let authority_key = KeyPair::from_pem(&self.authority_key)?;
        let certificate = request.sign(&self.authority, &authority_key)?;
        Ok((certificate, key.serialize_pem()))
    }

    /// A certificate of the authority for a new key.
    fn signed(&self, mut parameters: CertificateParams) -> Result<(String, String), Error> {
        let authority = authority_parameters(self.authority_ends, self.authority_ends)?;
        let issuer = Issuer::new(authority, KeyPair::from_pem(&self.authority_key)?);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// A kubeconfig for the server at `url` (`https://127.0.0.1:6443`). It holds the token.
    pub fn kubeconfig(&self, url: &str) -> String {
        self.kubeconfig_of(url, "admin", &json!({"token": self.token}))
    }

    /// A kubeconfig for whoever is known by a certificate of [`Self::certify`].
    pub fn kubeconfig_by(&self, url: &str, user: &str, certificate: &str, key: &str) -> String {
        let encode = |text| general_purpose::STANDARD.encode(text);
        let shown = json!({
            "client-certificate-data": encode(certificate), "client-key-data": encode(key),
        });
        self.kubeconfig_of(url, user, &shown)
    }

    fn kubeconfig_of(&self, url: &str, user: &str, shown: &Value) -> String {
        let authority = general_purpose::STANDARD.encode(&self.authority);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "choreo",
                "cluster": {"server": url, "certificate-authority-data": authority},
            }],
            "users": [{"name": user, "user": shown}],
            "contexts": [{
                "name": "choreo",
                "context": {"cluster": "choreo", "user": user, "namespace": "default"},
            }],
            "current-context": "choreo",
        });
        // A tree of strings always serialises; JSON is YAML too.
        serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string())
    }

    pub(crate) fn tls(&self) -> Result<rustls::ServerConfig, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|error| failed(&error))?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes())
            .map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|error| failed(&error))?;
        // A certificate is one way to be known; who shows none is asked for a token.
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|error| failed(&error))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate], key)
            .map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Option<Credentials>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Damaged {
                path: path.into(),
                why: error.to_string(),
            }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File {
            path: path.into(),
            source,
        }),
    }
}

/// Makes a file that only its owner can read.
fn create(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn authority_parameters(today: Date, ends: Date) -> Result<CertificateParams, Error> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    span(&mut parameters, today, ends);
    parameters
        .distinguished_name
        .push(DnType::CommonName, "choreo authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(parameters)
}

/// Valid from the day before, as clocks differ.
fn span(parameters: &mut CertificateParams, today: Date, ends: Date) {
    let date = |date: Date| {
        let part = |number: i8| number.unsigned_abs();
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    parameters.not_before = date(today.yesterday().unwrap_or(today));
    parameters.not_after = date(ends);
}

fn later(today: Date, years: i32) -> Date {
    today.saturating_add(years.years())
}

fn soon(ends: Date, today: Date) -> bool {
    today.saturating_add(RENEW_DAYS.days()) >= ends
}

fn draw_token() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill(&mut bytes);
    general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn kept_until_about_to_expire_then_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let first = Credentials::open(folder.path(), at("2030-01-01T00:00:00Z")).unwrap();
        let mode = folder
            .path()
            .join("credentials.json")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Credentials::open(folder.path(), at("2030-06-01T00:00:00Z")).unwrap();
        assert_eq!(first.certificate, again.certificate);
        let renewed = Credentials::open(folder.path(), at("2030-12-20T00:00:00Z")).unwrap();
        assert_ne!(first.certificate, renewed.certificate);
        assert_eq!(first.authority, renewed.authority);
        assert_eq!(first.token, renewed.token);
        assert_eq!(first.accounts_key, renewed.accounts_key);
        renewed.tls().unwrap();
        let late = Credentials::open(folder.path(), at("2041-01-01T00:00:00Z")).unwrap();
        assert_ne!(first.authority, late.authority);
        assert_eq!(first.accounts_key, late.accounts_key);
    }

    #[test]
    fn a_folder_of_an_earlier_version_gets_a_key_of_accounts_once() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2030-01-01T00:00:00Z");
        let earlier = Credentials {
            accounts_key: None,
            ..Credentials::open(folder.path(), now).unwrap()
        };
        earlier
            .write(&folder.path().join("credentials.json"))
            .unwrap();
        let first = Credentials::open(folder.path(), now).unwrap();
        let again = Credentials::open(folder.path(), now).unwrap();
        assert!(first.accounts_key.is_some());
        assert_eq!(first.accounts_key, again.accounts_key);
        assert_eq!(first.authority, earlier.authority);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("credentials.json"), "{").unwrap();
        let error = Credentials::open(folder.path(), at("2030-01-01T00:00:00Z")).unwrap_err();
        assert!(
            error.to_string().contains("credentials.json is damaged"),
            "{error}"
        );
    }
}
