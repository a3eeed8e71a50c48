//! What the platform and its machine helper say to each other: length-prefixed JSON over one
//! connected socket. This module turns values into bytes and bytes into values, and does no I/O.

use std::{collections::BTreeSet, io, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Chunk, ContainerSpec, Error, Event, ExecOutcome, Feed, Info, Interactive, LayerSource,
    NetworkPlan, PodSandbox, Probe, Process,
};

/// Longest message that is accepted: a guard against a broken peer, far above any plan.
const LONGEST: usize = 64 << 20;
/// Bytes of the length that goes before each message.
const PREFIX: usize = 4;

/// One call of [`super::Machine`], with everything it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Call {
    ApplyNetwork(NetworkPlan),
    CreatePod(PodSandbox),
    DeletePod { uid: String },
    StartContainer(Box<ContainerSpec>),
    StopContainer { id: String, grace: Duration },
    RemoveContainer { id: String },
    Command(CommandCall),
    Probe { probe: Probe, timeout: Duration },
    Files(FilesCall),
    RunProcess(Process),
    Shutdown,
}

/// A call about layers and folders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum FilesCall {
    Unpack(LayerSource),
    KeepLayers(BTreeSet<String>),
    Written { id: String },
    Size { folder: PathBuf },
    Give { folder: PathBuf, group: u32 },
    GiveFile { file: PathBuf, user: u32 },
    Remove { folder: PathBuf },
}

/// A call about commands in containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum CommandCall {
    /// Run one to its end.
    Exec {
        id: String,
        argv: Vec<String>,
        timeout: Duration,
    },
    Open(Interactive),
    Feed {
        session: u64,
        feed: Feed,
    },
    Next {
        session: u64,
    },
    Close {
        session: u64,
    },
}

/// A call and the number under which it is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) call: Call,
}

/// What a call that succeeded brings back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    Done,
    Exec(ExecOutcome),
    Session(u64),
    Chunk(Chunk),
    Probe(Result<(), String>),
    Path(PathBuf),
    Bytes(u64),
}

/// Everything the helper says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Message {
    /// The first message, when the machine stands.
    Ready(Info),
    /// The first and last message, when it cannot.
    Refused(Refusal),
    /// The answer to a request.
    Reply {
        id: u64,
        result: Result<Answer, Error>,
    },
    /// Something happened by itself.
    Event(Event),
}

/// Why the helper cannot make a machine: the step and what the system said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) step: String,
    pub(super) cause: String,
    pub(super) advice: Option<String>,
}

/// The bytes of one message.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - PREFIX;
    let prefix = u32::try_from(length)
        .ok()
        .filter(|_| length <= LONGEST)
        .ok_or_else(|| invalid(format!("a message of {length} bytes is too long")))?;
    frame[..PREFIX].copy_from_slice(&prefix.to_le_bytes());
    Ok(frame)
}

/// Collects bytes as they arrive and hands out whole messages.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).map_err(invalid)?;
        if length > LONGEST {
            return Err(invalid(format!("a message of {length} bytes is too long")));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body)?;
        self.buffer.drain(..PREFIX + length);
        Ok(Some(message))
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u64) -> Request {
        Request {
            id,
            call: Call::DeletePod {
                uid: format!("pod-{id}"),
            },
        }
    }

    #[test]
    fn messages_survive_any_cut() {
        let mut stream = Vec::new();
        for id in 0..3 {
            stream.extend(encode(&request(id)).unwrap());
        }
        for cut in 1..stream.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in stream.chunks(cut) {
                decoder.push(part);
                while let Some(message) = decoder.next::<Request>().unwrap() {
                    seen.push(message);
                }
            }
            assert_eq!(
                seen,
                (0..3).map(request).collect::<Vec<_>>(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn absurd_length_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(decoder.next::<Request>().is_err());
    }

    #[test]
    fn garbage_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&3_u32.to_le_bytes());
        decoder.push(b"{x}");
        assert!(decoder.next::<Request>().is_err());
    }

    #[test]
    fn results_keep_their_errors() {
        let reply = Message::Reply {
            id: 7,
            result: Err(Error::NotFound {
                what: "pod".into(),
                name: "a".into(),
            }),
        };
        let mut decoder = Decoder::default();
        decoder.push(&encode(&reply).unwrap());
        let Some(Message::Reply { id, result }) = decoder.next().unwrap() else {
            panic!("not a reply");
        };
        assert_eq!(
            (id, result.unwrap_err().to_string().as_str()),
            (7, "pod a does not exist")
        );
    }
}
