//! The data plane of this machine: pods that come and go, policies and routes that change, and what the
//! gateway adds to a request beside Envoys that are configured by hand.

mod by_hand;
mod gates;
mod home;
mod load;
mod pods;

use clap::{Args, ValueEnum};

use crate::{figure::Figure, run::Trouble};
use home::Home;
use load::Load;

/// How to measure the data plane.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// How often each change is measured
    #[arg(long, default_value_t = 20)]
    changes: usize,
    /// How many pods are started at once
    #[arg(long, default_value_t = 200)]
    pods: usize,
    /// How long each round of load on the gateway lasts, in seconds
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How many connections make the load
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
    /// Measures only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One pod after the other, and many at once.
    Pods,
    /// Policies and routes that change.
    Gates,
    /// Requests through the gateway, beside Envoys that are configured by hand.
    Load,
}

/// What the data plane of this machine does, with the sample running beside it.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Figure>, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Trouble::io("starting a runtime"))?;
    let mut home = Home::start(&runtime)?;
    let wanted = |part| settings.only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if wanted(Part::Pods) {
        figures.extend(runtime.block_on(pods::one_by_one(&home, settings.changes))?);
        figures.extend(runtime.block_on(pods::at_once(&mut home, settings.pods))?);
    }
    if wanted(Part::Gates) || wanted(Part::Load) {
        let server = runtime.block_on(home.serve())?;
        if wanted(Part::Gates) {
            figures.extend(runtime.block_on(gates::measure(&home, settings.changes))?);
        }
        if wanted(Part::Load) {
            let load = runtime.block_on(Load::prepare(&home, server))?;
            for connections in &settings.connections {
                let measured = load.measure(*connections, settings.seconds);
                figures.extend(runtime.block_on(measured)?);
            }
        }
    }
    home.stop()?;
    Ok(figures)
}
