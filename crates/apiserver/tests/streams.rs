//! Talking to pods: the real kubectl, and a pod that is played.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use choreo_apiserver::{
    AllowAll, AttachOptions, Credentials, ExecOptions, Input, LogOptions, LogStream, Output,
    PodAccess, PodError, PodPorts, Server, Session,
};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// A pod whose commands are `cat` (input to output), `tell` (its arguments, to both
/// outputs) and `exit`. It runs `cat`, and so does its port 7; no other takes connections.
struct Played;

#[async_trait]
impl PodAccess for Played {
    async fn logs(&self, _: &str, _: &str, _: LogOptions) -> Result<LogStream, PodError> {
        Ok(futures::stream::empty().boxed())
    }

    async fn exec(&self, _: &str, _: &str, options: ExecOptions) -> Result<Session, PodError> {
        Ok(run(options.command))
    }

    async fn attach(&self, _: &str, _: &str, options: AttachOptions) -> Result<Session, PodError> {
        match options.container.as_deref() {
            Some("c") | None => Ok(run(vec!["cat".to_owned()])),
            Some(other) => Err(PodError::BadRequest(format!("{other} does not run"))),
        }
    }

    async fn ports(&self, _: &str, _: &str) -> Result<Arc<dyn PodPorts>, PodError> {
        Ok(Arc::new(Self))
    }
}

#[async_trait]
impl PodPorts for Played {
    async fn connect(&self, port: u16) -> Result<Session, PodError> {
        if port == 7 {
            Ok(run(vec!["cat".to_owned()]))
        } else {
            Err(PodError::Internal("connection refused".to_owned()))
        }
    }
}

fn run(command: Vec<String>) -> Session {
    let (input, from_client) = mpsc::channel(8);
    let (to_client, output) = mpsc::channel(8);
    tokio::spawn(play(command, from_client, to_client));
    Session { input, output }
}

async fn play(
    command: Vec<String>,
    mut input: mpsc::Receiver<Input>,
    output: mpsc::Sender<Output>,
) -> Option<()> {
    let (name, arguments) = command.split_first()?;
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
            let out = Output::Out(format!("out {text}\n").into());
            output.send(out).await.ok()?;
            let err = Output::Err(format!("err {text}\n").into());
            output.send(err).await.ok()?;
        }
    }
    output.send(Output::Ended(code)).await.ok()
}

/// A server with a pod `p`, and what kubectl needs to find it.
struct World {
    folder: tempfile::TempDir,
    server: Server,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// What kubectl is told besides.
    env: Option<&'static str>,
}

impl World {
    /// Nothing where there is no kubectl. It speaks SPDY where the variable `env` says `false`.
    async fn start(env: Option<&'static str>) -> Option<Self> {
        if !there_is_kubectl().await {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let server = Server::open(
            folder.path().join("data").as_path(),
            Vec::new(),
            Arc::new(AllowAll),
            Arc::new(Played),
        )
        .unwrap();
        let credentials = Credentials::open(folder.path(), Timestamp::now()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        std::fs::write(
            folder.path().join("kubeconfig"),
            credentials.kubeconfig(&url),
        )
        .unwrap();
        let stop = CancellationToken::new();
        let serving = {
            let (server, stop) = (server.clone(), stop.clone());
            tokio::spawn(async move { server.serve(listener, &credentials, stop).await.unwrap() })
        };
        let world = Self {
            folder,
            server,
            stop,
            serving,
            env,
        };
        world.pod().await;
        Some(world)
    }

    async fn pod(&self) {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "stdin": true}]}}))
        .unwrap();
        let api: Api<Pod> = Api::default_namespaced(self.server.client());
        api.create(&PostParams::default(), &pod).await.unwrap();
        let runs = Patch::Merge(json!({"status": {"phase": "Running"}}));
        api.patch_status("p", &PatchParams::default(), &runs)
            .await
            .unwrap();
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let config: PathBuf = self.folder.path().join("kubeconfig");
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(config)
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(env) = self.env {
            command.env(env, "false");
        }
        command.spawn().unwrap()
    }

    /// Runs kubectl to its end: code, output, errors.
    async fn kubectl(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut child = self.spawn(arguments);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
        let output = output.await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
        self.server.close().await;
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_with_their_streams() {
    check_commands(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_over_spdy() {
    check_commands(Some("KUBECTL_REMOTE_COMMAND_WEBSOCKETS")).await;
}

async fn check_commands(env: Option<&'static str>) {
    let Some(world) = World::start(env).await else {
        return;
    };
    let (code, out, err) = world.kubectl(&["exec", "p", "--", "tell", "a b"], "").await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "out a b\n", "err a b\n")
    );
    let long = "0123456789".repeat(30_000);
    let (code, out, err) = world
        .kubectl(&["exec", "-i", "p", "--", "cat"], &long)
        .await;
    assert_eq!((code, out.len(), err.as_str()), (Some(0), long.len(), ""));
    assert!(out == long);
    let (code, _, err) = world.kubectl(&["exec", "p", "--", "exit", "3"], "").await;
    assert_eq!(code, Some(3), "{err}");
    let (code, out, err) = world.kubectl(&["attach", "-q", "-i", "p"], "hello").await;
    assert_eq!((code, out.as_str()), (Some(0), "hello"), "{err}");
    let (code, _, err) = world
        .kubectl(&["attach", "-q", "-i", "p", "-c", "other"], "")
        .await;
    assert_eq!(code, Some(1), "{err}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded() {
    check_ports(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded_over_spdy() {
    check_ports(Some("KUBECTL_PORT_FORWARD_WEBSOCKETS")).await;
}

async fn check_ports(env: Option<&'static str>) {
    let Some(world) = World::start(env).await else {
        return;
    };
    let mut forwarder = world.spawn(&["port-forward", "pod/p", ":7", ":9", "--address=127.0.0.1"]);
    let mut lines = BufReader::new(forwarder.stdout.take().unwrap()).lines();
    let mut ports = Vec::new();
    while ports.len() < 2 {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        let port = line
            .split(' ')
            .find_map(|word| word.strip_prefix("127.0.0.1:"));
        ports.push(port.unwrap().parse::<u16>().unwrap());
    }
    // Several at once, each more than fits into what waits anywhere.
    let both = [b'a', b'b'].map(|byte| echoed(ports[0], vec![byte; 500_000]));
    futures::future::join_all(both).await;
    let mut refused = TcpStream::connect(("127.0.0.1", ports[1])).await.unwrap();
    let mut nothing = [0; 1];
    let read = tokio::time::timeout(PATIENCE, refused.read(&mut nothing)).await;
    assert!(!matches!(read.unwrap(), Ok(1..)));
    let mut errors = BufReader::new(forwarder.stderr.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, errors.next_line()).await;
    let line = line.unwrap().unwrap().unwrap();
    assert!(
        line.contains("error forwarding port 9: connection refused"),
        "{line}"
    );
    forwarder.kill().await.unwrap();
    world.close().await;
}

/// Sends, says that this is all, and gets it back.
async fn echoed(port: u16, sent: Vec<u8>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut back = Vec::new();
    let reading = reader.read_to_end(&mut back);
    let writing = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await
    };
    let both = async { tokio::try_join!(reading, writing) };
    tokio::time::timeout(PATIENCE, both).await.unwrap().unwrap();
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
}
