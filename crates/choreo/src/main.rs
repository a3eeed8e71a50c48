//! The choreo binary: reads the command line, runs one command, and turns its failure into one clear
//! message and an exit code.

mod cli;
mod client;
mod commands;
mod exit;
mod failure;
mod fleet;
mod folder;
mod follow;
mod heap;
mod kinds;
mod manager;
mod manifest;
mod pipeline;
mod platform;
mod promotion;
mod refused;
mod report;
mod rollout;
mod store;
mod table;
mod terminal;
#[cfg(test)]
mod testing;
mod told;
mod tree;
mod view;
mod waiting;
mod why;
mod width;

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before any thread exists: the machine's helpers are this same program.
    choreo_node::machine::entry();
    // Every connection of this process uses one cryptography; a second installation cannot happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match commands::run(cli::read()) {
        Ok(()) => exit::Exit::Ok.into(),
        Err(failure) => report::failure(&failure),
    }
}
