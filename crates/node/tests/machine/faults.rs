//! Containers that misbehave, and holders that are killed: nobody else notices.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use choreo_node::machine::{ContainerSpec, Machine as _};

use crate::{
    say,
    world::{PATIENCE, World, pod},
};

impl World {
    /// Whether a container of another pod answers at once.
    async fn answers(&self, served: &ContainerSpec) -> Duration {
        let begun = Instant::now();
        let argv = ["/bin/guest", "get", "127.0.0.1", "8080"].map(str::to_owned);
        let outcome = self
            .machine
            .exec(&served.id, &argv, PATIENCE)
            .await
            .unwrap();
        assert_eq!((outcome.code, outcome.output.as_str()), (0, "calm"));
        begun.elapsed()
    }

    pub(crate) async fn others_do_not_notice(&mut self) {
        let calm = self.serve(&pod(1, 3), "calm").await;
        if self.machine.info().limits {
            self.forks_end_somewhere(&calm).await;
        }
        self.a_killed_holder_takes_its_container_along(&calm).await;
        self.without_a_fork_server_there_is_another(&calm).await;
        self.machine.remove_container(&calm.id).await.unwrap();
    }

    async fn forks_end_somewhere(&mut self, calm: &ContainerSpec) {
        let mut bomb = self.spec(&pod(1, 2), &["fork"]);
        bomb.pids = Some(64);
        bomb.memory = Some(64 << 20);
        bomb.cpu_millis = Some(200);
        self.machine.start_container(&bomb).await.unwrap();
        for _ in 0..3 {
            self.answers(calm).await;
        }
        // It does not listen to signals either.
        let begun = Instant::now();
        let grace = Duration::from_millis(200);
        self.machine.stop_container(&bomb.id, grace).await.unwrap();
        assert_eq!(self.exit_of(&bomb.id).await.code, 137);
        say(&format!("a fork bomb was over after {:?}", begun.elapsed()));
        self.machine.remove_container(&bomb.id).await.unwrap();
        self.answers(calm).await;
    }

    async fn a_killed_holder_takes_its_container_along(&mut self, calm: &ContainerSpec) {
        let victim = self.serve(&pod(1, 2), "victim").await;
        let holder = holder("victim");
        nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).unwrap();
        let exit = self.exit_of(&victim.id).await;
        assert_eq!(exit.code, 137);
        let error = exit.error.unwrap();
        assert!(error.contains("the process that holds"), "{error}");
        self.machine.remove_container(&victim.id).await.unwrap();
        // Its place is free again.
        let again = self.serve(&pod(1, 2), "again").await;
        self.machine.remove_container(&again.id).await.unwrap();
        self.answers(calm).await;
    }

    async fn without_a_fork_server_there_is_another(&mut self, calm: &ContainerSpec) {
        let before = fork_server(&self.folder);
        nix::sys::signal::kill(before, nix::sys::signal::Signal::SIGKILL).unwrap();
        // Those that it forked are nobody's but the helper's, and go on.
        self.answers(calm).await;
        assert_ne!(fork_server(&self.folder), before);
        let next = self.serve(&pod(1, 2), "next").await;
        self.machine.remove_container(&next.id).await.unwrap();
    }
}

/// The process that holds a container which serves a name: the parent of what runs in it.
fn holder(name: &str) -> nix::unistd::Pid {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut processes = all.map(|entry| entry.path());
    let serves = |line: &str| line.starts_with("/bin/guest\0serve\0") && line.contains(name);
    let found = processes.find(|process| {
        serves(&std::fs::read_to_string(process.join("cmdline")).unwrap_or_default())
    });
    let status = std::fs::read_to_string(found.unwrap().join("status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    nix::unistd::Pid::from_raw(parent.unwrap().trim().parse().unwrap())
}

/// The process that holders are forked from.
fn fork_server(folder: &Path) -> nix::unistd::Pid {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let found = all.map(|entry| entry.path()).find(|process| {
        let line = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        line.contains("\0node-forks\0")
            && line.contains(folder.to_str().unwrap())
            && !name.starts_with("node-container")
    });
    let number = found
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .parse();
    nix::unistd::Pid::from_raw(number.unwrap())
}
