//! Which client reaches which data plane.

use std::collections::BTreeMap;

use choreo_model::reference::DataPlaneRef;

/// The clients of data planes.
#[derive(Clone)]
pub struct Planes {
    clients: Vec<kube::Client>,
    named: BTreeMap<String, usize>,
}

impl Planes {
    /// One client for every data plane.
    pub fn all(client: kube::Client) -> Self {
        Self {
            clients: vec![client],
            named: BTreeMap::new(),
        }
    }

    /// The same, with a client of its own for one plane: `namespace` is empty for a
    /// `ClusterDataPlane`.
    #[must_use]
    pub fn with(mut self, plane: &DataPlaneRef, namespace: &str, client: kube::Client) -> Self {
        let name = format!("{}/{namespace}/{}", plane.kind, plane.name);
        self.named.insert(name, self.clients.len());
        self.clients.push(client);
        self
    }

    pub(crate) fn clients(&self) -> &[kube::Client] {
        &self.clients
    }

    pub(crate) fn homes(&self) -> BTreeMap<String, usize> {
        self.named.clone()
    }
}
