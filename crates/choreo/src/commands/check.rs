//! `choreo check`: every mistake in files at once, with its place, without a platform.

mod sarif;

use std::{ops::Range, path::PathBuf, sync::Arc};

use choreo_compiler::{
    Code, Diagnostic, Place,
    check::{self, Finding},
    fleet::{Fleet, Library},
};
use serde_json::{Value, json};

use crate::{
    cli::{Check, Report},
    exit::Exit,
    failure::{Failure, Result},
    fleet::{self, Files},
    manifest::{self, Problem},
    terminal,
};

/// Runs `choreo check`.
pub(crate) fn run(args: &Check) -> Result {
    let found = examine(&args.paths, &args.namespace.namespace)?;
    match args.output {
        Report::Text => terminal::print(&text(&found))?,
        Report::Json => terminal::json(&json(&found))?,
        Report::Sarif => terminal::json(&sarif::log(&found))?,
    }
    if found.iter().any(|one| one.finding.diagnostic.is_error()) {
        return Err(Failure::told(Exit::Invalid));
    }
    Ok(())
}

/// A finding, and the file it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// None when it is about nothing that is written in a file.
    file: Option<String>,
    text: Arc<str>,
    finding: Finding,
}

impl Found {
    /// Orders findings as they are read: by file and place.
    fn key(&self) -> (Option<&str>, usize, usize, &str) {
        let place = self.finding.place.as_ref();
        let (line, column) = place.map_or((0, 0), |place| (place.line, place.column));
        let message = self.finding.diagnostic.message.as_str();
        (self.file.as_deref(), line, column, message)
    }

    /// The place of what is wrong with the form of an object.
    fn spot(&self) -> Option<(Option<String>, usize)> {
        let place = self.finding.place.as_ref()?;
        let is_form = self.finding.diagnostic.code == Code::Manifest;
        is_form.then(|| (self.file.clone(), place.bytes.start))
    }

    /// Whether it says of the form of an object what was `told` before, in better words.
    fn repeats(&self, told: &[Option<(Option<String>, usize)>]) -> bool {
        self.spot().is_some_and(|spot| told.contains(&Some(spot)))
    }
}

/// Everything wrong with the files that `paths` hold.
fn examine(paths: &[PathBuf], namespace: &str) -> Result<Vec<Found>> {
    let texts = manifest::texts(paths)?;
    let (documents, problems) = manifest::examine(&texts);
    if documents.is_empty() && problems.is_empty() {
        return Err(manifest::nothing(paths));
    }
    let mut found: Vec<Found> = problems.iter().map(|one| of_problem(one, &texts)).collect();
    let mut files = Files::defaults()?;
    for (name, text) in &texts {
        // Text that is no YAML was told above.
        let Ok(findings) = check::file(text) else {
            continue;
        };
        let findings = findings.into_iter().map(|finding| Found {
            file: Some(name.clone()),
            text: Arc::clone(text),
            finding,
        });
        let told: Vec<_> = found.iter().map(Found::spot).collect();
        let new: Vec<_> = findings.filter(|one| !one.repeats(&told)).collect();
        found.extend(new);
        files.add(name, text, namespace)?;
    }
    found.extend(of_fleet(&files));
    found.sort_by(|left, right| left.key().cmp(&right.key()));
    found.dedup_by(|left, right| left.key() == right.key());
    Ok(found)
}

fn of_problem(problem: &Problem, texts: &[(String, Arc<str>)]) -> Found {
    let text = texts
        .iter()
        .find(|(name, _)| name == problem.file())
        .map_or_else(|| Arc::from(""), |(_, text)| Arc::clone(text));
    let mut diagnostic = Diagnostic::error(Code::Manifest, "", "", problem.told());
    if let Some(hint) = problem.help() {
        diagnostic = diagnostic.with_hint(hint);
    }
    Found {
        file: Some(problem.file().to_owned()),
        finding: Finding {
            diagnostic,
            place: Some(place(&text, problem.bytes())),
        },
        text,
    }
}

fn place(text: &str, bytes: Range<usize>) -> Place {
    let before = text.get(..bytes.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    Place {
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        bytes,
    }
}

/// What only shows when everything is put together: references that lead nowhere, values that a
/// type refuses, expressions that fail.
fn of_fleet(files: &Files) -> Vec<Found> {
    let mut fleet = Fleet::read(files.objects.iter().cloned());
    fleet.bind_everywhere();
    fleet::settle(&mut fleet);
    let problems = fleet.problems();
    let mut all: Vec<(&str, &Diagnostic)> = problems
        .iter()
        // What cannot be read was told field by field, where it is written.
        .filter(|(_, one)| one.code != Code::Manifest)
        .map(|(namespace, one)| (namespace.as_str(), one))
        .collect();
    let rendered = fleet.render();
    for binding in &rendered {
        let of_binding = binding.compiled.diagnostics.iter();
        all.extend(of_binding.map(|one| (binding.namespace.as_str(), one)));
    }
    all.into_iter()
        .map(|(namespace, one)| spotted(&files.library, namespace, one))
        .collect()
}

fn spotted(library: &Library, namespace: &str, diagnostic: &Diagnostic) -> Found {
    let object = (namespace, diagnostic.object.as_str());
    let excerpt = diagnostic.excerpt.as_ref();
    let spot = library.spot(object, &diagnostic.pointer(), excerpt);
    let (file, place) = spot.map_or((None, None), |spot| (Some(spot.file), Some(spot.place)));
    let text = file.as_deref().and_then(|file| library.text(file));
    Found {
        text: Arc::from(text.unwrap_or_default()),
        file,
        finding: Finding {
            diagnostic: diagnostic.clone(),
            place,
        },
    }
}

fn text(found: &[Found]) -> String {
    let mut text = String::new();
    for one in found {
        let file = one.file.as_deref().unwrap_or("no file");
        text.push_str(&one.finding.explained(file, &one.text));
        text.push_str("\n\n");
    }
    let errors = found
        .iter()
        .filter(|one| one.finding.diagnostic.is_error())
        .count();
    let summary = match (errors, found.len() - errors) {
        (0, 0) => "nothing is wrong".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    text + &summary + "\n"
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `error` or `warning`.
const fn severity(diagnostic: &Diagnostic) -> &'static str {
    if diagnostic.is_error() {
        "error"
    } else {
        "warning"
    }
}

fn json(found: &[Found]) -> Value {
    found
        .iter()
        .map(|one| {
            let diagnostic = &one.finding.diagnostic;
            let place = one.finding.place.as_ref();
            json!({
                "file": one.file,
                "line": place.map(|place| place.line),
                "column": place.map(|place| place.column),
                "severity": severity(diagnostic),
                "code": format!("{:?}", diagnostic.code),
                "object": diagnostic.object,
                "field": diagnostic.field,
                "message": diagnostic.message,
                "hint": diagnostic.hint,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
