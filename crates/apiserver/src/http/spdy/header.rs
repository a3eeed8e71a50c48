//! Headers of streams: pairs of names and values, compressed as one stream in each direction.

use std::fmt;

use bytes::{Buf as _, BufMut as _, BytesMut};
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT},
};

use super::{Violation, dictionary::DICTIONARY};

/// How far back compressed data may refer: the most that deflate knows.
const WINDOW: usize = 32 << 10;
/// The most that the headers of one stream may be.
const LARGEST: usize = 16 << 10;
/// What a compressed stream begins with: deflate with a dictionary, and which.
const BEGINNING: [u8; 6] = [0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2];
/// The end of what is flushed: a block without anything in it.
const FLUSHED: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Names in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of a header whose name is given in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn read(mut block: &[u8]) -> Result<Self, Violation> {
        let count = block.try_get_u32().map_err(|_| Violation)?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let name = word(&mut block)?.to_lowercase();
            pairs.push((name, word(&mut block)?));
        }
        if block.is_empty() {
            Ok(Self(pairs))
        } else {
            Err(Violation)
        }
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter();
        Self(
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    /// As they are before they are compressed.
    #[cfg(test)]
    pub(super) fn plain(&self) -> Vec<u8> {
        let mut block = Vec::new();
        block.put_u32(u32::try_from(self.0.len()).unwrap());
        for word in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(u32::try_from(word.len()).unwrap());
            block.put_slice(word.as_bytes());
        }
        block
    }
}

fn word(block: &mut &[u8]) -> Result<String, Violation> {
    let length = block.try_get_u32().map_err(|_| Violation)?;
    let length = usize::try_from(length).map_err(|_| Violation)?;
    let (word, rest) = block.split_at_checked(length).ok_or(Violation)?;
    *block = rest;
    String::from_utf8(word.to_vec()).map_err(|_| Violation)
}

/// Reads the headers that the other side compressed.
pub(super) struct Reader {
    state: Box<DecompressorOxide>,
    /// What was read last, around and around.
    window: Box<[u8]>,
    /// Where in the window the next byte goes.
    at: usize,
    begun: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Default for Reader {
    fn default() -> Self {
        let mut window = vec![0; WINDOW];
        window[..DICTIONARY.len()].copy_from_slice(&DICTIONARY);
        Self {
            state: Box::default(),
            window: window.into(),
            at: DICTIONARY.len(),
            begun: false,
        }
    }
}

impl Reader {
    /// The headers of the next block.
    pub(super) fn read(&mut self, mut block: &[u8]) -> Result<Headers, Violation> {
        if !self.begun {
            self.begun = true;
            let (beginning, rest) = block.split_first_chunk().ok_or(Violation)?;
            begins(*beginning)?;
            block = rest;
        }
        Headers::read(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut plain = Vec::new();
        loop {
            let flags = TINFL_FLAG_HAS_MORE_INPUT;
            let (status, read, written) =
                decompress(&mut self.state, block, &mut self.window, self.at, flags);
            plain.extend_from_slice(&self.window[self.at..self.at + written]);
            if plain.len() > LARGEST {
                return Err(Violation);
            }
            self.at = (self.at + written) % WINDOW;
            block = &block[read..];
            if status == TINFLStatus::NeedsMoreInput {
                return Ok(plain);
            }
            // Neither side ever ends its stream of headers.
            if status != TINFLStatus::HasMoreOutput {
                return Err(Violation);
            }
        }
    }
}

/// Checks what a compressed stream begins with; how hard was tried to compress may differ.
fn begins(beginning: [u8; BEGINNING.len()]) -> Result<(), Violation> {
    let [method, flags, dictionary @ ..] = beginning;
    let [_, _, ours @ ..] = BEGINNING;
    let deflate = method & 0x0f == 8 && method >> 4 <= 7;
    let whole = u16::from_be_bytes([method, flags]).is_multiple_of(31);
    if deflate && whole && flags & 0x20 != 0 && dictionary == ours {
        Ok(())
    } else {
        Err(Violation)
    }
}

/// Writes headers. The few bytes that a server sends are not worth compressing: they are marked as
/// they are.
#[derive(Debug, Default)]
pub(super) struct Writer {
    begun: bool,
}

impl Writer {
    /// A block of headers, given as they are before they are compressed.
    pub(super) fn write(&mut self, plain: &[u8]) -> BytesMut {
        let mut block = BytesMut::new();
        if !self.begun {
            self.begun = true;
            block.put_slice(&BEGINNING);
        }
        for piece in plain.chunks(usize::from(u16::MAX)) {
            // A piece is as long as its length can tell.
            let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
            block.put_u8(0);
            block.put_u16_le(length);
            block.put_u16_le(!length);
            block.put_slice(piece);
        }
        block.put_slice(&FLUSHED);
        block
    }
}
