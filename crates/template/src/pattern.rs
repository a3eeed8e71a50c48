//! Regular expressions, bounded in what preparing them and looking for them may take.

mod re2;

pub use re2::from_re2;

use crate::budget::{Budget, Exhausted};
use regex::{Error, Regex, RegexBuilder};

/// The longest pattern, in bytes.
const LONGEST: usize = 4096;
/// How large the automaton of a pattern may become, in bytes: the first that is enough is taken.
const SIZES: [usize; 4] = [1 << 12, 1 << 14, 1 << 16, Pattern::LARGEST];
/// What looking at one byte of a text costs, in steps, for each kilobyte of the automaton: at worst
/// all of its states are visited for every byte.
const STEPS_PER_KILOBYTE: usize = 1;
/// What a pattern costs to prepare, in steps.
pub(crate) const STEPS: usize = 20_000;

/// A regular expression.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    size: usize,
}

impl Pattern {
    /// How large the automaton of a pattern may become, in bytes.
    pub const LARGEST: usize = 1 << 18;

    /// Prepares `text`, or tells why it cannot be used.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let text = from_re2(text)?;
        let mut larger = SIZES.into_iter().peekable();
        while let Some(size) = larger.next() {
            let built = RegexBuilder::new(&text)
                .size_limit(size)
                .dfa_size_limit(size)
                .build();
            match built {
                Ok(regex) => return Ok(Self { regex, size }),
                Err(Error::CompiledTooBig(_)) if larger.peek().is_some() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("it is too large".to_owned())
    }

    /// How large its automaton is at most, in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// What it matches in `text`, at most `limit` times.
    pub(crate) fn find<'t>(
        &self,
        text: &'t str,
        limit: usize,
        budget: &Budget,
    ) -> Result<Vec<&'t str>, Exhausted> {
        let each = STEPS_PER_KILOBYTE * self.size / 1024;
        budget.step(text.len().saturating_mul(each) + 1)?;
        let mut found = Vec::new();
        for one in self.regex.find_iter(text).take(limit) {
            budget.step(1)?;
            found.push(one.as_str());
        }
        Ok(found)
    }

    /// Whether it is somewhere in `text`.
    pub fn is_match(&self, text: &str, budget: &Budget) -> Result<bool, Exhausted> {
        let each = STEPS_PER_KILOBYTE * self.size / 1024;
        budget.step(text.len().saturating_mul(each) + 1)?;
        Ok(self.regex.is_match(text))
    }
}
