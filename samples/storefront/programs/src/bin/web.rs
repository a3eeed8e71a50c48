//! The page of the shop.

use storefront::{Answer, Place, ServeError, Shop, fetch, render, serve};

fn main() -> Result<(), ServeError> {
    let here = Place::here();
    serve(([0, 0, 0, 0], 8080).into(), move |path| match path {
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
    })
}
