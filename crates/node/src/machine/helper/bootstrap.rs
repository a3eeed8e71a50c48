//! Makes the machine: namespaces, process 1, its view of the host; and cleans up behind it.

use std::{
    fs, io,
    io::Write as _,
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    mount::{MntFlags, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, geteuid},
};

use super::{Layout, advice, identity, mounts, serve};
use crate::machine::{
    Info, Mode,
    cgroup::Cgroups,
    container, descriptors,
    protocol::{Message, Refusal, encode},
};

/// How long process 1 may take to end after the platform went away.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often the outer process looks whether process 1 has ended, when no signal tells it.
const LOOK: u16 = 100;

/// Settings of the network namespace that the machine routes in.
const SYSCTLS: [(&str, &str); 14] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    // Nobody is told which addresses the machine has: links know each other.
    ("net/ipv4/conf/all/arp_ignore", "8"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv4/conf/all/accept_source_route", "0"),
    ("net/ipv4/conf/all/route_localnet", "0"),
    // Whoever may not go somewhere is told each time.
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_msgs_per_sec", "100000"),
    ("net/ipv4/icmp_msgs_burst", "10000"),
];

/// Runs the helper on the socket that is its standard input; returns the exit code.
pub(in crate::machine) fn run(folder: &Path) -> i32 {
    let Ok(socket) = take_standard_input() else {
        return 2;
    };
    match stand(folder, &socket) {
        Ok(code) => code,
        Err(refusal) => {
            refuse(&socket, refusal);
            1
        }
    }
}

/// What the machine turned out to be able to do.
pub(in crate::machine) struct Footing {
    pub(in crate::machine) info: Info,
    pub(in crate::machine) cgroups: Option<Cgroups>,
    /// The control group to show to the container runtime as the root of all.
    groups_to_mount: Option<PathBuf>,
    pub(in crate::machine) layout: Layout,
}

fn take_standard_input() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let nothing = fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&nothing)?;
    Ok(UnixStream::from(socket))
}

fn refuse(mut socket: &UnixStream, refusal: Refusal) {
    if let Ok(frame) = encode(&Message::Refused(refusal)) {
        // The platform may be gone already.
        let _unheard = socket.write_all(&frame);
    }
}

fn step<T>(name: &str, outcome: Result<T, impl Into<io::Error>>) -> Result<T, Refusal> {
    outcome.map_err(|error| refusal(name, &error.into()))
}

fn refusal(step: &str, error: &io::Error) -> Refusal {
    Refusal {
        step: step.to_owned(),
        advice: advice::of_this_host(error),
        cause: error.to_string(),
    }
}

fn stand(folder: &Path, socket: &UnixStream) -> Result<i32, Refusal> {
    let layout = Layout::new(folder);
    // The root of a container without rights over its host is a plain user there.
    let mode = if geteuid().is_root() && !identity::in_user_namespace() {
        Mode::Root
    } else {
        Mode::Rootless
    };
    let mut notes = Vec::new();
    // Before the user namespace, in which nobody but this user's processes can be moved.
    let cgroups = Cgroups::find(folder, mode == Mode::Root)
        .map_err(|reason| notes.push(format!("limits of resources are not enforced: {reason}")))
        .ok();
    let user_ids = match mode {
        Mode::Root => u32::MAX,
        Mode::Rootless => {
            let identity = identity::become_root();
            let identity = identity.map_err(|(step, error)| refusal(step, &error))?;
            notes.extend(identity.note);
            identity.ids
        }
    };
    let spaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    step("making namespaces", unshare(spaces))?;
    remove_leftovers(&layout);
    let info = Info {
        mode,
        limits: cgroups.is_some(),
        user_ids,
        notes,
    };
    let footing = Footing {
        info,
        groups_to_mount: cgroups
            .as_ref()
            .and_then(|groups| groups.to_mount().map(Path::to_owned)),
        cgroups: cgroups.map(Cgroups::mounted),
        layout,
    };
    #[expect(unsafe_code, reason = "processes of new namespaces come from fork")]
    // SAFETY: this process has a single thread, so the child may do anything.
    let forked = unsafe { fork() };
    match step("making process 1", forked)? {
        ForkResult::Child => Ok(first_process(footing, socket)),
        ForkResult::Parent { child } => {
            let code = wait_for(child, socket);
            if let Some(cgroups) = &footing.cgroups {
                cgroups.remove();
            }
            remove_leftovers(&footing.layout);
            Ok(code)
        }
    }
}

/// Writable layers and run files that nothing uses any more.
fn remove_leftovers(layout: &Layout) {
    // Mounted only when a machine has just ended.
    let _unmounted = umount2(&layout.run(), MntFlags::MNT_DETACH);
    for folder in [layout.containers(), layout.run()] {
        // Tried again at the next start.
        let _left = fs::remove_dir_all(folder);
    }
}

/// Waits until process 1 ends, which it does when the platform goes away, of itself or by force.
fn wait_for(child: Pid, socket: &UnixStream) -> i32 {
    let mut deadline = None;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return code,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
            Err(nix::errno::Errno::EINTR) | Ok(_) => {}
            Err(_) => return 1,
        }
        if deadline.is_none() {
            let mut watched = [PollFd::new(socket.as_fd(), PollFlags::empty())];
            let gone = poll(&mut watched, PollTimeout::from(LOOK)).is_ok_and(|ready| ready > 0);
            deadline = gone.then(|| std::time::Instant::now() + FAREWELL);
        } else if deadline.is_some_and(|deadline| std::time::Instant::now() > deadline) {
            // It may have ended just now; the next round reaps it either way.
            let _gone = kill(child, Signal::SIGKILL);
            std::thread::sleep(Duration::from_millis(10));
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn first_process(footing: Footing, socket: &UnixStream) -> i32 {
    match prepare(&footing) {
        Ok(()) => {}
        Err(refusal) => {
            refuse(socket, refusal);
            return 1;
        }
    }
    match socket
        .try_clone()
        .and_then(|socket| serve::run(footing, socket))
    {
        Ok(()) => 0,
        Err(error) => {
            // The log is all that is left to tell.
            let _unheard = writeln!(io::stderr(), "the machine ended: {error}");
            1
        }
    }
}

fn prepare(footing: &Footing) -> Result<(), Refusal> {
    step(
        "tying the machine to its starter",
        set_pdeathsig(Signal::SIGKILL),
    )?;
    step("making mounts private", mounts::make_private())?;
    let run = footing.layout.run();
    let groups = footing.groups_to_mount.as_deref();
    match footing.info.mode {
        Mode::Rootless => step(
            "making a root of its own",
            mounts::enter_small_root(&run, groups),
        )?,
        Mode::Root => {
            step("mounting /proc", mounts::mount_proc(Path::new("/proc")))?;
            if footing.cgroups.is_none() {
                step("hiding control groups", mounts::hide_cgroups())?;
            } else if let Some(groups) = groups {
                let shown = mounts::bind(groups, Path::new(mounts::CGROUPS));
                step("mounting control groups", shown)?;
            }
        }
    }
    step("mounting the run folder", mounts::mount_memory(&run))?;
    for folder in [footing.layout.state(), footing.layout.containers()] {
        step("making folders", fs::create_dir_all(folder))?;
    }
    rehearse_layers(footing)?;
    for (key, value) in SYSCTLS {
        set_sysctl(key, value)?;
    }
    step("enlarging file limits", descriptors::allow_many())
}

/// A file system that cannot be layered is told now, and not by every container.
fn rehearse_layers(footing: &Footing) -> Result<(), Refusal> {
    let Footing { info, layout, .. } = footing;
    let layers = layout.layers(info);
    let rootless = info.mode == Mode::Rootless;
    let containers = layout.containers();
    container::rehearse(&layers, &containers, &layout.run(), rootless).map_err(|error| Refusal {
        step: format!("layering file systems in {}", containers.display()),
        advice: (error.raw_os_error() != Some(nix::libc::ENOSPC)).then(|| {
            "the file system there cannot hold the layers of containers, as others of layers and \
             most of networks cannot: name a data folder elsewhere (--data)"
                .to_owned()
        }),
        cause: error.to_string(),
    })
}

fn set_sysctl(key: &str, value: &str) -> Result<(), Refusal> {
    let path = Path::new("/proc/sys").join(key);
    // A kernel without the feature has nothing to switch off.
    if !path.exists() {
        return Ok(());
    }
    step(&format!("setting {key}"), fs::write(path, value))
}
