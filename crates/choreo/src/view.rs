//! What `up` shows: lines that stay, and below them a block that changes. Drawn in place on a terminal,
//! as plain lines elsewhere.

use std::io::IsTerminal;

use crate::{
    failure::Result,
    terminal::{self, Style, paint},
};

/// Shows rows: the whole block again and again on a terminal, what is new elsewhere.
#[derive(Debug)]
pub(crate) struct View {
    live: bool,
    quiet: bool,
    shown: Vec<String>,
}

impl View {
    /// A view on standard output; a quiet one shows nothing, for scripts that want the outcome only.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            live: std::io::stdout().is_terminal() && !quiet,
            quiet,
            shown: Vec::new(),
        }
    }

    /// Shows lines that stay.
    pub(crate) fn line(&mut self, text: &str) -> Result {
        if self.quiet {
            return Ok(());
        }
        let block = std::mem::take(&mut self.shown);
        if self.live {
            terminal::print(&format!("{}{text}\n", self.erase(block.len())))?;
            return self.block(block);
        }
        self.shown = block;
        terminal::line(text)
    }

    /// Shows the state of everything that may still change.
    pub(crate) fn block(&mut self, lines: Vec<String>) -> Result {
        if self.quiet || lines == self.shown {
            return Ok(());
        }
        if self.live {
            let mut text = self.erase(self.shown.len());
            let (width, height) = size();
            let hidden = lines.len().saturating_sub(height);
            self.shown = lines
                .iter()
                .skip(hidden)
                .map(|line| cut(line, width))
                .collect();
            self.shown.iter().for_each(|line| text.extend([line, "\n"]));
            return terminal::print(&text);
        }
        for line in lines.iter().filter(|line| !self.shown.contains(line)) {
            terminal::line(line)?;
        }
        self.shown = lines;
        Ok(())
    }

    /// Moves to the beginning of the block and clears it.
    fn erase(&self, lines: usize) -> String {
        if lines == 0 || !self.live {
            String::new()
        } else {
            format!("\x1b[{lines}A\x1b[J")
        }
    }
}

/// Columns and rows a block may take, from the environment shells keep; careful without it.
fn size() -> (usize, usize) {
    let number = |name: &str, usual: usize| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(usual)
    };
    (
        number("COLUMNS", 200),
        number("LINES", 40).saturating_sub(6).max(8),
    )
}

/// A line that does not wrap; marks of colour do not count.
fn cut(line: &str, width: usize) -> String {
    let plain = line.chars().count();
    if plain <= width || line.contains('\x1b') {
        return line.to_owned();
    }
    let mut text: String = line.chars().take(width.saturating_sub(1)).collect();
    text.push('…');
    text
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
}
