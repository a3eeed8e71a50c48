//! A gateway over a real API and a real Envoy, with backends on the loopback address: what a scenario
//! applies objects to and sends requests through.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use choreo_apiserver::{AllowAll, NoPods, Server};
use choreo_node::{
    gateway::{Settings, bind, run},
    outside::Reach,
    service::egress::Egress,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::{envoy, machine::Children};

const PATIENCE: Duration = Duration::from_secs(10);

/// A running gateway.
pub(crate) struct Home {
    pub(crate) client: Client,
    pub(crate) folder: PathBuf,
    /// The gateways' own loopback addresses begin with these three numbers, so that tests do not meet.
    pub(crate) net: [u8; 3],
    /// Where the host listens from the start.
    pub(crate) fixed: SocketAddr,
    pub(crate) pid: Arc<Mutex<Option<u32>>>,
    /// Requests that reached backends, by backend.
    pub(crate) seen: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    gateway: tokio::task::JoinHandle<choreo_node::gateway::Result<()>>,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.gateway.abort();
    }
}

impl Home {
    /// Starts one; `None` where there is no Envoy. `number` is the test's own.
    pub(crate) async fn start(number: u8) -> Option<Self> {
        Self::start_with(number, |_| {}).await
    }

    /// Starts one with other settings.
    pub(crate) async fn start_with(number: u8, change: impl FnOnce(&mut Settings)) -> Option<Self> {
        static TAKEN: Mutex<BTreeSet<u8>> = Mutex::new(BTreeSet::new());
        let is_free = TAKEN.lock().unwrap().insert(number);
        assert!(
            is_free,
            "two tests have the number {number}, and with it the addresses"
        );
        let envoy = envoy()?;
        let home = tempfile::tempdir().unwrap();
        let server = Server::open(
            home.path().join("api").as_path(),
            choreo_node::definitions(),
            Arc::new(AllowAll),
            Arc::new(NoPods),
        )
        .unwrap();
        let client = server.client();
        let folder = home.path().join("gateway");
        let mut settings = Settings {
            envoy,
            folder: folder.clone(),
            listen: BTreeMap::from([(19080, "127.0.0.1:0".parse().unwrap())]),
            more_ports: BTreeSet::new(),
            reach: Reach {
                loopback: true,
                ..Reach::default()
            },
            authorities: None,
        };
        change(&mut settings);
        let bound = bind(settings).unwrap();
        let fixed = bound.addresses().next().unwrap().1;
        let machine = Arc::new(Children::new());
        let pid = Arc::clone(&machine.pid);
        let process = std::process::id().to_be_bytes();
        let home = Self {
            gateway: tokio::spawn(run(client.clone(), machine, bound, Egress::default())),
            client,
            folder,
            net: [127, 0xc0 | number, process[3]],
            fixed,
            pid,
            seen: Arc::default(),
            _server: server,
            _folder: home,
        };
        for name in ["plane", "cell", "other"] {
            let labels = json!({"name": name});
            let namespace = json!({"metadata": {"name": name, "labels": labels}});
            home.apply_one("v1", "Namespace", namespace).await;
        }
        Some(home)
    }

    /// An address of this home.
    pub(crate) fn at(&self, last: u8, port: u16) -> SocketAddr {
        let [a, b, c] = self.net;
        (IpAddr::from([a, b, c, last]), port).into()
    }

    /// Applies objects in YAML; `NET.` stands for the first three numbers of addresses: no key or certificate
    /// says that by chance.
    pub(crate) async fn apply(&self, text: &str) {
        let net = self.net.map(|n| n.to_string()).join(".");
        let text = text.replace("NET.", &format!("{net}."));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for mut object in objects {
            let version = object["apiVersion"].as_str().unwrap().to_owned();
            let kind = object["kind"].as_str().unwrap().to_owned();
            object.as_object_mut().unwrap().remove("status");
            self.apply_one(&version, &kind, object).await;
        }
    }

    async fn apply_one(&self, version: &str, kind: &str, mut object: Value) {
        object["apiVersion"] = json!(version);
        object["kind"] = json!(kind);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("test").force();
        let api = self.api(version, kind, object["metadata"]["namespace"].as_str());
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    pub(crate) fn api(
        &self,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let mut plural = format!("{}s", kind.to_lowercase());
        if let Some(stem) = plural.strip_suffix("ys").filter(|_| kind != "Gateway") {
            plural = format!("{stem}ies");
        } else if kind == "GatewayClass" {
            plural.push_str("es");
        }
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// A Service of namespace `cell` with a backend that answers what it was asked, and its own name.
    pub(crate) async fn backend(&self, name: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (owned, seen) = (name.to_owned(), Arc::clone(&self.seen));
        tokio::spawn(async move { serve(listener, owned, seen).await });
        self.service(name, address).await;
        address
    }

    /// A Service of namespace `cell` that leads to an address.
    pub(crate) async fn service(&self, name: &str, address: SocketAddr) {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{namespace: cell, name: {name}}}\nspec:\n  ports: \
             [{{name: http, port: 80}}, {{name: h2c, port: 81, appProtocol: kubernetes.io/h2c}}]\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nmetadata: {{namespace: \
             cell, name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}\nports: [{{name: http, \
             port: {port}}}, {{name: h2c, port: {port}}}]\nendpoints: [{{addresses: [{ip}], conditions: \
             {{ready: true}}}}]\n",
            port = address.port(),
            ip = address.ip(),
        );
        self.apply(&text).await;
    }

    /// How many requests of a path a backend has seen.
    pub(crate) fn count(&self, backend: &str, path: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        let seen = seen.get(backend).into_iter().flatten();
        seen.filter(|p| p.as_str() == path).count()
    }

    /// The status of an object, once it satisfies a condition.
    pub(crate) async fn status(
        &self,
        (version, kind): (&str, &str),
        (namespace, name): (&str, &str),
        good: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = self.api(version, kind, Some(namespace));
        let wait = async {
            loop {
                let object = api.get(name).await.unwrap();
                let status = object.data["status"].clone();
                if good(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        let Ok(status) = found else {
            panic!(
                "{kind} {name}: {}",
                api.get(name).await.unwrap().data["status"]
            );
        };
        status
    }
}

/// Answers with its name and what it was asked. A path `/status/N` is answered with that status, `/slow`
/// after a while, and `/flaky/N` fails N times for each value of `x-id`.
async fn serve(
    listener: TcpListener,
    name: String,
    seen: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (name, seen) = (name.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (name, seen) = (name.clone(), Arc::clone(&seen));
                async move { Ok::<_, Infallible>(answer(request, name, &seen).await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ended = builder
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    name: String,
    seen: &Mutex<BTreeMap<String, Vec<String>>>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let (before, mut text) = {
        let mut seen = seen.lock().unwrap();
        let paths = seen.entry(name.clone()).or_default();
        paths.push(path.clone());
        let before = paths.iter().filter(|p| **p == path).count() - 1;
        (
            before,
            format!("{name} {} {}", request.method(), request.uri()),
        )
    };
    for (header, value) in request.headers() {
        text.extend(["\n", header.as_str(), ": ", value.to_str().unwrap_or("?")]);
    }
    let number = |prefix: &str| {
        path.strip_prefix(prefix)
            .and_then(|n| n.parse::<u16>().ok())
    };
    let mut status = StatusCode::OK;
    if let Some(code) = number("/status/") {
        status = StatusCode::from_u16(code).unwrap();
    } else if number("/flaky/").is_some_and(|fails| before < usize::from(fails)) {
        status = StatusCode::SERVICE_UNAVAILABLE;
    } else if path.starts_with("/slow") {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// Sends a request: `METHOD URL`, and headers, one in a line.
pub(crate) async fn send(address: SocketAddr, request: &str) -> std::io::Result<Reply> {
    let stream = TcpStream::connect(address).await?;
    over(TokioIo::new(stream), request, false).await
}

/// Sends a request over a connection.
pub(crate) async fn over<I>(stream: I, request: &str, http2: bool) -> std::io::Result<Reply>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let mut lines = request.lines().map(str::trim);
    let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
    let uri: http::Uri = url.parse().unwrap();
    let mut built = Request::builder().method(method);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        built = built.header(name, value);
    }
    let failed = |error: hyper::Error| std::io::Error::other(error);
    let body = Full::<Bytes>::default();
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(failed)?;
        tokio::spawn(connection);
        let request = built.uri(uri).body(body).unwrap();
        sender.send_request(request).await.map_err(failed)?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        let host = uri.authority().unwrap().to_string();
        let path = uri.path_and_query().unwrap().to_string();
        let request = built.uri(path).header("host", host).body(body).unwrap();
        sender.send_request(request).await.map_err(failed)?
    };
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(failed)?.to_bytes();
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Sends a request until it is answered as it should be.
pub(crate) async fn until(
    address: SocketAddr,
    request: &str,
    good: impl Fn(&Reply) -> bool,
) -> Reply {
    let last = Mutex::new(String::from("nothing"));
    let wait = async {
        loop {
            match send(address, request).await {
                Ok(reply) if good(&reply) => return reply,
                other => *last.lock().unwrap() = format!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{request} at {address}: {}", last.lock().unwrap()))
}

/// Sends a request until it has a status.
pub(crate) async fn expect(address: SocketAddr, request: &str, status: u16) -> Reply {
    until(address, request, |reply| reply.status == status).await
}
