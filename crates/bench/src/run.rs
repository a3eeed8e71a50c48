//! One platform that is measured: its program, its folder, its ports.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at whether something answers.
const LOOK: Duration = Duration::from_millis(2);

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A program could not be started or read.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// A command failed.
    #[error("{command} ended with {status}:\n{said}")]
    Command {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
    },
    /// What a command printed is not what was expected.
    #[error("{0} printed something unexpected: {1}")]
    Output(String, String),
    /// The API refused something.
    #[error("{0}: {1}")]
    Api(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing answered.
    #[error("{0} did not answer within {PATIENCE:?}: {1}")]
    Silent(String, String),
}

impl Trouble {
    /// Says what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Io(doing, error)
    }

    /// The same of requests to the API.
    pub(crate) fn api<E>(doing: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let doing = doing.into();
        move |error| Self::Api(doing, Box::new(error))
    }
}

/// A platform's program and folder, with ports of its own.
#[derive(Debug)]
pub(crate) struct Platform {
    program: PathBuf,
    folder: PathBuf,
    api: u16,
    gateway: u16,
    internal: u16,
}

impl Platform {
    /// A platform of `program` on `folder`, on ports that nobody uses.
    pub(crate) fn new(program: &Path, folder: &Path) -> Result<Self, Trouble> {
        let [api, gateway, internal] =
            free_ports().map_err(Trouble::io("looking for free ports"))?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            api,
            gateway,
            internal,
        })
    }

    /// Starts `choreo up --detach` with these files, without waiting for it.
    pub(crate) fn start(&self, paths: &[&Path]) -> Result<Child, Trouble> {
        self.command("up")
            .args(["--detach", "--output", "json", "--listen"])
            .arg(format!("127.0.0.1:{}", self.api))
            .args(["--gateway-port", &self.gateway.to_string()])
            .args(["--internal-gateway-port", &self.internal.to_string()])
            .args(paths)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Trouble::io(self.program.display().to_string()))
    }

    /// Waits until `choreo up` says that everything is ready; returns the platform's process.
    pub(crate) fn ready(up: Child) -> Result<u32, Trouble> {
        let said = output("choreo up", up)?;
        serde_json::from_str::<Value>(&said)
            .ok()
            .and_then(|said| u32::try_from(said["platform"]["pid"].as_u64()?).ok())
            .ok_or_else(|| Trouble::Output("choreo up".to_owned(), said))
    }

    /// Stops the platform, if it runs.
    pub(crate) fn stop(&self) -> Result<(), Trouble> {
        let down = self
            .command("down")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Trouble::io(self.program.display().to_string()))?;
        output("choreo down", down).map(drop)
    }

    /// Waits until the API says that it is ready.
    pub(crate) fn wait_for_api(&self) -> Result<(), Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Trouble::io("starting a runtime"))?;
        wait("the API", || {
            let asked = runtime.block_on(self.ask_api());
            asked.map_err(|error| error.to_string())
        })
    }

    /// A client of the API.
    pub(crate) async fn client(&self) -> Result<kube::Client, Trouble> {
        let file = self.folder.join("kubeconfig");
        let doing = file.display().to_string();
        let kubeconfig = Kubeconfig::read_from(file).map_err(Trouble::api(doing.clone()))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(Trouble::api(doing.clone()))?;
        kube::Client::try_from(config).map_err(Trouble::api(doing))
    }

    /// Where the external gateway is.
    pub(crate) fn gateway(&self) -> String {
        format!("127.0.0.1:{}", self.gateway)
    }

    async fn ask_api(&self) -> Result<(), Box<dyn std::error::Error>> {
        let client = self.client().await?;
        let request = http::Request::get("/readyz").body(Vec::new())?;
        client.request_text(request).await?;
        Ok(())
    }

    /// Waits until the gateway answers a request of the host and path with 200.
    pub(crate) fn wait_for(&self, host: &str, path: &str) -> Result<(), Trouble> {
        let url = format!("http://127.0.0.1:{}{path}", self.gateway);
        let host = format!("{host}:{}", self.gateway);
        wait(&url, || {
            let asked = ureq::get(&url).header("host", &host).call();
            asked.map(drop).map_err(|error| error.to_string())
        })
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(&self.folder).arg(word);
        command
    }
}

impl Drop for Platform {
    /// What failed to be measured does not go on running.
    fn drop(&mut self) {
        // It was stopped before, or cannot be.
        let _ = self.stop();
    }
}

/// Tries something until it goes well.
fn wait(what: &str, mut attempt: impl FnMut() -> Result<(), String>) -> Result<(), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(why) = attempt() {
        if Instant::now() >= deadline {
            return Err(Trouble::Silent(what.to_owned(), why));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// What a command printed, if it ended well.
fn output(command: &str, child: Child) -> Result<String, Trouble> {
    let output = child.wait_with_output().map_err(Trouble::io(command))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Trouble::Command {
            command: command.to_owned(),
            status: output.status.to_string(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Three ports that nobody listens on now.
fn free_ports() -> io::Result<[u16; 3]> {
    let listeners = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0))
}
