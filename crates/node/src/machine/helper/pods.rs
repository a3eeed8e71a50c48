//! Frames of pods: a network namespace with one link, and the files of name resolution.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::serve::Context;
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
        if let Err(error) = network.add_pod(&pod, cell, &netns).await {
            network.remove_pod(&pod.uid, &netns).await?;
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
        self.lock().remove(uid);
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
        ("hosts", hosts(&pod.hostname, pod.address)),
        ("hostname", format!("{}\n", pod.hostname)),
        ("resolv.conf", resolver(&pod.namespace, server)),
    ];
    for (name, text) in files {
        let path: PathBuf = folder.join(name);
        fs::write(path, text)?;
    }
    Ok(())
}

fn hosts(hostname: &str, address: Ipv4Addr) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    // Writing to a string does not fail.
    let _infallible = writeln!(text, "{address}\t{hostname}");
    text
}

fn resolver(namespace: &str, server: Ipv4Addr) -> String {
    format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n\
         nameserver {server}\n\
         options ndots:5\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_as_in_kubernetes() {
        assert_eq!(
            resolver("shop", Ipv4Addr::new(10, 7, 0, 1)),
            "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
             nameserver 10.7.0.1\noptions ndots:5\n"
        );
        assert!(hosts("web-0", Ipv4Addr::new(10, 7, 0, 9)).ends_with("10.7.0.9\tweb-0\n"));
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
