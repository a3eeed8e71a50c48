//! Those whom gateways ask, as hosts of the test's own: an identity provider over TLS, and authorizers over HTTP and
//! gRPC.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn text(status: u16, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// An identity provider at `https://id.test`.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    /// Who certifies it, in PEM.
    pub(crate) authority: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Whether it says where its endpoints are.
    open: AtomicBool,
    /// What was asked for tokens.
    asked: Mutex<Vec<String>>,
    /// How long tokens are good, in seconds.
    age: Mutex<u32>,
}

impl Provider {
    /// One whose tokens are good for so many seconds.
    pub(crate) async fn start(age: u32) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["id.test".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        *state.age.lock().unwrap() = age;
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    let builder = Builder::new(TokioExecutor::new());
                    let _ended = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            authority: authority.pem(),
            state,
        }
    }

    /// Says where its endpoints are from now on.
    pub(crate) fn open(&self) {
        self.state.open.store(true, Ordering::SeqCst);
    }

    /// What it was asked for tokens, so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        match (head.method.as_str(), head.uri.path()) {
            ("GET", "/.well-known/openid-configuration") if self.open.load(Ordering::SeqCst) => {
                let told = json!({
                    "issuer": "https://id.test",
                    "authorization_endpoint": "https://id.test/authorize",
                    "token_endpoint": "https://id.test/token",
                    "end_session_endpoint": "https://id.test/end",
                });
                text(200, told.to_string())
            }
            ("POST", "/token") => self.tokens(&head.headers, &body),
            _ => text(503, "not now"),
        }
    }

    /// Tokens, for the client `shop` and its secret.
    fn tokens(&self, headers: &HeaderMap, body: &str) -> Answer {
        let mut asked = self.asked.lock().unwrap();
        asked.push(body.to_owned());
        let number = asked.len();
        let client = format!("Basic {}", BASE64_STANDARD.encode("shop:a secret"));
        let is_client = headers
            .get("authorization")
            .is_some_and(|one| *one == *client);
        let is_good = body.contains("code=good") || body.contains("refresh_token=again");
        if !is_client || !is_good {
            return text(400, r#"{"error":"invalid_grant"}"#);
        }
        let tokens = json!({
            "token_type": "Bearer", "access_token": format!("access-{number}"), "id_token": "identity",
            "refresh_token": "again", "expires_in": *self.age.lock().unwrap(),
        });
        let mut answer = text(200, tokens.to_string());
        let kind = HeaderValue::from_static("application/json");
        answer.headers_mut().insert("content-type", kind);
        answer
    }
}

/// An authorizer over HTTP and gRPC: lets `x-user: ann` pass, and tells the endpoint who it is and what it was asked.
pub(crate) async fn authorizer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let service =
                    service_fn(
                        |request| async move { Ok::<_, Infallible>(authorize(request).await) },
                    );
                let builder = Builder::new(TokioExecutor::new());
                let _ended = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

async fn authorize(request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if head.uri.path() == "/envoy.service.auth.v3.Authorization/Check" {
        return check(&body);
    }
    if head.headers.get("x-user").is_none_or(|user| user != "ann") {
        return text(403, "not you");
    }
    let mut answer = text(200, "");
    let told = format!("{}:{}", head.uri.path(), body.len());
    let headers = answer.headers_mut();
    headers.insert("x-known-as", HeaderValue::from_static("Ann"));
    headers.insert("x-told", HeaderValue::from_str(&told).unwrap());
    headers.insert("x-other", HeaderValue::from_static("stays"));
    answer
}

/// A `CheckResponse`, of which the fields are `status` (1), `denied_response` (2) and `ok_response` (3).
fn check(request: &[u8]) -> Answer {
    const PERMISSION_DENIED: u8 = 7;
    let asked = String::from_utf8_lossy(request);
    let is_ann = asked.contains("x-user") && asked.contains("ann");
    let part = |field: u8, content: &[u8]| {
        let mut part = vec![field << 3 | 2, u8::try_from(content.len()).unwrap()];
        part.extend(content);
        part
    };
    let message = if is_ann {
        let header = [part(1, b"x-known-as"), part(2, b"Ann")].concat();
        let option = part(1, &header);
        [part(1, &[]), part(3, &part(2, &option))].concat()
    } else {
        part(1, &[1 << 3, PERMISSION_DENIED])
    };
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}
