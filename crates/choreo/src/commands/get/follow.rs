//! `choreo get --watch`: what is there, then every change, until interrupted or until the platform
//! ends. A watch that the API ends is begun again where it ended.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use kube::{Client, core::WatchEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{namespace, percent, query, show, tidy};
use crate::{
    cli::{Get, View},
    client,
    failure::Result,
    kinds::Resource,
    table::{self, Column, Layout, Row, Table},
    terminal,
};

/// What to watch, and from where on.
pub(super) struct Request {
    path: String,
    from: String,
}

impl Request {
    /// The changes of a collection, or of the one named object of it.
    pub(super) fn new(resource: &Resource, names: &[String], args: &Get, from: String) -> Self {
        let collection = resource.path(namespace(args));
        let selector = args.selector.as_deref().map(query);
        let mut path = collection + &selector.map_or_else(|| "?".to_owned(), |query| query + "&");
        if let [name] = names {
            path.extend(["fieldSelector=metadata.name%3D", &percent(name), "&"]);
        }
        Self { path, from }
    }

    /// Hands every change to `show`; the flag says whether it is a deletion. Ends only by failing.
    async fn run<T: Clone + DeserializeOwned>(
        mut self,
        client: &Client,
        accept: &str,
        version: impl Fn(&T) -> Option<String>,
        mut show: impl FnMut(T, bool) -> Result,
    ) -> Result {
        loop {
            let path = format!("{}watch=true&resourceVersion={}", self.path, self.from);
            let request = client::request(&path, accept)?;
            let events = client.request_events::<T>(request).await?;
            let mut events = std::pin::pin!(events);
            // A stream that breaks is begun again, which tells whether the platform is gone.
            while let Ok(Some(event)) = events.try_next().await {
                let (part, gone) = match event {
                    WatchEvent::Added(part) | WatchEvent::Modified(part) => (part, false),
                    WatchEvent::Deleted(part) => (part, true),
                    WatchEvent::Bookmark(mark) => {
                        self.from = mark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
                };
                self.from = version(&part).unwrap_or(self.from);
                show(part, gone)?;
            }
        }
    }
}

/// Rows under the titles of the first, each as wide as those before.
pub(super) struct Columns<'a> {
    definitions: Vec<Column>,
    layout: Layout<'a>,
    widths: Vec<usize>,
    /// What was last shown of each object, without its age.
    shown: BTreeMap<(String, String), Vec<Value>>,
}

impl<'a> Columns<'a> {
    /// Shows what is there now.
    pub(super) fn new(definitions: Vec<Column>, rows: &[Row], layout: Layout<'a>) -> Result<Self> {
        let mut columns = Self {
            definitions,
            layout,
            widths: Vec::new(),
            shown: BTreeMap::new(),
        };
        if !rows.is_empty() {
            columns.print(rows, "")?;
        }
        for row in rows {
            columns.is_news(row);
        }
        Ok(columns)
    }

    /// Shows rows as they change.
    pub(super) async fn follow(mut self, client: &Client, request: Request) -> Result {
        let version = |part: &Table| {
            let row = part.rows.as_ref()?.first()?;
            Some(row.object.metadata.resource_version.clone())
        };
        let show = |part: Table, gone| {
            let mut rows = part.rows.unwrap_or_default();
            if gone {
                for row in &rows {
                    self.forget(row);
                }
                // A list of names is for programs, which read nothing else.
                let mark = if self.is_of_names() {
                    ""
                } else {
                    "   (deleted)"
                };
                return self.print(&rows, mark);
            }
            rows.retain(|row| self.is_news(row));
            self.print(&rows, "")
        };
        request.run(client, table::ACCEPT, version, show).await
    }

    fn is_of_names(&self) -> bool {
        self.definitions.len() == 1
    }

    fn print(&mut self, rows: &[Row], mark: &str) -> Result {
        let titles = self.layout.titles && self.widths.is_empty();
        let lines = table::lines(
            &self.definitions,
            rows,
            Layout {
                titles,
                ..self.layout
            },
        );
        self.widths = table::widths(&lines, &self.widths);
        let text = table::align(&lines, &self.widths, titles && self.layout.coloured);
        let marked = text.lines().map(|line| format!("{line}{mark}\n"));
        terminal::print(&marked.collect::<String>())
    }

    /// Whether a row tells something new, more than its age.
    fn is_news(&mut self, row: &Row) -> bool {
        let cells = self.definitions.iter().zip(&row.cells);
        let lasting = cells.filter(|(column, _)| !column.name.eq_ignore_ascii_case("age"));
        let lasting: Vec<Value> = lasting.map(|(_, cell)| cell.clone()).collect();
        let before = self.shown.insert(place(row), lasting.clone());
        before != Some(lasting)
    }

    fn forget(&mut self, row: &Row) {
        self.shown.remove(&place(row));
    }
}

fn place(row: &Row) -> (String, String) {
    let metadata = &row.object.metadata;
    (metadata.namespace.clone(), metadata.name.clone())
}

/// Shows whole objects, one document each, and then each that changes.
pub(super) async fn objects(
    client: &Client,
    items: Vec<Value>,
    request: Request,
    view: View,
) -> Result {
    let show = |mut object: Value| {
        tidy(&mut object);
        if view == View::Yaml {
            terminal::line("---")?;
        }
        show(&object, view)
    };
    items.into_iter().try_for_each(show)?;
    let version = |object: &Value| {
        let version = object["metadata"]["resourceVersion"].as_str();
        version.map(str::to_owned)
    };
    request
        .run(client, "application/json", version, |object, _| {
            show(object)
        })
        .await
}
