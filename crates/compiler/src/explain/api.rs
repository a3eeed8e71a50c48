//! From what is rendered of an API to what it says.

use super::follow::given;
use super::{Explained, Step, labelled};
use crate::fleet::Snapshot;
use choreo_model::labels;
use choreo_template::Tree;

/// Fields of the objects, and the fields of the API that say what they are.
const FIELDS: [(&str, &str); 5] = [
    ("/spec/apiKeyAuth", "/spec/apiKeys"),
    ("/spec/authorization", "/spec/operations"),
    ("/spec/data", "/spec/apiKeys/keys"),
    ("/spec/parentRefs", "/spec/visibility"),
    ("/spec/target", "/spec/apiKeys/keys"),
];

impl Explained<'_> {
    /// What the field at `pointer` of an object that the platform makes of an API comes from.
    pub(super) fn offered(&self, object: &Tree, pointer: &str) -> Vec<Step> {
        let Snapshot::Api(snapshot) = &self.snapshot else {
            return Vec::new();
        };
        let api = snapshot.api;
        let segments: Vec<&str> = pointer.split('/').skip(1).collect();
        match segments.as_slice() {
            ["metadata", "namespace"] => return self.names("namespace"),
            ["metadata", "labels", label] => return self.names(labelled(label)),
            ["spec", "hostnames", ..] => {
                let places = ["environmentName", "componentNamespace"];
                return places.iter().flat_map(|name| self.names(name)).collect();
            }
            _ => {}
        }
        let known = FIELDS
            .iter()
            .find(|(prefix, _)| pointer.starts_with(prefix));
        if let Some((_, field)) = known {
            return vec![given(api, field)];
        }
        let name = object.pointer("/metadata/labels");
        let name = name.and_then(|labels| labels.get(labels::ENDPOINT_NAME)?.as_str());
        let Some(name) = name else {
            return vec![given(api, "/spec/endpoints")];
        };
        let of_endpoint = |field: &str| given(api, &format!("/spec/endpoints/{name}{field}"));
        if pointer.ends_with("/matches/0/path/value") {
            let said = ["/spec/context", "/spec/version"].map(|field| given(api, field));
            return said.into_iter().chain([of_endpoint("/path")]).collect();
        }
        let field = if pointer.contains("/urlRewrite/") {
            "/rewrite"
        } else {
            ""
        };
        vec![of_endpoint(field)]
    }
}
