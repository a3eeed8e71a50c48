//! The allocator, which is the platform's, and what one thread takes from it. Counting costs
//! something too: renderings, which allocate much, take about a tenth longer. So nothing is counted
//! unless the feature `allocations` asks for it.

#[cfg(not(feature = "jemalloc"))]
use std::alloc::System as Heap;

#[cfg(feature = "jemalloc")]
use tikv_jemallocator::Jemalloc as Heap;

#[cfg(not(feature = "allocations"))]
#[global_allocator]
static ALLOCATOR: Heap = Heap;

#[cfg(feature = "allocations")]
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<Heap> = alloc_tracker::Allocator::new(Heap);

/// Lets the heap give back what is free while the process rests, as the platform does.
pub(crate) fn give_back_at_rest() {
    #[cfg(feature = "jemalloc")]
    // Without it the figures are worse, which whoever measures sees.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}

/// What was allocated on this thread while something ran, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Allocated {
    /// All of it, whatever was given back.
    pub(crate) total: f64,
    /// The most that was held at one time.
    pub(crate) peak: f64,
}

/// Runs `run`, and tells what it allocated; nothing where that is not counted.
#[cfg(not(feature = "allocations"))]
pub(crate) fn of<R>(run: impl FnOnce() -> R) -> (R, Option<Allocated>) {
    (run(), None)
}

/// Runs `run`, and tells what it allocated.
#[cfg(feature = "allocations")]
pub(crate) fn of<R>(run: impl FnOnce() -> R) -> (R, Option<Allocated>) {
    let session = alloc_tracker::Session::new().no_stdout().no_file();
    let operation = session.operation("run");
    let result = {
        let _span = operation.measure_thread().iterations(1);
        run()
    };
    let report = session.to_report();
    let counted = report.operations().next().map(|(_, counted)| Allocated {
        total: counted.bytes().unwrap_or_default(),
        peak: counted.peak_outstanding_bytes().unwrap_or_default(),
    });
    (result, counted)
}

#[cfg(all(test, feature = "allocations"))]
mod tests {
    use super::*;

    #[test]
    fn all_is_counted_and_the_most_at_one_time() {
        let ((), counted) = of(|| {
            for _ in 0..3 {
                drop(std::hint::black_box(vec![0_u8; 1 << 20]));
            }
        });
        let counted = counted.unwrap();
        let megabytes = |bytes: f64| (bytes / f64::from(1 << 20)).round();
        assert!((megabytes(counted.total) - 3.0).abs() < 0.5, "{counted:?}");
        assert!((megabytes(counted.peak) - 1.0).abs() < 0.5, "{counted:?}");
    }
}
