//! API keys and passwords, which are in Secrets: what is changed there counts at once.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{typed, why};
use crate::gateway::{
    matching::check_token,
    objects::ObjectRef,
    references::{References, Referrer, value},
};

/// The annotation of a Secret of keys that says what clients are called by what is behind the gateway, as JSON: so
/// that one who has two keys for a while is known by one name. Elsewhere they are known by their own.
const NAMES: &str = "node.choreo.dev/client-names";
/// The field of a Secret that holds users and the hashes of their passwords.
const USERS: &str = ".htpasswd";

/// `apiKeyAuth`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct ApiKeys {
    credential_refs: Vec<ObjectRef>,
    extract_from: Vec<ExtractFrom>,
    #[serde(rename = "forwardClientIDHeader")]
    forward_client_id_header: Option<String>,
    sanitize: Option<bool>,
}

/// Where a request shows its key.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExtractFrom {
    headers: Vec<String>,
    params: Vec<String>,
    cookies: Vec<String>,
}

/// `basicAuth`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct BasicAuth {
    users: ObjectRef,
}

/// What Envoy's filter for keys is told. Of each Secret, fields are clients and values their keys.
pub(super) fn api_keys(
    keys: &ApiKeys,
    from: Referrer<'_>,
    references: &References<'_>,
) -> Result<Value, String> {
    let mut credentials = Vec::new();
    let (mut known, mut keys_of) = (BTreeSet::new(), BTreeSet::new());
    for reference in &keys.credential_refs {
        let secret = references
            .secret(from, reference, "InvalidSecret")
            .map_err(why)?;
        let names = names(
            secret
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(NAMES)),
        )
        .map_err(|why| format!("Secret {}: annotation {NAMES} {why}", reference.name))?;
        for client in secret.data.iter().flat_map(BTreeMap::keys) {
            let key = value(secret, client).map(|key| key.trim().to_owned());
            let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
                format!("Secret {}: the key of {client} is no text", reference.name)
            })?;
            // Envoy refuses a key that two clients have; Envoy Gateway drops the second of a client.
            if !keys_of.insert(client) || !known.insert(key.clone()) {
                return Err(format!(
                    "Secret {}: client {client} or its key is there twice",
                    reference.name
                ));
            }
            let name = names.get(client).unwrap_or(client);
            credentials.push(json!({"key": key, "client": name}));
        }
    }
    let mut sources = Vec::new();
    for from in &keys.extract_from {
        for (field, names) in [
            ("header", &from.headers),
            ("query", &from.params),
            ("cookie", &from.cookies),
        ] {
            for name in names {
                check_token("API key source", name).map_err(why)?;
                sources.push(json!({field: name}));
            }
        }
    }
    if sources.is_empty() {
        return Err("apiKeyAuth.extractFrom names no header, parameter or cookie".to_owned());
    }
    let mut forwarding = json!({"hide_credentials": keys.sanitize.unwrap_or(false)});
    if let Some(header) = &keys.forward_client_id_header {
        check_token("header", header).map_err(why)?;
        // Envoy's filter takes the name as it is, and its headers are in small letters.
        forwarding["header"] = json!(header.to_ascii_lowercase());
    }
    let fields = json!({
        "credentials": credentials, "key_sources": sources, "forwarding": forwarding,
    });
    Ok(typed("api_key_auth.v3.ApiKeyAuthPerRoute", fields))
}

/// What clients are called.
fn names(said: Option<&String>) -> Result<BTreeMap<String, String>, String> {
    let Some(said) = said else {
        return Ok(BTreeMap::new());
    };
    let names: BTreeMap<String, String> =
        serde_json::from_str(said).map_err(|_| "is no JSON object of texts".to_owned())?;
    for name in names.values() {
        check_token("name of a client", name).map_err(why)?;
    }
    Ok(names)
}

/// What Envoy's filter for passwords is told.
pub(super) fn basic_auth(
    basic: &BasicAuth,
    from: Referrer<'_>,
    references: &References<'_>,
) -> Result<Value, String> {
    let secret = references
        .secret(from, &basic.users, "InvalidSecret")
        .map_err(why)?;
    let name = &basic.users.name;
    let users = value(secret, USERS).ok_or_else(|| format!("Secret {name} has no {USERS}"))?;
    let users = checked(&users).map_err(|why| format!("Secret {name}: {why}"))?;
    let fields = json!({"users": {"inline_string": users}});
    Ok(typed("basic_auth.v3.BasicAuthPerRoute", fields))
}

/// Lines of `user:{SHA}hash`, the one form that Envoy reads: it refuses all routes for any other.
fn checked(text: &str) -> Result<String, String> {
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sound = line.split_once(':').filter(|(user, hash)| {
            let digest = hash.strip_prefix("{SHA}");
            let digest = digest.and_then(|digest| BASE64_STANDARD.decode(digest).ok());
            !user.is_empty() && digest.is_some_and(|digest| digest.len() == 20)
        });
        let Some((user, _)) = sound else {
            return Err("a line is not user:{SHA}hash, as htpasswd -s writes it".to_owned());
        };
        if !seen.insert(user) {
            return Err(format!("user {user} is there twice"));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(format!("{USERS} names no user"));
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_called_as_it_is_said() {
        assert_eq!(names(None), Ok(BTreeMap::new()));
        let said = |text: &str| names(Some(&text.to_owned()));
        let wanted = [("a.previous".to_owned(), "a".to_owned())];
        assert_eq!(said(r#"{"a.previous": "a"}"#), Ok(wanted.into()));
        for bad in ["a", "[]", r#"{"a": 1}"#, r#"{"a": "b\nc"}"#, r#"{"a": ""}"#] {
            assert!(said(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_are_what_envoy_reads() {
        let good = "a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=";
        assert_eq!(checked(&format!("# x\n\n{good} \n")).unwrap(), good);
        for bad in [
            "",
            "a",
            "a:plain",
            "a:{SHA}x",
            ":{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
        assert!(checked(&format!("{good}\n{good}")).is_err());
    }
}
