//! Disks that are full, and disks that can no longer be written: writes are refused, reads go on,
//! and nothing that was acknowledged is lost.
//!
//! Each test runs itself again inside a mount namespace of its own, which only root may make.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use common::{open, refused};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

/// Set inside the namespace: where the disk is.
const DISK: &str = "CHOREO_TEST_DISK";

/// Runs a test of this name inside a namespace where `mount` has been done. `None`: it ran there, or
/// cannot. Otherwise the disk, for the one inside.
fn inside(test: &str, mount: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{{ {mount}; }} || exit 77; exec \"$1\" --exact \"$2\" --nocapture");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(DISK, folder.path())
        .output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output)
            if matches!(output.status.code(), Some(1 | 77)) && text(&output.stdout).is_empty() =>
        {
            skipped(&format!(
                "this machine allows no mounts: {}",
                text(&output.stderr)
            ));
        }
        Ok(output) => panic!("{}\n{}", text(&output.stdout), text(&output.stderr)),
        Err(error) => skipped(&format!("there is no unshare: {error}")),
    }
    None
}

fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

fn map(name: &str, size: usize) -> ConfigMap {
    let object = json!({"metadata": {"name": name}, "data": {"v": "x".repeat(size)}});
    serde_json::from_value(object).unwrap()
}

/// Creates objects of a size until one is refused; returns the names of the others.
async fn until_refused(
    api: &Api<ConfigMap>,
    prefix: &str,
    size: usize,
) -> (Vec<String>, kube::Error) {
    let mut written = Vec::new();
    loop {
        let name = format!("{prefix}{}", written.len());
        match api.create(&PostParams::default(), &map(&name, size)).await {
            Ok(_) => written.push(name),
            Err(error) => return (written, error),
        }
    }
}

/// Takes what space is left.
fn fill(disk: &Path) {
    let mut file = File::create(disk.join("filling")).unwrap();
    loop {
        match file.write_all(&[0; 512]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn names(api: &Api<ConfigMap>) -> Vec<String> {
    let list = api.list(&ListParams::default()).await.unwrap();
    let mut names: Vec<_> = list.iter().map(ConfigMap::name_any).collect();
    names.retain(|name| name != "kube-root-ca.crt");
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let mount = format!("mount -t tmpfs -o size=16m disk \"${DISK}\"");
    let Some(disk) = inside("a_full_disk_refuses_writes_and_nothing_else", &mount) else {
        return;
    };
    let data = disk.join("data");
    let reserve = disk.join("reserve");
    fs::write(&reserve, vec![0; 2 << 20]).unwrap();
    let server = open(&data);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let (mut written, error) = until_refused(&api, "a", 20_000).await;
    let (code, reason, message) = refused::<()>(Err(error));
    assert_eq!(
        (code, reason.as_str()),
        (507, "InsufficientStorage"),
        "{message}"
    );
    assert!(!written.is_empty());
    fill(&disk);
    // Files that are there already have room for some more, and get it when what is in one of them is
    // taken over into the other.
    for round in 0.. {
        let (more, error) = until_refused(&api, &format!("b{round}-"), 1).await;
        assert_eq!(refused::<()>(Err(error)).0, 507);
        if more.is_empty() {
            break;
        }
        written.extend(more);
    }
    written.sort();
    assert_eq!(names(&api).await, written, "reads go on");
    assert_eq!(
        refused(api.create(&PostParams::default(), &map("more", 1)).await).0,
        507
    );
    assert_eq!(
        refused(api.delete(&written[0], &DeleteParams::default()).await).0,
        507
    );
    // A crash while the disk is full.
    server.close().await;
    drop((server, api));
    fs::remove_file(reserve).unwrap();
    let server = open(&data);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    assert_eq!(names(&api).await, written, "what was acknowledged is there");
    let first = written.remove(0);
    api.delete(&first, &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &map("again", 1))
        .await
        .unwrap();
}

/// What an ext4 does after an error of its disk: it can only be read any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_became_read_only_refuses_writes_and_nothing_else() {
    let mount = format!(
        "truncate -s 32M \"${DISK}.image\" && mkfs.ext4 -q -F \"${DISK}.image\" \
         && mount -o loop,errors=remount-ro \"${DISK}.image\" \"${DISK}\" && rm \"${DISK}.image\""
    );
    let test = "a_disk_that_became_read_only_refuses_writes_and_nothing_else";
    let Some(disk) = inside(test, &mount) else {
        return;
    };
    let data = disk.join("data");
    let server = open(&data);
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    // More than is kept in memory.
    let mut all: Vec<String> = (0..300).map(|number| format!("a{number}")).collect();
    all.sort();
    for name in &all {
        api.create(&PostParams::default(), &map(name, 20_000))
            .await
            .unwrap();
    }
    if !break_disk(&disk) {
        skipped("this kernel cannot be told that a disk has an error");
        return;
    }
    // The first write may find the error; none may succeed after it.
    let (written, error) = until_refused(&api, "late", 20_000).await;
    let (code, reason, message) = refused::<()>(Err(error));
    assert_eq!((code, reason.as_str()), (500, "InternalError"), "{message}");
    assert!(
        written.is_empty(),
        "{written:?} were acknowledged by a disk that takes nothing"
    );
    assert_eq!(names(&api).await, all, "reads go on");
    assert_eq!(
        refused(api.delete("a0", &DeleteParams::default()).await).0,
        500
    );
    server.close().await;
    drop((server, api));
    assert!(common::refusal(&data).contains("Read-only file system"));
    // A copy of the disk's files has everything.
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if entry.file_name() != "objects.sqlite-shm" {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let server = open(copy.path());
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    assert_eq!(names(&api).await, all);
}

/// Lets the kernel believe that the disk under a folder failed.
fn break_disk(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let device = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let device = words.next()?;
        (Path::new(words.next()?) == folder).then(|| device.trim_start_matches("/dev/").to_owned())
    });
    let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", device.unwrap());
    fs::write(trigger, "1").is_ok()
}
