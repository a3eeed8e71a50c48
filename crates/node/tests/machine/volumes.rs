//! Volumes in memory, parts of volumes, the message that a container leaves, and unpacked layers.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use choreo_node::machine::{ContainerSpec, InMemory, Machine as _, Mount, PodSandbox};

use crate::world::{World, pod};

impl World {
    fn mounted(&self, pod: &PodSandbox, argv: &[&str], mount: Mount) -> ContainerSpec {
        let mut spec = self.spec(pod, argv);
        spec.mounts = vec![mount];
        spec
    }

    pub(crate) async fn volumes_in_memory(&mut self) {
        let folder = self.folder.join("volumes/in-memory/cache");
        let mut own = pod(1, 9);
        own.memory = vec![InMemory {
            folder: folder.clone(),
            limit: Some(1 << 20),
        }];
        self.machine.create_pod(&own).await.unwrap();
        let cache = Mount {
            source: folder.clone(),
            target: "/cache".into(),
            ..Mount::default()
        };
        let mut writer = self.mounted(&own, &["write", "/cache/file"], cache.clone());
        let user = if self.machine.info().user_ids > 2000 {
            1000
        } else {
            0
        };
        writer.user = (user, user);
        assert_eq!(self.output_of(writer).await.0, 0);
        let reader = self.mounted(&own, &["show", "/cache/file"], cache.clone());
        assert_eq!(
            self.output_of(reader).await,
            (0, "stdout F written".to_owned())
        );
        let part = Mount {
            sub_path: "new/folder".into(),
            made: true,
            ..cache.clone()
        };
        let writer = self.mounted(&own, &["write", "/cache/inner"], part);
        assert_eq!(self.output_of(writer).await.0, 0);
        let filler = self.mounted(&own, &["fill", "/cache/big", "2"], cache);
        assert_eq!(self.output_of(filler).await.1, "stdout F StorageFull");
        // On the host there is nothing.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        self.machine.delete_pod(&own.uid).await.unwrap();
        self.machine.remove_folder(&folder).await.unwrap();
        assert!(!folder.exists());
    }

    pub(crate) async fn parts_of_volumes(&mut self) {
        let volume = self.folder.join("parted");
        fs::create_dir_all(volume.join("inner")).unwrap();
        fs::write(volume.join("inner/key"), "k").unwrap();
        symlink("inner", volume.join("link")).unwrap();
        symlink("/", volume.join("out")).unwrap();
        let web = pod(1, 2);
        let part = |sub_path: &str| Mount {
            source: volume.clone(),
            sub_path: sub_path.into(),
            target: "/part".into(),
            ..Mount::default()
        };
        let file = self.mounted(&web, &["show", "/part"], part("link/key"));
        assert_eq!(self.output_of(file).await, (0, "stdout F k".to_owned()));
        for (sub_path, problem) in [("out/etc", "leads out"), ("absent", "does not exist")] {
            let spec = self.mounted(&web, &["list", "/part"], part(sub_path));
            let error = self.machine.start_container(&spec).await.unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        let message = volume.join("message");
        fs::write(&message, "").unwrap();
        let left = Mount {
            source: message.clone(),
            target: "/dev/termination-log".into(),
            ..Mount::default()
        };
        let spec = self.mounted(&web, &["write", "/dev/termination-log"], left);
        assert_eq!(self.output_of(spec).await.0, 0);
        assert_eq!(fs::read_to_string(&message).unwrap(), "written");
        self.what_a_container_writes_is_measured(&web).await;
        let size = self.machine.size_of(&volume).await.unwrap();
        assert!((1..1 << 20).contains(&size), "{size}");
        self.machine.remove_folder(&volume).await.unwrap();
    }

    async fn what_a_container_writes_is_measured(&mut self, pod: &PodSandbox) {
        let spec = self.spec(pod, &["put", "/srv/file", "3"]);
        self.machine.start_container(&spec).await.unwrap();
        assert_eq!(self.exit_of(&spec.id).await.code, 0);
        let size = self.machine.size_of_container(&spec.id).await.unwrap();
        assert!((3 << 20..4 << 20).contains(&size), "{size}");
        self.machine.remove_container(&spec.id).await.unwrap();
        let gone = self.machine.size_of_container(&spec.id).await;
        assert_eq!(gone.unwrap(), 0);
    }

    /// Only now: nothing may run on a layer that is removed.
    pub(crate) async fn layers_are_removed(&self) {
        let stray = self.layer.with_file_name("0".repeat(64));
        fs::create_dir_all(stray.join("etc")).unwrap();
        self.machine.keep_layers(&BTreeSet::new()).await.unwrap();
        assert!(!stray.exists());
        assert!(self.layer.exists(), "it was asked for a moment ago");
    }
}
