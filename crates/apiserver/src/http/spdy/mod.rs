//! SPDY/3.1, server's side: bytes to frames and frames to bytes. Clients of Kubernetes speak it to carry
//! several streams over one connection, older ones by itself and newer ones inside a WebSocket.
//!
//! Its flow control is read over, and not made use of, as its only implementation in these clients does
//! neither: whoever cannot take more has to stop reading from the connection.

mod dictionary;
mod header;
#[cfg(test)]
mod tests;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

pub(crate) use header::Headers;
use header::{Reader, Writer};

/// The version, and the bit that tells frames of control.
const CONTROL: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;
/// The flag of a stream's last frame in one direction.
const FIN: u8 = 1;
/// Bytes before the payload of every frame.
const HEAD: usize = 8;
/// The largest payload of frames of control.
const LARGEST_CONTROL: usize = 16 << 10;
/// The most data that is put into one frame.
const LARGEST_DATA: usize = 64 << 10;
/// Why the server does not take a stream.
const REFUSED_STREAM: u32 = 3;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// It opens a stream.
    Open {
        /// The number of the stream.
        stream: u32,
        headers: Headers,
        /// Whether the client sends nothing on it.
        last: bool,
    },
    /// Bytes of a stream. Long frames come in pieces.
    Data {
        stream: u32,
        bytes: Bytes,
        /// Whether nothing follows.
        last: bool,
    },
    /// It wants nothing of a stream any more.
    Reset { stream: u32 },
    /// It wants to have this number back.
    Ping(u32),
    /// It opens no streams any more.
    GoAway,
}

/// The client does not follow the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation;

/// Collects bytes as they arrive and hands out frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    headers: Reader,
    /// The stream that was opened last.
    newest: u32,
    /// A frame of data of which not all has come.
    partial: Option<Partial>,
}

#[derive(Clone, Copy, Debug)]
struct Partial {
    stream: u32,
    left: usize,
    last: bool,
}

impl Decoder {
    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Violation> {
        loop {
            if let Some(partial) = self.partial {
                return Ok(self.piece(partial));
            }
            let Some(head) = self.buffer.first_chunk::<HEAD>() else {
                return Ok(None);
            };
            let mut head = &head[..];
            let (first, second) = (head.get_u32(), head.get_u32());
            let flags = head_flags(second);
            let length = usize::try_from(second & 0x00ff_ffff).map_err(|_| Violation)?;
            if first >> 31 == 0 {
                self.buffer.advance(HEAD);
                self.partial = Some(self.data(first, length, flags)?);
                continue;
            }
            if length > LARGEST_CONTROL {
                return Err(Violation);
            }
            if self.buffer.len() < HEAD + length {
                return Ok(None);
            }
            self.buffer.advance(HEAD);
            let payload = self.buffer.split_to(length).freeze();
            if let Some(frame) = self.control(first, flags, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    fn data(&self, stream: u32, left: usize, flags: u8) -> Result<Partial, Violation> {
        if !self.opened(stream) {
            return Err(Violation);
        }
        let last = flags & FIN != 0;
        Ok(Partial { stream, left, last })
    }

    /// What there is of a frame of data.
    fn piece(&mut self, partial: Partial) -> Option<Frame> {
        let Partial { stream, left, last } = partial;
        if self.buffer.is_empty() && left > 0 {
            return None;
        }
        let bytes = self.buffer.split_to(left.min(self.buffer.len())).freeze();
        let left = left - bytes.len();
        self.partial = (left > 0).then_some(Partial { left, ..partial });
        let last = last && left == 0;
        Some(Frame::Data {
            stream,
            bytes,
            last,
        })
    }

    /// Whether the client opened a stream, be it closed meanwhile.
    fn opened(&self, stream: u32) -> bool {
        stream % 2 == 1 && stream <= self.newest
    }

    fn control(
        &mut self,
        first: u32,
        flags: u8,
        mut payload: Bytes,
    ) -> Result<Option<Frame>, Violation> {
        let [version, kind] = [first >> 16, first & 0xffff].map(|half| u16::try_from(half).ok());
        if version != Some(CONTROL) {
            return Err(Violation);
        }
        let last = flags & FIN != 0;
        let frame = match kind.ok_or(Violation)? {
            SYN_STREAM => Some(self.open(payload, last)?),
            RST_STREAM => {
                let [stream, _why] = numbers(payload)?;
                let stream = stream & 0x7fff_ffff;
                self.opened(stream).then_some(Frame::Reset { stream })
            }
            PING => {
                let [id] = numbers(payload)?;
                // Even ones would be answers, and nothing was asked.
                (id % 2 == 1).then_some(Frame::Ping(id))
            }
            GOAWAY => {
                let [_last_good, _why] = numbers(payload)?;
                Some(Frame::GoAway)
            }
            // Read although nobody wants them: what follows refers to it.
            HEADERS | SYN_REPLY => {
                let stream = payload.try_get_u32().map_err(|_| Violation)?;
                self.headers.read(&payload)?;
                let ends = last && self.opened(stream);
                ends.then_some(Frame::Data {
                    stream,
                    bytes: Bytes::new(),
                    last,
                })
            }
            WINDOW_UPDATE => {
                let [_stream, _more] = numbers(payload)?;
                None
            }
            SETTINGS => {
                let count = payload.try_get_u32().map_err(|_| Violation)?;
                let whole = u64::from(count) * 8 == payload.len() as u64;
                whole.then_some(None).ok_or(Violation)?
            }
            // To be read over, says the protocol.
            _ => None,
        };
        Ok(frame)
    }

    fn open(&mut self, mut payload: Bytes, last: bool) -> Result<Frame, Violation> {
        let stream = payload.try_get_u32().map_err(|_| Violation)? & 0x7fff_ffff;
        if stream % 2 == 0 || stream <= self.newest {
            return Err(Violation);
        }
        // With which stream it belongs together, how urgent it is, and for which certificate.
        let (_, block) = payload.split_at_checked(6).ok_or(Violation)?;
        let headers = self.headers.read(block)?;
        self.newest = stream;
        Ok(Frame::Open {
            stream,
            headers,
            last,
        })
    }
}

/// The flags of a frame, which share a word with its length.
fn head_flags(word: u32) -> u8 {
    let [flags, ..] = word.to_be_bytes();
    flags
}

/// The numbers that are all there is to a frame.
fn numbers<const COUNT: usize>(mut payload: Bytes) -> Result<[u32; COUNT], Violation> {
    if payload.len() != COUNT * 4 {
        return Err(Violation);
    }
    Ok([(); COUNT].map(|()| payload.get_u32()))
}

/// Makes the frames that depend on what was sent before.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    headers: Writer,
}

impl Encoder {
    /// Takes a stream, without any headers.
    pub(crate) fn reply(&mut self, stream: u32) -> Bytes {
        let none = 0_u32.to_be_bytes();
        let mut payload = BytesMut::new();
        payload.put_u32(stream);
        payload.unsplit(self.headers.write(&none));
        control(SYN_REPLY, &payload)
    }
}

/// Bytes of a stream.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Bytes {
    let mut frames = BytesMut::with_capacity(bytes.len() + HEAD);
    for piece in bytes.chunks(LARGEST_DATA) {
        frames.put_u32(stream);
        frames.put_u32(low(piece.len()));
        frames.put_slice(piece);
    }
    frames.freeze()
}

/// Nothing follows on a stream.
pub(crate) fn end(stream: u32) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD);
    frame.put_u32(stream);
    frame.put_u32(u32::from_be_bytes([FIN, 0, 0, 0]));
    frame.freeze()
}

/// A stream is not taken, or not wanted any more.
pub(crate) fn reset(stream: u32) -> Bytes {
    let payload = [stream, REFUSED_STREAM].map(u32::to_be_bytes).concat();
    control(RST_STREAM, &payload)
}

/// Asks whether the client is still there.
pub(crate) fn ping() -> Bytes {
    control(PING, &2_u32.to_be_bytes())
}

/// The answer to a ping.
pub(crate) fn pong(id: u32) -> Bytes {
    control(PING, &id.to_be_bytes())
}

fn control(kind: u16, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD + payload.len());
    frame.put_u16(CONTROL);
    frame.put_u16(kind);
    frame.put_u32(low(payload.len()));
    frame.put_slice(payload);
    frame.freeze()
}

/// A length; none comes near what its 24 bits can tell.
fn low(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(0) & 0x00ff_ffff
}
