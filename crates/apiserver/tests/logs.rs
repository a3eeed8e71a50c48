//! What is written to the log, whatever its level, tells no secret: no value, no token, no key.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use common::serving;
use http::Request;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::runtime::Handle;

const VALUE: &str = "correct-horse-battery-staple";
const ENCODED: &str = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

async fn client(config: &Path, token: Option<&str>) -> Client {
    let mut config = Kubeconfig::read_from(config).unwrap();
    if let (Some(token), Some(user)) = (token, config.auth_infos[0].auth_info.as_mut()) {
        user.token = Some(token.to_owned().into());
    }
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

/// Asks, and says how it was answered.
async fn ask(client: &Client, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", kind);
    let body = kube::client::Body::from(body.to_string().into_bytes());
    let answer = client.send(request.body(body).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Method, path, type and body of a request, and how it is answered.
type Asked = (&'static str, String, &'static str, Value, u16);

const JSON: &str = "application/json";

fn named(name: &str, rest: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let members = rest.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(members);
    object
}

/// Secrets, and what is refused for its values.
fn creations() -> Vec<Asked> {
    let all = [
        (named("one", &json!({"stringData": {"a": VALUE}})), 201),
        (named("two", &json!({"data": {"a": VALUE}})), 400),
        (named("two", &json!({"data": {"a": {"b": VALUE}}})), 400),
        (named("Two_", &json!({"data": {"a": ENCODED}})), 422),
        (named("two", &json!({"immutable": VALUE})), 400),
    ];
    all.map(|(object, code)| ("POST", SECRETS.to_owned(), JSON, object, code))
        .into()
}

/// Changes of one, and what is refused for its values.
fn changes() -> Vec<Asked> {
    let merge = "application/merge-patch+json";
    let test = json!([{"op": "test", "path": "/data/c", "value": VALUE}]);
    let applied = named("one", &json!({"data": {"c": ENCODED}}));
    let one = format!("{SECRETS}/one");
    let all = [
        (
            "PUT",
            JSON,
            named("one", &json!({"data": {"b": ENCODED}})),
            200,
        ),
        ("PATCH", merge, json!({"data": {"c": ENCODED}}), 200),
        ("PATCH", merge, json!({"data": VALUE}), 422),
        ("PATCH", "application/json-patch+json", test, 422),
        ("PATCH", "application/apply-patch+yaml", applied, 200),
        ("DELETE", JSON, Value::Null, 200),
    ];
    all.map(|(method, kind, body, code)| {
        let path = match kind {
            "application/apply-patch+yaml" => format!("{one}?fieldManager=x&force=true"),
            _ => one.clone(),
        };
        (method, path, kind, body, code)
    })
    .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_tells_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();
    let told = serving(move |_, config| {
        Handle::current().block_on(async {
            let admin = client(config, None).await;
            for (method, path, kind, body, expected) in creations().into_iter().chain(changes()) {
                let (code, answer) = ask(&admin, method, &path, kind, &body).await;
                assert_eq!(code, expected, "{method} {path} {body}: {answer}");
            }
            let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
            let made = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
            let mut answer = (404, Value::Null);
            while answer.0 == 404 {
                answer = ask(&admin, "POST", path, JSON, &made).await;
            }
            let token = answer.1["status"]["token"].as_str().unwrap().to_owned();
            for (token, expected) in [(token.as_str(), 403), (VALUE, 401)] {
                let other = client(config, Some(token)).await;
                let (code, _) = ask(&other, "GET", SECRETS, JSON, &Value::Null).await;
                assert_eq!(code, expected);
            }
            let folder = config.parent().unwrap();
            let credentials = fs::read(folder.join("credentials.json")).unwrap();
            let credentials: Value = serde_json::from_slice(&credentials).unwrap();
            let key = fs::read_to_string(folder.join("data/key")).unwrap();
            let own = ["token", "key", "authority_key"].map(|name| credentials[name].as_str().unwrap().to_owned());
            let told = log.text();
            assert!(told.contains("TRACE") && told.contains("/secrets"), "nothing is logged");
            for secret in [VALUE.to_owned(), ENCODED.to_owned(), token].into_iter().chain(own).chain([key]) {
                let line = told.lines().find(|line| line.contains(secret.trim()));
                assert_eq!(line, None, "it tells {secret}");
            }
        });
    });
    told.await;
}
