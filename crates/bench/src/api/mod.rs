//! The embedded API and, where it can be had, a real kube-apiserver with etcd: the same client asks
//! both the same, over TLS on loopback, one after the other. Both wait for the disk.

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod server;
mod watchers;

pub(crate) use server::{Serve, serve};

use std::{path::Path, time::Duration};

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;

use self::{
    client::{Connection, Target},
    load::{Kind, Load, Write},
    server::Subject,
};
use crate::{
    figure::{Figure, median},
    process,
    run::Trouble,
};

/// How many write at once.
const WRITERS: [usize; 3] = [1, 8, 32];
/// How often a list is read; the median is told.
const LISTS: usize = 7;
/// How long a server is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);
/// Writers that fill a server.
const FILLERS: usize = 32;

/// How to measure the API.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many objects the largest store has
    #[arg(long, default_value_t = 100_000)]
    objects: usize,
    /// Measure the embedded API only
    #[arg(long)]
    alone: bool,
    /// Measures only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// How many write at once
    #[arg(long, value_delimiter = ',', default_values_t = WRITERS)]
    writers: Vec<usize>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Lists, starts and memory.
    Sizes,
    /// Writes and what watchers see of them.
    Writes,
}

/// Writes, fan-out, lists, starts and memory of the embedded API and of the one to compare with.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Trouble::io("starting a runtime"))?;
    let mut figures = Vec::new();
    for kind in [Subject::Ours, Subject::Oracle] {
        if kind == Subject::Oracle && (settings.alone || !server::has_oracle()) {
            continue;
        }
        let mut bench = Bench {
            subject: kind,
            settings,
            runtime: &runtime,
            figures: &mut figures,
        };
        let wanted = |part| settings.only.is_none_or(|only| only == part);
        if wanted(Part::Writes) {
            bench.writes()?;
        }
        if wanted(Part::Sizes) {
            bench.sizes()?;
        }
    }
    Ok(figures)
}

/// What is measured of one server.
struct Bench<'a> {
    subject: Subject,
    settings: &'a Settings,
    runtime: &'a Runtime,
    figures: &'a mut Vec<Figure>,
}

impl Bench<'_> {
    fn tell(&mut self, name: &str, value: f64, unit: &'static str) {
        let name = format!("{}-{name}", self.subject.name());
        self.figures.push(Figure::new(name, value, unit));
    }

    /// Creates and updates by some writers, and what watchers see of them.
    fn writes(&mut self) -> Result<(), Trouble> {
        let folder = folder()?;
        let server = self.subject.start(folder.path())?;
        let (target, runtime) = (server.target()?, self.runtime);
        runtime.block_on(load::prepare(&target))?;
        for kind in [Kind::Map, Kind::Record] {
            for writers in self.settings.writers.clone() {
                for write in [Write::Create, Write::Update] {
                    let load = Load {
                        kind,
                        write,
                        writers,
                        lasting: Duration::from_secs(self.settings.seconds),
                    };
                    self.load(&server, &target, load)?;
                }
            }
        }
        let seen = runtime.block_on(watchers::fan_out(&target))?;
        self.tell("fan-out-100-watchers-p50", seen.at(0.5), "ms");
        self.tell("fan-out-100-watchers-p99", seen.at(0.99), "ms");
        Ok(())
    }

    /// How many writes there are, how long each takes, and what server and client have to do for one.
    fn load(
        &mut self,
        server: &server::Server,
        target: &Target,
        load: Load,
    ) -> Result<(), Trouble> {
        let busy = || -> Result<_, Trouble> {
            let own = process::busy(std::process::id()).map_err(Trouble::io("reading times"))?;
            Ok([server.busy()?, own])
        };
        let ready = self.runtime.block_on(load.ready(target))?;
        let before = busy()?;
        let told = self.runtime.block_on(load.run(ready))?;
        let after = busy()?;
        let (kind, write) = (load.kind.name(), load.write.name());
        let name = format!("{kind}-{write}-by-{}", load.writers);
        self.tell(&name, told.rate(), "a second");
        self.tell(&format!("{name}-p50"), told.times.at(0.5), "ms");
        self.tell(&format!("{name}-p99"), told.times.at(0.99), "ms");
        for (whose, (before, after)) in ["server", "client"].iter().zip(before.iter().zip(after)) {
            let each = told.share(after.saturating_sub(*before));
            self.tell(&format!("{name}-work-of-{whose}"), each, "us");
        }
        Ok(())
    }

    /// Lists of ten thousand, memory of more and more objects, and a start with all of them.
    fn sizes(&mut self) -> Result<(), Trouble> {
        let folder = folder()?;
        let mut server = self.subject.start(folder.path())?;
        let (target, runtime) = (server.target()?, self.runtime);
        runtime.block_on(load::prepare(&target))?;
        self.memory(&server, "no")?;
        let (few, many) = (10_000.min(self.settings.objects), self.settings.objects);
        runtime.block_on(load::fill(&target, Kind::Map, FILLERS, 0..few))?;
        self.memory(&server, &few.to_string())?;
        self.list(&target, Kind::Map, few)?;
        runtime.block_on(load::fill(&target, Kind::Record, FILLERS, 0..few))?;
        self.list(&target, Kind::Record, few)?;
        runtime.block_on(load::fill(&target, Kind::Map, FILLERS, few..many - few))?;
        self.memory(&server, &many.to_string())?;
        server.stop()?;
        let began = std::time::Instant::now();
        server = self.subject.start(folder.path())?;
        let target = server.target()?;
        runtime.block_on(async {
            let mut connection = Connection::open(&target).await?;
            connection.get(&Kind::Map.path("m0")).await.map(drop)
        })?;
        self.tell(
            &format!("start-with-{many}"),
            began.elapsed().as_secs_f64(),
            "s",
        );
        self.memory(&server, &format!("{many}-after-start"))?;
        server.stop()
    }

    fn memory(&mut self, server: &server::Server, objects: &str) -> Result<(), Trouble> {
        std::thread::sleep(SETTLE);
        let bytes = server.memory()?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        self.tell(
            &format!("memory-with-{objects}-objects"),
            bytes as f64 / 1e6,
            "MB",
        );
        Ok(())
    }

    fn list(&mut self, target: &Target, kind: Kind, objects: usize) -> Result<(), Trouble> {
        let times = self.runtime.block_on(load::lists(target, kind, LISTS))?;
        let name = format!("list-of-{objects}-{}", kind.name());
        self.tell(&name, median(times).unwrap_or_default(), "ms");
        Ok(())
    }
}

/// A folder on a disk.
pub(crate) fn folder() -> Result<tempfile::TempDir, Trouble> {
    // Not below /tmp, which may be memory: durable writes are to reach a disk.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(target)
        .map_err(Trouble::io("making a folder in target/"))
}
