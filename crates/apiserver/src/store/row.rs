//! What stands in a row: the object's text, sealed if it is a secret, with a sum that tells a row
//! that is not as it was written.

use super::{
    Error,
    keys::{KeyId, Keyring},
};
use crate::object::Stored;

/// Collections whose objects are sealed: Kubernetes' Secrets.
pub(super) const SEALED: [&str; 1] = ["/secrets"];
/// What sealed rows begin with; plain ones are JSON and begin with a brace.
pub(super) const MARK: u8 = 1;

/// The place and time of an object. What is sealed opens only there and then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'a> {
    pub(super) collection: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) version: u64,
}

impl<'a> Label<'a> {
    pub(super) fn new(collection: &'a str, object: &'a Stored) -> Self {
        Self {
            collection,
            namespace: &object.name().namespace,
            name: &object.name().name,
            version: object.version,
        }
    }

    /// Every part of it, told apart by bytes that names cannot have.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for part in [self.collection, self.namespace, self.name] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes
    }

    pub(super) fn is_secret(&self) -> bool {
        SEALED.contains(&self.collection)
    }

    /// A sum over a row. Only in formats of before there were rows without a link.
    pub(super) fn sum(&self, data: &[u8], link: Option<&Link>) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.bytes());
        sum.update(data);
        if let Some(link) = link {
            sum.update(&[u8::from(link.deleted)]);
            sum.update(&link.previous.unwrap_or(-1).to_le_bytes());
        }
        sum.finalize()
    }

    /// The text as it is written: as it is, or sealed.
    pub(super) fn wrap(&self, keys: &Keyring, json: &[u8]) -> Option<Vec<u8>> {
        let key = keys.first()?;
        let mut sealed = Vec::with_capacity(json.len() + 48);
        sealed.push(MARK);
        sealed.extend_from_slice(&key.id);
        key.seal(&self.bytes(), json, &mut sealed).ok()?;
        Some(sealed)
    }

    /// The text of a row, if the row is as it was written.
    pub(super) fn text(
        &self,
        keys: &Keyring,
        sum: u32,
        data: &[u8],
        link: Option<&Link>,
    ) -> Result<Vec<u8>, Trouble> {
        if self.sum(data, link) != sum {
            return Err(Trouble::Bad("its checksum is wrong".to_owned()));
        }
        self.unwrap(keys, data)
    }

    /// The text of a row, whatever its sum.
    pub(super) fn unwrap(&self, keys: &Keyring, data: &[u8]) -> Result<Vec<u8>, Trouble> {
        let Some((id, sealed)) = sealed(data) else {
            return Ok(data.to_vec());
        };
        let key = keys.find(id).ok_or(Trouble::Locked(id))?;
        key.open(&self.bytes(), sealed)
            .ok_or_else(|| Trouble::Bad("it was changed after it was sealed".to_owned()))
    }
}

/// What a row knows besides its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The version it took the place of.
    pub(super) previous: Option<i64>,
    pub(super) deleted: bool,
}

impl std::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.collection.trim_start_matches('/');
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        let (namespace, name, version) = (self.namespace, self.name, self.version);
        write!(f, "{kind} {namespace}{slash}{name} of version {version}")
    }
}

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody has the key.
    #[error("nobody has the key {id:08x}", id = u32::from_be_bytes(*.0))]
    Locked(KeyId),
    /// It is not as it was written.
    #[error("{0}")]
    Bad(String),
    /// It is not there.
    #[error("it is missing")]
    Missing,
}

/// Whether the key that seals now sealed this.
pub(super) fn is_current(keys: &Keyring, data: &[u8]) -> bool {
    let by = sealed(data).map(|(id, _)| id);
    by.is_some() && by == keys.first().map(|key| key.id)
}

/// The key and the rest of a sealed row; `None` if it is plain.
pub(super) fn sealed(data: &[u8]) -> Option<(KeyId, &[u8])> {
    let (mark, rest) = data.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    (*mark == MARK).then_some((*id, rest))
}

/// The rows that cannot be read, as far as they are worth telling.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    locked: Option<KeyId>,
    told: Vec<String>,
    count: usize,
}

impl Troubles {
    /// Names told at most.
    const TOLD: usize = 5;

    pub(super) fn are_none(&self) -> bool {
        self.count == 0 && self.locked.is_none()
    }

    pub(super) fn add(&mut self, label: impl std::fmt::Display, trouble: Trouble) {
        let what = match trouble {
            Trouble::Locked(id) => {
                self.locked = Some(id);
                return;
            }
            Trouble::Bad(why) => format!("{label}: {why}"),
            Trouble::Missing => format!("{label} is missing"),
        };
        self.count += 1;
        if self.told.len() < Self::TOLD {
            self.told.push(what);
        }
    }

    /// What is wrong with a file, if anything is.
    pub(super) fn verdict(self, path: &std::path::Path, keys: &Keyring) -> Result<(), Error> {
        if self.count > 0 {
            let more = match self.count - self.told.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Err(Error::Damaged {
                path: path.into(),
                why: format!("{}{more}", self.told.join("; ")),
            });
        }
        match self.locked {
            Some(id) => Err(Error::Locked {
                path: path.into(),
                id: format!("{:08x}", u32::from_be_bytes(id)),
                key: keys.path.clone(),
            }),
            None => Ok(()),
        }
    }
}
