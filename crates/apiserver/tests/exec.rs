//! Commands in pods: the real kubectl, and a pod that is played.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use choreo_apiserver::{
    AllowAll, Credentials, ExecOptions, Input, LogOptions, LogStream, Output, PodAccess, PodError,
    Server, Session,
};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// A pod whose commands are `cat` (input to output), `tell` (its arguments, to both
/// outputs) and `exit`.
struct Played;

#[async_trait]
impl PodAccess for Played {
    async fn logs(&self, _: &str, _: &str, _: LogOptions) -> Result<LogStream, PodError> {
        Ok(futures::stream::empty().boxed())
    }

    async fn exec(&self, _: &str, _: &str, options: ExecOptions) -> Result<Session, PodError> {
        let (input, from_client) = mpsc::channel(8);
        let (to_client, output) = mpsc::channel(8);
        tokio::spawn(play(options, from_client, to_client));
        Ok(Session { input, output })
    }
}

async fn play(
    options: ExecOptions,
    mut input: mpsc::Receiver<Input>,
    output: mpsc::Sender<Output>,
) -> Option<()> {
    let (name, arguments) = options.command.split_first()?;
    let text = arguments.join(" ");
    let mut code = 0;
    match name.as_str() {
        "cat" => {
            while let Some(Input::Data(bytes)) = input.recv().await {
                output.send(Output::Out(bytes)).await.ok()?;
            }
        }
        "exit" => code = text.parse().ok()?,
        _ => {
            output
                .send(Output::Out(format!("out {text}\n").into()))
                .await
                .ok()?;
            output
                .send(Output::Err(format!("err {text}\n").into()))
                .await
                .ok()?;
        }
    }
    output.send(Output::Ended(code)).await.ok()
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs it wants to know why it is skipped"
)]
async fn there_is_kubectl() -> bool {
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .await;
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no kubectl on PATH");
    }
    found
}

async fn kubectl(
    config: &std::path::Path,
    arguments: &[&str],
    input: &str,
) -> (Option<i32>, String, String) {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(config)
        .args(["exec", "p"])
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("HOME", config.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .await
        .unwrap();
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_with_their_streams() {
    if !there_is_kubectl().await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pods = Arc::new(Played);
    let server = Server::open(
        folder.path().join("data").as_path(),
        Vec::new(),
        Arc::new(AllowAll),
        pods,
    )
    .unwrap();
    let credentials = Credentials::open(folder.path(), Timestamp::now()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let config = folder.path().join("kubeconfig");
    std::fs::write(&config, credentials.kubeconfig(&url)).unwrap();
    let stop = CancellationToken::new();
    let serving = {
        let (server, stop) = (server.clone(), stop.clone());
        tokio::spawn(async move { server.serve(listener, &credentials, stop).await })
    };
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}))
    .unwrap();
    let api: Api<Pod> = Api::default_namespaced(server.client());
    api.create(&PostParams::default(), &pod).await.unwrap();

    let (code, out, err) = kubectl(&config, &["--", "tell", "a b"], "").await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "out a b\n", "err a b\n")
    );
    let long = "0123456789".repeat(30_000);
    let (code, out, err) = kubectl(&config, &["-i", "--", "cat"], &long).await;
    assert_eq!((code, out.len(), err.as_str()), (Some(0), long.len(), ""));
    assert!(out == long);
    let (code, _, err) = kubectl(&config, &["--", "exit", "3"], "").await;
    assert_eq!(code, Some(3), "{err}");
    stop.cancel();
    serving.await.unwrap().unwrap();
    server.close().await;
}
