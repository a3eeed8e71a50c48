use std::{collections::BTreeMap, sync::Arc};

use kube::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::testing::{Api, SHOP};

/// Answers one request with `answer`, and returns what was asked.
async fn asked(answer: &'static str, body: Option<&str>) -> (Result<u16, String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = vec![0; 4096];
        let length = stream.read(&mut text).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        text.truncate(length);
        String::from_utf8(text).unwrap()
    });
    let request = Request {
        method: "POST",
        url: format!("http://{address}/budget?of=shop"),
        headers: BTreeMap::from([("x-team".to_owned(), "shop".to_owned())]),
        body: body.map(str::to_owned),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = Outside::new().call(request).await;
    (outcome, server.await.unwrap())
}

#[tokio::test]
async fn a_request_is_made_as_it_is_written() {
    let (outcome, asked) = asked("HTTP/1.1 204 No Content\r\n\r\n", Some("go?")).await;
    assert_eq!(outcome, Ok(204));
    assert!(
        asked.starts_with("POST /budget?of=shop HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("x-team: shop\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\ngo?"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n";
    assert_eq!(asked(answer, None).await.0, Ok(302));
}

#[tokio::test]
async fn who_does_not_answer_is_told_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let request = Request {
        method: "GET",
        url: format!("http://user:secret@{address}/"),
        headers: BTreeMap::new(),
        body: None,
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let why = Outside::new().call(request).await.unwrap_err();
    assert!(!why.contains("secret"), "{why}");
    assert!(why.contains("refused"), "{why}");
}

/// A server on loopback that answers by the path it is asked for, as long as it is kept.
struct Server {
    address: String,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut answering = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                answering.spawn(answer(stream));
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Answers one request; `/slow` never, and `/endless` with more than anybody wants to read.
async fn answer(mut stream: TcpStream) {
    let mut text = vec![0; 4096];
    let length = stream.read(&mut text).await.unwrap_or_default();
    let asked = String::from_utf8_lossy(&text[..length]).into_owned();
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let head = match path {
        "/good" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "/bad" => "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        "/elsewhere" => "HTTP/1.1 302 Found\r\nlocation: /good\r\ncontent-length: 0\r\n\r\n",
        "/endless" => "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
        _ => return std::future::pending().await,
    };
    let mut sent = stream.write_all(head.as_bytes()).await;
    // Ends when whoever asked hangs up.
    while path == "/endless" && sent.is_ok() {
        sent = stream.write_all(&[b'.'; 4096]).await;
    }
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for_and_who_never_ends_is_not_listened_to() {
    let server = Server::start().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ask = async |path: &str| {
        let request = Request {
            method: "GET",
            url: server.url(path),
            headers: BTreeMap::new(),
            body: None,
        };
        let outside = Outside::with_patience(Duration::from_millis(300));
        outside.call(request).await
    };
    let why = ask("/slow").await.unwrap_err();
    assert!(why.contains("timed out"), "{why}");
    assert_eq!(ask("/endless").await, Ok(200));
}

/// What each check of a promotion came to, once that has ended.
async fn checked(api: &Api) -> (String, BTreeMap<String, String>) {
    let ended = api.until("Promotion", "web-staging", |promotion| {
        let status = &promotion["status"];
        let phase = status["phase"]
            .as_str()
            .filter(|phase| *phase != "Pending" && *phase != "Checking")?;
        let checks = status["checks"].as_array().into_iter().flatten();
        let states = checks.map(|check| {
            let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
            let why = text("message");
            let state = match text("state").as_str() {
                "Passed" => "Passed".to_owned(),
                state => format!("{state}: {why}"),
            };
            (text("name"), state)
        });
        Some((phase.to_owned(), states.collect()))
    });
    ended.await
}

async fn promote(client: &Client, release: &str) {
    let promotion = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Promotion",
        "metadata": { "name": "web-staging", "namespace": "default" },
        "spec": {
            "owner": { "projectName": "shop", "componentName": "web" },
            "sourceEnvironment": "development", "targetEnvironment": "staging",
            "releases": { "web": release },
        },
    });
    let path = "/apis/openchoreo.dev/v1alpha1/namespaces/default/promotions";
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(promotion.to_string().into_bytes())
        .unwrap();
    client.request::<Value>(request).await.unwrap();
}

/// A promotion past these checks, each a name and the path it asks for.
async fn promoted(checks: &[(&str, &str)]) -> (String, BTreeMap<String, String>) {
    let server = Server::start().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outside = Outside::with_patience(Duration::from_millis(300));
    let api = Api::with_calls(Arc::new(outside)).await;
    let checks: Vec<Value> = checks
        .iter()
        .map(|(name, path)| {
            json!({ "name": name, "timeout": "2s", "http": { "url": server.url(path) } })
        })
        .collect();
    let pipeline = json!({
        "apiVersion": "openchoreo.dev/v1alpha1", "kind": "DeploymentPipeline",
        "metadata": { "name": "default" },
        "spec": { "promotionPaths": [{
            "sourceEnvironmentRef": { "name": "development" },
            "targetEnvironmentRefs": [{ "name": "staging" }],
            "checks": checks,
        }]},
    });
    api.apply(&format!("{SHOP}---\n{pipeline}\n"))
        .await
        .unwrap();
    let release = api.until("ReleaseBinding", "web-development", |binding| {
        binding["status"]["release"].as_str().map(str::to_owned)
    });
    promote(&api.client, &release.await).await;
    let told = checked(&api).await;
    api.stop().await;
    told
}

#[tokio::test]
async fn a_promotion_goes_on_once_all_that_are_asked_answer_well() {
    let (phase, checks) = promoted(&[("budget", "/good"), ("report", "/endless")]).await;
    assert_eq!(phase, "Deploying");
    let passed = |name: &str| (name.to_owned(), "Passed".to_owned());
    assert_eq!(checks, BTreeMap::from([passed("budget"), passed("report")]));
}

#[tokio::test]
async fn a_promotion_ends_where_anybody_does_not_answer_well() {
    let wrong = [("down", "/bad"), ("moved", "/elsewhere"), ("slow", "/slow")];
    let (phase, checks) = promoted(&[&wrong[..], &[("good", "/good")]].concat()).await;
    assert_eq!(phase, "Failed");
    assert_eq!(checks["good"], "Passed");
    for (name, why) in [("down", "500"), ("moved", "302"), ("slow", "timed out")] {
        let said = &checks[name];
        assert!(
            said.starts_with("Failed: ") && said.contains(why),
            "{name}: {said}"
        );
    }
}
