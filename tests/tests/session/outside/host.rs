//! A host of the test's own, in place of hosts outside: with a certificate of an authority that nobody else trusts.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// It ends with the test.
pub(super) struct Host {
    child: Child,
    /// Where it speaks plain text.
    pub(super) plain: SocketAddr,
    /// Where it speaks TLS.
    pub(super) secured: SocketAddr,
    /// Who certifies it, in PEM.
    pub(super) authority: String,
}

impl Host {
    /// Starts it with a certificate for `names`; files are in `folder`.
    pub(super) fn start(folder: &Path, names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Where both have one name, a certificate is taken for one that certifies itself.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let files = [
            ("host.pem", certificate.pem()),
            ("host.key", key.serialize_pem()),
        ]
        .map(|(name, text)| {
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            file
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_answers"))
            .arg("here")
            .args(files)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let (plain, secured) = line.trim().split_once(' ').unwrap();
        Self {
            child,
            plain: plain.parse().unwrap(),
            secured: secured.parse().unwrap(),
            authority: authority.pem(),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
