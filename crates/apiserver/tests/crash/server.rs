//! The process that is killed: this test program, started as a server.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use choreo_apiserver::{AllowAll, Credentials, NoPods, Server};
use jiff::Timestamp;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio_util::sync::CancellationToken;

/// Set for the process that serves.
const FOLDER: &str = "CHOREO_CRASH_FOLDER";

/// Serves until killed, if this process was started for that.
pub(crate) fn be_one_if_asked() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(Path::new(&folder)));
}

async fn serve(folder: &Path) {
    let server = Server::open(folder, Vec::new(), Arc::new(AllowAll), Arc::new(NoPods)).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let credentials = Credentials::open(folder, Timestamp::now()).unwrap();
    let file = folder.join("kubeconfig");
    std::fs::write(&file, credentials.kubeconfig(&url)).unwrap();
    // Behind whatever the test's own frame has written on the line.
    println!("\nserving {}", file.display());
    let forever = CancellationToken::new();
    server.serve(listener, &credentials, forever).await.unwrap();
}

/// A server in a process of its own; it does not outlive this value.
pub(crate) struct Process {
    child: Child,
    kubeconfig: PathBuf,
}

impl Process {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "every_acknowledged_write_survives_kills",
                "--nocapture",
            ])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let path = lines
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("serving ").map(PathBuf::from));
        Self {
            child,
            kubeconfig: path.expect("the server must start again after every kill"),
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let config = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options)
            .await
            .unwrap();
        Client::try_from(config).unwrap()
    }

    /// Kills it, as a lack of memory would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
