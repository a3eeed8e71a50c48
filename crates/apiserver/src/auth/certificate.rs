//! Who a client certificate is about: its common name is the user, its organisations
//! are the groups.

use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{AUTHENTICATED, User};

/// The user of a certificate that the authority signed, if it names one who may come from outside.
pub(crate) fn user(certificate: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let organisations = subject.iter_organization();
    let mut groups: Vec<String> = organisations
        .filter_map(|one| one.as_str().ok().map(str::to_owned))
        .collect();
    groups.push(AUTHENTICATED.to_owned());
    let user = User::new(name, groups);
    (!name.is_empty() && user.part().is_none()).then_some(user)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;
    use crate::Credentials;

    #[test]
    fn the_subject_is_the_user() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let credentials = Credentials::open(folder.path(), now).unwrap();
        for groups in [&[][..], &["devs"], &["ops, on call", "devs", "=#\\"]] {
            let mut groups: Vec<String> = groups.iter().map(|group| (*group).into()).collect();
            let (pem, _) = credentials.certify("jane", &groups, now, 7).unwrap();
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            groups.push(AUTHENTICATED.to_owned());
            assert_eq!(user(&certificate), Some(User::new("jane", groups)));
        }
        assert_eq!(user(b"nonsense"), None);
    }

    #[test]
    fn no_certificate_is_of_a_part_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let credentials = Credentials::open(folder.path(), now).unwrap();
        let (pem, _) = credentials
            .certify("system:choreo:controllers", &[], now, 7)
            .unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(user(&certificate), None);
    }
}
