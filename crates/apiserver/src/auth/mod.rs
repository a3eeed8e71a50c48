//! Who asks, and what they may do. The administrator may do everything; a service
//! account may do what roles bound to it allow, and nothing else.

pub(crate) mod rbac;
pub(crate) mod token;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::credentials::Credentials;

/// The group whose members may do everything.
pub(crate) const MASTERS: &str = "system:masters";
/// The group of all who are known.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// What the names of service accounts begin with.
const ACCOUNT: &str = "system:serviceaccount:";

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// Empty where there is nothing to tell two of the same name apart.
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    /// The administrator, and every part of this process.
    pub(crate) fn admin() -> Self {
        Self {
            name: "admin".to_owned(),
            uid: String::new(),
            groups: [MASTERS, AUTHENTICATED].map(str::to_owned).to_vec(),
        }
    }

    /// A service account.
    pub(crate) fn account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("{ACCOUNT}{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
        }
    }

    /// Whoever somebody else asks in the name of. Service accounts bring their groups.
    pub(crate) fn other(name: &str, groups: Vec<String>) -> Self {
        let mut user = match name
            .strip_prefix(ACCOUNT)
            .and_then(|rest| rest.split_once(':'))
        {
            Some((namespace, account)) if groups.is_empty() => {
                Self::account(namespace, account, "")
            }
            _ => Self {
                name: name.to_owned(),
                uid: String::new(),
                groups,
            },
        };
        if !user.groups.iter().any(|group| group == AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        user
    }

    /// As reviews tell it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        info
    }
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
    pub(crate) fn new(credentials: &Credentials, address: SocketAddr) -> Self {
        Self {
            authority: credentials.authority().to_owned(),
            address,
            tokens: token::Issuer::new(&credentials.secret()),
        }
    }
}
