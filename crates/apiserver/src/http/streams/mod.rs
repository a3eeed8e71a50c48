//! Talking to pods: commands, what containers run, and ports. Each is a connection that goes on
//! as something else than HTTP: a WebSocket whose messages are of channels (`channels`), or SPDY
//! (`link`), by itself or inside a WebSocket, whose streams are those of a command (`command`) or
//! of connections to ports (`forward`, and `ports` where they are channels).

mod channels;
mod command;
mod forward;
mod link;
mod offer;
mod outcome;
mod ports;

use std::{io, sync::Arc, time::Duration};

use http::{Method, Response, request::Parts};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use self::{
    command::Asked,
    offer::{Carrier, Offer},
};
use super::{Api, answer::Body, path::Talk, query::Query};
use crate::{
    access::{AttachOptions, ExecOptions, PodPorts, Session},
    object::at,
    status::{Failure, Result},
};

/// How long a client may take to read one message, or to open its streams, before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing is sent to a client until it is asked whether it is there. One that is not is
/// noticed by that also while nothing more is read from it.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a client may take to close its side once everything is said.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// What a client is connected to.
enum Peer {
    Command(Session, Asked),
    Ports(Arc<dyn PodPorts>, Vec<u16>),
}

/// Connects whoever asks to a pod.
pub(super) async fn answer(
    api: &Api,
    parts: &Parts,
    query: &Query,
    (talk, namespace, pod): (Talk, &str, &str),
) -> Result<Response<Body>> {
    if !matches!(parts.method, Method::GET | Method::POST) {
        return Err(Failure::method_not_allowed());
    }
    let catalog = api.core.catalog();
    let pods = catalog
        .find("", "v1", "pods")
        .ok_or_else(Failure::no_route)?;
    let placed = api.core.get(pods, namespace, pod)?.value()?;
    if at(&placed, "spec.nodeName").is_none() {
        let why = format!("pod {pod} does not have a host assigned");
        return Err(Failure::bad_request(why));
    }
    let wish = Wish::read(talk, query)?;
    let offer = Offer::read(parts, talk)?;
    let permit = Arc::clone(&api.sessions).try_acquire_owned();
    let permit = permit.map_err(|_| Failure::too_many_requests())?;
    let peer = wish.fulfil(api, namespace, pod).await?;
    let stop = api.stop.clone();
    let (carrier, upgrade, response) = offer.take();
    tokio::spawn(async move {
        let _permit = permit;
        let talking = async {
            match upgrade.await {
                Ok(connection) => converse(carrier, connection, peer).await,
                Err(error) => Err(io::Error::other(error)),
            }
        };
        let ended = stop.run_until_cancelled(talking).await;
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection to a pod ended early");
        }
    });
    Ok(response)
}

async fn converse(carrier: Carrier, connection: Upgraded, peer: Peer) -> io::Result<()> {
    let (mut reader, writer) = tokio::io::split(TokioIo::new(connection));
    match (peer, carrier) {
        (Peer::Command(session, _), Carrier::Channels) => {
            channels::talk(&mut reader, writer, session).await?;
        }
        (Peer::Command(session, asked), carrier) => {
            command::talk(&mut reader, writer, (carrier, asked), session).await?;
        }
        (Peer::Ports(ports, wanted), Carrier::Channels) => {
            ports::talk(&mut reader, writer, &ports, &wanted).await?;
        }
        (Peer::Ports(ports, _), carrier) => {
            forward::talk(&mut reader, writer, carrier, ports).await?;
        }
    }
    // Closed over what it still sends, a connection would take back what the client has not read.
    let mut nowhere = tokio::io::sink();
    let rest = tokio::io::copy(&mut reader, &mut nowhere);
    match timeout(LINGER, rest).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// What a request asks for.
enum Wish {
    Attach(AttachOptions, Asked),
    Exec(ExecOptions, Asked),
    /// Over channels those of a list; else each as it comes.
    Ports(Vec<u16>),
}

impl Wish {
    fn read(talk: Talk, query: &Query) -> Result<Self> {
        let container = query.find("container").filter(|name| !name.is_empty());
        let container = container.map(str::to_owned);
        match talk {
            Talk::PortForward => ports::read(query).map(Self::Ports),
            Talk::Attach => {
                let asked = asked(query)?;
                let options = AttachOptions {
                    container,
                    stdin: asked.stdin,
                };
                Ok(Self::Attach(options, asked))
            }
            Talk::Exec => {
                let command: Vec<String> = query.all("command").map(str::to_owned).collect();
                if command.is_empty() {
                    let why = "you must specify at least one command to execute";
                    return Err(Failure::bad_request(why));
                }
                let asked = asked(query)?;
                let options = ExecOptions {
                    container,
                    command,
                    stdin: asked.stdin,
                    tty: asked.tty,
                };
                Ok(Self::Exec(options, asked))
            }
        }
    }

    async fn fulfil(self, api: &Api, namespace: &str, pod: &str) -> Result<Peer> {
        let pods = &api.core.pods;
        Ok(match self {
            Self::Attach(options, asked) => {
                Peer::Command(pods.attach(namespace, pod, options).await?, asked)
            }
            Self::Exec(options, asked) => {
                Peer::Command(pods.exec(namespace, pod, options).await?, asked)
            }
            Self::Ports(wanted) => Peer::Ports(pods.ports(namespace, pod).await?, wanted),
        })
    }
}

fn asked(query: &Query) -> Result<Asked> {
    let asked = Asked {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        tty: query.flag("tty"),
    };
    if asked.stdin || asked.stdout || asked.stderr {
        Ok(asked)
    } else {
        let why = "you must specify at least 1 of stdin, stdout, stderr";
        Err(Failure::bad_request(why))
    }
}

/// Waits until everything is said. A client that says nothing more may still listen.
async fn both(
    saying: impl Future<Output = io::Result<()>>,
    hearing: impl Future<Output = io::Result<Left>>,
) -> io::Result<()> {
    tokio::pin!(saying, hearing);
    tokio::select! {
        outcome = &mut saying => outcome,
        outcome = &mut hearing => match outcome {
            Ok(Left::Open) => saying.await,
            Ok(Left::Gone) => Ok(()),
            Err(error) => Err(error),
        },
    }
}

/// What is left of a client that sends nothing more.
enum Left {
    Open,
    Gone,
}

/// Writes to a client, for as long as that takes it reasonably soon.
async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let sending = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    timeout(PATIENCE, sending).await?
}

/// The client does not follow a protocol.
fn violation(protocol: &str) -> io::Error {
    let why = format!("the client does not follow the {protocol} protocol");
    io::Error::new(io::ErrorKind::InvalidData, why)
}
