//! What issuers say of themselves (`OpenID` Connect Discovery 1.0): policies that do not say where their provider's
//! endpoints are have it asked. It is asked by the platform, in its own time: neither Envoy nor other policies wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::outside::{Bounds, Reach, connect};

/// Where below an issuer its description is.
const PATH: &str = "/.well-known/openid-configuration";
/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest description that is read.
const LONGEST: usize = 64 << 10;
/// How many issuers are asked: together, and at a time.
const MOST: usize = 256;
const AT_ONCE: usize = 4;
/// When an issuer is asked again: one that answered, and one that did not, for the first time and at last.
const FRESH: Duration = Duration::from_hours(12);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// What an issuer says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Issuer {
    /// Its own name: that by which it was asked.
    #[serde(rename = "issuer")]
    pub name: String,
    /// Where people sign in.
    pub authorization_endpoint: String,
    /// Where tokens are had.
    pub token_endpoint: String,
    /// Where people sign out, if they can.
    pub end_session_endpoint: Option<String>,
}

/// What is known of issuers: what they say, or why they do not.
pub type Issuers = BTreeMap<String, Result<Issuer, String>>;

/// Why an issuer does not say anything.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it is not an https URL without a query or fragment")]
    Name,
    #[error("{0}")]
    Connection(#[from] io::Error),
    #[error("{0}")]
    Protocol(#[from] hyper::Error),
    #[error("it did not answer in {} s", PATIENCE.as_secs())]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer is longer than {} KiB", LONGEST >> 10)]
    Length,
    #[error("its answer is no description of an issuer: {0}")]
    Form(#[from] serde_json::Error),
    #[error("its answer is about another issuer, {0:?}")]
    Other(String),
}

/// Who asks issuers.
pub(super) struct Asker {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    asked: BTreeMap<String, AbortHandle>,
}

struct Shared {
    reach: Reach,
    roots: Arc<RootCertStore>,
    known: Mutex<Issuers>,
    permits: Semaphore,
    changed: Arc<Notify>,
}

impl Asker {
    /// Asks nobody yet; trusts `authorities`, in PEM, and tells of news by `changed`.
    pub(super) fn new(reach: Reach, authorities: Option<&str>, changed: Arc<Notify>) -> Self {
        let shared = Shared {
            reach,
            roots: Arc::new(roots(authorities)),
            known: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
            changed,
        };
        Self {
            shared: Arc::new(shared),
            tasks: JoinSet::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Asks exactly these from now on.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<&String>) {
        while self.tasks.try_join_next().is_some() {}
        self.asked.retain(|issuer, task| {
            let stays = wanted.contains(issuer);
            if !stays {
                task.abort();
            }
            stays
        });
        self.shared
            .known()
            .retain(|issuer, _| wanted.contains(issuer));
        for issuer in wanted {
            if self.asked.contains_key(*issuer) {
                continue;
            }
            if self.asked.len() >= MOST {
                let why = format!("{MOST} other issuers are asked already");
                self.shared.known().insert((*issuer).clone(), Err(why));
                continue;
            }
            let asking = keep(Arc::clone(&self.shared), (*issuer).clone());
            self.asked
                .insert((*issuer).clone(), self.tasks.spawn(asking));
        }
    }

    /// What is known.
    pub(super) fn known(&self) -> Issuers {
        self.shared.known().clone()
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Issuers> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer. What an issuer said once holds until it says something else.
    fn note(&self, issuer: &str, told: Result<Issuer, String>) {
        let mut known = self.known();
        let before = known.get(issuer);
        let holds = told.is_err() && matches!(before, Some(Ok(_)));
        if holds || before == Some(&told) {
            return;
        }
        known.insert(issuer.to_owned(), told);
        drop(known);
        self.changed.notify_one();
    }

    async fn ask(&self, issuer: &str) -> Result<Issuer, Refusal> {
        let uri: Uri = issuer.parse().map_err(|_| Refusal::Name)?;
        let (Some("https"), Some(host), None, false) = (
            uri.scheme_str(),
            uri.host(),
            uri.query(),
            issuer.contains('#'),
        ) else {
            return Err(Refusal::Name);
        };
        let port = uri.port_u16().unwrap_or(443);
        let stream = connect((host, port), Bounds::Others, &self.reach).await?;
        let stream = secured(stream, host, Arc::clone(&self.roots)).await?;
        let path = format!("{}{PATH}", uri.path().trim_end_matches('/'));
        let authority = uri.authority().map_or(host, http::uri::Authority::as_str);
        let answer = get(stream, authority, &path).await?;
        let told: Issuer = serde_json::from_slice(&answer)?;
        if told.name != issuer {
            return Err(Refusal::Other(told.name));
        }
        Ok(told)
    }
}

/// Asks an issuer again and again.
async fn keep(shared: Arc<Shared>, issuer: String) {
    let mut pause = FIRST_PAUSE;
    loop {
        let told = {
            // It is never closed.
            let _permit = shared.permits.acquire().await;
            tokio::time::timeout(PATIENCE, shared.ask(&issuer)).await
        };
        let told = told.map_err(Refusal::from).flatten();
        let rest = match &told {
            Ok(_) => FRESH,
            Err(error) => {
                tracing::debug!(issuer, %error, "an issuer does not say where its endpoints are");
                pause
            }
        };
        pause = match &told {
            Ok(_) => FIRST_PAUSE,
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        shared.note(&issuer, told.map_err(|error| error.to_string()));
        tokio::time::sleep(rest).await;
    }
}

async fn get(stream: TlsStream<TcpStream>, authority: &str, path: &str) -> Result<Bytes, Refusal> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Refusal::Name)?;
    let asking = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(Refusal::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        Ok(body.map_err(|_| Refusal::Length)?.to_bytes())
    };
    tokio::select! {
        answer = asking => answer,
        // Its end is heard of by whoever asks as well.
        Err(error) = connection => Err(error.into()),
    }
}

/// What certificates are held against. Without any, no issuer is believed.
fn roots(authorities: Option<&str>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let pem = authorities.unwrap_or_default().as_bytes();
    let found = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let _counts = roots.add_parsable_certificates(found);
    roots
}

async fn secured(
    stream: TcpStream,
    host: &str,
    roots: Arc<RootCertStore>,
) -> Result<TlsStream<TcpStream>, Refusal> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Refusal::Name)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(name, stream).await?)
}
