//! What rendering may cost.

use crate::fault::Failure;
use crate::pattern::{self, Pattern};
use crate::{MAX_OUTPUT, MAX_STEPS};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The steps and bytes that are left. Clones take from the same.
///
/// Steps stand for time and bytes for memory, intermediate results included. Whoever does work that
/// grows with what people wrote takes from the budget before doing it; so the cost of a rendering
/// depends on nothing but its input, and has an end.
#[derive(Debug, Clone, Default)]
pub struct Budget(Rc<Left>);

#[derive(Debug)]
struct Left {
    steps: Cell<usize>,
    bytes: Cell<usize>,
    /// Patterns that were prepared: a loop asks for the same one again and again.
    patterns: RefCell<BTreeMap<String, Pattern>>,
}

impl Default for Left {
    fn default() -> Self {
        Self {
            steps: Cell::new(MAX_STEPS),
            bytes: Cell::new(MAX_OUTPUT),
            patterns: RefCell::default(),
        }
    }
}

/// Nothing is left of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// It takes too long.
    #[error("too many steps: all expressions together may take {MAX_STEPS}")]
    Steps,
    /// It takes too much memory.
    #[error("too much: all expressions together may make {} MB", MAX_OUTPUT >> 20)]
    Bytes,
}

impl Budget {
    /// Takes `count` steps.
    pub fn step(&self, count: usize) -> Result<(), Exhausted> {
        take(&self.0.steps, count, Exhausted::Steps)
    }

    /// Takes `count` bytes of memory.
    pub fn grow(&self, count: usize) -> Result<(), Exhausted> {
        take(&self.0.bytes, count, Exhausted::Bytes)
    }

    /// The pattern `text`, prepared once.
    pub(crate) fn pattern(&self, text: &str) -> Result<Pattern, Failure> {
        if let Some(known) = self.0.patterns.borrow().get(text) {
            return Ok(known.clone());
        }
        self.step(pattern::STEPS)?;
        let pattern = Pattern::new(text)
            .map_err(|reason| Failure::new(format!("the pattern cannot be used: {reason}")))?;
        // Looking for it takes some copies.
        self.grow(4 * pattern.size())?;
        let mut patterns = self.0.patterns.borrow_mut();
        patterns.insert(text.to_owned(), pattern.clone());
        Ok(pattern)
    }
}

fn take(left: &Cell<usize>, count: usize, exhausted: Exhausted) -> Result<(), Exhausted> {
    let rest = left.get().checked_sub(count);
    left.set(rest.unwrap_or(0));
    rest.map(drop).ok_or(exhausted)
}
