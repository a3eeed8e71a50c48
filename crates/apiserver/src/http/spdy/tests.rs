use proptest::prelude::*;

use super::{super::fuzzing, *};

/// What Go's zlib makes of the headers of two streams of kubectl.
const RECORDED: [&str; 2] = [
    "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c6061606100a4398b20d198094ade8c0600000000ffff",
    "c2aa19540e2512d60b000000ffff",
];

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// A frame as clients send it.
fn sent(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = control(kind, payload).to_vec();
    frame[4] = flags;
    frame
}

/// The opening of a stream with an already compressed block.
fn opening(stream: u32, block: &[u8]) -> Vec<u8> {
    let payload = [&stream.to_be_bytes()[..], &[0; 6], block].concat();
    sent(SYN_STREAM, 0, &payload)
}

fn all(decoder: &mut Decoder) -> Result<Vec<Frame>, Violation> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next()? {
        frames.push(frame);
    }
    Ok(frames)
}

fn check(bytes: &[u8], expected: Result<&[Frame], Violation>) {
    let mut decoder = Decoder {
        newest: 7,
        ..Decoder::default()
    };
    decoder.push(bytes);
    let frames = all(&mut decoder);
    assert_eq!(
        frames.as_deref().map_err(|error| *error),
        expected,
        "{bytes:x?}"
    );
}

#[test]
fn the_dictionary_is_that_of_the_protocol() {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in dictionary::DICTIONARY.iter() {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    assert_eq!(high << 16 | low, 0xe3c6_a7c2);
}

#[test]
fn headers_of_kubectl_are_read() {
    let mut reader = Reader::default();
    for (hex, kind) in RECORDED.iter().zip(["error", "data"]) {
        let expected = [("streamtype", kind), ("port", "8080"), ("requestid", "0")];
        let headers = reader.read(&bytes_of(hex)).unwrap();
        assert_eq!(headers, Headers::of(&expected));
        assert_eq!(headers.get("streamtype"), Some(kind));
    }
}

#[test]
fn frames_of_control_are_told_apart() {
    let two = |one: u32, other: u32| [one.to_be_bytes(), other.to_be_bytes()].concat();
    check(
        &sent(RST_STREAM, 0, &two(5, 1)),
        Ok(&[Frame::Reset { stream: 5 }]),
    );
    check(&sent(PING, 0, &9_u32.to_be_bytes()), Ok(&[Frame::Ping(9)]));
    check(&sent(PING, 0, &8_u32.to_be_bytes()), Ok(&[]));
    check(&sent(GOAWAY, 0, &two(0, 0)), Ok(&[Frame::GoAway]));
    check(&sent(WINDOW_UPDATE, 0, &two(1, 65_536)), Ok(&[]));
    let settings = [two(1, 4), vec![0; 4]].concat();
    check(&sent(SETTINGS, 0, &settings), Ok(&[]));
    check(&sent(77, 0, b"what will be"), Ok(&[]));
    let last = Frame::Data {
        stream: 3,
        bytes: Bytes::new(),
        last: true,
    };
    check(&end(3), Ok(&[last]));
}

#[test]
fn violations_are_told() {
    let wrong = Err(Violation);
    check(&[0x80, 2, 0, 6, 0, 0, 0, 0], wrong);
    check(&sent(PING, 0, &[0; 3]), wrong);
    check(&sent(RST_STREAM, 0, &[0; 12]), wrong);
    check(&sent(SETTINGS, 0, &u32::MAX.to_be_bytes()), wrong);
    check(&sent(SYN_STREAM, 0, &[0, 0, 0, 9]), wrong);
    // Frames too long to be kept, streams that are not the client's, not new, not open.
    check(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], wrong);
    let block = bytes_of(RECORDED[0]);
    check(&opening(8, &block), wrong);
    check(&opening(7, &block), wrong);
    check(&data(9, b"x"), wrong);
    check(&data(2, b"x"), wrong);
    // Another dictionary, and a block that says it is longer than it is.
    let other = [&block[..2], &[0; 4], &block[6..]].concat();
    check(&opening(9, &other), wrong);
    check(&opening(9, &Writer::default().write(&[0xff; 4])), wrong);
}

#[test]
fn what_inflates_without_end_is_refused() {
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 1 << 20], 9);
    let begun = bytes_of(RECORDED[0]);
    let mut reader = Reader::default();
    reader.read(&begun).unwrap();
    assert_eq!(reader.read(&bomb), Err(Violation));
}

/// What may be sent, as frames and as bytes.
#[derive(Clone, Debug)]
enum Sent {
    Open(Vec<(String, String)>),
    Data(Vec<u8>),
    End,
    Ping(u32),
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let word = "[a-z]{0,12}";
    prop_oneof![
        proptest::collection::vec((word, "[ -~]{0,40}"), 0..6).prop_map(Sent::Open),
        proptest::collection::vec(any::<u8>(), 1..300).prop_map(Sent::Data),
        Just(Sent::End),
        (0..1000_u32).prop_map(|half| Sent::Ping(half * 2 + 1)),
    ]
}

proptest! {
    #[test]
    fn frames_survive_any_cut(sent in proptest::collection::vec(any_sent(), 0..20), cut in 1..700_usize) {
        let mut writer = Writer::default();
        let (mut bytes, mut expected, mut stream) = (Vec::new(), Vec::new(), 1);
        bytes.extend(opening(1, &writer.write(&Headers::default().plain())));
        expected.push(Frame::Open { stream, headers: Headers::default(), last: false });
        for one in sent {
            let last = matches!(one, Sent::End);
            match one {
                Sent::Open(pairs) => {
                    stream += 2;
                    let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                    let headers = Headers::of(&pairs);
                    bytes.extend(opening(stream, &writer.write(&headers.plain())));
                    expected.push(Frame::Open { stream, headers, last });
                }
                Sent::Data(piece) => {
                    bytes.extend(data(stream, &piece));
                    expected.push(Frame::Data { stream, bytes: piece.into(), last });
                }
                Sent::End => {
                    bytes.extend(end(stream));
                    expected.push(Frame::Data { stream, bytes: Bytes::new(), last });
                }
                Sent::Ping(id) => {
                    bytes.extend(pong(id));
                    expected.push(Frame::Ping(id));
                }
            }
        }
        let mut joined = Vec::new();
        for frame in expected {
            fuzzing::join(&mut joined, frame);
        }
        prop_assert_eq!(fuzzing::frames(&bytes, cut), (joined, None));
    }
}

#[test]
fn replies_can_be_read_as_headers() {
    let (mut encoder, mut reader) = (Encoder::default(), Reader::default());
    for stream in [1, 3] {
        let frame = encoder.reply(stream);
        assert_eq!(frame[..4], [0x80, 3, 0, 2]);
        assert_eq!(reader.read(&frame[HEAD + 4..]).unwrap(), Headers::default());
    }
}
