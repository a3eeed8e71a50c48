//! Registry credentials as pull secrets hold them (`kubernetes.io/dockerconfigjson`).

use std::{collections::BTreeMap, fmt};

use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use super::{Error, Result, reference};

/// A user and password, or a token, for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "registrytoken")]
    token: Option<String>,
}

impl Credentials {
    /// A user and password.
    pub fn basic(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            secret: password.to_owned(),
        }
    }

    /// The credentials that a `.dockerconfigjson` document holds for the registry of a reference.
    /// The entry with the longest matching path wins.
    pub fn from_docker_config(document: &[u8], reference: &str) -> Result<Option<Self>> {
        // The parser's message could quote the document, which is secret.
        let document: Document = serde_json::from_slice(document)
            .map_err(|_| Error::corrupt("the pull secret", "it is not a docker configuration"))?;
        let image = reference::parse(reference)?;
        let full = format!("{}/{}", image.registry(), image.repository());
        let found = document
            .auths
            .iter()
            .filter(|(key, _)| covers(key, &full))
            .max_by_key(|(key, _)| key.len());
        found.map(|(key, entry)| entry.read(key)).transpose()
    }

    pub(super) fn auth(&self) -> RegistryAuth {
        if self.user.is_empty() {
            RegistryAuth::Bearer(self.secret.clone())
        } else {
            RegistryAuth::Basic(self.user.clone(), self.secret.clone())
        }
    }
}

impl Entry {
    fn read(&self, key: &str) -> Result<Credentials> {
        let bad = |reason: &str| Error::corrupt(format!("the pull secret's entry {key:?}"), reason);
        if let Some(token) = &self.token {
            return Ok(Credentials::basic("", token));
        }
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Ok(Credentials::basic(user, password));
        }
        let auth = self
            .auth
            .as_deref()
            .ok_or_else(|| bad("it holds neither `auth` nor user and password"))?;
        let decoded = serde_json::from_value::<k8s_openapi::ByteString>(auth.trim().into())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes.0).ok())
            .ok_or_else(|| bad("`auth` is not base64 text"))?;
        let (user, password) = decoded
            .split_once(':')
            .ok_or_else(|| bad("`auth` is not `user:password`"))?;
        Ok(Credentials::basic(user, password))
    }
}

/// Whether an entry's key stands for a repository (`registry/path`), segment by segment.
fn covers(key: &str, full: &str) -> bool {
    let bare = key
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    // The old name of the default registry, as `docker login` still writes it.
    let bare = match bare {
        "index.docker.io/v1" | "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    full.strip_prefix(bare)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reference: &str, expected: Option<(&str, &str)>) {
        let document = br#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmE6Yg=="},
            "registry.test:5000": {"username": "u", "password": "p"},
            "registry.test:5000/team": {"username": "team", "password": "t"}
        }}"#;
        let found = Credentials::from_docker_config(document, reference).unwrap();
        assert_eq!(found, expected.map(|(u, p)| Credentials::basic(u, p)));
    }

    #[test]
    fn the_closest_entry_wins() {
        check("nginx", Some(("hub", "a:b")));
        check("registry.test:5000/x:1", Some(("u", "p")));
        check("registry.test:5000/team/x:1", Some(("team", "t")));
        check("registry.test:5000/teams/x:1", Some(("u", "p")));
        check("other.test/x", None);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let error = Credentials::from_docker_config(
            br#"{"auths": {"docker.io": {"auth": "c2VjcmV0"}}}"#,
            "a",
        )
        .unwrap_err()
        .to_string();
        assert!(!error.contains("secret\""), "{error}");
        assert!(!format!("{:?}", Credentials::basic("u", "hunter2")).contains("hunter2"));
    }
}
