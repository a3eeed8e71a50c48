//! Starting a program of the platform itself, such as the gateway's proxy, with as few rights as it
//! can have: this program, re-executed, gives them up and becomes the other one.
//!
//! The program is a user of its own without capabilities and without a way to get any. It sees the
//! machine's files read-only, except for one folder. It is found, and its folder brought to where it
//! may go, before the rights are gone, so that neither has to be reachable for everyone.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{PermissionsExt as _, chown},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::prctl::set_no_new_privs,
    unistd::{Gid, Uid, chdir, fexecve, setgroups, setresgid, setresuid},
};
use serde::{Deserialize, Serialize};

use super::mounts::{bind, mount_memory};
use crate::machine::{Gate, Process};

/// Argument that makes this program become another one.
pub(in crate::machine) const PROGRAM: &str = "node-program";

/// The user that programs are, if the machine has as many. Images use nobody and its neighbours.
const USER: u32 = 64_085;
/// A folder that every host has and no program of the platform needs.
const PLACE: &str = "/tmp";
/// Exit code of a program that could not be started, as shells have it.
const NOT_STARTED: i32 = 126;

/// What becomes a program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) process: Process,
    /// The network namespace of such programs.
    pub(super) netns: PathBuf,
    /// How many user ids there are.
    pub(super) user_ids: u32,
}

impl Job {
    /// The user the program is: the machine's root only where there is no other.
    fn user(&self) -> u32 {
        USER.min(self.user_ids - 1)
    }
}

/// Becomes the program of the job in a file; returns an exit code when that fails.
pub(in crate::machine) fn run(job: &Path) -> i32 {
    let outcome = fs::read(job)
        .and_then(|bytes| Ok(serde_json::from_slice::<Job>(&bytes)?))
        .and_then(|job| become_program(&job));
    if let Err(error) = outcome {
        // Standard error is the program's log.
        let _unheard = writeln!(io::stderr(), "cannot start: {error}");
    }
    NOT_STARTED
}

fn become_program(job: &Job) -> io::Result<()> {
    let Process {
        argv,
        folder,
        writable,
        gate,
        ..
    } = &job.process;
    let program = argv.first().map_or("", String::as_str);
    let program = File::open(program)
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    // While it may go where the socket is.
    let gate = gate.as_deref().map(Gate::open).transpose()?;
    give(&folder.join(writable), job.user())?;
    setns(File::open(&job.netns)?, CloneFlags::CLONE_NEWNET)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    enter(folder, writable)?;
    give_up_rights(job)?;
    let words = argv.iter().map(|word| CString::new(word.as_bytes()));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    if let Some(gate) = gate {
        gate.pass()?;
    }
    let environment: [CString; 0] = [];
    match fexecve(&program, &words, &environment) {
        Ok(never) => match never {},
        Err(error) => Err(io::Error::new(
            io::Error::from(error).kind(),
            format!(
                "{} as user {}: {error}; everyone must be allowed to execute it",
                argv.join(" "),
                job.user()
            ),
        )),
    }
}

/// Moves into the program's folder, mounted where everybody can go, and makes all but its writable
/// part read-only.
fn enter(folder: &Path, writable: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none)?;
    // Held, since it may be in what the next mount hides.
    let held = File::open(folder)?;
    let place = Path::new(PLACE);
    mount_memory(place)?;
    let place = place.join("program");
    fs::create_dir(&place)?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    bind(&source, &place)?;
    let writable = place.join(writable);
    bind(&writable, &writable)?;
    set_read_only(Path::new("/"), true)?;
    set_read_only(&writable, false)?;
    Ok(chdir(&place)?)
}

/// Makes a folder that the program owns and the platform's user may use as well, through its group.
fn give(folder: &Path, user: u32) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    chown(folder, Some(user), Some(0))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o2770))
}

/// Changes whether what is mounted at a place, and for a whole tree below it, can be written.
///
/// Kernels before 5.12 cannot: there the owners of files decide alone.
fn set_read_only(target: &Path, read_only: bool) -> io::Result<()> {
    let flags = if read_only { libc::AT_RECURSIVE } else { 0 };
    let bit = libc::MOUNT_ATTR_RDONLY;
    let attributes = libc::mount_attr {
        attr_set: if read_only { bit } else { 0 },
        attr_clr: if read_only { 0 } else { bit },
        propagation: 0,
        userns_fd: 0,
    };
    let target = CString::new(target.as_os_str().as_bytes())?;
    #[expect(unsafe_code, reason = "the call has no binding")]
    // SAFETY: the path ends with a zero byte; the kernel reads as many bytes of the attributes as it
    // is told there are, and neither is kept.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    match Errno::result(outcome) {
        Ok(_) | Err(Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Gives up every right that the program, or what it starts, could use.
fn give_up_rights(job: &Job) -> io::Result<()> {
    for capability in 0_u64.. {
        #[expect(unsafe_code, reason = "the call has no binding")]
        // SAFETY: the call takes numbers only.
        let outcome = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match Errno::result(outcome) {
            Ok(_) => {}
            // One more than the kernel knows.
            Err(Errno::EINVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let (user, group) = (Uid::from_raw(job.user()), Gid::from_raw(job.user()));
    if job.user_ids > 1 {
        setgroups(&[])?;
        setresgid(group, group, group)?;
        setresuid(user, user, user)?;
    }
    // The root of a machine with one user id loses its capabilities when it executes, because none
    // is left to be had.
    Ok(set_no_new_privs()?)
}
