//! Sources to launch, and the programs a launcher finds.

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// A user without rights, on every Linux.
const NOBODY: u32 = 65534;
/// What Debian's base has and the launcher uses.
const TOOLS: [&str; 19] = [
    "sh",
    "cat",
    "chmod",
    "env",
    "find",
    "flock",
    "mkdir",
    "mktemp",
    "mount",
    "mv",
    "readlink",
    "rm",
    "sed",
    "setsid",
    "sha256sum",
    "sleep",
    "touch",
    "uname",
    "unshare",
];

/// What a run of the launcher did.
pub(crate) struct Outcome {
    words: String,
    code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            words,
            code,
            out,
            err,
        } = self;
        write!(f, "$ choreo {words}  -> {code}\n{out}\n{err}")
    }
}

impl Outcome {
    /// It succeeded and printed this.
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert_eq!(self.code, 0, "{self}");
        assert!(self.out.contains(text), "`{text}` is not in\n{self}");
        self
    }

    /// It failed so.
    pub(crate) fn fails(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// It said this on standard error.
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "`{text}` is not in\n{self}");
        self
    }
}

/// Sources, tools and a home of a user.
pub(crate) struct World {
    folder: tempfile::TempDir,
    python: Option<PathBuf>,
    foreign: std::cell::Cell<bool>,
}

impl World {
    pub(crate) fn new() -> Self {
        // A space in every path.
        let folder = tempfile::Builder::new()
            .prefix("a launcher ")
            .tempdir()
            .unwrap();
        let world = Self {
            folder,
            python: python(),
            foreign: std::cell::Cell::new(false),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for made in ["bin", "home", "tmp", "sources/crates/one"] {
            fs::create_dir_all(world.at(made)).unwrap();
        }
        for source in [
            "crates/one/lib.rs",
            "Cargo.toml",
            "Cargo.lock",
            "rust-toolchain.toml",
        ] {
            fs::write(world.sources().join(source), "").unwrap();
        }
        fs::copy(root.join("choreo"), world.sources().join("choreo")).unwrap();
        for tool in TOOLS {
            symlink(found(tool).unwrap(), world.at("bin").join(tool)).unwrap();
        }
        world.tool("rustc", "echo host: test-machine");
        world.cargo(&world.building());
        world.program("echo \"ran $*\"; echo \"envoy=$CHOREO_ENVOY\"");
        world.wheel();
        world.pip(&world.downloading());
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.at("home")
    }

    pub(crate) fn sources(&self) -> PathBuf {
        self.at("sources")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.home().join(".cache/choreo")
    }

    /// Puts a script on the path.
    fn tool(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        let new = self.at("bin").join("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Takes a tool off the path.
    pub(crate) fn without(&self, tool: &str) {
        fs::remove_file(self.at("bin").join(tool)).unwrap();
    }

    /// Lets cargo do this.
    pub(crate) fn cargo(&self, script: &str) {
        self.tool(
            "cargo",
            &format!("echo \"$*\" >>\"$HOME/cargo.calls\"\n{script}"),
        );
    }

    /// What cargo does when all is well: the program is a copy of a script.
    pub(crate) fn building(&self) -> String {
        let script = self.at("program");
        format!(
            "while [ $# -gt 0 ]; do [ \"$1\" != --target-dir ] || to=$2; shift; done\n\
             mkdir -p \"$to/release\" && cat '{0}' >\"$to/release/choreo\" && chmod 755 \"$to/release/choreo\"",
            script.display()
        )
    }

    /// What choreo itself does.
    pub(crate) fn program(&self, script: &str) {
        let text = format!("#!/bin/sh\necho \"$*\" >>\"$HOME/program.calls\"\n{script}\n");
        fs::write(self.at("program"), &text).unwrap();
        let built = self.sources().join("target/release/choreo");
        if built.exists() {
            fs::write(built, text).unwrap();
        }
    }

    /// Lets a download of pip do this; the rest of Python is the real one, where there is one.
    pub(crate) fn pip(&self, script: &str) {
        let python = self.python.clone().unwrap_or_default();
        self.tool(
            "python3",
            &format!(
                "[ \"$1 $2\" = '-m pip' ] || exec '{}' \"$@\"\n\
                 [ \"$3\" = download ] || exit 0\n\
                 echo \"$*\" >>\"$HOME/pip.calls\"\n{script}",
                python.display()
            ),
        );
    }

    /// Leaves a Python without pip.
    pub(crate) fn without_pip(&self) {
        self.tool("python3", "exit 1");
    }

    /// What pip does when all is well.
    pub(crate) fn downloading(&self) -> String {
        format!(
            "while [ $# -gt 0 ]; do [ \"$1\" != --dest ] || cat '{}' >\"$2/e.whl\"; shift; done",
            self.at("wheel").display()
        )
    }

    /// Puts the real pip in its place, if there is one.
    pub(crate) fn real_pip(&self) -> bool {
        let Some(python) = &self.python else {
            return false;
        };
        self.tool("python3", &format!("exec '{}' \"$@\"", python.display()));
        let asked = Command::new(python)
            .args(["-m", "pip", "--version"])
            .output();
        asked.is_ok_and(|answer| answer.status.success())
    }

    /// A wheel with a program that packs well, which the launcher expects.
    fn wheel(&self) {
        let Some(python) = &self.python else { return };
        let write = "import sys, zipfile\n\
            with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as wheel:\n\
            \x20   wheel.writestr('envoy/_bin/envoy', bytes(3 << 20))\n";
        let wheel = self.at("wheel");
        let written = Command::new(python)
            .args(["-c", write])
            .arg(&wheel)
            .status();
        assert!(written.unwrap().success());
        let sum = Command::new("sha256sum")
            .arg(&wheel)
            .output()
            .unwrap()
            .stdout;
        self.expect_hash(&String::from_utf8(sum).unwrap()[..64]);
    }

    /// Changes the hash the launcher wants.
    pub(crate) fn expect_hash(&self, hash: &str) {
        let launcher = self.sources().join("choreo");
        let text = fs::read_to_string(&launcher).unwrap();
        let lines = text.lines().map(|line| match line.split_once('=') {
            Some(("ENVOY_SHA256", _)) => format!("ENVOY_SHA256={hash}\n"),
            _ => format!("{line}\n"),
        });
        fs::write(&launcher, lines.collect::<String>()).unwrap();
    }

    /// Changes a source.
    pub(crate) fn change_sources(&self) {
        fs::write(self.sources().join("crates/one/new.rs"), "").unwrap();
    }

    /// A folder with images for `up`.
    pub(crate) fn sample(&self) -> String {
        let sample = self.at("a sample");
        fs::create_dir_all(sample.join("programs")).unwrap();
        fs::write(
            sample.join("images.txt"),
            "# image program\nshop/web:1 web\n",
        )
        .unwrap();
        sample.display().to_string()
    }

    /// The sources become somebody else's: from now on a user without rights runs them.
    pub(crate) fn make_foreign(&self) {
        let open = |path: PathBuf, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(self.folder.path().to_owned(), 0o755);
        open(self.home(), 0o777);
        open(self.at("tmp"), 0o777);
        open(self.sources(), 0o555);
        self.foreign.set(nix::unistd::geteuid().is_root());
    }

    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        self.run_with(words, &[])
    }

    pub(crate) fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let mut command = self.command(&self.sources().join("choreo"));
        ended(
            command
                .args(words)
                .envs(variables.iter().copied())
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn run_as(&self, launcher: &Path, words: &[&str]) -> Outcome {
        ended(self.command(launcher).args(words).spawn().unwrap())
    }

    pub(crate) fn start(&self, words: &[&str]) -> Child {
        // Signals that whoever runs the tests ignores would be ignored by the launcher too.
        let mut command = self.command(Path::new("/usr/bin/env"));
        command.arg("--default-signal=INT,TERM,HUP");
        command.arg(self.sources().join("choreo")).args(words);
        command.spawn().unwrap()
    }

    /// Runs with a cache on a disk that is too small, where mounting is allowed.
    pub(crate) fn run_on_a_small_disk(&self, words: &[&str]) -> Option<Outcome> {
        fs::create_dir_all(self.cache()).unwrap();
        let flags = if nix::unistd::geteuid().is_root() {
            "-m"
        } else {
            "-Urm"
        };
        let mount = "mount -t tmpfs -o size=1m small \"$1\" || exit 77; shift; exec \"$@\"";
        let mut command = self.command(Path::new("unshare"));
        command
            .args([flags, "sh", "-c", mount, "sh"])
            .arg(self.cache());
        command.arg(self.sources().join("choreo")).args(words);
        let outcome = ended(command.spawn().unwrap());
        let refused = outcome.code == 77 || outcome.err.contains("unshare failed");
        (!refused).then_some(outcome)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", self.at("bin"))
            .env("HOME", self.home())
            .env("TMPDIR", self.at("tmp"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.foreign.get() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// How often a tool was called.
    pub(crate) fn calls(&self, tool: &str) -> usize {
        self.calls_with(tool, "")
    }

    pub(crate) fn calls_with(&self, tool: &str, words: &str) -> usize {
        let calls = fs::read_to_string(self.home().join(format!("{tool}.calls")));
        calls
            .unwrap_or_default()
            .lines()
            .filter(|line| line.starts_with(words))
            .count()
    }

    /// The process a hanging tool started.
    pub(crate) fn started(&self) -> String {
        let path = self.home().join("started");
        until("nothing was started", || path.exists());
        let pid = fs::read_to_string(&path).unwrap().trim().to_owned();
        fs::remove_file(path).unwrap();
        pid
    }

    /// No file is left that is neither built nor fetched.
    pub(crate) fn is_tidy(&self) {
        assert_eq!(names(&self.at("tmp")), [""; 0]);
        let target = names(&self.sources().join("target"));
        assert!(target.iter().all(|name| name == "release"), "{target:?}");
        self.is_tidy_in_the_cache();
    }

    pub(crate) fn is_tidy_in_the_cache(&self) {
        let cache = names(&self.cache());
        let known = |name: &String| name == "lock" || name == "envoy-1.40.0";
        assert!(cache.iter().all(known), "{cache:?}");
    }
}

/// Waits until a launcher ended.
pub(crate) fn ended(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    Outcome {
        words: String::new(),
        code: output
            .status
            .code()
            .unwrap_or_else(|| -i32::from(output.status.signal().is_some())),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    kill(&child.id().to_string(), name);
}

/// Ends a process a test left.
pub(crate) fn end(pid: &str) {
    kill(pid, "KILL");
}

fn kill(pid: &str, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, pid])
        .status();
    assert!(sent.unwrap().success());
}

/// Waits until a process is gone.
pub(crate) fn gone(pid: &str) {
    until(&format!("process {pid} goes on"), || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}

fn until(otherwise: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{otherwise}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Where the machine keeps a program.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The real Python, past any wrapper that needs an environment.
fn python() -> Option<PathBuf> {
    let asked = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .ok()?;
    let path = String::from_utf8(asked.stdout).ok()?;
    asked.status.success().then(|| PathBuf::from(path.trim()))
}

/// Says why a test does nothing.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
