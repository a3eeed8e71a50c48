//! What each command does: parse low, act here, print through [`crate::terminal`].

mod api_key;
mod apply;
mod approve;
mod audit;
mod backup;
mod check;
mod delete;
mod deploy;
mod describe;
mod down;
mod exec;
mod explain;
mod export;
mod get;
mod history;
mod image;
mod kubeconfig;
mod logs;
mod man;
mod plan;
mod preview;
mod promote;
mod render;
mod rollback;
mod schema;
mod secret;
mod status;
mod target;
mod up;
mod why;

pub(crate) use self::render::yaml;
use std::future::Future;

use serde_json::json;

#[cfg(test)]
pub(crate) use self::apply::Change;
pub(crate) use self::apply::{api, apply_all, left_out, rehearse, warnings};
use crate::{
    cli::{self, Api, Audit, Cli, Command, Format, OutputOnly},
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    terminal,
};

/// Runs one command.
pub(crate) fn run(cli: Cli) -> Result {
    let folder =
        || Folder::resolve(cli.global.data.as_deref())?.with_key(cli.global.key_file.as_deref());
    match cli.command {
        Command::Up(args) => up::run(&folder()?, &args, cli.global.verbose),
        Command::Down(args) => down::run(&folder()?, &args),
        Command::Apply(args) => wait_for(apply::run(&folder()?, &args)),
        Command::Delete(args) => wait_for(delete::run(&folder()?, &args)),
        Command::Get(args) => wait_for(get::run(&folder()?, &args)),
        Command::Describe(args) => wait_for(describe::run(&folder()?, &args)),
        Command::Status(args) => wait_for(status::run(&folder()?, &args)),
        Command::Why(args) => wait_for(why::run(&folder()?, &args)),
        Command::Logs(args) => wait_for(logs::run(&folder()?, &args)),
        Command::Exec(args) => wait_for(exec::run(&folder()?, &args)),
        Command::Deploy(args) => wait_for(deploy::run(&folder()?, &args)),
        Command::Promote(args) => wait_for(promote::run(folder, &args)),
        Command::Approve(args) => wait_for(approve::approve(folder, &args)),
        Command::Reject(args) => wait_for(approve::reject(folder, &args)),
        Command::Rollback(args) => wait_for(rollback::run(&folder()?, &args)),
        Command::History(args) => wait_for(history::run(&folder()?, &args)),
        Command::Audit(Audit::Verify(args)) => wait_for(audit::run(&folder()?, &args)),
        Command::Preview(args) => wait_for(preview::run(&folder()?, &args)),
        Command::Plan(args) => wait_for(plan::run(folder, &args)),
        Command::Explain(args) => wait_for(explain::run(folder, &args)),
        Command::Render(args) => render::run(&args),
        Command::Export(args) => wait_for(export::run(folder, &args)),
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Image(args) => image::run(&folder()?, &args),
        Command::Secret(args) => wait_for(secret::run(&folder()?, &args)),
        Command::Api(Api::Key(args)) => wait_for(api_key::run(&folder()?, &args)),
        Command::Kubeconfig(args) => kubeconfig::run(&folder()?, &args),
        Command::Backup(args) => backup::run(&folder()?, &args),
        Command::Restore(args) => backup::restore(&folder()?, &args),
        Command::Version(args) => version(&args),
        Command::Completion { shell } => completion(shell),
        Command::Man { output_dir } => man::run(output_dir.as_deref()),
    }
}

/// Runs a command that talks to the platform. One thread is enough for that.
fn wait_for(command: impl Future<Output = Result>) -> Result {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Machine, "threads cannot be started").because(error))?
        .block_on(Box::pin(command))
}

fn version(args: &OutputOnly) -> Result {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        Format::Text => terminal::line(format!("choreo {version}")),
        data @ (Format::Json | Format::Yaml) => terminal::data(
            data,
            &json!({
                "choreo": version,
                "platform": std::env::consts::OS,
                "architecture": std::env::consts::ARCH,
            }),
        ),
    }
}

fn completion(shell: clap_complete::Shell) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "choreo", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}
