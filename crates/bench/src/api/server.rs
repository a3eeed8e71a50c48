//! The servers that are measured, each a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use choreo_apiserver::{
    Admission, AdmissionRequest, Admitted, AllowAll, Credentials, Denied, NoPods, Operation,
};
use choreo_controllers::{Controllers, Planes};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::client::Target;
use crate::{process, run::Trouble};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The embedded API, alone in its process.
    Ours,
    /// The embedded API with the kinds of the platform and its controllers, and no node.
    Controlled,
    /// kube-apiserver and etcd, which waits for the disk; no controllers.
    Oracle,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "api",
            Self::Controlled => "delivery",
            Self::Oracle => "oracle",
        }
    }

    /// Starts it on a folder and waits until it answers.
    pub(crate) fn start(self, folder: &Path) -> Result<Server, Trouble> {
        match self {
            Self::Ours => start_ours(folder, &[]),
            Self::Controlled => start_ours(folder, &["--controllers"]),
            Self::Oracle => start_oracle(folder),
        }
    }
}

/// A server that runs.
pub(crate) struct Server {
    kubeconfig: PathBuf,
    pids: Vec<u32>,
    end: End,
}

enum End {
    /// A process that ends with its input.
    Child(Child),
    /// The folder of the oracle.
    Oracle(PathBuf),
    Ended,
}

impl Server {
    pub(crate) fn target(&self) -> Result<Target, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Trouble::io("starting a runtime"))?;
        runtime.block_on(Target::of(&self.kubeconfig))
    }

    /// Resident memory of all its processes, in bytes.
    pub(crate) fn memory(&self) -> Result<u64, Trouble> {
        let each = self.pids.iter().map(|pid| process::memory(*pid));
        each.map(|memory| memory.map(|memory| memory.resident))
            .sum::<Result<_, _>>()
            .map_err(Trouble::io("reading memory"))
    }

    /// How long its processes have used a processor, all together.
    pub(crate) fn busy(&self) -> Result<Duration, Trouble> {
        let each = self.pids.iter().map(|pid| process::busy(*pid));
        each.sum::<Result<_, _>>()
            .map_err(Trouble::io("reading times"))
    }

    pub(crate) fn stop(&mut self) -> Result<(), Trouble> {
        match std::mem::replace(&mut self.end, End::Ended) {
            End::Child(mut child) => {
                drop(child.stdin.take());
                child
                    .wait()
                    .map(drop)
                    .map_err(Trouble::io("waiting for the server"))
            }
            End::Oracle(folder) => oracle("down", &folder).map(drop),
            End::Ended => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What failed to be measured does not go on running.
        let _ = self.stop();
    }
}

fn start_ours(folder: &Path, flags: &[&str]) -> Result<Server, Trouble> {
    let program = std::env::current_exe().map_err(Trouble::io("finding this program"))?;
    let mut child = Command::new(program)
        .arg("serve")
        .arg(folder)
        .args(flags)
        // As the launcher does.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Trouble::io("starting the server"))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        let read = BufReader::new(out).read_line(&mut line);
        read.map_err(Trouble::io("reading from the server"))?;
    }
    let server = Server {
        kubeconfig: line.trim().into(),
        pids: vec![child.id()],
        end: End::Child(child),
    };
    if line.trim().is_empty() {
        return Err(Trouble::Silent(
            "the server".to_owned(),
            "it ended".to_owned(),
        ));
    }
    Ok(server)
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/oracle")
}

/// Whether there is something to compare with, or what builds it.
pub(crate) fn has_oracle() -> bool {
    Command::new(script())
        .arg("build")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn oracle(word: &str, folder: &Path) -> Result<String, Trouble> {
    let output = Command::new(script())
        .arg(word)
        .arg(folder)
        .env("ORACLE_BARE", "yes")
        .stderr(Stdio::inherit())
        .output()
        .map_err(Trouble::io("starting the oracle"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Trouble::Command {
        command: format!("oracle {word}"),
        status: output.status.to_string(),
        said: String::new(),
    })
}

fn start_oracle(folder: &Path) -> Result<Server, Trouble> {
    let end = End::Oracle(folder.to_owned());
    let mut server = Server {
        kubeconfig: PathBuf::new(),
        pids: Vec::new(),
        end,
    };
    server.kubeconfig = oracle("up", folder)?.into();
    for name in ["etcd", "kube-apiserver"] {
        let path = folder.join(format!("{name}.pid"));
        let text = fs::read_to_string(&path).map_err(Trouble::io(path.display().to_string()))?;
        let pid = text.trim().parse();
        server
            .pids
            .push(pid.map_err(|_| Trouble::Output(path.display().to_string(), text))?);
    }
    Ok(server)
}

/// To be the embedded API, alone in a process.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where it keeps its objects
    folder: PathBuf,
    /// Serve the kinds of the platform, and run its controllers
    #[arg(long)]
    controllers: bool,
}

/// What the platform's door does to what comes in, without its checks.
struct Door;

impl Admission for Door {
    fn admit(&self, mut request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        let resource = request.resource;
        if resource.group == choreo_model::GROUP && request.operation == Operation::Create {
            choreo_controllers::hold_from_the_beginning(&resource.kind, &mut request.object);
        }
        Ok(Admitted::plain(request.object))
    }
}

/// Serves the API on a folder until the standard input ends; prints the path of a kubeconfig.
pub(crate) fn serve(settings: &Serve) -> Result<(), Box<dyn std::error::Error>> {
    crate::allocation::give_back_at_rest();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let folder = settings.folder.as_path();
        let pods = Arc::new(NoPods);
        let mut definitions = Vec::new();
        let mut door: Arc<dyn Admission> = Arc::new(AllowAll);
        if settings.controllers {
            door = Arc::new(Door);
            definitions.extend(choreo_model::registry().iter().map(choreo_model::Kind::crd));
            definitions.extend(choreo_node::definitions());
        }
        let server = choreo_apiserver::Server::open(folder, definitions, door, pods)?;
        let controllers = (settings.controllers).then(|| {
            let cluster = server.cluster_as("controllers");
            Controllers::start(cluster.clone(), Planes::all(cluster))
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("https://{}", listener.local_addr()?);
        let credentials = Credentials::open(folder, jiff::Timestamp::now())?;
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, credentials.kubeconfig(&url))?;
        let stop = CancellationToken::new();
        let serving = server.serve(listener, &credentials, stop.clone());
        writeln!(std::io::stdout(), "{}", kubeconfig.display())?;
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        tokio::select! {
            served = serving => served?,
            _ = ended => {}
        }
        if let Some(controllers) = controllers {
            controllers.stop().await;
        }
        stop.cancel();
        server.close().await;
        Ok(())
    })
}
