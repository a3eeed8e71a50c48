//! The hidden subcommands under which this program re-executes itself.

use std::path::PathBuf;

use super::{helper, linux};

/// Runs one of the machine's hidden subcommands and ends the process, if the arguments name one.
///
/// Must be the first call of `main`, before any thread starts: namespaces are entered by processes
/// with a single thread.
pub fn entry() {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(name), Some(argument)) = (arguments.next(), arguments.next()) else {
        return;
    };
    let path = PathBuf::from(argument);
    let code = match name.to_str() {
        Some(linux::HELPER) => helper::run(&path),
        Some(helper::PROGRAM) => helper::run_program(&path),
        Some(helper::FORK_SERVER) => helper::run_fork_server(),
        _ => return,
    };
    #[expect(clippy::exit, reason = "a re-executed helper is a process of its own")]
    std::process::exit(code);
}
