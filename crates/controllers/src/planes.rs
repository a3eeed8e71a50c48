//! Which API is which data plane.

use std::collections::BTreeMap;

use choreo_model::reference::DataPlaneRef;
use choreo_writer::Cluster;

/// The APIs of data planes.
#[derive(Clone)]
pub struct Planes {
    clusters: Vec<Cluster>,
    named: BTreeMap<String, usize>,
}

impl Planes {
    /// One API for every data plane.
    pub fn all(cluster: impl Into<Cluster>) -> Self {
        Self {
            clusters: vec![cluster.into()],
            named: BTreeMap::new(),
        }
    }

    /// The same, with an API of its own for one plane: `namespace` is empty for a
    /// `ClusterDataPlane`.
    #[must_use]
    pub fn with(
        mut self,
        plane: &DataPlaneRef,
        namespace: &str,
        cluster: impl Into<Cluster>,
    ) -> Self {
        let name = format!("{}/{namespace}/{}", plane.kind, plane.name);
        self.named.insert(name, self.clusters.len());
        self.clusters.push(cluster.into());
        self
    }

    pub(crate) fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    pub(crate) fn homes(&self) -> BTreeMap<String, usize> {
        self.named.clone()
    }
}
