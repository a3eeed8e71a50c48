//! The gateway with a real Envoy: what is translated is accepted, and requests from the host's port
//! reach the backend they should. Needs the Envoy program in `CHOREO_ENVOY`; skipped without.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod asked;
mod connections;
mod datagrams;
mod front;
mod guarded;
mod home;
mod hostile;
mod listener_sets;
mod machine;
mod provider;
mod random;
mod scenarios;
mod sign_in;
mod translation;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use choreo_node::{
    gateway::{Settings, bind, run},
    outside::Reach,
    service::egress::Egress,
};
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use self::machine::Children;

/// An API that answers lists from a table, sends watch events of routes and keeps patches.
#[derive(Default)]
struct Api {
    lists: BTreeMap<&'static str, Vec<Value>>,
    events: Mutex<Option<mpsc::UnboundedReceiver<Value>>>,
    patches: Mutex<Vec<(String, Value)>>,
}

impl Api {
    fn client(self: &Arc<Self>) -> kube::Client {
        let api = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = Arc::clone(&api);
            async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        let path = request.uri().path().to_owned();
        let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
        if request.method() == http::Method::PATCH {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let value: Value = serde_json::from_slice(&body).unwrap();
            self.patches.lock().unwrap().push((path, value));
            let object = json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": "x"}});
            return whole(&object);
        }
        if request
            .uri()
            .query()
            .unwrap_or_default()
            .contains("watch=true")
        {
            let events = (plural == "httproutes")
                .then(|| self.events.lock().unwrap().take())
                .flatten();
            let stream: futures::stream::BoxStream<'static, Value> = match events {
                Some(mut events) => {
                    futures::stream::poll_fn(move |context| events.poll_recv(context)).boxed()
                }
                None => futures::stream::pending().boxed(),
            };
            let lines = stream.map(|event| {
                let line = Bytes::from(format!("{event}\n"));
                Ok(hyper::body::Frame::data(line))
            });
            return Response::new(http_body_util::StreamBody::new(lines).boxed_unsync());
        }
        let items = self.lists.get(plural.as_str()).cloned().unwrap_or_default();
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
        whole(&list)
    }
}

type Answer = UnsyncBoxBody<Bytes, std::convert::Infallible>;

fn whole(value: &Value) -> Response<Answer> {
    Response::new(Full::from(value.to_string()).boxed_unsync())
}

fn envoy() -> Option<PathBuf> {
    let found = std::env::var_os("CHOREO_ENVOY").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: CHOREO_ENVOY does not name an Envoy program");
    }
    found
}

/// Says something of a run that is not a failure.
fn note(text: &str) {
    eprintln!("{text}");
}

/// A backend that a weight gives its share, and whose answers tell.
fn share(name: &str, weight: u32) -> Value {
    json!({
        "name": "web", "port": 80, "weight": weight,
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-share", "value": name}]}}],
    })
}

fn route(generation: i64, prefix: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "cell", "generation": generation, "resourceVersion": generation.to_string()},
        "spec": {
            "parentRefs": [{"name": "gateway-default", "namespace": "plane"}],
            "hostnames": ["dev.openchoreo.localhost"],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
                    "filters": [
                        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
                        {"type": "CORS", "cors": {"allowOrigins": ["*"], "allowMethods": ["GET"], "allowHeaders": ["*"], "exposeHeaders": ["*"], "allowCredentials": false}},
                    ],
                    "backendRefs": [{"name": "web", "port": 80}],
                },
                {
                    "matches": [{"path": {"type": "RegularExpression", "value": "/v[0-9]+/.*"}, "headers": [{"name": "x-a", "value": "1"}], "method": "GET"}],
                    "filters": [
                        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-set", "value": "100%"}], "remove": ["x-gone"]}},
                        {"type": "URLRewrite", "urlRewrite": {"hostname": "other.test", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/full"}}},
                        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web", "port": 80}, "percent": 1}},
                    ],
                    "timeouts": {"request": "10s", "backendRequest": "500ms"},
                    "backendRefs": [{"name": "web", "port": 80, "weight": 9, "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-b", "value": "c"}]}}]}, {"name": "web", "port": 81}],
                },
                {
                    "matches": [{"path": {"type": "Exact", "value": "/moved"}, "queryParams": [{"name": "q", "value": "1"}]}],
                    "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "hostname": "new.test", "statusCode": 301, "path": {"type": "ReplaceFullPath", "replaceFullPath": "/there"}}}],
                },
                {
                    "matches": [{"path": {"value": "/shares"}}],
                    "backendRefs": [share("most", 3), share("some", 1), share("none", 0)],
                },
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/broken"}}],
                    "backendRefs": [{"name": "missing", "port": 80}],
                },
            ],
        },
    })
}

fn objects(backend: SocketAddr) -> BTreeMap<&'static str, Vec<Value>> {
    let listener = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
    BTreeMap::from([
        (
            "gateways",
            vec![json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "metadata": {"name": "gateway-default", "namespace": "plane", "generation": 1},
                "spec": {"gatewayClassName": "choreo", "listeners": [listener("http", 19080)]},
            })],
        ),
        ("httproutes", vec![route(1, "/web-http")]),
        (
            "services",
            vec![json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "web", "namespace": "cell"},
                "spec": {"ports": [{"name": "http", "port": 80}, {"name": "grpc", "port": 81}]},
            })],
        ),
        (
            "endpointslices",
            vec![json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": "web-1", "namespace": "cell", "labels": {"kubernetes.io/service-name": "web"}},
                "ports": [{"name": "http", "port": backend.port(), "protocol": "TCP"}],
                "endpoints": [
                    {"addresses": [backend.ip().to_string()], "conditions": {"ready": true}},
                    {"addresses": ["127.0.0.9"], "conditions": {"ready": false}},
                ],
            })],
        ),
    ])
}

/// Answers every request with its own head; after an upgrade, all bytes with themselves.
async fn echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            if head.windows(9).any(|word| word == b"websocket") {
                let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(switch).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                return;
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                head.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(&head).await.unwrap();
        });
    }
}

async fn get(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{head}\r\nhost: dev.openchoreo.localhost:19080\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn until(address: SocketAddr, head: &str, expected: &str) -> String {
    let wait = async {
        loop {
            let answer = get(address, head).await;
            if answer.starts_with(expected) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{head} never answered {expected}"))
}

/// A data folder with a path longer than a unix socket's may be.
fn long_folder(home: &Path) -> PathBuf {
    let folder = home.join("a".repeat(60)).join("b".repeat(60));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn requests_are_matched(address: SocketAddr) {
    let answer = until(address, "GET /web-http/items?q=1 HTTP/1.1", "HTTP/1.1 200").await;
    assert!(answer.contains("GET /items?q=1 HTTP/1.1"), "{answer}");
    assert!(
        answer.contains("x-envoy-external-address: 127.0.0.1"),
        "{answer}"
    );
    let answer = get(address, "GET /web-http HTTP/1.1").await;
    assert!(answer.contains("GET / HTTP/1.1"), "{answer}");
    assert!(
        get(address, "GET /web-httpx HTTP/1.1")
            .await
            .starts_with("HTTP/1.1 404")
    );
    assert!(
        get(address, "GET /broken HTTP/1.1")
            .await
            .starts_with("HTTP/1.1 500")
    );
    let moved = get(address, "GET /moved?q=1 HTTP/1.1").await;
    assert!(moved.starts_with("HTTP/1.1 301"), "{moved}");
    assert!(
        moved.contains("location: https://new.test/there"),
        "{moved}"
    );
    let preflight =
        "OPTIONS /web-http HTTP/1.1\r\norigin: http://a.test\r\naccess-control-request-method: GET";
    let answer = get(address, preflight).await;
    assert!(
        answer.contains("access-control-allow-origin: http://a.test"),
        "{answer}"
    );
}

async fn an_upgraded_connection_carries_both_ways(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /web-http/live HTTP/1.1\r\nhost: dev.openchoreo.localhost\r\nconnection: Upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
    for message in [&b"one"[..], &[0, 255, 1]] {
        stream.write_all(message).await.unwrap();
        let mut answer = vec![0; message.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, message);
    }
    // The end of one side reaches the other, and comes back.
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_to_end(&mut head).await.unwrap(), 0);
}

async fn weights_share_requests(address: SocketAddr) {
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..160 {
        let answer = get(address, "GET /shares HTTP/1.1").await;
        let (_, rest) = answer.split_once("x-share: ").unwrap();
        let name = rest.lines().next().unwrap().to_owned();
        *shares.entry(name).or_default() += 1;
    }
    // 120 to 40 on average; these bounds are five standard deviations away.
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert!((12..=68).contains(&shares["some"]), "{shares:?}");
}

async fn changes_take_effect(address: SocketAddr, routes: &mpsc::UnboundedSender<Value>) {
    // A changed route takes effect, and its status tells of the new generation.
    routes
        .send(json!({"type": "MODIFIED", "object": route(2, "/new")}))
        .unwrap();
    until(address, "GET /new HTTP/1.1", "HTTP/1.1 200").await;
    assert!(
        get(address, "GET /web-http HTTP/1.1")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

async fn a_killed_envoy_comes_back(address: SocketAddr, pid: &Mutex<Option<u32>>) {
    // Envoy comes back by itself.
    let pid = pid.lock().unwrap().take().unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
    until(address, "GET /new HTTP/1.1", "HTTP/1.1 200").await;
}

fn statuses_are_told(api: &Api) {
    let patches = api.patches.lock().unwrap().clone();
    let gateway = patches
        .iter()
        .find(|(path, _)| path.contains("/gateways/"))
        .unwrap();
    let conditions = &gateway.1["status"]["conditions"];
    assert!(
        conditions
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["status"] == "True"),
        "{conditions}"
    );
    assert_eq!(gateway.1["status"]["listeners"][0]["attachedRoutes"], 1);
    let route = patches
        .iter()
        .rfind(|(path, _)| path.contains("/httproutes/"))
        .unwrap();
    let conditions = &route.1["status"]["parents"][0]["conditions"];
    assert_eq!(conditions[0]["status"], "True", "{conditions}");
    assert_eq!(conditions[0]["observedGeneration"], 2);
    assert_eq!(conditions[1]["reason"], "BackendNotFound", "{conditions}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_reach_their_backends() {
    let Some(envoy) = envoy() else { return };
    let home = tempfile::tempdir().unwrap();
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (routes, events) = mpsc::unbounded_channel();
    let api = Arc::new(Api {
        lists: objects(backend.local_addr().unwrap()),
        events: Mutex::new(Some(events)),
        patches: Mutex::default(),
    });
    tokio::spawn(echo(backend));
    let bound = bind(Settings {
        envoy,
        folder: long_folder(home.path()),
        listen: BTreeMap::from([(19080, "127.0.0.1:0".parse().unwrap())]),
        more_ports: BTreeSet::new(),
        reach: Reach {
            loopback: true,
            ..Reach::default()
        },
        authorities: None,
    })
    .unwrap();
    let address = bound.addresses().next().unwrap().1;
    let machine = Arc::new(Children::new());
    let pid = Arc::clone(&machine.pid);
    let mut gateway = tokio::spawn(run(api.client(), machine, bound, Egress::default()));

    let check = async {
        requests_are_matched(address).await;
        an_upgraded_connection_carries_both_ways(address).await;
        weights_share_requests(address).await;
        changes_take_effect(address, &routes).await;
        a_killed_envoy_comes_back(address, &pid).await;
    };
    tokio::select! {
        () = check => {}
        ended = &mut gateway => panic!("the gateway ended: {ended:?}"),
    }
    gateway.abort();
    statuses_are_told(&api);
}
