//! References from one object to another: whether they are allowed, and what they lead to.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::{
    GROUP, Issuer, Issuers,
    objects::{Grant, ObjectRef, Resource},
    status::Problem,
};

/// Something that is only looked at because an object refers to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A Secret, by namespace and name.
    Secret(String, String),
    /// A `ConfigMap`, by namespace and name.
    ConfigMap(String, String),
    /// What an issuer says of itself.
    Issuer(String),
}

/// What was found of [`Wanted`] objects.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Secrets, by namespace and name.
    pub secrets: BTreeMap<(String, String), Secret>,
    /// `ConfigMap`s, by namespace and name.
    pub config_maps: BTreeMap<(String, String), ConfigMap>,
    /// What issuers say of themselves, of those that were asked.
    pub issuers: Issuers,
}

/// Who refers to something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Referrer<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Referrer<'a> {
    /// A kind of the Gateway API.
    pub(super) fn of(kind: &'a str, namespace: &'a str) -> Self {
        Self {
            group: GROUP,
            kind,
            namespace,
        }
    }
}

/// What is referred to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// Follows references, and notes what has to be looked at for them.
pub(super) struct References<'a> {
    grants: &'a [Resource<Grant>],
    found: &'a Found,
    wanted: RefCell<BTreeSet<Wanted>>,
}

impl<'a> References<'a> {
    pub(super) fn new(grants: &'a [Resource<Grant>], found: &'a Found) -> Self {
        Self {
            grants,
            found,
            wanted: RefCell::default(),
        }
    }

    /// All that was asked for.
    pub(super) fn into_wanted(self) -> BTreeSet<Wanted> {
        self.wanted.into_inner()
    }

    /// Checks that a reference stays in its namespace or that the other one grants it.
    pub(super) fn check(&self, from: Referrer<'_>, to: Target<'_>) -> Result<(), Problem> {
        if from.namespace == to.namespace || self.granted(from, to) {
            return Ok(());
        }
        let message = format!(
            "no ReferenceGrant in namespace {} lets a {} of namespace {} use {} {}",
            to.namespace, from.kind, from.namespace, to.kind, to.name
        );
        Err(Problem::refs("RefNotPermitted", message))
    }

    fn granted(&self, from: Referrer<'_>, to: Target<'_>) -> bool {
        let here = self.grants.iter().filter(|g| g.namespace == to.namespace);
        here.into_iter().any(|grant| {
            let who = grant.spec.from.iter().any(|f| {
                f.group == from.group && f.kind == from.kind && f.namespace == from.namespace
            });
            let what = grant.spec.to.iter().any(|t| {
                t.group == to.group
                    && t.kind == to.kind
                    && t.name.as_deref().is_none_or(|name| name == to.name)
            });
            who && what
        })
    }

    /// The Secret that a reference names, if it is one, may be used and is there.
    pub(super) fn secret(
        &self,
        from: Referrer<'_>,
        reference: &ObjectRef,
        reason: &'static str,
    ) -> Result<&'a Secret, Problem> {
        let kind = reference.kind.as_deref().unwrap_or("Secret");
        let target = target(from, reference, kind);
        if !target.group.is_empty() || kind != "Secret" {
            let message = format!("{kind} {} is not a Secret", reference.name);
            return Err(Problem::refs(reason, message));
        }
        self.check(from, target)?;
        let key = (target.namespace.to_owned(), target.name.to_owned());
        let wanted = Wanted::Secret(key.0.clone(), key.1.clone());
        self.wanted.borrow_mut().insert(wanted);
        self.found.secrets.get(&key).ok_or_else(|| {
            let message = format!("Secret {}/{} does not exist", key.0, key.1);
            Problem::refs(reason, message)
        })
    }

    /// A value of the `ConfigMap` or Secret that a reference names.
    pub(super) fn text(
        &self,
        from: Referrer<'_>,
        reference: &ObjectRef,
        field: &str,
        reasons: TextReasons,
    ) -> Result<String, Problem> {
        let kind = reference.kind.as_deref().unwrap_or("ConfigMap");
        let target = target(from, reference, kind);
        let text = match (target.group, kind) {
            ("", "ConfigMap") => {
                let map = self.config_map(from, target, reasons.missing)?;
                map.data.as_ref().and_then(|data| data.get(field).cloned())
            }
            ("", "Secret") => value(self.secret(from, reference, reasons.missing)?, field),
            _ => {
                let message = format!("{kind} {} is neither ConfigMap nor Secret", target.name);
                return Err(Problem::refs(reasons.kind, message));
            }
        };
        text.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            let message = format!("{kind} {} has no {field}", target.name);
            Problem::refs(reasons.missing, message)
        })
    }

    /// What an issuer says of itself.
    pub(super) fn issuer(&self, name: &str) -> Result<&'a Issuer, String> {
        if name.is_empty() {
            return Err("the provider has neither endpoints nor an issuer".to_owned());
        }
        self.wanted
            .borrow_mut()
            .insert(Wanted::Issuer(name.to_owned()));
        match self.found.issuers.get(name) {
            Some(Ok(issuer)) => Ok(issuer),
            Some(Err(why)) => Err(format!(
                "issuer {name} does not say where its endpoints are: {why}"
            )),
            None => Err(format!(
                "issuer {name} is being asked where its endpoints are"
            )),
        }
    }

    fn config_map(
        &self,
        from: Referrer<'_>,
        target: Target<'_>,
        reason: &'static str,
    ) -> Result<&'a ConfigMap, Problem> {
        self.check(from, target)?;
        let key = (target.namespace.to_owned(), target.name.to_owned());
        let wanted = Wanted::ConfigMap(key.0.clone(), key.1.clone());
        self.wanted.borrow_mut().insert(wanted);
        self.found.config_maps.get(&key).ok_or_else(|| {
            let message = format!("ConfigMap {}/{} does not exist", key.0, key.1);
            Problem::refs(reason, message)
        })
    }
}

/// Why a text could not be had.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextReasons {
    /// The reference is to another kind.
    pub(super) kind: &'static str,
    /// The object or the text is not there.
    pub(super) missing: &'static str,
}

/// A text in a Secret.
pub(super) fn value(secret: &Secret, field: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(field)?;
    String::from_utf8(bytes.0.clone()).ok()
}

fn target<'r>(from: Referrer<'r>, reference: &'r ObjectRef, kind: &'r str) -> Target<'r> {
    Target {
        group: reference.group.as_deref().unwrap_or_default(),
        kind,
        namespace: reference.namespace.as_deref().unwrap_or(from.namespace),
        name: &reference.name,
    }
}
