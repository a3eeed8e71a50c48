//! The authorities that this host trusts. Envoy does not see the host's files wherever it runs, so it is
//! given them.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Characters of a line of PEM (RFC 7468).
const LINE: usize = 64;

/// The authorities that this host trusts, in PEM, if there are any: those of `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`, or of the host's bundle.
pub fn of_this_host() -> Option<Arc<str>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "an authority that this host trusts cannot be read");
    }
    let pem: String = found.certs.iter().map(|one| pem(one)).collect();
    (!pem.is_empty()).then(|| pem.into())
}

fn pem(certificate: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in encoded.as_bytes().chunks(LINE) {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let text = pem(made.cert.der());
        let read = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        assert_eq!(&read, made.cert.der());
    }
}
