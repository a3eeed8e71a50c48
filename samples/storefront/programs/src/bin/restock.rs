//! Looks at the shelves once and says what runs out.

use std::{io::Write, process::ExitCode};

use storefront::{AskError, Item, ended, fetch, short};

fn main() -> ExitCode {
    ended(&look())
}

fn look() -> Result<(), AskError> {
    let items: Vec<Item> = fetch("CATALOG_URL", "/items")?;
    let mut out = std::io::stdout().lock();
    for item in short(&items) {
        // A log line that cannot be written is no reason to fail the run.
        let _ = writeln!(out, "order more of {}: {} left", item.name, item.stock);
    }
    let _ = writeln!(out, "looked at {} items", items.len());
    Ok(())
}
