//! Text as wide as a terminal shows it: marks of colour take no room, some characters take two columns,
//! and those that combine with the one before take none.

use unicode_width::UnicodeWidthChar;

/// A character, or a mark that changes the colour of what follows.
enum Part<'a> {
    Char(char),
    Mark(&'a str),
}

/// Splits text at marks of colour (`ESC [ ... letter`).
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let mark = rest.strip_prefix("\x1b[").and_then(|body| {
            let end = body.find(|c: char| c.is_ascii_alphabetic())?;
            rest.get(..end + 3)
        });
        let part = mark.map_or(Part::Char(first), Part::Mark);
        rest = &rest[mark.map_or_else(|| first.len_utf8(), str::len)..];
        Some(part)
    })
}

/// The columns a text takes.
pub(crate) fn visible(text: &str) -> usize {
    parts(text).map(|part| columns(&part)).sum()
}

fn columns(part: &Part<'_>) -> usize {
    match part {
        Part::Char(c) => c.width().unwrap_or(0),
        Part::Mark(_) => 0,
    }
}

/// A text made longer by spaces until it takes `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(visible(text));
    format!("{text}{}", " ".repeat(missing))
}

/// A text that takes at most `width` columns, with a mark at its end if something was cut off.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if visible(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let (mut short, mut used, mut coloured) = (String::new(), 0, false);
    for part in parts(text) {
        used += columns(&part);
        if used > room {
            break;
        }
        match part {
            Part::Char(c) => short.push(c),
            Part::Mark(mark) => {
                coloured = mark != "\x1b[0m";
                short.push_str(mark);
            }
        }
    }
    if width > 0 {
        short.push('…');
    }
    if coloured {
        short.push_str("\x1b[0m");
    }
    short
}

/// A text in one line: what would move the cursor becomes a space.
pub(crate) fn one_line(text: &str) -> String {
    let plain = text.split(char::is_control).map(str::trim);
    plain
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_room() {
        let ready = "shop \x1b[32mReady\x1b[0m http://x";
        assert_eq!(visible(ready), "shop Ready http://x".len());
        assert_eq!(cut(ready, 19), ready);
        assert_eq!(cut(ready, 12), "shop \x1b[32mReady\x1b[0m …");
        assert_eq!(
            cut(ready, 8),
            "shop \x1b[32mRe…\x1b[0m",
            "the colour ends with the line"
        );
    }

    #[test]
    fn wide_and_combining_characters_count_as_shown() {
        assert_eq!(
            (visible("店"), visible("e\u{301}"), visible("ab")),
            (2, 1, 2)
        );
        assert_eq!(cut("店店店", 4), "店…", "half a character does not fit");
        assert_eq!(cut("店店店", 5), "店店…");
        assert_eq!(cut("e\u{301}e\u{301}e", 2), "e\u{301}…");
        assert_eq!(pad("店", 4), "店  ");
        assert_eq!(cut("ab", 0), "");
    }

    #[test]
    fn lines_are_joined() {
        assert_eq!(one_line("one\n  two\r\n"), "one two");
        assert_eq!(one_line("a\u{1b}[2Jb"), "a [2Jb");
    }
}
