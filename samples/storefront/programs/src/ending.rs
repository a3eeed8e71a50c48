//! How a program ends: in words for its log, and with a code for whoever started it.

use std::{error::Error, io::Write, process::ExitCode};

/// Says why a program failed, with all causes, and returns its exit code.
pub fn ended<E: Error>(outcome: &Result<(), E>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    // Nobody is left to tell when even that fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::FAILURE
}
