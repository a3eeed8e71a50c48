//! From paths to documents: files, folders with everything below them, standard input.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    string::FromUtf8Error,
    sync::Arc,
};

use serde_saphyr::budget::BudgetBreach;

use super::{
    check,
    document::Document,
    problem::Problem,
    yaml::{self, Data},
};
use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
};

/// Reads and checks everything the paths hold. All problems are collected before any is reported.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let (documents, problems) = examine(&texts(paths)?);
    if !problems.is_empty() {
        return Err(Failure::invalid(problems));
    }
    if documents.is_empty() {
        return Err(nothing(paths));
    }
    Ok(documents)
}

/// That the paths hold no objects, where some are needed.
pub(crate) fn nothing(paths: &[PathBuf]) -> Failure {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Failure::new(Exit::Invalid, format!("no objects in {}", names.join(", ")))
        .hint("objects are read from files that end in .yaml, .yml or .json")
}

/// The documents of files, and everything wrong with them.
pub(crate) fn examine(texts: &[(String, Arc<str>)]) -> (Vec<Document>, Vec<Problem>) {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for (file, text) in texts {
        match parse(file, text) {
            Ok(found) => documents.extend(found),
            Err(problem) => problems.push(*problem),
        }
    }
    problems.extend(documents.iter().flat_map(check::document));
    (documents, problems)
}

fn parse(file: &str, text: &Arc<str>) -> std::result::Result<Vec<Document>, Box<Problem>> {
    let roots = yaml::read(text).map_err(|error| {
        let span = yaml::span_of_error(text, &error);
        let reason = error.without_snippet();
        let problem = if matches!(
            reason,
            serde_saphyr::Error::Budget {
                breach: BudgetBreach::Documents { .. } | BudgetBreach::Nodes { .. },
                ..
            }
        ) {
            Problem::new(file, text, span, "this is too much for one file")
                .hint("spread the objects over several files")
        } else {
            Problem::new(file, text, span, "this is not valid YAML")
        };
        Box::new(problem.label(reason.to_string()))
    })?;
    Ok(roots
        .into_iter()
        .flat_map(unpack_list)
        .map(|root| Document::new(file, text, root))
        .collect())
}

/// A `List` stands for its items.
fn unpack_list(root: yaml::Node) -> Vec<yaml::Node> {
    if root.text("apiVersion") != Some("v1") || root.text("kind") != Some("List") {
        return vec![root];
    }
    match root.field("items").map(|items| items.value.data.clone()) {
        Some(Data::List(items)) => items,
        _ => vec![root],
    }
}

/// The names and texts of the files that the paths hold.
pub(crate) fn texts(paths: &[PathBuf]) -> Result<Vec<(String, Arc<str>)>> {
    let mut texts = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(failure::io("reading standard input"))?;
            texts.push(("standard input".to_owned(), text.into()));
            continue;
        }
        let mut files = Vec::new();
        walk(path, true, &mut files)?;
        for file in files {
            let name = file.display().to_string();
            let bytes = fs::read(&file).map_err(failure::io(format!("reading {name}")))?;
            let text = String::from_utf8(bytes).map_err(|error| not_text(&name, &error))?;
            texts.push((name, text.into()));
        }
    }
    Ok(texts)
}

fn not_text(file: &str, error: &FromUtf8Error) -> Failure {
    let valid = error.utf8_error().valid_up_to();
    Failure::new(Exit::Invalid, format!("{file} is not text in UTF-8"))
        .because(format!("its byte {} is part of no character", valid + 1))
}

/// Collects files in the order of their names. Links to folders are not followed, so that a loop
/// cannot trap the walk; hidden entries are left alone.
fn walk(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result {
    let doing = || failure::io(format!("reading {}", path.display()));
    let kind = fs::metadata(path).map_err(doing())?.file_type();
    // What is named is read whatever it is, such as the pipe behind `/dev/stdin`.
    if named && !kind.is_dir() || kind.is_file() && is_manifest(path) {
        files.push(path.to_owned());
    }
    if !kind.is_dir() {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(doing())? {
        let entry = entry.map_err(doing())?;
        let link = entry.file_type().map_err(doing())?.is_symlink();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && (!link || entry.path().is_file()) {
            entries.push(entry.path());
        }
    }
    entries.sort();
    entries
        .iter()
        .try_for_each(|entry| walk(entry, false, files))
}

/// Whether a file of a folder is one to read.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::AsRawFd};

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, text).unwrap();
        let failure = read(&[file]).unwrap_err();
        let prefix = folder.path().display().to_string() + "/";
        failure
            .problems()
            .iter()
            .map(|problem| format!("{} {problem}", problem.place().replace(&prefix, "")))
            .collect()
    }

    #[test]
    fn broken_yaml_is_shown_where_it_breaks() {
        let found = problems("kind: Project\nspec: [\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("this is not valid YAML"), "{found:?}");
    }

    #[test]
    fn too_much_for_one_file_is_no_mistake_of_form() {
        let found = problems(&"--- {}\n".repeat(50_001));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].ends_with("this is too much for one file"),
            "{found:?}"
        );
    }

    #[test]
    fn folders_are_read_in_order_and_without_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        let object =
            |name: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}");
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/one.yml"), object("second")).unwrap();
        fs::write(folder.path().join("a.yaml"), object("first")).unwrap();
        fs::write(folder.path().join(".hidden.yaml"), object("third")).unwrap();
        fs::write(folder.path().join("notes.txt"), "not: [yaml").unwrap();
        let names: Vec<_> = read(&[folder.path().to_owned()])
            .unwrap()
            .iter()
            .map(|document| document.name().to_owned())
            .collect();
        assert_eq!(names, ["first", "second"]);
    }

    #[test]
    fn a_pipe_that_is_named_is_read() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let text = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: piped}}";
        writer.write_all(text).unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert_eq!(read(&[path.into()]).unwrap()[0].name(), "piped");
    }

    #[test]
    fn a_list_stands_for_its_items() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.json");
        fs::write(
            &file,
            r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}}]}"#,
        )
        .unwrap();
        assert_eq!(read(&[file]).unwrap()[0].kind(), "Secret");
    }

    #[test]
    fn nothing_found_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let failure = read(&[folder.path().to_owned()]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Invalid);
        let missing = read(&[folder.path().join("none")]).unwrap_err();
        assert_eq!(missing.exit(), Exit::NotFound);
        let image = folder.path().join("image.yaml");
        fs::write(&image, b"kind: \xff").unwrap();
        let failure = read(&[image]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Invalid);
        assert!(
            failure
                .to_string()
                .ends_with("image.yaml is not text in UTF-8"),
            "{failure}"
        );
    }
}
