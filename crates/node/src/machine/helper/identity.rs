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

/// What this process has become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// How many ids are usable.
    pub(super) ids: u32,
    /// Why there is only one, and what would give more.
    pub(super) note: Option<String>,
}

impl Identity {
    fn single(reason: &str) -> Self {
        Self {
            ids: 1,
            note: Some(format!("containers have one user id only: {reason}")),
        }
    }
}

/// Exit code of the process that maps ids, when not even user ids could be mapped.
const NO_USERS: i32 = 1;
/// The same, when user ids were and group ids could not be mapped.
const NO_GROUPS: i32 = 2;

/// Whether this process is in a user namespace that some other one made.
pub(super) fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| mapped(&map) < u32::MAX)
}

/// How many ids from 0 on a namespace has, by its map: `first inside, first outside, count`.
fn mapped(map: &str) -> u32 {
    let mut ranges: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            let first = numbers.next()?.ok()?;
            Some((first, numbers.nth(1)?.ok()?))
        })
        .collect();
    ranges.sort_unstable();
    ranges.into_iter().fold(0, |end, (first, count)| {
        if first == end {
            end.saturating_add(count)
        } else {
            end
        }
    })
}

/// The root of a user namespace stays who it is.
fn stay_root() -> io::Result<Identity> {
    let ids = |name: &str| fs::read_to_string(name).map(|map| mapped(&map));
    let ids = ids("/proc/self/uid_map")?.min(ids("/proc/self/gid_map")?);
    Ok(match ids {
        0 | 1 => Identity::single("the user namespace around the platform has no more"),
        ids => Identity { ids, note: None },
    })
}

/// Enters a new user namespace as its root, unless this is the root of one.
///
/// With `newuidmap` and ranges granted to this user, the ranges follow after id 0; otherwise the
/// calling user alone is mapped. An error comes with the step that failed.
pub(super) fn become_root() -> Result<Identity, (&'static str, io::Error)> {
    let enter = || {
        unshare(CloneFlags::CLONE_NEWUSER)
            .map_err(|error| ("making a user namespace", io::Error::from(error)))
    };
    let map = |error| ("mapping user ids", error);
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    if uid == 0 {
        return stay_root().map_err(map);
    }
    let grant = match (mappers(), granted_ranges(uid)) {
        (Some(tools), Some(ranges)) => Ok((tools, ranges)),
        (None, _) => Err("newuidmap is not installed (package uidmap)"),
        (_, None) => Err("/etc/subuid and /etc/subgid grant this user no range"),
    };
    let (tools, ranges) = match grant {
        Ok(grant) => grant,
        Err(reason) => {
            enter()?;
            map_users(uid).and_then(|()| map_groups(gid)).map_err(map)?;
            return Ok(Identity::single(reason));
        }
    };
    // The tools must run outside the namespace they map, so they wait in a child for it.
    let (go, ready) = pipe().map_err(|error| map(error.into()))?;
    #[expect(unsafe_code, reason = "the tools need a process outside the namespace")]
    // SAFETY: this process has a single thread, so the child may do anything.
    let forked = unsafe { fork() }.map_err(|error| map(error.into()))?;
    match forked {
        ForkResult::Child => {
            drop(ready);
            let code = map_parent(&go, &tools, &ranges, (uid, gid));
            #[expect(clippy::exit, reason = "a forked child is a process of its own")]
            std::process::exit(code)
        }
        ForkResult::Parent { child } => {
            drop(go);
            enter()?;
            write(&ready, b"!")
                .map_err(io::Error::from)
                .and_then(|_| finish_mapping(child, &ranges, (uid, gid)))
                .map_err(map)
        }
    }
}

/// Waits for the tools, and maps itself what they would not.
fn finish_mapping(
    child: Pid,
    (uids, gids): &(Range, Range),
    (uid, gid): (u32, u32),
) -> io::Result<Identity> {
    let refused = |tool: &str, file: &str| {
        Identity::single(&format!(
            "{tool} refused the range of {file}; it has to be installed setuid, and the range to be \
             this user's"
        ))
    };
    let WaitStatus::Exited(_, code) = waitpid(child, None)? else {
        return Err(io::Error::other("the process that maps them was killed"));
    };
    if code == 0 {
        return Ok(Identity {
            ids: 1 + uids.count.min(gids.count),
            note: None,
        });
    }
    if code == NO_GROUPS {
        map_groups(gid)?;
        return Ok(refused("newgidmap", "/etc/subgid"));
    }
    map_users(uid)?;
    map_groups(gid)?;
    Ok(refused("newuidmap", "/etc/subuid"))
}

/// Runs the tools once the parent is in its namespace; returns the exit code that tells how far they
/// came.
fn map_parent(
    go: &OwnedFd,
    (newuidmap, newgidmap): &(PathBuf, PathBuf),
    (uids, gids): &(Range, Range),
    (uid, gid): (u32, u32),
) -> i32 {
    if !matches!(read(go, &mut [0]), Ok(1)) {
        return NO_USERS;
    }
    let parent = nix::unistd::getppid();
    let map = |tool: &Path, id: u32, range: &Range| {
        Command::new(tool)
            .arg(parent.to_string())
            .args(["0", &id.to_string(), "1"])
            .args(["1", &range.start.to_string(), &range.count.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    };
    if !map(newuidmap, uid, uids) {
        NO_USERS
    } else if !map(newgidmap, gid, gids) {
        NO_GROUPS
    } else {
        0
    }
}

fn map_users(uid: u32) -> io::Result<()> {
    fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))
}

fn map_groups(gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
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
    fn ids_are_counted_from_root_on() {
        let check = |map, expected| assert_eq!(mapped(map), expected, "{map:?}");
        check("         0          0 4294967295\n", u32::MAX);
        check("0 1000 1\n", 1);
        check("1 200000 65536\n0 1000 1\n", 65_537);
        check("0 1000 1\n7 200000 10\n", 1);
        check("", 0);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000), Some("ann"));
        assert_eq!(user_name(passwd, 7), None);
    }
}
