//! Whose token it is: what a token says is held against the objects it is about, so that it is worth
//! nothing once its service account, or the pod it was made for, is gone or another one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Identity, User,
    token::{Bound, Claims, ISSUER, LEEWAY, Reference, Untrusted},
};
use crate::{
    core::Core,
    object::{Name, meta_str},
    registry::collection,
};

/// What is said of whatever is no token of this server.
const INVALID: &str = "invalid bearer token";

/// What was shown: a token of a service account.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) user: User,
    /// For whom it is, of those who were asked about.
    pub(crate) audiences: Vec<String>,
}

/// The service account whose token this is, if it is valid at `now` for one of `audiences` (for this
/// server, if there are none), or why nobody is known by it, in the words of Kubernetes.
pub(crate) fn verified(
    core: &Core,
    identity: &Identity,
    token: &str,
    audiences: &[&str],
    now: Timestamp,
) -> Result<Verified, String> {
    let claims = match identity.tokens.verify(token, now.as_second()) {
        Err(Untrusted::Foreign) => return Err(INVALID.to_owned()),
        claims => claims.map_err(|why| why.to_string()),
    };
    claims
        .and_then(|claims| held(core, &claims, audiences, now))
        .map_err(|why| format!("[{INVALID}, {why}]"))
}

/// Holds what a token says against what was asked for, and against its objects.
fn held(
    core: &Core,
    claims: &Claims,
    audiences: &[&str],
    now: Timestamp,
) -> Result<Verified, String> {
    let wanted = if audiences.is_empty() {
        &[ISSUER]
    } else {
        audiences
    };
    let audiences: Vec<String> = claims
        .audiences
        .iter()
        .filter(|one| wanted.contains(&one.as_str()))
        .cloned()
        .collect();
    if audiences.is_empty() {
        return Err(format!(
            "token audiences {:?} is invalid for the target audiences {wanted:?}",
            claims.audiences
        ));
    }
    check_objects(core, &claims.bound, now)?;
    Ok(Verified {
        user: user(claims),
        audiences,
    })
}

/// Refuses a token one of whose objects is not the one it was made for any more.
fn check_objects(core: &Core, bound: &Bound, now: Timestamp) -> Result<(), String> {
    let namespace = &bound.namespace;
    check(core, "serviceaccounts", namespace, &bound.account, now).map_err(|why| match why {
        Gone::Missing => format!("serviceaccounts {:?} not found", bound.account.name),
        Gone::Other(uid) => format!(
            "service account UID ({uid}) does not match claim ({})",
            bound.account.uid
        ),
        Gone::Deleted => format!(
            "service account {namespace}/{} has been deleted",
            bound.account.name
        ),
    })?;
    // Nodes come and go with the platform; a token of a pod on one ends with the pod.
    let node = bound.node.as_ref().filter(|_| bound.pod.is_none());
    for (plural, word, namespace, reference) in [
        ("secrets", "secret", &**namespace, bound.secret.as_ref()),
        ("pods", "pod", namespace, bound.pod.as_ref()),
        ("nodes", "node", "", node),
    ] {
        let Some(reference) = reference else {
            continue;
        };
        check(core, plural, namespace, reference, now).map_err(|why| match why {
            Gone::Missing | Gone::Deleted => {
                "service account token has been invalidated".to_owned()
            }
            Gone::Other(uid) => format!(
                "{word} UID ({uid}) does not match service account {word} ref claim ({})",
                reference.uid
            ),
        })?;
    }
    Ok(())
}

/// Why an object is not the one that a token was made for.
enum Gone {
    Missing,
    /// There is another one of its name, with this uid.
    Other(String),
    /// It is being deleted, and its time is over.
    Deleted,
}

fn check(
    core: &Core,
    plural: &str,
    namespace: &str,
    reference: &Reference,
    now: Timestamp,
) -> Result<(), Gone> {
    let shelf = core.cache.shelf(&collection("", plural));
    let found = shelf.get(&Name::new(namespace, &reference.name));
    let found = found.ok_or(Gone::Missing)?;
    if *found.uid() != *reference.uid {
        return Err(Gone::Other(found.uid().to_string()));
    }
    if !found.head.deleting {
        return Ok(());
    }
    // A pod that is told to end has its token as long as it has time.
    let object = found.value().map_err(|_| Gone::Missing)?;
    let ends: Option<Timestamp> = meta_str(&object, "deletionTimestamp").parse().ok();
    let over = ends.is_none_or(|ends| ends.as_second() + LEEWAY < now.as_second());
    if over { Err(Gone::Deleted) } else { Ok(()) }
}

/// Who shows a token: the service account, and by what it is known.
fn user(claims: &Claims) -> User {
    let bound = &claims.bound;
    let mut extra = BTreeMap::new();
    let mut say = |key: &str, value: &str| {
        if !value.is_empty() {
            let key = format!("authentication.kubernetes.io/{key}");
            extra.insert(key, vec![value.to_owned()]);
        }
    };
    say("credential-id", &format!("JTI={}", claims.id));
    for (kind, reference) in [("pod", &bound.pod), ("node", &bound.node)] {
        if let Some(Reference { name, uid }) = reference {
            say(&format!("{kind}-name"), name);
            say(&format!("{kind}-uid"), uid);
        }
    }
    User {
        extra,
        ..User::account(&bound.namespace, &bound.account.name, &bound.account.uid)
    }
}
