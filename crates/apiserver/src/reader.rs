//! What is stored, as rules of the embedding program read it.

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::{access::Reader, convert::in_version, core::Core, object::Name, registry::Served};

impl Core {
    fn served(&self, group: &str, kind: &str) -> Option<Arc<Served>> {
        self.catalog().kind(group, kind).cloned()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Core")
    }
}

impl Reader for Core {
    fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let kind = self.served(group, kind)?;
        let stored = self.shelf(&kind).get(&Name::new(namespace, name))?;
        in_version(&kind, &stored).ok()
    }

    fn list(&self, group: &str, kind: &str, namespace: &str) -> Vec<Value> {
        let Some(kind) = self.served(group, kind) else {
            return Vec::new();
        };
        let stored = self.shelf(&kind).now(namespace, 0).objects;
        let objects = stored.iter().filter_map(|one| in_version(&kind, one).ok());
        objects.collect()
    }

    fn each_name(&self, group: &str, kind: &str, namespace: &str, visit: &mut dyn FnMut(&str)) {
        if let Some(kind) = self.served(group, kind) {
            self.shelf(&kind).each_name(namespace, visit);
        }
    }
}
