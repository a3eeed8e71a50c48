//! What the kernel says about processes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// The unit in which Linux tells programs how long something ran: the same on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Memory of one process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Everything resident, pages of the program's file included.
    pub(crate) resident: u64,
    /// What no file backs, whoever shares it.
    pub(crate) anonymous: u64,
    /// Everything resident, where a page that several processes share counts to each of them by its
    /// part.
    pub(crate) proportional: u64,
    /// What the kernel keeps to find the pages.
    pub(crate) tables: u64,
}

/// The memory of a process.
pub(crate) fn memory(pid: u32) -> io::Result<Memory> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    };
    let (pages, status) = (read("smaps_rollup")?, read("status")?);
    Ok(Memory {
        resident: field(&pages, "Rss"),
        anonymous: field(&pages, "Anonymous"),
        proportional: field(&pages, "Pss"),
        tables: field(&status, "VmPTE"),
    })
}

/// Ends a process that is not asked.
pub(crate) fn kill(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(signal::kill(Pid::from_raw(pid), Signal::SIGKILL)?)
}

/// A field of a file that counts in units of 1024 bytes.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kilobytes| kilobytes * 1024)
        .next()
        .unwrap_or_default()
}

/// How long a process has used a processor, in its own code and in the kernel.
pub(crate) fn busy(pid: u32) -> io::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    Ok(ticks(&text) * TICK)
}

/// The 14th and 15th field of `stat`. The second is a name in brackets, with whatever in it.
fn ticks(text: &str) -> u32 {
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields = behind.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u32>().ok()).sum()
}

/// The processes of a name (`comm`) whose arguments name something in a folder.
pub(crate) fn named(name: &str, folder: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        if let Some(pid) = pid_of(&path) {
            // A process may end while it is looked at.
            let is_named =
                fs::read_to_string(path.join("comm")).is_ok_and(|its| its.trim() == name);
            let arguments = fs::read(path.join("cmdline")).unwrap_or_default();
            let mut arguments = arguments.split(|byte| *byte == 0);
            let names_folder =
                arguments.any(|one| one.starts_with(folder.as_os_str().as_encoded_bytes()));
            if is_named && names_folder {
                found.push(pid);
            }
        }
    }
    Ok(found)
}

/// The processes that a process has started, and those they have started, of programs whose name begins so.
pub(crate) fn started_by(ancestor: u32, program: &str) -> io::Result<Vec<u32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // A process may end while it is looked at.
        let text = fs::read_to_string(path.join("stat")).unwrap_or_default();
        if let (Some(pid), Some(parent)) = (pid_of(&path), parent(&text)) {
            parents.insert(pid, parent);
        }
    }
    let descends = |pid: &u32| {
        let up = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
        up.skip(1).any(|pid| pid == ancestor)
    };
    let is_program = |pid: &u32| {
        let running = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let name = running.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(program.as_bytes())
    };
    let found = parents.keys().copied();
    Ok(found.filter(descends).filter(is_program).collect())
}

/// The 4th field of `stat`.
fn parent(text: &str) -> Option<u32> {
    let behind = text.rsplit_once(')')?.1;
    behind.split_whitespace().nth(1)?.parse().ok()
}

fn pid_of(path: &Path) -> Option<u32> {
    PathBuf::from(path.file_name()?).to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_bytes() {
        let text =
            "55d0-7ffe ---p 00000000 00:00 0  [rollup]\nRss:    2048 kB\nAnonymous:   4 kB\n";
        assert_eq!(field(text, "Rss"), 2 << 20);
        assert_eq!(field(text, "Anonymous"), 4096);
        assert_eq!(field(text, "Swap"), 0);
    }

    #[test]
    fn times_stand_behind_the_name() {
        let text = "7 (a) b) S 1 7 7 0 -1 64 1 2 3 4 50 8 9 9 20 0 3 0 77";
        assert_eq!(ticks(text), 58);
        assert_eq!(parent(text), Some(1));
        assert!(busy(std::process::id()).is_ok());
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.resident > memory.anonymous && memory.anonymous > 0);
        assert!(memory.resident >= memory.proportional && memory.proportional > 0);
        assert!(memory.tables > 0);
    }
}
