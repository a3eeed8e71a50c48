//! Programs of the platform: kept, replaced, and without rights.

use std::{fs, os::unix::fs::PermissionsExt as _};

use choreo_node::machine::{Event, Machine as _, Process};

use crate::world::{PATIENCE, World};

impl World {
    pub(crate) async fn processes_are_supervised(&mut self) {
        let process = |argv: &[&str]| Process {
            name: "sleeper".to_owned(),
            argv: argv.iter().map(ToString::to_string).collect(),
            folder: self.folder.clone(),
            writable: "live".into(),
            log: self.folder.join("sleeper.log"),
            gate: None,
        };
        self.machine
            .run_process(&process(&["/bin/sleep", "100"]))
            .await
            .unwrap();
        self.machine
            .run_process(&process(&["/bin/sh", "-c", "echo hello; exit 4"]))
            .await
            .unwrap();
        let mut codes = Vec::new();
        while codes.len() < 2 {
            let event = tokio::time::timeout(PATIENCE, self.events.recv())
                .await
                .unwrap()
                .unwrap();
            if let Event::ProcessExited { code, .. } = event {
                codes.push(code);
            }
        }
        assert_eq!(codes, [143, 4]);
        assert_eq!(
            fs::read_to_string(self.folder.join("sleeper.log")).unwrap(),
            "hello\n"
        );
    }

    /// A program is a user of its own, has no capability, cannot get one, and writes in its folder only.
    pub(crate) async fn processes_have_no_rights(&mut self) {
        let script = "cat /proc/self/status; /bin/ls $(/bin/readlink -f known) || exit 1; \
                      for file in live/mine /tmp/choreo-not-mine /dev/shm/not-mine theirs; do \
                      { true > $file; } 2> /dev/null && echo wrote $file; done; exit 0";
        let sealed = self.folder.join("sealed");
        let folder = sealed.join("program");
        // Reachable although no one else may go where it is.
        fs::create_dir_all(folder.join("live")).unwrap();
        fs::write(folder.join("known"), "").unwrap();
        fs::set_permissions(&sealed, fs::Permissions::from_mode(0o700)).unwrap();
        let process = Process {
            name: "script".to_owned(),
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            log: folder.join("log"),
            writable: "live".into(),
            folder: folder.clone(),
            gate: None,
        };
        self.machine.run_process(&process).await.unwrap();
        let code = self.exit_of_process("script").await;
        let said = fs::read_to_string(&process.log).unwrap();
        assert_eq!(code, 0, "{said}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(
                said.contains(&format!("{set}:\t0000000000000000")),
                "{said}"
            );
        }
        assert!(said.contains("NoNewPrivs:\t1"), "{said}");
        let root = said.contains("Uid:\t0\t");
        assert_eq!(root, self.machine.info().user_ids == 1, "{said}");
        let written: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("wrote"))
            .collect();
        assert_eq!(written, ["wrote live/mine"]);
        // What it made can be read, and removed, by who runs the platform.
        fs::read(folder.join("live/mine")).unwrap();
        fs::remove_dir_all(&sealed).unwrap();
    }

    pub(crate) async fn exit_of_process(&mut self, wanted: &str) -> i32 {
        let exit = async {
            loop {
                if let Event::ProcessExited { name, code } = self.events.recv().await.unwrap()
                    && name == wanted
                {
                    return code;
                }
            }
        };
        tokio::time::timeout(PATIENCE, exit).await.unwrap()
    }
}
