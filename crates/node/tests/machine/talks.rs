//! Commands, containers and ports are talked to.

use std::time::Duration;

use choreo_node::machine::{Chunk, ContainerSpec, Feed, Interactive, Machine as _, Stdin};

use crate::world::{PATIENCE, World, pod};

/// A session, and what was said in it so far.
struct Talk<'w> {
    world: &'w World,
    number: u64,
    out: String,
    err: String,
    code: Option<i32>,
}

impl Talk<'_> {
    async fn feed(&self, feed: Feed) {
        self.world.machine.feed(self.number, feed).await.unwrap();
    }

    async fn say(&self, text: &str) {
        self.feed(Feed::Data(text.as_bytes().to_vec())).await;
    }

    /// Hears what is said until `enough`.
    async fn hear(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let next = self.world.machine.next(self.number);
            let chunk = tokio::time::timeout(PATIENCE, next).await;
            let Ok(chunk) = chunk else {
                panic!("nothing follows {:?} and {:?}", self.out, self.err);
            };
            match chunk.unwrap() {
                Chunk::Out(bytes) => self.out += str::from_utf8(&bytes).unwrap(),
                Chunk::Err(bytes) => self.err += str::from_utf8(&bytes).unwrap(),
                Chunk::Ended(code) => self.code = Some(code),
            }
        }
    }

    async fn until(&mut self, text: &str) {
        self.hear(|talk| talk.out.contains(text)).await;
    }

    /// Hears all of it.
    async fn end(mut self) -> (i32, String, String) {
        self.hear(|talk| talk.code.is_some()).await;
        self.close().await;
        (self.code.unwrap(), self.out, self.err)
    }

    async fn close(&self) {
        self.world.machine.close(self.number).await.unwrap();
    }
}

impl World {
    async fn talk(&self, with: Interactive) -> Talk<'_> {
        Talk {
            number: self.machine.open(&with).await.unwrap(),
            world: self,
            out: String::new(),
            err: String::new(),
            code: None,
        }
    }

    async fn command(&self, id: &str, words: &[&str], tty: bool) -> Talk<'_> {
        let words = ["/bin/guest"].iter().chain(words);
        self.talk(Interactive::Exec {
            id: id.to_owned(),
            argv: words.map(ToString::to_string).collect(),
            stdin: true,
            tty,
        })
        .await
    }

    async fn attached(&self, spec: &ContainerSpec) -> Talk<'_> {
        self.talk(Interactive::Attach {
            id: spec.id.clone(),
            stdin: true,
        })
        .await
    }

    pub(crate) async fn commands_are_talked_to(&mut self) {
        let mut spec = self.spec(&pod(1, 2), &["sleep"]);
        let users = self.machine.info().user_ids;
        if users > 33 {
            spec.user = (33, 33);
        }
        self.machine.start_container(&spec).await.unwrap();
        let talk = self.command(&spec.id, &["echo"], false).await;
        talk.say("one\ntwo").await;
        talk.feed(Feed::End).await;
        let (code, out, err) = talk.end().await;
        assert_eq!(
            (code, out.as_str()),
            (0, "read one\nread two\nover\n"),
            "{err}"
        );
        // As whom the container runs, and where.
        let talk = self
            .command(&spec.id, &["show", "/proc/self/status"], false)
            .await;
        let (_, out, _) = talk.end().await;
        assert!(
            out.contains(&format!("Uid:\t{0}\t{0}", spec.user.0)),
            "{out}"
        );
        let talk = self.command(&spec.id, &["cwd"], false).await;
        assert_eq!(talk.end().await.1, "/made/for/me\n");

        let mut talk = self.command(&spec.id, &["terminal"], true).await;
        let size = Feed::Resize {
            columns: 81,
            rows: 25,
        };
        talk.feed(size).await;
        talk.say("go\n").await;
        talk.until("[25, 81]").await;
        let (code, out, err) = talk.end().await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(
            out.contains("read \"go\", terminals [true, true, true]"),
            "{out}"
        );
        assert!(
            out.contains("/dev/pts/0 exists: true, controls: true, opens: true"),
            "{out}"
        );
        assert!(out.contains("TERM is xterm"), "{out}");

        let missing = Interactive::Exec {
            id: spec.id.clone(),
            argv: vec!["/bin/missing".to_owned()],
            stdin: false,
            tty: true,
        };
        let (code, out, _) = self.talk(missing).await.end().await;
        assert!(code == 126 && out.contains("/bin/missing"), "{code} {out}");
        self.remove(&spec).await;
    }

    pub(crate) async fn containers_are_attached_to(&mut self) {
        let mut spec = self.spec(&pod(1, 2), &["echo"]);
        spec.stdin = Stdin::Open;
        self.machine.start_container(&spec).await.unwrap();
        let mut one = self.attached(&spec).await;
        let mut other = self.attached(&spec).await;
        one.say("hello\n").await;
        one.until("read hello\n").await;
        other.until("read hello\n").await;
        one.feed(Feed::End).await;
        one.close().await;
        other.say("again\n").await;
        other.until("read again\n").await;
        other.close().await;
        self.remove(&spec).await;

        // What the first says is all there is.
        let mut spec = self.spec(&pod(1, 2), &["echo"]);
        spec.stdin = Stdin::Once;
        self.machine.start_container(&spec).await.unwrap();
        let talk = self.attached(&spec).await;
        let long = "x".repeat(300_000);
        talk.say(&long).await;
        talk.feed(Feed::End).await;
        let (code, out, err) = talk.end().await;
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out == format!("read {long}\nover\n"), "{} bytes", out.len());
        assert_eq!(self.exit_of(&spec.id).await.code, 0);
        let again = Interactive::Attach {
            id: spec.id.clone(),
            stdin: false,
        };
        let ended = self.machine.open(&again);
        assert!(
            ended
                .await
                .unwrap_err()
                .to_string()
                .contains("it has ended")
        );
        self.remove(&spec).await;
    }

    pub(crate) async fn terminals_are_attached_to(&mut self) {
        let mut spec = self.spec(&pod(1, 2), &["terminal"]);
        spec.stdin = Stdin::Open;
        spec.tty = true;
        if self.machine.info().user_ids > 33 {
            spec.user = (33, 33);
        }
        self.machine.start_container(&spec).await.unwrap();
        let talk = self.attached(&spec).await;
        let size = Feed::Resize {
            columns: 83,
            rows: 23,
        };
        talk.feed(size).await;
        talk.say("go\n").await;
        let (code, out, _) = talk.end().await;
        assert!(out.contains("terminals [true, true, true]"), "{out}");
        assert!(
            out.contains("controls: true, opens: true") && out.contains("[23, 83]"),
            "{out}"
        );
        assert_eq!(code, 0);
        assert_eq!(self.exit_of(&spec.id).await.code, 0);
        self.remove(&spec).await;
    }

    pub(crate) async fn ports_are_connected_to(&mut self) {
        let web = pod(1, 2);
        let spec = self.serve(&web, "web").await;
        let port = |port| Interactive::Port {
            pod_uid: web.uid.clone(),
            port,
        };
        let talk = self.talk(port(8080)).await;
        talk.say("GET / HTTP/1.0\r\n\r\n").await;
        talk.feed(Feed::End).await;
        let (code, out, _) = talk.end().await;
        assert!(code == 0 && out.ends_with("\r\n\r\nweb"), "{code} {out}");
        let refused = self.machine.open(&port(81)).await.unwrap_err();
        assert!(refused.to_string().contains("refused"), "{refused}");
        self.remove(&spec).await;
    }

    async fn remove(&self, spec: &ContainerSpec) {
        let machine = &self.machine;
        machine
            .stop_container(&spec.id, Duration::ZERO)
            .await
            .unwrap();
        machine.remove_container(&spec.id).await.unwrap();
    }
}
