//! The same on other hosts: for plain users with one user id and with several, and where user
//! namespaces are forbidden.

use std::{
    fs,
    io::{BufRead as _, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use choreo_node::{
    machine::{LinuxMachine, Machine as _, Settings},
    outside::Reach,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{outward::ENVOY, say, world::guest};

const NOBODY: &str = "65534";
/// Ids that a plain user is granted for this test.
const GRANT: &str = "65534:200000:65536\n";

/// A folder that a plain user can use, with this program in it.
struct Place {
    program: PathBuf,
    guest: PathBuf,
    /// The Envoy program, if there is one.
    envoy: Option<PathBuf>,
}

impl Place {
    fn new(scratch: &Path) -> Self {
        let place = Self {
            program: scratch.join("program"),
            guest: scratch.join("guest"),
            envoy: std::env::var_os(ENVOY).map(|_| scratch.join("envoy")),
        };
        if let (Some(from), Some(to)) = (std::env::var_os(ENVOY), &place.envoy) {
            fs::copy(from, to).unwrap();
        }
        fs::copy(std::env::current_exe().unwrap(), &place.program).unwrap();
        fs::copy(guest(&scratch.join("data")), &place.guest).unwrap();
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o777)).unwrap();
        place
    }

    /// This program, doing something in a folder of its own.
    fn command(&self, task: &str, folder: &Path) -> Command {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(&self.program);
        command
            .arg(task)
            .arg(folder)
            .env("GUEST", &self.guest)
            .current_dir("/");
        if let Some(envoy) = &self.envoy {
            command.env(ENVOY, envoy);
        }
        command
    }
}

/// From root, everything that plain users can do and not do.
pub(crate) fn run_as_others(scratch: &Path) {
    let place = Place::new(scratch);
    let folder = scratch.join("one-id");
    let one = become_nobody(&place.command("run", &folder)).status();
    match one {
        Ok(status) => assert!(status.success(), "with one id: {status}"),
        Err(error) => say(&format!("plain users skipped: setpriv: {error}")),
    }
    let folder = scratch.join("several-ids");
    let status = place.command("granted", &folder).status().unwrap();
    assert!(status.success(), "with several ids: {status}");
    folders_of_layers_are_refused(&place, &scratch.join("layered"));
    user_namespaces_are_forbidden(&place, &scratch.join("forbidden"));
}

/// The same command as a plain user.
fn become_nobody(command: &Command) -> Command {
    let mut plain = Command::new("setpriv");
    plain
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir("/");
    for (name, value) in command.get_envs() {
        plain.env(name, value.unwrap());
    }
    plain
}

/// Runs everything as a plain user to whom /etc/subuid grants ids, which only this process sees.
pub(crate) fn be_granted_users(folder: &Path) {
    if !Path::new("/usr/bin/newuidmap").exists() {
        say("several user ids skipped: newuidmap is not installed");
        return;
    }
    let layer = folder.with_file_name("etc");
    // The files need not exist.
    cover(Path::new("/etc"), &layer, |upper| {
        for name in ["subuid", "subgid"] {
            fs::write(upper.join(name), GRANT).unwrap();
        }
    });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("run").arg(folder);
    for name in ["GUEST", ENVOY] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let error = become_nobody(&command).exec();
    panic!("setpriv: {error}");
}

/// Lays a layer, held in memory at `layer`, over a folder; only this process sees it.
fn cover(folder: &Path, layer: &Path, fill: impl Fn(&Path)) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).unwrap();
    fs::create_dir_all(layer).unwrap();
    mount(Some("tmpfs"), layer, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    for part in [&upper, &work] {
        fs::create_dir(part).unwrap();
        fs::set_permissions(part, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fill(&upper);
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        folder.display(),
        upper.display(),
        work.display()
    );
    let overlay = Some("overlay");
    let flags = MsFlags::empty();
    mount(overlay, folder, overlay, flags, Some(options.as_str())).unwrap();
}

/// A data folder that cannot hold layers is refused, before any container needs it.
fn folders_of_layers_are_refused(place: &Place, folder: &Path) {
    let output = place.command("layered", folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["layering file systems in", "data folder elsewhere (--data)"] {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    say(&format!("a data folder of layers: {text}"));
}

/// Starts a machine on a folder that is itself made of layers.
pub(crate) fn be_layered(folder: &Path) {
    cover(folder, &folder.with_file_name("layer"), |_| {});
    say_whether_it_starts(folder);
}

/// A host that gives plain users no namespaces says which setting it is.
fn user_namespaces_are_forbidden(place: &Place, folder: &Path) {
    let mut host = place
        .command("forbidden", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(host.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "namespace");
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", host.id()), "0 0 70000\n").unwrap();
    }
    host.stdin.take().unwrap().write_all(b"mapped\n").unwrap();
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(host.wait().unwrap().success());
    let text = said.join("\n");
    for part in [
        "making a user namespace",
        "user.max_user_namespaces is 0",
        "sysctl -w user.max_user_namespaces=15000",
        "run the platform as root",
    ] {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    say(&format!("forbidden user namespaces: {text}"));
}

/// Becomes a plain user of a user namespace in which no further one may be made.
pub(crate) fn be_forbidden(folder: &Path) {
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    println!("namespace");
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .unwrap();
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("try").arg(folder);
    let error = become_nobody(&command).exec();
    panic!("setpriv: {error}");
}

/// Starts a machine and says what came of it.
pub(crate) fn say_whether_it_starts(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let settings = Settings {
        folder: folder.to_owned(),
        self_exe: std::env::current_exe().unwrap(),
        reach: Reach::default(),
    };
    match runtime.block_on(LinuxMachine::start(settings)) {
        Ok(machine) => println!("it starts: {:?}", machine.info()),
        Err(error) => println!("{error}"),
    }
}
