//! Commands that are talked to while they run: what goes in and what comes out.

use serde::{Deserialize, Serialize};

/// A command to run in a container with its streams open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interactive {
    /// The container.
    pub id: String,
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// Whether there is input.
    pub stdin: bool,
    /// Whether it runs on a terminal, where all output is one.
    pub tty: bool,
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
