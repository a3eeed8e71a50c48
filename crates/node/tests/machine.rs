//! The real machine: namespaces, containers, packets. Runs as root and, from there or by itself, as a
//! plain user; where the host forbids it, it says so and passes.
//!
//! It has its own `main`, because it is also the program that the machine re-executes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cognitive_complexity,
    reason = "a test, though without the harness"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use choreo_node::machine::{
    self, Allow, Cell, ContainerSpec, Event, Exit, LayerSource, LinuxMachine, Machine, Mode,
    NetworkPlan, PodSandbox, Probe, Process, Protocol, ServiceRule, Settings, StartError,
};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::Receiver;

const PATIENCE: Duration = Duration::from_secs(20);
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
const NOBODY: &str = "65534";

fn main() {
    machine::entry();
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["hold", folder] => hold(Path::new(folder)),
        ["rootless", folder] => run(Path::new(folder)),
        // What the harness would understand is not meant for this program.
        ["--list", ..] => {}
        _ => run_all(),
    }
}

fn say(text: &str) {
    println!("machine: {text}");
}

fn run_all() {
    let scratch = tempfile::tempdir().unwrap();
    let root = nix::unistd::geteuid().is_root();
    run(&scratch.path().join("data"));
    if root {
        run_as_nobody(scratch.path());
    }
}

/// Copies this program to where a plain user can read it, and runs it as one.
fn run_as_nobody(scratch: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let program = scratch.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let folder = scratch.join("nobody");
    fs::create_dir(&folder).unwrap();
    fs::copy(guest(&folder), scratch.join("guest")).unwrap();
    for path in [scratch, &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let status = Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(&program)
        .arg("rootless")
        .arg(&folder)
        .env("GUEST", scratch.join("guest"))
        .current_dir("/")
        .status();
    match status {
        Ok(status) => assert!(status.success(), "rootless: {status}"),
        Err(error) => say(&format!("rootless skipped: setpriv: {error}")),
    }
}

fn run(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let Some(mut world) = World::start(folder).await else {
            return;
        };
        let name = format!("{:?}", world.machine.info().mode);
        say(&format!("{name}: {:?}", world.machine.info()));
        world.containers_run().await;
        say(&format!("{name}: containers"));
        world.cells_are_apart().await;
        say(&format!("{name}: cells"));
        world.services_balance().await;
        say(&format!("{name}: services"));
        world.limits_hold().await;
        say(&format!("{name}: limits"));
        world.commands_and_probes().await;
        say(&format!("{name}: commands and probes"));
        world.processes_are_supervised().await;
        say(&format!("{name}: processes"));
        world.pods_end().await;
        world.machine.shutdown().await.unwrap();
        assert_nothing_left(folder);
        say(&format!("{name}: shutdown"));
    });
    drop(runtime);
    a_killed_platform_leaves_nothing(folder);
    say("killed platform");
}

struct World {
    machine: LinuxMachine,
    events: Receiver<Event>,
    folder: PathBuf,
    layer: PathBuf,
    next: AtomicU32,
}

impl World {
    async fn start(folder: &Path) -> Option<Self> {
        let self_exe = std::env::current_exe().unwrap();
        let begun = Instant::now();
        let settings = Settings {
            folder: folder.to_owned(),
            self_exe,
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
            machine,
            events,
            folder,
            layer,
            next: AtomicU32::new(0),
        };
        world.machine.apply_network(&plan()).await.unwrap();
        for (cell, host) in [(1, 2), (1, 3), (2, 2)] {
            world.machine.create_pod(&pod(cell, host)).await.unwrap();
        }
        Some(world)
    }

    fn spec(&self, pod: &PodSandbox, argv: &[&str]) -> ContainerSpec {
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
            read_only_root: false,
            mounts: Vec::new(),
            memory: None,
            cpu_millis: None,
            pids: None,
            log: self.folder.join(format!("logs/{number}.log")),
        }
    }

    async fn exit_of(&mut self, id: &str) -> Exit {
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
    async fn output(&mut self, pod: &PodSandbox, argv: &[&str]) -> (i32, String) {
        let spec = self.spec(pod, argv);
        self.output_of(spec).await
    }

    async fn output_of(&mut self, spec: ContainerSpec) -> (i32, String) {
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

    async fn serve(&self, pod: &PodSandbox, name: &str) -> ContainerSpec {
        let spec = self.spec(pod, &["serve", "8080", name]);
        self.machine.start_container(&spec).await.unwrap();
        let probe = Probe::Tcp {
            address: pod.address,
            port: 8080,
        };
        for _ in 0..200 {
            if self.machine.probe(&probe, PATIENCE).await.unwrap().is_ok() {
                return spec;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} does not serve");
    }

    async fn containers_run(&mut self) {
        let web = pod(1, 2);
        let begun = Instant::now();
        let said = self.output(&web, &["say", "out", "err"]).await;
        say(&format!(
            "a container's whole life took {:?}",
            begun.elapsed()
        ));
        let lines = said.1.lines().collect::<BTreeSet<_>>();
        assert_eq!(lines, BTreeSet::from(["stdout F out", "stderr F err"]));
        assert_eq!(self.output(&web, &["exit", "7"]).await.0, 7);
        assert_eq!(
            self.output(&web, &["env", "COLOUR"]).await.1,
            "stdout F blue"
        );
        assert_eq!(self.output(&web, &["cwd"]).await.1, "stdout F /made/for/me");
        assert_eq!(self.output(&web, &["write", "/new"]).await.0, 0);
        let hosts = self.output(&web, &["show", "/etc/hosts"]).await.1;
        assert!(hosts.contains("10.1.0.2\tweb-1-2"), "{hosts}");
        let mut sealed = self.spec(&web, &["write", "/new"]);
        sealed.read_only_root = true;
        assert_eq!(self.output_of(sealed).await.0, 101);
        self.what_cannot_start_says_why(&web).await;
    }

    async fn what_cannot_start_says_why(&self, pod: &PodSandbox) {
        let mut missing = self.spec(pod, &[]);
        missing.argv = vec!["/bin/missing".to_owned()];
        let error = self
            .machine
            .start_container(&missing)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/bin/missing") && error.contains("is not in the image"),
            "{error}"
        );
        let mut plain = self.spec(pod, &[]);
        plain.argv = vec!["/etc/plain".to_owned()];
        let error = self
            .machine
            .start_container(&plain)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("may not be executed"), "{error}");
        if self.machine.info().user_ids == 1 {
            let mut other = self.spec(pod, &["exit", "0"]);
            other.user = (1000, 1000);
            let error = self
                .machine
                .start_container(&other)
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains("only user 0 is available"), "{error}");
        }
    }

    async fn cells_are_apart(&mut self) {
        let (client, server, stranger) = (pod(1, 3), pod(1, 2), pod(2, 2));
        let serving = self.serve(&server, "web").await;
        let address = server.address.to_string();
        assert_eq!(
            self.output(&client, &["get", &address, "8080"]).await.1,
            "stdout F web"
        );
        let apart = self.output(&stranger, &["get", &address, "8080"]).await;
        assert_eq!(apart, (1, "stdout F TimedOut".to_owned()));
        let mut open = plan();
        open.allow.push(Allow {
            to: server.address,
            protocol: Some(Protocol::Tcp),
            port: Some(8080),
            from: Some(vec![stranger.address]),
        });
        self.machine.apply_network(&open).await.unwrap();
        assert_eq!(
            self.output(&stranger, &["get", &address, "8080"]).await.1,
            "stdout F web"
        );
        self.machine.apply_network(&plan()).await.unwrap();
        assert_eq!(
            self.output(&stranger, &["get", &address, "8080"]).await.0,
            1
        );
        // Neither its own cell's nor another cell's gateway offers anything but names.
        for gateway in ["10.1.0.1", "10.2.0.1"] {
            assert_eq!(
                self.output(&stranger, &["get", gateway, "53053"]).await.0,
                1
            );
        }
        self.machine.remove_container(&serving.id).await.unwrap();
    }

    async fn services_balance(&mut self) {
        let pods = [pod(1, 2), pod(1, 3)];
        let first = self.serve(&pods[0], "one").await;
        let second = self.serve(&pods[1], "two").await;
        self.machine
            .apply_network(&with_service(&pods))
            .await
            .unwrap();
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            let (code, text) = self.output(&pods[0], &["get", "shop", "80"]).await;
            assert_eq!(code, 0, "{text}");
            seen.insert(text);
        }
        assert_eq!(
            seen,
            BTreeSet::from(["stdout F one".to_owned(), "stdout F two".to_owned()])
        );
        let probe = Probe::Http {
            address: SERVICE,
            port: 80,
            path: "/".into(),
            headers: Vec::new(),
        };
        self.machine.probe(&probe, PATIENCE).await.unwrap().unwrap();
        assert_eq!(
            self.output(&pods[0], &["resolve", "other"]).await.1,
            "stdout F NXDOMAIN"
        );
        self.machine
            .apply_network(&with_service(&[]))
            .await
            .unwrap();
        let refused = self
            .output(&pods[0], &["get", "shop.cell-1.svc.cluster.local", "80"])
            .await;
        assert_eq!(refused, (1, "stdout F ConnectionRefused".to_owned()));
        self.machine.remove_container(&first.id).await.unwrap();
        self.machine.remove_container(&second.id).await.unwrap();
        self.machine.apply_network(&plan()).await.unwrap();
    }

    async fn limits_hold(&mut self) {
        if !self.machine.info().limits {
            say("limits skipped: no writable control groups");
            return;
        }
        let mut spec = self.spec(&pod(1, 2), &["eat"]);
        spec.memory = Some(64 << 20);
        spec.cpu_millis = Some(500);
        spec.pids = Some(16);
        self.machine.start_container(&spec).await.unwrap();
        let exit = self.exit_of(&spec.id).await;
        assert_eq!(
            exit,
            Exit {
                code: 137,
                out_of_memory: true,
                error: None
            }
        );
        self.machine.remove_container(&spec.id).await.unwrap();
    }

    async fn commands_and_probes(&mut self) {
        let web = pod(1, 2);
        let spec = self.serve(&web, "web").await;
        let command = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let run = |words: &[&str], limit| {
            let argv = command(words);
            let (machine, id) = (&self.machine, spec.id.clone());
            async move { machine.exec(&id, &argv, limit).await }
        };
        let outcome = run(&["/bin/guest", "env", "COLOUR"], PATIENCE)
            .await
            .unwrap();
        assert_eq!((outcome.code, outcome.output.as_str()), (0, "blue\n"));
        assert_eq!(
            run(&["/bin/guest", "exit", "3"], PATIENCE)
                .await
                .unwrap()
                .code,
            3
        );
        let own = run(&["/bin/guest", "get", "127.0.0.1", "8080"], PATIENCE)
            .await
            .unwrap();
        assert_eq!(own.output, "web");
        let late = run(&["/bin/guest", "sleep"], Duration::from_millis(300)).await;
        assert!(late.unwrap_err().to_string().contains("did not end"));
        let probe = |port| Probe::Http {
            address: web.address,
            port,
            path: "/healthz".into(),
            headers: Vec::new(),
        };
        self.machine
            .probe(&probe(8080), PATIENCE)
            .await
            .unwrap()
            .unwrap();
        assert!(
            self.machine
                .probe(&probe(1), PATIENCE)
                .await
                .unwrap()
                .is_err()
        );
        let begun = Instant::now();
        self.machine
            .stop_container(&spec.id, Duration::from_millis(200))
            .await
            .unwrap();
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(self.exit_of(&spec.id).await.code, 137);
        self.machine.remove_container(&spec.id).await.unwrap();
    }

    async fn processes_are_supervised(&mut self) {
        let process = |argv: &[&str]| Process {
            name: "sleeper".to_owned(),
            argv: argv.iter().map(ToString::to_string).collect(),
            log: self.folder.join("sleeper.log"),
        };
        self.machine
            .run_process(&process(&["/bin/sleep", "100"]))
            .await
            .unwrap();
        self.machine
            .run_process(&process(&["/bin/sh", "-c", "echo hello; exit 4"]))
            .await
            .unwrap();
        let mut codes = Vec::new();
        while codes.len() < 2 {
            let event = tokio::time::timeout(PATIENCE, self.events.recv())
                .await
                .unwrap()
                .unwrap();
            if let Event::ProcessExited { code, .. } = event {
                codes.push(code);
            }
        }
        assert_eq!(codes, [143, 4]);
        assert_eq!(
            fs::read_to_string(self.folder.join("sleeper.log")).unwrap(),
            "hello\n"
        );
    }

    async fn pods_end(&mut self) {
        let web = pod(1, 2);
        let spec = self.serve(&web, "web").await;
        self.machine.delete_pod(&web.uid).await.unwrap();
        self.machine.delete_pod(&web.uid).await.unwrap();
        assert_eq!(self.exit_of(&spec.id).await.code, 137);
        assert!(
            self.machine
                .stop_container(&spec.id, PATIENCE)
                .await
                .is_err()
        );
    }
}

fn pod(cell: u8, host: u8) -> PodSandbox {
    PodSandbox {
        uid: format!("pod-{cell}-{host}"),
        namespace: format!("cell-{cell}"),
        hostname: format!("web-{cell}-{host}"),
        address: Ipv4Addr::new(10, cell, 0, host),
    }
}

fn plan() -> NetworkPlan {
    let cell = |index: u8| Cell {
        index: index.into(),
        gateway: Ipv4Addr::new(10, index, 0, 1),
        prefix: 24,
        names: [(
            format!("shop.cell-{index}.svc.cluster.local"),
            vec![SERVICE],
        )]
        .into(),
    };
    let cells = [1, 2].map(|index| (format!("cell-{index}"), cell(index)));
    NetworkPlan {
        cells: BTreeMap::from(cells),
        ..NetworkPlan::default()
    }
}

fn with_service(pods: &[PodSandbox]) -> NetworkPlan {
    let mut plan = plan();
    plan.services.push(ServiceRule {
        address: SERVICE,
        port: 80,
        protocol: Protocol::Tcp,
        backends: pods.iter().map(|pod| (pod.address, 8080)).collect(),
    });
    plan.allow.extend(pods.iter().map(|pod| Allow {
        to: pod.address,
        protocol: Some(Protocol::Tcp),
        port: Some(8080),
        from: None,
    }));
    plan
}

/// The guest program, built once per run.
fn guest(folder: &Path) -> PathBuf {
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
fn image(folder: &Path) -> LayerSource {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, body: &[u8], mode| {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        archive.append_data(&mut header, name, body).unwrap();
    };
    add("bin/guest", &fs::read(guest(folder)).unwrap(), 0o755);
    add("etc/plain", b"no program", 0o644);
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

/// A platform with a container, until it is killed.
fn hold(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::start(folder).await.unwrap();
        assert!(matches!(
            world.machine.info().mode,
            Mode::Root | Mode::Rootless
        ));
        let mut spec = world.spec(&pod(1, 2), &["sleep"]);
        spec.memory = Some(64 << 20);
        world.machine.start_container(&spec).await.unwrap();
        let sleeper = ["/bin/sleep", "1234"].map(str::to_owned).to_vec();
        let log = folder.join("sleeper.log");
        let process = Process {
            name: "sleeper".to_owned(),
            argv: sleeper,
            log,
        };
        world.machine.run_process(&process).await.unwrap();
        say("held");
        std::future::pending::<()>().await;
    });
}

fn a_killed_platform_leaves_nothing(folder: &Path) {
    use std::io::{BufRead as _, BufReader};
    let mut platform = Command::new(std::env::current_exe().unwrap())
        .arg("hold")
        .arg(folder)
        .env("GUEST", guest(folder))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(platform.stdout.take().unwrap()).lines();
    let held = lines
        .map_while(Result::ok)
        .any(|line| line.ends_with("held"));
    assert!(held, "the platform did not come up");
    assert!(!processes_of(folder).is_empty());
    platform.kill().unwrap();
    platform.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !processes_of(folder).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_nothing_left(folder);
}

/// Processes whose arguments name the folder, this one's family aside.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " "))
        .filter(|arguments| arguments.contains(needle) && arguments.contains("node-"))
        .collect()
}

fn assert_nothing_left(folder: &Path) {
    assert_eq!(processes_of(folder), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(folder.to_str().unwrap()), "{mounts}");
    for name in ["containers", "run"] {
        assert!(!folder.join(name).exists(), "{name} is left");
    }
    // Other platforms on this host have groups of their own.
    let digest = Sha256::digest(
        folder
            .canonicalize()
            .unwrap()
            .as_os_str()
            .as_encoded_bytes(),
    );
    let hex = digest[..6]
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let groups = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    for group in groups.map(|entry| entry.path().join(format!("choreo-{hex}"))) {
        assert!(!group.exists(), "{} is left", group.display());
    }
}
