//! What an evaluation may cost.

use crate::fault::Failure;
use crate::{MAX_OUTPUT, MAX_STEPS};
use std::cell::Cell;

/// The steps and bytes that are left; shared by all scopes of a context.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: Cell<usize>,
    bytes: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: Cell::new(MAX_STEPS),
            bytes: Cell::new(MAX_OUTPUT),
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
