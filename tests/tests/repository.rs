//! Holds what `ARCHITECTURE.md` promises about the repository.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Every crate of the workspace with the workspace crates it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("choreo-model", &[]),
    ("choreo-packed", &[]),
    ("choreo-writer", &[]),
    ("choreo-template", &[]),
    ("choreo-compiler", &["choreo-model", "choreo-template"]),
    (
        "choreo-apiserver",
        &["choreo-packed", "choreo-writer", "choreo-template"],
    ),
    // Of the model only Kubernetes' quantities, which another test sees to.
    ("choreo-node", &["choreo-model"]),
    (
        "choreo-controllers",
        &[
            "choreo-model",
            "choreo-packed",
            "choreo-writer",
            "choreo-compiler",
        ],
    ),
    (
        "choreo",
        &[
            "choreo-model",
            "choreo-apiserver",
            "choreo-node",
            "choreo-compiler",
            "choreo-controllers",
        ],
    ),
    (
        "choreo-bench",
        &[
            "choreo-model",
            "choreo-compiler",
            "choreo-apiserver",
            "choreo-node",
            "choreo-controllers",
        ],
    ),
    ("choreo-fuzz", &[]),
    ("storefront", &[]),
    ("choreo-tests", &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Files of the repository below a folder, by ending; build outputs and hidden folders are not entered.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with("target") && !name.starts_with('.') {
                found.extend(files(&entry.path(), ending));
            }
        } else if name.ends_with(ending) {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn crates_depend_only_downwards() {
    let metadata = metadata();
    let mut actual = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        assert!(
            LAYERS.iter().any(|(known, _)| *known == name),
            "{name} has no layer"
        );
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["kind"].is_null() && !dependency["path"].is_null() {
                actual.insert((name, dependency["name"].as_str().unwrap()));
            }
        }
    }
    let allowed: BTreeSet<_> = LAYERS
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)))
        .collect();
    assert!(
        actual.is_subset(&allowed),
        "{:?}",
        actual.difference(&allowed)
    );
}

/// The node reads objects of Kubernetes and of Gateway API; it shares the reading of quantities with the
/// controllers, and knows no kind of the platform.
#[test]
fn the_node_knows_no_kind() {
    let folder = root().join("crates/node/src");
    for file in files(&folder, ".rs") {
        let text = fs::read_to_string(&file).unwrap();
        let other = text.replace("choreo_model::quantity", "");
        assert!(!other.contains("choreo_model"), "{}", file.display());
    }
}

#[test]
fn pure_crates_use_nothing_that_acts() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !["choreo-model", "choreo-template", "choreo-compiler"].contains(&name) {
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let acts = [
                "tokio", "kube", "futures", "hyper", "rusqlite", "nix", "rand",
            ]
            .contains(&used);
            assert!(!acts || !dependency["kind"].is_null(), "{name} uses {used}");
        }
    }
}

#[test]
fn only_the_node_is_unsafe_and_only_the_store_speaks_sql() {
    for file in files(&root().join("crates"), ".rs") {
        let text = fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        if !shown.starts_with("crates/node/") {
            assert!(!text.contains("unsafe {"), "{shown} is unsafe");
        }
        if !shown.starts_with("crates/apiserver/") {
            assert!(!text.contains("rusqlite::"), "{shown} speaks SQL");
        }
    }
}

#[test]
fn every_crate_is_in_the_architecture() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, _) in LAYERS.iter().filter(|(name, _)| name.starts_with("choreo")) {
        let folder = match *name {
            "choreo" => "crates/choreo".to_owned(),
            "choreo-tests" => "tests/".to_owned(),
            other => other.replacen("choreo-", "crates/", 1),
        };
        assert!(
            text.contains(&format!("`{folder}`")),
            "ARCHITECTURE.md does not name {folder}"
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    for ending in [".rs", ".md", ".yaml", ".toml"] {
        for file in files(&root(), ending) {
            // A fake in a test may leave out what nobody asks it.
            if file.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let word = words.iter().find(|word| line.contains(**word));
                assert!(word.is_none(), "{}:{}: {line}", file.display(), number + 1);
            }
        }
    }
}

#[test]
fn lints_are_only_expected_away_and_with_a_reason() {
    for file in files(&root().join("crates"), ".rs") {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains(concat!("#[al", "low(")),
            "{} allows a lint",
            file.display()
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for file in files(&root(), ".md") {
        let text = fs::read_to_string(&file).unwrap();
        // What looks like a link in code is none.
        let prose: String = text.split('`').step_by(2).collect();
        for target in prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let there = file.parent().unwrap().join(path);
            assert!(there.exists(), "{} links to {target}", file.display());
        }
    }
}
