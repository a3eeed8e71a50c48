//! What is measured, and how it is written.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::Serialize;

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What it tells, in words joined by dashes.
    #[serde(rename = "figure")]
    pub(crate) name: Cow<'static, str>,
    /// The number.
    pub(crate) value: f64,
    /// What it counts.
    pub(crate) unit: &'static str,
    /// What it should not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<f64>,
}

impl Figure {
    /// A figure without a goal.
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            goal: None,
        }
    }

    /// The same with what it should not exceed.
    pub(crate) fn at_most(self, goal: f64) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }
}

/// Writes one line for each figure.
pub(crate) fn print(figures: &[Figure], out: &mut impl Write) -> io::Result<()> {
    for one in figures {
        write!(out, "{} {:.2} {}", one.name, one.value, one.unit)?;
        match one.goal {
            Some(goal) => writeln!(out, " (goal: at most {goal} {})", one.unit)?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// The middle of what was measured; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_whatever_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn lines_are_figure_value_unit() {
        let figures = [
            Figure::new("size-of-program", 12.345, "MB"),
            Figure::new("api-ready", 0.1, "s").at_most(0.5),
        ];
        let mut out = Vec::new();
        print(&figures, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "size-of-program 12.35 MB\napi-ready 0.10 s (goal: at most 0.5 s)\n"
        );
    }
}
