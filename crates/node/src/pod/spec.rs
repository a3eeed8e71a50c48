//! One container, complete, as the machine wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use choreo_model::quantity;
use k8s_openapi::{
    api::core::v1::{Container, PersistentVolumeClaim, Pod, ResourceRequirements, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};

use nix::sys::signal::Signal;

use super::{
    env::{self, Told},
    names, runs, security,
    state::Fetched,
    volume,
};
use crate::{
    image::{Config, resolve_user},
    index::Index,
    machine::{ContainerSpec, Mount, Stdin},
    node::Capacity,
};

/// How many processes and threads a container may have: enough for any program, and no host fails
/// from it.
const PROCESSES: u64 = 8192;

/// The folders of a pod on the host.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Of the node.
    pub data: PathBuf,
}

impl Folders {
    /// Where a pod's logs are: one folder per container, one file per run.
    pub fn logs(&self, pod: &Pod) -> PathBuf {
        let meta = &pod.metadata;
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        self.data.join("pods").join(format!(
            "{}_{}_{}",
            part(&meta.namespace),
            part(&meta.name),
            part(&meta.uid)
        ))
    }

    /// Where a pod's volumes are.
    pub fn volumes(&self, pod: &Pod) -> PathBuf {
        self.data
            .join("volumes")
            .join(pod.metadata.uid.as_deref().unwrap_or_default())
    }

    /// The folders of pods that are not known, and of claims that are neither known nor used, in some
    /// of the folders for `pods`, `volumes` and `claims`.
    pub fn strays(&self, index: &Index, parents: &[&str]) -> Vec<PathBuf> {
        let claims = index.claims.iter().map(|claim| self.claim_of(claim));
        let used = index.pods.iter().flat_map(|pod| self.claims(pod));
        let kept: BTreeSet<PathBuf> = index
            .pods
            .iter()
            .flat_map(|pod| [self.logs(pod), self.volumes(pod)])
            .chain(claims)
            .chain(used)
            .collect();
        let found = parents
            .iter()
            .filter_map(|parent| std::fs::read_dir(self.data.join(parent)).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()));
        found.filter(|path| !kept.contains(path)).collect()
    }

    /// The folders of the claims that a pod uses.
    pub fn claims(&self, pod: &Pod) -> Vec<PathBuf> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        super::claimed_by(pod)
            .map(|claim| self.claim(namespace, claim))
            .collect()
    }

    fn claim_of(&self, claim: &PersistentVolumeClaim) -> PathBuf {
        let meta = &claim.metadata;
        self.claim(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        )
    }

    /// Where a claim's files are; they outlive pods.
    pub fn claim(&self, namespace: &str, name: &str) -> PathBuf {
        self.data.join("claims").join(format!("{namespace}_{name}"))
    }

    fn volume(&self, pod: &Pod, name: &str) -> PathBuf {
        let volumes = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten());
        let mut claims = volumes.filter(|volume| volume.name == name);
        match claims.find_map(|volume| volume.persistent_volume_claim.as_ref()) {
            Some(claim) => {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                self.claim(namespace, &claim.claim_name)
            }
            None => self.volumes(pod).join(name),
        }
    }
}

/// What a container is started with besides what its pod says.
#[derive(Debug)]
pub struct Start<'a> {
    /// The run's id.
    pub id: String,
    /// Its number.
    pub restart: u32,
    /// Its image.
    pub image: &'a Fetched,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The node's name.
    pub node: &'a str,
    /// What the node has.
    pub capacity: Capacity,
    /// Where things are.
    pub folders: &'a Folders,
    /// The container among whose processes it is, by its id.
    pub among: Option<String>,
}

/// The container, or what it asks for that cannot be had.
pub fn build(
    index: &Index,
    pod: &Pod,
    container: &Container,
    start: &Start<'_>,
) -> Result<ContainerSpec, String> {
    let own = Told {
        address: start.address.to_string(),
        node: start.node.to_owned(),
        capacity: start.capacity,
    };
    let given = env::resolve(index, pod, container, &own)?;
    let config = &start.image.image.config;
    let mut env = environment(pod, config);
    let argv = argv(container, start.image, &given)?;
    let mounts = container.volume_mounts.iter().flatten();
    let mounts: Result<Vec<Mount>, String> = mounts
        .map(|mount| bind(pod, mount, &given, start.folders))
        .collect();
    let mut mounts = mounts?;
    let own = start.folders.logs(pod).join(&container.name);
    mounts.push(Mount {
        source: runs::message(&own, start.restart),
        target: runs::message_path(container).into(),
        ..Mount::default()
    });
    env.extend(given);
    let cwd = container.working_dir.clone().filter(|cwd| !cwd.is_empty());
    let cwd = cwd.or_else(|| Some(config.working_dir.clone()).filter(|cwd| !cwd.is_empty()));
    let limits = limits(container.resources.as_ref());
    let context = container.security_context.as_ref();
    let lifecycle = container.lifecycle.as_ref();
    let stop = lifecycle.and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    Ok(ContainerSpec {
        id: start.id.clone(),
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        layers: start.image.layers.clone(),
        argv,
        env,
        cwd: cwd.map_or_else(|| PathBuf::from("/"), PathBuf::from),
        user: user(pod, container, start.image)?,
        groups: security::groups(pod)?,
        capabilities: security::capabilities(container),
        unconfined: security::is_unconfined(pod, container),
        read_only_root: context.and_then(|c| c.read_only_root_filesystem) == Some(true),
        mounts,
        memory: limits.0,
        cpu_millis: limits.1,
        cpu_weight: weight(container.resources.as_ref()),
        pids: Some(PROCESSES),
        stop_signal: stop_signal(stop.unwrap_or(&config.stop_signal)) as i32,
        stdin: match (container.stdin, container.stdin_once) {
            (Some(true), Some(true)) => Stdin::Once,
            (Some(true), _) => Stdin::Open,
            _ => Stdin::Closed,
        },
        tty: container.tty == Some(true),
        among: start.among.clone(),
        log: log(&start.folders.logs(pod), &container.name, start.restart),
    })
}

/// The environment that a container has without its pod saying anything.
fn environment(pod: &Pod, config: &Config) -> BTreeMap<String, String> {
    let usual = [
        (
            "PATH".to_owned(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("HOSTNAME".to_owned(), names::hostname(pod)),
    ];
    let own = config.env.iter().filter_map(|line| line.split_once('='));
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    usual.into_iter().chain(own).collect()
}

/// The file of one run of a container.
pub fn log(folder: &Path, container: &str, restart: u32) -> PathBuf {
    folder.join(container).join(format!("{restart}.log"))
}

fn argv(
    container: &Container,
    image: &Fetched,
    env: &BTreeMap<String, String>,
) -> Result<Vec<String>, String> {
    let config = &image.image.config;
    let command = container
        .command
        .as_ref()
        .filter(|command| !command.is_empty());
    let args = container.args.as_ref().filter(|args| !args.is_empty());
    let expand = |words: &Vec<String>| -> Vec<String> {
        words.iter().map(|word| env::expand(word, env)).collect()
    };
    let mut argv = command.map_or_else(|| config.entrypoint.clone(), &expand);
    argv.extend(match (command, args) {
        (_, Some(args)) => expand(args),
        (None, None) => config.cmd.clone(),
        (Some(_), None) => Vec::new(),
    });
    if argv.is_empty() {
        return Err(format!(
            "container {:?}: neither the pod nor the image says which program to run",
            container.name
        ));
    }
    Ok(argv)
}

/// What a container gets of the processors where they do not suffice for all, in thousandths of one: what
/// it requests, or else its limit.
fn weight(resources: Option<&ResourceRequirements>) -> Option<u64> {
    let amount =
        |from: &Option<BTreeMap<String, Quantity>>| quantity::milli(&from.as_ref()?.get("cpu")?.0);
    let resources = resources?;
    amount(&resources.requests).or_else(|| amount(&resources.limits))
}

/// The signal that a pod or an image wants its program to be asked by to end, as `SIGINT`, `int` or `2`;
/// `SIGTERM` when it says nothing, or names none that programs are asked by.
fn stop_signal(named: &str) -> Signal {
    let named = named.to_ascii_uppercase();
    let found = match named.parse::<i32>() {
        Ok(number) => Signal::try_from(number).ok(),
        Err(_) => format!("SIG{}", named.trim_start_matches("SIG"))
            .parse()
            .ok(),
    };
    found.unwrap_or(Signal::SIGTERM)
}

fn bind(
    pod: &Pod,
    mount: &VolumeMount,
    env: &BTreeMap<String, String>,
    folders: &Folders,
) -> Result<Mount, String> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let volume = volumes.into_iter().find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| format!("volume {:?} does not exist", mount.name))?;
    let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
        (Some(path), _) => path.clone(),
        (None, Some(text)) => env::expand(text, env),
        (None, None) => String::new(),
    };
    let fixed = volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some();
    let claim = volume.persistent_volume_claim.as_ref();
    let sealed = claim.is_some_and(|claim| claim.read_only == Some(true));
    Ok(Mount {
        source: folders.volume(pod, &mount.name),
        sub_path: volume::part(&sub_path)?,
        made: !fixed,
        target: PathBuf::from(&mount.mount_path),
        read_only: fixed || sealed || mount.read_only == Some(true),
    })
}

/// The numeric user and group.
fn user(pod: &Pod, container: &Container, image: &Fetched) -> Result<(u32, u32), String> {
    let whole = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref());
    let own = container.security_context.as_ref();
    let user = own
        .and_then(|c| c.run_as_user)
        .or_else(|| whole.and_then(|c| c.run_as_user));
    let group = own
        .and_then(|c| c.run_as_group)
        .or_else(|| whole.and_then(|c| c.run_as_group));
    let strict = own
        .and_then(|c| c.run_as_non_root)
        .or_else(|| whole?.run_as_non_root);
    let text = match user {
        Some(user) => user.to_string(),
        None => image.image.config.user.clone(),
    };
    let (uid, gid) =
        resolve_user(&image.layers, &text).map_err(|error| format!("user {text:?}: {error}"))?;
    let gid = group
        .and_then(|group| u32::try_from(group).ok())
        .unwrap_or(gid);
    if strict == Some(true) && uid == 0 {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    Ok((uid, gid))
}

/// Memory in bytes and processor time in thousandths of a core.
fn limits(resources: Option<&ResourceRequirements>) -> (Option<u64>, Option<u64>) {
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let amount = |name: &str| limits.and_then(|limits| quantity::milli(&limits.get(name)?.0));
    (amount("memory").map(|milli| milli / 1000), amount("cpu"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn images_say_how_their_programs_are_asked_to_end() {
        for (named, signal) in [
            ("", Signal::SIGTERM),
            ("SIGINT", Signal::SIGINT),
            ("quit", Signal::SIGQUIT),
            ("3", Signal::SIGQUIT),
            ("SIGRTMIN+3", Signal::SIGTERM),
            ("0", Signal::SIGTERM),
        ] {
            assert_eq!(stop_signal(named), signal, "{named:?}");
        }
    }

    #[test]
    fn processors_are_shared_by_what_is_requested() {
        let check = |resources: serde_json::Value, expected| {
            let resources = serde_json::from_value(resources).unwrap();
            assert_eq!(weight(Some(&resources)), expected);
        };
        check(json!({}), None);
        check(json!({"limits": {"cpu": "2"}}), Some(2000));
        let both = json!({"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}});
        check(both, Some(100));
    }

    #[test]
    fn strays_are_what_neither_pods_nor_claims_have() {
        let data = tempfile::tempdir().unwrap();
        let folders = Folders {
            data: data.path().to_owned(),
        };
        let kept = [
            "pods/ns_web_u-1/main",
            "volumes/u-1/x",
            "claims/ns_disk",
            "claims/ns_used",
        ];
        let strays = ["claims/ns_old", "pods/ns_old_u-2", "volumes/u-2"];
        for folder in kept.iter().chain(&strays) {
            fs::create_dir_all(data.path().join(folder)).unwrap();
        }
        let mut index = Index::default();
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "used"}});
        let pod = json!({
            "metadata": {"namespace": "ns", "name": "web", "uid": "u-1"},
            "spec": {"containers": [], "volumes": [volume]},
        });
        let claim = json!({"metadata": {"namespace": "ns", "name": "disk"}});
        index.apply::<Pod>(serde_json::from_value(pod).unwrap());
        index.apply::<PersistentVolumeClaim>(serde_json::from_value(claim).unwrap());
        let mut found = folders.strays(&index, &["pods", "volumes", "claims"]);
        found.sort();
        assert_eq!(found, strays.map(|stray| data.path().join(stray)));
    }
}
