//! The same controllers on two APIs: the embedded one, and a real kube-apiserver where `CHOREO_ORACLE`
//! names its kubeconfig (`tests/oracle/oracle run cargo test -p choreo-controllers --test homes`). After
//! every step of a story all objects and conditions must be equal, but for what no two runs have in
//! common: times, versions, identifiers and addresses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

mod essence;
mod home;
mod story;

use std::time::{Duration, Instant};

use self::{home::Home, story::Act};

/// Where the homes differ once they are at rest. On a busy machine one may only seem to be, so that they
/// are given some time to become equal.
async fn in_the_end(embedded: &Home, oracle: &Home) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let (found, wanted) = tokio::join!(embedded.rest(), oracle.rest());
        let differences = essence::differences(&found, &wanted);
        if differences.is_empty() || Instant::now() > deadline {
            return differences;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_is_the_same_on_both() {
    let Some(oracle) = Home::oracle().await else {
        eprintln!("skipped: CHOREO_ORACLE names no kubeconfig of a kube-apiserver");
        return;
    };
    let embedded = Home::embedded().await;
    for (title, act) in story::story() {
        for home in [&embedded, &oracle] {
            match &act {
                Act::Apply(objects) => home.apply(objects).await,
                Act::Answer(answer) => home.apply(&answer(&home.objects().await)).await,
                Act::Delete(kind, name) => home.delete(kind, name).await,
                Act::Run => home.run().await,
            }
        }
        let differences = in_the_end(&embedded, &oracle).await;
        assert!(
            differences.is_empty(),
            "after {title} the homes differ:\n{}",
            differences.join("\n")
        );
    }
    embedded.stop().await;
    oracle.stop().await;
}
