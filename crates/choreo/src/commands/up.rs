//! `choreo up`: the platform in the foreground, in the background, or joined while it runs already.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use choreo_node::outside::Reach;
use kube::Client;
use nix::unistd::setsid;
use serde_json::json;

use super::{apply_all, down::GLANCE, warnings};
use crate::{
    cli::{Format, Up},
    client,
    exit::Exit,
    failure::{self, Failure, Result},
    folder::{Folder, Lock, Running},
    follow::{self, Awaited, Followed, Scope},
    heap,
    manifest::{self, Document},
    platform::{Part, Parts, Platform, Settings, Signals, Wish, log_to},
    terminal::{self, Style},
    view::{self, View},
};

/// How long a platform that does not answer any more may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs `choreo up`.
pub(crate) fn run(folder: &Folder, args: &Up, verbose: u8) -> Result {
    // What is wrong with the files is said before anything starts.
    let documents = if args.paths.is_empty() {
        Vec::new()
    } else {
        manifest::read(&args.paths)?
    };
    if args.background {
        // Fails only for the leader of a group, which a process just started is not.
        let _ = setsid();
    }
    let Some(lock) = folder.take()? else {
        return super::wait_for(join(folder, args, &documents));
    };
    // A platform that was killed could not take its words back.
    folder.forget();
    if args.detach {
        drop(lock);
        return detach(folder, args, &documents, verbose);
    }
    log_to(folder, verbose)?;
    heap::give_back_at_rest();
    runtime()?.block_on(Box::pin(here(folder, lock, args, &documents)))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Machine, "threads cannot be started").because(error))
}

/// Runs the platform in this process until a signal or a failure ends it.
async fn here(folder: &Folder, lock: Lock, args: &Up, documents: &[Document]) -> Result {
    let mut signals = Signals::listen()?;
    let mut view = View::new(args.output != Format::Text);
    let mut documents = documents;
    let mut restarts = 0;
    let outcome = loop {
        let platform = Platform::start(settings(folder, args)?).await?;
        let (outcome, wish) = tokio::select! {
            ended = show((folder, restarts), &platform, args, documents, &mut view) => (ended, Wish::End),
            wish = signals.next() => (Ok(()), wish),
        };
        view.leave();
        view.line(match wish {
            Wish::End => "  stopping ...",
            Wish::Again => "  starting again ...",
        })?;
        tokio::select! {
            () = platform.stop() => {}
            _ = signals.next() => terminal::note("  not waiting any longer"),
        }
        folder.forget();
        if wish == Wish::End {
            break outcome;
        }
        // What is restored is not changed by files of before.
        documents = &[];
        restarts += 1;
    };
    drop(lock);
    outcome
}

fn settings(folder: &Folder, args: &Up) -> Result<Settings> {
    let envoy = args.envoy.clone().ok_or_else(|| {
        Failure::new(
            Exit::Machine,
            "the gateway needs Envoy, and nothing says where it is",
        )
        .hint("start choreo by its launcher, or name the program with --envoy")
    })?;
    if !envoy.is_file() {
        let message = format!("there is no Envoy at {}", envoy.display());
        return Err(Failure::new(Exit::Machine, message).hint("name another with --envoy"));
    }
    let ports = [
        args.gateway_port,
        args.gateway_tls_port,
        args.internal_gateway_port,
    ];
    for (number, port) in ports.iter().enumerate() {
        if ports.iter().skip(number + 1).any(|other| other == port) {
            let message = format!("both gateways cannot listen on port {port}");
            return Err(Failure::new(Exit::Usage, message).hint(
                "give them different ports: --gateway-port, --gateway-tls-port, \
                 --internal-gateway-port",
            ));
        }
    }
    let stand_ins = args.stand_ins.iter();
    Ok(Settings {
        folder: folder.clone(),
        listen: args.listen,
        gateway_port: args.gateway_port,
        gateway_tls_port: args.gateway_tls_port,
        internal_gateway_port: args.internal_gateway_port,
        reach: Reach {
            instead: stand_ins
                .map(|one| ((one.host.clone(), one.port), one.address))
                .collect(),
            ..Reach::default()
        },
        // The process in the background is elsewhere.
        envoy: std::path::absolute(&envoy).map_err(failure::io("finding Envoy"))?,
    })
}

/// Shows the parts as they come, applies the files, follows what they describe. Ends only by failing.
async fn show(
    (folder, restarts): (&Folder, u32),
    platform: &Platform,
    args: &Up,
    documents: &[Document],
    view: &mut View,
) -> Result {
    let mut running = Running {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: platform.api.clone(),
        kubeconfig: folder.kubeconfig(),
        data_plane: String::new(),
        gateway: String::new(),
        ready: false,
        restarts,
    };
    folder.say(&running)?;
    view.line(&api_line(&running))?;
    let client = platform.client();
    let mut parts = platform.parts.clone();
    let scope = scope(&client, documents).await?;
    apply(&client, documents, view).await?;
    loop {
        let now = parts.borrow_and_update().clone();
        if let Some(fatal) = now.fatal {
            return Err(fatal.into());
        }
        tell(&now, &mut running, view)?;
        folder.say(&running)?;
        if running.ready {
            break;
        }
        parts.changed().await.map_err(|_| ended())?;
    }
    let deadline = Some(tokio::time::Instant::now() + args.timeout);
    let followed = follow::follow(&client, &scope, view, deadline).await?;
    finish(args, &running, &followed, view)?;
    tokio::select! {
        followed = follow::follow(&client, &scope, view, None) => followed.map(drop),
        failed = fatal(&mut parts) => Err(failed),
    }
}

async fn fatal(parts: &mut tokio::sync::watch::Receiver<Parts>) -> Failure {
    match parts.wait_for(|parts| parts.fatal.is_some()).await {
        Ok(parts) => parts.fatal.clone().map_or_else(ended, Failure::from),
        Err(_) => ended(),
    }
}

fn ended() -> Failure {
    Failure::new(Exit::Failed, "the data plane ended").hint("the log in the data folder tells why")
}

/// Shows the parts that became ready since `running` was written, and writes them down.
fn tell(parts: &Parts, running: &mut Running, view: &mut View) -> Result {
    let mut update = |part: &Part, known: &mut String, name: &str| {
        if let Part::Ready(what) = part
            && known.is_empty()
        {
            what.clone_into(known);
            view.line(&view::part(name, "ready", Style::Good, what))?;
        }
        Ok::<(), Failure>(())
    };
    update(&parts.data_plane, &mut running.data_plane, "data plane")?;
    update(&parts.gateway, &mut running.gateway, "gateway")?;
    running.ready = !running.data_plane.is_empty() && !running.gateway.is_empty();
    Ok(())
}

fn api_line(running: &Running) -> String {
    let detail = format!(
        "{}      kubeconfig: {}",
        running.api,
        running.kubeconfig.display()
    );
    view::part("API", "ready", Style::Good, &detail)
}

/// Applies the files and tells which fields they take back, and what the API warns of.
async fn apply(client: &Client, documents: &[Document], view: &mut View) -> Result {
    let changes = apply_all(client, documents, "default", false).await?;
    for warning in warnings(&changes) {
        view.line(&format!("  warning: {warning}"))?;
    }
    for change in changes {
        for line in change.taken_lines() {
            view.line(&format!("  {}{line}", change.object))?;
        }
    }
    Ok(())
}

/// What the files speak of: components of others may be broken without holding these up. Without
/// files, all that was there, except what was broken: asked before anything is started again.
async fn scope(client: &Client, documents: &[Document]) -> Result<Scope> {
    let namespaces = namespaces(documents);
    if documents.is_empty() {
        let awaited = Awaited::all_but_broken(client, &namespaces).await?;
        return Ok(Scope {
            namespaces,
            awaited,
        });
    }
    let components = documents.iter().filter(|one| one.kind() == "Component");
    let label = |one: &Document| {
        let object = one.object();
        let project = object.pointer("/spec/owner/projectName")?.as_str()?;
        Some(format!("{project}/{}", one.name()))
    };
    Ok(Scope {
        namespaces,
        awaited: Awaited::These(components.filter_map(label).collect()),
    })
}

/// The namespaces the files speak of.
fn namespaces(documents: &[Document]) -> Vec<String> {
    let ours = documents
        .iter()
        .filter(|one| one.api_version() == choreo_model::API_VERSION);
    let mut names: Vec<String> = ours
        .map(|one| one.namespace().unwrap_or("default").to_owned())
        .collect();
    names.push("default".to_owned());
    names.sort();
    names.dedup();
    names
}

/// Joins a platform that runs already: says what it is, applies the files, waits until they are ready.
async fn join(folder: &Folder, args: &Up, documents: &[Document]) -> Result {
    let mut view = View::new(args.output != Format::Text);
    let deadline = tokio::time::Instant::now() + args.timeout;
    let mut shown = Running::default();
    let at = (folder, deadline);
    started(at, (&mut view, &mut shown), |_| true).await?;
    let client = client::connect(folder).await?;
    let scope = scope(&client, documents).await?;
    let running = started(at, (&mut view, &mut shown), |running| running.ready).await?;
    if running.pid != std::process::id() && !args.detach {
        view.line(&format!(
            "  choreo {} runs already, as process {}",
            running.version, running.pid
        ))?;
    }
    apply(&client, documents, &mut view).await?;
    settle(&client, args, &running, &scope, (&mut view, deadline)).await
}

/// Waits until what is to be waited for is ready.
async fn settle(
    client: &Client,
    args: &Up,
    running: &Running,
    scope: &Scope,
    (view, deadline): (&mut View, tokio::time::Instant),
) -> Result {
    let followed = follow::follow(client, scope, view, Some(deadline)).await?;
    finish(args, running, &followed, view)?;
    if followed.open.is_empty() {
        return Ok(());
    }
    let open: Vec<String> = (followed.open.iter())
        .map(|row| format!("\n  {}", row.words()))
        .collect();
    let time = args.timeout.as_secs();
    let message = format!("not ready after {time}s:{}", open.concat());
    Err(Failure::new(Exit::NotReady, message)
        .hint("the platform goes on; `choreo status` shows how far it is"))
}

/// Says what was not waited for, and prints the outcome for scripts, if one asked.
fn finish(args: &Up, running: &Running, followed: &Followed, view: &mut View) -> Result {
    let broken: Vec<&str> = (followed.broken.iter())
        .map(|row| row.component.as_str())
        .collect();
    let left = format!(
        "  not waited for, as in trouble before: {}",
        broken.join(", ")
    );
    match args.output {
        data @ (Format::Json | Format::Yaml) => {
            if !broken.is_empty() {
                terminal::note(left);
            }
            let rows = &followed.rows;
            terminal::data(data, &json!({"platform": running, "components": rows}))
        }
        Format::Text if broken.is_empty() => Ok(()),
        Format::Text => view.line(&left),
    }
}

/// Waits until the API of the platform in another process answers and all else is as `wanted`, showing
/// its parts as they come. `shown`: those that were shown before.
async fn started(
    (folder, deadline): (&Folder, tokio::time::Instant),
    (view, shown): (&mut View, &mut Running),
    wanted: impl Fn(&Running) -> bool,
) -> Result<Running> {
    loop {
        if let Some(running) = folder.running()? {
            if shown.api.is_empty() {
                view.line(&api_line(&running))?;
                shown.api.clone_from(&running.api);
            }
            let part = |text: &String| {
                if text.is_empty() {
                    Part::Starting
                } else {
                    Part::Ready(text.clone())
                }
            };
            let parts = Parts {
                data_plane: part(&running.data_plane),
                gateway: part(&running.gateway),
                fatal: None,
            };
            tell(&parts, shown, view)?;
            if wanted(&running) {
                return Ok(running);
            }
        } else if !folder.is_taken()? {
            return Err(client::not_running(folder));
        }
        if tokio::time::Instant::now() > deadline {
            return Err(
                Failure::new(Exit::NotReady, "the platform did not start in time")
                    .hint(format!("its log: {}", folder.log().display())),
            );
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Starts the platform in a process of its own and joins it.
fn detach(folder: &Folder, args: &Up, documents: &[Document], verbose: u8) -> Result {
    // Everything that can be said about the settings is said here, where somebody reads it.
    let envoy = settings(folder, args)?.envoy;
    let output = folder.root().join("up.out");
    let mut child = background(folder, args, &envoy, verbose, &output)?;
    while !folder.is_taken()? {
        died(&mut child, &output)?;
        thread::sleep(GLANCE);
    }
    let joined = super::wait_for(join(folder, args, documents));
    match joined {
        Err(failure) if matches!(failure.exit(), Exit::NotRunning | Exit::Failed) => {
            // If it is about to end, what it says is the reason.
            let start = Instant::now();
            while start.elapsed() < LAST_WORDS {
                died(&mut child, &output)?;
                thread::sleep(GLANCE);
            }
            Err(failure)
        }
        other => other,
    }
}

fn background(
    folder: &Folder,
    args: &Up,
    envoy: &Path,
    verbose: u8,
    output: &Path,
) -> Result<Child> {
    let doing = || failure::io(format!("writing {}", output.display()));
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(output)
        .map_err(doing())?;
    // A full disk shows here, where it can be said, and what follows has its place on the disk.
    writeln!(file, "choreo {}", env!("CARGO_PKG_VERSION")).map_err(doing())?;
    let second = file.try_clone().map_err(doing())?;
    let program = std::env::current_exe().map_err(failure::io("finding this program"))?;
    let mut command = Command::new(program);
    command
        .arg("--data")
        .arg(folder.root())
        .args(["up", "--background"]);
    command.args(["--gateway-port", &args.gateway_port.to_string()]);
    command.args(["--gateway-tls-port", &args.gateway_tls_port.to_string()]);
    command.args([
        "--internal-gateway-port",
        &args.internal_gateway_port.to_string(),
    ]);
    command.args(["--listen", &args.listen.to_string()]);
    command.arg("--envoy").arg(envoy);
    for one in &args.stand_ins {
        command.args(["--stand-in", &one.to_string()]);
    }
    if verbose > 0 {
        command.arg(format!("-{}", "v".repeat(verbose.into())));
    }
    command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(second)
        .current_dir("/");
    command
        .spawn()
        .map_err(failure::io("starting the platform in the background"))
}

/// Hands on what a background process said before it ended, if it has.
fn died(child: &mut Child, output: &Path) -> Result {
    let Some(status) = child
        .try_wait()
        .map_err(failure::io("looking at the platform"))?
    else {
        return Ok(());
    };
    let said = fs::read_to_string(output).unwrap_or_default();
    let at = said.find("error: ").map_or(0, |at| at + "error: ".len());
    let exit = Exit::from_code(status.code()).unwrap_or(Exit::Failed);
    Err(Failure::new(exit, said[at..].trim().to_owned()))
}
