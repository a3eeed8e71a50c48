//! Pulling from a registry that behaves, asks for credentials, lies or goes away.

use std::{collections::BTreeSet, fs, path::Path};

use choreo_node::image::{Credentials, Error, Image, PullPolicy, Result, Store};
use serde_json::{Value, json};

use super::{
    pack,
    registry::{
        Auth, INDEX, MANIFEST, PASSWORD, Registry, USER, architecture, config, digest, gzip,
        manifest,
    },
    store,
};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const TAR_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const BASE: &[u8] = b"the lower layer, long enough to be broken in its middle";
const TOP: &[u8] = b"the upper layer";

/// A registry with the image `shop/web:1` of two layers, the upper one compressed.
struct World {
    home: tempfile::TempDir,
    registry: Registry,
    store: Store,
    manifest: Value,
    digest: String,
}

impl World {
    async fn new(auth: Auth) -> Self {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::start(auth).await;
        let config = config(&[BASE, TOP]);
        let manifest = manifest(&config, &[(TAR, BASE), (TAR_GZIP, &gzip(TOP))]);
        registry.blob(config.to_string());
        registry.blob(BASE);
        registry.blob(gzip(TOP));
        let digest = registry.document("shop/web:1", MANIFEST, &manifest);
        Self {
            store: store(home.path()),
            home,
            registry,
            manifest,
            digest,
        }
    }

    async fn pull(&self, rest: &str) -> Result<Image> {
        self.pull_as(rest, None).await
    }

    async fn pull_as(&self, rest: &str, credentials: Option<Credentials>) -> Result<Image> {
        let reference = self.registry.reference(rest);
        self.store
            .resolve(&reference, PullPolicy::IfNotPresent, credentials)
            .await
    }

    /// Nothing half-written is left, and no name.
    fn is_clean(&self) {
        assert!(self.store.list().unwrap().is_empty());
        assert_eq!(files(&self.home.path().join("images/tmp")), 0);
        for blob in fs::read_dir(self.home.path().join("images/blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            let name = format!("sha256:{}", blob.file_name().to_str().unwrap());
            assert_eq!(digest(&fs::read(blob.path()).unwrap()), name);
        }
    }
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn by_tag_and_by_digest() {
    let world = World::new(Auth::None).await;
    let image = world.pull("shop/web:1").await.unwrap();
    assert_eq!(image.digest, world.digest);
    assert_eq!(image.config.entrypoint, ["/bin/web"]);
    assert_eq!(image.layers.len(), 2);
    assert_eq!((image.layers[0].gzip, image.layers[1].gzip), (false, true));
    assert_eq!(image.layers[1].diff_id, digest(TOP));
    assert_eq!(fs::read(&image.layers[0].blob).unwrap(), BASE);
    assert_eq!(fs::read(&image.layers[1].blob).unwrap(), gzip(TOP));
    // What is there is not asked for again, not by its digest either.
    let exact = format!("shop/web@{}", world.digest);
    let asked = world.registry.requests("");
    world.pull("shop/web:1").await.unwrap();
    assert_eq!(world.pull(&exact).await.unwrap().layers, image.layers);
    assert_eq!(world.registry.requests(""), asked);
    let fresh = Store::open(&world.home.path().join("fresh")).unwrap();
    let exact = world.registry.reference(&exact);
    let pulled = fresh.resolve(&exact, PullPolicy::IfNotPresent, None).await;
    assert_eq!(pulled.unwrap().digest, world.digest);
}

#[tokio::test]
async fn always_follows_a_tag_that_moved() {
    let world = World::new(Auth::None).await;
    world.pull("shop/web:1").await.unwrap();
    let config = config(&[TOP]);
    world.registry.blob(config.to_string());
    let moved = manifest(&config, &[(TAR_GZIP, &gzip(TOP))]);
    let moved = world.registry.document("shop/web:1", MANIFEST, &moved);
    let old = world.pull("shop/web:1").await.unwrap();
    assert_eq!(old.digest, world.digest);
    let reference = world.registry.reference("shop/web:1");
    let new = world
        .store
        .resolve(&reference, PullPolicy::Always, None)
        .await;
    assert_eq!(new.unwrap().digest, moved);
    assert_eq!(world.store.list().unwrap().len(), 1);
}

#[tokio::test]
async fn an_index_gives_the_manifest_of_this_machine() {
    let world = World::new(Auth::None).await;
    let of = |architecture: &str, digest: &str| {
        json!({
            "mediaType": MANIFEST, "digest": digest, "size": world.manifest.to_string().len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let other = digest(b"another");
    let index =
        |entries: Vec<Value>| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let both = index(vec![of("s390x", &other), of(architecture(), &world.digest)]);
    world.registry.document("shop/web:all", INDEX, &both);
    let image = world.pull("shop/web:all").await.unwrap();
    assert_eq!(image.digest, world.digest);
    let foreign = index(vec![of("s390x", &other)]);
    world.registry.document("shop/web:foreign", INDEX, &foreign);
    let refused = world.pull("shop/web:foreign").await;
    assert!(
        matches!(&refused, Err(Error::Unsupported { reason, .. }) if reason.contains("s390x")),
        "{refused:?}"
    );
}

async fn check_credentials(auth: Auth) {
    let world = World::new(auth).await;
    let wrong = Credentials::basic(USER, "guess");
    for credentials in [None, Some(wrong)] {
        let refused = world.pull_as("shop/web:1", credentials).await;
        assert!(
            matches!(refused, Err(Error::Unauthorized { .. })),
            "{auth:?}: {refused:?}"
        );
        world.is_clean();
    }
    let right = Credentials::basic(USER, PASSWORD);
    let image = world.pull_as("shop/web:1", Some(right)).await.unwrap();
    assert_eq!(image.digest, world.digest);
}

#[tokio::test]
async fn basic_credentials() {
    check_credentials(Auth::Basic).await;
}

#[tokio::test]
async fn bearer_credentials() {
    check_credentials(Auth::Bearer).await;
}

#[tokio::test]
async fn a_refused_pull_leaves_what_was_loaded_in_charge() {
    let world = World::new(Auth::Basic).await;
    let reference = world.registry.reference("shop/web:1");
    let packed = pack(&world.store, world.home.path(), &reference);
    let image = world
        .store
        .resolve(&reference, PullPolicy::Always, None)
        .await;
    assert_eq!(image.unwrap().digest, packed);
}

#[tokio::test]
async fn what_a_registry_does_not_have() {
    let world = World::new(Auth::None).await;
    let missing = world.pull("shop/web:2").await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    let lost = manifest(&config(&[b"lost"]), &[(TAR, b"lost")]);
    world.registry.document("shop/lost:1", MANIFEST, &lost);
    let missing = world.pull("shop/lost:1").await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    world.is_clean();
}

#[tokio::test]
async fn bytes_that_are_not_what_was_promised() {
    let world = World::new(Auth::None).await;
    let base = digest(BASE);
    let changed = BASE.to_ascii_uppercase();
    for lie in [changed, BASE[..20].to_vec(), [BASE, TOP].concat()] {
        world.registry.replace(&base, lie);
        let refused = world.pull("shop/web:1").await;
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
        world.is_clean();
    }
    // With the right bytes the same store goes on.
    world.registry.replace(&base, BASE);
    world.pull("shop/web:1").await.unwrap();
}

#[tokio::test]
async fn a_size_that_is_not_what_was_promised() {
    let world = World::new(Auth::None).await;
    let mut manifest = world.manifest.clone();
    manifest["layers"][0]["size"] = json!(BASE.len() - 1);
    world.registry.document("shop/small:1", MANIFEST, &manifest);
    manifest["layers"][0]["size"] = json!(BASE.len() + 1);
    world.registry.document("shop/large:1", MANIFEST, &manifest);
    for name in ["shop/small:1", "shop/large:1"] {
        let refused = world.pull(name).await;
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
        world.is_clean();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle() {
    let world = World::new(Auth::None).await;
    world.registry.break_once(&digest(BASE));
    let broken = world.pull("shop/web:1").await;
    assert!(
        matches!(broken, Err(Error::Unreachable { .. })),
        "{broken:?}"
    );
    world.is_clean();
    world.pull("shop/web:1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pulls_of_one_image_ask_once() {
    let world = World::new(Auth::Bearer).await;
    let pull = || world.pull_as("shop/web:1", Some(Credentials::basic(USER, PASSWORD)));
    let (one, other) = tokio::join!(pull(), pull());
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(world.registry.requests(&digest(BASE)), 1);
    assert_eq!(world.registry.requests("/manifests/"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_in_one_folder_pull_at_once() {
    let world = World::new(Auth::None).await;
    let second = store(world.home.path());
    let reference = world.registry.reference("shop/web:1");
    let (one, other) = tokio::join!(
        world.pull("shop/web:1"),
        second.resolve(&reference, PullPolicy::IfNotPresent, None)
    );
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(files(&world.home.path().join("images/tmp")), 0);
    assert_eq!(second.list().unwrap().len(), 1);
}

#[tokio::test]
async fn only_images_that_can_be_pulled_again_are_removed() {
    let world = World::new(Auth::None).await;
    let local = pack(&world.store, world.home.path(), "shop/local:1");
    let pulled = world.pull("shop/web:1").await.unwrap();
    assert_eq!(world.store.unpacked_layers().unwrap().len(), 3);
    let used = BTreeSet::from([pulled.digest]);
    assert_eq!(world.store.remove_unused(&used).unwrap(), 0);
    assert!(pulled.layers[0].blob.exists());
    assert_eq!(world.store.remove_unused(&BTreeSet::new()).unwrap(), 1);
    assert!(!pulled.layers[0].blob.exists());
    let left = world.store.list().unwrap();
    let left: Vec<_> = left.iter().map(|one| one.digest.as_str()).collect();
    assert_eq!(left, [local]);
}
