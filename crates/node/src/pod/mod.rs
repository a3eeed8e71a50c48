//! Pods on this machine: what a kubelet does.

pub mod admit;
pub mod decide;
pub mod env;
pub mod ephemeral;
pub mod exec;
pub mod files;
pub mod images;
pub mod links;
pub mod logs;
pub mod names;
pub mod probe;
pub mod progress;
pub mod restart;
pub mod runs;
pub mod security;
pub mod spec;
pub mod state;
pub mod status;
pub mod storage;
pub mod token;
pub mod unheeded;
pub mod volume;
pub mod worker;

mod effect;

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

/// What a pod says about one of its containers.
pub fn spec_of<'a>(pod: &'a Pod, name: &str) -> Option<Cow<'a, Container>> {
    let spec = pod.spec.as_ref()?;
    let mut all = containers(spec);
    all.find(|container| container.name == name)
}

/// All containers of a pod: initial ones, those that it is there for, and ephemeral ones.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = Cow<'_, Container>> {
    let initial = spec.init_containers.iter().flatten();
    let declared = initial.chain(&spec.containers).map(Cow::Borrowed);
    declared.chain(ephemeral::of(spec).map(Cow::Owned))
}

/// The names of the claims whose volumes a pod has.
pub fn claimed_by(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
}

/// An object that pods read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A config map of this name.
    ConfigMap(&'a str),
    /// A secret of this name.
    Secret(&'a str),
}

impl Source<'_> {
    fn is_map(self, name: &str) -> bool {
        self == Source::ConfigMap(name)
    }

    fn is_secret(self, name: &str) -> bool {
        self == Source::Secret(name)
    }

    /// Whether a pod reads it.
    pub fn is_read_by(self, pod: &Pod) -> bool {
        let Some(spec) = &pod.spec else { return false };
        containers(spec).any(|container| self.is_in_environment(&container))
            || spec
                .volumes
                .iter()
                .flatten()
                .any(|volume| self.is_in_volume(volume))
            || spec
                .image_pull_secrets
                .iter()
                .flatten()
                .any(|wanted| self.is_secret(&wanted.name))
    }

    fn is_in_environment(self, container: &Container) -> bool {
        let whole = container.env_from.iter().flatten().any(|source| {
            source
                .config_map_ref
                .as_ref()
                .is_some_and(|wanted| self.is_map(&wanted.name))
                || source
                    .secret_ref
                    .as_ref()
                    .is_some_and(|wanted| self.is_secret(&wanted.name))
        });
        let mut sources = container
            .env
            .iter()
            .flatten()
            .filter_map(|env| env.value_from.as_ref());
        whole
            || sources.any(|source| {
                let map = source.config_map_key_ref.as_ref();
                let secret = source.secret_key_ref.as_ref();
                map.is_some_and(|wanted| self.is_map(&wanted.name))
                    || secret.is_some_and(|wanted| self.is_secret(&wanted.name))
            })
    }

    fn is_in_volume(self, volume: &Volume) -> bool {
        let secret = volume
            .secret
            .as_ref()
            .and_then(|wanted| wanted.secret_name.as_deref());
        let mut projected = volume
            .projected
            .iter()
            .flat_map(|all| all.sources.iter().flatten());
        volume
            .config_map
            .as_ref()
            .is_some_and(|wanted| self.is_map(&wanted.name))
            || secret.is_some_and(|name| self.is_secret(name))
            || projected.any(|source| {
                let map = source.config_map.as_ref();
                let secret = source.secret.as_ref();
                map.is_some_and(|wanted| self.is_map(&wanted.name))
                    || secret.is_some_and(|wanted| self.is_secret(&wanted.name))
            })
    }
}
