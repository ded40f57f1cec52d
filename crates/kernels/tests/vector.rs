//! The vector helpers against plain f64 loops, at every length across the edges
//! of a lane and of a block of sums, at every alignment.

use kernels::{
    lanes::LANES,
    reference::gamma,
    vector::{SUMS, axpy, clip, dot, roundings, scale, squared_norm},
};
use proptest::prelude::*;

/// Numbers in [−1, 1) that differ between places and between seeds.
fn values(seed: u32, length: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let next = move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(next).collect()
}

/// The lengths around every edge.
fn lengths() -> impl Iterator<Item = usize> {
    let block = SUMS * LANES;
    (0..=3 * LANES + 1).chain(block - 2..=block + 2).chain([
        2 * block - 1,
        2 * block,
        2 * block + LANES + 1,
        1009,
    ])
}

/// Calls `check` with two vectors of every length at every alignment.
fn every(check: impl Fn(&[f32], &mut [f32])) {
    for length in lengths() {
        for offset in [0, 1, LANES - 1] {
            let x = values(1, length + offset);
            let mut y = values(2, length + offset + 3);
            let before = y.clone();
            check(&x[offset..], &mut y[offset..offset + length]);
            assert_eq!(y[..offset], before[..offset]);
            assert_eq!(y[offset + length..], before[offset + length..]);
        }
    }
}

#[test]
fn valgrind_axpy() {
    every(|x, y| {
        let old = y.to_vec();
        axpy(-0.3, x, y);
        for ((x, old), new) in x.iter().zip(old).zip(y) {
            let (product, old) = (f64::from(-0.3_f32) * f64::from(*x), f64::from(old));
            let error = (f64::from(*new) - (product + old)).abs();
            assert!(error <= gamma(2) * (product.abs() + old.abs()));
        }
    });
}

#[test]
fn valgrind_scale_and_clip() {
    every(|_, y| {
        let old = y.to_vec();
        scale(3.0, y);
        assert!(old.iter().zip(&*y).all(|(old, new)| *new == 3.0 * old));
        clip(0.75, y);
        let clipped = old.iter().map(|old| (3.0 * old).clamp(-0.75, 0.75));
        assert!(clipped.eq(y.iter().copied()));
    });
}

#[test]
fn clip_keeps_nan_and_stops_infinities() {
    let mut x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5, -0.0];
    clip(2.0, &mut x);
    assert!(x[0].is_nan());
    assert_eq!(x[1..], [2.0, -2.0, 0.5, 0.0]);
    clip(0.0, &mut x[1..]);
    assert_eq!(x[1..], [0.0; 4]);
}

fn check_sums(x: &[f32], y: &[f32]) {
    let products = || x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y));
    let (exact, magnitude) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
    let bound = gamma(roundings(x.len()));
    assert!((f64::from(dot(x, y)) - exact).abs() <= bound * magnitude);
    let exact = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    assert!((f64::from(squared_norm(x)) - exact).abs() <= bound * exact);
}

#[test]
fn valgrind_sums() {
    every(|x, y| check_sums(x, y));
}

#[test]
fn long_sums_stay_within_the_bound() {
    let ones = vec![1.0_f32; (1 << 24) + 5];
    // One sum alone would stop at 2²⁴.
    assert_eq!(squared_norm(&ones), (1 << 24) as f32 + 4.0);
    let x = values(3, 1_000_003);
    check_sums(&x, &values(4, x.len()));
}

#[test]
#[should_panic(expected = "x holds 2 values, y 3")]
fn lengths_that_differ_are_named() {
    dot(&[0.0; 2], &[0.0; 3]);
}

#[test]
#[should_panic(expected = "a limit of -1")]
fn a_negative_limit_is_refused() {
    clip(-1.0, &mut []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_sums(pairs in prop::collection::vec((-1e3..1e3_f32, -1e3..1e3_f32), 0..600)) {
        let (x, y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        check_sums(&x, &y);
    }
}
