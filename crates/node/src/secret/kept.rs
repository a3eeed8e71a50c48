//! Generated values as they are kept: in a Secret beside the one they were made for, which belongs to
//! the `ExternalSecret`. A value is made once; whatever is done to the `ExternalSecret`, its template
//! or its Secret afterwards, the value is read from here, until the `ExternalSecret` is deleted.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, PostParams},
};
use rand::CryptoRng;

use super::{MANAGER, generator::Password};

/// Tells people what the Secret is.
const TYPE: &str = "choreo.dev/generated";

/// The kept values of one `ExternalSecret`.
pub(super) struct Kept<'a> {
    owner: &'a DynamicObject,
    secret: Option<&'a Secret>,
}

/// Values that are still to be made.
pub(super) struct Missing {
    /// The Secret as it is now, without them.
    before: Secret,
    wanted: Vec<(String, Password)>,
}

impl<'a> Kept<'a> {
    /// The kept values of an object. A Secret that does not belong to it is not believed.
    pub(super) fn of(
        owner: &'a DynamicObject,
        find: impl FnOnce(String) -> Option<&'a Secret>,
    ) -> Self {
        let uid = owner.uid().unwrap_or_default();
        let secret = find(name(&uid))
            .filter(|secret| secret.owner_references().iter().any(|o| o.uid == uid));
        Self { owner, secret }
    }

    /// Where a value is kept: the generator, which of its uses it is, and the key. No name of an
    /// object holds an underscore.
    pub(super) fn place(generator: &str, turn: usize, key: &str) -> String {
        format!("{generator}_{turn}_{key}")
    }

    pub(super) fn get(&self, place: &str) -> Option<&'a ByteString> {
        self.secret?.data.as_ref()?.get(place)
    }

    /// What is kept, with more to be made.
    pub(super) fn with(&self, wanted: Vec<(String, Password)>) -> Missing {
        let before = self.secret.cloned().unwrap_or_else(|| self.empty());
        Missing { before, wanted }
    }

    fn empty(&self) -> Secret {
        let uid = self.owner.uid().unwrap_or_default();
        let owner = OwnerReference {
            api_version: "external-secrets.io/v1".to_owned(),
            kind: "ExternalSecret".to_owned(),
            name: self.owner.name_any(),
            uid: uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        Secret {
            metadata: ObjectMeta {
                name: Some(name(&uid)),
                namespace: self.owner.namespace(),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            ..Secret::default()
        }
    }
}

fn name(uid: &str) -> String {
    format!("generated-{uid}")
}

impl Missing {
    /// The Secret with the missing values.
    fn made(self, random: &mut impl CryptoRng) -> Result<Secret, String> {
        let mut secret = self.before;
        let data = secret.data.get_or_insert_default();
        for (place, password) in self.wanted {
            let value = password.generate(random)?;
            data.insert(place, ByteString(value.into_bytes()));
        }
        Ok(secret)
    }

    /// Makes the values and keeps them. Nothing that is kept is ever overwritten: what was written by
    /// an earlier pass that the watch has not told of yet is a conflict, and the watch will tell.
    pub(super) async fn keep(self, client: &Client) -> Result<(), String> {
        let secret = self.made(&mut rand::rng())?;
        let namespace = secret.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = if secret.resource_version().is_some() {
            api.replace(&secret.name_any(), &parameters, &secret).await
        } else {
            api.create(&parameters, &secret).await
        };
        match written {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(()),
            Err(error) => Err(format!("generated values cannot be kept: {error}")),
        }
    }
}

impl std::fmt::Debug for Missing {
    /// Names only: the Secret holds values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted: BTreeMap<&str, &Password> =
            self.wanted.iter().map(|(k, p)| (k.as_str(), p)).collect();
        f.debug_struct("Missing")
            .field("wanted", &wanted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Missing {
    pub(super) fn secret(self) -> Secret {
        self.made(&mut rand::rng()).unwrap()
    }
}
