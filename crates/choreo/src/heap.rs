//! The heap of a process that lasts: what it does not need is given back to the machine.

/// Lets the heap give back what is free while the process rests. It needs a thread for that, which
/// commands that end soon and the helpers of containers can do without.
pub(crate) fn give_back_at_rest() {
    #[cfg(feature = "jemalloc")]
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "what is free on the heap is given back only while it is used");
    }
}
