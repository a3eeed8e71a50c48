//! Frames of pods: a network namespace with one link, and the files of name resolution.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{mounts, serve::Context};
use crate::machine::{Cell, Error, PodSandbox, Result, network::Network};

/// The pods there are.
#[derive(Debug)]
pub(super) struct Pods {
    context: Context,
    pods: Mutex<BTreeMap<String, PodSandbox>>,
}

impl Pods {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            pods: Mutex::default(),
        }
    }

    /// A pod by its uid.
    pub(super) fn get(&self, uid: &str) -> Result<PodSandbox> {
        self.lock()
            .get(uid)
            .cloned()
            .ok_or_else(|| Error::missing("pod", uid))
    }

    /// Makes a pod's frame unless it is there.
    pub(super) async fn create(
        &self,
        pod: PodSandbox,
        cell: &Cell,
        network: &Network,
    ) -> Result<()> {
        let doing = || format!("making pod {}", pod.uid);
        check_name(&pod.uid).map_err(|error| Error::failed(doing(), error))?;
        if let Some(known) = self.lock().get(&pod.uid) {
            let same = *known == pod;
            return if same {
                Ok(())
            } else {
                Err(Error::failed(doing(), "it exists, differently"))
            };
        }
        let netns = self.context.layout.netns(&pod.uid);
        write_files(&self.context.layout.pod(&pod.uid), &pod, cell.gateway)
            .map_err(|error| Error::failed(doing(), error))?;
        for volume in &pod.memory {
            mounts::mount_volume(&volume.folder, volume.limit)
                .map_err(|error| Error::failed(doing(), error))?;
        }
        if let Err(error) = network.add_pod(&pod, cell, &netns).await {
            network.remove_pod(&pod.uid, &netns).await?;
            forget(&pod);
            return Err(error);
        }
        self.lock().insert(pod.uid.clone(), pod);
        Ok(())
    }

    /// Removes a pod's frame, if it is there.
    pub(super) async fn delete(&self, uid: &str, network: &Network) -> Result<()> {
        check_name(uid).map_err(|error| Error::failed(format!("removing pod {uid}"), error))?;
        network
            .remove_pod(uid, &self.context.layout.netns(uid))
            .await?;
        if let Some(pod) = self.lock().remove(uid) {
            forget(&pod);
        }
        match fs::remove_dir_all(self.context.layout.pod(uid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::failed(format!("removing pod {uid}"), error))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, PodSandbox>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of what a pod had in memory.
fn forget(pod: &PodSandbox) {
    for volume in &pod.memory {
        mounts::unmount(&volume.folder);
    }
}

/// Names become file names: they must stay in their folder.
pub(super) fn check_name(name: &str) -> io::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(plain) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is no name"),
        ))
    }
}

fn write_files(folder: &Path, pod: &PodSandbox, server: Ipv4Addr) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let files = [
        ("hosts", hosts(pod)),
        ("hostname", format!("{}\n", pod.hostname)),
        ("resolv.conf", resolver(pod, server)),
    ];
    for (name, text) in files {
        let path: PathBuf = folder.join(name);
        fs::write(path, text)?;
    }
    Ok(())
}

fn hosts(pod: &PodSandbox) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    let domain = pod
        .names
        .domain
        .iter()
        .filter(|domain| **domain != pod.hostname);
    let own = domain.chain([&pod.hostname]).cloned().collect();
    let all = [(pod.address.to_string(), own)];
    for (address, names) in all.iter().chain(&pod.names.aliases) {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{address}\t{}", names.join("\t"));
    }
    text
}

fn resolver(pod: &PodSandbox, server: Ipv4Addr) -> String {
    let namespace = &pod.namespace;
    let names = &pod.names;
    let (mut servers, mut searches, mut options) = (Vec::new(), Vec::new(), Vec::new());
    if !names.own_only {
        servers.push(server.to_string());
        let domains = ["svc.cluster.local", "cluster.local"].map(str::to_owned);
        searches.push(format!("{namespace}.svc.cluster.local"));
        searches.extend(domains);
        options.push("ndots:5".to_owned());
    }
    servers.extend(names.servers.iter().cloned());
    for domain in &names.searches {
        if !searches.contains(domain) {
            searches.push(domain.clone());
        }
    }
    for option in &names.options {
        let name = |option: &str| option.split(':').next().map(str::to_owned);
        options.retain(|known| name(known) != name(option));
        options.push(option.clone());
    }
    let mut text = String::new();
    for (word, values) in [("search", searches), ("options", options)] {
        if !values.is_empty() {
            let _infallible = writeln!(text, "{word} {}", values.join(" "));
        }
    }
    for server in servers {
        let _infallible = writeln!(text, "nameserver {server}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Names;

    fn pod(names: Names) -> PodSandbox {
        PodSandbox {
            uid: "u".into(),
            namespace: "shop".into(),
            hostname: "web-0".into(),
            address: Ipv4Addr::new(10, 7, 0, 9),
            names,
            memory: Vec::new(),
        }
    }

    #[test]
    fn names_resolve_as_in_kubernetes() {
        let server = Ipv4Addr::new(10, 7, 0, 1);
        let plain = pod(Names::default());
        assert_eq!(
            resolver(&plain, server),
            "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
             options ndots:5\nnameserver 10.7.0.1\n"
        );
        assert!(hosts(&plain).ends_with("10.7.0.9\tweb-0\n"));
        let words = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut names = Names {
            domain: Some("web-0.web.shop.svc.cluster.local".into()),
            aliases: vec![("10.0.0.1".into(), words(&["a", "b"]))],
            own_only: false,
            servers: words(&["10.0.0.2"]),
            searches: words(&["cluster.local", "corp"]),
            options: words(&["ndots:1", "edns0"]),
        };
        let own = pod(names.clone());
        assert!(
            hosts(&own)
                .ends_with("10.7.0.9\tweb-0.web.shop.svc.cluster.local\tweb-0\n10.0.0.1\ta\tb\n")
        );
        assert_eq!(
            resolver(&own, server),
            "search shop.svc.cluster.local svc.cluster.local cluster.local corp\n\
             options ndots:1 edns0\nnameserver 10.7.0.1\nnameserver 10.0.0.2\n"
        );
        names.own_only = true;
        assert_eq!(
            resolver(&pod(names), server),
            "search cluster.local corp\noptions ndots:1 edns0\nnameserver 10.0.0.2\n"
        );
    }

    #[test]
    fn names_stay_in_their_folder() {
        for good in ["a", "0f3a-web-2", "a.b_c"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", ".hidden", "a\0b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
