//! How many pods and containers are made at once.
//!
//! Hundreds of them begun together, as after a restart, would share the processors, and the first would
//! be done with the last. Containers have turns of their own, so that the first of them need not wait
//! until every pod is there.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Error, Result};

/// The turns of a machine, given in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Turns {
    pods: Semaphore,
    containers: Semaphore,
}

impl Turns {
    /// Two for each processor: while one waits, for the disk or the kernel, another goes on.
    pub(super) fn of_this_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(2 * processors)
    }

    fn new(count: usize) -> Self {
        Self {
            pods: Semaphore::new(count),
            containers: Semaphore::new(count),
        }
    }

    /// Waits for a turn to make the frame of a pod; it lasts until it is dropped.
    pub(super) async fn pod(&self) -> Result<SemaphorePermit<'_>> {
        self.pods.acquire().await.map_err(|_| Error::Lost)
    }

    /// Waits for a turn to start a container; it lasts until it is dropped.
    pub(super) async fn container(&self) -> Result<SemaphorePermit<'_>> {
        self.containers.acquire().await.map_err(|_| Error::Lost)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn containers_do_not_wait_for_pods() {
        let turns = Turns::new(1);
        let pod = turns.pod().await.unwrap();
        assert!(turns.pod().now_or_never().is_none());
        let _container = turns.container().now_or_never().unwrap().unwrap();
        assert!(turns.container().now_or_never().is_none());
        drop(pod);
        assert!(turns.pod().now_or_never().is_some());
    }
}
