//! What was refused, as text below the tree.

use std::fmt::Write as _;

use super::Refused;
use crate::{
    commands::yaml,
    failure::Result,
    terminal::{Style, paint},
    tree::Item,
};

/// How many of one binding are shown.
const SHOWN: usize = 8;

/// Everything that was refused in `items`, with what would allow it; nothing when nothing was.
pub(crate) fn text(items: &[Item], coloured: bool) -> Result<String> {
    let mut text = String::new();
    for item in items {
        below(item, &[], &mut text)?;
    }
    if text.is_empty() {
        return Ok(text);
    }
    Ok(format!(
        "\n{}\n{text}",
        paint("Refused:", Style::Strong, coloured)
    ))
}

fn below(item: &Item, around: &[&str], text: &mut String) -> Result {
    let path: Vec<&str> = around.iter().copied().chain([item.name.as_str()]).collect();
    for refused in item.refused.iter().take(SHOWN) {
        one(refused, &path.join("/"), text)?;
    }
    if let Some(more) = item
        .refused
        .len()
        .checked_sub(SHOWN)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(
            text,
            "  {}: {more} more, which --output json shows",
            path.join("/")
        );
    }
    item.children
        .iter()
        .try_for_each(|child| below(child, &path, text))
}

fn one(refused: &Refused, place: &str, text: &mut String) -> Result {
    let times = match refused.times {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let last = refused
        .last
        .map(|time| format!(", last {}", time.strftime("%Y-%m-%d %H:%M:%S UTC")));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "  {place}: {}, {times}{}",
        refused.to,
        last.unwrap_or_default()
    );
    let _ = writeln!(text, "    {}", refused.suggestion.advice);
    if let Some(declaration) = &refused.suggestion.declaration {
        for line in yaml(declaration)?.lines() {
            let _ = writeln!(text, "      {line}");
        }
    }
    Ok(())
}
