//! The command line as data: what can be said, with its help. Nothing here acts.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Show projects: components, bindings, objects and why something is not ready
    Status(Status),
    /// Show what a component prints
    Logs(Logs),
    /// Release a component as it is now, or with another image, and roll it out
    Deploy(Deploy),
    /// Bring a component's release to the next environment
    Promote(Promote),
    /// Bring back an earlier release
    Rollback(Rollback),
    /// Say what files would change: objects, restarts, deletions, and why
    Plan(Plan),
    /// Say why a field of a rendered object is what it is
    Explain(Explain),
    /// Render files to plain Kubernetes objects, without a platform
    Render(Render),
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
    /// Show versions
    Version(OutputOnly),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
}

/// `--output` alone.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputOnly {
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// In which namespace.
#[derive(Debug, Clone, Args)]
pub(crate) struct Namespace {
    /// Namespace of the objects
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,
}

/// Start the platform.
#[derive(Debug, Clone, Args)]
pub(crate) struct Up {
    /// Files or folders to apply once the platform answers
    pub(crate) paths: Vec<PathBuf>,
    /// Leave it running in the background and return when everything is ready
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Be the process in the background
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// Port of the gateway for requests from outside
    #[arg(long, default_value_t = 19080, value_name = "PORT")]
    pub(crate) gateway_port: u16,
    /// Port of the gateway for requests from the organisation
    #[arg(long, default_value_t = 19081, value_name = "PORT")]
    pub(crate) internal_gateway_port: u16,
    /// Address of the API; port 0 keeps the one used before, or takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// The Envoy program used as gateway
    #[arg(
        long,
        env = "CHOREO_ENVOY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) envoy: Option<PathBuf>,
    /// How long to wait until everything is ready
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Stop the platform.
#[derive(Debug, Clone, Args)]
pub(crate) struct Down {
    /// How long to wait before it is ended by force
    #[arg(long, default_value = "30s", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Create or change objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Apply {
    /// File, folder (with everything below it), or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Check everything, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Delete objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Delete {
    /// Kind and name, as `component catalog` or `component/catalog`
    #[arg(required_unless_present = "filenames", conflicts_with = "filenames")]
    pub(crate) target: Vec<String>,
    /// File, folder, or - for standard input
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Do not wait until the objects are gone
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait until they are gone
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// How `get` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum View {
    /// Columns
    #[default]
    Table,
    /// More columns
    Wide,
    /// KIND/NAME
    Name,
    /// The whole objects as YAML
    Yaml,
    /// The whole objects as JSON
    Json,
}

/// Show objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct Get {
    /// Kind and names: `components`, `comp catalog`, `component/catalog`; also the words releases,
    /// bindings and types
    #[arg(required = true)]
    pub(crate) target: Vec<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// In every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: View,
    /// Go on showing what changes
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
}

/// Show a project or a component.
#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    /// A project, a component, or PROJECT/COMPONENT; all of the namespace without
    pub(crate) name: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Show what a component prints.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logs {
    /// The component
    pub(crate) component: String,
    /// Environment [default: the first of the project's pipeline]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Go on with what comes, also of new pods
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines of each pod
    #[arg(long, value_name = "LINES", value_parser = lines)]
    pub(crate) tail: Option<i64>,
    /// Of the container before the last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub(crate) previous: bool,
    /// Only what is not older, as 5m or 2h
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(crate) since: Option<Duration>,
}

/// Waiting for a roll-out.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wait {
    /// Do not wait until it is ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait until it is ready
    #[arg(long, default_value = "2m", value_parser = seconds, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Release a component.
#[derive(Debug, Clone, Args)]
pub(crate) struct Deploy {
    /// The component
    pub(crate) component: String,
    /// Image to deploy [default: the one its workload names]
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) image: Option<String>,
    /// Environment, one that nothing is promoted to [default: the first of the project's pipeline]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Waiting
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Bring a release to the next environment.
#[derive(Debug, Clone, Args)]
pub(crate) struct Promote {
    /// The component
    pub(crate) component: String,
    /// Environment to bring it to
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) to: String,
    /// Environment to take it from [default: the one before in the pipeline]
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) from: Option<String>,
    /// Promote it although it is not ready where it comes from
    #[arg(long)]
    pub(crate) force: bool,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Waiting
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Bring back an earlier release.
#[derive(Debug, Clone, Args)]
pub(crate) struct Rollback {
    /// The component
    pub(crate) component: String,
    /// Environment
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: String,
    /// The release [default: the one before the current]
    #[arg(long, value_name = "RELEASE")]
    pub(crate) to: Option<String>,
    /// Namespace
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Waiting
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Say what files would change.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// File, folder (with everything below it), or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Compare with a folder instead of the running platform
    #[arg(long, value_name = "DIR", conflicts_with = "offline")]
    pub(crate) base: Option<PathBuf>,
    /// Compare with a platform that has nothing but its defaults
    #[arg(long)]
    pub(crate) offline: bool,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Say why a field is what it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Explain {
    /// A rendered object as KIND/NAME, or a component together with --env
    pub(crate) target: String,
    /// The field, as .spec.replicas; of a component KIND.FIELD, as deployment.spec.replicas
    pub(crate) field: String,
    /// Environment of the component
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace of the component, or of the object
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Look into files instead of the running platform
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Render files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Render {
    /// Files or folders
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One environment, as if everything had been promoted to it [default: what would be deployed]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// Write a tree for Kustomize, a folder per environment
    #[arg(long, requires = "output")]
    pub(crate) standalone: bool,
    /// The folder to write that to
    #[arg(short, long, value_name = "DIR", requires = "standalone")]
    pub(crate) output: Option<PathBuf>,
}

/// How `check` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Report {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
    /// For code hosts and editors
    Sarif,
}

/// Find mistakes in files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Check {
    /// Files, folders, or - for standard input
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Namespace of objects that name none
    #[command(flatten)]
    pub(crate) namespace: Namespace,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Report,
}

/// Print JSON Schemas.
#[derive(Debug, Clone, Args)]
pub(crate) struct Schema {
    /// A kind [default: all of them, in one schema that tells them apart]
    #[arg(conflicts_with = "component_type")]
    pub(crate) kind: Option<String>,
    /// What a component of this type may say, its parameters included
    #[arg(long, value_name = "NAME")]
    pub(crate) component_type: Option<String>,
    /// Files with component types besides the default ones
    #[arg(short, long = "filename", value_name = "PATH")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Write one file per kind and component type to this folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Let VS Code use the written schemas for YAML files, unless it has settings already
    #[arg(long, requires = "output")]
    pub(crate) vscode: bool,
}

/// Images kept on this machine.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Image {
    /// Take the images of an archive (as `docker save` and OCI tools write them)
    Load {
        /// The archive
        archive: PathBuf,
    },
    /// Make an image of files
    Pack(Pack),
    /// Show the images
    List(OutputOnly),
    /// Remove an image
    Rm {
        /// Its reference
        reference: String,
    },
}

/// Make an image of files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pack {
    /// Name of the image, as shop/catalog:1
    pub(crate) reference: String,
    /// A program to put at /NAME and to start (it must not need shared libraries)
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// A file or folder to add, and where it goes in the image
    #[arg(long = "add", value_name = "FILE:PATH")]
    pub(crate) files: Vec<String>,
    /// What the image starts; repeat for arguments
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) entrypoint: Vec<String>,
    /// A variable of the image
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<String>,
    /// Numeric user and group the image runs as, as 1000:1000
    #[arg(long, value_name = "UID:GID", value_parser = user)]
    pub(crate) user: Option<String>,
}

/// Secret values that components refer to.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Secret {
    /// Store a value: from standard input, or a file; never from the command line
    Set {
        /// Name of the secret: `remoteRef.key` of a `SecretReference`
        name: String,
        /// Key in it: `remoteRef.property`
        key: String,
        /// Read the value from a file
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// Show names and keys, never values
    List(OutputOnly),
    /// Remove a secret, or one key of it
    Rm {
        /// Name of the secret
        name: String,
        /// Only this key
        key: Option<String>,
    },
}

/// Reads a span of time: `90`, `90s`, `5m`, `2h`, `1d`.
fn seconds(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        other => return Err(format!("`{other}` is no unit of time: use s, m, h or d")),
    };
    let count: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no span of time, as 30s or 5m"))?;
    count
        .checked_mul(unit)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is too long"))
}

/// Reads a number of lines.
fn lines(text: &str) -> Result<i64, String> {
    let count = text.parse::<u32>();
    count
        .map(i64::from)
        .map_err(|_| "write a number, as 100".to_owned())
}

/// Reads `NAME=VALUE`.
fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("write NAME=VALUE".to_owned()),
    }
}

/// Reads `UID` or `UID:GID`.
fn user(text: &str) -> Result<String, String> {
    let numbers = text.splitn(2, ':').map(str::parse::<u32>);
    if numbers.clone().all(|number| number.is_ok()) {
        Ok(text.to_owned())
    } else {
        Err("write numbers, as 1000 or 1000:1000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_images_are_made_of() {
        assert!(variable("A=b=c").is_ok() && variable("A=").is_ok());
        assert!(variable("A").is_err() && variable("=b").is_err());
        assert!(user("1000").is_ok() && user("0:5").is_ok());
        assert!(user("bob").is_err() && user("1:").is_err());
    }

    #[test]
    fn spans_of_time() {
        assert_eq!(seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(seconds("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(seconds("2h"), Ok(Duration::from_hours(2)));
        assert!(seconds("soon").is_err());
        assert!(seconds("5 fortnights").is_err());
        assert!(seconds("99999999999999999999d").is_err());
    }
}
