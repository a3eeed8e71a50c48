use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;

/// Runs git in `folder`, as nobody in particular.
fn run(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
        .args([
            "-c",
            "commit.gpgSign=false",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", said(&done));
}

/// A repository whose revision `first` holds a few files, all of which are gone or changed since.
fn repository() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    fs::create_dir_all(shop.join("deep/.hidden")).unwrap();
    for (file, text) in [
        ("b.yaml", "b: 1\n"),
        ("deep/c.json", "{}"),
        ("deep/.hidden/d.yaml", "d: 1"),
        (".e.yaml", "e: 1"),
        ("notes.md", "# Notes"),
        ("Ünlaut 'a' b.yml", "empty: true"),
    ] {
        fs::write(shop.join(file), text).unwrap();
    }
    symlink("b.yaml", shop.join("link.yaml")).unwrap();
    symlink("nowhere.yaml", shop.join("lost.yaml")).unwrap();
    run(folder.path(), &["init", "--quiet"]);
    run(folder.path(), &["add", "."]);
    run(folder.path(), &["commit", "--quiet", "--message", "first"]);
    run(folder.path(), &["tag", "first"]);
    fs::write(shop.join("b.yaml"), "b: 2\n").unwrap();
    fs::remove_dir_all(shop.join("deep")).unwrap();
    folder
}

fn found(paths: &[PathBuf], revision: &str) -> Vec<(String, String)> {
    let texts = texts_of(paths, revision).unwrap().into_iter();
    texts
        .map(|(name, text)| {
            let name = name.rsplit_once("/shop").map_or("", |(_, name)| name);
            (name.to_owned(), text.as_ref().to_owned())
        })
        .collect()
}

fn failed(path: &Path, revision: &str) -> (Exit, String) {
    let failure = texts_of(&[path.to_owned()], revision).unwrap_err();
    (failure.exit(), failure.to_string())
}

#[test]
fn files_are_read_as_a_revision_has_them() {
    let repository = repository();
    let shop = repository.path().join("shop");
    let read = found(std::slice::from_ref(&shop), "first");
    let wanted = [
        ("/b.yaml", "b: 1\n"),
        ("/deep/c.json", "{}"),
        ("/link.yaml", "b: 1\n"),
        ("/Ünlaut 'a' b.yml", "empty: true"),
    ];
    let wanted: Vec<(String, String)> = wanted
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    assert_eq!(read, wanted);
    assert_eq!(found(&[shop.join("b.yaml")], "HEAD"), wanted[..1]);
    fs::write(shop.join("new.yaml"), "new: 1").unwrap();
    assert_eq!(found(&[shop.join("new.yaml")], "HEAD"), []);
    fs::create_dir(repository.path().join("other")).unwrap();
    assert_eq!(found(&[repository.path().join("other")], "HEAD"), []);
}

#[test]
fn what_cannot_be_read_is_said() {
    let repository = repository();
    let shop = repository.path().join("shop");
    let (exit, message) = failed(&shop, "second");
    assert_eq!(exit, Exit::NotFound);
    assert!(
        message.ends_with("/shop has no revision second"),
        "{message}"
    );
    assert_eq!(failed(&shop, "--all").0, Exit::NotFound);
    assert_eq!(failed(&shop, "first:shop/b.yaml").0, Exit::NotFound);
    let outside = tempfile::tempdir().unwrap();
    let (exit, message) = failed(outside.path(), "first");
    assert_eq!(exit, Exit::Invalid);
    assert!(message.contains("is not in a git repository"), "{message}");
    assert_eq!(failed(Path::new("-"), "first").0, Exit::Usage);
    fs::write(shop.join("bytes.yaml"), [0xff]).unwrap();
    run(repository.path(), &["add", "."]);
    run(
        repository.path(),
        &["commit", "--quiet", "--message", "second"],
    );
    let (exit, message) = failed(&shop, "HEAD");
    assert_eq!(exit, Exit::Invalid);
    assert!(
        message.contains("/shop/bytes.yaml cannot be read"),
        "{message}"
    );
}
