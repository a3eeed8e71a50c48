//! The OCI description of a container: what it sees, may do and may use.

use std::{
    collections::BTreeMap,
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::{FsFlags, statvfs};
use serde_json::{Value, json};

use super::{ContainerSpec, Job, program::UNCONFINED, sub_path};

const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Where programs are looked for when the image does not say.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Period over which CPU time is given out, in microseconds.
const CPU_PERIOD: u64 = 100_000;
/// Least CPU time per period that the kernel takes.
const CPU_LEAST: u64 = 1_000;
/// Least and most shares of the processors that the kernel takes.
const SHARES: RangeInclusive<u64> = 2..=262_144;

/// What the description needs to know about this process and its machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// Hard limit of open files, above which nothing may be asked.
    pub(super) open_files: u64,
}

/// The OCI runtime description of a container whose root is mounted at `root`.
pub(super) fn describe(job: &Job, root: &Path, around: Surroundings) -> io::Result<Value> {
    let spec = &job.spec;
    let unconfined = spec.unconfined.then(|| json!({ UNCONFINED: "true" }));
    Ok(json!({
        "ociVersion": "1.2.0",
        "annotations": unconfined.unwrap_or_else(|| json!({})),
        "hostname": job.hostname,
        "root": { "path": root, "readonly": spec.read_only_root },
        "process": process(spec, around),
        "mounts": mounts(job)?,
        "linux": linux(job),
    }))
}

fn process(spec: &ContainerSpec, around: Surroundings) -> Value {
    let home = if spec.user.0 == 0 { "/root" } else { "/" };
    let mut env = BTreeMap::from([("PATH", SEARCHED), ("HOME", home)]);
    env.extend(
        spec.env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let env = env.iter().map(|(name, value)| format!("{name}={value}"));
    let cwd = if spec.cwd.is_absolute() {
        spec.cwd.as_path()
    } else {
        Path::new("/")
    };
    json!({
        "terminal": spec.tty,
        "user": {
            "uid": spec.user.0, "gid": spec.user.1, "additionalGids": spec.groups,
        },
        "args": spec.argv,
        "env": env.collect::<Vec<_>>(),
        "cwd": cwd,
        "noNewPrivileges": true,
        "capabilities": {
            "bounding": spec.capabilities,
            "effective": spec.capabilities,
            "permitted": spec.capabilities,
        },
        "rlimits": [
            { "type": "RLIMIT_NOFILE", "soft": around.open_files, "hard": around.open_files },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        ],
    })
}

fn linux(job: &Job) -> Value {
    // The network namespace is the pod's and joined before: a user namespace does not let the runtime
    // join it, and a new one is not wanted.
    let processes = match &job.processes {
        Some(path) => json!({ "type": "pid", "path": path }),
        None => json!({ "type": "pid" }),
    };
    let mut linux = json!({
        "namespaces": [
            processes, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
        ],
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    });
    if let Some(cgroups) = &job.cgroups {
        linux["cgroupsPath"] = json!(cgroups.path(&job.spec.id));
        linux["resources"] = resources(&job.spec);
    }
    linux
}

fn resources(spec: &ContainerSpec) -> Value {
    let mut resources = json!({});
    if let Some(bytes) = spec.memory {
        resources["memory"] = json!({ "limit": bytes });
    }
    if let Some(millis) = spec.cpu_millis {
        let quota = (millis.saturating_mul(CPU_PERIOD) / 1000).max(CPU_LEAST);
        resources["cpu"] = json!({ "quota": quota, "period": CPU_PERIOD });
    }
    // What says nothing has the least, as in Kubernetes.
    let shares = spec.cpu_weight.unwrap_or_default().saturating_mul(1024) / 1000;
    resources["cpu"]["shares"] = json!(shares.clamp(*SHARES.start(), *SHARES.end()));
    if let Some(pids) = spec.pids {
        resources["pids"] = json!({ "limit": pids });
    }
    resources
}

fn mounts(job: &Job) -> io::Result<Vec<Value>> {
    let terminals = if job.user_ids > 5 {
        Some("gid=5")
    } else {
        None
    };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/dev/pts", "devpts", "devpts", &pts_options(terminals)),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
    ];
    if !job.rootless {
        mounts.push(mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ));
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        let target = Path::new("/etc").join(name);
        let overridden = job.spec.mounts.iter().any(|mount| mount.target == target);
        if !overridden {
            mounts.push(bind(
                &job.pod_files.join(name),
                &target,
                true,
                job.rootless,
            )?);
        }
    }
    for (number, mount) in job.spec.mounts.iter().enumerate() {
        let place = job.bundle.join("mounts").join(number.to_string());
        let source = sub_path::source(mount, &place).map_err(|error| {
            let (source, kind) = (mount.source.display(), error.kind());
            io::Error::new(kind, format!("mount {source}: {error}"))
        })?;
        mounts.push(bind(&source, &mount.target, mount.read_only, job.rootless)?);
    }
    Ok(mounts)
}

fn pts_options(terminals: Option<&'static str>) -> Vec<&'static str> {
    let options = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    options.into_iter().chain(terminals).collect()
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}

fn bind(source: &Path, target: &Path, read_only: bool, rootless: bool) -> io::Result<Value> {
    let source: PathBuf = source.canonicalize().map_err(|error| {
        io::Error::new(error.kind(), format!("mount {}: {error}", source.display()))
    })?;
    let mut options = vec!["rbind", "rprivate"];
    if read_only {
        options.push("ro");
    }
    if rootless {
        options.extend(locked_options(&source)?);
    }
    Ok(json!({ "destination": target, "type": "bind", "source": source, "options": options }))
}

/// Options of the source's own mount: a user namespace may not take them off again.
fn locked_options(source: &Path) -> io::Result<Vec<&'static str>> {
    let flags = statvfs(source)?.flags();
    let names = [
        (FsFlags::ST_NOSUID, "nosuid"),
        (FsFlags::ST_NODEV, "nodev"),
        (FsFlags::ST_NOEXEC, "noexec"),
        (FsFlags::ST_NOATIME, "noatime"),
        (FsFlags::ST_NODIRATIME, "nodiratime"),
        (FsFlags::ST_RDONLY, "ro"),
    ];
    Ok(names
        .into_iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, name)| name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Mount, Stdin, cgroup::Cgroups};

    fn job(rootless: bool) -> Job {
        let files = std::env::temp_dir();
        Job {
            spec: ContainerSpec {
                id: "a-web-0".into(),
                pod_uid: "a".into(),
                layers: Vec::new(),
                argv: vec!["/web".into()],
                env: [("A".to_owned(), "b".to_owned())].into(),
                cwd: "/app".into(),
                user: (1000, 1001),
                groups: vec![7],
                capabilities: ["CAP_CHOWN".to_owned()].into(),
                read_only_root: true,
                unconfined: false,
                mounts: ["hosts", "hostname", "resolv.conf"]
                    .map(|name| Mount {
                        source: files.clone(),
                        target: Path::new("/etc").join(name),
                        ..Mount::default()
                    })
                    .into(),
                memory: Some(1 << 20),
                cpu_millis: Some(250),
                cpu_weight: Some(100),
                pids: Some(7),
                stop_signal: 15,
                stdin: Stdin::Closed,
                tty: false,
                among: None,
                log: "/log".into(),
            },
            hostname: "web-0".into(),
            pod_files: files,
            netns: "/n".into(),
            processes: None,
            bundle: "/b".into(),
            writable: "/w".into(),
            state: "/s".into(),
            rootless,
            user_ids: 1,
            cgroups: (!rootless).then(|| {
                serde_json::from_value::<Cgroups>(json!({ "name": "choreo-x", "mounts": [] }))
                    .unwrap()
            }),
        }
    }

    fn described(rootless: bool) -> Value {
        describe(
            &job(rootless),
            Path::new("/root"),
            Surroundings { open_files: 20_000 },
        )
        .unwrap()
    }

    #[test]
    fn description_is_what_the_runtime_reads() {
        for rootless in [false, true] {
            let spec = described(rootless);
            let read = serde_json::from_value::<oci_spec::runtime::Spec>(spec.clone()).unwrap();
            let again = serde_json::to_value(read).unwrap();
            for part in [
                "/process/args",
                "/process/cwd",
                "/linux/namespaces",
                "/root",
            ] {
                assert_eq!(again.pointer(part), spec.pointer(part), "{part}");
            }
        }
    }

    #[test]
    fn limits_need_control_groups() {
        let limited = described(false);
        assert_eq!(limited["linux"]["cgroupsPath"], "/choreo-x/a-web-0");
        assert_eq!(limited["linux"]["resources"]["cpu"]["quota"], 25_000);
        assert_eq!(limited["linux"]["resources"]["cpu"]["shares"], 102);
        assert_eq!(limited["linux"]["resources"]["memory"]["limit"], 1 << 20);
        assert!(described(true)["linux"].get("cgroupsPath").is_none());
    }

    #[test]
    fn rootless_has_no_sysfs() {
        let has_sysfs = |spec: &Value| {
            spec["mounts"]
                .as_array()
                .unwrap()
                .iter()
                .any(|mount| mount["type"] == "sysfs")
        };
        assert!(has_sysfs(&described(false)));
        assert!(!has_sysfs(&described(true)));
    }
}
