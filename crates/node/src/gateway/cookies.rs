//! The key by which cookies of those who signed in are known to be the gateway's own.

use std::{fmt, fs, io, path::Path, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use super::{Error, Result, authority::write};

/// The file, in the gateway's folder.
const FILE: &str = "cookies.key";

/// A key of which those of single policies are made. It is made once: another one signs everybody out.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKey(Arc<[u8; 32]>);

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey")
    }
}

impl From<[u8; 32]> for CookieKey {
    fn from(key: [u8; 32]) -> Self {
        Self(Arc::new(key))
    }
}

impl CookieKey {
    /// The key of a folder, made when there is none. Nobody but its owner may read it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let failed = |doing: &str, cause: io::Error| Error::Io {
            doing: format!("{doing} {}", path.display()),
            cause,
        };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let key = BASE64_STANDARD.decode(text.trim()).ok();
                let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok());
                let unusable = || io::Error::new(io::ErrorKind::InvalidData, "it is not a key");
                key.map(Self::from).ok_or_else(|| failed("use", unusable()))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                write(&path, &BASE64_STANDARD.encode(key), 0o600)
                    .map_err(|cause| failed("write", cause))?;
                Ok(Self::from(key))
            }
            Err(cause) => Err(failed("read", cause)),
        }
    }

    /// The key of one policy, in base64: cookies of one are none to another.
    pub(super) fn of(&self, policy: &str) -> String {
        let digest = Sha256::new_with_prefix(*self.0).chain_update(Sha256::digest(policy));
        BASE64_STANDARD.encode(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_private() {
        let home = tempfile::tempdir().unwrap();
        let key = CookieKey::open(home.path()).unwrap();
        assert_eq!(CookieKey::open(home.path()).unwrap(), key);
        let file = home.path().join(FILE);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(key.of("a/b"), key.of("a/c"));
        assert_eq!(format!("{key:?}"), "CookieKey");
        fs::write(&file, "short").unwrap();
        assert!(CookieKey::open(home.path()).is_err());
    }
}
