//! Types that mean harm: how long it takes, and how much memory, until they are refused.

use std::time::Instant;

use choreo_compiler::{check, fleet::Fleet};
use serde_json::Value;

use super::{Trouble, defaults};
use crate::{allocation, figure::Figure};

#[expect(
    dead_code,
    reason = "what a refusal says is for the tests of the compiler"
)]
#[path = "../../../compiler/tests/hostile/cases/mod.rs"]
mod cases;

use cases::Given;

/// The longest that may take, in milliseconds.
const TIME: f64 = 100.0;
/// The most memory that may take, in megabytes.
const MEMORY: f64 = 64.0;

/// Time and memory until each is refused: when it is applied or when it is rendered, whichever
/// takes more.
pub(super) fn measure() -> Result<Vec<Figure>, Trouble> {
    let defaults = defaults()?;
    let mut figures = Vec::new();
    let groups = [
        cases::files(),
        cases::expressions(),
        cases::memory(),
        cases::texts(),
        cases::patterns(),
        cases::mistakes(),
        cases::objects(),
        cases::traits(),
        cases::schemas(),
        cases::references(),
        cases::values(),
    ];
    for hostile in groups.into_iter().flatten() {
        let (name, spent) = (hostile.name, spent(hostile.given, &defaults));
        figures.push(Figure::new(format!("hostile-{name}-time"), spent.time, "ms").at_most(TIME));
        figures.extend(spent.memory.map(|memory| {
            Figure::new(format!("hostile-{name}-memory"), memory, "MB").at_most(MEMORY)
        }));
    }
    Ok(figures)
}

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// Milliseconds.
    time: f64,
    /// The most memory at one time, in megabytes, where it is counted.
    memory: Option<f64>,
}

impl Spent {
    fn max(self, other: Self) -> Self {
        Self {
            time: self.time.max(other.time),
            memory: self.memory.into_iter().chain(other.memory).reduce(f64::max),
        }
    }
}

/// What it takes to refuse what is given, beside what `defaults` hold.
fn spent(given: Given, defaults: &[Value]) -> Spent {
    match given {
        Given::Text(text) => of(|| check::file(&text).is_ok()),
        Given::Objects(objects) => {
            let admission = objects
                .iter()
                .map(|object| of(|| check::object(object, None)))
                .fold(Spent::default(), Spent::max);
            let mut fleet = Fleet::read(defaults.iter().cloned().chain(objects));
            let rendering = of(|| {
                fleet.settle();
                fleet.render()
            });
            admission.max(rendering)
        }
    }
}

/// What `run` takes, giving up its result included.
fn of<R>(run: impl FnOnce() -> R) -> Spent {
    let start = Instant::now();
    let ((), allocated) = allocation::of(|| drop(run()));
    Spent {
        time: start.elapsed().as_secs_f64() * 1e3,
        memory: allocated.map(|allocated| allocated.peak / 1e6),
    }
}
