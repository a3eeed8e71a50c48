//! The key file: what seals secrets, kept apart from what it seals.
//!
//! Each line is a key in base64. The first seals; all of them open, so that what an earlier key
//! sealed stays readable until it is sealed anew. A key is known by the beginning of its digest.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
};

use super::Error;

/// Bytes of a key.
const LENGTH: usize = 32;

/// By which key a row is sealed.
pub(super) type KeyId = [u8; 4];

/// What seals and opens. It never shows what it holds.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: KeyId,
    secret: [u8; LENGTH],
    cipher: LessSafeKey,
}

impl Key {
    fn new(secret: [u8; LENGTH]) -> Result<Self, Unspecified> {
        let mut id = KeyId::default();
        let whole = digest(&SHA256, &secret);
        for (to, from) in id.iter_mut().zip(whole.as_ref()) {
            *to = *from;
        }
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret)?);
        Ok(Self { id, secret, cipher })
    }

    fn random() -> Result<Self, Unspecified> {
        let mut secret = [0; LENGTH];
        SystemRandom::new().fill(&mut secret)?;
        Self::new(secret)
    }

    fn read(line: &str) -> Option<Self> {
        let bytes = STANDARD.decode(line).ok()?;
        Self::new(bytes.try_into().ok()?).ok()
    }

    fn line(&self) -> String {
        STANDARD.encode(self.secret)
    }

    /// Appends nonce, ciphertext and tag to `out`.
    pub(super) fn seal(
        &self,
        bound: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce)?;
        let mut text = plain.to_vec();
        self.cipher.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound),
            &mut text,
        )?;
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&text);
        Ok(())
    }

    /// What `seal` sealed, if nothing of it or of what it is bound to was changed.
    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = self
            .cipher
            .open_in_place(nonce, Aad::from(bound), &mut text);
        let length = plain.ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// The keys of a file, the one that seals first.
#[derive(Clone, Default)]
pub(super) struct Keyring {
    pub(super) path: PathBuf,
    keys: Vec<Key>,
}

impl Keyring {
    /// The keys of a file; none if there is no file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = match read_private(path) {
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(Self {
                    path: path.into(),
                    keys: Vec::new(),
                });
            }
            text => text?,
        };
        let mut keyring = Self::parse(path, &text)?;
        if keyring.keys.is_empty() {
            return Err(wrong(path, "there is no key in it"));
        }
        keyring.path = path.into();
        Ok(keyring)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(Key::read).collect::<Option<Vec<_>>>();
        let keys =
            keys.ok_or_else(|| wrong(path, "a line of it is not a key: 32 bytes in base64"))?;
        Ok(Self {
            path: path.into(),
            keys,
        })
    }

    /// The key that seals.
    pub(super) fn first(&self) -> Option<&Key> {
        self.keys.first()
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn text(&self) -> String {
        self.keys.iter().map(|key| key.line() + "\n").collect()
    }

    /// Makes a new key, which seals from now on, and writes the file.
    pub(super) fn renew(&mut self) -> Result<(), Error> {
        let key = Key::random().map_err(|_| wrong(&self.path, "the system gives no randomness"))?;
        self.keys.insert(0, key);
        self.write()
    }

    /// Takes keys of elsewhere that open what this file's do not. Whether there were any.
    pub(super) fn adopt(&mut self, text: &str) -> Result<bool, Error> {
        let before = self.keys.len();
        for key in Self::parse(&self.path, text)?.keys {
            if self.find(key.id).is_none() {
                self.keys.push(key);
            }
        }
        Ok(self.keys.len() > before)
    }

    /// Writes beside and renames: a crash leaves the old file or the new one.
    pub(super) fn write(&self) -> Result<(), Error> {
        let failed = |source| Error::File {
            path: self.path.clone(),
            source,
        };
        let folder = super::copy::folder_of(&self.path);
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // What a crash left is not ours to extend.
        let _ = fs::remove_file(&beside);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&beside).map_err(failed)?;
        file.write_all(self.text().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &self.path))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(failed)
    }
}

/// Makes a new key for a store. It seals from the next start on, which also seals anew what earlier
/// keys sealed; those are kept, because copies of before need them.
pub fn renew_key(place: &super::Place) -> Result<(), Error> {
    Keyring::read(&place.key)?.renew()
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::Key {
        path: path.into(),
        why: why.to_owned(),
    }
}

/// Reads a file that must be ours and nobody else's to read: a key that another user can read, or
/// put there, keeps nothing secret.
fn read_private(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::File {
        path: path.into(),
        source,
    };
    let found = fs::metadata(path).map_err(failed)?;
    let ours = fs::metadata("/proc/self").map_or_else(|_| found.uid(), |own| own.uid());
    if found.uid() != ours && found.uid() != 0 {
        return Err(wrong(path, "it belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        let why = format!("others may use it; run `chmod 600 {}`", path.display());
        return Err(wrong(path, &why));
    }
    fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ring() -> (tempfile::TempDir, Keyring) {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Keyring::read(&folder.path().join("key")).unwrap();
        ring.renew().unwrap();
        (folder, ring)
    }

    #[test]
    fn what_is_sealed_opens_only_unchanged_and_in_its_place() {
        let (_folder, ring) = ring();
        let key = ring.first().unwrap();
        let mut sealed = Vec::new();
        key.seal(b"here", b"password", &mut sealed).unwrap();
        assert_eq!(key.open(b"here", &sealed).unwrap(), b"password");
        assert!(!sealed.windows(8).any(|part| part == b"password"));
        assert!(key.open(b"there", &sealed).is_none());
        *sealed.last_mut().unwrap() ^= 1;
        assert!(key.open(b"here", &sealed).is_none());
        assert!(key.open(b"here", b"short").is_none());
    }

    #[test]
    fn the_newest_key_seals_and_all_of_them_open() {
        let (_folder, mut ring) = ring();
        let first = ring.first().unwrap().id;
        ring.renew().unwrap();
        let again = Keyring::read(&ring.path).unwrap();
        assert_ne!(again.first().unwrap().id, first);
        assert!(again.find(first).is_some());
        assert_eq!(fs::metadata(&ring.path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_file_that_is_none_is_refused() {
        let (_folder, ring) = ring();
        for wrong in ["", "secret\n", "c2hvcnQ=\n"] {
            fs::write(&ring.path, wrong).unwrap();
            assert!(
                matches!(Keyring::read(&ring.path), Err(Error::Key { .. })),
                "{wrong:?}"
            );
        }
        fs::write(&ring.path, ring.text()).unwrap();
        fs::set_permissions(&ring.path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keyring::read(&ring.path).err().unwrap().to_string();
        assert!(error.contains("others may use it"), "{error}");
    }
}
