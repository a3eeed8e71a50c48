//! Following components until they are ready: one row per component and environment, looked at again
//! whenever something changes.

use std::collections::BTreeSet;

use choreo_model::{Component, ReleaseBinding, conditions, release::ReleaseBindingSpec};
use futures::{Stream, stream::select_all};
use kube::Client;
use tokio::time::Instant;

use crate::{
    failure::Result,
    store,
    terminal::{self, paint},
    tree::{self, Snapshot, State},
    view::View,
    waiting, width,
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

impl Row {
    /// The row in a sentence.
    pub(crate) fn words(&self) -> String {
        let place = format!("{} {}", self.component, self.environment);
        format!("{}: {}", place.trim_end(), width::one_line(&self.detail))
    }
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
fn settled(row: &Row) -> bool {
    matches!(row.state, State::Ready | State::Off)
}

/// Rows as lines.
pub(crate) fn lines(rows: &[Row], coloured: bool) -> Vec<String> {
    let widest = |of: fn(&Row) -> &str| rows.iter().map(|row| width::visible(of(row))).max();
    let first = widest(|row| &row.component).unwrap_or(0);
    let second = widest(|row| &row.environment).unwrap_or(0);
    rows.iter()
        .map(|row| {
            let (word, style) = tree::word(row.state);
            let line = format!(
                "  {}  {}  {} {}",
                width::pad(&row.component, first),
                width::pad(&row.environment, second),
                paint(&format!("{word:<7}"), style, coloured),
                width::one_line(&row.detail),
            );
            line.trim_end().to_owned()
        })
        .collect()
}

/// What to follow.
pub(crate) struct Scope {
    /// The namespaces whose components are shown.
    pub(crate) namespaces: Vec<String>,
    /// The components that are waited for.
    pub(crate) awaited: Awaited,
}

/// Which components are waited for.
#[derive(Debug, Clone)]
pub(crate) enum Awaited {
    /// These, as `project/component`.
    These(BTreeSet<String>),
    /// All except these in these environments, as long as they are in trouble: nobody asked to mend
    /// them.
    AllBut(BTreeSet<(String, String)>),
}

/// What following came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed {
    /// Every row.
    pub(crate) rows: Vec<Row>,
    /// Those waited for that are not ready.
    pub(crate) open: Vec<Row>,
    /// Those in trouble from the beginning, and still.
    pub(crate) broken: Vec<Row>,
}

impl Row {
    fn place(&self) -> (String, String) {
        (self.component.clone(), self.environment.clone())
    }
}

impl Awaited {
    /// All except what is not ready now. Bindings are asked, not pods: those of a platform that is
    /// just starting tell nothing yet.
    pub(crate) async fn all_but_broken(client: &Client, namespaces: &[String]) -> Result<Self> {
        let mut broken = in_trouble(&look(client, namespaces).await?);
        for namespace in namespaces {
            let bindings = store::list::<ReleaseBindingSpec>(client, namespace).await?;
            broken.extend(bindings.iter().filter(|it| !is_ready(it)).map(place));
        }
        Ok(Self::AllBut(broken))
    }

    /// Sorts rows by whether they are waited for.
    fn sort(&self, rows: Vec<Row>) -> Followed {
        let mut followed = Followed::default();
        for row in &rows {
            let (is_awaited, was_broken) = match self {
                Self::These(components) => (components.contains(&row.component), false),
                Self::AllBut(broken) => (true, broken.contains(&row.place())),
            };
            if was_broken && row.state == State::Failed {
                followed.broken.push(row.clone());
            } else if is_awaited && !settled(row) {
                followed.open.push(row.clone());
            }
        }
        followed.rows = rows;
        followed
    }
}

/// The places of rows in trouble.
fn in_trouble(rows: &[Row]) -> BTreeSet<(String, String)> {
    let broken = rows.iter().filter(|row| row.state == State::Failed);
    broken.map(Row::place).collect()
}

fn is_ready(binding: &ReleaseBinding) -> bool {
    let ready = conditions::find(&binding.status.conditions, conditions::types::READY);
    ready.is_some_and(|ready| ready.status == "True")
}

fn place(binding: &ReleaseBinding) -> (String, String) {
    let owner = &binding.spec.owner;
    let component = format!("{}/{}", owner.project_name, owner.line());
    (component, binding.spec.environment.clone())
}

async fn look(client: &Client, namespaces: &[String]) -> Result<Vec<Row>> {
    let mut found = Vec::new();
    for namespace in namespaces {
        found.extend(rows(&tree::collect(client, namespace).await?));
    }
    Ok(found)
}

/// Shows the components of namespaces until those waited for are ready or time is up; forever
/// without a deadline.
pub(crate) async fn follow(
    client: &Client,
    scope: &Scope,
    view: &mut View,
    deadline: Option<Instant>,
) -> Result<Followed> {
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
        let found = look(client, namespaces).await?;
        view.block(lines(&found, terminal::coloured()))?;
        let followed = scope.awaited.sort(found);
        if deadline.is_some() && followed.open.is_empty() {
            return Ok(followed);
        }
        if !change(&mut changes, end, view).await? {
            return Ok(followed);
        }
    }
}

/// Waits for the next change, while the view follows the size of the terminal.
async fn change(
    changes: &mut (impl Stream<Item = ()> + Unpin),
    end: Instant,
    view: &mut View,
) -> Result<bool> {
    let mut next = std::pin::pin!(waiting::next(changes, end));
    loop {
        tokio::select! {
            changed = &mut next => return Ok(changed),
            drawn = view.follow_size() => drawn?,
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
    }

    fn row(component: &str, state: State) -> Row {
        Row {
            component: component.to_owned(),
            environment: "development".to_owned(),
            state,
            detail: String::new(),
        }
    }

    fn open(awaited: &Awaited, now: &[Row]) -> Vec<String> {
        let open = awaited.sort(now.to_vec()).open.into_iter();
        open.map(|row| row.component).collect()
    }

    #[test]
    fn only_what_files_describe_is_waited_for() {
        let rows = [
            row("shop/web", State::Failed),
            row("shop/old", State::Waiting),
        ];
        let these = |name: &str| Awaited::These(BTreeSet::from([name.to_owned()]));
        assert_eq!(open(&these("shop/web"), &rows), ["shop/web"]);
        assert_eq!(open(&these("shop/new"), &rows), [""; 0]);
    }

    #[test]
    fn what_was_broken_before_is_not_waited_for() {
        let first = [
            row("shop/web", State::Ready),
            row("shop/old", State::Failed),
        ];
        let all = Awaited::AllBut(in_trouble(&first));
        assert_eq!(open(&all, &first), [""; 0]);
        let later = [
            row("shop/web", State::Failed),
            row("shop/old", State::Failed),
        ];
        assert_eq!(open(&all, &later), ["shop/web"], "what failed since is");
        let mending = [
            row("shop/web", State::Ready),
            row("shop/old", State::Waiting),
        ];
        assert_eq!(
            open(&all, &mending),
            ["shop/old"],
            "and what is being mended"
        );
    }
}
