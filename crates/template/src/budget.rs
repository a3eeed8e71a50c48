//! What an evaluation may cost.

use crate::fault::Failure;
use crate::{MAX_OUTPUT, MAX_STEPS};
use regex::{Regex, RegexBuilder};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// How large a pattern may become, in bytes of its automaton.
const MAX_PATTERN: usize = 1 << 18;
/// What a pattern costs to prepare, in steps.
const PATTERN: usize = 20_000;

/// The steps and bytes that are left; shared by all scopes of a context.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: Cell<usize>,
    bytes: Cell<usize>,
    /// Patterns that were prepared: a loop asks for the same one again and again.
    patterns: RefCell<BTreeMap<String, Regex>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: Cell::new(MAX_STEPS),
            bytes: Cell::new(MAX_OUTPUT),
            patterns: RefCell::default(),
        }
    }
}

impl Budget {
    /// Takes `count` steps.
    pub(crate) fn step(&self, count: usize) -> Result<(), Failure> {
        let left = self.steps.get().checked_sub(count);
        self.steps.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| {
            Failure::new(format!(
                "too many steps: all expressions together may take {MAX_STEPS}"
            ))
        })
    }

    /// The pattern `text`, prepared once.
    pub(crate) fn pattern(&self, text: &str) -> Result<Regex, Failure> {
        if let Some(known) = self.patterns.borrow().get(text) {
            return Ok(known.clone());
        }
        self.step(PATTERN)?;
        let pattern = RegexBuilder::new(text)
            .size_limit(MAX_PATTERN)
            .dfa_size_limit(MAX_PATTERN)
            .build()
            .map_err(|error| Failure::new(format!("the pattern cannot be used: {error}")))?;
        self.patterns
            .borrow_mut()
            .insert(text.to_owned(), pattern.clone());
        Ok(pattern)
    }

    /// Takes `count` bytes of memory.
    pub(crate) fn grow(&self, count: usize) -> Result<(), Failure> {
        let left = self.bytes.get().checked_sub(count);
        self.bytes.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| {
            let limit = MAX_OUTPUT >> 20;
            Failure::new(format!(
                "too much: all expressions together may make {limit} MB"
            ))
        })
    }
}
