//! What is refused when it is applied, and in which words; and that nothing sound is.

use choreo_compiler::check;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> String {
    let name = path.to_string_lossy();
    std::fs::read_to_string(path).expect(&name)
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.retain(|path| path.join("input.yaml").exists());
    folders.sort();
    folders
}

fn explained(path: &Path) -> Vec<String> {
    let text = text(path);
    let findings = check::file(&text).expect("YAML");
    findings
        .iter()
        .map(|finding| finding.explained("input.yaml", &text))
        .collect()
}

/// `UPDATE_GOLDENS=1` writes down what is said now, to be read before it is committed.
#[test]
fn mistakes_are_told_where_they_stand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let cases = folders(&folder);
    for case in &cases {
        let found = explained(&case.join("input.yaml")).join("\n\n") + "\n";
        let path = case.join("expected.txt");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&path, &found).expect("written");
        }
        assert_eq!(found, text(&path), "{}", case.display());
    }
    assert!(cases.len() > 5);
}

#[test]
fn the_defaults_are_sound() {
    for default in choreo_model::defaults() {
        let findings = check::file(default.yaml).expect("YAML");
        assert_eq!(findings, [], "{}", default.name);
    }
}

/// What the reference accepts is accepted. Its types and inputs are kept outside the repository;
/// without them there is nothing to do.
#[test]
fn what_the_reference_accepts_is_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/goldens");
    let cases = folders(&folder);
    let files = cases.iter().map(|case| case.join("input.yaml"));
    let mut refused = Vec::new();
    for file in files
        .chain([folder.join("platform.yaml")])
        .filter(|file| file.exists())
    {
        let findings = check::file(&text(&file)).expect("YAML");
        let errors = findings
            .into_iter()
            .filter(|finding| finding.diagnostic.is_error());
        refused.extend(errors.map(|error| format!("{}: {}", file.display(), error.diagnostic)));
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
