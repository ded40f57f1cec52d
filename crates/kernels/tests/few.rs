//! Products of a few rows with weights where they lie, beside f64, over sizes on and off the lanes
//! and tiles.

use kernels::buffer::Buffer;
use kernels::cell::few::{add_product, transpose};
use kernels::matrix::{MatMut, MatRef};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn values(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|n| (((n + seed) * 7_919 % 2_003) as f32 / 1_001.5) - 1.0).collect()
}

/// `C + A·W` for views with gaps of `gap` values behind each row, within the bound of a sum of
/// depth + 1 values, whose gaps stay as they were.
fn check(rows: usize, depth: usize, columns: usize, gap: usize) {
    let stride = |columns: usize| columns + gap;
    let a = values(1, rows * stride(depth));
    let w = values(2, depth * stride(columns));
    let before = values(3, rows * stride(columns));
    let mut c = before.clone();
    let a_view = MatRef::with_stride(&a, rows, depth, stride(depth));
    let w_view = MatRef::with_stride(&w, depth, columns, stride(columns));
    add_product(a_view, w_view, MatMut::with_stride(&mut c, rows, columns, stride(columns)));
    for (place, (&found, &start)) in c.iter().zip(&before).enumerate() {
        let (row, column) = (place / stride(columns), place % stride(columns));
        if column >= columns {
            assert_eq!(found, start, "a gap was written to");
            continue;
        }
        let (mut sum, mut size) = (f64::from(start), f64::from(start.abs()));
        for k in 0..depth {
            let (a, w) = (a_view.row(row)[k], w_view.row(k)[column]);
            let term = f64::from(a) * f64::from(w);
            (sum, size) = (sum + term, size + term.abs());
        }
        let bound = (depth + 4) as f64 * 2_f64.powi(-24) * size;
        let error = (f64::from(found) - sum).abs();
        assert!(error <= bound, "{rows} x {depth} x {columns}: {error:e} off, not {bound:e}");
    }
}

#[test]
fn sums_are_within_the_bound_at_every_tile_and_edge() {
    for rows in 0..=9 {
        for depth in [0, 1, 2, 3, 4, 5, 7, 16, 33, 100] {
            for columns in (0..=24).map(|groups| 16 * groups) {
                check(rows, depth, columns, 0);
            }
            check(rows, depth, 112, 5);
        }
    }
}

#[test]
fn columns_that_are_no_whole_groups_or_sizes_that_do_not_fit_are_refused() {
    let values = [0.0; 96];
    for (rows, depth, columns, of_w) in [(1, 2, 8, 8), (1, 2, 16, 32), (2, 3, 16, 32)] {
        let mut c = vec![0.0; rows * columns];
        let product = AssertUnwindSafe(|| {
            let w = MatRef::new(&values[..depth * of_w], depth, of_w);
            let a = MatRef::new(&values[..rows * depth], rows, depth);
            add_product(a, w, MatMut::new(&mut c, rows, columns));
        });
        assert!(catch_unwind(product).is_err());
    }
}

#[test]
fn a_transpose_has_the_columns_as_rows_and_zeros_behind_them() {
    let mut target = Buffer::default();
    for rows in [1, 7, 8, 15, 16, 17, 48, 50] {
        for columns in [1, 5, 8, 9, 16, 31, 64] {
            let matrix = values(4, rows * (columns + 3));
            let matrix = MatRef::with_stride(&matrix, rows, columns, columns + 3);
            transpose(matrix, &mut target);
            let width = rows.next_multiple_of(16);
            assert_eq!(target.len(), columns * width);
            for (column, found) in target.chunks_exact(width).enumerate() {
                for (row, &found) in found.iter().enumerate() {
                    let expected = if row < rows { matrix.row(row)[column] } else { 0.0 };
                    assert_eq!(found, expected, "{rows} x {columns}: {column}, {row}");
                }
            }
        }
    }
}
