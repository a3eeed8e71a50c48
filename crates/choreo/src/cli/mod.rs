//! The command line as data: what can be said, with its help. Nothing here acts.

mod examples;
mod files;
mod history;
mod objects;
mod platform;
mod preview;
mod rollout;
mod store;
mod values;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use self::values::labels;
pub(crate) use self::{
    files::{Check, Explain, Plan, Render, Report, Schema},
    history::{Audit, History, Verify},
    objects::{Apply, Delete, Exec, Export, Get, Logs, Status, Subject, View},
    platform::{Down, Kubeconfig, Up},
    preview::{Preview, PreviewCreate, PreviewDelete, PreviewExtend, PreviewList},
    rollout::{Approve, Deploy, Promote, Reject, Rollback, Wait},
    store::{Api, ApiKey, Backup, Image, KeyOf, Pack, Restore, Secret},
    values::Labels,
};

/// An internal developer platform in one program: describe a project and its components, get a
/// running, isolated cell.
#[derive(Debug, Parser)]
#[command(
    name = "choreo",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Folder that holds everything the platform keeps [default: ~/.local/share/choreo]
    #[arg(
        long,
        global = true,
        env = "CHOREO_DATA",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) data: Option<PathBuf>,
    /// File with the key of stored secrets [default: beside the data folder, as choreo.key]
    #[arg(
        long = "key",
        global = true,
        env = "CHOREO_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// Say more on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the platform and apply what PATH holds
    Up(Up),
    /// Stop the platform; nothing stored is lost
    Down(Down),
    /// Create or change the objects of files
    Apply(Apply),
    /// Delete the objects of files, or one by name
    Delete(Delete),
    /// Show objects of any kind
    Get(Get),
    /// Show one object: what it wants, its conditions, what happened to it
    Describe(Subject),
    /// Show projects: components, bindings, objects and why something is not ready
    Status(Status),
    /// Say why something is as it is, down to what you can do about it
    Why(Subject),
    /// Show what a component prints
    Logs(Logs),
    /// Run a command in a running container of a component
    Exec(Exec),
    /// Release a component as it is now, or with another image, and roll it out
    Deploy(Deploy),
    /// Bring releases of a component or a project to the next environment
    Promote(Promote),
    /// Approve a promotion that somebody else asked for
    Approve(Approve),
    /// Reject a promotion, or withdraw one's own
    Reject(Reject),
    /// Bring back an earlier release
    Rollback(Rollback),
    /// Show what was deployed: who, what, when, why, and what came of it
    History(History),
    /// Check that the records of deployments are as they were written
    #[command(subcommand)]
    Audit(Audit),
    /// Leased copies of components, to look at a change
    #[command(subcommand)]
    Preview(Preview),
    /// Say what files would change: objects, restarts, deletions, and why
    Plan(Plan),
    /// Say why a field of a rendered object is what it is
    Explain(Explain),
    /// Render files to plain Kubernetes objects, without a platform
    Render(Render),
    /// Print what is deployed as plain Kubernetes objects
    Export(Export),
    /// Find every mistake in files, without a platform
    Check(Check),
    /// Print JSON Schemas of manifests, for editors
    Schema(Schema),
    /// Images kept on this machine
    #[command(subcommand)]
    Image(Image),
    /// Secret values that components refer to
    #[command(subcommand)]
    Secret(Secret),
    /// APIs, and the keys of their consumers
    #[command(subcommand)]
    Api(Api),
    /// Print a kubeconfig for somebody who is known by a certificate; roles say what they may do
    Kubeconfig(Kubeconfig),
    /// Write everything the API stores to one file, also while the platform runs
    Backup(Backup),
    /// Bring back what a backup holds; a running platform starts again with it
    Restore(Restore),
    /// Show versions
    Version(OutputOnly),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual, or write a page for every command
    Man {
        /// Write one page per command to this folder
        #[arg(long, value_name = "DIR")]
        output_dir: Option<PathBuf>,
    },
}

/// The command line with its examples.
pub(crate) fn command() -> clap::Command {
    examples::added(Cli::command())
}

/// Reads the command line of this process; ends the process when it asks for help or is wrong.
pub(crate) fn read() -> Cli {
    let matches = command().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    }
}

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
    /// For scripts, and to read
    Yaml,
}

/// `--output` alone.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputOnly {
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Objects that files leave out.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Prune {
    /// Also delete what an earlier `choreo apply` made in the same namespaces and the files leave
    /// out; objects without a namespace count when the files hold such
    #[arg(long)]
    pub(crate) prune: bool,
    /// Of these only objects with labels, as team=shop,tier=web
    #[arg(
        short = 'l',
        long,
        requires = "prune",
        value_name = "LABELS",
        value_parser = labels
    )]
    pub(crate) selector: Option<Labels>,
}

/// In which namespace.
#[derive(Debug, Clone, Args)]
pub(crate) struct Namespace {
    /// Namespace of the objects
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The help of every command, one after the other.
    fn reference() -> String {
        fn add(command: &mut clap::Command, text: &mut String) {
            let name = command
                .get_display_name()
                .unwrap_or_else(|| command.get_name());
            let title = name.replace('-', " ");
            let help = command.render_long_help().to_string();
            let help: Vec<&str> = help.lines().map(str::trim_end).collect();
            text.extend([
                "\n## ",
                &title,
                "\n\n```text\n",
                help.join("\n").trim_end(),
                "\n```\n",
            ]);
            for sub in command.get_subcommands_mut() {
                if !sub.is_hide_set() && sub.get_name() != "help" {
                    add(sub, text);
                }
            }
        }
        let mut text = "# Commands\n\nMade of the command line itself; `choreo man` writes the same as manual pages.\n".to_owned();
        let mut command = command().term_width(100);
        command.build();
        add(&mut command, &mut text);
        text
    }

    #[test]
    fn the_reference_is_that_of_this_command_line() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = file.join("../../docs/reference/commands.md");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&file, reference()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == reference(),
            "docs/reference/commands.md is not of this command line: run this test with UPDATE_GOLDENS=1"
        );
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// What every command takes and what one takes are told apart by the names of their fields.
    #[test]
    fn a_key_of_a_secret_is_not_the_file_of_keys() {
        let words = ["choreo", "secret", "set", "db", "password"];
        assert!(Cli::try_parse_from(words).is_ok());
    }
}
