//! Commands over SPDY: input, output, errors, sizes of the terminal and the outcome are streams of one
//! connection, as older clients have it.

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::timeout,
};

use super::{
    super::spdy::{self, Encoder, Frame},
    Left, PATIENCE, both, channels,
    link::{Frames, Out},
    offer::Carrier,
    outcome::{self, Said},
};
use crate::access::{Input, Output, Session};

/// The longest line about the size of a terminal.
const LONGEST_SIZE: usize = 1 << 10;

/// Which streams a client asks for.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the parameters of a request, each by itself"
)]
pub(super) struct Asked {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// The streams of a command, by number.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    error: Option<u32>,
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
}

impl Streams {
    fn of_type(&mut self, name: &str) -> Option<&mut Option<u32>> {
        match name {
            "error" => Some(&mut self.error),
            "stdin" => Some(&mut self.stdin),
            "stdout" => Some(&mut self.stdout),
            "stderr" => Some(&mut self.stderr),
            "resize" => Some(&mut self.resize),
            _ => None,
        }
    }

    /// Whether all are open that a client of this version opens.
    fn complete(&self, asked: Asked, version: u8) -> bool {
        let there = |wanted: bool, stream: Option<u32>| !wanted || stream.is_some();
        self.error.is_some()
            && there(asked.stdin, self.stdin)
            && there(asked.stdout, self.stdout)
            && there(asked.stderr && !asked.tty, self.stderr)
            && there(asked.tty && version >= 3, self.resize)
    }
}

/// Carries frames between a client and a command until either ends.
pub(super) async fn talk(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    (carrier, asked): (Carrier, Asked),
    session: Session,
) -> std::io::Result<()> {
    let version = match carrier {
        Carrier::Spdy(version) => version,
        Carrier::Channels | Carrier::Tunnel => 4,
    };
    let (out, queue) = Out::new(carrier);
    let mut frames = Frames::new(reader, out.clone());
    let talking = async move {
        let opening = open(&mut frames, &out, asked, version);
        let Some(streams) = timeout(PATIENCE, opening).await?? else {
            return Ok(());
        };
        let Session { input, output } = session;
        let saying = say(output, &out, streams, version);
        both(saying, hear(frames, streams, input)).await
    };
    tokio::try_join!(talking, queue.write(writer)).map(|_| ())
}

/// Waits for a client's streams; nothing when it goes away.
async fn open(
    frames: &mut Frames<impl AsyncRead + Unpin>,
    out: &Out,
    asked: Asked,
    version: u8,
) -> std::io::Result<Option<Streams>> {
    let mut streams = Streams::default();
    let mut encoder = Encoder::default();
    while !streams.complete(asked, version) {
        let Some(frame) = frames.next().await? else {
            return Ok(None);
        };
        let Frame::Open {
            stream, headers, ..
        } = frame
        else {
            continue;
        };
        let name = headers.get("streamtype").unwrap_or_default();
        match streams.of_type(name) {
            Some(free @ None) => {
                *free = Some(stream);
                out.send(encoder.reply(stream)).await?;
            }
            Some(Some(_)) | None => out.send(spdy::reset(stream)).await?,
        }
    }
    Ok(Some(streams))
}

async fn say(
    mut output: mpsc::Receiver<Output>,
    out: &Out,
    streams: Streams,
    version: u8,
) -> std::io::Result<()> {
    loop {
        let (stream, bytes) = match output.recv().await.into() {
            Said::Out(bytes) => (streams.stdout, bytes),
            Said::Err(bytes) => (streams.stderr, bytes),
            Said::Last(status) => {
                let text = if version < 4 {
                    outcome::plain(&status).to_owned()
                } else {
                    status.to_string()
                };
                if let Some(error) = streams.error {
                    out.send(spdy::data(error, text.as_bytes())).await?;
                }
                let ends = [streams.stdout, streams.stderr, streams.error];
                for stream in ends.into_iter().flatten() {
                    out.send(spdy::end(stream)).await?;
                }
                return Ok(());
            }
        };
        if let Some(stream) = stream {
            out.send(spdy::data(stream, &bytes)).await?;
        }
    }
}

async fn hear(
    mut frames: Frames<impl AsyncRead + Unpin>,
    streams: Streams,
    input: mpsc::Sender<Input>,
) -> std::io::Result<Left> {
    let mut sizes = Sizes::default();
    while let Some(frame) = frames.next().await? {
        let Frame::Data {
            stream,
            bytes,
            last,
        } = frame
        else {
            continue;
        };
        let mut heard = Vec::new();
        if Some(stream) == streams.stdin {
            heard.extend((!bytes.is_empty()).then_some(Input::Data(bytes)));
            heard.extend(last.then_some(Input::End));
        } else if Some(stream) == streams.resize {
            heard.extend(sizes.take(&bytes));
        }
        for one in heard {
            if input.send(one).await.is_err() {
                return Ok(Left::Open);
            }
        }
    }
    Ok(Left::Gone)
}

/// Sizes of a terminal as they come: an object in JSON on each line.
#[derive(Debug, Default)]
struct Sizes {
    line: Vec<u8>,
}

impl Sizes {
    /// The last of the sizes that are whole now; those before it mean nothing any more.
    fn take(&mut self, bytes: &Bytes) -> Option<Input> {
        let mut size = None;
        for byte in bytes {
            if *byte == b'\n' {
                size = channels::size(&self.line).or(size);
                self.line.clear();
            } else if self.line.len() < LONGEST_SIZE {
                self.line.push(*byte);
            }
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_any_pieces() {
        let mut sizes = Sizes::default();
        let mut take = |text: &'static str| sizes.take(&Bytes::from_static(text.as_bytes()));
        assert_eq!(take("{\"Width\":80,"), None);
        let size = |columns, rows| Some(Input::Resize { columns, rows });
        assert_eq!(take("\"Height\":24}\n{\"Wid"), size(80, 24));
        assert_eq!(take("th\":1,\"Height\":2}\n{}\n"), size(1, 2));
    }

    #[test]
    fn streams_are_awaited_as_they_were_asked_for() {
        let asked = Asked {
            stdin: true,
            stdout: true,
            stderr: true,
            tty: true,
        };
        let mut streams = Streams::default();
        for (number, name) in (1..).step_by(2).zip(["error", "stdin", "stdout"]) {
            assert!(!streams.complete(asked, 4));
            *streams.of_type(name).unwrap() = Some(number);
        }
        // Terminals have no stream of errors, and sizes since the third version.
        assert!(streams.complete(asked, 2) && !streams.complete(asked, 3));
        let plain = Asked {
            tty: false,
            ..asked
        };
        assert!(!streams.complete(plain, 4));
        assert!(streams.of_type("other").is_none());
    }
}
