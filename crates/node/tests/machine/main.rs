//! The real machine: namespaces, containers, packets. Runs as root and, from there or by itself, as a
//! plain user with one user id and with several; where the host forbids it, it says so and passes.
//!
//! It has its own `main`, because it is also the program that the machine re-executes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cognitive_complexity,
    reason = "a test, though without the harness"
)]

mod away;
mod containers;
mod datagrams;
mod faults;
mod hosts;
mod internet;
mod leftovers;
mod matrix;
mod network;
mod outward;
mod processes;
mod security;
mod talks;
mod volumes;
mod world;

use std::path::Path;

use choreo_node::machine::{self, Machine as _};

use self::world::World;

fn main() {
    machine::entry();
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["hold", folder] => leftovers::hold(Path::new(folder)),
        ["run", folder] => run(Path::new(folder)),
        ["forbidden", folder] => hosts::be_forbidden(Path::new(folder)),
        ["granted", folder] => hosts::be_granted_users(Path::new(folder)),
        ["layered", folder] => hosts::be_layered(Path::new(folder)),
        ["try", folder] => hosts::say_whether_it_starts(Path::new(folder)),
        // What the harness would understand is not meant for this program.
        ["--list", ..] => {}
        _ => run_all(),
    }
}

fn say(text: &str) {
    println!("machine: {text}");
}

fn run_all() {
    if nix::unistd::geteuid().is_root() {
        internet::make();
    }
    let scratch = tempfile::tempdir().unwrap();
    run(&scratch.path().join("data"));
    if nix::unistd::geteuid().is_root() {
        hosts::run_as_others(scratch.path());
    }
}

fn run(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let stood = runtime.block_on(async {
        let Some(mut world) = World::start(folder).await else {
            return false;
        };
        let info = world.machine.info().clone();
        let name = format!("{:?} with {} user ids", info.mode, info.user_ids);
        say(&format!("{name}: {info:?}"));
        world.containers_run().await;
        say(&format!("{name}: containers"));
        world.containers_have_no_rights().await;
        world.users_are_kept_apart().await;
        say(&format!("{name}: security"));
        world.volumes_in_memory().await;
        world.parts_of_volumes().await;
        say(&format!("{name}: volumes"));
        world.cells_are_apart().await;
        say(&format!("{name}: cells"));
        world.services_balance().await;
        say(&format!("{name}: services"));
        world.cells_are_what_is_declared().await;
        say(&format!("{name}: matrix"));
        world.pods_leave_as_declared().await;
        world.datagrams_leave_as_declared().await;
        say(&format!("{name}: leaving"));
        world.gateways_lead_out_as_declared().await;
        say(&format!("{name}: ways out"));
        world.random_policies_hold().await;
        say(&format!("{name}: random policies"));
        world.machine.apply_network(&world::plan()).await.unwrap();
        world.limits_hold().await;
        say(&format!("{name}: limits"));
        world.others_do_not_notice().await;
        say(&format!("{name}: faults"));
        world.commands_and_probes().await;
        say(&format!("{name}: commands and probes"));
        world.commands_are_talked_to().await;
        world.containers_are_attached_to().await;
        world.terminals_are_attached_to().await;
        world.ports_are_connected_to().await;
        say(&format!("{name}: talks"));
        world.processes_are_supervised().await;
        world.processes_have_no_rights().await;
        say(&format!("{name}: processes"));
        world.containers_end_as_they_are_asked().await;
        world.pods_end().await;
        world.layers_are_removed().await;
        world.machine.shutdown().await.unwrap();
        leftovers::assert_nothing_left(folder);
        say(&format!("{name}: shutdown"));
        true
    });
    drop(runtime);
    if stood {
        leftovers::a_killed_platform_leaves_nothing(folder);
        say("killed platform");
    }
}
