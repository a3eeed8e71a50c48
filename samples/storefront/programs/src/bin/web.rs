//! The page of the shop.

use std::process::ExitCode;

use storefront::{Answer, Place, Shop, ended, fetch, render, serve};

fn main() -> ExitCode {
    let here = Place::here();
    ended(&serve(
        ([0, 0, 0, 0], 8080).into(),
        move |path| match path {
            "/" => {
                let shop = Shop {
                    items: fetch("CATALOG_URL", "/items").map_err(|error| error.to_string()),
                    suggestions: fetch("RECOMMENDATIONS_URL", "/items")
                        .map_err(|error| error.to_string()),
                    catalog: fetch("CATALOG_URL", "/place").ok(),
                    here: here.clone(),
                };
                Answer::html(render(&shop))
            }
            _ => Answer::not_found(),
        },
    ))
}
