//! Archives as `docker save`, `buildx` and `skopeo` write them.

use std::{fs, path::PathBuf};

use choreo_node::image::{Error, PullPolicy};
use serde_json::{Value, json};

use super::{
    archive,
    registry::{INDEX, MANIFEST, architecture, config, descriptor, digest, gzip, manifest},
    store,
};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const BASE: &[u8] = b"the lower layer";
const TOP: &[u8] = b"the upper layer";

/// Members of a `docker save` archive with one image.
fn docker(tags: &Value) -> Vec<(String, Vec<u8>)> {
    let config = config(&[BASE, TOP]).to_string();
    let entry = json!([{"Config": "config.json", "RepoTags": tags, "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    vec![
        ("1/layer.tar".into(), BASE.to_vec()),
        ("2/layer.tar".into(), gzip(TOP)),
        ("config.json".into(), config.into_bytes()),
        ("manifest.json".into(), entry.to_string().into_bytes()),
        ("repositories".into(), b"{}".to_vec()),
    ]
}

/// Members of an OCI layout: an index of an index of one image and one of another architecture.
fn oci(annotations: &Value) -> Vec<(String, Vec<u8>)> {
    let config = config(&[BASE, TOP]);
    let manifest = manifest(&config, &[(TAR, BASE), (TAR_GZIP, &gzip(TOP))]).to_string();
    let mut ours = descriptor(MANIFEST, manifest.as_bytes());
    ours["platform"] = json!({"os": "linux", "architecture": architecture()});
    let mut other = descriptor(MANIFEST, b"not in the archive");
    other["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let mut attestation = descriptor(MANIFEST, b"neither");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let inner =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, ours, attestation]});
    let inner = inner.to_string();
    let mut outer = descriptor(INDEX, inner.as_bytes());
    outer["annotations"] = annotations.clone();
    let index = json!({"schemaVersion": 2, "manifests": [outer]});
    let mut members = vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ];
    for blob in [
        inner.into_bytes(),
        manifest.into_bytes(),
        config.to_string().into_bytes(),
        BASE.to_vec(),
        gzip(TOP),
    ] {
        members.push((digest(&blob).replace("sha256:", "blobs/sha256/"), blob));
    }
    members
}

fn write(home: &tempfile::TempDir, members: &[(String, Vec<u8>)]) -> PathBuf {
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(n, b)| (n.as_str(), b.as_slice()))
        .collect();
    archive(home.path(), &members)
}

/// Loads an archive and checks that its image is whole under a name.
async fn check(members: &[(String, Vec<u8>)], reference: &str) {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let plain = write(&home, members);
    let packed = home.path().join("archive.tar.gz");
    fs::write(&packed, gzip(&fs::read(&plain).unwrap())).unwrap();
    let folder = home.path().join("layout");
    for (name, bytes) in members {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let digests: Vec<String> = [plain, packed, folder]
        .iter()
        .map(|source| images.load(source).unwrap()[0].digest.clone())
        .collect();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
    let image = images
        .resolve(reference, PullPolicy::Never, None)
        .await
        .unwrap();
    assert_eq!(image.config.env, ["A=b"]);
    let layers: Vec<_> = image
        .layers
        .iter()
        .map(|l| (l.diff_id.clone(), l.gzip))
        .collect();
    assert_eq!(layers, [(digest(BASE), false), (digest(TOP), true)]);
    assert_eq!(fs::read(&image.layers[1].blob).unwrap(), gzip(TOP));
    assert_eq!(
        fs::read_dir(home.path().join("images/tmp"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn docker_archives() {
    check(&docker(&json!(["shop/web:1"])), "docker.io/shop/web:1").await;
    check(
        &docker(&json!(["shop/web:1", "shop/web:latest"])),
        "shop/web",
    )
    .await;
}

#[tokio::test]
async fn oci_archives() {
    let buildx = json!({"io.containerd.image.name": "docker.io/shop/web:1", "org.opencontainers.image.ref.name": "1"});
    check(&oci(&buildx), "shop/web:1").await;
    let skopeo = json!({"org.opencontainers.image.ref.name": "registry.test/web:1"});
    check(&oci(&skopeo), "registry.test/web:1").await;
}

#[test]
fn an_image_without_a_name_needs_one() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    for members in [
        docker(&Value::Null),
        oci(&json!({"org.opencontainers.image.ref.name": "latest"})),
    ] {
        let path = write(&home, &members);
        let refused = images.load(&path);
        assert!(
            matches!(refused, Err(Error::Unsupported { .. })),
            "{refused:?}"
        );
        let loaded = images.load_as(&path, Some("shop/named:1")).unwrap();
        assert_eq!(loaded[0].reference, "shop/named:1");
    }
}

#[test]
fn layers_that_old_archives_link() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let path = home.path().join("linked.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    let config = config(&[BASE, BASE]).to_string();
    let entry =
        r#"[{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]"#;
    for (name, bytes) in [
        ("1/layer.tar", BASE),
        ("c.json", config.as_bytes()),
        ("manifest.json", entry.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "2/layer.tar", "../1/layer.tar")
        .unwrap();
    tar.into_inner().unwrap();
    assert_eq!(images.load(&path).unwrap()[0].reference, "a:1");
}

#[test]
fn a_layout_with_a_changed_blob_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let name = json!({"org.opencontainers.image.ref.name": "shop/web:1"});
    for changed in 2..oci(&name).len() {
        let mut members = oci(&name);
        members[changed].1.reverse();
        let refused = images.load(&write(&home, &members));
        assert!(
            matches!(refused, Err(Error::Corrupt { .. })),
            "{changed}: {refused:?}"
        );
    }
    assert!(images.list().unwrap().is_empty());
}

#[test]
fn what_is_no_archive_is_named() {
    let home = tempfile::tempdir().unwrap();
    let images = store(home.path());
    let path = home.path().join("file");
    let words = b"hello world\n".repeat(1000);
    let cases: [(&[u8], &str); 6] = [
        (&words, "it is not a tar archive"),
        (&gzip(&words), "it is not a tar archive"),
        (b"", "neither a `docker save` archive nor an OCI layout"),
        (b"BZh91AY&SY", "with bunzip2 first"),
        (b"\xfd7zXZ\0\0", "with unxz first"),
        (b"\x28\xb5\x2f\xfd\0", "with unzstd first"),
    ];
    for (bytes, why) in cases {
        fs::write(&path, bytes).unwrap();
        let refused = images.load(&path).unwrap_err().to_string();
        assert!(
            refused.contains(why) && refused.lines().count() == 1,
            "{refused}"
        );
    }
    let refused = images.load(std::path::Path::new("/dev/null")).unwrap_err();
    assert!(
        refused.to_string().contains("neither a file nor a folder"),
        "{refused}"
    );
}
