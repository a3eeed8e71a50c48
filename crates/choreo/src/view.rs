//! What `up` shows: lines that stay, and below them a block that changes. Drawn in place on a terminal,
//! as plain lines elsewhere.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    failure::Result,
    terminal::{self, Style, paint},
    width,
};

/// Shows rows: the whole block again and again on a terminal, what is new elsewhere.
#[derive(Debug)]
pub(crate) struct View {
    /// Tells when the terminal gets another size; nothing when the block is not drawn in place.
    resizes: Option<Signal>,
    quiet: bool,
    /// The block, with nothing cut off.
    block: Vec<String>,
    /// The block as it stands on the terminal.
    drawn: Vec<String>,
}

impl View {
    /// A view on standard output; a quiet one shows nothing, for scripts that want the outcome only.
    /// Needs a runtime.
    pub(crate) fn new(quiet: bool) -> Self {
        let live = std::io::stdout().is_terminal() && !quiet;
        let resizes = live.then(|| signal(SignalKind::window_change()).ok());
        Self {
            resizes: resizes.flatten(),
            quiet,
            block: Vec::new(),
            drawn: Vec::new(),
        }
    }

    fn is_live(&self) -> bool {
        self.resizes.is_some()
    }

    /// Shows a line that stays.
    pub(crate) fn line(&mut self, text: &str) -> Result {
        if self.quiet {
            return Ok(());
        }
        if self.is_live() {
            return self.draw(&format!("{text}\n"));
        }
        terminal::line(text)
    }

    /// Shows the state of everything that may still change.
    pub(crate) fn block(&mut self, lines: Vec<String>) -> Result {
        if self.quiet || lines == self.block {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.block, lines);
        if self.is_live() {
            return self.draw("");
        }
        let new = self.block.iter().filter(|line| !before.contains(line));
        new.into_iter().try_for_each(terminal::line)
    }

    /// Leaves the block as it stands: what is shown from now on comes after it.
    pub(crate) fn leave(&mut self) {
        self.block.clear();
        self.drawn.clear();
    }

    /// Waits until the terminal has another size, and draws the block as it fits then.
    pub(crate) async fn follow_size(&mut self) -> Result {
        match &mut self.resizes {
            Some(resizes) => resizes.recv().await,
            None => std::future::pending().await,
        };
        self.draw("")
    }

    /// Clears the block and draws it again below `above`.
    fn draw(&mut self, above: &str) -> Result {
        let size = terminal::size();
        let mut text = erase(&self.drawn, size.0);
        text.push_str(above);
        self.drawn = fit(&self.block, size);
        self.drawn.iter().for_each(|line| text.extend([line, "\n"]));
        terminal::print(&text)
    }
}

/// Moves to the beginning of lines and clears them. A terminal that became narrower since has wrapped
/// them.
fn erase(lines: &[String], columns: usize) -> String {
    let rows: usize = lines
        .iter()
        .map(|line| width::visible(line).div_ceil(columns.max(1)).max(1))
        .sum();
    if rows == 0 {
        String::new()
    } else {
        format!("\x1b[{rows}A\x1b[J")
    }
}

/// The lines of a block that fit on a terminal, none of which wraps. The cursor needs a row, too.
fn fit(lines: &[String], (columns, rows): (usize, usize)) -> Vec<String> {
    let room = rows.saturating_sub(1).max(1);
    let cut = |line: &String| width::cut(line, columns);
    if lines.len() <= room {
        return lines.iter().map(cut).collect();
    }
    let hidden = lines.len() - (room - 1);
    let more = format!("  … {hidden} more; `choreo status` shows all");
    let shown = lines.iter().skip(hidden);
    std::iter::once(&more).chain(shown).map(cut).collect()
}

/// A row about a part of the platform.
pub(crate) fn part(name: &str, state: &str, style: Style, detail: &str) -> String {
    let state = paint(&format!("{state:<7}"), style, terminal::coloured());
    format!("  {name:<10} {state} {detail}")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_platform() {
        assert_eq!(
            part("API", "ready", Style::Plain, "https://x"),
            "  API        ready   https://x"
        );
    }

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_block_fits_the_terminal() {
        let block = lines(&["one", "two", "three", "a longer line"]);
        assert_eq!(fit(&block, (80, 24)), block);
        assert_eq!(fit(&block, (6, 24)), ["one", "two", "three", "a lon…"]);
        let more = "  … 2 more; `choreo status` shows all";
        assert_eq!(fit(&block, (80, 4)), [more, "three", "a longer line"]);
        assert_eq!(fit(&block, (80, 1)).len(), 1);
    }

    #[test]
    fn wrapped_lines_are_cleared_whole() {
        let drawn = lines(&["12345678", "1"]);
        assert_eq!(erase(&drawn, 8), "\x1b[2A\x1b[J");
        assert_eq!(
            erase(&drawn, 4),
            "\x1b[3A\x1b[J",
            "made narrower, the first takes two rows"
        );
        assert_eq!(erase(&[], 4), "");
    }
}
