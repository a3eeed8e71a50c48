//! The table tests of Kubernetes, as data: what its own functions were given and answered
//! (`tests/tables/README.md` tells how they are had). Each is replayed beside the code it is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A table: cases, and the schemas they name by number.
#[derive(Deserialize)]
pub(crate) struct Table<T> {
    pub(crate) schemas: Vec<Value>,
    pub(crate) cases: Vec<T>,
}

impl<T: DeserializeOwned> Table<T> {
    pub(crate) fn read(name: &str) -> Self {
        let packed = fs::read(folder().join(format!("{name}.json.gz"))).unwrap();
        let mut text = String::new();
        GzDecoder::new(packed.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables")
}

/// Compares the cases that came out otherwise, each with how, with `NAME.differences`: whatever is
/// not listed there fails, and so does what is listed and came out alike.
pub(crate) fn judge(name: &str, played: usize, failed: &BTreeMap<String, String>) {
    let known = differences(name);
    let mut problems = String::new();
    for (case, why) in failed.iter().filter(|(case, _)| !known.contains(*case)) {
        writeln!(problems, "{case}\n    {why}").unwrap();
    }
    for case in known.iter().filter(|case| !failed.contains_key(*case)) {
        writeln!(
            problems,
            "{case}\n    is listed, but there is no difference"
        )
        .unwrap();
    }
    let count = problems
        .lines()
        .filter(|line| !line.starts_with(' '))
        .count();
    assert!(problems.is_empty(), "{count} of {played}:\n{problems}");
}

/// Lines of `reason | case`; the reasons are in `docs/kubernetes-api.md`.
fn differences(name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(folder().join(format!("{name}.differences"))).unwrap_or_default();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubernetes-api.md");
    let page = fs::read_to_string(page).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (reason, case) = line.split_once(" | ").unwrap();
            let told = format!("* `{reason}`: ");
            assert!(page.contains(&told), "docs/kubernetes-api.md has no {told}");
            case.to_owned()
        })
        .collect()
}
