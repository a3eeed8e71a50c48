//! What is talked to while it runs - commands, containers, ports - and what goes in and comes out.

use serde::{Deserialize, Serialize};

/// What is talked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interactive {
    /// A command that is run in a container.
    Exec {
        /// The container.
        id: String,
        /// The command and its arguments.
        argv: Vec<String>,
        /// Whether there is input.
        stdin: bool,
        /// Whether it runs on a terminal, where all output is one.
        tty: bool,
    },
    /// What a container runs: what it says from now on, and its input if it has any.
    Attach {
        /// The container.
        id: String,
        /// Whether there is input.
        stdin: bool,
    },
    /// A port, as seen from within a pod. It says nothing about errors, and ends with code 0.
    Port {
        /// The pod.
        pod_uid: String,
        /// Its port.
        port: u16,
    },
}

/// What a command is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feed {
    /// Input.
    Data(#[serde(with = "text")] Vec<u8>),
    /// The size of its terminal.
    Resize {
        /// Width in characters.
        columns: u16,
        /// Height in characters.
        rows: u16,
    },
    /// There is no more input.
    End,
}

/// What comes from a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    /// Output.
    Out(#[serde(with = "text")] Vec<u8>),
    /// Output of errors.
    Err(#[serde(with = "text")] Vec<u8>),
    /// It ended with this exit code; nothing follows.
    Ended(i32),
}

/// Bytes as text, which is shorter in JSON than numbers.
mod text {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_carried() {
        let bytes: Vec<u8> = (0..=255).collect();
        let chunk = Chunk::Out(bytes);
        let text = serde_json::to_string(&chunk).unwrap();
        assert_eq!(serde_json::from_str::<Chunk>(&text).unwrap(), chunk);
    }
}
