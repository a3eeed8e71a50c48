//! One rendering of one component, from the snapshot to the objects and until they are given up.

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use choreo_compiler::{ComponentSnapshot, Programs, compile_component, fleet::Fleet};
use serde_json::Value;

use super::{Trouble, defaults, documents, read, settled};
use crate::{
    allocation,
    figure::{Figure, median},
};

/// The environment that is rendered.
const ENVIRONMENT: &str = "development";
/// For how long each figure is measured.
const LASTING: Duration = Duration::from_millis(700);
/// A tenth of what the reference implementation takes for a rendering with nothing parsed before,
/// in microseconds.
const COLD: f64 = 410.0;
/// A tenth of what it allocates for the one input that was looked at, in kilobytes.
const ALLOCATED: (&str, f64) = ("http-service", 30.0);

/// A file of manifests that is part of the program.
struct Input {
    name: &'static str,
    text: &'static str,
    /// A tenth of what the reference implementation takes for it, in microseconds.
    goal: Option<f64>,
}

macro_rules! inputs {
    ($($name:literal $(: $goal:literal)?),* $(,)?) => {
        [$(Input {
            name: $name,
            text: include_str!(concat!("../../inputs/", $name, ".yaml")),
            goal: [$($goal)?].first().copied(),
        }),*]
    };
}

/// What every input needs.
const PROJECT: &str = include_str!("../../inputs/project.yaml");
/// One of each default type, and cases that the reference implementation was measured with.
const INPUTS: [Input; 8] = inputs![
    "service",
    "web-application",
    "worker",
    "scheduled-task",
    "http-service": 54.0,
    "trait-patches": 38.0,
    "embedded-traits": 111.0,
    "with-configs": 57.0,
];

/// Time and memory of one rendering of each input.
pub(super) fn measure(goldens: Option<&Path>) -> Result<Vec<Figure>, Trouble> {
    let mut figures = Vec::new();
    for input in &INPUTS {
        let manifests = match goldens.filter(|_| input.goal.is_some()) {
            Some(folder) => golden(folder, input.name)?,
            None => own(input)?,
        };
        let fleet = settled(input.name, manifests)?;
        figures.extend(of(input, &snapshot(input.name, &fleet)?)?);
    }
    Ok(figures)
}

fn own(input: &Input) -> Result<Vec<Value>, Trouble> {
    let mut manifests = defaults()?;
    manifests.extend(documents("project", PROJECT)?);
    manifests.extend(documents(input.name, input.text)?);
    Ok(manifests)
}

fn golden(folder: &Path, name: &str) -> Result<Vec<Value>, Trouble> {
    let mut manifests = read(&folder.join("platform.yaml"))?;
    manifests.extend(read(&folder.join("dataplane.yaml"))?);
    manifests.extend(read(&folder.join(name).join("input.yaml"))?);
    Ok(manifests)
}

/// What rendering the only component of `fleet` needs.
fn snapshot<'f>(name: &str, fleet: &'f Fleet) -> Result<ComponentSnapshot<'f>, Trouble> {
    let trouble = |message: String| Trouble::Input(name.to_owned(), message);
    let mut bindings = fleet.bindings();
    let binding = bindings
        .find(|binding| binding.spec.environment == ENVIRONMENT)
        .ok_or_else(|| trouble(format!("nothing is bound to {ENVIRONMENT}")))?;
    fleet.component_snapshot(binding).map_err(trouble)
}

fn of(input: &Input, snapshot: &ComponentSnapshot<'_>) -> Result<Vec<Figure>, Trouble> {
    let programs = Programs::default();
    let compiled = compile_component(snapshot, &programs);
    if let Some(error) = compiled.diagnostics.iter().find(|one| one.is_error()) {
        return Err(Trouble::Input(input.name.to_owned(), error.to_string()));
    }
    let warm = microseconds(|| compile_component(snapshot, &programs));
    let (_, allocated) = allocation::of(|| compile_component(snapshot, &programs));
    let cold = microseconds(|| compile_component(snapshot, &Programs::default()));
    let figure = |what: &str, value: f64, unit: &'static str, goal: Option<f64>| {
        let figure = Figure::new(format!("render-{}-{what}", input.name), value, unit);
        match goal {
            Some(goal) => figure.at_most(goal),
            None => figure,
        }
    };
    let with_goal = |goal: f64| input.goal.map(|_| goal);
    let mut figures = vec![
        figure("warm", warm, "us", input.goal),
        figure("cold", cold, "us", with_goal(COLD)),
    ];
    figures.extend(allocated.map(|allocated| {
        let goal = (input.name == ALLOCATED.0).then_some(ALLOCATED.1);
        figure("allocated", allocated.total / 1e3, "kB", goal)
    }));
    Ok(figures)
}

/// The middle of how long `run` takes, giving up its result included.
fn microseconds<R>(run: impl Fn() -> R) -> f64 {
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed() < LASTING {
        let start = Instant::now();
        drop(black_box(run()));
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    median(times).unwrap_or_default()
}
