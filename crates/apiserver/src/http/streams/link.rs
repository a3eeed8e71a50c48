//! A client's connection that carries messages of a WebSocket, SPDY, or SPDY in such messages: what is
//! read and what is written, neither of which waits for the other.

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use super::{
    super::{
        spdy::{self, Frame},
        websocket::{self, Message},
    },
    READ, SILENCE,
    offer::Carrier,
    send, violation,
};

/// Frames that wait to be written.
const WAITING: usize = 4;

/// Where frames for the client are put.
#[derive(Clone, Debug)]
pub(super) struct Out {
    queue: mpsc::Sender<Bytes>,
    tunnel: bool,
}

/// Frames on their way to the client.
pub(super) struct Queue {
    frames: mpsc::Receiver<Bytes>,
    tunnel: bool,
}

impl Out {
    /// The two ends of a queue.
    pub(super) fn new(carrier: Carrier) -> (Self, Queue) {
        let (queue, frames) = mpsc::channel(WAITING);
        let tunnel = matches!(carrier, Carrier::Channels | Carrier::Tunnel);
        (Self { queue, tunnel }, Queue { frames, tunnel })
    }

    /// Sends frames, or one message; waits while the client takes none. Fails when it is gone.
    pub(super) async fn send(&self, frames: Bytes) -> std::io::Result<()> {
        let frames = if self.tunnel {
            websocket::data([&frames, &[]])
        } else {
            frames
        };
        let gone = |_| std::io::ErrorKind::BrokenPipe.into();
        self.queue.send(frames).await.map_err(gone)
    }
}

impl Queue {
    /// Writes all that is sent, until nothing more can be; then closes the connection.
    pub(super) async fn write(
        mut self,
        mut writer: impl AsyncWrite + Unpin,
    ) -> std::io::Result<()> {
        loop {
            let frames = match timeout(SILENCE, self.frames.recv()).await {
                Ok(Some(frames)) => frames,
                Ok(None) => break,
                Err(_) if self.tunnel => websocket::ping(),
                Err(_) => spdy::ping(),
            };
            send(&mut writer, &frames).await?;
        }
        if self.tunnel {
            send(&mut writer, &websocket::close()).await?;
        }
        writer.shutdown().await
    }
}

/// The messages a client sends over a WebSocket.
pub(super) struct Messages<R> {
    reader: R,
    buffer: Vec<u8>,
    decoder: websocket::Decoder,
    out: Out,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    /// What `reader` brings; what the protocol wants to have answered at once goes to `out`.
    pub(super) fn new(reader: R, out: Out) -> Self {
        Self {
            reader,
            buffer: vec![0; READ],
            decoder: websocket::Decoder::default(),
            out,
        }
    }

    /// The next message; nothing when the client is gone.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            match self.decoder.next().map_err(|_| violation("WebSocket"))? {
                Some(Message::Data(bytes)) => return Ok(Some(bytes)),
                Some(Message::Ping(payload)) => {
                    // One that finds no room was followed by too many others.
                    let _dropped = self.out.queue.try_send(websocket::pong(&payload));
                }
                Some(Message::Close) => return Ok(None),
                None => match self.reader.read(&mut self.buffer).await? {
                    0 => return Ok(None),
                    length => self.decoder.push(&self.buffer[..length]),
                },
            }
        }
    }
}

/// The frames of SPDY a client sends.
pub(super) struct Frames<R> {
    messages: Messages<R>,
    spdy: spdy::Decoder,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// What `reader` brings; what the protocols want to have answered at once goes to `out`.
    pub(super) fn new(reader: R, out: Out) -> Self {
        Self {
            messages: Messages::new(reader, out),
            spdy: spdy::Decoder::default(),
        }
    }

    /// The next frame; nothing when the client is gone.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            match self.spdy.next().map_err(|_| violation("SPDY"))? {
                Some(Frame::Ping(id)) => self.messages.out.send(spdy::pong(id)).await?,
                Some(frame) => return Ok(Some(frame)),
                None => {
                    if !self.fill().await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads more; `false` when there is no more.
    async fn fill(&mut self) -> std::io::Result<bool> {
        if self.messages.out.tunnel {
            let message = self.messages.next().await?;
            self.spdy.push(message.as_deref().unwrap_or_default());
            return Ok(message.is_some());
        }
        let Messages { reader, buffer, .. } = &mut self.messages;
        let length = reader.read(buffer).await?;
        self.spdy.push(&buffer[..length]);
        Ok(length > 0)
    }
}
