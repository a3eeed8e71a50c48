//! Short texts that tell one thing from another.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The first bytes of what SHA-256 makes of something, in hexadecimal digits.
pub(crate) fn digits(of: &[u8], bytes: usize) -> String {
    let digest = Sha256::digest(of);
    digest
        .iter()
        .take(bytes)
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}
