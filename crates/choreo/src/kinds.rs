//! From the words people use for kinds to API resources. The platform's own kinds come from the
//! registry without asking anybody; all others from the API's discovery.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::{Client, core::ApiResource};
use serde_json::Value;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// A kind, and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Group, version, kind and plural name.
    pub(crate) api: ApiResource,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
}

impl Resource {
    /// `component.openchoreo.dev`, or `secret` in the core group.
    pub(crate) fn qualified(&self) -> String {
        let kind = self.api.kind.to_lowercase();
        if self.api.group.is_empty() {
            kind
        } else {
            format!("{kind}.{}", self.api.group)
        }
    }

    /// An item of a list, which comes without its type.
    pub(crate) fn typed(&self, mut item: Value) -> Value {
        item["apiVersion"] = Value::from(self.api.api_version.as_str());
        item["kind"] = Value::from(self.api.kind.as_str());
        item
    }

    /// The path of the collection, in a namespace or in all.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let base = if self.api.group.is_empty() {
            format!("/api/{}", self.api.version)
        } else {
            format!("/apis/{}", self.api.api_version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{base}/namespaces/{namespace}/{}", self.api.plural),
            None => format!("{base}/{}", self.api.plural),
        }
    }
}

/// Words that stand for several kinds, or for kinds with longer names.
const WORDS: &[(&str, &[&str])] = &[
    ("release", &["componentreleases"]),
    ("releases", &["componentreleases"]),
    ("binding", &["releasebindings"]),
    ("bindings", &["releasebindings"]),
    ("type", &["clustercomponenttypes", "componenttypes"]),
    ("types", &["clustercomponenttypes", "componenttypes"]),
];

/// What a word stands for: one kind, or several.
pub(crate) async fn find(client: &Client, word: &str) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    for word in word.split(',') {
        let names = WORDS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word));
        for name in names.map_or(&[word][..], |(_, names)| names) {
            found.push(match platform(name) {
                Some(resource) => resource,
                None => discover(client, |resource, group| named(resource, group, name))
                    .await?
                    .ok_or_else(|| unknown(word))?,
            });
        }
    }
    Ok(found)
}

/// The resource of an object in a file.
pub(crate) async fn of_object(
    client: &Client,
    api_version: &str,
    kind: &str,
) -> Result<Option<Resource>> {
    let row = choreo_model::registry()
        .iter()
        .find(|row| row.kind == kind && api_version == format!("{}/{}", row.group, row.version));
    if let Some(row) = row {
        return Ok(Some(from_row(row)));
    }
    let list = if api_version.contains('/') {
        client.list_api_group_resources(api_version).await
    } else {
        client.list_core_api_resources(api_version).await
    };
    let list = match list {
        Ok(list) => list,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(list
        .resources
        .iter()
        .find(|resource| resource.kind == kind && !resource.name.contains('/'))
        .map(|resource| from_discovery(resource, &list.group_version)))
}

/// A kind of the platform.
pub(crate) fn platform(word: &str) -> Option<Resource> {
    let word = word.strip_suffix(".openchoreo.dev").unwrap_or(word);
    choreo_model::find(word).map(from_row)
}

/// Gateways of the Gateway API.
pub(crate) fn gateways() -> ApiResource {
    ApiResource {
        group: "gateway.networking.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: "Gateway".to_owned(),
        plural: "gateways".to_owned(),
    }
}

fn from_row(row: &choreo_model::Kind) -> Resource {
    Resource {
        api: ApiResource {
            group: row.group.to_owned(),
            version: row.version.to_owned(),
            api_version: format!("{}/{}", row.group, row.version),
            kind: row.kind.to_owned(),
            plural: row.plural.to_owned(),
        },
        namespaced: matches!(row.scope, choreo_model::Scope::Namespaced),
    }
}

fn from_discovery(resource: &APIResource, group_version: &str) -> Resource {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    Resource {
        api: ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: group_version.to_owned(),
            kind: resource.kind.clone(),
            plural: resource.name.clone(),
        },
        namespaced: resource.namespaced,
    }
}

fn named(resource: &APIResource, group: &str, word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let word = match word.split_once('.') {
        Some((name, of)) if of == group => name,
        Some(_) => return false,
        None => &word,
    };
    let short = resource
        .short_names
        .iter()
        .flatten()
        .any(|name| name == word);
    resource.name == word
        || resource.singular_name == word
        || resource.kind.to_lowercase() == word
        || short
}

/// Asks the API for every kind it serves until one is wanted.
async fn discover(
    client: &Client,
    wanted: impl Fn(&APIResource, &str) -> bool,
) -> Result<Option<Resource>> {
    let pick = |resources: &[APIResource], version: &str| {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        resources
            .iter()
            .find(|resource| !resource.name.contains('/') && wanted(resource, group))
            .map(|resource| from_discovery(resource, version))
    };
    let core = client.list_core_api_resources("v1").await?;
    if let Some(found) = pick(&core.resources, "v1") {
        return Ok(Some(found));
    }
    for group in client.list_api_groups().await?.groups {
        let Some(version) = group
            .preferred_version
            .or_else(|| group.versions.first().cloned())
        else {
            continue;
        };
        let list = client
            .list_api_group_resources(&version.group_version)
            .await?;
        if let Some(found) = pick(&list.resources, &version.group_version) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn unknown(word: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("the platform has no kind `{word}`"));
    let names = choreo_model::registry().iter().map(|kind| kind.plural);
    let words = WORDS.iter().map(|(word, _)| *word);
    match crate::manifest::nearest(word, names.chain(words)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("kinds are named as in `choreo get components`, `pods`, `httproutes`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_kinds_of_the_registry() {
        for (word, names) in WORDS {
            for name in *names {
                assert!(platform(name).is_some(), "{word} stands for {name}");
            }
        }
    }

    #[test]
    fn paths_follow_group_and_scope() {
        let component = platform("comp").unwrap();
        assert_eq!(component.qualified(), "component.openchoreo.dev");
        assert_eq!(
            component.path(Some("default")),
            "/apis/openchoreo.dev/v1alpha1/namespaces/default/components"
        );
        assert_eq!(
            component.path(None),
            "/apis/openchoreo.dev/v1alpha1/components"
        );
        let cluster = platform("ClusterComponentType").unwrap();
        assert_eq!(
            cluster.path(Some("default")),
            "/apis/openchoreo.dev/v1alpha1/clustercomponenttypes"
        );
    }

    #[test]
    fn other_kinds_answer_to_all_their_names() {
        let pods = APIResource {
            name: "pods".to_owned(),
            singular_name: "pod".to_owned(),
            kind: "Pod".to_owned(),
            short_names: Some(vec!["po".to_owned()]),
            ..APIResource::default()
        };
        for word in ["pods", "pod", "po", "Pod"] {
            assert!(named(&pods, "", word), "{word}");
        }
        assert!(!named(&pods, "", "pods.apps"));
    }
}
