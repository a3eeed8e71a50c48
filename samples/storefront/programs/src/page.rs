//! The page, as one function of what is known.

use crate::{Item, Place};

/// Everything the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// What there is to buy, or why nobody knows.
    pub items: Result<Vec<Item>, String>,
    /// What is suggested, or why nobody knows.
    pub suggestions: Result<Vec<Item>, String>,
    /// Where the catalogue runs.
    pub catalog: Option<Place>,
    /// Where the page itself runs.
    pub here: Place,
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 16%, transparent); }
* { box-sizing: border-box; }
body { font: 17px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 3rem 1.25rem; }
h1 { font-size: 2.2rem; margin: 0; letter-spacing: -.02em; }
.banner { color: #a2542b; margin: .25rem 0 2rem; }
h2 { font-size: 1rem; font-weight: 600; margin: 2.5rem 0 .5rem; opacity: .7; }
ul { list-style: none; padding: 0; margin: 0; border-top: 1px solid var(--line); }
li { display: flex; gap: 1rem; padding: .7rem 0; border-bottom: 1px solid var(--line); }
li b { flex: 1; font-weight: 500; }
.sold { opacity: .45; }
.trouble { color: #b3261e; }
footer { margin-top: 3rem; font-size: .85rem; opacity: .65; }
code { font-size: .95em; }
";

/// Renders the page.
pub fn render(shop: &Shop) -> String {
    let banner = shop.catalog.as_ref().map_or("", |place| &place.banner);
    let catalog = shop.catalog.as_ref().map_or_else(
        || "somewhere unknown".to_owned(),
        |place| format!("<code>{}</code>", escape(&place.host)),
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Storefront</title>\n<style>{STYLE}</style>\n\
         <h1>Storefront</h1>\n<p class=\"banner\">{}</p>\n\
         <h2>On the shelf</h2>\n{}<h2>You may like</h2>\n{}\
         <footer>This page runs in <code>{}</code>; the catalogue answered from {catalog}.</footer>\n</html>\n",
        escape(banner),
        list(&shop.items),
        list(&shop.suggestions),
        escape(&shop.here.host),
    )
}

fn list(items: &Result<Vec<Item>, String>) -> String {
    match items {
        Ok(items) => {
            let lines: String = items.iter().map(line).collect();
            format!("<ul>\n{lines}</ul>\n")
        }
        Err(why) => format!("<p class=\"trouble\">{}</p>\n", escape(why)),
    }
}

fn line(item: &Item) -> String {
    let (class, stock) = match item.stock {
        0 => (" class=\"sold\"", "sold out".to_owned()),
        count => ("", format!("{count} left")),
    };
    format!(
        "<li{class}><b>{}</b><span>{stock}</span><span>{}.{:02}</span></li>\n",
        escape(&item.name),
        item.cents / 100,
        item.cents % 100
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> Place {
        Place {
            host: host.to_owned(),
            banner: "Sale & more".to_owned(),
        }
    }

    #[test]
    fn the_page_shows_goods_prices_and_places() {
        let shop = Shop {
            items: Ok(crate::items()),
            suggestions: Err("recommendations does <not> answer".to_owned()),
            catalog: Some(place("catalog-1")),
            here: place("web-1"),
        };
        let page = render(&shop);
        for part in [
            "<b>Enamel mug</b><span>3 left</span><span>9.90</span>",
            "sold out",
            "Sale &amp; more",
            "recommendations does &lt;not&gt; answer",
            "<code>web-1</code>",
            "<code>catalog-1</code>",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }
}
