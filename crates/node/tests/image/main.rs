//! The image store on disk: packing, loading, hostile archives, removal, pulling.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod archives;
mod pulls;
mod registry;
mod tls;

use std::{fs, path::Path};

use choreo_node::image::{Config, Error, File, PullPolicy, Store};

fn store(home: &Path) -> Store {
    Store::open(&home.join("images")).unwrap()
}

fn pack(store: &Store, home: &Path, reference: &str) -> String {
    let source = home.join("program");
    fs::write(&source, "#!").unwrap();
    let file = File {
        source,
        target: "/bin/program".into(),
        mode: 0o755,
    };
    let config = Config {
        entrypoint: vec!["/bin/program".into()],
        ..Config::default()
    };
    store.pack(reference, &[file], config).unwrap().digest
}

fn archive(home: &Path, members: &[(&str, &[u8])]) -> std::path::PathBuf {
    let path = home.join("archive.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        // Written raw: the library refuses to make names that leave the archive.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.finish().unwrap();
    path
}

#[tokio::test]
async fn a_packed_image_is_reproducible_and_resolves_without_a_registry() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let digest = pack(&images, home.path(), "shop/web:1");
    assert_eq!(digest, pack(&images, home.path(), "shop/web:2"));
    let image = images
        .resolve("docker.io/shop/web:1", PullPolicy::Never, None)
        .await
        .unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(image.config.entrypoint, ["/bin/program"]);
    assert!(image.layers[0].blob.is_file() && !image.layers[0].gzip);
    let missing = images.resolve("shop/other", PullPolicy::Never, None).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_local_image_stands_in_for_an_unreachable_registry() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    // Bound and dropped: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let reference = format!("127.0.0.1:{port}/web:1");
    let refused = images.resolve(&reference, PullPolicy::Always, None).await;
    assert!(
        matches!(refused, Err(Error::Unreachable { .. })),
        "{refused:?}"
    );
    pack(&images, home.path(), &reference);
    images
        .resolve(&reference, PullPolicy::Always, None)
        .await
        .unwrap();
}

#[test]
fn a_layout_loads_again_and_removal_leaves_only_what_is_used() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let digest = pack(&images, home.path(), "shop/web:1");
    let other = Store::open(&home.path().join("other")).unwrap();
    let loaded = other.load(&home.path().join("images")).unwrap();
    assert_eq!(
        (loaded[0].digest.as_str(), loaded[0].reference.as_str()),
        (&*digest, "shop/web:1")
    );
    pack(&images, home.path(), "shop/web:2");
    let blobs = || {
        fs::read_dir(home.path().join("images/blobs/sha256"))
            .unwrap()
            .count()
    };
    images.remove("shop/web:1").unwrap();
    assert_eq!(blobs(), 3);
    images.remove("shop/web:2").unwrap();
    assert_eq!(blobs(), 0);
    assert!(images.list().unwrap().is_empty());
}

#[test]
fn hostile_archives_touch_nothing_and_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let manifest = br#"[{"Config": "../../outside", "RepoTags": ["a:1"], "Layers": []}]"#;
    let path = archive(
        home.path(),
        &[("../outside", b"x"), ("manifest.json", manifest)],
    );
    assert!(matches!(images.load(&path), Err(Error::Corrupt { .. })));
    assert!(!home.path().join("outside").exists());
    let zeros = "0".repeat(64);
    let config = format!(r#"{{"rootfs": {{"diff_ids": ["sha256:{zeros}"]}}}}"#);
    let manifest = br#"[{"Config": "c", "RepoTags": ["a:1"], "Layers": ["l"]}]"#;
    let members: [(&str, &[u8]); 3] = [
        ("manifest.json", manifest),
        ("c", config.as_bytes()),
        ("l", b"layer"),
    ];
    let wrong = images.load(&archive(home.path(), &members));
    assert!(matches!(wrong, Err(Error::Corrupt { .. })), "{wrong:?}");
    assert!(images.list().unwrap().is_empty());
    assert_eq!(
        fs::read_dir(home.path().join("images/tmp"))
            .unwrap()
            .count(),
        0
    );
}
