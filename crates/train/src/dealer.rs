//! Trials dealt out over ranks: rank 0 gives them out, the others ask, and whoever is done first gets
//! the next.
//!
//! ```text
//! rank 0    its own threads take one trial at a time; it answers whoever asks
//! others    each thread: what came of the last trials → rank 0; the next ones ← rank 0; none: the end
//!           then they wait until rank 0 has all: a rank that has left gives no sign of life
//! ```
//!
//! A trial may be so short that asking for it costs as much as making it. So a thread is given as
//! many as it makes in [`PORTION`], but no more than it will have made by the time that the others
//! have made the rest: at the end nobody waits for a slow rank longer than for one trial.
//!
//! The ranks on a machine share its cores, and a trial has one thread.

use crate::Error;
use crate::transport::Transport;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// Seconds of work that a thread is given at a time.
pub const PORTION: f64 = 0.05;

/// Bytes of a machine's name that are looked at.
const NAME: usize = 64;

/// What a thread tells when it asks for more.
#[derive(Serialize, Deserialize)]
struct Report<R> {
    /// By the number of the trial.
    ended: Vec<(usize, R)>,
    /// That these took.
    seconds: f64,
    /// Why it gives no more.
    failed: Option<String>,
}

/// How many trials a thread is given.
#[derive(Debug)]
struct Portions {
    /// All threads of all ranks.
    threads: usize,
    /// Of a trial, of each rank, as soon as it has made one.
    seconds: Vec<Option<f64>>,
}

impl Portions {
    fn new(threads: &[usize]) -> Self {
        Self { threads: threads.iter().sum(), seconds: vec![None; threads.len()] }
    }

    /// A thread of `rank` has made so many trials in so many seconds.
    fn told(&mut self, rank: usize, trials: usize, seconds: f64) {
        if trials > 0 {
            self.seconds[rank] = Some((seconds / trials as f64).max(1e-9));
        }
    }

    /// The trials for a thread of `rank`, if there are so many left.
    fn next(&self, rank: usize, left: usize) -> usize {
        let Some(own) = self.seconds[rank] else { return left.min(1) };
        let fastest = self.seconds.iter().flatten().copied().fold(own, f64::min);
        // The others need at least twice that time for what is left.
        let until_the_end = left as f64 * fastest / (2 * self.threads) as f64;
        left.min(((until_the_end.min(PORTION) / own) as usize).max(1))
    }
}

/// The trials that nobody has, and why there are no more.
struct Left<I, E> {
    jobs: I,
    next: usize,
    count: usize,
    failed: Option<E>,
}

impl<I: Iterator, E> Left<I, E> {
    fn take(&mut self, count: usize) -> Vec<(usize, I::Item)> {
        let count = count.min(self.len());
        let given: Vec<_> = (self.next..).zip(self.jobs.by_ref().take(count)).collect();
        self.next += given.len();
        given
    }

    fn len(&self) -> usize {
        self.count - self.next
    }

    /// Nothing more is given out.
    fn end(&mut self) {
        self.count = self.next;
    }

    fn fail(&mut self, error: E) {
        self.end();
        self.failed.get_or_insert(error);
    }
}

/// Ends the giving out if its thread panics.
struct EndOnPanic<'a, I: Iterator, E>(&'a Mutex<Left<I, E>>);

impl<I: Iterator, E> Drop for EndOnPanic<'_, I, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(self.0).end();
        }
    }
}

/// Lets the other ranks go, at the end of [`lead`], whatever that is.
struct Farewell<'a>(&'a dyn Transport);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        (1..self.0.ranks()).for_each(|rank| self.0.send_bytes(rank, &[]));
    }
}

/// As rank 0: has each of `jobs`, of which there are `count`, made once, by this rank and the others,
/// which [`follow`]. `ended` is
/// told the number of each and what came of it, in any order. After an error, and once `is_stopped`
/// says so, no trial is begun; `work` that was begun may end without a result then.
///
/// # Errors
/// Those of `work`, here or on another rank ([`Error::Rank`]), and of `ended`.
///
/// # Panics
/// If `work` does, or this is another rank than 0.
pub fn lead<J, R, E>(
    transport: &dyn Transport,
    (jobs, count): (impl Iterator<Item = J> + Send, usize),
    is_stopped: impl Fn() -> bool + Sync,
    work: impl Fn(&J) -> Result<Option<R>, E> + Sync,
    ended: impl FnMut(usize, R) -> Result<(), E> + Send,
) -> Result<(), E>
where
    J: Serialize,
    R: DeserializeOwned + Send,
    E: From<Error> + Send,
{
    assert_eq!(transport.rank(), 0, "rank 0 leads");
    let threads = threads(transport);
    let _farewell = Farewell(transport);
    let left = Mutex::new(Left { jobs, next: 0, count, failed: None });
    let ended = Mutex::new(ended);
    let take = |count: &dyn Fn(usize) -> usize| {
        let mut left = lock(&left);
        if is_stopped() {
            left.end();
        }
        let count = count(left.len());
        left.take(count)
    };
    let keep = |number: usize, result: R| {
        let kept = (lock(&ended))(number, result);
        kept.unwrap_or_else(|error| lock(&left).fail(error));
    };
    let own = || {
        let _guard = EndOnPanic(&left);
        while let [(number, job)] = &take(&|left| left.min(1))[..] {
            match work(job) {
                Ok(Some(result)) => keep(*number, result),
                Ok(None) => {}
                Err(error) => lock(&left).fail(error),
            }
        }
    };
    thread::scope(|scope| {
        (0..threads[0]).for_each(|_| drop(scope.spawn(own)));
        let mut portions = Portions::new(&threads);
        let mut others: usize = threads[1..].iter().sum();
        while others > 0 {
            let (rank, bytes) = transport.receive_bytes(None);
            let report: Report<R> = postcard::from_bytes(&bytes).expect("what a rank reports");
            portions.told(rank, report.ended.len(), report.seconds);
            report.ended.into_iter().for_each(|(number, result)| keep(number, result));
            if let Some(reason) = report.failed {
                lock(&left).fail(Error::Rank { rank, reason }.into());
            }
            let given = take(&|left| portions.next(rank, left));
            others -= usize::from(given.is_empty());
            let bytes = postcard::to_stdvec(&given).expect("numbers and names");
            transport.send_bytes(rank, &bytes);
        }
    });
    left.into_inner().unwrap_or_else(PoisonError::into_inner).failed.map_or(Ok(()), Err)
}

/// As another rank than 0: makes what rank 0, which [`lead`]s, gives out, until it gives no more.
/// An error of `work` is told to it, and nobody else.
///
/// # Panics
/// If `work` does, or this is rank 0.
pub fn follow<J, R, E>(
    transport: &dyn Transport,
    is_stopped: impl Fn() -> bool + Sync,
    work: impl Fn(&J) -> Result<Option<R>, E> + Sync,
) where
    J: DeserializeOwned,
    R: Serialize,
    E: Display,
{
    assert_ne!(transport.rank(), 0, "rank 0 leads");
    let threads = threads(transport)[transport.rank()];
    let asking = Mutex::new(());
    let ask = |report: &Report<R>| -> Vec<(usize, J)> {
        let bytes = postcard::to_stdvec(report).expect("plain data");
        // Rank 0 answers at once, so nobody waits for long.
        let _asking = lock(&asking);
        transport.send_bytes(0, &bytes);
        postcard::from_bytes(&transport.receive_bytes(Some(0)).1).expect("what rank 0 gives out")
    };
    let own = || {
        let mut report = Report { ended: Vec::new(), seconds: 0.0, failed: None };
        loop {
            let given = ask(&report);
            if given.is_empty() {
                return;
            }
            let start = Instant::now();
            report = Report { ended: Vec::new(), seconds: 0.0, failed: None };
            for (number, job) in given {
                if is_stopped() {
                    break;
                }
                match work(&job) {
                    Ok(Some(result)) => report.ended.push((number, result)),
                    Ok(None) => break,
                    Err(error) => {
                        report.failed = Some(error.to_string());
                        break;
                    }
                }
            }
            report.seconds = start.elapsed().as_secs_f64();
        }
    };
    thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(own)));
    });
    transport.receive_bytes(Some(0));
}

/// The threads of each rank: all ranks tell each other their machines, whose cores those that are
/// there share. At least one each.
fn threads(transport: &dyn Transport) -> Vec<usize> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut own = [0; NAME + 8];
    let length = name.len().min(NAME);
    own[..length].copy_from_slice(&name.as_bytes()[..length]);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    own[NAME..].copy_from_slice(&(cores as u64).to_le_bytes());
    let mut all = vec![0; own.len() * transport.ranks()];
    transport.all_gather_bytes(&own, &mut all);
    let all: Vec<_> = all.chunks_exact(own.len()).map(|one| one.split_at(NAME)).collect();
    let of_rank = |rank: usize| {
        let (name, cores) = all[rank];
        let here: Vec<_> = (0..all.len()).filter(|&other| all[other].0 == name).collect();
        let cores = u64::from_le_bytes(cores.try_into().expect("eight bytes")) as usize;
        // The first ones have one more, if it does not come out even.
        let place = here.iter().position(|&other| other == rank).unwrap_or(0);
        (cores / here.len() + usize::from(place < cores % here.len())).max(1)
    };
    (0..all.len()).map(of_rank).collect()
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Threads;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    type Work<'a> = dyn Fn(usize, &u64) -> Result<Option<u64>, Error> + Sync + 'a;

    /// What rank 0 is told, by number, on so many ranks.
    fn dealt(
        ranks: usize,
        jobs: &[u64],
        is_stopped: &(dyn Fn() -> bool + Sync),
        work: &Work<'_>,
    ) -> (Vec<Option<u64>>, Result<(), Error>) {
        let mut results = vec![None; jobs.len()];
        let mut transports = Threads::new(ranks).into_iter();
        let first = transports.next().unwrap();
        let led = thread::scope(|scope| {
            for transport in transports {
                scope.spawn(move || {
                    let rank = transport.rank();
                    follow(&transport, is_stopped, |job: &u64| work(rank, job));
                });
            }
            let all = (jobs.iter().copied(), jobs.len());
            lead(
                &first,
                all,
                is_stopped,
                |job| work(0, job),
                |number, result| {
                    assert_eq!(results[number].replace(result), None, "made once");
                    Ok(())
                },
            )
        });
        (results, led)
    }

    #[test]
    fn results_are_those_of_one_rank_and_all_are_made_once() {
        let jobs: Vec<u64> = (5..205).collect();
        for ranks in 1..=5 {
            let (results, led) = dealt(ranks, &jobs, &|| false, &|_, job| Ok(Some(job * job)));
            led.unwrap();
            assert!(results.into_iter().eq(jobs.iter().map(|job| Some(job * job))), "{ranks}");
            let (results, led) = dealt(ranks, &[], &|| false, &|_, _| Ok(None));
            assert!(results.is_empty() && led.is_ok());
        }
    }

    #[test]
    fn every_rank_works_and_a_slow_one_makes_less() {
        let made = [(); 3].map(|()| AtomicUsize::new(0));
        let jobs: Vec<u64> = (0..60).collect();
        let (results, _) = dealt(3, &jobs, &|| false, &|rank, _| {
            made[rank].fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(if rank == 2 { 40 } else { 4 }));
            Ok(Some(0))
        });
        assert!(results.iter().all(Option::is_some));
        let made = made.map(AtomicUsize::into_inner);
        assert!(made[1] > 0 && made[2] > 0 && made[2] < made[1], "{made:?}");
    }

    #[test]
    fn an_error_on_any_rank_ends_all_and_names_the_rank() {
        for bad in 0..3 {
            let begun = AtomicUsize::new(0);
            let jobs: Vec<u64> = (0..10_000).collect();
            let (_, led) = dealt(3, &jobs, &|| false, &|rank, job| {
                begun.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(100));
                if rank == bad && *job > 3 {
                    return Err(Error::Task("bad luck".to_owned()));
                }
                Ok(Some(0))
            });
            let text = led.unwrap_err().to_string();
            let expected =
                if bad == 0 { "bad luck".into() } else { format!("rank {bad}: bad luck") };
            assert_eq!(text, expected);
            assert!(begun.into_inner() < 5_000);
        }
    }

    #[test]
    fn who_is_stopped_keeps_what_is_done() {
        let is_stopped = AtomicBool::new(false);
        let done = AtomicUsize::new(0);
        let jobs: Vec<u64> = (0..1_000_000).collect();
        let asked = || is_stopped.load(Ordering::Relaxed);
        let (results, led) = dealt(4, &jobs, &asked, &|_, job| {
            if *job == 500 {
                is_stopped.store(true, Ordering::Relaxed);
                return Ok(None);
            }
            thread::sleep(Duration::from_micros(20));
            done.fetch_add(1, Ordering::Relaxed);
            Ok(Some(*job))
        });
        led.unwrap();
        let kept = results.iter().flatten().count();
        assert_eq!(kept, done.load(Ordering::Relaxed));
        assert!(kept < jobs.len());
    }

    #[test]
    fn a_rank_that_panics_ends_the_others() {
        let jobs: Vec<u64> = (0..1_000_000).collect();
        let work: &Work<'_> = &|rank, job| {
            assert!(rank > 0 || *job < 100, "a mistake of rank 0");
            thread::sleep(Duration::from_micros(20));
            Ok(Some(0))
        };
        let dealt = || dealt(2, &jobs, &|| false, work);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(dealt)).is_err());
    }

    proptest! {
        /// Without a clock: ranks of any speeds, each with one thread, ask in the order in which
        /// they are done.
        #[test]
        fn nobody_waits_for_a_slow_rank_longer_than_for_one_trial(
            seconds in prop::collection::vec(1e-4..1.0_f64, 2..9), count in 0..3_000_usize,
        ) {
            let mut portions = Portions::new(&vec![1; seconds.len()]);
            let (mut left, mut made) = (count, 0);
            // When each asks next, and how many it has; those that are at their end are left out.
            let mut asks: Vec<Option<(f64, usize)>> = vec![Some((0.0, 0)); seconds.len()];
            let mut ends = vec![0.0; seconds.len()];
            while let Some(rank) = (0..seconds.len())
                .filter(|&rank| asks[rank].is_some())
                .min_by(|&a, &b| asks[a].unwrap().0.total_cmp(&asks[b].unwrap().0))
            {
                let (now, has) = asks[rank].take().unwrap();
                ends[rank] = now;
                made += has;
                portions.told(rank, has, has as f64 * seconds[rank]);
                let given = portions.next(rank, left);
                prop_assert!(given <= left && (given > 0) == (left > 0));
                prop_assert!(given <= 1 || given as f64 * seconds[rank] <= PORTION);
                left -= given;
                if given > 0 {
                    asks[rank] = Some((now + given as f64 * seconds[rank], given));
                }
            }
            prop_assert_eq!(made, count);
            for rank in 0..seconds.len() {
                let others = (0..seconds.len()).filter(|&other| other != rank);
                let others = others.map(|other| ends[other]).fold(0.0, f64::max);
                let waited = ends[rank] - others;
                prop_assert!(waited <= seconds[rank] * (1.0 + 1e-9), "{} {}", waited, seconds[rank]);
            }
        }
    }
}
