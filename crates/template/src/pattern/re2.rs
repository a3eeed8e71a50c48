//! Patterns as people write them: in the syntax of RE2, which is Go's. The engine here reads another
//! one, in which braces that count nothing, brackets within classes and some more are mistakes, and
//! classes such as `\d` know letters of all scripts.

use std::iter::Peekable;
use std::str::CharIndices;

/// How often something may be repeated by a count.
const MOST: u32 = 1000;

/// `text` in the syntax of the engine, or what is wrong with it.
pub fn from_re2(text: &str) -> Result<String, String> {
    let mut reader = Reader {
        text,
        rest: text.char_indices().peekable(),
        out: String::with_capacity(text.len()),
        last: Last::Nothing,
    };
    while let Some((at, c)) = reader.rest.next() {
        reader.piece(at, c)?;
    }
    Ok(reader.out)
}

/// What was read last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// What cannot be repeated, or can once.
    Nothing,
    Repetition,
    /// A repetition that takes as little as it can.
    Lazy,
}

struct Reader<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
    out: String,
    last: Last,
}

impl Reader<'_> {
    fn piece(&mut self, at: usize, c: char) -> Result<(), String> {
        match c {
            '*' | '+' | '?' => return self.repeat(c),
            '{' => return self.count(at),
            '\\' => self.escape(false)?,
            '[' => self.class()?,
            '(' => self.group()?,
            _ => self.out.push(c),
        }
        self.last = Last::Nothing;
        Ok(())
    }

    fn repeat(&mut self, c: char) -> Result<(), String> {
        self.last = match (self.last, c) {
            (Last::Nothing, _) => Last::Repetition,
            (Last::Repetition, '?') => Last::Lazy,
            _ => return Err(format!("{c:?} repeats a repetition")),
        };
        self.out.push(c);
        Ok(())
    }

    /// A brace: what counts repetitions, or just a brace.
    fn count(&mut self, at: usize) -> Result<(), String> {
        let inside = self.text[at + 1..]
            .split_once('}')
            .map(|(inside, _)| inside);
        let Some(inside) = inside.filter(|inside| counts(inside)) else {
            self.out.push_str("\\{");
            self.last = Last::Nothing;
            return Ok(());
        };
        if self.last != Last::Nothing {
            return Err(format!("{{{inside}}} repeats a repetition"));
        }
        let mut numbers = inside.split(',').filter(|number| !number.is_empty());
        if numbers.any(|number| number.parse().is_ok_and(|number: u32| number > MOST)) {
            return Err(format!("{{{inside}}} repeats more than {MOST} times"));
        }
        self.out.extend(["{", inside, "}"]);
        self.rest.nth(inside.chars().count());
        self.last = Last::Repetition;
        Ok(())
    }

    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some((at, c)) = self.rest.next() else {
            return Err("it ends with a backslash".to_owned());
        };
        let plain = match (c, in_class) {
            ('Q', false) => {
                self.quote(at);
                return Ok(());
            }
            ('d', false) => "[0-9]",
            ('d', true) => "0-9",
            ('D', _) => "[^0-9]",
            ('w', false) => "[0-9A-Za-z_]",
            ('w', true) => "0-9A-Za-z_",
            ('W', _) => "[^0-9A-Za-z_]",
            ('s', false) => r"[\t\n\f\r ]",
            ('s', true) => r"\t\n\f\r ",
            ('S', _) => r"[^\t\n\f\r ]",
            ('b', false) => r"(?-u:\b)",
            ('B', false) => r"(?-u:\B)",
            _ => {
                self.out.extend(['\\', c]);
                return Ok(());
            }
        };
        self.out.push_str(plain);
        Ok(())
    }

    /// `\Q...\E`: what stands between means itself.
    fn quote(&mut self, at: usize) {
        let rest = &self.text[at + 1..];
        let (inside, end) = rest
            .split_once("\\E")
            .map_or((rest, 0), |(inside, _)| (inside, 2));
        self.out.push_str(&regex::escape(inside));
        for _ in 0..inside.chars().count() + end {
            self.rest.next();
        }
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        // The first bracket is one of the members.
        if self.rest.next_if(|(_, c)| *c == ']').is_some() {
            self.out.push_str("\\]");
        }
        while let Some((at, c)) = self.rest.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' => self.named(at),
                // Two of these mean something else to the engine.
                '&' | '~' => self.out.extend(['\\', c]),
                '-' => {
                    self.out.push('-');
                    if self.rest.next_if(|(_, c)| *c == '-').is_some() {
                        self.out.push_str("\\-");
                    }
                }
                _ => self.out.push(c),
            }
        }
        Err("unclosed character class".to_owned())
    }

    /// `[:alpha:]` within a class, or just a bracket.
    fn named(&mut self, at: usize) {
        let name = self.text[at..].strip_prefix("[:");
        let name = name.and_then(|rest| rest.split_once(":]"));
        match name.map(|(name, _)| name) {
            Some(name) if name.chars().all(|c| c.is_ascii_alphabetic() || c == '^') => {
                self.out.extend(["[:", name, ":]"]);
                self.rest.nth(name.len() + 2);
            }
            _ => self.out.push_str("\\["),
        }
    }

    /// A parenthesis, and what it says of its group.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.next_if(|(_, c)| *c == '?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        while let Some((_, c)) = self.rest.next() {
            self.out.push(c);
            match c {
                ':' | ')' => return Ok(()),
                '<' => return self.name(),
                'P' | 'i' | 'm' | 's' | 'U' | '-' => {}
                _ => return Err(format!("(?{c} is no group")),
            }
        }
        Err("unclosed group".to_owned())
    }

    fn name(&mut self) -> Result<(), String> {
        for (_, c) in self.rest.by_ref() {
            self.out.push(c);
            match c {
                '>' => return Ok(()),
                _ if c.is_alphanumeric() || c == '_' => {}
                _ => break,
            }
        }
        Err("a group has no name".to_owned())
    }
}

/// Whether what stands in braces counts repetitions.
fn counts(inside: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        Some((least, most)) => !least.is_empty() && digits(least) && digits(most),
        None => !inside.is_empty() && digits(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    fn matches(pattern: &str, text: &str) -> bool {
        let read = from_re2(pattern).expect("is a pattern");
        Regex::new(&read).expect("is read").is_match(text)
    }

    #[test]
    fn what_means_itself_there_does_here() {
        for (pattern, text) in [
            ("^{{.*}}$", "{{a}}"),
            ("^a{,2}$", "a{,2}"),
            ("^a{2,}b{1}$", "aab"),
            ("^[[]]$", "[]"),
            ("^[]a]+$", "a]"),
            ("^[^]]$", "a"),
            ("^[a&&b]+$", "a&b"),
            ("^[+--]+$", "+,-"),
            ("^[[:alpha:][:^digit:]]+$", "ab-"),
            (r"^[\d\w.\-]+$", "1a.-"),
            (r"^\Qa.b*\E+$", "a.b**"),
            (r"^\Q*", "*"),
            (r"^a\.b\/$", "a.b/"),
            ("^(?i:A)(?P<n>b)(?<m>c)$", "abc"),
            ("^a*?b??$", "aab"),
            ("é{2}", "éé"),
        ] {
            assert!(matches(pattern, text), "{pattern} on {text}");
        }
    }

    #[test]
    fn classes_know_the_letters_of_ascii() {
        for pattern in [r"^\d$", r"^\w$", r"^[\d]$", r"^[\w]$"] {
            assert!(!matches(pattern, "٣"), "{pattern}");
        }
        for pattern in [r"^\D$", r"^\W$", r"^[\D]$", r"^[^\w]$", r"^\S$"] {
            assert!(matches(pattern, "٣"), "{pattern}");
        }
        assert!(!matches(r"^\s$", "\u{2003}"));
        assert!(matches(r"a\bé", "aé"));
    }

    #[test]
    fn others_are_refused() {
        for pattern in [
            "x++",
            "x**",
            "x*??",
            "x{2}{3}",
            "x{1001}",
            "a\\",
            "[a",
            "(?x)a",
            "(?=a)",
            "(?<!a)",
            "(?P<",
            "(?<a b>c)",
            "(?",
        ] {
            assert!(from_re2(pattern).is_err(), "{pattern}");
        }
    }
}
