//! The goods.

use serde::{Deserialize, Serialize};

/// Something to buy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// What it costs, in cents.
    pub cents: u32,
    /// How many are on the shelf.
    pub stock: u32,
}

/// Everything the shop sells.
pub fn items() -> Vec<Item> {
    [
        ("Wooden spoon", 450, 12),
        ("Enamel mug", 990, 3),
        ("Linen towel", 1450, 0),
        ("Paper lamp", 3900, 5),
    ]
    .into_iter()
    .map(|(name, cents, stock)| Item {
        name: name.to_owned(),
        cents,
        stock,
    })
    .collect()
}

/// What to suggest: the cheapest things one can have today, at most two.
pub fn recommend(items: &[Item]) -> Vec<Item> {
    let mut available: Vec<Item> = items
        .iter()
        .filter(|item| item.stock > 0)
        .cloned()
        .collect();
    available.sort_by_key(|item| item.cents);
    available.truncate(2);
    available
}

/// What is running out.
pub fn short(items: &[Item]) -> Vec<&Item> {
    items.iter().filter(|item| item.stock < 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_cheap_and_available() {
        let names: Vec<_> = recommend(&items())
            .into_iter()
            .map(|item| item.name)
            .collect();
        assert_eq!(names, ["Wooden spoon", "Enamel mug"]);
    }

    #[test]
    fn what_runs_out_is_found() {
        let items = items();
        let names: Vec<_> = short(&items)
            .iter()
            .map(|item| item.name.as_str())
            .collect();
        assert_eq!(names, ["Enamel mug", "Linen towel"]);
    }
}
