//! Fuzz targets as ordinary tests.
//!
//! A target is a function of bytes that panics when something does not hold. It lives in the
//! `fuzzing` module of the crate it looks into; `cargo fuzz` runs it for as long as one likes, and
//! [`replay`] for a moment in every test run: every input kept in `fuzz/corpus/TARGET`, and a fixed
//! number of variations of them, the same ones each time.

mod mutate;

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use mutate::Mutator;

/// A target: its name, which is also that of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// What is to be had for recursion. Frames of code that is not optimised are some eight times those
/// of a release, whose threads have 2 MB.
const STACK: usize = 16 << 20;

/// Runs `name` of `targets` on its corpus and on so many variations of it, or as many as
/// `CHOREO_FUZZ_VARIATIONS` says.
pub fn replay(targets: &[Target], name: &str, variations: usize) {
    let wanted = env::var("CHOREO_FUZZ_VARIATIONS");
    let wanted = wanted.ok().and_then(|text| text.parse().ok());
    let variations = wanted.unwrap_or(variations);
    let target = targets.iter().find(|(known, _)| *known == name);
    let Some((name, run)) = target.copied() else {
        fail(&format!("there is no target {name}"));
    };
    let corpus = corpus(name);
    let all = move || {
        for input in &corpus {
            attempt(name, run, input);
        }
        let mut mutator = Mutator::new(name, &corpus);
        for _ in 0..variations {
            attempt(name, run, &mutator.next());
        }
    };
    let thread = thread::Builder::new().stack_size(STACK).spawn(all);
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => resume_unwind(cause),
        Err(error) => fail(&format!("there is no thread: {error}")),
    }
}

/// Checks that each of `targets` can be run by `cargo fuzz`.
pub fn listed(targets: &[Target]) {
    let path = folder().join("Cargo.toml");
    let manifest = fs::read_to_string(&path).unwrap_or_default();
    for (name, _) in targets {
        if !manifest.contains(&format!("name = \"{name}\"")) {
            fail(&format!("{} has no [[bin]] named {name}", path.display()));
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The inputs kept for a target, by name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(name);
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    if files.is_empty() {
        fail(&format!("{} holds no inputs", folder.display()));
    }
    let inputs = files.iter().map(|file| fs::read(file).unwrap_or_default());
    inputs.collect()
}

/// Runs a target, and says on what when it fails.
fn attempt(name: &str, run: fn(&[u8]), input: &[u8]) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        tell(name, input);
        resume_unwind(cause);
    }
}

#[expect(clippy::print_stderr, reason = "the words of a failing test")]
fn tell(name: &str, input: &[u8]) {
    let shown = String::from_utf8_lossy(input);
    let exact = input.escape_ascii();
    eprintln!("{name} fails on:\n{shown}\n\nwhich is b\"{exact}\"");
    eprintln!("once it is mended, keep this as a file in fuzz/corpus/{name}");
}

#[expect(clippy::panic, reason = "how a test fails")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corpus_is_that_of_a_target() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for entry in fs::read_dir(folder().join("corpus")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }

    #[test]
    #[should_panic(expected = "seven")]
    fn what_does_not_hold_is_told() {
        let refuse: fn(&[u8]) = |_| fail("seven");
        attempt("any", refuse, b"x");
    }
}
