//! Prints the figures that `docs/performance.md` keeps: one line `figure value unit` each.
//!
//! ```text
//! cargo run --release -p choreo-bench -- platform --json figures.json
//! cargo run --release -p choreo-bench -- compiler
//! ```
//!
//! Tests never measure time; whoever wants a number runs this on a quiet machine.

mod allocation;
mod api;
mod cell;
mod compiler;
mod delivery;
mod figure;
mod platform;
mod process;
mod run;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Measures choreo.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Writes the figures to a file too, as a JSON array.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The running program: how soon it serves, how much memory it takes.
    Platform(platform::Settings),
    /// The compiler: one rendering, a fleet, a plan, and types that mean harm.
    Compiler(compiler::Settings),
    /// The embedded API beside a real kube-apiserver: writes, watches, lists, starts, memory.
    Api(api::Settings),
    /// Pods, policies, routes and the gateway on this machine.
    Cell(cell::Settings),
    /// Be the embedded API that is measured.
    #[command(hide = true)]
    Serve(api::Serve),
}

fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when standard error is closed.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
    // Every connection of this process uses one cryptography; a second installation cannot happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let figures = match &cli.what {
        What::Platform(settings) => platform::measure(settings)?,
        What::Compiler(settings) => compiler::measure(settings)?,
        What::Api(settings) => api::measure(settings)?,
        What::Cell(settings) => cell::measure(settings)?,
        What::Serve(settings) => return api::serve(settings),
    };
    figure::print(&figures, &mut io::stdout().lock())?;
    if let Some(file) = &cli.json {
        std::fs::write(file, serde_json::to_vec_pretty(&figures)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
