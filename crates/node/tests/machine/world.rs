//! A machine with two cells and three pods, and what the tests do with it.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use choreo_node::{
    machine::{
        Cell, CellNames, ContainerSpec, Event, Exit, LayerSource, LinuxMachine, Machine, Names,
        NetworkPlan, PodRules, PodSandbox, Probe, Protocol, ServiceRule, Settings, StartError,
        Stdin,
    },
    pod::security,
};
use k8s_openapi::api::core::v1::Container;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::Receiver;

use crate::{away, say};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);

/// Cells and numbers of the pods.
const PODS: [(u8, u8); 3] = [(1, 2), (1, 3), (2, 2)];

pub(crate) struct World {
    pub(crate) machine: Arc<LinuxMachine>,
    pub(crate) events: Receiver<Event>,
    pub(crate) folder: PathBuf,
    pub(crate) layer: PathBuf,
    next: AtomicU32,
}

impl World {
    pub(crate) async fn start(folder: &Path) -> Option<Self> {
        let self_exe = std::env::current_exe().unwrap();
        let begun = Instant::now();
        let settings = Settings {
            folder: folder.to_owned(),
            self_exe,
            reach: away::reach().await,
        };
        let machine = match LinuxMachine::start(settings).await {
            Ok(machine) => machine,
            Err(error @ StartError::Refused { .. }) => {
                say(&format!("skipped: {error}"));
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        say(&format!("started in {:?}", begun.elapsed()));
        let events = machine.events();
        let layer = machine.unpack(&image(folder)).await.unwrap();
        assert_eq!(machine.unpack(&image(folder)).await.unwrap(), layer);
        let folder = folder.to_owned();
        let world = Self {
            machine: Arc::new(machine),
            events,
            folder,
            layer,
            next: AtomicU32::new(0),
        };
        world.machine.apply_network(&plan()).await.unwrap();
        for (cell, host) in PODS {
            world.machine.create_pod(&pod(cell, host)).await.unwrap();
        }
        Some(world)
    }

    pub(crate) fn spec(&self, pod: &PodSandbox, argv: &[&str]) -> ContainerSpec {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        ContainerSpec {
            id: format!("{}-c-{number}", pod.uid),
            pod_uid: pod.uid.clone(),
            layers: vec![self.layer.clone()],
            argv: ["/bin/guest"]
                .iter()
                .chain(argv)
                .map(ToString::to_string)
                .collect(),
            env: [("COLOUR".to_owned(), "blue".to_owned())].into(),
            cwd: "/made/for/me".into(),
            user: (0, 0),
            groups: Vec::new(),
            capabilities: security::capabilities(&Container::default()),
            unconfined: false,
            read_only_root: false,
            mounts: Vec::new(),
            memory: None,
            cpu_millis: None,
            cpu_weight: None,
            pids: None,
            stop_signal: 15,
            stdin: Stdin::Closed,
            tty: false,
            among: None,
            log: self.folder.join(format!("logs/{number}.log")),
        }
    }

    pub(crate) async fn exit_of(&mut self, id: &str) -> Exit {
        let wait = async {
            loop {
                if let Event::ContainerExited { id: ended, exit } =
                    self.events.recv().await.unwrap()
                    && ended == id
                {
                    return exit;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }

    /// Runs a program to its end: exit and log without times.
    pub(crate) async fn output(&mut self, pod: &PodSandbox, argv: &[&str]) -> (i32, String) {
        let spec = self.spec(pod, argv);
        self.output_of(spec).await
    }

    pub(crate) async fn output_of(&mut self, spec: ContainerSpec) -> (i32, String) {
        self.machine.start_container(&spec).await.unwrap();
        let exit = self.exit_of(&spec.id).await;
        assert_eq!(exit.error, None);
        let log = fs::read_to_string(&spec.log).unwrap();
        let lines = log
            .lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned());
        let text = lines.collect::<Vec<_>>().join("\n");
        self.machine.remove_container(&spec.id).await.unwrap();
        (exit.code, text)
    }

    pub(crate) async fn serve(&self, pod: &PodSandbox, name: &str) -> ContainerSpec {
        let spec = self.spec(pod, &["serve", "8080", name]);
        self.serves(pod, &spec).await;
        spec
    }

    /// Starts a container that serves, and waits until it does.
    pub(crate) async fn serves(&self, pod: &PodSandbox, spec: &ContainerSpec) {
        self.machine.start_container(spec).await.unwrap();
        let probe = Probe::Tcp {
            address: pod.address,
            port: 8080,
        };
        let late = tokio::time::Instant::now() + PATIENCE;
        while self.machine.probe(&probe, PATIENCE).await.unwrap().is_err() {
            assert!(
                tokio::time::Instant::now() < late,
                "{:?} does not serve",
                spec.argv
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn pod(cell: u8, host: u8) -> PodSandbox {
    PodSandbox {
        uid: format!("pod-{cell}-{host}"),
        namespace: format!("cell-{cell}"),
        hostname: format!("web-{cell}-{host}"),
        address: Ipv4Addr::new(10, cell, 0, host),
        names: Names::default(),
        memory: Vec::new(),
    }
}

pub(crate) fn plan() -> NetworkPlan {
    let cell = |index: u8| Cell {
        index: index.into(),
        gateway: Ipv4Addr::new(10, index, 0, 1),
        prefix: 24,
        names: CellNames {
            addresses: [(
                format!("shop.cell-{index}.svc.cluster.local"),
                vec![SERVICE],
            )]
            .into(),
            ..CellNames::default()
        },
    };
    let cells = [1, 2].map(|index| (format!("cell-{index}"), cell(index)));
    let pods = PODS.map(|(cell, host)| {
        let pod = pod(cell, host);
        let rules = PodRules {
            namespace: pod.namespace,
            ingress: None,
            egress: None,
        };
        (pod.address, rules)
    });
    NetworkPlan {
        cells: BTreeMap::from(cells),
        pods: BTreeMap::from(pods),
        ..NetworkPlan::default()
    }
}

pub(crate) fn with_service(pods: &[PodSandbox]) -> NetworkPlan {
    let mut plan = plan();
    plan.services.push(ServiceRule {
        address: SERVICE,
        port: 80,
        protocol: Protocol::Tcp,
        backends: pods.iter().map(|pod| (pod.address, 8080)).collect(),
        affinity: None,
    });
    plan
}

/// The guest program, built once per run.
pub(crate) fn guest(folder: &Path) -> PathBuf {
    if let Some(built) = std::env::var_os("GUEST") {
        return built.into();
    }
    let program = folder.with_extension("guest");
    if !program.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/program.rs");
        let status = Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "-C",
                "target-feature=+crt-static",
                "-o",
            ])
            .args([&program, &source])
            .status()
            .unwrap();
        assert!(status.success());
    }
    program
}

/// A layer with the guest program in it.
pub(crate) fn image(folder: &Path) -> LayerSource {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, body: &[u8], mode, owner| {
        let mut header = tar::Header::new_gnu();
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(body.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        archive.append_data(&mut header, name, body).unwrap();
    };
    add("bin/guest", &fs::read(guest(folder)).unwrap(), 0o755, 0);
    add("etc/plain", b"no program", 0o644, 0);
    add("srv/secret", b"of user 33", 0o600, 33);
    let bytes = archive.into_inner().unwrap();
    let hex = Sha256::digest(&bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let blob = folder.join("blob");
    fs::write(&blob, bytes).unwrap();
    LayerSource {
        blob,
        gzip: false,
        diff_id: format!("sha256:{hex}"),
    }
}
