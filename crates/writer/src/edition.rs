//! What is remembered of an object that was written.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// What changes when anything else comes to be wanted of an object. The greater of two is the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// The generation, which a change of the status leaves as it is.
    Generation(i64),
    /// The version, where there is no generation. Versions can be compared (KEP-5504).
    Version(u64),
}

impl Edition {
    /// The edition of an object with this generation, if it has one, and this version.
    pub fn new(generation: Option<i64>, version: u64) -> Self {
        generation.map_or(Self::Version(version), Self::Generation)
    }

    /// Whether it was there before `other`.
    pub fn is_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::Generation(this), Self::Generation(other)) => this < other,
            (Self::Version(this), Self::Version(other)) => this < other,
            (Self::Generation(_), Self::Version(_)) | (Self::Version(_), Self::Generation(_)) => {
                false
            }
        }
    }
}

/// Reads it from the metadata of an object.
impl<'de> Deserialize<'de> for Edition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata<'a> {
            generation: Option<i64>,
            #[serde(borrow)]
            resource_version: Option<Cow<'a, str>>,
        }
        let metadata = Metadata::deserialize(deserializer)?;
        let version = metadata.resource_version.unwrap_or_default();
        let version = version.parse().unwrap_or_default();
        Ok(Self::new(metadata.generation, version))
    }
}
