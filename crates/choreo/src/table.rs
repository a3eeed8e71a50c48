//! Columns as the API gives them for any kind (`as=Table`), and how they are laid out.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    terminal::{Style, paint},
    width,
};

/// Asks the API for columns instead of objects.
pub(crate) const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Objects as columns.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Table {
    /// Metadata of the list.
    pub(crate) metadata: Metadata,
    /// Columns; absent in the events of a watch after the first.
    pub(crate) column_definitions: Option<Vec<Column>>,
    /// Objects.
    pub(crate) rows: Option<Vec<Row>>,
}

/// A column.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    /// Its title.
    pub(crate) name: String,
    /// 0: always shown, else only with `-o wide`.
    #[serde(default)]
    pub(crate) priority: i32,
}

/// An object.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    /// One value per column.
    pub(crate) cells: Vec<Value>,
    /// The object's metadata.
    #[serde(default)]
    pub(crate) object: Object,
}

/// The part of an object that comes with a row.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Object {
    /// Its metadata.
    #[serde(default)]
    pub(crate) metadata: Metadata,
}

/// What is needed of metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    /// Name.
    pub(crate) name: String,
    /// Namespace.
    pub(crate) namespace: String,
    /// Version.
    pub(crate) resource_version: String,
}

/// What to show of a table.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one choice of the user"
)]
pub(crate) struct Layout<'a> {
    /// Columns of lower priority too.
    pub(crate) wide: bool,
    /// A first column with the namespace.
    pub(crate) namespaces: bool,
    /// Goes before every name, as `component.openchoreo.dev/`.
    pub(crate) prefix: &'a str,
    /// Whether titles are shown.
    pub(crate) titles: bool,
    /// Whether colours are wanted.
    pub(crate) coloured: bool,
}

/// Lays out rows under the titles of `columns`.
pub(crate) fn render(columns: &[Column], rows: &[Row], layout: Layout<'_>) -> String {
    let lines = lines(columns, rows, layout);
    let widths = widths(&lines, &[]);
    align(&lines, &widths, layout.titles && layout.coloured)
}

/// Rows as lines of cells, the first of which are the titles if they are wanted.
pub(crate) fn lines(columns: &[Column], rows: &[Row], layout: Layout<'_>) -> Vec<Vec<String>> {
    let shown: Vec<usize> = (0..columns.len())
        .filter(|at| layout.wide || columns[*at].priority == 0)
        .collect();
    let mut lines = Vec::new();
    if layout.titles {
        let titles = shown.iter().map(|at| columns[*at].name.to_uppercase());
        lines.push(
            layout
                .namespaces
                .then(|| "NAMESPACE".to_owned())
                .into_iter()
                .chain(titles)
                .collect(),
        );
    }
    for row in rows {
        let cells = shown
            .iter()
            .map(|at| cell(row.cells.get(*at), *at == 0, layout.prefix));
        let namespace = layout
            .namespaces
            .then(|| row.object.metadata.namespace.clone());
        lines.push(namespace.into_iter().chain(cells).collect());
    }
    lines
}

/// The width of every column, none narrower than it was `before`.
pub(crate) fn widths(lines: &[Vec<String>], before: &[usize]) -> Vec<usize> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    (0..columns.max(before.len()))
        .map(|at| {
            let cells = lines.iter().filter_map(|line| line.get(at));
            let widest = cells.map(|cell| width::visible(cell)).max();
            widest.max(before.get(at).copied()).unwrap_or_default()
        })
        .collect()
}

/// Lays out lines of cells under titles, the first of them.
pub(crate) fn aligned(lines: &[Vec<String>], faint_first: bool) -> String {
    align(lines, &widths(lines, &[]), faint_first)
}

/// Puts cells in columns, three spaces apart, with no space at the ends of lines.
pub(crate) fn align(lines: &[Vec<String>], widths: &[usize], faint_first: bool) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let padded: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, columns)| width::pad(cell, *columns))
            .collect();
        let joined = padded.join("   ");
        let style = if faint_first && number == 0 {
            Style::Faint
        } else {
            Style::Plain
        };
        text.push_str(&paint(joined.trim_end(), style, faint_first));
        text.push('\n');
    }
    text
}

fn cell(value: Option<&Value>, first: bool, prefix: &str) -> String {
    let text = match value {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.lines().next().unwrap_or_default().to_owned(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| cell(Some(item), false, ""))
                .collect();
            items.join(",")
        }
        Some(other) => other.to_string(),
    };
    if first {
        format!("{prefix}{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_wide_ones_hidden() {
        let table: Table = serde_json::from_value(json!({
            "columnDefinitions": [
                {"name": "Name", "priority": 0}, {"name": "Ready"}, {"name": "Node", "priority": 1},
            ],
            "rows": [
                {"cells": ["catalog", true, "n"], "object": {"metadata": {"namespace": "default"}}},
                {"cells": ["web", null, "n"], "object": {"metadata": {"namespace": "x"}}},
            ],
        }))
        .unwrap();
        let (columns, rows) = (table.column_definitions.unwrap(), table.rows.unwrap());
        let narrow = render(
            &columns,
            &rows,
            Layout {
                titles: true,
                ..Layout::default()
            },
        );
        assert_eq!(
            narrow,
            "NAME      READY\ncatalog   true\nweb       <none>\n"
        );
        let wide = Layout {
            wide: true,
            namespaces: true,
            prefix: "c/",
            ..Layout::default()
        };
        assert_eq!(
            render(&columns, &rows, wide),
            "default   c/catalog   true     n\nx         c/web       <none>   n\n"
        );
    }
}
