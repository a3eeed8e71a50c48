//! Scenarios: requests in a file a person can read, played against any server
//! that speaks the Kubernetes API, and what the answers have in common.

pub(crate) mod compare;
mod normal;
pub(crate) mod path;
pub(crate) mod play;
mod read;

use std::{fs, path::Path};

pub(crate) use read::{Action, Condition, Differs, Scenario, Step};

/// Every scenario of a folder, by name.
pub(crate) fn all(folder: &Path) -> Vec<Scenario> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "scenario"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_str().unwrap();
            Scenario::read(name, &fs::read_to_string(file).unwrap())
        })
        .collect()
}
