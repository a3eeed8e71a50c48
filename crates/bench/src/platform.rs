//! The running program: how soon it serves, how much memory it takes.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::{
    delivery,
    figure::{Figure, median},
    process,
    run::{Platform, Trouble},
};

/// What the sample answers, and where.
const SERVICE: (&str, &str) = (
    "development-default.openchoreo.localhost",
    "/catalog-http/items",
);
/// How long a platform is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// How to measure the running program.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// How often a start is measured; the median is told.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Measures only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// What there is to deliver
    #[command(flatten)]
    delivery: delivery::Settings,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The program with the sample and without.
    Up,
    /// The controllers with many components.
    Delivery,
}

/// What the running program does.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>, Trouble> {
    let wanted = |part| settings.only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if wanted(Part::Up) {
        figures.extend(up(settings)?);
    }
    if wanted(Part::Delivery) {
        figures.extend(delivery::measure(&settings.delivery)?);
    }
    Ok(figures)
}

/// Times and memory of `choreo up samples/storefront` and of `choreo up` alone.
fn up(settings: &Settings) -> Result<Vec<Figure>, Trouble> {
    let bench = Bench::prepare()?;
    let mut starts = Vec::new();
    for _ in 0..settings.runs.max(1) {
        starts.push(bench.start_with_sample()?);
    }
    let middle =
        |of: fn(&Start) -> f64| median(starts.iter().map(of).collect()).unwrap_or_default();
    let idle = bench.idle()?;
    let with_sample = bench.with_sample()?;
    let size = size_of_program(&bench.launcher)?;
    Ok(vec![
        Figure::new("up-api-ready", middle(|start| start.api), "s").at_most(0.5),
        Figure::new(
            "up-first-answer-through-gateway",
            middle(|start| start.answer),
            "s",
        )
        .at_most(3.0),
        Figure::new("up-sample-ready", middle(|start| start.ready), "s").at_most(5.0),
        Figure::new("memory-idle", megabytes(idle.resident), "MB").at_most(60.0),
        Figure::new("memory-idle-anonymous", megabytes(idle.anonymous), "MB"),
        Figure::new(
            "memory-with-sample",
            megabytes(with_sample.platform.resident),
            "MB",
        )
        .at_most(60.0),
        Figure::new(
            "memory-with-sample-anonymous",
            megabytes(with_sample.platform.anonymous),
            "MB",
        ),
        Figure::new("memory-of-a-container", megabytes(with_sample.holder), "MB"),
        Figure::new("size-of-program", megabytes(size), "MB"),
    ])
}

/// Seconds after `choreo up`.
#[derive(Debug)]
struct Start {
    api: f64,
    answer: f64,
    ready: f64,
}

#[derive(Debug)]
struct WithSample {
    platform: process::Memory,
    /// Anonymous memory of a process that holds a container: the rest is shared with the platform.
    holder: u64,
}

/// The launcher, as a newcomer uses it, and the sample.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) launcher: PathBuf,
    pub(crate) sample: PathBuf,
}

impl Bench {
    /// Builds and fetches what has to be by a first start.
    pub(crate) fn prepare() -> Result<Self, Trouble> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let bench = Self {
            launcher: root.join("choreo"),
            sample: root.join("samples/storefront"),
        };
        bench.start_with_sample()?;
        Ok(bench)
    }

    fn start_with_sample(&self) -> Result<Start, Trouble> {
        let folder = folder()?;
        let platform = Platform::new(&self.launcher, &folder.path().join("data"))?;
        let began = Instant::now();
        let up = platform.start(&[&self.sample])?;
        platform.wait_for_api()?;
        let api = began.elapsed().as_secs_f64();
        platform.wait_for(SERVICE.0, SERVICE.1)?;
        let answer = began.elapsed().as_secs_f64();
        Platform::ready(up)?;
        let ready = began.elapsed().as_secs_f64();
        platform.stop()?;
        Ok(Start { api, answer, ready })
    }

    fn idle(&self) -> Result<process::Memory, Trouble> {
        let folder = folder()?;
        let platform = Platform::new(&self.launcher, &folder.path().join("data"))?;
        let pid = Platform::ready(platform.start(&[])?)?;
        thread::sleep(SETTLE);
        let memory = process::memory(pid).map_err(Trouble::io("reading memory"))?;
        platform.stop()?;
        Ok(memory)
    }

    fn with_sample(&self) -> Result<WithSample, Trouble> {
        let folder = folder()?;
        let platform = Platform::new(&self.launcher, &folder.path().join("data"))?;
        let pid = Platform::ready(platform.start(&[&self.sample])?)?;
        thread::sleep(SETTLE);
        let holders = process::named("node-container", folder.path())
            .map_err(Trouble::io("looking for processes"))?;
        let memory = WithSample {
            platform: process::memory(pid).map_err(Trouble::io("reading memory"))?,
            holder: holders
                .into_iter()
                .filter_map(|pid| process::memory(pid).ok())
                .map(|memory| memory.proportional + memory.tables)
                .max()
                .unwrap_or_default(),
        };
        platform.stop()?;
        Ok(memory)
    }
}

/// The size of the program that the launcher runs.
fn size_of_program(launcher: &Path) -> Result<u64, Trouble> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| launcher.with_file_name("target"), PathBuf::from);
    let program = target.join("release/choreo");
    let metadata = fs::metadata(&program).map_err(Trouble::io(program.display().to_string()))?;
    Ok(metadata.len())
}

/// A folder of its own.
pub(crate) fn folder() -> Result<tempfile::TempDir, Trouble> {
    tempfile::Builder::new()
        .prefix("choreo-bench")
        .tempdir()
        .map_err(Trouble::io("making a temporary folder"))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
