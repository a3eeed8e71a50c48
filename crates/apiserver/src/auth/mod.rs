//! Who asks, and what they may do. The administrator may do everything; everybody
//! else may do what roles bound to them allow, and nothing else.

mod account;
mod aggregation;
pub(crate) mod certificate;
pub(crate) mod escalation;
pub(crate) mod policy;
pub(crate) mod rbac;
pub(crate) mod token;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

pub(crate) use account::verified;
pub(crate) use aggregation::{aggregate, cluster_roles, settle};

use serde_json::{Value, json};

use crate::credentials::{self, Credentials};

/// The group whose members may do everything.
pub(crate) const MASTERS: &str = "system:masters";
/// The group of all who are known.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group of all who showed nothing to be known by.
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of all who showed nothing to be known by.
const ANONYMOUS: &str = "system:anonymous";
/// What the names of service accounts begin with.
const ACCOUNT: &str = "system:serviceaccount:";
/// What the names of the parts of this program begin with. Nobody from outside gets such a name: not
/// by a certificate, and not by asking in the name of somebody else.
const PART: &str = "system:choreo:";

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name they are known by.
    pub name: String,
    /// Empty where there is nothing to tell two of the same name apart.
    pub uid: String,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody of whom nothing is known but a name and groups.
    pub fn new(name: impl Into<String>, groups: Vec<String>) -> Self {
        Self {
            name: name.into(),
            uid: String::new(),
            groups,
            extra: BTreeMap::new(),
        }
    }

    /// Whoever showed nothing to be known by.
    pub(crate) fn anonymous() -> Self {
        Self::new(ANONYMOUS, vec![UNAUTHENTICATED.to_owned()])
    }

    /// The administrator.
    pub(crate) fn admin() -> Arc<Self> {
        static ADMIN: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::master("admin")));
        Arc::clone(&ADMIN)
    }

    /// A part of this program, which may do everything.
    pub fn of_part(part: &str) -> Self {
        Self::master(format!("{PART}{part}"))
    }

    fn master(name: impl Into<String>) -> Self {
        Self::new(name, [MASTERS, AUTHENTICATED].map(str::to_owned).to_vec())
    }

    /// Which part of this program asks, if it is one.
    pub fn part(&self) -> Option<&str> {
        self.name.strip_prefix(PART)
    }

    /// A service account.
    pub(crate) fn account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            AUTHENTICATED.to_owned(),
        ];
        Self {
            uid: uid.to_owned(),
            ..Self::new(format!("{ACCOUNT}{namespace}:{name}"), groups)
        }
    }

    /// Whoever somebody else asks in the name of. Service accounts bring their groups,
    /// and who is known is in the group of all who are known.
    pub(crate) fn other(name: &str, groups: Vec<String>) -> Self {
        let mut user = match account_of(name) {
            Some((namespace, account)) if groups.is_empty() => {
                Self::account(namespace, account, "")
            }
            _ => Self::new(name, groups),
        };
        let (group, enough): (_, &[&str]) = if name == ANONYMOUS {
            (UNAUTHENTICATED, &[UNAUTHENTICATED])
        } else {
            (AUTHENTICATED, &[AUTHENTICATED, UNAUTHENTICATED])
        };
        if !user.groups.iter().any(|one| enough.contains(&&**one)) {
            user.groups.push(group.to_owned());
        }
        user
    }

    /// Whether they may do everything.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// As reviews tell it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

/// Namespace and name of the service account whose user name this is.
pub(crate) fn account_of(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(ACCOUNT)?.split_once(':')
}

/// What is known about the server from outside once it listens.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The certificate authority, as PEM.
    pub(crate) authority: String,
    pub(crate) address: SocketAddr,
    pub(crate) tokens: token::Issuer,
}

impl Identity {
    pub(crate) fn new(
        credentials: &Credentials,
        address: SocketAddr,
    ) -> Result<Self, credentials::Error> {
        Ok(Self {
            authority: credentials.authority().to_owned(),
            address,
            tokens: credentials.accounts()?,
        })
    }
}
