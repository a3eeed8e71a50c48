//! Who knows which names.

use std::collections::BTreeMap;

use super::{
    Cells,
    declared::{self, Component, DECLARED, PORTS},
};
use crate::world::World;

impl World {
    /// A cell knows its own names, and those of what some component of it reaches.
    pub(super) async fn names_are_those_that_are_reached(&self, cells: &Cells) {
        let argv: Vec<String> = ["names".to_owned()]
            .into_iter()
            .chain(DECLARED.iter().map(Component::service_name))
            .collect();
        for from in &DECLARED {
            let told = self.tell(cells, &from.uid(), &argv).await;
            let found: BTreeMap<&str, &str> = told
                .lines()
                .map(|line| line.split_once(' ').unwrap())
                .collect();
            for to in &DECLARED {
                let cell = DECLARED.iter().filter(|one| one.cell() == from.cell());
                let mut cell = cell.flat_map(|one| PORTS.map(|port| (one, port)));
                let known = from.cell() == to.cell()
                    || cell.any(|(one, port)| declared::may(one, to, port));
                let expected = if known {
                    declared::service(to).to_string()
                } else {
                    "NXDOMAIN".to_owned()
                };
                let name = to.service_name();
                assert_eq!(found[name.as_str()], expected, "{name} for {from:?}");
            }
        }
    }
}
