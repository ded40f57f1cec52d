//! Jobs that wait for each other, each on a thread of its own.
//!
//! The caller's thread does one of them. Threads that have slept need many microseconds to begin,
//! as long as a small network needs for all its steps; threads that have just worked are still
//! looking for more, and so is the caller.

use rayon::ThreadPool;
use std::hint;

/// Looks of the caller before it sleeps: about a microsecond, which is what the other threads need
/// to come back from jobs that have ended together.
const LOOKS: u32 = 40;

/// Runs `jobs` all at the same time: one here, and the others on threads of `pool`, which has no
/// other work.
///
/// # Panics
/// If `pool` has too few threads, or one panics.
pub(crate) fn together(pool: &ThreadPool, jobs: Vec<impl FnOnce() + Send>) {
    let here = usize::from(pool.current_thread_index().is_none());
    assert!(jobs.len() <= pool.current_num_threads() + here, "{} jobs at a time", jobs.len());
    let mut jobs = jobs.into_iter();
    let Some(own) = jobs.next() else { return };
    pool.in_place_scope(|scope| {
        jobs.for_each(|job| scope.spawn(|_| job()));
        own();
        (0..LOOKS).for_each(|_| hint::spin_loop());
    });
}
