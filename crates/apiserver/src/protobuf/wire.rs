//! The wire format of protobuf: numbered items, read one after the other.

use super::{Error, Result};

/// One item of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'b> {
    pub(super) number: u32,
    pub(super) raw: Raw<'b>,
}

/// What an item holds, before it is known what it means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'b> {
    Number(u64),
    Double([u8; 8]),
    Short,
    Bytes(&'b [u8]),
}

impl<'b> Raw<'b> {
    pub(super) fn bytes(self) -> Result<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Double(_) | Self::Short => Err(MISFIT),
        }
    }

    /// A whole number; nothing (the value of a map's entry that was left out) is zero.
    pub(super) fn number(self) -> Result<i64> {
        match self {
            Self::Number(number) => Ok(number.cast_signed()),
            Self::Bytes([]) => Ok(0),
            Self::Bytes(_) | Self::Double(_) | Self::Short => Err(MISFIT),
        }
    }

    pub(super) fn double(self) -> Result<f64> {
        match self {
            Self::Double(bytes) => Ok(f64::from_le_bytes(bytes)),
            Self::Bytes([]) => Ok(0.0),
            Self::Bytes(_) | Self::Number(_) | Self::Short => Err(MISFIT),
        }
    }
}

const MISFIT: Error = Error::Broken("a field is not of its type");
const SHORT: Error = Error::Broken("it ends too early");

/// The items of a message.
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    fn item(&mut self) -> Result<Item<'b>> {
        let key = self.varint()?;
        let number =
            u32::try_from(key >> 3).map_err(|_| Error::Broken("a field's number is too large"))?;
        let raw = match key & 7 {
            0 => Raw::Number(self.varint()?),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
                self.rest = rest;
                Raw::Double(*bytes)
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
                self.rest = rest;
                Raw::Bytes(bytes)
            }
            5 => {
                self.rest = self.rest.get(4..).ok_or(SHORT)?;
                Raw::Short
            }
            _ => return Err(Error::Broken("it holds a form that is not used")),
        };
        Ok(Item { number, raw })
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(SHORT)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Broken("a number is too long"))
    }
}

impl<'b> Iterator for Reader<'b> {
    type Item = Result<Item<'b>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.item();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// The last item of this number.
fn last(bytes: &[u8], wanted: u32) -> Result<Option<Raw<'_>>> {
    let mut found = None;
    for item in Reader::new(bytes) {
        let Item { number, raw } = item?;
        if number == wanted {
            found = Some(raw);
        }
    }
    Ok(found)
}

/// The bytes of this number; none if they were left out.
pub(super) fn bytes(message: &[u8], number: u32) -> Result<&[u8]> {
    last(message, number)?.map_or(Ok(&[]), Raw::bytes)
}

/// The text of this number; empty if it was left out.
pub(super) fn text(message: &[u8], number: u32) -> Result<&str> {
    utf8(bytes(message, number)?)
}

/// The whole number of this number; zero if it was left out.
pub(super) fn number(message: &[u8], number: u32) -> Result<i64> {
    last(message, number)?.map_or(Ok(0), Raw::number)
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::Broken("a text is not UTF-8"))
}
