//! Datagrams on a stream: the capsules of RFC 9297 that hold those of RFC 9298 (proxying UDP in HTTP).

use bytes::{Buf as _, Bytes, BytesMut};

/// The type of a capsule that holds a datagram.
const DATAGRAM: u64 = 0;
/// The context of datagrams that are payloads of UDP as they are.
const PAYLOAD: u64 = 0;
/// The longest value of a capsule that is taken: no datagram is as long, with its context.
const MAX_LENGTH: u64 = 1 << 16;

/// How much of a stream is read at once.
const ROOM: usize = 1 << 14;

/// The capsule of a payload of UDP.
pub(super) fn datagram(payload: &[u8]) -> Vec<u8> {
    let mut capsule = Vec::with_capacity(payload.len() + 8);
    put(&mut capsule, DATAGRAM);
    // Its context takes one byte.
    put(&mut capsule, payload.len() as u64 + 1);
    put(&mut capsule, PAYLOAD);
    capsule.extend_from_slice(payload);
    capsule
}

/// What came over a stream and is not read yet.
#[derive(Debug, Default)]
pub(super) struct Capsules(BytesMut);

/// A capsule is longer than any that holds a datagram.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a capsule is too long")]
pub(super) struct TooLong;

impl Capsules {
    /// Where the next bytes of the stream go.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        self.0.reserve(ROOM);
        &mut self.0
    }

    /// The next payload, once all of it is there. Capsules of other types and contexts are skipped, as the RFCs
    /// ask for.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let mut rest: &[u8] = &self.0;
            let (Some(kind), Some(length)) = (take(&mut rest), take(&mut rest)) else {
                return Ok(None);
            };
            if length > MAX_LENGTH {
                return Err(TooLong);
            }
            let length = usize::try_from(length).map_err(|_| TooLong)?;
            if rest.len() < length {
                return Ok(None);
            }
            let head = self.0.len() - rest.len();
            self.0.advance(head);
            let mut value = self.0.split_to(length).freeze();
            let mut payload: &[u8] = &value;
            let context = take(&mut payload);
            let head = value.len() - payload.len();
            if (kind, context) == (DATAGRAM, Some(PAYLOAD)) {
                value.advance(head);
                return Ok(Some(value));
            }
        }
    }
}

/// Adds a number as QUIC writes it (RFC 9000, section 16): its first two bits say how many bytes it takes.
fn put(into: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let (skipped, mark) = match number {
        0..0x40 => (7, 0x00),
        0x40..0x4000 => (6, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (0, 0xc0),
    };
    let start = into.len();
    into.extend(bytes.iter().skip(skipped));
    if let Some(first) = into.get_mut(start) {
        *first |= mark;
    }
}

/// Takes such a number, once all of it is there.
fn take(from: &mut &[u8]) -> Option<u64> {
    let first = *from.first()?;
    let length = 1_usize << (first >> 6);
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    let number = bytes.iter().skip(1);
    Some(number.fold(u64::from(first & 0x3f), |sum, byte| {
        (sum << 8) | u64::from(*byte)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of bytes that come in pieces of some length.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Bytes>, TooLong> {
        let mut capsules = Capsules::default();
        let mut found = Vec::new();
        for part in bytes.chunks(piece) {
            capsules.buffer().extend_from_slice(part);
            while let Some(payload) = capsules.next()? {
                found.push(payload);
            }
        }
        Ok(found)
    }

    #[test]
    fn payloads_come_back_however_they_are_cut() {
        let payloads: Vec<Vec<u8>> = [0, 1, 62, 63, 64, 16_382, 16_383, 65_507]
            .map(|length| vec![7; length])
            .to_vec();
        let stream: Vec<u8> = payloads.iter().flat_map(|p| datagram(p)).collect();
        for piece in [1, 3, 1000, stream.len()] {
            assert_eq!(read(&stream, piece).unwrap(), payloads, "{piece}");
        }
    }

    #[test]
    fn capsules_are_written_as_the_rfcs_say() {
        assert_eq!(datagram(b"hi"), b"\x00\x03\x00hi");
        assert_eq!(datagram(&[0; 63])[..4], [0, 0x40, 64, 0]);
    }

    #[test]
    fn others_are_skipped_and_endless_ones_refused() {
        // A type of two bytes, a context that is not 0, an empty one, and one that is known.
        let stream = b"\x40\x80\x02ab\x00\x02\x01c\x00\x00\x00\x02\x00d";
        assert_eq!(read(stream, 2).unwrap(), [&b"d"[..]]);
        assert_eq!(
            read(b"\x00\xc0\x00\x00\x00\x00\x01\x00\x01", 9),
            Err(TooLong)
        );
    }
}
