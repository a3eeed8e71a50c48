//! What a container may not do, seen from inside it.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use choreo_node::{
    machine::{ContainerSpec, Machine as _, Mode, Mount},
    pod::security,
};
use k8s_openapi::api::core::v1::Container;
use nix::libc;
use serde_json::json;

use crate::{
    say,
    world::{PATIENCE, World, pod},
};

/// Numbers of capabilities by the kernel's header.
const CAPABILITIES: [(&str, u32); 10] = [
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_KILL", 5),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_NET_BIND_SERVICE", 10),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_SETFCAP", 31),
];

/// What a process is given in /proc, as numbers by name.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.contains(name)).unwrap();
    let value = line.rsplit(['\t', ' ']).next().unwrap();
    u64::from_str_radix(value, 16).unwrap()
}

fn mask<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    names.into_iter().fold(0, |mask, name| {
        let (_, number) = CAPABILITIES.iter().find(|(one, _)| *one == name).unwrap();
        mask | 1 << number
    })
}

fn capabilities(changes: &serde_json::Value) -> BTreeSet<String> {
    let container = json!({"name": "c", "securityContext": {"capabilities": changes}});
    security::capabilities(&serde_json::from_value::<Container>(container).unwrap())
}

impl World {
    async fn status_of(&mut self, spec: ContainerSpec) -> String {
        let (code, status) = self.output_of(spec).await;
        assert_eq!(code, 0, "{status}");
        status
    }

    pub(crate) async fn containers_have_no_rights(&mut self) {
        let web = pod(1, 2);
        let show_status = ["show", "/proc/self/status"];
        let status = self.status_of(self.spec(&web, &show_status)).await;
        let given = capabilities(&json!({}));
        let expected = mask(given.iter().map(String::as_str));
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(field(&status, set), expected, "{set} {status}");
        }
        let own = [
            ("CapInh", 0),
            ("CapAmb", 0),
            ("NoNewPrivs", 1),
            ("Seccomp:", 2),
        ];
        for (set, expected) in own {
            assert_eq!(field(&status, set), expected, "{set} {status}");
        }
        let mut changed = self.spec(&web, &show_status);
        changed.capabilities = capabilities(&json!({"drop": ["ALL"], "add": ["SYS_CHROOT"]}));
        let status = self.status_of(changed).await;
        assert_eq!(field(&status, "CapEff"), mask(["CAP_SYS_CHROOT"]));
        self.commands_have_no_more(expected).await;
        self.system_calls_are_filtered().await;
        self.the_host_is_hidden().await;
    }

    /// A command run in a container has the container's rights.
    async fn commands_have_no_more(&mut self, expected: u64) {
        let spec = self.spec(&pod(1, 2), &["sleep"]);
        self.machine.start_container(&spec).await.unwrap();
        let argv = ["/bin/guest", "show", "/proc/self/status"].map(str::to_owned);
        let outcome = self.machine.exec(&spec.id, &argv, PATIENCE).await.unwrap();
        assert_eq!(field(&outcome.output, "CapEff"), expected);
        assert_eq!(field(&outcome.output, "CapBnd"), expected);
        assert_eq!(field(&outcome.output, "NoNewPrivs"), 1);
        assert_eq!(field(&outcome.output, "Seccomp:"), 2);
        self.machine.remove_container(&spec.id).await.unwrap();
    }

    async fn system_calls_are_filtered(&mut self) {
        let web = pod(1, 2);
        let answer = |text: String| text.rsplit(' ').next().unwrap().parse::<i32>().unwrap();
        let (user_namespace, denied, unknown) = (0x1000_0000_i64.to_string(), 1, 38);
        let calls = [
            (libc::SYS_getppid, "0", 0),
            (libc::SYS_unshare, user_namespace.as_str(), denied),
            (libc::SYS_keyctl, "0", denied),
            (libc::SYS_io_uring_setup, "1", denied),
            (libc::SYS_clone3, "0", unknown),
        ];
        for (call, argument, expected) in calls {
            let argv = ["call", &call.to_string(), argument];
            assert_eq!(answer(self.output(&web, &argv).await.1), expected, "{call}");
        }
        let mut free = self.spec(&web, &["call", &libc::SYS_unshare.to_string(), "0"]);
        free.unconfined = true;
        assert_eq!(answer(self.output_of(free).await.1), 0);
    }

    async fn the_host_is_hidden(&mut self) {
        let web = pod(1, 2);
        let hidden = ["/proc/kcore", "/proc/keys", "/proc/timer_list"];
        // No kernel has all of them.
        for masked in hidden.iter().filter(|path| Path::new(path).exists()) {
            let (code, text) = self.output(&web, &["show", masked]).await;
            assert_eq!((code, text.as_str()), (0, ""), "{masked}");
        }
        for sealed in ["/proc/sys/vm/swappiness", "/proc/sysrq-trigger", "/sys/x"] {
            let (code, text) = self.output(&web, &["write", sealed]).await;
            assert_ne!(code, 0, "{sealed}: {text}");
        }
        let mounts = self.output(&web, &["show", "/proc/self/mountinfo"]).await.1;
        let of_kernel = mounts.lines().filter(|line| {
            [" - sysfs ", " - cgroup ", " - cgroup2 ", " - debugfs "]
                .iter()
                .any(|kind| line.contains(kind))
        });
        let of_kernel: Vec<_> = of_kernel.collect();
        let sealed = of_kernel.iter().all(|line| line.contains(" ro,"));
        assert!(sealed, "{of_kernel:?}");
        if self.machine.info().mode == Mode::Rootless {
            assert_eq!(of_kernel, [""; 0]);
        }
        let devices = self.output(&web, &["list", "/dev"]).await.1;
        let devices: BTreeSet<_> = devices
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap())
            .collect();
        let usual = [
            "console", "core", "fd", "full", "kcore", "mqueue", "null", "ptmx", "pts", "random",
            "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
        ];
        let unusual: Vec<_> = devices
            .iter()
            .filter(|name| !usual.contains(name))
            .collect();
        assert_eq!(unusual, [&""; 0]);
    }

    /// Users, groups and the files they have.
    pub(crate) async fn users_are_kept_apart(&mut self) {
        let web = pod(1, 2);
        let several = self.machine.info().user_ids > 2000;
        let asked = self.machine.info().check_user((1000, 1000));
        if !several {
            let reason = asked.unwrap_err();
            assert!(reason.contains("only user 0 is available"), "{reason}");
            assert!(reason.contains("newuidmap"), "{reason}");
            let notes = &self.machine.info().notes;
            assert!(notes.iter().any(|note| note.contains("one user id")));
            // Everything in an image is its root's then.
            assert_eq!(self.output(&web, &["show", "/srv/secret"]).await.0, 0);
            say("several users skipped: this user has one id");
            return;
        }
        asked.unwrap();
        for (user, readable) in [(33, true), (1000, false)] {
            let mut spec = self.spec(&web, &["show", "/srv/secret"]);
            spec.user = (user, user);
            let (code, text) = self.output_of(spec).await;
            assert_eq!(code == 0, readable, "user {user}: {text}");
        }
        let mut plain = self.spec(&web, &["show", "/proc/self/status"]);
        plain.user = (1000, 1001);
        plain.groups = vec![7, 2000];
        let status = self.status_of(plain).await;
        assert_eq!(field(&status, "CapEff"), 0);
        assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
        assert!(status.contains("Gid:\t1001"), "{status}");
        assert!(status.contains("Groups:\t7 2000"), "{status}");
        self.volumes_belong_to_groups().await;
    }

    async fn volumes_belong_to_groups(&mut self) {
        let volume = self.folder.join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("key"), "k").unwrap();
        let member = |world: &Self, argv: &[&str]| {
            let mut spec = world.spec(&pod(1, 2), argv);
            spec.user = (1000, 1000);
            spec.groups = vec![2000];
            spec.mounts = vec![Mount {
                source: volume.clone(),
                target: "/volume".into(),
                ..Mount::default()
            }];
            spec
        };
        let spec = member(self, &["write", "/volume/new"]);
        assert_ne!(self.output_of(spec).await.0, 0, "nobody's group yet");
        self.machine.give_folder(&volume, 2000).await.unwrap();
        for argv in [["write", "/volume/new"], ["write", "/volume/key"]] {
            let spec = member(self, &argv);
            let (code, text) = self.output_of(spec).await;
            assert_eq!(code, 0, "{argv:?} {text}");
        }
        self.a_file_is_for_its_owner(&volume).await;
        self.machine.remove_folder(&volume).await.unwrap();
        self.machine.remove_folder(&volume).await.unwrap();
        assert!(!volume.exists());
    }

    async fn a_file_is_for_its_owner(&mut self, volume: &Path) {
        let token = volume.join("token");
        fs::write(&token, "t").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        self.machine.give_file(&token, 1000).await.unwrap();
        for (user, may) in [(1000, true), (1001, false)] {
            let mut spec = self.spec(&pod(1, 2), &["show", "/volume/token"]);
            spec.user = (user, user);
            spec.mounts = vec![Mount {
                source: volume.to_owned(),
                target: "/volume".into(),
                ..Mount::default()
            }];
            let (code, text) = self.output_of(spec).await;
            assert_eq!(code == 0, may, "{user}: {text}");
        }
    }
}
