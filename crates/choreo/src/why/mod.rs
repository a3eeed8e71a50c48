//! Why something is as it is: from an object to the objects it depends on, down to a cause that a person
//! can do something about. What to ask for and what an answer means are plain functions; only
//! [`trace`] talks to the API.

mod advice;
mod edges;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};
use serde::Serialize;
use serde_json::Value;

use self::edges::Ask;
use crate::{
    client,
    failure::Result,
    kinds::{self, Resource},
    tree::{Item, State},
};

/// How many steps lie between what was asked about and a cause.
const DEPTH: usize = 12;
/// How many causes of one object are followed.
const BREADTH: usize = 5;
/// How many warnings of one object are told.
const WARNINGS: usize = 3;

/// An object, how it is, and what made it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    /// The kind.
    pub(crate) kind: String,
    /// The namespace; empty for cluster-scoped objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
    /// The name.
    pub(crate) name: String,
    /// How it is.
    pub(crate) state: State,
    /// Why, as a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// Why, as a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// Since when, as the condition has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    /// The last warnings about it, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    /// The objects it is so because of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) because: Vec<Self>,
}

impl Link {
    /// The link as a line of a tree, with everything below it.
    pub(crate) fn item(&self) -> Item {
        let told = match (self.reason.as_str(), self.message.as_str()) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        };
        let warnings = self.warnings.iter().map(|warning| Item {
            kind: "event".to_owned(),
            name: String::new(),
            state: State::Off,
            detail: warning.clone(),
            refused: Vec::new(),
            children: Vec::new(),
        });
        Item {
            kind: self.kind.clone(),
            name: self.name.clone(),
            state: self.state,
            detail: told,
            refused: Vec::new(),
            children: self
                .because
                .iter()
                .map(Self::item)
                .chain(warnings)
                .collect(),
        }
    }

    /// What a person can do about all that is wrong, each once, the deepest first.
    pub(crate) fn advices(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.because.iter().flat_map(Self::advices).collect();
        all.extend(self.advice.as_deref());
        let mut seen = BTreeSet::new();
        all.retain(|advice| seen.insert(*advice));
        all
    }
}

/// Why `object`, which is of `resource`, is as it is.
pub(crate) async fn trace(client: &Client, resource: &Resource, object: Value) -> Result<Link> {
    let mut tracer = Tracer {
        client,
        resources: BTreeMap::new(),
        seen: BTreeSet::new(),
    };
    Box::pin(tracer.follow(resource.typed(object), 0)).await
}

/// Follows objects to others, each once.
struct Tracer<'a> {
    client: &'a Client,
    /// Kinds that were looked up.
    resources: BTreeMap<String, Option<Resource>>,
    seen: BTreeSet<String>,
}

impl Tracer<'_> {
    async fn follow(&mut self, object: Value, depth: usize) -> Result<Link> {
        let verdict = verdict::of(&object);
        let text = |pointer: &str| text(&object, pointer).to_owned();
        let mut link = Link {
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            state: verdict.state,
            reason: verdict.reason,
            message: verdict.message,
            since: verdict.since,
            warnings: Vec::new(),
            advice: None,
            because: Vec::new(),
        };
        self.seen.insert(text("/metadata/uid"));
        let is_well = matches!(link.state, State::Ready | State::Off);
        if is_well && !edges::speaks_for_itself_only(&link.kind) {
            return Ok(link);
        }
        if depth < DEPTH {
            link.because = self.causes(&object, &link, depth).await?;
        }
        if is_well {
            let worst = link.because.iter().map(|cause| cause.state).max();
            if let Some(worst) = worst {
                (link.state, link.reason, link.message) = (worst, String::new(), String::new());
            }
            return Ok(link);
        }
        if link.because.is_empty() {
            link.warnings = self.warnings(&object).await?;
            link.advice = advice::of(&object, &link);
        }
        Ok(link)
    }

    /// The objects that may be the cause and are not as they should be.
    async fn causes(&mut self, object: &Value, link: &Link, depth: usize) -> Result<Vec<Link>> {
        let mut causes = Vec::new();
        for ask in edges::of(object, &link.reason) {
            for found in self.ask(&ask).await? {
                if causes.len() == BREADTH || self.seen.contains(text(&found, "/metadata/uid")) {
                    continue;
                }
                let cause = Box::pin(self.follow(found, depth + 1)).await?;
                if !matches!(cause.state, State::Ready | State::Off) {
                    causes.push(cause);
                }
            }
        }
        Ok(causes)
    }

    /// The objects an ask is about, of those that are there.
    async fn ask(&mut self, ask: &Ask) -> Result<Vec<Value>> {
        let Some(resource) = self.resource(&ask.api_version, &ask.kind).await? else {
            return Ok(Vec::new());
        };
        let namespace = Some(ask.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let path = resource.path(namespace);
        let list: Value = client::get(self.client, &path, "application/json").await?;
        let items = list["items"].as_array().into_iter().flatten();
        Ok(items
            .filter(|item| ask.wants(item))
            .map(|item| resource.typed(item.clone()))
            .collect())
    }

    async fn resource(&mut self, api_version: &str, kind: &str) -> Result<Option<Resource>> {
        let type_ = format!("{api_version}/{kind}");
        if let Some(known) = self.resources.get(&type_) {
            return Ok(known.clone());
        }
        let found = kinds::of_object(self.client, api_version, kind).await?;
        self.resources.insert(type_, found.clone());
        Ok(found)
    }

    /// The last warnings about an object.
    async fn warnings(&self, object: &Value) -> Result<Vec<String>> {
        let events: Api<Event> = match text(object, "/metadata/namespace") {
            "" => Api::default_namespaced(self.client.clone()),
            namespace => Api::namespaced(self.client.clone(), namespace),
        };
        let selector = format!(
            "involvedObject.kind={},involvedObject.name={},type=Warning",
            text(object, "/kind"),
            text(object, "/metadata/name"),
        );
        let mut found = events
            .list(&ListParams::default().fields(&selector))
            .await?
            .items;
        found.sort_by_key(|event| event.metadata.resource_version.clone());
        let told = found.into_iter().rev().map(|event| {
            let count = event.series.as_ref().and_then(|series| series.count);
            let times = match count.or(event.count).unwrap_or(1) {
                0 | 1 => String::new(),
                times => format!(" ({times} times)"),
            };
            let reason = event.reason.unwrap_or_default();
            format!("{reason}: {}{times}", event.message.unwrap_or_default())
        });
        Ok(told.take(WARNINGS).collect())
    }
}

/// A text in an object; empty if it is not there.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
