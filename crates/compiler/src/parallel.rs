//! Work on many things at once. What comes out does not depend on how many processors there are.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// Fewer than this are not worth a thread.
const FEW: usize = 32;

/// What `run` makes of each of `items`, in their order. `start` makes what each thread keeps for
/// itself.
pub(crate) fn map<T, K, R>(
    items: &[T],
    start: impl Fn() -> K + Sync,
    run: impl Fn(&K, &T) -> R + Sync,
) -> Vec<R>
where
    T: Sync,
    R: Send,
{
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = processors.min(items.len().div_ceil(FEW)).max(1);
    let part = |part: &[T]| {
        let kept = start();
        part.iter().map(|item| run(&kept, item)).collect::<Vec<R>>()
    };
    if workers == 1 {
        return part(items);
    }
    let parts = thread::scope(|scope| {
        let chunks = items.chunks(items.len().div_ceil(workers));
        let threads: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || part(chunk)))
            .collect();
        let joined = threads.into_iter().map(|thread| {
            // Whatever went wrong there went wrong here.
            thread.join().unwrap_or_else(|cause| resume_unwind(cause))
        });
        joined.collect::<Vec<_>>()
    });
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order() {
        for count in [0, 1, FEW, 10 * FEW + 1] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map(&items, || (), |(), item| item * 2), doubled);
        }
    }
}
