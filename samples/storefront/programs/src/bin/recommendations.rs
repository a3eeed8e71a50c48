//! Answers GET /items with suggestions, which it makes of what the catalogue says.

use std::process::ExitCode;

use storefront::{Answer, Item, ended, fetch, recommend, serve};

fn main() -> ExitCode {
    ended(&serve(([0, 0, 0, 0], 8080).into(), |path| match path {
        "/items" => match fetch::<Vec<Item>>("CATALOG_URL", "/items") {
            Ok(items) => Answer::json(&recommend(&items)),
            Err(error) => Answer::trouble(&error),
        },
        _ => Answer::not_found(),
    }))
}
