//! What can be seen of a platform from outside: processes and mounts.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::{Pid, geteuid},
};

use crate::{PATIENCE, choreo::skipped};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, so that a number used again is told apart.
    pub(crate) started: String,
    /// The first word of its command line.
    pub(crate) command: String,
    parent: u32,
}

/// Whether the tests have root's rights.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Whether this machine allows the namespaces containers need; says so when not.
pub(crate) fn allows(root: bool) -> bool {
    let flags = if root { "-nm" } else { "-Urnm" };
    let tried = Command::new("unshare")
        .args([flags, "true"])
        .stderr(Stdio::null())
        .status();
    let allowed = tried.is_ok_and(|status| status.success());
    if !allowed {
        skipped(&format!(
            "this machine allows no namespaces (unshare {flags} true)"
        ));
    }
    allowed
}

/// Everything below a process.
pub(crate) fn descendants(of: u32) -> Vec<Process> {
    let all = processes();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Ends a process at once.
pub(crate) fn kill(pid: u32) {
    signal::kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

/// Waits until none of the processes is left.
pub(crate) fn gone(these: &[Process]) {
    let start = Instant::now();
    loop {
        let now = processes();
        let left: Vec<_> = these
            .iter()
            .filter(|one| {
                now.iter()
                    .any(|other| other.pid == one.pid && other.started == one.started)
            })
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "still there: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Mounts below a folder, as this process sees them.
pub(crate) fn mounts(folder: impl AsRef<Path>) -> Vec<String> {
    let folder = folder.as_ref().display().to_string().replace(' ', "\\040");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|line| line.contains(&folder))
        .map(str::to_owned)
        .collect()
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// A process, unless it ended meanwhile or waits only to be noticed.
fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if *fields.first()? == "Z" {
        return None;
    }
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = line.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Process {
        pid,
        started: (*fields.get(19)?).to_owned(),
        command: String::from_utf8_lossy(command).into_owned(),
        parent: fields.get(1)?.parse().ok()?,
    })
}
