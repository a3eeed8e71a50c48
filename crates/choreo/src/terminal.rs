//! Everything a person reads: standard output and error, colours only where they are wanted.

use std::{
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use crate::{
    cli::Format,
    failure::{self, Result},
};

/// How a word stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Plain,
    /// Good.
    Good,
    /// On its way.
    Waiting,
    /// Bad.
    Bad,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

/// Columns and rows of the terminal on standard output; of the environment shells keep where it does
/// not tell; small without either.
pub(crate) fn size() -> (usize, usize) {
    let told = terminal_size::terminal_size_of(io::stdout());
    let told = told.map(|(columns, rows)| (usize::from(columns.0), usize::from(rows.0)));
    let number = |name: &str, usual: usize| {
        let text = std::env::var(name).ok();
        text.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    told.filter(|(columns, rows)| *columns > 0 && *rows > 0)
        .unwrap_or_else(|| (number("COLUMNS", 80), number("LINES", 24)))
}

/// Keeps what is typed from being shown, until the value is dropped.
pub(crate) fn hide_input() -> Option<Hidden> {
    let before = termios::tcgetattr(io::stdin()).ok()?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent).ok()?;
    Some(Hidden(before))
}

/// Hands every key on as it is typed, until the value is dropped: the program at the other end has a
/// terminal of its own.
pub(crate) fn raw_input() -> Option<Hidden> {
    let before = termios::tcgetattr(io::stdin()).ok()?;
    let mut raw = before.clone();
    termios::cfmakeraw(&mut raw);
    termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &raw).ok()?;
    Some(Hidden(before))
}

/// Whether a person types and reads here.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A terminal that does not show what is typed.
pub(crate) struct Hidden(Termios);

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that is gone.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

/// Whether standard output is a terminal on which colours are welcome.
pub(crate) fn coloured() -> bool {
    static COLOURED: OnceLock<bool> = OnceLock::new();
    *COLOURED.get_or_init(|| io::stdout().is_terminal() && colours_welcome())
}

/// Whether the user wants colours at all (the `NO_COLOR` convention).
pub(crate) fn colours_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// `text` in a style, if colours are wanted.
pub(crate) fn paint(text: &str, style: Style, coloured: bool) -> String {
    let code = match style {
        Style::Plain => return text.to_owned(),
        Style::Good => "32",
        Style::Waiting => "33",
        Style::Bad => "31",
        Style::Faint => "2",
        Style::Strong => "1",
    };
    if coloured {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Writes to standard output. A reader that went away (`| head`) is a reason to end quietly, which
/// the caller sees as a failure of kind broken pipe.
pub(crate) fn print(text: &str) -> Result {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(failure::io("writing to standard output"))
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl AsRef<str>) -> Result {
    print(&format!("{}\n", text.as_ref()))
}

/// Writes a line to standard error. There is nobody to tell when that fails.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Writes a line that tells people how something goes. Where the output is for scripts, people read
/// it on standard error.
pub(crate) fn progress(format: Format, text: impl AsRef<str>) -> Result {
    match format {
        Format::Text => line(text),
        Format::Json | Format::Yaml => {
            note(text);
            Ok(())
        }
    }
}

/// Prints a value for scripts. Text is for people, who get JSON where there is no text for them.
pub(crate) fn data(format: Format, value: &impl serde::Serialize) -> Result {
    match format {
        Format::Json | Format::Text => json(value),
        Format::Yaml => yaml(value),
    }
}

/// Prints a value as YAML.
pub(crate) fn yaml(value: &impl serde::Serialize) -> Result {
    let text = serde_saphyr::to_string(value).map_err(|error| {
        failure::Failure::new(
            crate::exit::Exit::Failed,
            "the result cannot be written as YAML",
        )
        .because(error)
    })?;
    print(&text)
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        failure::Failure::new(
            crate::exit::Exit::Failed,
            "the result cannot be written as JSON",
        )
        .because(error)
    })?;
    line(text)
}
