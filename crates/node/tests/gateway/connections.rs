//! Listeners that end TLS or pass connections on, and TLS towards backends.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::home::{Home, Reply, expect, over};

/// An authority for one test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        // Of its own, or certificates of it look as if they had signed themselves.
        let name = &mut parameters.distinguished_name;
        name.push(rcgen::DnType::CommonName, "authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    /// A certificate for a name, and its key, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A Secret with a certificate for a name.
    fn secret(&self, secret: &str, name: &str) -> String {
        let (certificate, key) = self.issue(name);
        let encoded = |text: String| BASE64_STANDARD.encode(text);
        format!(
            "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{namespace: plane, name: \
             {secret}}}\ndata: {{tls.crt: {}, tls.key: {}}}\n",
            encoded(certificate),
            encoded(key)
        )
    }

    fn client(&self, certificate: Option<(String, String)>, http2: bool) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = parsed(&certificate, &key);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        if http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        TlsConnector::from(Arc::new(config))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn parsed(
    certificate: &str,
    key: &str,
) -> (
    Vec<rustls::pki_types::CertificateDer<'static>>,
    PrivateKeyDer<'static>,
) {
    let chain = rustls::pki_types::CertificateDer::pem_slice_iter(certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    (chain.map(Result::unwrap).collect(), key)
}

/// Sends a request over TLS, for a name.
async fn secured(
    address: SocketAddr,
    connector: &TlsConnector,
    name: &str,
    request: &str,
) -> std::io::Result<Reply> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = connector.connect(name, stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    over(TokioIo::new(stream), request, http2).await
}

/// [`secured`], until it is answered with a status.
async fn secured_until(
    address: SocketAddr,
    connector: &TlsConnector,
    (name, request): (&str, &str),
    status: u16,
) -> Reply {
    let wait = async {
        loop {
            match secured(address, connector, name, request).await {
                Ok(reply) if reply.status == status => return reply,
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("{request} for {name} was never answered with {status}"))
}

/// A backend that ends TLS itself and answers with a word; whoever asks must show a certificate of an authority,
/// if there is one.
async fn secured_backend(
    certificate: (String, String),
    word: &'static str,
    clients: Option<&Authority>,
) -> SocketAddr {
    let (chain, key) = parsed(&certificate.0, &certificate.1);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut asked = [0; 4096];
                let _length = stream.read(&mut asked).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{word}",
                    word.len()
                );
                let _sent = stream.write_all(answer.as_bytes()).await;
                let _ended = stream.shutdown().await;
            });
        }
    });
    address
}

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}]
  listeners:
    - {name: any, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: any}]}, allowedRoutes: &all {namespaces: {from: All}}}
    - {name: shop, hostname: shop.test, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: shop}]}, allowedRoutes: *all}
    - {name: pass, hostname: pass.test, port: 8443, protocol: TLS, tls: {mode: Passthrough}, allowedRoutes: *all}
    - {name: end, hostname: end.test, port: 8443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: end}]}, allowedRoutes: *all}
    - {name: tcp, port: 9000, protocol: TCP, allowedRoutes: *all}
    - {name: http, port: 8080, protocol: HTTP, allowedRoutes: *all}
";

const ROUTES: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: web}
spec:
  parentRefs: [{name: g, namespace: plane, sectionName: any}, {name: g, namespace: plane, sectionName: shop}]
  rules: [{backendRefs: [{name: one, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {namespace: cell, name: pass}
spec:
  parentRefs: [{name: g, namespace: plane, sectionName: pass}]
  hostnames: [pass.test]
  rules: [{backendRefs: [{name: secured, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {namespace: cell, name: end}
spec:
  parentRefs: [{name: g, namespace: plane, sectionName: end}]
  hostnames: [end.test]
  rules: [{backendRefs: [{name: one, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {namespace: cell, name: tcp}
spec:
  parentRefs: [{name: g, namespace: plane, sectionName: tcp}]
  rules: [{backendRefs: [{name: one, port: 80}]}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_have_certificates_that_change_without_a_restart() {
    let Some(home) = Home::start(8).await else {
        return;
    };
    let authority = Authority::new();
    home.backend("one").await;
    let pass = secured_backend(authority.issue("pass.test"), "passed", None).await;
    home.service("secured", pass).await;
    for (secret, name) in [
        ("any", "any.test"),
        ("shop", "shop.test"),
        ("end", "end.test"),
    ] {
        home.apply(&authority.secret(secret, name)).await;
    }
    home.apply(GATEWAY).await;
    home.apply(ROUTES).await;
    let gateway = home.at(1, 8443);
    let client = authority.client(None, false);
    for (name, host, status, body) in [
        ("any.test", "any.test", 200, "one GET"),
        ("shop.test", "shop.test", 200, "one GET"),
        // The connection was made for another listener.
        ("any.test", "shop.test", 421, ""),
        ("shop.test", "any.test", 421, ""),
        ("pass.test", "pass.test", 200, "passed"),
        ("end.test", "end.test", 200, "one GET"),
    ] {
        let request = format!("GET http://{host}/");
        let reply = secured_until(gateway, &client, (name, &request), status).await;
        assert!(reply.body.starts_with(body), "{name} {host}: {reply:?}");
    }
    let http2 = authority.client(None, true);
    let reply = secured_until(
        gateway,
        &http2,
        ("shop.test", "GET https://shop.test/"),
        200,
    )
    .await;
    assert!(reply.body.contains("x-forwarded-proto: https"), "{reply:?}");
    expect(home.at(1, 9000), "GET http://whoever.test/", 200).await;

    // Another authority's certificate takes the place of the first one's.
    let other = Authority::new();
    home.apply(&other.secret("shop", "shop.test")).await;
    let client = other.client(None, false);
    secured_until(
        gateway,
        &client,
        ("shop.test", "GET http://shop.test/"),
        200,
    )
    .await;
}

const CHECKED: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: g}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.1}]
  tls:
    frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: authority}]}}}
    backend: {clientCertificateRef: {name: shown}}
  listeners:
    - {name: any, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: any}]}, allowedRoutes: &all {namespaces: {from: All}}}
    - {name: http, port: 8080, protocol: HTTP, allowedRoutes: *all}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: plane, name: bare}
spec:
  gatewayClassName: choreo
  addresses: [{value: NET.2}]
  listeners: [{name: http, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: cell, name: web}
spec:
  parentRefs: [{name: g, namespace: plane}, {name: bare, namespace: plane}]
  rules:
    - {matches: [{path: {value: /strict}}], backendRefs: [{name: strict, port: 80}]}
    - {matches: [{path: {value: /good}}], backendRefs: [{name: good, port: 80}]}
    - {matches: [{path: {value: /bad}}], backendRefs: [{name: bad, port: 80}]}
    - {backendRefs: [{name: one, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {namespace: cell, name: checked}
spec:
  targetRefs: [{group: '', kind: Service, name: good}, {group: '', kind: Service, name: bad}, {group: '', kind: Service, name: strict}]
  validation: {hostname: good.test, caCertificateRefs: [{group: '', kind: ConfigMap, name: authority}]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_show_certificates_and_backends_are_checked() {
    let Some(home) = Home::start(9).await else {
        return;
    };
    let authority = Authority::new();
    let stranger = Authority::new();
    home.backend("one").await;
    let good = secured_backend(authority.issue("good.test"), "good", None).await;
    home.service("good", good).await;
    let bad = secured_backend(stranger.issue("good.test"), "bad", None).await;
    home.service("bad", bad).await;
    let strict = secured_backend(authority.issue("good.test"), "strict", Some(&authority)).await;
    home.service("strict", strict).await;
    home.apply(&authority.secret("any", "any.test")).await;
    home.apply(&authority.secret("shown", "gateway")).await;
    let pem = authority.0.pem().replace('\n', "\n    ");
    for namespace in ["plane", "cell"] {
        home.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{namespace: {namespace}, name: \
             authority}}\ndata:\n  ca.crt: |\n    {pem}\n"
        ))
        .await;
    }
    home.apply(CHECKED).await;
    let gateway = home.at(1, 8443);
    let known = authority.client(Some(authority.issue("client")), false);
    secured_until(gateway, &known, ("any.test", "GET http://any.test/"), 200).await;
    let unknown = authority.client(Some(stranger.issue("client")), false);
    let nobody = authority.client(None, false);
    for client in [unknown, nobody] {
        let refused = secured(gateway, &client, "any.test", "GET http://any.test/").await;
        assert!(refused.is_err(), "{refused:?}");
    }
    let plain = home.at(1, 8080);
    let reply = expect(plain, "GET http://any.test/good", 200).await;
    assert_eq!(reply.body, "good");
    expect(plain, "GET http://any.test/bad", 503).await;
    // One Gateway shows who it is, the other has nothing to show.
    let reply = expect(plain, "GET http://any.test/strict", 200).await;
    assert_eq!(reply.body, "strict");
    let bare = home.at(2, 8080);
    expect(bare, "GET http://any.test/good", 200).await;
    expect(bare, "GET http://any.test/strict", 503).await;
}
