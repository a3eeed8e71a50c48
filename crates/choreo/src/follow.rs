//! Following components until they are ready: one row per component and environment, looked at again
//! whenever something changes.

use std::collections::BTreeSet;

use choreo_model::Component;
use futures::stream::select_all;
use kube::Client;
use tokio::time::Instant;

use crate::{
    failure::Result,
    terminal::{self, paint},
    tree::{self, Snapshot, State},
    view::View,
    waiting,
};

/// A row about a component in an environment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Row {
    /// `project/component`.
    pub(crate) component: String,
    /// The environment; empty while there is none.
    pub(crate) environment: String,
    /// How it is.
    pub(crate) state: State,
    /// An address, a schedule, or the reason.
    pub(crate) detail: String,
}

/// One row per component and environment it has a release in.
pub(crate) fn rows(snapshot: &Snapshot) -> Vec<Row> {
    snapshot
        .components
        .iter()
        .flat_map(|component| of_component(snapshot, component))
        .collect()
}

fn of_component(snapshot: &Snapshot, component: &Component) -> Vec<Row> {
    let project = &component.spec.owner.project_name;
    let label = format!("{project}/{}", component.name());
    let row = |environment: String, state, detail| Row {
        component: label.clone(),
        environment,
        state,
        detail,
    };
    let rows: Vec<Row> = tree::bindings(snapshot, project, component.name())
        .into_iter()
        .filter(|item| item.state != State::Off)
        .map(|item| row(item.name, item.state, item.detail))
        .collect();
    let own = tree::component(snapshot, component);
    if rows.is_empty() && component.spec.auto_deploy {
        let state = own.state.max(State::Waiting);
        let detail = if own.state == State::Off {
            "waiting for its first release".to_owned()
        } else {
            own.detail
        };
        return vec![row(String::new(), state, detail)];
    }
    rows
}

/// Whether nothing is left to wait for.
pub(crate) fn settled(rows: &[Row]) -> bool {
    rows.iter()
        .all(|row| matches!(row.state, State::Ready | State::Off))
}

/// Rows as lines.
pub(crate) fn lines(rows: &[Row], coloured: bool) -> Vec<String> {
    let width = |of: fn(&Row) -> &str| {
        rows.iter()
            .map(|row| of(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.component), width(|row| &row.environment));
    rows.iter()
        .map(|row| {
            let (word, style) = tree::word(row.state);
            let line = format!(
                "  {:<first$}  {:<second$}  {} {}",
                row.component,
                row.environment,
                paint(&format!("{word:<7}"), style, coloured),
                row.detail,
            );
            line.trim_end().to_owned()
        })
        .collect()
}

/// What to follow.
pub(crate) struct Scope {
    /// The namespaces whose components are shown.
    pub(crate) namespaces: Vec<String>,
    /// The components that are waited for, as `project/component`; all when there are none.
    pub(crate) components: BTreeSet<String>,
}

impl Scope {
    /// The rows that are waited for and not ready.
    pub(crate) fn open<'a>(&'a self, rows: &'a [Row]) -> impl Iterator<Item = &'a Row> {
        rows.iter().filter(|row| {
            (self.components.is_empty() || self.components.contains(&row.component))
                && !settled(std::slice::from_ref(row))
        })
    }
}

/// Shows the components of namespaces until those waited for are ready or time is up; forever
/// without a deadline.
pub(crate) async fn follow(
    client: &Client,
    scope: &Scope,
    view: &mut View,
    deadline: Option<Instant>,
) -> Result<Vec<Row>> {
    let namespaces = &scope.namespaces;
    let mut changes = select_all(
        namespaces
            .iter()
            .map(|namespace| waiting::changes(client, namespace)),
    );
    // Far enough away to be never.
    let end =
        deadline.unwrap_or_else(|| Instant::now() + std::time::Duration::from_hours(24 * 365));
    loop {
        let mut found = Vec::new();
        for namespace in namespaces {
            found.extend(rows(&tree::collect(client, namespace).await?));
        }
        view.block(lines(&found, terminal::coloured()))?;
        if deadline.is_some() && scope.open(&found).next().is_none() {
            return Ok(found);
        }
        if !waiting::next(&mut changes, end).await {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned() {
        let row = |component: &str, environment: &str, state, detail: &str| Row {
            component: component.to_owned(),
            environment: environment.to_owned(),
            state,
            detail: detail.to_owned(),
        };
        let rows = [
            row("shop/catalog", "development", State::Ready, "http://x/"),
            row(
                "shop/web",
                "",
                State::Waiting,
                "waiting for its first release",
            ),
        ];
        assert_eq!(
            lines(&rows, false),
            [
                "  shop/catalog  development  Ready   http://x/",
                "  shop/web                   Waiting waiting for its first release",
            ]
        );
        assert!(!settled(&rows));
        assert!(settled(&rows[..1]));
        let scope = |components: &[&str]| Scope {
            namespaces: Vec::new(),
            components: components.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert_eq!(scope(&[]).open(&rows).count(), 1);
        assert_eq!(scope(&["shop/web"]).open(&rows).count(), 1);
        let others = scope(&["shop/catalog"]);
        assert_eq!(others.open(&rows).count(), 0, "others are not waited for");
    }
}
