//! The last thing a user reads when something failed: one message, what caused it, what to do.

use std::{error::Error as _, process::ExitCode};

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::{
    exit::Exit,
    failure::Failure,
    terminal::{self, Style, paint},
};

/// Shows a failure on standard error and returns its exit code.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    if is_closed_pipe(failure) {
        return Exit::Ok.into();
    }
    if let Some(code) = failure.code() {
        return code.into();
    }
    if failure.is_told() {
        return failure.exit().into();
    }
    let coloured =
        terminal::colours_welcome() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    terminal::note(render(failure, coloured));
    failure.exit().into()
}

fn render(failure: &Failure, coloured: bool) -> String {
    let mut text = String::new();
    let theme = if coloured {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(100);
    for problem in failure.problems() {
        // Writing to a string does not fail; a problem that cannot be drawn is said in words.
        if handler.render_report(&mut text, problem).is_err() {
            text.push_str(&problem.to_string());
        }
        text.push('\n');
    }
    text.extend([
        &paint("error:", Style::Bad, coloured),
        " ",
        &failure.to_string(),
    ]);
    let mut next = failure.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.extend(["\n  because ", &cause_text]);
        }
        next = cause.source();
    }
    if let Some(hint) = failure.help() {
        text.extend(["\n  ", &paint("help:", Style::Strong, coloured), " ", hint]);
    }
    text
}

/// Whether the reader of standard output went away, as `| head` does: nothing is wrong then.
fn is_closed_pipe(failure: &Failure) -> bool {
    failure
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_cause_and_help_each_have_a_line() {
        let failure = Failure::new(Exit::Machine, "port 19080 is in use")
            .because(std::io::Error::other("address in use"))
            .hint("choose another with --gateway-port");
        assert_eq!(
            render(&failure, false),
            "error: port 19080 is in use\n  because address in use\n  help: choose another with --gateway-port"
        );
    }
}
