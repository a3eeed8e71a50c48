//! Datagrams as packets of IPv4 (RFC 791) and UDP (RFC 768), in Ethernet frames.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The header of a frame: to whom, from whom, and the number of IPv4.
const FRAME: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
/// The shortest header of IPv4, and the header of UDP.
const IP: usize = 20;
const UDP: usize = 8;
const UDP_NUMBER: u8 = 17;
/// The bits of "more fragments" and of where a fragment begins.
const FRAGMENT: u16 = 0x3fff;
/// How many links an answer may pass.
const TIME_TO_LIVE: u8 = 64;
/// The longest frame.
pub(super) const LONGEST_FRAME: usize = FRAME + 0xffff;

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::machine::network) struct Flow {
    pub(in crate::machine::network) from: SocketAddrV4,
    pub(in crate::machine::network) to: SocketAddrV4,
}

impl Flow {
    /// The way of answers.
    pub(super) const fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

/// The datagram in a frame, if there is a whole one.
pub(super) fn read(frame: &[u8]) -> Option<(Flow, &[u8])> {
    let (ethernet, packet) = frame.split_at_checked(FRAME)?;
    if !ethernet.ends_with(&IPV4) {
        return None;
    }
    let first = *packet.first()?;
    let (header, length) = (usize::from(first & 15) * 4, usize::from(number(packet, 2)?));
    // What is behind the packet fills up a short frame.
    let datagram = packet.get(..length)?.get(header..)?;
    let is_whole = number(packet, 6)? & FRAGMENT == 0;
    if first >> 4 != 4 || header < IP || !is_whole || *packet.get(9)? != UDP_NUMBER {
        return None;
    }
    let flow = Flow {
        from: SocketAddrV4::new(address(packet, 12)?, number(datagram, 0)?),
        to: SocketAddrV4::new(address(packet, 16)?, number(datagram, 2)?),
    };
    let payload = datagram.get(..usize::from(number(datagram, 4)?))?;
    Some((flow, payload.get(UDP..)?))
}

/// A frame with a datagram, to a hardware address; none if it is too long.
pub(super) fn write(hardware: [u8; 6], flow: Flow, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP + payload.len()).ok()?;
    let whole = u16::try_from(IP + UDP + payload.len()).ok()?;
    let mut frame = Vec::with_capacity(FRAME + usize::from(whole));
    frame.extend(hardware);
    // Nobody asks who sent it.
    frame.extend([0; 6]);
    frame.extend(IPV4);
    let mut header = [0; IP];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&whole.to_be_bytes());
    header[8] = TIME_TO_LIVE;
    header[9] = UDP_NUMBER;
    header[12..16].copy_from_slice(&flow.from.ip().octets());
    header[16..20].copy_from_slice(&flow.to.ip().octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    let mut datagram = [0; UDP];
    datagram[0..2].copy_from_slice(&flow.from.port().to_be_bytes());
    datagram[2..4].copy_from_slice(&flow.to.port().to_be_bytes());
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    let pseudo = [0, UDP_NUMBER, datagram[4], datagram[5]];
    let sum = checksum(&[&header[12..], &pseudo, &datagram, payload]);
    // None at all is written as zero.
    let sum = if sum == 0 { u16::MAX } else { sum };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    frame.extend(datagram);
    frame.extend(payload);
    Some(frame)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*two))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(Ipv4Addr::from(*four))
}

/// The checksum of the Internet (RFC 1071) of parts, of which only the last may have an odd length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum = words.fold(0_u32, |sum, word| {
        let low = word.get(1).copied().unwrap_or_default();
        sum + u32::from(u16::from_be_bytes([word[0], low]))
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

/// A frame as a pod may have sent it: what is read of it is what is written.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(frame: &[u8]) {
    if let Some((flow, payload)) = read(frame) {
        let written = write([2; 6], flow, payload).unwrap_or_default();
        assert_eq!(read(&written), Some((flow, payload)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TO: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn flow(from: &str, to: &str) -> Flow {
        Flow {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    /// As another program writes it.
    #[test]
    fn an_answer_is_a_packet() {
        let frame = write(TO, flow("8.8.8.8:53", "10.128.1.2:4000"), b"abc").unwrap();
        let hex = frame.iter();
        let hex = hex.fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let expected = [
            "020000000001",
            "000000000000",
            "0800",
            "4500001f0000000040115f3d080808080a800102",
            "00350fa0000b100f616263",
        ];
        assert_eq!(hex, expected.concat());
    }

    #[test]
    fn what_is_no_whole_datagram_is_none() {
        let good = write(TO, flow("10.128.1.2:4000", "8.8.8.8:53"), b"abc").unwrap();
        assert!(read(&good).is_some());
        for (at, value) in [
            (13, 0xdd), // another protocol than IPv4
            (14, 0x65), // another version
            (14, 0x44), // a header that is too short
            (20, 0x20), // a fragment
            (21, 1),    // a later one
            (23, 6),    // TCP
            (38, 1),    // longer than the packet
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(read(&bad), None, "{at}");
        }
        assert_eq!(read(&good[..good.len() - 1]), None);
        let mut filled = good;
        filled.extend([0; 20]);
        assert_eq!(read(&filled).unwrap().1, b"abc");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            from in any::<(u32, u16)>(),
            to in any::<(u32, u16)>(),
            payload in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let flow = Flow {
                from: SocketAddrV4::new(from.0.into(), from.1),
                to: SocketAddrV4::new(to.0.into(), to.1),
            };
            let frame = write(TO, flow, &payload).unwrap();
            prop_assert_eq!(read(&frame), Some((flow, payload.as_slice())));
        }

        #[test]
        fn whatever_comes_is_read_or_not(frame in prop::collection::vec(any::<u8>(), 0..100)) {
            let _either = read(&frame);
        }
    }
}
