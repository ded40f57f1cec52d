//! What a state is remembered by for longest: the direction in which a small change of it still
//! shows after many symbols.
//!
//! Across that direction a set may be thick at no cost: it is forgotten. Along it errors of every step
//! add up. So the first axis of a leaf is this one, and its segments lie along it.

use crate::axes::{axes_behind, principal_axes};
use crate::machine::Transitions;
use crate::network::Net;

/// The symbols of the chains along which it is asked.
const CHAIN: usize = 12;
/// What is remembered less than this after a chain is forgotten.
const REMEMBERED: f64 = 0.1;
/// So many of the states are asked.
const ASKED: usize = 6;
/// Steps of the power iteration; a direction that is nearly as good is as good.
const ITERATIONS: usize = 20;
/// The change of a number by which a derivative is taken.
const CHANGE: f64 = 1e-5;

/// Axes for `states`, which belong to the machine's `state`, as rows `[N, N]`: the direction that is
/// remembered longest, and principal axes behind it; without such a direction principal axes.
pub(crate) fn axes(
    net: &Net,
    machine: &Transitions,
    state: usize,
    states: &[Vec<f64>],
) -> Vec<f64> {
    let axes = principal_axes(states);
    let along = |state: &[f64]| axes.iter().zip(state).map(|(a, s)| a * s).sum::<f64>();
    let mut order: Vec<&[f64]> = states.iter().map(Vec::as_slice).collect();
    order.sort_by(|a, b| along(a).total_cmp(&along(b)));
    match remembered(net, machine, state, &order) {
        Some(first) => axes_behind(&first, states),
        None => axes,
    }
}

/// Of all chains of one symbol behind some of `states`, which lie in their order along a curve and
/// belong to the machine's `state`: the direction of the change that is largest afterwards, `[N]`;
/// none if all are forgotten.
fn remembered(
    net: &Net,
    machine: &Transitions,
    state: usize,
    states: &[&[f64]],
) -> Option<Vec<f64>> {
    let (mut most, mut found) = (REMEMBERED, None);
    for n in 0..ASKED {
        let from = states[n * (states.len() - 1) / (ASKED - 1)];
        for symbol in machine.all() {
            let chain = [symbol; CHAIN];
            if machine.follow(state, &chain).is_none() {
                continue;
            }
            let (share, direction) = largest_change(&derivatives(net, from, &chain));
            if share > most {
                (most, found) = (share, Some(direction));
            }
        }
    }
    found
}

/// `[N][N]`: how the state after `word` changes with each number of the one before.
fn derivatives(net: &Net, from: &[f64], word: &[u8]) -> Vec<Vec<f64>> {
    let to = net.follow(from, word);
    let by = |n: usize| {
        let mut changed = from.to_vec();
        changed[n] += CHANGE;
        let after = net.follow(&changed, word);
        after.iter().zip(&to).map(|(after, to)| (after - to) / CHANGE).collect()
    };
    (0..from.len()).map(by).collect()
}

/// The largest singular value of the derivatives, and the direction that it belongs to (Golub and
/// Van Loan, Matrix Computations, section 8.2).
fn largest_change(derivatives: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let size = derivatives.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // One that is orthogonal to no direction by chance, and the same each time.
    let mut direction: Vec<f64> = (0..size).map(|n| 1.0 + (n as f64 * 0.7).sin()).collect();
    let mut share = 0.0;
    for _ in 0..ITERATIONS {
        let mut change = vec![0.0; size];
        for (row, value) in derivatives.iter().zip(&direction) {
            change.iter_mut().zip(row).for_each(|(change, by)| *change += by * value);
        }
        direction = derivatives.iter().map(|row| dot(row, &change)).collect();
        let length = dot(&direction, &direction).sqrt();
        if length < 1e-30 {
            return (0.0, direction);
        }
        direction.iter_mut().for_each(|value| *value /= length);
        share = length.sqrt();
    }
    (share, direction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_that_is_remembered_is_found_in_the_derivatives() {
        // (x, y, z) leads to (3·(0.6·x + 0.8·z), 0.5·y, 0)
        let derivatives = [[1.8, 0.0, 0.0], [0.0, 0.5, 0.0], [2.4, 0.0, 0.0]].map(Vec::from);
        let (share, direction) = largest_change(&derivatives);
        assert!((share - 3.0).abs() < 1e-9, "{share}");
        for (found, expected) in direction.iter().zip([0.6, 0.0, 0.8]) {
            assert!((found - expected).abs() < 1e-9, "{direction:?}");
        }
        assert_eq!(largest_change(&[vec![0.0; 2], vec![0.0; 2]]).0, 0.0);
    }
}
