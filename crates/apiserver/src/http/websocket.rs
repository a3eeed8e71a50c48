//! The WebSocket protocol, server's side: bytes to messages and messages to bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use ring::digest;

/// What the protocol appends to a client's key.
const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest message that is read.
const LARGEST: usize = 1 << 20;
/// The largest payload of frames that control the connection.
const LARGEST_CONTROL: usize = 125;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Data(Bytes),
    Ping(Bytes),
    Close,
}

/// The client does not follow the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// What proves to a client that its key was read.
pub(super) fn accept(key: &str) -> String {
    let salted = format!("{key}{SALT}");
    let algorithm = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    STANDARD.encode(digest::digest(algorithm, salted.as_bytes()))
}

/// A frame with data.
pub(super) fn data(parts: [&[u8]; 2]) -> Bytes {
    frame(2, parts)
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    frame(10, [payload, &[]])
}

/// Asks whether the client is still there.
pub(super) fn ping() -> Bytes {
    frame(9, [&[], &[]])
}

/// The end of the connection, in order.
pub(super) fn close() -> Bytes {
    frame(8, [&1000_u16.to_be_bytes(), &[]])
}

fn frame(opcode: u8, parts: [&[u8]; 2]) -> Bytes {
    let length = parts[0].len() + parts[1].len();
    let mut frame = BytesMut::with_capacity(length + 10);
    frame.put_u8(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if usize::from(length) <= LARGEST_CONTROL => frame.put_u8(length),
        (_, Ok(length)) => {
            frame.put_u8(126);
            frame.put_u16(length);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(parts[0]);
    frame.put_slice(parts[1]);
    frame.freeze()
}

/// Collects bytes as they arrive and hands out whole messages.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// A message whose last frame has not come.
    partial: Option<BytesMut>,
}

/// The head of a frame.
struct Head {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of the head itself.
    size: usize,
    length: usize,
}

impl Decoder {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Violation> {
        loop {
            let Some(head) = head(&self.buffer)? else {
                return Ok(None);
            };
            if self.buffer.len() < head.size + head.length {
                return Ok(None);
            }
            self.buffer.advance(head.size);
            let mut payload = self.buffer.split_to(head.length);
            for (byte, mask) in payload.iter_mut().zip(head.mask.iter().cycle()) {
                *byte ^= mask;
            }
            if let Some(message) = self.take(&head, payload)? {
                return Ok(Some(message));
            }
        }
    }

    fn take(&mut self, head: &Head, payload: BytesMut) -> Result<Option<Message>, Violation> {
        match head.opcode {
            0..=2 => {
                let mut whole = match (head.opcode, self.partial.take()) {
                    (0, Some(partial)) => partial,
                    (1 | 2, None) => BytesMut::new(),
                    _ => return Err(Violation),
                };
                if whole.len() + payload.len() > LARGEST {
                    return Err(Violation);
                }
                whole.extend_from_slice(&payload);
                if head.last {
                    return Ok(Some(Message::Data(whole.freeze())));
                }
                self.partial = Some(whole);
                Ok(None)
            }
            8 => Ok(Some(Message::Close)),
            9 => Ok(Some(Message::Ping(payload.freeze()))),
            10 => Ok(None),
            _ => Err(Violation),
        }
    }
}

/// Reads the head of a frame, if it is there.
fn head(buffer: &[u8]) -> Result<Option<Head>, Violation> {
    let Some(([first, second], rest)) = buffer.split_first_chunk() else {
        return Ok(None);
    };
    // Clients mask what they send, and nothing was agreed on about reserved bits.
    if second & 0x80 == 0 || first & 0x70 != 0 {
        return Err(Violation);
    }
    let (length, width) = match second & 0x7f {
        126 => (
            rest.first_chunk()
                .map(|bytes| u16::from_be_bytes(*bytes).into()),
            2,
        ),
        127 => (
            rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
            8,
        ),
        length => (Some(u64::from(length)), 0),
    };
    let Some(length) = length else {
        return Ok(None);
    };
    let length = usize::try_from(length).map_err(|_| Violation)?;
    let opcode = first & 0x0f;
    if length > LARGEST || (opcode >= 8 && length > LARGEST_CONTROL) {
        return Err(Violation);
    }
    let Some(mask) = rest.get(width..).and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    Ok(Some(Head {
        last: first & 0x80 != 0,
        opcode,
        mask: *mask,
        size: 2 + width + 4,
        length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            0..126 => frame.push(0x80 | u8::try_from(payload.len()).unwrap()),
            length => {
                frame.push(0xfe);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        frame
    }

    #[test]
    fn keys_are_answered_as_the_standard_shows() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn messages_survive_any_cut() {
        let long = vec![7; 300];
        let mut stream = masked(0x02, b"ab");
        stream.extend(masked(0x89, b"p"));
        stream.extend(masked(0x80, b"c"));
        stream.extend(masked(0x82, &long));
        stream.extend(masked(0x88, &[]));
        let expected = [
            Message::Ping(Bytes::from_static(b"p")),
            Message::Data(Bytes::from_static(b"abc")),
            Message::Data(Bytes::from(long)),
            Message::Close,
        ];
        for cut in 1..stream.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in stream.chunks(cut) {
                decoder.push(part);
                while let Some(message) = decoder.next().unwrap() {
                    seen.push(message);
                }
            }
            assert_eq!(seen, expected, "cut at {cut}");
        }
    }

    #[test]
    fn violations_are_told() {
        let huge = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes()].concat();
        for bytes in [
            &[0x82, 0x01, 0][..],
            &[0xf2, 0x81],
            &masked(0x80, b"x"),
            &huge,
            &masked(0x83, b""),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert_eq!(decoder.next(), Err(Violation), "{bytes:?}");
        }
    }

    #[test]
    fn frames_say_their_length() {
        assert_eq!(&data([b"a", b"b"])[..], [0x82, 2, b'a', b'b']);
        assert_eq!(data([&[0; 200], &[]])[..4], [0x82, 126, 0, 200]);
        assert_eq!(data([&vec![0; 70_000], &[]])[1], 127);
    }
}
