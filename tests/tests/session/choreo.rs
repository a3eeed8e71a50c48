//! One platform under test: its program, its folder, its ports.

use std::{
    fmt, fs,
    io::Write,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    PATIENCE,
    disk::Disk,
    http::{self, Answer},
    machine,
};

/// The programs of the sample.
const PROGRAMS: [&str; 4] = ["web", "catalog", "recommendations", "restock"];
/// Where a shell and tar in one program that needs no libraries may be.
const TOOLS: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];
/// A user without rights, on every Linux.
const NOBODY: u32 = 65534;

/// One platform under test.
pub(crate) struct Choreo {
    home: tempfile::TempDir,
    program: PathBuf,
    envoy: Option<PathBuf>,
    sample: PathBuf,
    programs: Option<PathBuf>,
    user: Option<u32>,
    port: u16,
    internal_port: u16,
    disk: Option<Disk>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The command.
    pub(crate) command: String,
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) out: String,
    /// What it said besides.
    pub(crate) err: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "$ {}  -> {}\n{}\n{}",
            self.command, self.code, self.out, self.err
        )
    }
}

impl Outcome {
    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl Outcome {
    /// The platform's process, as `up` tells it.
    fn process(&self) -> u32 {
        let pid = self.json()["platform"]["pid"].as_u64();
        pid.and_then(|pid| u32::try_from(pid).ok()).unwrap()
    }
}

impl Choreo {
    /// As a newcomer has it: the launcher of the repository.
    pub(crate) fn by_launcher() -> Option<Self> {
        machine::allows(machine::is_root()).then(|| {
            let root = root();
            let (port, internal_port) = ports();
            Self {
                home: tempfile::Builder::new()
                    .prefix("choreo test ")
                    .tempdir()
                    .unwrap(),
                program: root.join("choreo"),
                envoy: None,
                sample: root.join("samples/storefront"),
                programs: None,
                user: None,
                port,
                internal_port,
                disk: None,
            }
        })
    }

    /// With the data folder on a disk of its own that is soon full.
    pub(crate) fn on_a_small_disk() -> Option<Self> {
        if !machine::is_root() {
            skipped("only root can make a small disk");
            return None;
        }
        let mut choreo = Self::by_launcher()?;
        fs::create_dir(choreo.data()).unwrap();
        choreo.disk = Disk::at(&choreo.data());
        choreo.disk.is_some().then_some(choreo)
    }

    /// The small disk.
    pub(crate) fn disk(&self) -> &Disk {
        self.disk.as_ref().unwrap()
    }

    /// As a user without rights, where the tests have some to give up. The user may not be able to
    /// read the repository, so that everything needed is copied.
    pub(crate) fn without_rights() -> Option<Self> {
        if !machine::is_root() {
            skipped("the tests do not run as root, so that the other session is rootless already");
            return None;
        }
        if !machine::allows(false) {
            return None;
        }
        let built = Self::by_launcher()?;
        // Builds the programs and fetches Envoy.
        built.up_or_skip()?;
        built.down();
        let choreo = Self::copied();
        for name in PROGRAMS {
            let (image, program) = (format!("storefront/{name}:1"), choreo.program(name));
            choreo
                .run(&["image", "pack", &image, "--program", &program])
                .ok();
        }
        Some(choreo)
    }

    /// Everything a user needs who may not be able to read the repository.
    fn copied() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = |from: &Path, to: &str| {
            let to = home.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, &to).unwrap();
            to
        };
        for entry in fs::read_dir(root().join("samples/storefront"))
            .unwrap()
            .map(Result::unwrap)
        {
            if entry
                .path()
                .extension()
                .is_some_and(|ending| ending == "yaml")
            {
                copy(
                    &entry.path(),
                    &format!("storefront/{}", entry.file_name().display()),
                );
            }
        }
        for name in PROGRAMS {
            copy(&programs().join(name), &format!("programs/{name}"));
        }
        let program = copy(&target().join("debug/choreo"), "choreo");
        let envoy = Some(copy(&cached_envoy(), "envoy"));
        let data = home.path().join("data");
        fs::create_dir(&data).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        let (sample, programs) = (home.path().join("storefront"), home.path().join("programs"));
        let (port, internal_port) = ports();
        let user = Some(NOBODY);
        Self {
            home,
            program,
            envoy,
            sample,
            programs: Some(programs),
            user,
            port,
            internal_port,
            disk: None,
        }
    }

    /// Starts the platform with the sample; returns its process.
    pub(crate) fn up(&self) -> u32 {
        self.start().ok().process()
    }

    fn up_or_skip(&self) -> Option<()> {
        Self::or_skip(self.start())?;
        Some(())
    }

    /// Starts the platform without applying anything, where Envoy can be had; returns its process.
    pub(crate) fn up_bare_or_skip(&self) -> Option<u32> {
        Some(Self::or_skip(self.up_bare())?.process())
    }

    fn or_skip(outcome: Outcome) -> Option<Outcome> {
        if outcome.code == 8 && outcome.err.contains("Envoy") {
            skipped(&outcome.err);
            return None;
        }
        Some(outcome.ok())
    }

    /// Starts the platform as it was left: applies nothing.
    pub(crate) fn up_again(&self) -> u32 {
        self.up_bare().ok().process()
    }

    /// Tries to start the platform without applying anything.
    pub(crate) fn up_bare(&self) -> Outcome {
        self.start_with(&[])
    }

    /// Starts the platform without applying anything, where Envoy can be had, with more words to the command.
    pub(crate) fn up_with_or_skip(&self, words: &[&str]) -> Option<()> {
        Self::or_skip(self.start_with(words)).map(drop)
    }

    fn start(&self) -> Outcome {
        self.start_with(&[&self.sample()])
    }

    fn start_with(&self, more: &[&str]) -> Outcome {
        let (port, internal) = (self.port.to_string(), self.internal_port.to_string());
        let mut words = vec![
            "up",
            "--detach",
            "--output",
            "json",
            "--gateway-port",
            &port,
        ];
        words.extend(["--internal-gateway-port", &internal]);
        words.extend(more);
        self.run(&words)
    }

    /// Stops the platform.
    pub(crate) fn down(&self) {
        self.run(&["down"]).ok();
    }

    /// Runs a command.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        self.command(words, "")
    }

    /// Packs the image `tools:1`: a shell with what goes with it, and files. None where there is none.
    pub(crate) fn pack_tools(&self, files: &[String]) -> Option<()> {
        let Some(tools) = TOOLS.into_iter().find(|path| Path::new(path).exists()) else {
            skipped("there is no busybox for an image with a shell");
            return None;
        };
        let (sh, tar) = (
            format!("--add={tools}:/bin/sh"),
            format!("--add={tools}:/bin/tar"),
        );
        let mut words = vec!["image", "pack", "tools:1", "--program", tools, &sh, &tar];
        words.extend(files.iter().map(String::as_str));
        let packed = self.run(&words);
        if packed.code != 0 {
            skipped(&packed.to_string());
            return None;
        }
        Some(())
    }

    /// Packs the image `answers:1`: the program that says which request it got, with the libraries it needs and
    /// whom the platform trusts.
    pub(crate) fn pack_answers(&self) {
        let program = self.home.path().join("answers");
        fs::copy(env!("CARGO_BIN_EXE_answers"), &program).unwrap();
        let mut files: Vec<String> = libraries(&program)
            .iter()
            .map(|library| format!("--add={library}:{library}"))
            .collect();
        if self.authority().exists() {
            let authority = self.authority().display().to_string();
            files.push(format!("--add={authority}:/authority.pem"));
        }
        let program = program.display().to_string();
        let mut words = vec!["image", "pack", "answers:1", "--program", &program];
        words.extend(files.iter().map(String::as_str));
        self.run(&words).ok();
    }

    /// Lets the platform trust an authority, given in PEM, and no others.
    pub(crate) fn trusts(&self, authority: &str) {
        fs::write(self.authority(), authority).unwrap();
    }

    fn authority(&self) -> PathBuf {
        self.home.path().join("authority.pem")
    }

    /// Applies a text.
    pub(crate) fn apply(&self, text: &str) -> Outcome {
        self.command(&["apply", "-f", "-"], text)
    }

    /// The kubectl of this machine, for the platform.
    pub(crate) fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(self.data().join("kubeconfig"))
            .args(words)
            .env_remove("KUBECONFIG")
            .env("HOME", self.home.path());
        command
    }

    /// Runs kubectl.
    pub(crate) fn kubectl(&self, words: &[&str], input: &str) -> Outcome {
        let name = format!("kubectl {}", words.join(" "));
        outcome(self.kubectl_command(words), name, input)
    }

    /// Runs a command with something to read.
    pub(crate) fn tell(&self, words: &[&str], input: &str) -> Outcome {
        self.command(words, input)
    }

    fn command(&self, words: &[&str], input: &str) -> Outcome {
        let mut command = match &self.disk {
            None => Command::new(&self.program),
            Some(disk) => disk.command(&self.program),
        };
        command
            .args(words)
            .env("CHOREO_DATA", self.data())
            .env("CHOREO_PROFILE", "dev");
        command.env_remove("CHOREO_LOG").current_dir("/");
        if let Some(envoy) = &self.envoy {
            command.env("CHOREO_ENVOY", envoy);
        }
        if self.authority().exists() {
            command.env("SSL_CERT_FILE", self.authority());
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user).env("HOME", self.home.path());
        }
        outcome(command, format!("choreo {}", words.join(" ")), input)
    }

    /// Asks through the gateway. A name without a domain gets the platform's.
    pub(crate) fn get(&self, host: &str, path: &str) -> Answer {
        let host = if host.contains('.') {
            host.to_owned()
        } else {
            self.host_of(host)
        };
        http::get(self.port, &host, path, PATIENCE)
    }

    /// The port of the gateway.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sends a request through the gateway.
    pub(crate) fn ask(&self, request: &http::Request<'_>) -> Answer {
        http::ask(self.port, request, PATIENCE)
    }

    /// Waits until a host answers a path with 200.
    pub(crate) fn waits_for(&self, host: &str, path: &str) {
        let asked = || self.get(host, path);
        waits(
            || asked().status == 200,
            || format!("{host}{path}: {:?}", asked()),
        );
    }

    /// The host of a web application, whose name ends with a hash: as its binding says it.
    fn host_of(&self, start: &str) -> String {
        let bindings = self.run(&["get", "bindings", "-o", "json"]).ok().json();
        let endpoints = bindings["items"].as_array().unwrap().iter();
        endpoints
            .flat_map(|binding| {
                binding["status"]["endpoints"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .filter_map(|endpoint| {
                endpoint["externalURLs"]["http"]["host"]
                    .as_str()
                    .map(str::to_owned)
            })
            .find(|host| host.starts_with(start))
            .unwrap_or_else(|| panic!("no endpoint has a host {start}..."))
    }

    /// The folder with everything the platform keeps; its name has a space in it.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The sample.
    pub(crate) fn sample(&self) -> String {
        self.sample.display().to_string()
    }

    /// A program of the sample.
    pub(crate) fn program(&self, name: &str) -> String {
        let folder = self.programs.clone().unwrap_or_else(programs);
        folder.join(name).display().to_string()
    }
}

impl Drop for Choreo {
    fn drop(&mut self) {
        // A test that failed half-way must not leave a platform behind.
        self.run(&["down"]);
    }
}

/// Runs a command to its end.
fn outcome(mut command: Command, name: String, input: &str) -> Outcome {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command need not read what it is given.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        command: name,
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The shared libraries of a program, and what loads them.
fn libraries(program: &Path) -> Vec<String> {
    let told = Command::new("ldd").arg(program).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let words = told
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(str::to_owned).collect()
}

/// Says why a test does nothing.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {}", why.trim());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where the launcher builds the sample's programs.
fn programs() -> PathBuf {
    let folder = target().join("programs");
    let found = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(Result::unwrap);
    found
        .map(|entry| entry.path().join("release"))
        .find(|release| release.join("catalog").is_file())
        .unwrap_or_else(|| folder.join("release"))
}

/// The Envoy that the launcher uses: the one it is told, or the one it keeps.
fn cached_envoy() -> PathBuf {
    if let Some(told) = std::env::var_os("CHOREO_ENVOY") {
        return PathBuf::from(told);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = cache.or(home).unwrap().join("choreo");
    let mut programs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    programs.retain(|path| path.is_file());
    programs.pop().unwrap()
}

/// Two ports that were free a moment ago.
fn ports() -> (u16, u16) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second] = listeners.map(|listener| listener.local_addr().unwrap().port());
    (first, second)
}

/// Waits until something holds; says what is the matter if it never does.
pub(crate) fn waits(holds: impl Fn() -> bool, matter: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", matter());
        thread::sleep(Duration::from_millis(100));
    }
}
