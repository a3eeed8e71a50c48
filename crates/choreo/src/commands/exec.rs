//! `choreo exec`: a command in a running container of a component.

use futures::SinkExt as _;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api, ResourceExt as _,
    api::{AttachParams, AttachedProcess, ListParams, TerminalSize},
};
use tokio::{
    io::{self, AsyncWriteExt as _},
    signal::unix::{SignalKind, signal},
};

use crate::{
    cli::Exec,
    client,
    exit::Exit,
    failure::{self, Failure, Result},
    folder::Folder,
    rollout, terminal,
};

/// What is started when nothing is named.
const SHELL: &str = "/bin/sh";

/// Runs `choreo exec`.
pub(crate) async fn run(folder: &Folder, args: &Exec) -> Result {
    let client = client::connect(folder).await?;
    let namespace = &args.namespace.namespace;
    let named = (args.component.as_str(), args.track.as_deref());
    let line = rollout::line(&client, namespace, named).await?;
    let environment = rollout::environment(&client, &line.component, args.env.as_deref()).await?;
    let selector = rollout::pods_of(&line, &environment);
    let pods = Api::<Pod>::all(client.clone());
    let pods = pods.list(&ListParams::default().labels(&selector)).await?;
    let pod = choose(pods.items, args).ok_or_else(|| {
        let message = match &args.pod {
            Some(pod) => format!("{} has no running pod {pod} in {environment}", line.name()),
            None => format!("{} has no running pod in {environment}", line.name()),
        };
        let hint = format!("`choreo why {} --env {environment}` says why", line.name());
        Failure::new(Exit::NotReady, message).hint(hint)
    })?;
    let api = Api::<Pod>::namespaced(client, &pod.namespace().unwrap_or_default());
    let command = if args.command.is_empty() {
        vec![SHELL.to_owned()]
    } else {
        args.command.clone()
    };
    let tty = args.tty || (args.command.is_empty() && terminal::is_interactive());
    let attached = api
        .exec(&pod.name_any(), command, &parameters(args, tty))
        .await
        .map_err(refused)?;
    converse(attached, tty).await
}

/// The pod asked for, or the youngest that runs.
fn choose(pods: Vec<Pod>, args: &Exec) -> Option<Pod> {
    let runs = |pod: &Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
    };
    let is_named = |pod: &Pod| args.pod.as_ref().is_none_or(|name| pod.name_any() == *name);
    let candidates = pods.into_iter().filter(|pod| runs(pod) && is_named(pod));
    candidates.max_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()))
}

fn parameters(args: &Exec, tty: bool) -> AttachParams {
    AttachParams {
        container: args.container.clone(),
        stdin: args.stdin || tty,
        stdout: true,
        // A terminal has one output.
        stderr: !tty,
        tty,
        ..AttachParams::default()
    }
}

fn refused(error: kube::Error) -> Failure {
    if let kube::Error::UpgradeConnection(cause) = error {
        return Failure::new(Exit::NotReady, "the command could not be started").because(cause);
    }
    error.into()
}

/// Passes bytes on until the command ends; ends as it does.
async fn converse(mut attached: AttachedProcess, tty: bool) -> Result {
    let status = attached.take_status();
    let raw = tty.then(terminal::raw_input).flatten();
    let sizes = tty.then(|| tokio::spawn(follow_size(attached.terminal_size())));
    let input = attached.stdin().map(|mut stdin| {
        tokio::spawn(async move {
            // The other side may have ended before it has read everything.
            let _ = io::copy(&mut io::stdin(), &mut stdin).await;
            let _ = stdin.shutdown().await;
        })
    });
    let output = attached.stdout();
    let errors = attached.stderr();
    let copied = tokio::try_join!(
        async {
            match output {
                Some(mut from) => io::copy(&mut from, &mut io::stdout()).await,
                None => Ok(0),
            }
        },
        async {
            match errors {
                Some(mut from) => io::copy(&mut from, &mut io::stderr()).await,
                None => Ok(0),
            }
        }
    );
    for task in [sizes, input].into_iter().flatten() {
        task.abort();
    }
    drop(raw);
    copied.map_err(failure::io("passing on what the command prints"))?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    ended(status.as_ref())
}

/// How the command ended, as the API tells it.
fn ended(status: Option<&Status>) -> Result {
    let Some(status) = status else {
        return Err(Failure::new(
            Exit::Failed,
            "the connection ended before the command did",
        ));
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(());
    }
    let details = status.details.iter();
    let mut causes = details.flat_map(|details| details.causes.iter().flatten());
    let code = causes.find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_ref()?.parse::<u8>().ok());
    let message = status.message.clone().unwrap_or_default();
    Err(match code {
        Some(code) => Failure::ended(code),
        None => Failure::new(Exit::Failed, message),
    })
}

/// Tells the terminal of the container how large this one is.
async fn follow_size(sizes: Option<futures::channel::mpsc::Sender<TerminalSize>>) {
    let Some(mut sizes) = sizes else { return };
    let Ok(mut changes) = signal(SignalKind::window_change()) else {
        return;
    };
    loop {
        let (columns, rows) = terminal::size();
        let size = TerminalSize {
            width: u16::try_from(columns).unwrap_or(u16::MAX),
            height: u16::try_from(rows).unwrap_or(u16::MAX),
        };
        if sizes.send(size).await.is_err() || changes.recv().await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn end(status: serde_json::Value) -> Option<(Exit, Option<u8>)> {
        let status: Status = serde_json::from_value(status).unwrap();
        let failure = ended(Some(&status)).err()?;
        Some((failure.exit(), failure.code()))
    }

    #[test]
    fn the_command_says_how_this_one_ends() {
        assert_eq!(end(json!({"status": "Success"})), None);
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {
            "causes": [{"reason": "ExitCode", "message": "42"}]}});
        assert_eq!(end(failed), Some((Exit::Failed, Some(42))));
        let broken = json!({"status": "Failure", "message": "no such program"});
        assert_eq!(end(broken), Some((Exit::Failed, None)));
    }

    #[test]
    fn the_youngest_running_pod_is_taken() {
        let pod = |name: &str, phase: &str, second: u8| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:0{second}Z")},
                "status": {"phase": phase},
            }))
            .unwrap()
        };
        let pods = || {
            vec![
                pod("a", "Running", 1),
                pod("b", "Running", 2),
                pod("c", "Failed", 3),
            ]
        };
        let mut args = Exec {
            component: "web".to_owned(),
            command: Vec::new(),
            track: None,
            env: None,
            pod: None,
            container: None,
            stdin: false,
            tty: false,
            namespace: crate::cli::Namespace {
                namespace: "default".to_owned(),
            },
        };
        let name = |args: &Exec| choose(pods(), args).map(|pod| pod.name_any());
        assert_eq!(name(&args).as_deref(), Some("b"));
        args.pod = Some("a".to_owned());
        assert_eq!(name(&args).as_deref(), Some("a"));
        args.pod = Some("c".to_owned());
        assert_eq!(name(&args), None);
    }
}
