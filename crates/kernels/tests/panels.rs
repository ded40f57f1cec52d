//! Products with weights in panels, against sums in f64: at sizes on and off the tiles and
//! blocks, from every initial sum. The bits of a row do not depend on the rows beside it,
//! and nothing outside C is written.

use kernels::cell::panels::{InitialSum, Panels, multiply};
use kernels::matrix::{MatMut, MatRef};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Numbers in [−1, 1) that look random.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

const GUARD: f32 = 12_345.0;

/// `start + a·w`, with a gap of guards behind each row of a and of c.
fn product(
    (rows, depth, columns): (usize, usize, usize),
    a: &[f32],
    panels: &Panels,
    start: &str,
    old: &[f32],
) -> Vec<f32> {
    const GAP: usize = 3;
    let padded = columns.next_multiple_of(16);
    assert_eq!(panels.columns(), padded);
    let spread = |values: &[f32], width: usize, rows: usize| -> Vec<f32> {
        let row = |n: usize| values[n * width..][..width].iter().copied().chain([GUARD; GAP]);
        (0..rows).flat_map(row).collect()
    };
    let a = spread(a, depth, rows);
    let mut c = spread(old, padded, rows);
    let (start, from) = match start {
        "old" => (InitialSum::Old, true),
        "row" => (InitialSum::Row(&old[..padded]), false),
        _ => (InitialSum::Zeros, false),
    };
    if !from {
        c.chunks_exact_mut(padded + GAP).for_each(|row| row[..padded].fill(f32::NAN));
    }
    let a = MatRef::with_stride(&a, rows, depth, depth + GAP);
    multiply(a, panels, start, MatMut::with_stride(&mut c, rows, padded, padded + GAP));
    for row in c.chunks_exact(padded + GAP) {
        assert_eq!(row[padded..], [GUARD; GAP]);
    }
    c.chunks_exact(padded + GAP).flat_map(|row| &row[..padded]).copied().collect()
}

fn check(sizes: (usize, usize, usize), transposed: bool, start: &str, seed: u64) {
    let (rows, depth, columns) = sizes;
    let padded = columns.next_multiple_of(16);
    let (a, w) = (numbers(rows * depth, seed), numbers(depth * columns, seed ^ 1));
    let mut old = numbers(rows.max(1) * padded, seed ^ 2);
    old.chunks_exact_mut(padded).for_each(|row| row[columns..].fill(0.0));
    let mut panels = Panels::default();
    panels.assign(MatRef::new(&numbers(900, 9), 30, 30)); // what was there before counts for nothing
    let at = |p: usize, j: usize| if transposed { w[j * depth + p] } else { w[p * columns + j] };
    if transposed {
        panels.assign(MatRef::new(&w, columns, depth).t());
    } else {
        panels.assign(MatRef::new(&w, depth, columns));
    }
    let found = product(sizes, &a, &panels, start, &old);
    for i in 0..rows {
        for j in 0..padded {
            let first = match start {
                "old" => old[i * padded + j],
                "row" => old[j],
                _ => 0.0,
            };
            let (mut sum, mut size) = (f64::from(first), f64::from(first).abs());
            for p in (0..depth).filter(|_| j < columns) {
                let term = f64::from(a[i * depth + p]) * f64::from(at(p, j));
                sum += term;
                size += term.abs();
            }
            let error = (f64::from(found[i * padded + j]) - sum).abs();
            // γ of Higham, Accuracy and Stability, 3.5; without FMA a product rounds, too
            let unit = 2.0_f64.powi(-24) * (depth + 2) as f64;
            assert!(
                error <= unit / (1.0 - unit) * size,
                "{sizes:?}, {i}, {j}: {error:e} of {size}"
            );
            assert!(j < columns || found[i * padded + j] == 0.0, "the padding of {sizes:?}");
        }
    }
    // the last row alone has the same bits
    if let Some(row) = rows.checked_sub(1) {
        let old = if start == "old" { &old[row * padded..] } else { &old[..padded] };
        let alone = product((1, depth, columns), &a[row * depth..], &panels, start, old);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&alone), bits(&found[row * padded..]), "{sizes:?}");
    }
}

#[test]
fn products_across_tiles_and_blocks_are_those_of_the_reference() {
    for rows in [0, 1, 2, 5, 6, 7, 12, 13, 33] {
        for depth in [1, 8, 127, 128, 129, 260] {
            for columns in [1, 15, 16, 17, 64, 65, 100] {
                for (start, transposed) in [("zeros", false), ("row", true), ("old", true)] {
                    check((rows, depth, columns), transposed, start, 7);
                }
            }
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let mut panels = Panels::default();
    panels.assign(MatRef::new(&[0.0; 30], 5, 6));
    let a = [0.0; 40];
    for (depth, columns, start) in [(4, 16, 16), (5, 6, 16), (5, 32, 16), (5, 16, 6)] {
        let mut c = vec![0.0; 2 * columns];
        let refused = catch_unwind(AssertUnwindSafe(|| {
            let a = MatRef::new(&a[..2 * depth], 2, depth);
            multiply(
                a,
                &panels,
                InitialSum::Row(&[0.0; 16][..start]),
                MatMut::new(&mut c, 2, columns),
            );
        }));
        assert!(refused.is_err(), "{depth} {columns} {start}");
    }
}

#[test]
fn large_weights_alone_are_worth_it() {
    assert!(!Panels::pay(256, 1024) && Panels::pay(257, 1024) && Panels::pay(512, 1536));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn products_of_any_size_are_those_of_the_reference(
        rows in 0_usize..40, depth in 1_usize..300, columns in 1_usize..200,
        transposed: bool, start in prop::sample::select(vec!["zeros", "row", "old"]), seed: u64,
    ) {
        check((rows, depth, columns), transposed, start, seed);
    }
}
