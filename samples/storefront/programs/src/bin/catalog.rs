//! Answers GET /items with everything the shop sells, and GET /place with where that was said.

use std::process::ExitCode;

use storefront::{Answer, Place, ended, items, serve};

fn main() -> ExitCode {
    let place = Place::here();
    // The token itself is nobody's business; that it arrived is.
    let supplier = std::env::var("SUPPLIER_TOKEN").is_ok_and(|token| !token.is_empty());
    ended(&serve(
        ([0, 0, 0, 0], 8080).into(),
        move |path| match path {
            "/items" => Answer::json(&items()),
            "/place" => Answer::json(&place),
            "/supplier" => Answer::json(&supplier),
            _ => Answer::not_found(),
        },
    ))
}
