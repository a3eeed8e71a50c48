//! The pages about rendering are true: every input in them renders to the output behind it.
//!
//! The inputs before the first section of a page, and all of the first page, hold for everything
//! behind them. Of an output only what is shown counts: fields that are not named may be anything.

use choreo_compiler::fleet::Fleet;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A block of a page: what its first line says, and its text.
struct Block {
    info: String,
    text: String,
}

/// The blocks of a page, section by section; first what stands before the sections.
fn sections(page: &str) -> Vec<(String, Vec<Block>)> {
    let mut sections = vec![(String::new(), Vec::new())];
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => {
                let (_, blocks) = sections.last_mut().expect("a section");
                blocks.extend(open.take());
            }
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(info)) => {
                open = Some(Block {
                    info: info.to_owned(),
                    text: String::new(),
                });
            }
            (None, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    sections.push((title.to_owned(), Vec::new()));
                }
            }
        }
    }
    sections
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect(text)
}

/// What the inputs of a section render to: objects and diagnostics.
fn rendered(inputs: &[Value]) -> (Vec<Value>, Vec<String>) {
    let mut fleet = Fleet::read(inputs.iter().cloned());
    fleet.bind_cells();
    fleet.settle();
    let mut diagnostics: Vec<String> = fleet
        .diagnostics()
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut objects = Vec::new();
    for binding in fleet.render() {
        let told = binding.compiled.diagnostics.iter();
        diagnostics.extend(told.map(ToString::to_string));
        objects.extend(
            binding
                .compiled
                .objects
                .into_iter()
                .map(|one| Value::from(&one.object)),
        );
    }
    (objects, diagnostics)
}

/// Whether everything in `shown` is in `found`: of objects the fields named, lists as a whole.
fn holds(shown: &Value, found: &Value) -> bool {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => shown
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| holds(value, found))),
        (Value::Array(shown), Value::Array(found)) => {
            shown.len() == found.len()
                && shown
                    .iter()
                    .zip(found)
                    .all(|(shown, found)| holds(shown, found))
        }
        (shown, found) => shown == found,
    }
}

/// Plays a section, and returns what is not as it is shown.
fn play(base: &[Value], blocks: &[Block]) -> Vec<String> {
    let mut inputs = base.to_vec();
    let mut problems = Vec::new();
    for block in blocks {
        let (objects, diagnostics) = rendered(&inputs);
        match block.info.as_str() {
            "yaml input" => inputs.extend(documents(&block.text)),
            "yaml output" => {
                if !diagnostics.is_empty() {
                    problems.push(diagnostics.join("\n"));
                }
                for shown in documents(&block.text) {
                    if !objects.iter().any(|found| holds(&shown, found)) {
                        let of_kind: Vec<String> = objects
                            .iter()
                            .filter(|found| found["kind"] == shown["kind"])
                            .map(|found| serde_saphyr::to_string(found).expect("YAML"))
                            .collect();
                        problems.push(format!("no {shown} in\n{}", of_kind.join("---\n")));
                    }
                }
            }
            "text diagnostics" => {
                let wanted: Vec<&str> = block.text.lines().collect();
                if diagnostics != wanted {
                    problems.push(format!("other diagnostics: {}", diagnostics.join("\n")));
                }
            }
            other => problems.push(format!("nobody knows what a block of {other:?} is")),
        }
    }
    problems
}

#[test]
fn pages_about_rendering_are_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/rendering");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a page");
    let of_platform = sections(&read(&folder.join("README.md")));
    let base: Vec<Value> = of_platform
        .iter()
        .flat_map(|(_, blocks)| blocks)
        .flat_map(|block| documents(&block.text))
        .collect();
    let mut pages: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the pages")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("README.md"))
        .collect();
    pages.sort();
    let (mut played, mut problems) = (0, Vec::new());
    for page in &pages {
        let name = page.file_name().expect("a name").to_string_lossy();
        for (title, blocks) in sections(&read(page)) {
            let found = play(&base, &blocks).into_iter();
            problems.extend(found.map(|problem| format!("{name}, {title}: {problem}")));
            played += blocks
                .iter()
                .filter(|block| block.info != "yaml input")
                .count();
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(played >= 8, "{played}");
}
