//! Lists: one moment of a collection, whole or in pages.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    cache::{Forgotten, Snapshot},
    core::Core,
    object::{Name, Stored},
    registry::Served,
    selector::Selector,
    status::{Failure, Result},
};

/// How a version in a query is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    NotOlderThan,
    Exact,
}

/// What a list asks for.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) selector: Selector,
    pub(crate) limit: usize,
    pub(crate) resume: String,
    /// Empty if unset.
    pub(crate) version: String,
    pub(crate) matching: Option<Match>,
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) objects: Vec<Arc<Stored>>,
    /// Token of the next page.
    pub(crate) resume: Option<String>,
    pub(crate) remaining: Option<usize>,
}

/// Where the next page begins, in the words of Kubernetes' own tokens.
#[derive(Deserialize, Serialize)]
struct Token {
    #[serde(rename = "v")]
    encoding: String,
    /// Version of the first page; -1 to go on with whatever there is now.
    #[serde(rename = "rv")]
    version: i64,
    /// The key behind that of the last object of the page before.
    start: String,
}

/// The encoding of tokens.
const ENCODING: &str = "meta.k8s.io/v1";
/// The least that can be behind a key.
const BEHIND: char = '\0';

impl Token {
    fn read(text: &str) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let token: Option<Self> = bytes
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token
            .filter(|token| token.encoding == ENCODING)
            .ok_or_else(|| {
                Failure::bad_request("invalid continue token: continue key is not valid")
            })
    }

    fn write(version: i64, last: &Name) -> String {
        let token = Self {
            encoding: ENCODING.to_owned(),
            version,
            start: format!("{}/{}{BEHIND}", last.namespace, last.name),
        };
        // Numbers and strings always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// The last object of the page before.
    fn last(&self) -> Name {
        let key = self.start.trim_end_matches(BEHIND);
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        Name::new(namespace, name)
    }
}

/// A version of a query; unset and 0 mean "any".
pub(crate) fn parse_version(text: &str) -> Result<u64> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        Failure::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: must be a number"
        ))
    })
}

/// One page of the objects of a namespace; of all if it is empty.
pub(crate) fn list(core: &Core, kind: &Served, namespace: &str, query: &Query) -> Result<Page> {
    let token = match query.resume.as_str() {
        "" => None,
        text => Some(Token::read(text)?),
    };
    let is_first = token.is_none() && query.selector.is_empty() && query.limit > 0;
    if is_first && query.matching != Some(Match::Exact) {
        return first_page(core, kind, namespace, query);
    }
    let snapshot = snapshot(core, kind, namespace, query, token.as_ref())?;
    let after = token.as_ref().map(Token::last);
    let version = snapshot.version;
    let mut objects = snapshot.objects;
    if let Some(after) = &after {
        objects.drain(..objects.partition_point(|object| object.name() <= after));
    }
    if !query.selector.is_empty() {
        objects = selected(objects, &query.selector)?;
    }
    let mut remaining = 0;
    if query.limit > 0 {
        remaining = objects.len().saturating_sub(query.limit);
        objects.truncate(query.limit);
    }
    let page = Page::new(version, objects, remaining);
    let remaining = page.remaining.filter(|_| query.selector.is_empty());
    Ok(Page { remaining, ..page })
}

/// The first page of everything there is now. Clients that ask for little are many: this copies no
/// more than they get.
fn first_page(core: &Core, kind: &Served, namespace: &str, query: &Query) -> Result<Page> {
    let committed = reached(core, query)?;
    let shelf = core.shelf(kind);
    let (snapshot, all) = shelf.first(namespace, query.limit, committed);
    let remaining = all - snapshot.objects.len();
    Ok(Page::new(snapshot.version, snapshot.objects, remaining))
}

/// The newest version, if it is not older than the one asked for.
fn reached(core: &Core, query: &Query) -> Result<u64> {
    let (committed, wanted) = (core.cache.version(), parse_version(&query.version)?);
    if wanted > committed {
        return Err(Failure::version_too_large(wanted, committed));
    }
    Ok(committed)
}

impl Page {
    /// Objects behind which so many remain.
    fn new(version: u64, objects: Vec<Arc<Stored>>, remaining: usize) -> Self {
        let last = objects.last().filter(|_| remaining > 0);
        Self {
            version,
            resume: last
                .map(|last| Token::write(version.try_into().unwrap_or(i64::MAX), last.name())),
            remaining: (remaining > 0).then_some(remaining),
            objects,
        }
    }
}

fn selected(objects: Vec<Arc<Stored>>, selector: &Selector) -> Result<Vec<Arc<Stored>>> {
    let matched = objects.into_iter().map(|object| {
        let matches = selector.matches(&object)?;
        Ok(matches.then_some(object))
    });
    matched.filter_map(Result::transpose).collect()
}

fn snapshot(
    core: &Core,
    kind: &Served,
    namespace: &str,
    query: &Query,
    token: Option<&Token>,
) -> Result<Snapshot> {
    let shelf = core.shelf(kind);
    let committed = core.cache.version();
    let wanted = parse_version(&query.version)?;
    if let Some(token) = token {
        if wanted > 0 {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Failure::bad_request(why));
        }
        let Ok(version) = u64::try_from(token.version) else {
            return Ok(shelf.now(namespace, committed));
        };
        return shelf
            .then(namespace, version)
            .map_err(|Forgotten(_)| Failure::list_expired(Token::write(-1, &token.last())));
    }
    let committed = reached(core, query)?;
    if query.matching == Some(Match::Exact) {
        return shelf
            .then(namespace, wanted)
            .map_err(|Forgotten(oldest)| Failure::version_expired(wanted, oldest));
    }
    Ok(shelf.now(namespace, committed))
}
