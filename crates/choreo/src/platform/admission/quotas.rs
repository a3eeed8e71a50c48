//! How many projects, components and environments an organisation may have. What runs is limited
//! where it is rendered, since only that tells what it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use choreo_apiserver::{AdmissionRequest, Denied, Hold, Operation, Reader};
use choreo_model::{GROUP, Organization, Spec as _, organization::OrganizationSpec};
use serde_json::Value;

use super::{Write, denied};

/// How many users are named.
const SHOWN: usize = 3;

/// Kind, namespace and name of an object.
type Place = (String, String, String);

/// The objects that were admitted and may not be there yet.
type Places = Arc<Mutex<BTreeSet<Place>>>;

/// The quotas, and what was admitted under them a moment ago.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    admitted: Places,
}

/// Keeps an object counted until it is stored, or refused.
#[derive(Debug)]
struct Admitted {
    places: Places,
    place: Place,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.remove(&self.place);
    }
}

impl Quotas {
    /// Refuses a new object that is one too many. What is returned counts it meanwhile.
    pub(super) fn check(
        &self,
        write: &Write<'_>,
        request: &AdmissionRequest<'_>,
    ) -> Result<Option<Hold>, Denied> {
        if write.operation != Operation::Create {
            return Ok(None);
        }
        let (reader, kind) = (request.reader, write.kind);
        let text = |pointer: &str| {
            let text = request.object.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let Some((organization, most)) = limit(reader, kind, &namespace) else {
            return Ok(None);
        };
        let mut places = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        // First what is held, then what is stored: what goes from one to the other is seen in one.
        let held = places
            .iter()
            .filter(|(of_kind, of, _)| of_kind == kind && *of == namespace);
        let mut known: BTreeSet<String> = held.map(|(_, _, name)| name.clone()).collect();
        let mut count = 0;
        reader.each_name(GROUP, kind, &namespace, &mut |name| {
            known.remove(name);
            count += 1;
        });
        if count + known.len() as u64 >= most {
            let place = (kind, namespace.as_str());
            return Err(denied(
                "metadata",
                refusal(reader, &organization, most, place),
            ));
        }
        let place = (kind.to_owned(), namespace, name);
        places.insert(place.clone());
        Ok(Some(Box::new(Admitted {
            places: Arc::clone(&self.admitted),
            place,
        })))
    }
}

/// The organisation of a namespace, and how many objects of a kind it may have.
fn limit(reader: &dyn Reader, kind: &str, namespace: &str) -> Option<(Organization, u64)> {
    if !matches!(kind, "Project" | "Component" | "Environment") {
        return None;
    }
    let all = reader.list(GROUP, OrganizationSpec::KIND, "");
    let all = all
        .into_iter()
        .filter_map(|one| serde_json::from_value::<Organization>(one).ok());
    let of_here = all.filter(|one| one.home() == namespace);
    let organization = of_here.min_by(|one, other| one.name().cmp(other.name()))?;
    let quotas = &organization.spec.quotas;
    let most = match kind {
        "Project" => quotas.projects,
        "Component" => quotas.components,
        _ => quotas.environments,
    };
    Some((organization, most?))
}

/// What there may be, and who has it.
fn refusal(
    reader: &dyn Reader,
    organization: &Organization,
    most: u64,
    (kind, namespace): (&str, &str),
) -> String {
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for object in reader.list(GROUP, kind, namespace) {
        let user = match kind {
            "Component" => "/spec/owner/projectName",
            _ => "/metadata/name",
        };
        let user = object.pointer(user).and_then(Value::as_str);
        *users
            .entry(user.unwrap_or_default().to_owned())
            .or_default() += 1;
    }
    let has: usize = users.values().sum();
    let mut by: Vec<(String, usize)> = users.into_iter().collect();
    by.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let mut told: Vec<String> = (by.iter().take(SHOWN))
        .map(|(user, count)| match kind {
            "Component" => format!("{user} {count}"),
            _ => user.clone(),
        })
        .collect();
    if by.len() > SHOWN {
        told.push(format!("{} more", by.len() - SHOWN));
    }
    let name = organization.name();
    let what = format!("{}s", kind.to_lowercase());
    let by = told.join(", ");
    format!("organization \"{name}\" may have {most} {what} and has {has} ({by})")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use kube::api::PostParams;
    use serde_json::json;

    use crate::{kinds, testing::Api};

    const ACME: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec: {namespace: default, quotas: {components: 3, environments: 0}}
";

    fn component(number: usize) -> serde_json::Value {
        json!({
            "apiVersion": "openchoreo.dev/v1alpha1", "kind": "Component",
            "metadata": {"name": format!("c{number}"), "namespace": "default"},
            "spec": {
                "owner": {"projectName": "shop"},
                "componentType": {"kind": "ClusterComponentType", "name": "deployment/service"},
            },
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn an_organisation_gets_as_many_as_it_may_have_however_many_ask_at_once() {
        let api = Api::start().await;
        api.apply(ACME).await.unwrap();
        let resource = kinds::platform("component").unwrap();
        let components = crate::commands::api(&api.client, &resource, "default");
        let tasks = (0..16).map(|number| {
            let components = components.clone();
            tokio::spawn(async move {
                let object = serde_json::from_value(component(number)).unwrap();
                components.create(&PostParams::default(), &object).await
            })
        });
        let done = tokio::time::timeout(Duration::from_secs(20), join_all(tasks));
        let done: Vec<_> = done
            .await
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let made = done.iter().filter(|one| one.is_ok()).count();
        assert_eq!(made, 3);
        let why = api.refusal(&component(99)).await.unwrap();
        let expected = "organization \"acme\" may have 3 components and has 3 (shop 3)";
        assert!(why.contains(&expected.replace('"', "\\\"")), "{why}");
        api.stop().await;
    }

    #[tokio::test]
    async fn without_an_organisation_there_is_no_quota() {
        let api = Api::start().await;
        assert_eq!(api.refusal(&component(1)).await, None);
        api.stop().await;
    }
}
