//! The hidden subcommands under which this program re-executes itself.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use super::linux;

/// Runs one of the machine's hidden subcommands and ends the process, if the arguments name one.
///
/// Must be the first call of `main`, before any thread starts: namespaces are entered by processes
/// with a single thread.
pub fn entry() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(name) = arguments.next() else {
        return;
    };
    let Some(code) = run(&name.to_string_lossy(), arguments.next()) else {
        return;
    };
    #[expect(clippy::exit, reason = "a re-executed helper is a process of its own")]
    std::process::exit(code);
}

fn run(name: &str, argument: Option<OsString>) -> Option<i32> {
    match name {
        linux::HELPER => Some(0),
        _ => None,
    }
}
