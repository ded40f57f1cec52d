//! Many networks on all cores: a trial each, by number.

use crate::settings::Watch;
use rayon::prelude::*;

/// What `trial` makes of each number below `count`, on all cores; none for those that were not
/// begun when the watch said stop. What comes out does not depend on how many cores there are: a
/// trial knows its number alone.
///
/// Who numbers the seeds in the outer and the kinds in the inner loop, has about as many of each
/// kind when it stops.
pub(crate) fn each<T: Send>(
    count: usize,
    watch: Watch<'_>,
    trial: impl Fn(usize) -> T + Sync,
) -> Vec<Option<T>> {
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

    #[test]
    fn results_stand_by_number_and_are_counted() {
        let done = AtomicUsize::new(0);
        let tell = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        let watch = Watch { done: &tell, is_stopped: &|| false };
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
        let results = each(1_000, Watch { done: &tell, is_stopped: &is_stopped }, |n| n);
        let kept = results.iter().flatten().count();
        assert!((5..500).contains(&kept), "{kept}");
        assert_eq!(done.into_inner(), kept);
    }
}
