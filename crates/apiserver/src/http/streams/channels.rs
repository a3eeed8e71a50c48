//! Commands over a WebSocket: input, output and errors are channels of one connection, as
//! `v4.channel.k8s.io` and `v5.channel.k8s.io` have it.

use bytes::{Buf as _, Bytes};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use super::{
    Left, both,
    link::{Messages, Out},
    offer::Carrier,
    outcome::Said,
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
    writer: impl AsyncWrite + Unpin,
    session: Session,
) -> std::io::Result<()> {
    let (out, queue) = Out::new(Carrier::Channels);
    let messages = Messages::new(reader, out.clone());
    let talking = async move {
        let Session { input, output } = session;
        both(say(output, &out), hear(messages, input)).await
    };
    tokio::try_join!(talking, queue.write(writer)).map(|_| ())
}

async fn say(mut output: mpsc::Receiver<Output>, out: &Out) -> std::io::Result<()> {
    loop {
        match output.recv().await.into() {
            Said::Out(bytes) => out.send(message(STDOUT, &bytes)).await?,
            Said::Err(bytes) => out.send(message(STDERR, &bytes)).await?,
            Said::Last(status) => {
                let status = status.to_string();
                return out.send(message(ERROR, status.as_bytes())).await;
            }
        }
    }
}

/// A message of a channel.
pub(super) fn message(channel: u8, bytes: &[u8]) -> Bytes {
    [&[channel], bytes].concat().into()
}

async fn hear(
    mut messages: Messages<impl AsyncRead + Unpin>,
    input: mpsc::Sender<Input>,
) -> std::io::Result<Left> {
    while let Some(message) = messages.next().await? {
        if let Some(message) = understood(message)
            && input.send(message).await.is_err()
        {
            return Ok(Left::Open);
        }
    }
    Ok(Left::Gone)
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
