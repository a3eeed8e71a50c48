//! Certificates of clients. A user may be in several groups, which are as many organisations of
//! one subject; rcgen writes subjects that have one of a sort, so these are written here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::civil::Date;
use rand::RngExt as _;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use yasna::{DERWriter, Tag, models::ObjectIdentifier};

use super::Error;

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANISATION: &[u64] = &[2, 5, 4, 10];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const CLIENT: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
/// How the keys that rcgen draws sign.
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
/// A digital signature and the encipherment of keys, in the first three bits.
const USAGES: (&[u8], usize) = (&[0b1010_0000], 3);
/// Years are written with two digits before this one.
const LONG_YEARS: i16 = 2050;

/// What a certificate says.
pub(super) struct Request<'a> {
    pub(super) user: &'a str,
    pub(super) groups: &'a [String],
    pub(super) key: &'a KeyPair,
    pub(super) from: Date,
    pub(super) ends: Date,
}

impl Request<'_> {
    /// The certificate (PEM) by an authority (PEM) and its key.
    pub(super) fn sign(&self, authority: &str, key: &KeyPair) -> Result<String, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
        let authority = CertificateDer::from_pem_slice(authority.as_bytes());
        let authority = authority.map_err(|error| failed(&error))?;
        let (_, authority) =
            X509Certificate::from_der(&authority).map_err(|error| failed(&error))?;
        let content = self.content(authority.subject().as_raw());
        let signature = key.sign(&content)?;
        let certificate = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&content);
                algorithm(writer.next());
                writer
                    .next()
                    .write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(pem(&certificate))
    }

    /// What is signed.
    fn content(&self, issuer: &[u8]) -> Vec<u8> {
        let mut serial = [0; 16];
        rand::rng().fill(&mut serial);
        yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                // The third version, counted from 0.
                writer
                    .next()
                    .write_tagged(Tag::context(0), |writer| writer.write_u8(2));
                writer.next().write_bigint_bytes(&serial, true);
                algorithm(writer.next());
                writer.next().write_der(issuer);
                writer.next().write_sequence(|writer| {
                    writer.next().write_der(&time(self.from));
                    writer.next().write_der(&time(self.ends));
                });
                self.subject(writer.next());
                writer.next().write_der(&self.key.subject_public_key_info());
                writer.next().write_tagged(Tag::context(3), extensions);
            });
        })
    }

    fn subject(&self, writer: DERWriter<'_>) {
        let groups = self
            .groups
            .iter()
            .map(|group| (ORGANISATION, group.as_str()));
        writer.write_sequence(|writer| {
            for (kind, text) in groups.chain([(COMMON_NAME, self.user)]) {
                writer.next().write_set(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(kind));
                        writer.next().write_utf8_string(text);
                    });
                });
            }
        });
    }
}

fn algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| {
        let kind = ObjectIdentifier::from_slice(ECDSA_WITH_SHA256);
        writer.next().write_oid(&kind);
    });
}

fn extensions(writer: DERWriter<'_>) {
    let usage = yasna::construct_der(|writer| writer.write_bitvec_bytes(USAGES.0, USAGES.1));
    let purpose = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer
                .next()
                .write_oid(&ObjectIdentifier::from_slice(CLIENT));
        });
    });
    writer.write_sequence(|writer| {
        writer.next().write_sequence(|writer| {
            writer
                .next()
                .write_oid(&ObjectIdentifier::from_slice(KEY_USAGE));
            writer.next().write_bool(true);
            writer.next().write_bytes(&usage);
        });
        writer.next().write_sequence(|writer| {
            writer
                .next()
                .write_oid(&ObjectIdentifier::from_slice(EXTENDED_KEY_USAGE));
            writer.next().write_bytes(&purpose);
        });
    });
}

/// The beginning of a day, as `UTCTime` or `GeneralizedTime`.
fn time(date: Date) -> Vec<u8> {
    let (tag, text) = if date.year() < LONG_YEARS {
        (0x17, date.strftime("%y%m%d000000Z").to_string())
    } else {
        (0x18, date.strftime("%Y%m%d000000Z").to_string())
    };
    let mut bytes = vec![tag, u8::try_from(text.len()).unwrap_or_default()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = behind;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}
