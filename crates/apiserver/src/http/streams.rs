//! Commands in containers, over a WebSocket: input, output and errors are channels of
//! one connection, as `v4.channel.k8s.io` and `v5.channel.k8s.io` have it.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::{
    Api, answer,
    answer::Body,
    query::Query,
    websocket::{self, Decoder, Message},
};
use crate::{
    access::{ExecOptions, Input, Output, PodError, Session},
    status::{Failure, Result},
};

/// Channels.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Says that another channel is closed; from version 5 on.
const CLOSE: u8 = 255;
/// The versions that are spoken, the best first.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// How long a client may take to read one message before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// Runs a command for whoever asks over a WebSocket.
pub(super) async fn exec(
    api: &Api,
    parts: &Parts,
    query: &Query,
    (namespace, pod): (&str, &str),
) -> Result<Response<Body>> {
    if !matches!(parts.method, Method::GET | Method::POST) {
        return Err(Failure::method_not_allowed());
    }
    let catalog = api.core.catalog();
    let pods = catalog
        .find("", "v1", "pods")
        .ok_or_else(Failure::no_route)?;
    api.core.get(pods, namespace, pod)?;
    let options = options(query)?;
    let offer = Offer::read(parts)?;
    let permit = std::sync::Arc::clone(&api.sessions).try_acquire_owned();
    let permit = permit.map_err(|_| Failure::too_many_requests())?;
    let session = api.core.pods.exec(namespace, pod, options).await;
    let session = session.map_err(refusal)?;
    let stop = api.stop.clone();
    let (upgrade, response) = offer.take();
    tokio::spawn(async move {
        let _permit = permit;
        let talking = async {
            match upgrade.await {
                Ok(connection) => talk(TokioIo::new(connection), session).await,
                Err(error) => Err(std::io::Error::other(error)),
            }
        };
        let ended = stop.run_until_cancelled(talking).await;
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a command's connection ended early");
        }
    });
    Ok(response)
}

/// Why a pod refuses, as a status.
pub(super) fn refusal(error: PodError) -> Failure {
    match error {
        PodError::NotFound(why) => Failure::missing(why),
        PodError::BadRequest(why) => Failure::bad_request(why),
        PodError::Internal(why) => Failure::internal(why),
    }
}

fn options(query: &Query) -> Result<ExecOptions> {
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(Failure::bad_request(
            "you must specify at least one command to execute",
        ));
    }
    let (stdin, tty) = (query.flag("stdin"), query.flag("tty"));
    if !stdin && !query.flag("stdout") && !query.flag("stderr") {
        let why = "you must specify at least 1 of stdin, stdout, stderr";
        return Err(Failure::bad_request(why));
    }
    let container = query.find("container").filter(|name| !name.is_empty());
    Ok(ExecOptions {
        container: container.map(str::to_owned),
        command,
        stdin,
        tty,
    })
}

/// A client's wish to go on with a WebSocket.
struct Offer {
    protocol: &'static str,
    accept: String,
    upgrade: OnUpgrade,
}

impl Offer {
    fn read(parts: &Parts) -> Result<Self> {
        let header = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let wanted =
            header(header::UPGRADE).is_some_and(|name| name.eq_ignore_ascii_case("websocket"));
        let key = header(header::SEC_WEBSOCKET_KEY).filter(|_| wanted);
        let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        let (Some(key), Some(upgrade)) = (key, upgrade) else {
            let why = "unable to upgrade: this is served over WebSocket (v5.channel.k8s.io) only";
            return Err(Failure::bad_request(why));
        };
        let offered = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let offered: Vec<&str> = offered
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let Some(protocol) = PROTOCOLS.into_iter().find(|one| offered.contains(one)) else {
            let why = format!("unable to upgrade: of {PROTOCOLS:?} the client speaks none");
            return Err(Failure::bad_request(why));
        };
        Ok(Self {
            protocol,
            accept: websocket::accept(key),
            upgrade,
        })
    }

    fn take(self) -> (OnUpgrade, Response<Body>) {
        let mut response = answer::full(101, "", Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.clear();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(self.protocol),
        );
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        (self.upgrade, response)
    }
}

/// Carries messages between a client and a command until either ends.
async fn talk<C>(connection: C, session: Session) -> std::io::Result<()>
where
    C: AsyncRead + AsyncWrite,
{
    let (reader, mut writer) = tokio::io::split(connection);
    let Session { input, mut output } = session;
    let (pongs, mut replies) = mpsc::channel(4);
    let writing = async {
        loop {
            let (frame, last) = tokio::select! {
                Some(pong) = replies.recv() => (pong, false),
                output = output.recv() => frame(output),
            };
            send(&mut writer, &frame).await?;
            if last {
                send(&mut writer, &websocket::close()).await?;
                return writer.shutdown().await;
            }
        }
    };
    let reading = read(reader, input, pongs);
    tokio::pin!(reading, writing);
    tokio::select! {
        outcome = &mut writing => outcome,
        outcome = &mut reading => match outcome {
            // The client said all it had to say, and still listens.
            Ok(Left::Open) => writing.await,
            Ok(Left::Gone) => Ok(()),
            Err(error) => Err(error),
        },
    }
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    let sending = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    tokio::time::timeout(PATIENCE, sending).await?
}

/// What a command says, as a message; the flag tells the last one.
fn frame(output: Option<Output>) -> (Bytes, bool) {
    match output {
        Some(Output::Out(bytes)) => (websocket::data([&[STDOUT], &bytes]), false),
        Some(Output::Err(bytes)) => (websocket::data([&[STDERR], &bytes]), false),
        Some(Output::Ended(code)) => (status(&ended(code)), true),
        Some(Output::Failed(why)) => (status(&failed(&why)), true),
        None => (status(&failed("the command was lost")), true),
    }
}

fn status(status: &Value) -> Bytes {
    websocket::data([&[ERROR], status.to_string().as_bytes()])
}

fn ended(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failed(why: &str) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError",
        "message": why, "code": 500,
    })
}

/// What is left of a client that sends nothing more.
enum Left {
    Open,
    Gone,
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    input: mpsc::Sender<Input>,
    pongs: mpsc::Sender<Bytes>,
) -> std::io::Result<Left> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ];
    loop {
        let next = decoder.next().map_err(|_| {
            let why = "the client does not follow the WebSocket protocol";
            std::io::Error::new(std::io::ErrorKind::InvalidData, why)
        })?;
        match next {
            Some(Message::Close) => return Ok(Left::Gone),
            Some(Message::Ping(payload)) => {
                // One that finds no room was followed by too many others.
                let _dropped = pongs.try_send(websocket::pong(&payload));
            }
            Some(Message::Data(message)) => {
                if let Some(message) = understood(message)
                    && input.send(message).await.is_err()
                {
                    return Ok(Left::Open);
                }
            }
            None => match reader.read(&mut buffer).await? {
                0 => return Ok(Left::Gone),
                length => decoder.push(&buffer[..length]),
            },
        }
    }
}

/// What a message on a channel means; nothing if nothing.
fn understood(mut message: Bytes) -> Option<Input> {
    if message.is_empty() {
        return None;
    }
    match message.get_u8() {
        STDIN if !message.is_empty() => Some(Input::Data(message)),
        RESIZE => {
            let size: Value = serde_json::from_slice(&message).ok()?;
            let number = |key| size.get(key)?.as_u64()?.try_into().ok();
            Some(Input::Resize {
                columns: number("Width")?,
                rows: number("Height")?,
            })
        }
        CLOSE if message.first() == Some(&STDIN) => Some(Input::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_meanings() {
        let check = |bytes: &'static [u8], expected| {
            assert_eq!(understood(Bytes::from_static(bytes)), expected, "{bytes:?}");
        };
        check(b"\x00hi", Some(Input::Data(Bytes::from_static(b"hi"))));
        check(b"\x00", None);
        check(b"\xff\x00", Some(Input::End));
        check(
            b"\x04{\"Width\":80,\"Height\":24}",
            Some(Input::Resize {
                columns: 80,
                rows: 24,
            }),
        );
        check(b"\x04{\"Width\":-1,\"Height\":24}", None);
        check(b"\x09x", None);
        check(b"", None);
    }

    #[test]
    fn exit_codes_are_told() {
        assert_eq!(ended(0)["status"], "Success");
        assert_eq!(ended(3)["details"]["causes"][0]["message"], "3");
    }
}
