//! A thread with an executor and a ring: how glommio is set up so that it runs tasks and does nothing else.

use std::future::Future;
use std::io;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::driver::Ring;

/// Bytes of glommio's own I/O buffers, which nothing uses: our sockets have theirs in the ring's pool.
const GLOMMIO_IO_BYTES: usize = 64 * 1024;
/// Entries of glommio's own rings, which serve nothing.
const GLOMMIO_RING_ENTRIES: usize = 16;
/// With one task queue, whose driver is always runnable, nothing needs to be preempted, and glommio stays in its loop over the
/// tasks. It must not leave it: where its timer has fired before the first task of a round ran (a busy host kept the thread
/// waiting just then), glommio 0.9, by its source, takes the round for idle and parks without a look at its queue. A shard
/// hung once at the default of 100 ms, on a host with a load of 14; this explains it, but was not caught in the act.
const NO_PREEMPTION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs `work` on a thread of its own, bound to `core` where one is given, with a ring that is driven until it ends. `work`
/// gets the kernel's answer instead when there is no ring to be had.
///
/// # Errors
/// The thread cannot be made, or not be bound to its core.
pub fn spawn<T, F>(
    name: &str,
    core: Option<usize>,
    work: impl FnOnce(io::Result<Ring>) -> F + Send + 'static,
) -> io::Result<ExecutorJoinHandle<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .name(name)
        .io_memory(GLOMMIO_IO_BYTES)
        .ring_depth(GLOMMIO_RING_ENTRIES)
        .preempt_timer(NO_PREEMPTION)
        .spawn(move || async move {
            let ring = Ring::new().inspect(Ring::spawn_driver);
            let driven = ring.as_ref().ok().cloned();
            let result = work(ring).await;
            // While the driver is runnable glommio stays in its loop over the tasks and would not see that this one is done.
            if let Some(ring) = driven {
                ring.stop_driver();
            }
            result
        })
        .map_err(|error| io::Error::other(error.to_string()))
}
