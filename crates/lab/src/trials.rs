//! Many networks on all cores, or on all ranks: a trial each, by number.

use crate::settings::Watch;
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use train::dealer::{follow, lead};
use train::transport::Transport;

/// What `trial` makes of each number below `count`, on all cores; none for those that were not
/// begun when the watch said stop. What comes out does not depend on how many cores there are: a
/// trial knows its number alone. On another rank than 0 nothing does: see [`Watch::ranks`].
///
/// Who numbers the seeds in the outer and the kinds in the inner loop, has about as many of each
/// kind when it stops.
pub(crate) fn each<T: Send + Serialize + DeserializeOwned>(
    count: usize,
    watch: Watch<'_>,
    trial: impl Fn(usize) -> T + Sync,
) -> Vec<Option<T>> {
    if let Some(transport) = watch.ranks {
        return dealt(transport, count, watch, trial);
    }
    let one = |number| {
        if (watch.is_stopped)() {
            return None;
        }
        let result = trial(number);
        (watch.done)();
        Some(result)
    };
    // Taken one by one in their order, and not in halves as rayon likes to: a stop leaves no gaps.
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let done: Vec<(usize, Option<T>)> =
        (0..count).par_bridge().map(|number| (number, one(number))).collect();
    done.into_iter().for_each(|(number, result)| results[number] = result);
    results
}

/// [`each`] on all ranks.
fn dealt<T: Send + Serialize + DeserializeOwned>(
    transport: &dyn Transport,
    count: usize,
    watch: Watch<'_>,
    trial: impl Fn(usize) -> T + Sync,
) -> Vec<Option<T>> {
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let work = |&number: &usize| -> Result<Option<T>, train::Error> { Ok(Some(trial(number))) };
    if transport.rank() > 0 {
        follow(transport, watch.is_stopped, work);
        return results;
    }
    let led = lead(transport, (0..count, count), watch.is_stopped, work, |number, result| {
        results[number] = Some(result);
        (watch.done)();
        Ok(())
    });
    led.expect("a trial does not fail");
    results
}

/// The results of trials by kind: number n is of kind n mod `kinds`.
pub(crate) fn by_kind<T>(kinds: usize, results: Vec<Option<T>>) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = (0..kinds).map(|_| Vec::new()).collect();
    for (number, result) in results.into_iter().enumerate() {
        all[number % kinds].extend(result);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use train::transport::Threads;

    #[test]
    fn results_stand_by_number_and_are_counted() {
        let done = AtomicUsize::new(0);
        let tell = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        let watch = Watch { done: &tell, ..Watch::NOBODY };
        let squares = each(100, watch, |n| n * n);
        assert!(squares.into_iter().eq((0..100).map(|n| Some(n * n))));
        assert_eq!(done.into_inner(), 100);
        let kinds = by_kind(3, vec![Some(0), Some(1), Some(2), None, Some(4)]);
        assert_eq!(kinds, [vec![0], vec![1, 4], vec![2]]);
    }

    #[test]
    fn who_stops_keeps_what_is_done() {
        let done = AtomicUsize::new(0);
        let tell = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        let is_stopped = || done.load(Ordering::Relaxed) >= 5;
        let watch = Watch { done: &tell, is_stopped: &is_stopped, ranks: None };
        let results = each(1_000, watch, |n| n);
        let kept = results.iter().flatten().count();
        assert!((5..500).contains(&kept), "{kept}");
        assert_eq!(done.into_inner(), kept);
    }

    #[test]
    fn ranks_share_the_trials_and_rank_0_has_their_results() {
        let done = AtomicUsize::new(0);
        let tell = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        std::thread::scope(|scope| {
            let mut transports = Threads::new(3).into_iter();
            let first = transports.next().unwrap();
            for transport in transports {
                scope.spawn(move || {
                    let watch = Watch { ranks: Some(&transport), ..Watch::NOBODY };
                    assert!(watch.is_helper());
                    // Two studies, one after the other.
                    assert!(each(100, watch, |n| n * n).iter().all(Option::is_none));
                    assert!(each(7, watch, |n| n).iter().all(Option::is_none));
                });
            }
            let watch = Watch { done: &tell, ranks: Some(&first), ..Watch::NOBODY };
            assert!(each(100, watch, |n| n * n).into_iter().eq((0..100).map(|n| Some(n * n))));
            assert!(each(7, watch, |n| n).into_iter().eq((0..7).map(Some)));
        });
        assert_eq!(done.into_inner(), 107);
    }
}
