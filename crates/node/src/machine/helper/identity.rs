//! Becoming root of a user namespace: which user ids the machine may use.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork, getgid, getuid, pipe, read, write},
};

/// A range of subordinate ids, as /etc/subuid grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u32,
    count: u32,
}

/// Enters a new user namespace as its root and returns how many ids are usable in it.
///
/// With `newuidmap` and ranges granted to this user, the ranges follow after id 0; otherwise the
/// calling user alone is mapped.
pub(super) fn become_root() -> io::Result<u32> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let granted = mappers().zip(granted_ranges(uid));
    let Some(((newuidmap, newgidmap), (uids, gids))) = granted else {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        map_self(uid, gid)?;
        return Ok(1);
    };
    // The tools must run outside the namespace they map, so they wait in a child for it.
    let (go, ready) = pipe()?;
    #[expect(unsafe_code, reason = "the tools need a process outside the namespace")]
    // SAFETY: this process has a single thread, so the child may do anything.
    let forked = unsafe { fork() }?;
    match forked {
        ForkResult::Child => {
            drop(ready);
            let done = map_parent(&go, (&newuidmap, uid, uids), (&newgidmap, gid, gids));
            #[expect(clippy::exit, reason = "a forked child is a process of its own")]
            std::process::exit(i32::from(done.is_err()))
        }
        ForkResult::Parent { child } => {
            drop(go);
            unshare(CloneFlags::CLONE_NEWUSER)?;
            write(&ready, b"!")?;
            wait_for_mapping(child)?;
            Ok(1 + uids.count.min(gids.count))
        }
    }
}

fn wait_for_mapping(child: Pid) -> io::Result<()> {
    if matches!(waitpid(child, None)?, WaitStatus::Exited(_, 0)) {
        return Ok(());
    }
    Err(io::Error::other(
        "newuidmap or newgidmap refused the range of /etc/subuid",
    ))
}

fn map_parent(
    go: &OwnedFd,
    (newuidmap, uid, uids): (&Path, u32, Range),
    (newgidmap, gid, gids): (&Path, u32, Range),
) -> io::Result<()> {
    let mut byte = [0];
    if read(go, &mut byte)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let parent = nix::unistd::getppid();
    for (tool, id, range) in [(newuidmap, uid, uids), (newgidmap, gid, gids)] {
        let status = Command::new(tool)
            .arg(parent.to_string())
            .args(["0", &id.to_string(), "1"])
            .args(["1", &range.start.to_string(), &range.count.to_string()])
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("{} failed", tool.display())));
        }
    }
    Ok(())
}

fn map_self(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"))
}

fn mappers() -> Option<(PathBuf, PathBuf)> {
    let find = |name| {
        ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"]
            .iter()
            .map(|folder| Path::new(folder).join(name))
            .find(|path| path.exists())
    };
    find("newuidmap").zip(find("newgidmap"))
}

fn granted_ranges(uid: u32) -> Option<(Range, Range)> {
    let name = fs::read_to_string("/etc/passwd")
        .ok()
        .and_then(|passwd| user_name(&passwd, uid).map(str::to_owned));
    let find = |file: &str| {
        let table = fs::read_to_string(file).ok()?;
        granted(&table, name.as_deref(), uid)
    };
    find("/etc/subuid").zip(find("/etc/subgid"))
}

fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The largest range that a table of subordinate ids grants to a user, by name or by number.
fn granted(table: &str, name: Option<&str>, uid: u32) -> Option<Range> {
    let number = uid.to_string();
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let range = Range {
                start: fields.next()?.parse().ok()?,
                count: fields.next()?.parse().ok()?,
            };
            (owner == number || Some(owner) == name).then_some(range)
        })
        .filter(|range| range.count > 0)
        .max_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let table = "ann:100000:65536\n1001:200000:1000\nann:300000:10\nbroken\nbob:x:1\n";
        let ann = Range {
            start: 100_000,
            count: 65536,
        };
        let check = |name, uid, expected| assert_eq!(granted(table, name, uid), expected);
        check(Some("ann"), 1000, Some(ann));
        check(
            None,
            1001,
            Some(Range {
                start: 200_000,
                count: 1000,
            }),
        );
        check(Some("bob"), 1002, None);
        check(None, 1003, None);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000), Some("ann"));
        assert_eq!(user_name(passwd, 7), None);
    }
}
