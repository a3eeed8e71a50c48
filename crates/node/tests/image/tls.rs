//! Registries that speak TLS with a certificate of an authority of one's own.
//!
//! Which authorities are trusted is read from the environment, so that one test starts itself again
//! with another one.

use std::{fs, process::Command};

use axum::http::StatusCode;
use choreo_node::image::{Credentials, Error, PullPolicy, Store};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio_rustls::rustls::{ServerConfig, pki_types::PrivateKeyDer};

use super::{
    registry::{Auth, MANIFEST, PASSWORD, Registry, USER, config, gzip, manifest},
    store,
};

const LAYER: &[u8] = b"the layer";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Tells the test started again where its authority is.
const TRUSTED: &str = "SSL_CERT_FILE";
const KEY: &str = "CHOREO_TEST_AUTHORITY_KEY";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(key: KeyPair) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key).unwrap()
}

/// A certificate for the loopback address.
fn certificate(authority: &Authority) -> ServerConfig {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let signed = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], key)
        .unwrap()
}

fn image(registry: &Registry) -> (Value, String) {
    let config = config(&[LAYER]);
    registry.blob(config.to_string());
    registry.blob(gzip(LAYER));
    let manifest = manifest(&config, &[(TAR_GZIP, &gzip(LAYER))]);
    let digest = registry.document("shop/web:1", MANIFEST, &manifest);
    (manifest, digest)
}

async fn pull(store: &Store, registry: &Registry) -> Result<String, Error> {
    let reference = registry.reference("shop/web:1");
    let credentials = Some(Credentials::basic(USER, PASSWORD));
    let image = store.resolve(&reference, PullPolicy::IfNotPresent, credentials);
    image.await.map(|image| image.digest)
}

#[tokio::test]
async fn an_authority_nobody_trusts() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(KeyPair::generate().unwrap());
    let registry = Registry::start_tls(Auth::None, certificate(&authority)).await;
    image(&registry);
    let refused = pull(&store(home.path()), &registry)
        .await
        .unwrap_err()
        .to_string();
    for words in ["UnknownIssuer", "SSL_CERT_FILE=", "shop/web:1"] {
        assert!(refused.contains(words), "{refused}");
    }
    assert_eq!(registry.requests(""), 0);
}

#[test]
fn an_authority_of_ones_own() {
    let home = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let secret = key.serialize_pem();
    let trusted = home.path().join("authorities.pem");
    fs::write(&trusted, authority(key).pem()).unwrap();
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::started_again"])
        .env(TRUSTED, &trusted)
        .env(KEY, secret)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// Where the authority is trusted: tokens, passwords, and blobs that are elsewhere.
#[tokio::test]
async fn started_again() {
    let Ok(key) = std::env::var(KEY) else {
        return; // `an_authority_of_ones_own` starts it with one.
    };
    let authority = authority(KeyPair::from_pem(&key).unwrap());
    for auth in [Auth::None, Auth::Basic, Auth::Bearer] {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::start_tls(auth, certificate(&authority)).await;
        let (_, digest) = image(&registry);
        assert_eq!(pull(&store(home.path()), &registry).await.unwrap(), digest);
    }
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::start_tls(Auth::Basic, certificate(&authority)).await;
    let (_, digest) = image(&registry);
    let other = Registry::start_tls(Auth::None, certificate(&authority)).await;
    image(&other);
    registry.redirect_blobs(&other);
    assert_eq!(pull(&store(home.path()), &registry).await.unwrap(), digest);
    assert_eq!(other.requests("/blobs/"), 2);
}

#[tokio::test]
async fn a_registry_that_is_busy_serves_later() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let registry = Registry::start(Auth::None).await;
    let (_, digest) = image(&registry);
    for busy in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        registry.refuse(Some(busy));
        let refused = pull(&store, &registry).await;
        assert!(
            matches!(&refused, Err(Error::Unreachable { reason, .. }) if reason.contains(busy.as_str())),
            "{refused:?}"
        );
        assert!(store.list().unwrap().is_empty());
    }
    registry.refuse(None);
    assert_eq!(pull(&store, &registry).await.unwrap(), digest);
}
