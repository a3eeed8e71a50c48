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
    total: usize,
    steps: Cell<usize>,
    /// How many of them may be taken now.
    part: Cell<usize>,
    bytes: Cell<usize>,
    /// Patterns that were prepared: a loop asks for the same one again and again.
    patterns: RefCell<BTreeMap<String, Pattern>>,
}

impl Default for Left {
    fn default() -> Self {
        Self::new(MAX_STEPS)
    }
}

impl Left {
    fn new(steps: usize) -> Self {
        Self {
            total: steps,
            steps: Cell::new(steps),
            part: Cell::new(steps),
            bytes: Cell::new(MAX_OUTPUT),
            patterns: RefCell::default(),
        }
    }
}

/// Nothing is left of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// It takes too long.
    #[error("too many steps: all expressions together may take {0}")]
    Steps(usize),
    /// One expression takes too long.
    #[error("too many steps for one expression")]
    Part,
    /// It takes too much memory.
    #[error("too much: all expressions together may make {} MB", MAX_OUTPUT >> 20)]
    Bytes,
}

impl Budget {
    /// A budget of so many steps.
    pub fn of(steps: usize) -> Self {
        Self(Rc::new(Left::new(steps)))
    }

    /// Lets `steps` be taken from now on, if so many are left.
    pub fn allow(&self, steps: usize) {
        self.0.part.set(steps);
    }

    /// Whether all steps are taken.
    pub fn is_spent(&self) -> bool {
        self.0.steps.get() == 0
    }

    /// Takes `count` steps.
    pub fn step(&self, count: usize) -> Result<(), Exhausted> {
        take(&self.0.steps, count, Exhausted::Steps(self.0.total))?;
        take(&self.0.part, count, Exhausted::Part)
    }

    /// How many steps and bytes were taken so far.
    pub fn taken(&self) -> (usize, usize) {
        let Left {
            total,
            steps,
            bytes,
            ..
        } = self.0.as_ref();
        (total - steps.get(), MAX_OUTPUT - bytes.get())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::eval::evaluate;
    use crate::syntax;
    use crate::value::Value;
    use serde_json::json;

    /// The steps and bytes that `source` takes.
    fn cost(source: &str) -> (usize, usize) {
        let (expr, mistakes) = syntax::parse(source, &crate::Dialect::new(&[]));
        assert_eq!(mistakes, [], "{source}");
        let expr = expr.expect("parses");
        let text = json!("x".repeat(6400));
        let mut context = Context::new();
        context.bind("text", &text);
        evaluate(&expr, &context).expect("evaluates");
        context.budget().taken()
    }

    /// What is made is paid for with what it takes at least, and not with a multiple of that.
    #[test]
    fn memory_is_paid_for() {
        const VALUE: usize = size_of::<Value<'_>>();
        for (source, expected) in [
            ("[1, 2, 3]", 3 * VALUE),
            ("{'a': 1, 'b': 2, 'c': 3}", 6 * VALUE),
            ("[1, 2, 3].filter(x, x > 1)", (3 + 2) * VALUE),
            ("[1, 2, 3].map(x, x)", (3 + 3) * VALUE),
            ("[1, 2, 3].transformMap(i, v, v)", (3 + 6) * VALUE),
            (
                "[5, 6].transformMapEntry(i, v, {i: v})",
                (2 + 4 + 4) * VALUE,
            ),
            ("[1, 2, 3].slice(1, 3)", (3 + 2) * VALUE),
            ("[1, 2, 3].sortBy(x, -x)", (3 + 6) * VALUE),
            ("[1, 2, 3] + [4, 5]", (3 + 2 + 5) * VALUE),
            ("[1] + []", VALUE),
            ("[] + [1]", VALUE),
            ("'abc' + 'de'", 5),
            ("b'abc' + b'de'", 5),
            ("text.upperAscii()", 6400),
            ("'abc'.replace('b', 'xyz')", 3 + 3),
            ("'ab'.replace('', 'xy')", 2 + 3 * 2),
            ("'aaa'.replace('a', 'xy', 2)", 3 + 2 * 2),
            ("['a', 'bc'].join(', ')", 2 * VALUE + 3 + 2 * 2),
            ("'a,b,c'.split(',')", 3 * VALUE + 5),
            ("'abc'.split('')", 4 * VALUE + 3),
            ("'a,b,c'.split(',', 1)", 2 * VALUE + 5),
            ("'%d%%-%s'.format([12, 'abc'])", 2 * VALUE + 4 + 2 + 3 + 3),
        ] {
            let (_, found) = cost(source);
            assert!(
                (expected..=8 * expected).contains(&found),
                "{source}: {found}"
            );
        }
    }

    /// What looks at a text pays for its length.
    #[test]
    fn time_is_paid_for() {
        for (source, expected) in [
            ("size(text)", 100),
            ("text.contains('y')", 100),
            ("text.upperAscii()", 100),
            ("text.charAt(0)", 100),
            ("text.indexOf('y')", 100),
            ("text.substring(6400)", 100),
            ("oc_hash(text)", 100),
            ("text.lastIndexOf('y')", 100 + 400),
            ("text.lastIndexOf(text)", 100 + 40_406),
        ] {
            // It takes some more to walk the expression.
            let (found, _) = cost(source);
            assert!(
                (expected..3 * expected).contains(&found),
                "{source}: {found}"
            );
        }
    }

    #[test]
    fn limits_are_told_as_people_count() {
        let budget = Budget::default();
        let message = budget.grow(MAX_OUTPUT + 1).expect_err("fails").to_string();
        assert!(message.contains(" 32 MB"), "{message}");
        let message = budget.step(MAX_STEPS + 1).expect_err("fails").to_string();
        assert!(message.contains(" 1000000"), "{message}");
    }
}
