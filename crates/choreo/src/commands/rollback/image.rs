//! Deployments by their image: a history names releases, and each of these has an image. Of a release
//! that is kept no longer the image is not known, and it could not come back either.

use std::collections::BTreeMap;

use choreo_model::{
    DeploymentRecord,
    history::{Action, Outcome},
    release::ComponentReleaseSpec,
};
use kube::Client;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    store,
};

/// The images of releases, by their names.
#[derive(Debug, Default)]
pub(in crate::commands) struct Images(BTreeMap<String, String>);

impl Images {
    /// The images of the releases of a namespace.
    pub(in crate::commands) async fn read(client: &Client, namespace: &str) -> Result<Self> {
        let releases = store::list::<ComponentReleaseSpec>(client, namespace).await?;
        let pair = |release: &choreo_model::ComponentRelease| {
            let image = release.spec.workload.container.image.clone();
            (release.name().to_owned(), image)
        };
        Ok(Self(releases.iter().map(pair).collect()))
    }

    fn of(&self, record: &DeploymentRecord) -> Option<&str> {
        let deployed = ![Action::Undeploy, Action::Delete].contains(&record.spec.action);
        let image = self.0.get(&record.spec.release).filter(|_| deployed);
        image.map(String::as_str)
    }

    /// Whether a deployment of `records` had the image.
    pub(in crate::commands) fn has(&self, records: &[DeploymentRecord], image: &str) -> bool {
        records.iter().any(|record| self.of(record) == Some(image))
    }

    /// The newest of `records`, which are in the order of their age, that had the image and is not as
    /// it is `now`; one that succeeded, if there is one.
    pub(super) fn newest<'r>(
        &self,
        records: &'r [DeploymentRecord],
        image: &str,
        now: impl Fn(&DeploymentRecord) -> bool,
    ) -> Result<&'r DeploymentRecord> {
        let had = |record: &&DeploymentRecord| self.of(record) == Some(image);
        let had: Vec<&DeploymentRecord> = records.iter().rev().filter(had).collect();
        let mut earlier = had.iter().copied().filter(|record| !now(record));
        let good = |record: &&DeploymentRecord| record.status.outcome == Some(Outcome::Succeeded);
        let found = earlier.clone().find(good).or_else(|| earlier.next());
        found.ok_or_else(|| {
            if had.is_empty() {
                let message = format!("no deployment there had image {image}");
                Failure::new(Exit::NotFound, message).hint(self.known(records))
            } else {
                let message = format!("image {image} is what is deployed now, like that");
                Failure::new(Exit::Conflict, message).hint(self.known(records))
            }
        })
    }

    /// The images there were, the newest first, each with the last deployment that had it.
    fn known(&self, records: &[DeploymentRecord]) -> String {
        let mut known: Vec<(&str, i64)> = Vec::new();
        for record in records.iter().rev() {
            if let Some(image) = self.of(record)
                && known.iter().all(|(other, _)| *other != image)
            {
                known.push((image, record.spec.sequence));
            }
        }
        let listed: Vec<String> = known
            .iter()
            .map(|(image, number)| format!("{image} (deployment {number})"))
            .collect();
        if listed.is_empty() {
            "of none of its deployments is the release still kept".to_owned()
        } else {
            format!("there were: {}", listed.join(", "))
        }
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Images {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let owned = pairs.map(|(release, image)| (release.to_owned(), image.to_owned()));
        Self(owned.into_iter().collect())
    }
}
