//! `choreo audit verify`: whether the records of deployments are as they were written.

use std::{collections::BTreeMap, time::Duration};

use choreo_compiler::history::{Broken, Recorded, verify};
use choreo_model::{
    DeploymentRecord, Object, Spec,
    history::{DeploymentRecordSpec, HistoryHead},
    project::ProjectReleaseBindingSpec,
    release::ReleaseBindingSpec,
    resource::ResourceReleaseBindingSpec,
};
use kube::Client;
use serde_json::json;

use crate::{
    cli::{Format, Verify},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    store, terminal,
};

/// A deployment under way is read in pieces of different moments. What is wrong stays wrong.
const LOOKS: usize = 3;
/// How long it takes until a deployment has gone on.
const PAUSE: Duration = Duration::from_millis(300);

/// Runs `choreo audit verify`.
pub(crate) async fn run(folder: &Folder, args: &Verify) -> Result {
    let client = client::connect(folder).await?;
    let namespace = (!args.all_namespaces).then_some(args.namespace.namespace.as_str());
    let found = examine(&client, namespace).await?;
    match args.output {
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &found.data())?,
        Format::Text => {
            for (place, broken) in &found.broken {
                terminal::line(format!("{place} {broken}"))?;
            }
            if found.broken.is_empty() {
                let (records, histories) = (found.records, found.histories);
                terminal::line(format!(
                    "{records} records of {histories} histories are as they were written"
                ))?;
            }
        }
    }
    match found.broken.len() {
        0 => Ok(()),
        count => Err(Failure::new(
            Exit::Broken,
            format!(
                "{count} of {} histories are not as they were written",
                found.histories
            ),
        )
        .hint("compare with a backup: `choreo history --output yaml` prints records whole")),
    }
}

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    records: usize,
    histories: usize,
    /// What is wrong, with the namespace it is in.
    pub(crate) broken: Vec<(String, Broken)>,
}

impl Found {
    fn data(&self) -> serde_json::Value {
        let broken: Vec<_> = (self.broken.iter())
            .map(|(namespace, broken)| {
                json!({"namespace": namespace, "record": broken.record, "problem": broken.problem})
            })
            .collect();
        json!({"records": self.records, "histories": self.histories, "broken": broken})
    }
}

/// Checks every history of a namespace, or of all.
pub(crate) async fn examine(client: &Client, namespace: Option<&str>) -> Result<Found> {
    let mut found = look(client, namespace).await?;
    for _ in 1..LOOKS {
        if found.broken.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let again = look(client, namespace).await?;
        let mut broken = again.broken;
        broken.retain(|one| found.broken.contains(one));
        found = Found { broken, ..again };
    }
    Ok(found)
}

/// Bindings by their identifiers, and records, of a namespace.
#[derive(Default)]
struct Place {
    records: Vec<DeploymentRecord>,
    bindings: BTreeMap<String, Recorded>,
    unreadable: Vec<Broken>,
}

async fn look(client: &Client, namespace: Option<&str>) -> Result<Found> {
    let mut places = BTreeMap::new();
    bindings::<ReleaseBindingSpec>(client, namespace, &mut places, |status| &status.history)
        .await?;
    bindings::<ProjectReleaseBindingSpec>(client, namespace, &mut places, |status| &status.history)
        .await?;
    bindings::<ResourceReleaseBindingSpec>(client, namespace, &mut places, |status| {
        &status.history
    })
    .await?;
    records(client, namespace, &mut places).await?;
    let mut found = Found::default();
    for (namespace, place) in places {
        found.records += place.records.len();
        let mut histories: Vec<&str> = (place.records.iter())
            .map(|record| record.spec.binding.uid.as_str())
            .collect();
        histories.sort_unstable();
        histories.dedup();
        found.histories += histories.len();
        let broken = verify(&place.records, &place.bindings);
        let all = place.unreadable.into_iter().chain(broken);
        found
            .broken
            .extend(all.map(|broken| (namespace.clone(), broken)));
    }
    Ok(found)
}

async fn bindings<T: Spec>(
    client: &Client,
    namespace: Option<&str>,
    places: &mut BTreeMap<String, Place>,
    head: fn(&T::Status) -> &Option<HistoryHead>,
) -> Result {
    for object in store::list_raw::<T>(client, namespace).await? {
        let binding: Object<T> = store::typed(object)?;
        let recorded = Recorded {
            title: format!("{} {}", T::KIND, binding.name()),
            head: head(&binding.status).clone(),
        };
        let place = places.entry(binding.namespace().to_owned()).or_default();
        place.bindings.insert(binding.uid().to_owned(), recorded);
    }
    Ok(())
}

async fn records(
    client: &Client,
    namespace: Option<&str>,
    places: &mut BTreeMap<String, Place>,
) -> Result {
    for object in store::list_raw::<DeploymentRecordSpec>(client, namespace).await? {
        let name = object.metadata.name.clone().unwrap_or_default();
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let place = places.entry(namespace).or_default();
        match store::typed(object) {
            Ok(record) => place.records.push(record),
            Err(failure) => place.unreadable.push(Broken {
                record: name,
                problem: failure.with_causes(),
            }),
        }
    }
    Ok(())
}
