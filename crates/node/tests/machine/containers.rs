//! Containers run, end, are limited, and are asked from outside.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use choreo_node::machine::{Exit, Machine as _, PodSandbox, Probe};

use crate::{
    say,
    world::{PATIENCE, World, pod},
};

impl World {
    pub(crate) async fn containers_run(&mut self) {
        let web = pod(1, 2);
        let begun = Instant::now();
        let said = self.output(&web, &["say", "out", "err"]).await;
        say(&format!(
            "a container's whole life took {:?}",
            begun.elapsed()
        ));
        let lines = said.1.lines().collect::<BTreeSet<_>>();
        assert_eq!(lines, BTreeSet::from(["stdout F out", "stderr F err"]));
        assert_eq!(self.output(&web, &["exit", "7"]).await.0, 7);
        assert_eq!(
            self.output(&web, &["env", "COLOUR"]).await.1,
            "stdout F blue"
        );
        assert_eq!(self.output(&web, &["cwd"]).await.1, "stdout F /made/for/me");
        assert_eq!(self.output(&web, &["write", "/new"]).await.0, 0);
        let status = self.output(&web, &["show", "/proc/self/status"]).await.1;
        assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
        let hosts = self.output(&web, &["show", "/etc/hosts"]).await.1;
        assert!(hosts.contains("10.1.0.2\tweb-1-2"), "{hosts}");
        let mut sealed = self.spec(&web, &["write", "/new"]);
        sealed.read_only_root = true;
        assert_eq!(self.output_of(sealed).await.0, 101);
        self.what_cannot_start_says_why(&web).await;
        self.some_live_among_the_processes_of_others(&web).await;
    }

    async fn some_live_among_the_processes_of_others(&mut self, web: &PodSandbox) {
        let main = self.spec(web, &["sleep"]);
        self.machine.start_container(&main).await.unwrap();
        let mut debug = self.spec(web, &["show", "/proc/1/cmdline"]);
        // Its own, unless it asks for another's.
        let (_, own) = self.output_of(debug.clone()).await;
        assert!(own.contains("cmdline"), "{own}");
        debug = self.spec(web, &["show", "/proc/1/cmdline"]);
        debug.among = Some(main.id.clone());
        let (_, others) = self.output_of(debug).await;
        assert_eq!(others, "stdout F /bin/guest\0sleep\0");
        let mut stranger = self.spec(&pod(2, 2), &["say", "a", "b"]);
        stranger.among = Some(main.id.clone());
        let error = self.machine.start_container(&stranger).await.unwrap_err();
        assert!(error.to_string().contains("another pod"), "{error}");
        self.machine.remove_container(&main.id).await.unwrap();
        let mut late = self.spec(web, &["say", "a", "b"]);
        late.among = Some(main.id);
        let error = self.machine.start_container(&late).await.unwrap_err();
        assert!(error.to_string().contains("does not run"), "{error}");
    }

    async fn what_cannot_start_says_why(&self, pod: &PodSandbox) {
        let mut missing = self.spec(pod, &[]);
        missing.argv = vec!["/bin/missing".to_owned()];
        let error = self
            .machine
            .start_container(&missing)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/bin/missing") && error.contains("is not in the image"),
            "{error}"
        );
        let mut plain = self.spec(pod, &[]);
        plain.argv = vec!["/etc/plain".to_owned()];
        let error = self
            .machine
            .start_container(&plain)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("may not be executed"), "{error}");
    }

    pub(crate) async fn commands_and_probes(&mut self) {
        let web = pod(1, 2);
        let spec = self.serve(&web, "web").await;
        let command = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let run = |words: &[&str], limit| {
            let argv = command(words);
            let (machine, id) = (&self.machine, spec.id.clone());
            async move { machine.exec(&id, &argv, limit).await }
        };
        let outcome = run(&["/bin/guest", "env", "COLOUR"], PATIENCE)
            .await
            .unwrap();
        assert_eq!((outcome.code, outcome.output.as_str()), (0, "blue\n"));
        assert_eq!(
            run(&["/bin/guest", "exit", "3"], PATIENCE)
                .await
                .unwrap()
                .code,
            3
        );
        let own = run(&["/bin/guest", "get", "127.0.0.1", "8080"], PATIENCE)
            .await
            .unwrap();
        assert_eq!(own.output, "web");
        let late = run(&["/bin/guest", "sleep"], Duration::from_millis(300)).await;
        assert!(late.unwrap_err().to_string().contains("did not end"));
        let probe = |port| Probe::Http {
            address: web.address,
            port,
            path: "/healthz".into(),
            headers: Vec::new(),
            tls: false,
        };
        self.machine
            .probe(&probe(8080), PATIENCE)
            .await
            .unwrap()
            .unwrap();
        assert!(
            self.machine
                .probe(&probe(1), PATIENCE)
                .await
                .unwrap()
                .is_err()
        );
        let begun = Instant::now();
        self.machine
            .stop_container(&spec.id, Duration::from_millis(200))
            .await
            .unwrap();
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(self.exit_of(&spec.id).await.code, 137);
        self.machine.remove_container(&spec.id).await.unwrap();
    }

    pub(crate) async fn containers_end_as_they_are_asked(&mut self) {
        for number in [2, 15] {
            let web = pod(1, 2);
            let mut spec = self.spec(&web, &["until-asked"]);
            spec.stop_signal = number;
            self.serves(&web, &spec).await;
            self.machine
                .stop_container(&spec.id, PATIENCE)
                .await
                .unwrap();
            assert_eq!(self.exit_of(&spec.id).await.code, number);
            self.machine.remove_container(&spec.id).await.unwrap();
        }
    }

    pub(crate) async fn pods_end(&mut self) {
        let web = pod(1, 2);
        let spec = self.serve(&web, "web").await;
        self.machine.delete_pod(&web.uid).await.unwrap();
        self.machine.delete_pod(&web.uid).await.unwrap();
        assert_eq!(self.exit_of(&spec.id).await.code, 137);
        assert!(
            self.machine
                .stop_container(&spec.id, PATIENCE)
                .await
                .is_err()
        );
    }

    pub(crate) async fn limits_hold(&mut self) {
        if !self.machine.info().limits {
            let notes = &self.machine.info().notes;
            let note = notes.iter().find(|note| note.contains("limits"));
            say(&format!("limits skipped: {}", note.unwrap()));
            return;
        }
        let mut spec = self.spec(&pod(1, 2), &["eat"]);
        spec.memory = Some(64 << 20);
        self.machine.start_container(&spec).await.unwrap();
        let exit = self.exit_of(&spec.id).await;
        let expected = Exit {
            code: 137,
            out_of_memory: true,
            error: None,
        };
        assert_eq!(exit, expected);
        self.machine.remove_container(&spec.id).await.unwrap();
        let mut spec = self.spec(&pod(1, 2), &["threads", "50"]);
        spec.pids = Some(16);
        let number = |text: &str| text.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        let threads = number(&self.output_of(spec).await.1);
        assert!((2..=16).contains(&threads), "{threads} threads");
        let mut spec = self.spec(&pod(1, 2), &["burn"]);
        spec.cpu_millis = Some(50);
        let burnt = number(&self.output_of(spec).await.1);
        assert!(burnt < 600, "{burnt} ms of a second, 50 allowed");
    }
}
