//! Commands over a WebSocket: input, output and errors are channels of one connection, as
//! `v4.channel.k8s.io` and `v5.channel.k8s.io` have it.

use bytes::{Buf as _, Bytes};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::{
    super::websocket::{self, Decoder, Message},
    Left, READ, SILENCE,
    outcome::Said,
    send, violation,
};
use crate::access::{Input, Output, Session};

/// Channels.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Says that another channel is closed; from version 5 on.
const CLOSE: u8 = 255;

/// Carries messages between a client and a command until either ends.
pub(super) async fn talk(
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    session: Session,
) -> std::io::Result<()> {
    let Session { input, mut output } = session;
    let (pongs, mut replies) = mpsc::channel(4);
    let writing = async {
        loop {
            let (frame, last) = tokio::select! {
                Some(pong) = replies.recv() => (pong, false),
                output = output.recv() => frame(output),
                () = tokio::time::sleep(SILENCE) => (websocket::ping(), false),
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

/// What a command says, as a message; the flag tells the last one.
fn frame(output: Option<Output>) -> (Bytes, bool) {
    match output.into() {
        Said::Out(bytes) => (websocket::data([&[STDOUT], &bytes]), false),
        Said::Err(bytes) => (websocket::data([&[STDERR], &bytes]), false),
        Said::Last(status) => {
            let status = status.to_string();
            (websocket::data([&[ERROR], status.as_bytes()]), true)
        }
    }
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    input: mpsc::Sender<Input>,
    pongs: mpsc::Sender<Bytes>,
) -> std::io::Result<Left> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ];
    loop {
        match decoder.next().map_err(|_| violation("WebSocket"))? {
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
        RESIZE => size(&message),
        CLOSE if message.first() == Some(&STDIN) => Some(Input::End),
        _ => None,
    }
}

/// The size of a terminal, which is told in JSON.
pub(super) fn size(message: &[u8]) -> Option<Input> {
    let size: Value = serde_json::from_slice(message).ok()?;
    let number = |key| size.get(key)?.as_u64()?.try_into().ok();
    Some(Input::Resize {
        columns: number("Width")?,
        rows: number("Height")?,
    })
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
}
