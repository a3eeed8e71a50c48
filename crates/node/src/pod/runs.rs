//! The files of a container's runs: one log and one last message each, by number. The run before the
//! present one can still be looked at; older ones are gone.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Container;
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// Where a container leaves its message unless it says otherwise.
const MESSAGE: &str = "/dev/termination-log";
/// Longest message.
const LONGEST: u64 = 4096;
/// What of a log stands for a message: so many bytes, and so many lines.
const TAIL: u64 = 2048;
const LINES: usize = 80;

/// The message of one run of a container, in the container's folder.
pub fn message(folder: &Path, restart: u32) -> PathBuf {
    folder.join(format!("{restart}.message"))
}

/// Where a container finds the file for its message.
pub fn message_path(container: &Container) -> &str {
    let path = container.termination_message_path.as_deref();
    path.filter(|path| !path.is_empty()).unwrap_or(MESSAGE)
}

/// Makes the folder of a container ready for a run: its message is empty, and what is older than the
/// run before is gone.
pub fn prepare(folder: &Path, restart: u32) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.split('.').next());
        let number = number.and_then(|number| number.parse::<u32>().ok());
        if number.is_some_and(|number| number.saturating_add(1) < restart) {
            fs::remove_file(entry.path())?;
        }
    }
    let path = message(folder, restart);
    File::create(&path)?;
    // Whoever the container runs as.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

/// The message that a run left; for one that failed, the end of its log where its container asks for
/// that.
pub fn last_words(
    folder: &Path,
    container: &Container,
    restart: u32,
    failed: bool,
) -> Option<String> {
    // The file is the container's to write: it may be anything by now.
    let left = File::options()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(message(folder, restart));
    let said = left.and_then(|file| text(file.take(LONGEST))).ok();
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        return Some(said);
    }
    let policy = container.termination_message_policy.as_deref();
    if failed && policy == Some("FallbackToLogsOnError") {
        let log = super::spec::log(folder.parent()?, &container.name, restart);
        return tail(&log).ok().filter(|tail| !tail.is_empty());
    }
    None
}

fn text(mut file: impl io::Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines of a log, without what its format adds.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    // Times and marks of so many lines come on top.
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL * 4)))?;
    let all = text(file.take(TAIL * 4))?;
    let lines: Vec<&str> = all
        .lines()
        .filter_map(|line| line.splitn(4, ' ').nth(3))
        .collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let longest = usize::try_from(TAIL).unwrap_or(usize::MAX);
    let mut start = last.len().saturating_sub(longest);
    while !last.is_char_boundary(start) {
        start += 1;
    }
    Ok(last[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("main");
        (home, folder)
    }

    #[test]
    fn only_the_run_before_is_kept() {
        let (_home, folder) = folder();
        for restart in 0..4 {
            prepare(&folder, restart).unwrap();
            for name in [format!("{restart}.log"), format!("{restart}.log.1")] {
                fs::write(folder.join(name), "").unwrap();
            }
        }
        let names = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        let kept = [
            "2.log",
            "2.log.1",
            "2.message",
            "3.log",
            "3.log.1",
            "3.message",
        ];
        assert_eq!(names, kept);
    }

    #[test]
    fn a_run_leaves_its_message_or_the_end_of_its_log() {
        let (_home, folder) = folder();
        prepare(&folder, 0).unwrap();
        let said = |failed| {
            let container =
                json!({"name": "main", "terminationMessagePolicy": "FallbackToLogsOnError"});
            last_words(&folder, &from_value(container).unwrap(), 0, failed)
        };
        assert_eq!(said(true), None);
        let line = |text: &str| format!("2026-01-01T00:00:00Z stderr F {text}\n");
        fs::write(folder.join("0.log"), [line("a b"), line("c")].concat()).unwrap();
        assert_eq!((said(false), said(true)), (None, Some("a b\nc".to_owned())));
        fs::write(folder.join("0.log"), line("x y").repeat(1000)).unwrap();
        assert_eq!(said(true).unwrap().lines().count(), LINES);
        fs::write(message(&folder, 0), "x".repeat(5000)).unwrap();
        assert_eq!(said(false).unwrap().len(), 4096);
        // Nobody is read instead of the file.
        fs::remove_file(message(&folder, 0)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", message(&folder, 0)).unwrap();
        assert_eq!(said(false), None);
    }
}
