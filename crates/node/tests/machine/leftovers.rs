//! Nothing is left of a machine, however it ends.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use choreo_node::machine::{Machine as _, Process};
use sha2::{Digest as _, Sha256};

use crate::{
    say,
    world::{PATIENCE, World, guest, pod},
};

/// A platform with a container, until it is killed.
pub(crate) fn hold(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::start(folder).await.unwrap();
        let mut spec = world.spec(&pod(1, 2), &["sleep"]);
        spec.memory = Some(64 << 20);
        world.machine.start_container(&spec).await.unwrap();
        let sleeper = ["/bin/sleep", "1234"].map(str::to_owned).to_vec();
        let log = folder.join("sleeper.log");
        let process = Process {
            name: "sleeper".to_owned(),
            argv: sleeper,
            folder: folder.to_owned(),
            writable: "live".into(),
            log,
            gate: None,
        };
        world.machine.run_process(&process).await.unwrap();
        say("held");
        std::future::pending::<()>().await;
    });
}

pub(crate) fn a_killed_platform_leaves_nothing(folder: &Path) {
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

pub(crate) fn assert_nothing_left(folder: &Path) {
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
