//! The cells against the f64 reference: gates alone at every size across lanes and
//! groups, and whole sequences. Nothing outside the views is written, the padding stays
//! zero, and NaN is passed on.

use kernels::cell::elman::{self, Nonlinearity};
use kernels::cell::{CellWeights, Direction, GROUP, Walk, column, gru, lstm};
use kernels::matrix::{MatMut, MatRef};
use kernels::reference;
use std::panic::{AssertUnwindSafe, catch_unwind};

const NONLINEARITIES: [Nonlinearity; 3] =
    [Nonlinearity::Tanh, Nonlinearity::Relu, Nonlinearity::Sigmoid];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Reverse];

/// What a sigmoid flushes to zero, times what it is multiplied by.
const FLUSHED: f64 = 1000.0 * f32::MIN_POSITIVE as f64;

/// The errors allowed, in units of 2⁻²³ of the sum of the magnitudes of what is added up
/// (where a factor is `1 − y`, of y's magnitude and not of the difference: y is rounded).
/// A gate is a sigmoid or a tanh: 2 ULP, 2.5 without FMA.
mod budget {
    pub const GATE: f64 = if cfg!(target_feature = "fma") { 2.0 } else { 2.5 };
    /// Two gates and a product, or a gate and a state.
    pub const STATE: f64 = 2.0 * GATE + 1.0;
    /// A gradient: up to four such factors.
    pub const GRADIENT: f64 = 4.0 * GATE + 4.0;
}

#[track_caller]
fn assert_near(found: f32, truth: f64, magnitude: f64, budget: f64, what: &str) {
    let error = (f64::from(found) - truth).abs();
    let allowed = budget * f64::from(f32::EPSILON) * magnitude + FLUSHED;
    assert!(error <= allowed, "{what}: {found:e}, not {truth:e}, off by {error:e} > {allowed:e}");
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    /// Uniform in [−1, 1).
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1 << 23) as f32 - 1.0
    }

    /// Mostly within [−4, 4], some where every gate is saturated.
    fn pre_activation(&mut self) -> f32 {
        let x = self.next();
        if self.next() > 0.9 { x * 200.0 } else { x * 4.0 }
    }
}

const GUARD: f32 = 12_345.0;

/// Rows of the gates of some units: padded, with guard values in a gap after each row and
/// in a margin around all.
#[derive(Clone)]
struct Grid {
    values: Vec<f32>,
    rows: usize,
    hidden: usize,
    gates: usize,
    gap: usize,
}

impl Grid {
    const MARGIN: usize = 40;

    fn zeros(rows: usize, hidden: usize, gates: usize) -> Self {
        let gap = [0, 16, 7][(rows + hidden + gates) % 3];
        let mut grid = Self { values: Vec::new(), rows, hidden, gates, gap };
        grid.values = vec![GUARD; rows * grid.stride() + 2 * Self::MARGIN];
        (0..rows).for_each(|row| grid.row(row).fill(0.0));
        grid
    }

    fn new(rows: usize, hidden: usize, gates: usize, mut f: impl FnMut() -> f32) -> Self {
        let mut grid = Self::zeros(rows, hidden, gates);
        for row in 0..rows {
            for unit in 0..hidden {
                for gate in 0..gates {
                    grid.row(row)[column(gates, gate, unit)] = f();
                }
            }
        }
        grid
    }

    fn columns(&self) -> usize {
        self.gates * self.hidden.next_multiple_of(GROUP)
    }

    fn stride(&self) -> usize {
        self.columns() + self.gap
    }

    fn row(&mut self, row: usize) -> &mut [f32] {
        let (stride, columns) = (self.stride(), self.columns());
        &mut self.values[Self::MARGIN + row * stride..][..columns]
    }

    fn view(&self) -> MatRef<'_> {
        let (columns, stride) = (self.columns(), self.stride());
        MatRef::with_stride(&self.values[Self::MARGIN..], self.rows, columns, stride)
    }

    fn view_mut(&mut self) -> MatMut<'_> {
        let (columns, stride) = (self.columns(), self.stride());
        MatMut::with_stride(&mut self.values[Self::MARGIN..], self.rows, columns, stride)
    }

    fn at(&self, row: usize, gate: usize, unit: usize) -> f32 {
        self.view().row(row)[column(self.gates, gate, unit)]
    }

    fn f64<const G: usize>(&self, row: usize, unit: usize) -> [f64; G] {
        assert_eq!(G, self.gates);
        std::array::from_fn(|gate| f64::from(self.at(row, gate, unit)))
    }

    #[track_caller]
    fn assert_guards(&self, name: &str) {
        let (stride, columns) = (self.stride(), self.columns());
        for (at, &value) in self.values.iter().enumerate() {
            let inside = at >= Self::MARGIN
                && (at - Self::MARGIN) / stride < self.rows
                && (at - Self::MARGIN) % stride < columns;
            assert!(inside || value == GUARD, "{name}: written outside");
        }
    }

    /// Guards, and the padding is zero.
    #[track_caller]
    fn assert_padding(&self, name: &str) {
        self.assert_guards(name);
        for row in 0..self.rows {
            for unit in self.hidden..self.hidden.next_multiple_of(GROUP) {
                for gate in 0..self.gates {
                    assert_eq!(self.at(row, gate, unit), 0.0, "{name}: padding of row {row}");
                }
            }
        }
    }
}

/// Every size of interest, with some rows.
fn for_each_size(mut test: impl FnMut(usize, usize, &mut Numbers)) {
    let mut numbers = Numbers(1);
    for hidden in (1..=40).chain(63..=65).chain(127..=129) {
        for rows in 0..=9 {
            test(hidden, rows, &mut numbers);
        }
    }
}

#[test]
fn elman_gates_are_those_of_the_reference() {
    for_each_size(|hidden, rows, numbers| {
        for nonlinearity in NONLINEARITIES {
            let z = Grid::new(rows, hidden, 1, || numbers.pre_activation());
            let dh = Grid::new(rows, hidden, 1, || numbers.next());
            let (mut h, mut dz) = (z.clone(), dh.clone());
            elman::forward(nonlinearity, hidden, h.view_mut());
            elman::backward(nonlinearity, h.view(), dz.view_mut());
            for row in 0..rows {
                for unit in 0..hidden {
                    let [truth] = z.f64(row, unit);
                    let truth = reference::elman(nonlinearity, truth);
                    assert_near(h.at(row, 0, unit), truth, truth.abs(), budget::GATE, "h");
                    let [dh] = dh.f64(row, unit);
                    let dz_truth = dh * reference::elman_derivative(nonlinearity, truth);
                    let magnitude = (dh * truth).abs().max(dz_truth.abs());
                    assert_near(dz.at(row, 0, unit), dz_truth, magnitude, budget::GRADIENT, "dz");
                }
            }
            h.assert_padding("h");
            dz.assert_padding("dz");
        }
    });
}

#[test]
fn gru_gates_are_those_of_the_reference() {
    for_each_size(|hidden, rows, numbers| {
        let zx = Grid::new(rows, hidden, 3, || numbers.pre_activation());
        let zh = Grid::new(rows, hidden, 3, || numbers.pre_activation());
        let h_before = Grid::new(rows, hidden, 1, || numbers.next());
        let dh = Grid::new(rows, hidden, 1, || numbers.next());
        let direct = Grid::new(rows, hidden, 1, || numbers.next());
        let (mut gates, mut h) = (zx.clone(), Grid::new(rows, hidden, 1, || 0.5));
        gru::forward(gates.view_mut(), zh.view(), h_before.view(), h.view_mut());
        let (mut dzx, mut dzh, mut dh_before) = (gates.clone(), zh.clone(), direct.clone());
        gru::backward(
            dzx.view_mut(),
            dzh.view_mut(),
            h_before.view(),
            dh.view(),
            dh_before.view_mut(),
        );
        for row in 0..rows {
            for unit in 0..hidden {
                let (zx, zh): ([f64; 3], [f64; 3]) = (zx.f64(row, unit), zh.f64(row, unit));
                let ([h_before], [dh]) = (h_before.f64(row, unit), dh.f64(row, unit));
                let truth = reference::gru(zx, zh, h_before);
                // The rounding of the sums: relative to them, it is the argument's error.
                let r_sum = zx[0].abs() + zh[0].abs();
                let z_sum = zx[1].abs() + zh[1].abs();
                let n_sum = zx[2].abs() + (truth.r * zh[2]).abs();
                let r_size = truth.r * (1.0 + r_sum * (1.0 - truth.r));
                let z_size = truth.z * (1.0 + z_sum * (1.0 - truth.z));
                let n_slope = (1.0 - truth.n * truth.n) * (n_sum + r_size * zh[2].abs());
                let n_size = truth.n.abs() + n_slope;
                let at = |gate| gates.at(row, gate, unit);
                assert_near(at(0), truth.r, r_size, budget::GATE, "r");
                assert_near(at(1), truth.z, z_size, budget::GATE, "z");
                assert_near(at(2), truth.n, n_size, budget::STATE, "n");
                let mix = (h_before - truth.n).abs();
                let h_size = truth.n.abs() + mix + n_size + z_size * mix;
                assert_near(h.at(row, 0, unit), truth.h, h_size, budget::STATE, "h");

                let (dzx_truth, dzh_truth, direct_truth) =
                    reference::gru_backward(truth, zh[2], h_before, dh);
                let size = dh.abs() * (1.0 + n_size + n_slope) * (1.0 + z_size);
                let r_path = size * zh[2].abs() * r_size;
                for gate in 0..3 {
                    let size = [r_path, size * (1.0 + mix), size][gate];
                    let found = (dzx.at(row, gate, unit), dzh.at(row, gate, unit));
                    assert_near(found.0, dzx_truth[gate], size, budget::GRADIENT, "dzx");
                    assert_near(found.1, dzh_truth[gate], size, budget::GRADIENT, "dzh");
                }
                let [there] = direct.f64(row, unit);
                let size = there.abs() + dh.abs() * z_size;
                let found = dh_before.at(row, 0, unit);
                assert_near(found, there + direct_truth, size, budget::STATE, "dh_before");
            }
        }
        for (name, grid) in [("h", &h), ("dzx", &dzx), ("dzh", &dzh), ("dh_before", &dh_before)] {
            grid.assert_padding(name);
        }
        gates.assert_guards("gates");
    });
}

#[test]
fn lstm_gates_are_those_of_the_reference() {
    for_each_size(|hidden, rows, numbers| {
        let z = Grid::new(rows, hidden, 4, || numbers.pre_activation());
        let c_before = Grid::new(rows, hidden, 1, || 3.0 * numbers.next());
        let dh = Grid::new(rows, hidden, 1, || numbers.next());
        let dc = Grid::new(rows, hidden, 1, || numbers.next());
        let (mut gates, mut c) = (z.clone(), Grid::new(rows, hidden, 1, || 0.5));
        let mut h = c.clone();
        lstm::forward(gates.view_mut(), c_before.view(), c.view_mut(), h.view_mut());
        let (mut dz, mut dc_before) = (gates.clone(), dc.clone());
        lstm::backward(dz.view_mut(), c_before.view(), h.view(), dh.view(), dc_before.view_mut());
        for row in 0..rows {
            for unit in 0..hidden {
                let z: [f64; 4] = z.f64(row, unit);
                let ([c_before], [dh], [dc]) =
                    (c_before.f64(row, unit), dh.f64(row, unit), dc.f64(row, unit));
                let truth = reference::lstm(z, c_before);
                let reference::Lstm { i, f, g, o, .. } = truth;
                for (gate, truth) in [i, f, g, o].into_iter().enumerate() {
                    let found = gates.at(row, gate, unit);
                    assert_near(found, truth, truth.abs(), budget::GATE, "a gate");
                }
                let c_size = (i * g).abs() + (f * c_before).abs();
                assert_near(c.at(row, 0, unit), truth.c, c_size, budget::STATE, "c");
                let h_size = o * (truth.c.tanh().abs() + c_size / truth.c.cosh().powi(2));
                assert_near(h.at(row, 0, unit), truth.h, h_size, budget::STATE, "h");

                let (dz_truth, dc_truth) = reference::lstm_backward(truth, c_before, dh, dc);
                // tanh(c) and c are known to within their own magnitudes.
                let size = dc.abs() + dh.abs() * o * (1.0 + c_size / truth.c.cosh().powi(2));
                let sizes = [
                    size * (g * i).abs(),
                    size * (c_before * f).abs(),
                    size * i,
                    dh.abs() * h_size,
                ];
                for gate in 0..4 {
                    let found = dz.at(row, gate, unit);
                    assert_near(found, dz_truth[gate], sizes[gate], budget::GRADIENT, "dz");
                }
                let found = dc_before.at(row, 0, unit);
                assert_near(found, dc_truth, size * f, budget::GRADIENT, "dc_before");
            }
        }
        for (name, grid) in [("c", &c), ("h", &h), ("dz", &dz), ("dc_before", &dc_before)] {
            grid.assert_padding(name);
        }
        gates.assert_guards("gates");
    });
}

/// The gradients of the reference, by central differences.
#[test]
fn the_reference_is_its_own_derivative() {
    const STEP: f64 = 1e-5;
    let mut numbers = Numbers(2);
    let mut next = || f64::from(numbers.next()) * 2.0;
    let slope = |f: &dyn Fn(f64) -> f64| (f(STEP) - f(-STEP)) / (2.0 * STEP);
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-8, "{a} is not {b}");
    for _ in 0..100 {
        let (z, dh, dc, before) = ([next(), next(), next(), next()], next(), next(), next());
        let zh = [next(), next(), next()];
        for nonlinearity in NONLINEARITIES {
            let f = |by: f64| reference::elman(nonlinearity, z[0] + by);
            near(reference::elman_derivative(nonlinearity, f(0.0)), slope(&f));
        }

        let loss = |z: [f64; 4], before| {
            let unit = reference::lstm(z, before);
            dh * unit.h + dc * unit.c
        };
        let (dz, dc_before) = reference::lstm_backward(reference::lstm(z, before), before, dh, dc);
        for (gate, dz) in dz.into_iter().enumerate() {
            near(dz, slope(&|by| loss(moved(z, gate, by), before)));
        }
        near(dc_before, slope(&|by| loss(z, before + by)));

        let zx = [z[0], z[1], z[2]];
        let loss = |zx, zh, before| dh * reference::gru(zx, zh, before).h;
        let unit = reference::gru(zx, zh, before);
        let (dzx, dzh, direct) = reference::gru_backward(unit, zh[2], before, dh);
        for gate in 0..3 {
            near(dzx[gate], slope(&|by| loss(moved(zx, gate, by), zh, before)));
            near(dzh[gate], slope(&|by| loss(zx, moved(zh, gate, by), before)));
        }
        near(direct, slope(&|by| loss(zx, zh, before + by)));
    }
}

fn moved<const N: usize>(mut values: [f64; N], at: usize, by: f64) -> [f64; N] {
    values[at] += by;
    values
}

/// A layer of one of the cells, its weights scaled so that the states keep moving.
struct Layer {
    w_in: Grid,
    w_rec: Grid,
    b_in: Grid,
    b_rec: Grid,
}

impl Layer {
    fn new(gates: usize, inputs: usize, hidden: usize, numbers: &mut Numbers) -> Self {
        let scale = 2.0 / (hidden as f32).sqrt();
        let mut grid = |rows, scale| Grid::new(rows, hidden, gates, || scale * numbers.next());
        let (w_in, w_rec) = (grid(inputs, 1.0), grid(hidden, scale));
        Self { w_in, w_rec, b_in: grid(1, 0.5), b_rec: grid(1, 0.5) }
    }

    fn weights(&self) -> CellWeights<'_> {
        CellWeights {
            w_in: self.w_in.view(),
            w_rec: self.w_rec.view(),
            b_in: Some(self.b_in.view().row(0)),
            b_rec: Some(self.b_rec.view().row(0)),
        }
    }

    /// `x·W_in + b_in` of a unit.
    fn of_x<const G: usize>(&self, x: &[f64], unit: usize) -> [f64; G] {
        affine(&self.w_in, &self.b_in, x, unit)
    }

    /// `h·W_rec + b_rec` of a unit.
    fn of_h<const G: usize>(&self, h: &[f64], unit: usize) -> [f64; G] {
        affine(&self.w_rec, &self.b_rec, h, unit)
    }
}

fn affine<const G: usize>(weights: &Grid, bias: &Grid, values: &[f64], unit: usize) -> [f64; G] {
    let mut sums = bias.f64::<G>(0, unit);
    for (from, value) in values.iter().enumerate() {
        let weights = weights.f64::<G>(from, unit);
        (0..G).for_each(|gate| sums[gate] += value * weights[gate]);
    }
    sums
}

/// `Σ_unit,gate dz[unit][gate]·w_rec[to, unit, gate]` for each unit `to`.
fn transposed<const G: usize>(w_rec: &Grid, dz: &[[f64; G]]) -> Vec<f64> {
    let row = |to| {
        let products = dz.iter().enumerate().map(|(unit, dz)| {
            let weights = w_rec.f64::<G>(to, unit);
            dz.iter().zip(weights).map(|(dz, weight)| dz * weight).sum::<f64>()
        });
        products.sum()
    };
    (0..w_rec.rows).map(row).collect()
}

/// The numbers of a row without its padding.
fn row(grid: &Grid, row: usize) -> Vec<f64> {
    (0..grid.hidden).map(|unit| f64::from(grid.at(row, 0, unit))).collect()
}

/// The rows of one sequence in the order in which a layer reads them.
fn rows_of(walk: Walk, sequence: usize) -> Vec<usize> {
    let mut rows: Vec<_> = (0..walk.steps).map(|t| t * walk.batch + sequence).collect();
    if walk.direction == Direction::Reverse {
        rows.reverse();
    }
    rows
}

/// Agreement of a row to 1e-5, relative to values of the size of 1.
#[track_caller]
fn assert_row<const G: usize>(grid: &Grid, row: usize, truth: &[[f64; G]], what: &str) {
    for (unit, truth) in truth.iter().enumerate() {
        for (gate, truth) in truth.iter().enumerate() {
            let found = f64::from(grid.at(row, gate, unit));
            let error = (found - truth).abs();
            assert!(
                error <= 1e-5 * (1.0 + truth.abs()),
                "{what}, row {row}, gate {gate} of unit {unit}: {found}, not {truth}"
            );
        }
    }
}

fn singles(values: &[f64]) -> Vec<[f64; 1]> {
    values.iter().map(|&value| [value]).collect()
}

/// Every way to walk, at sizes on both sides of the edges of lanes, groups and tiles.
fn for_each_walk(mut test: impl FnMut(usize, Walk, &mut Numbers)) {
    let mut numbers = Numbers(3);
    for hidden in [1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 129] {
        for (steps, batch) in
            [(0, 1), (1, 0), (1, 1), (2, 1), (5, 1), (3, 2), (2, 3), (3, 4), (2, 9)]
        {
            for direction in DIRECTIONS {
                test(hidden, Walk { steps, batch, direction }, &mut numbers);
            }
        }
    }
}

#[test]
fn elman_steps_are_those_of_the_reference() {
    for_each_walk(|hidden, walk, numbers| {
        let rows = walk.steps * walk.batch;
        for nonlinearity in NONLINEARITIES {
            let layer = Layer::new(1, 0, hidden, numbers);
            let start = Grid::new(walk.batch, hidden, 1, || numbers.next());
            let zx = Grid::new(rows, hidden, 1, || numbers.next());
            let dh = Grid::new(rows, hidden, 1, || numbers.next());
            let (mut h, mut dz) = (zx.clone(), dh.clone());
            let mut dh_start = Grid::new(walk.batch, hidden, 1, || 0.5);
            let w_rec = layer.w_rec.view();
            elman::forward_steps(nonlinearity, walk, w_rec, start.view(), h.view_mut());
            elman::backward_steps(
                nonlinearity,
                walk,
                w_rec,
                h.view(),
                dz.view_mut(),
                dh_start.view_mut(),
            );
            for sequence in 0..walk.batch {
                let order = rows_of(walk, sequence);
                let mut state = row(&start, sequence);
                for &at in &order {
                    // The bias is in `zx` as far as the kernel is concerned.
                    let next = |unit| {
                        let ([zx], [bias]) = (zx.f64(at, unit), layer.b_rec.f64(0, unit));
                        let [sum] = layer.of_h(&state, unit);
                        reference::elman(nonlinearity, zx + sum - bias)
                    };
                    state = (0..hidden).map(next).collect();
                    assert_row(&h, at, &singles(&state), "h");
                }
                let mut later = vec![0.0; hidden];
                for &at in order.iter().rev() {
                    let of = |unit| {
                        let ([h], [dh]): ([f64; 1], [f64; 1]) = (h.f64(at, unit), dh.f64(at, unit));
                        [(dh + later[unit]) * reference::elman_derivative(nonlinearity, h)]
                    };
                    let truth: Vec<[f64; 1]> = (0..hidden).map(of).collect();
                    assert_row(&dz, at, &truth, "dz");
                    later = transposed(&layer.w_rec, &truth);
                }
                assert_row(&dh_start, sequence, &singles(&later), "dh_start");
            }
            for (name, grid) in [("h", &h), ("dz", &dz)] {
                grid.assert_padding(name);
            }
            dh_start.assert_padding("dh_start");
        }
    });
}

#[test]
fn gru_steps_are_those_of_the_reference() {
    for_each_walk(|hidden, walk, numbers| {
        let rows = walk.steps * walk.batch;
        let layer = Layer::new(3, 0, hidden, numbers);
        let start = Grid::new(walk.batch, hidden, 1, || numbers.next());
        let zx = Grid::new(rows, hidden, 3, || numbers.next());
        let dh = Grid::new(rows, hidden, 1, || numbers.next());
        let mut gates = zx.clone();
        let (mut zh, mut h) = (Grid::zeros(rows, hidden, 3), Grid::new(rows, hidden, 1, || 0.5));
        let CellWeights { w_rec, b_rec, .. } = layer.weights();
        gru::forward_steps(
            walk,
            gru::Recurrent { w_rec, b_rec },
            start.view(),
            gru::Steps { zx: gates.view_mut(), zh: zh.view_mut(), h: h.view_mut() },
        );
        let (mut dzx, mut dzh, mut dh_all) = (gates.clone(), zh.clone(), dh.clone());
        let mut dh_start = Grid::new(walk.batch, hidden, 1, || 0.5);
        gru::backward_steps(
            walk,
            w_rec,
            start.view(),
            gru::StepsBackward {
                zx: dzx.view_mut(),
                zh: dzh.view_mut(),
                h: h.view(),
                dh: dh_all.view_mut(),
            },
            dh_start.view_mut(),
        );
        for sequence in 0..walk.batch {
            let order = rows_of(walk, sequence);
            let mut state = row(&start, sequence);
            let mut kept = Vec::new();
            for &at in &order {
                let units: Vec<_> = (0..hidden)
                    .map(|unit| {
                        let zh = layer.of_h(&state, unit);
                        (reference::gru(zx.f64(at, unit), zh, state[unit]), zh[2], state[unit])
                    })
                    .collect();
                state = units.iter().map(|(unit, ..)| unit.h).collect();
                let values: Vec<_> =
                    units.iter().map(|(unit, ..)| [unit.r, unit.z, unit.n]).collect();
                assert_row(&gates, at, &values, "gates");
                assert_row(&h, at, &singles(&state), "h");
                kept.push(units);
            }
            let mut later = vec![0.0; hidden];
            for (&at, units) in order.iter().zip(kept).rev() {
                let back: Vec<_> = (0..hidden)
                    .map(|unit| {
                        let [dh] = dh.f64(at, unit);
                        let (values, zh_n, h_before) = units[unit];
                        reference::gru_backward(values, zh_n, h_before, dh + later[unit])
                    })
                    .collect();
                let truth: Vec<_> = back.iter().map(|back| back.0).collect();
                assert_row(&dzx, at, &truth, "dzx");
                let truth: Vec<_> = back.iter().map(|back| back.1).collect();
                assert_row(&dzh, at, &truth, "dzh");
                later = transposed(&layer.w_rec, &truth);
                (0..hidden).for_each(|unit| later[unit] += back[unit].2);
            }
            assert_row(&dh_start, sequence, &singles(&later), "dh_start");
        }
        for (name, grid) in [("h", &h), ("dzx", &dzx), ("dzh", &dzh), ("dh_start", &dh_start)] {
            grid.assert_padding(name);
        }
        gates.assert_guards("gates");
        zh.assert_guards("zh");
        dh_all.assert_padding("dh");
    });
}

#[test]
fn lstm_steps_are_those_of_the_reference() {
    for_each_walk(|hidden, walk, numbers| {
        let rows = walk.steps * walk.batch;
        let layer = Layer::new(4, 0, hidden, numbers);
        let start = Grid::new(walk.batch, hidden, 1, || numbers.next());
        let c_start = Grid::new(walk.batch, hidden, 1, || numbers.next());
        let zx = Grid::new(rows, hidden, 4, || numbers.next());
        let dh = Grid::new(rows, hidden, 1, || numbers.next());
        let dc = Grid::new(walk.batch, hidden, 1, || numbers.next());
        let mut gates = zx.clone();
        let (mut c, mut h) = (dh.clone(), dh.clone());
        let w_rec = layer.w_rec.view();
        lstm::forward_steps(
            walk,
            w_rec,
            lstm::Start { h: start.view(), c: c_start.view() },
            lstm::Steps { gates: gates.view_mut(), c: c.view_mut(), h: h.view_mut() },
        );
        let (mut dz, mut dh_all, mut dc_start) = (gates.clone(), dh.clone(), dc.clone());
        let mut dh_start = Grid::new(walk.batch, hidden, 1, || 0.5);
        lstm::backward_steps(
            walk,
            w_rec,
            c_start.view(),
            lstm::StepsBackward {
                gates: dz.view_mut(),
                c: c.view(),
                h: h.view(),
                dh: dh_all.view_mut(),
            },
            lstm::StartBackward { dh: dh_start.view_mut(), dc: dc_start.view_mut() },
        );
        for sequence in 0..walk.batch {
            let order = rows_of(walk, sequence);
            let (mut h_truth, mut c_truth) = (row(&start, sequence), row(&c_start, sequence));
            let mut kept = Vec::new();
            for &at in &order {
                let units: Vec<_> = (0..hidden)
                    .map(|unit| {
                        let mut z = zx.f64::<4>(at, unit);
                        let sums = layer.of_h::<4>(&h_truth, unit);
                        let bias = layer.b_rec.f64::<4>(0, unit);
                        (0..4).for_each(|gate| z[gate] += sums[gate] - bias[gate]);
                        (reference::lstm(z, c_truth[unit]), c_truth[unit])
                    })
                    .collect();
                h_truth = units.iter().map(|(unit, _)| unit.h).collect();
                c_truth = units.iter().map(|(unit, _)| unit.c).collect();
                let values: Vec<_> =
                    units.iter().map(|(unit, _)| [unit.i, unit.f, unit.g, unit.o]).collect();
                assert_row(&gates, at, &values, "gates");
                assert_row(&c, at, &singles(&c_truth), "c");
                assert_row(&h, at, &singles(&h_truth), "h");
                kept.push(units);
            }
            let (mut later, mut dc) = (vec![0.0; hidden], row(&dc, sequence));
            for (&at, units) in order.iter().zip(kept).rev() {
                let mut truth = Vec::new();
                for unit in 0..hidden {
                    let [dh] = dh.f64(at, unit);
                    let (values, c_before) = units[unit];
                    let (dz, dc_before) =
                        reference::lstm_backward(values, c_before, dh + later[unit], dc[unit]);
                    truth.push(dz);
                    dc[unit] = dc_before;
                }
                assert_row(&dz, at, &truth, "dz");
                later = transposed(&layer.w_rec, &truth);
            }
            assert_row(&dh_start, sequence, &singles(&later), "dh_start");
            assert_row(&dc_start, sequence, &singles(&dc), "dc_start");
        }
        let padded = [("c", &c), ("h", &h), ("dz", &dz), ("dh", &dh_all)];
        for (name, grid) in padded.into_iter().chain([("dh_start", &dh_start), ("dc", &dc_start)]) {
            grid.assert_padding(name);
        }
        gates.assert_guards("gates");
    });
}

#[test]
fn a_step_of_a_stream_is_that_of_the_reference() {
    let mut numbers = Numbers(4);
    for hidden in (1..=40).chain([47, 63, 64, 65, 100, 128]) {
        for (rows, inputs) in [(0, 3), (1, 0), (1, 1), (1, 5), (1, 16), (2, 7), (4, 33), (9, 2)] {
            let numbers = &mut numbers;
            let mut x = Grid::new(rows, inputs.max(1), 1, || numbers.next());
            if inputs == 0 {
                x = Grid::zeros(rows, 1, 1);
            }
            let x_view = x.view().part(0, 0, rows, inputs);
            let x_row = |sequence| row(&x, sequence)[..inputs].to_vec();
            let before = Grid::new(rows, hidden, 1, || numbers.next());
            let c_before = Grid::new(rows, hidden, 1, || numbers.next());
            let mut h = Grid::new(rows, hidden, 1, || 0.5);

            for nonlinearity in NONLINEARITIES {
                let layer = Layer::new(1, inputs, hidden, numbers);
                elman::step(nonlinearity, layer.weights(), x_view, before.view(), h.view_mut());
                for sequence in 0..rows {
                    let state = row(&before, sequence);
                    let of = |unit| {
                        let [from_x] = layer.of_x(&x_row(sequence), unit);
                        let [from_h] = layer.of_h(&state, unit);
                        [reference::elman(nonlinearity, from_x + from_h)]
                    };
                    assert_row(&h, sequence, &(0..hidden).map(of).collect::<Vec<_>>(), "Elman's h");
                }
                h.assert_padding("Elman's h");
            }

            let layer = Layer::new(3, inputs, hidden, numbers);
            gru::step(layer.weights(), x_view, before.view(), h.view_mut());
            for sequence in 0..rows {
                let state = row(&before, sequence);
                let of = |unit: usize| {
                    let zx = layer.of_x(&x_row(sequence), unit);
                    [reference::gru(zx, layer.of_h(&state, unit), state[unit]).h]
                };
                assert_row(&h, sequence, &(0..hidden).map(of).collect::<Vec<_>>(), "the GRU's h");
            }
            h.assert_padding("the GRU's h");

            let layer = Layer::new(4, inputs, hidden, numbers);
            let mut c = c_before.clone();
            lstm::step(layer.weights(), x_view, before.view(), c.view_mut(), h.view_mut());
            for sequence in 0..rows {
                let (state, cell) = (row(&before, sequence), row(&c_before, sequence));
                let of = |unit: usize| {
                    let mut z = layer.of_x::<4>(&x_row(sequence), unit);
                    let from_h = layer.of_h::<4>(&state, unit);
                    (0..4).for_each(|gate| z[gate] += from_h[gate]);
                    reference::lstm(z, cell[unit])
                };
                let units: Vec<_> = (0..hidden).map(of).collect();
                let states = |f: fn(&reference::Lstm) -> f64| -> Vec<[f64; 1]> {
                    units.iter().map(|unit| [f(unit)]).collect()
                };
                assert_row(&h, sequence, &states(|unit| unit.h), "the LSTM's h");
                assert_row(&c, sequence, &states(|unit| unit.c), "the LSTM's c");
            }
            h.assert_padding("the LSTM's h");
            c.assert_padding("the LSTM's c");
        }
    }
}

#[test]
fn a_stream_without_biases_has_zeros_for_them() {
    let mut numbers = Numbers(5);
    let (inputs, hidden) = (3, 20);
    let run = |layer: &Layer, with: bool| {
        let mut weights = layer.weights();
        if !with {
            (weights.b_in, weights.b_rec) = (None, None);
        }
        let (mut h, mut c) = (Grid::zeros(1, hidden, 1), Grid::zeros(1, hidden, 1));
        let (x, before) = ([0.5, -1.0, 2.0], Grid::new(1, hidden, 1, || 0.25));
        let x = MatRef::from_row(&x);
        match layer.w_rec.gates {
            1 => elman::step(Nonlinearity::Tanh, weights, x, before.view(), h.view_mut()),
            3 => gru::step(weights, x, before.view(), h.view_mut()),
            _ => lstm::step(weights, x, before.view(), c.view_mut(), h.view_mut()),
        }
        (row(&h, 0), row(&c, 0))
    };
    for gates in [1, 3, 4] {
        let mut layer = Layer::new(gates, inputs, hidden, &mut numbers);
        assert_ne!(run(&layer, true), run(&layer, false), "the biases are used");
        layer.b_in = Grid::zeros(1, hidden, gates);
        layer.b_rec = Grid::zeros(1, hidden, gates);
        assert_eq!(run(&layer, true), run(&layer, false));
    }
}

/// A NaN in a pre-activation makes the state of its unit NaN, and its gradient in the
/// backward pass; its neighbours stay as they are.
#[test]
fn nan_flows_through_the_gates_and_no_further() {
    let (hidden, bad) = (20, 17);
    let only_bad = |grid: &Grid, gate: usize, what: &str| {
        for unit in 0..hidden {
            assert_eq!(grid.at(0, gate, unit).is_nan(), unit == bad, "{what} of unit {unit}");
        }
    };
    let half = |gates| Grid::new(1, hidden, gates, || 0.5);
    for nonlinearity in NONLINEARITIES {
        let (mut h, mut dh) = (half(1), half(1));
        h.row(0)[column(1, 0, bad)] = f32::NAN;
        elman::forward(nonlinearity, hidden, h.view_mut());
        only_bad(&h, 0, "Elman's h");
        if nonlinearity != Nonlinearity::Relu {
            elman::backward(nonlinearity, h.view(), dh.view_mut());
            only_bad(&dh, 0, "Elman's dz");
        }
        let mut dh = half(1);
        dh.row(0)[column(1, 0, bad)] = f32::NAN;
        elman::backward(nonlinearity, half(1).view(), dh.view_mut());
        only_bad(&dh, 0, "Elman's dz of a NaN");
    }
    for gate in 0..3 {
        let (mut zx, mut zh, mut h) = (half(3), half(3), half(1));
        zx.row(0)[column(3, gate, bad)] = f32::NAN;
        gru::forward(zx.view_mut(), zh.view(), half(1).view(), h.view_mut());
        only_bad(&h, 0, "the GRU's h");
        let (dh, mut dh_before) = (half(1), half(1));
        gru::backward(
            zx.view_mut(),
            zh.view_mut(),
            half(1).view(),
            dh.view(),
            dh_before.view_mut(),
        );
        only_bad(&zx, gate, "the GRU's dzx");
        only_bad(&zh, gate, "the GRU's dzh");
    }
    for gate in 0..4 {
        let (mut z, mut c, mut h) = (half(4), half(1), half(1));
        z.row(0)[column(4, gate, bad)] = f32::NAN;
        lstm::forward(z.view_mut(), half(1).view(), c.view_mut(), h.view_mut());
        only_bad(&h, 0, "the LSTM's h");
        let (dh, mut dc) = (half(1), half(1));
        lstm::backward(z.view_mut(), half(1).view(), h.view(), dh.view(), dc.view_mut());
        only_bad(&z, gate, "the LSTM's dz");
        only_bad(&dc, 0, "the LSTM's dc");
    }
}

#[test]
fn columns_are_grouped_by_sixteen_units() {
    assert_eq!([0, 15, 16, 33].map(|unit| column(1, 0, unit)), [0, 15, 16, 33]);
    assert_eq!([0, 15, 16, 33].map(|unit| column(4, 2, unit)), [32, 47, 96, 161]);
}

#[test]
fn views_that_do_not_fit_are_refused_by_name_and_size() {
    let refused = |f: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
        panic.downcast_ref::<String>().expect("a formatted message").clone()
    };
    let grid = |rows, hidden, gates| Grid::zeros(rows, hidden, gates);

    let message = refused(&|| elman::forward(Nonlinearity::Tanh, 17, grid(2, 16, 1).view_mut()));
    assert_eq!(message, "h has rows of 16 values: 17 units with 1 gates need 32");
    let message = refused(&|| elman::forward(Nonlinearity::Tanh, 0, grid(2, 0, 1).view_mut()));
    assert_eq!(message, "h has rows of 0 values: 0 units with 1 gates need 0");
    let message = refused(&|| {
        lstm::forward(
            grid(2, 16, 4).view_mut(),
            grid(3, 16, 1).view(),
            grid(2, 16, 1).view_mut(),
            grid(2, 16, 1).view_mut(),
        );
    });
    assert_eq!(message, "c_before is 3 x 16, the others ask for 2 x 16");
    let message = refused(&|| {
        gru::forward(
            grid(2, 16, 3).view_mut(),
            grid(2, 16, 4).view(),
            grid(2, 16, 1).view(),
            grid(2, 16, 1).view_mut(),
        );
    });
    assert_eq!(message, "zh is 2 x 64, the others ask for 2 x 48");
    let walk = Walk { steps: 3, batch: 2, direction: Direction::Forward };
    let message = refused(&|| {
        gru::forward_steps(
            walk,
            gru::Recurrent { w_rec: grid(5, 5, 3).view(), b_rec: Some(&[0.0; 47]) },
            grid(2, 5, 1).view(),
            gru::Steps {
                zx: grid(6, 5, 3).view_mut(),
                zh: grid(6, 5, 3).view_mut(),
                h: grid(6, 5, 1).view_mut(),
            },
        );
    });
    assert_eq!(message, "b_rec is 1 x 47, the others ask for 1 x 48");
    let message = refused(&|| {
        lstm::forward_steps(
            walk,
            grid(5, 5, 4).view(),
            lstm::Start { h: grid(2, 5, 1).view(), c: grid(2, 5, 1).view() },
            lstm::Steps {
                gates: grid(5, 5, 4).view_mut(),
                c: grid(6, 5, 1).view_mut(),
                h: grid(6, 5, 1).view_mut(),
            },
        );
    });
    assert_eq!(message, "gates is 5 x 64, the others ask for 6 x 64");
    let message = refused(&|| {
        let layer = Layer::new(1, 3, 5, &mut Numbers(6));
        let x = grid(1, 4, 1);
        elman::step(
            Nonlinearity::Tanh,
            layer.weights(),
            x.view().part(0, 0, 1, 4),
            grid(1, 5, 1).view(),
            grid(1, 5, 1).view_mut(),
        );
    });
    assert_eq!(message, "w_in is 3 x 16, the others ask for 4 x 16");
}

#[test]
fn states_that_decay_go_to_zero_and_not_to_subnormal_numbers() {
    const UNITS: usize = 2 * GROUP;
    // Forget nothing but a tenth: f and z are σ(2.2) = 0.9; i, n and the other sums are 0.
    let fill = |gates: usize, gate: usize, value: f32| -> Vec<f32> {
        let mut row = vec![0.0; gates * UNITS];
        (0..UNITS).for_each(|unit| row[column(gates, gate, unit)] = value);
        row
    };
    let start = |sign: f32| vec![sign * 1e-35; UNITS];
    for sign in [1.0, -1.0] {
        let (mut c, mut h) = (start(sign), vec![0.0; UNITS]);
        let mut seen = 0;
        for _ in 0..400 {
            let before = c.clone();
            let mut gates = fill(4, 1, 2.2);
            lstm::forward(
                MatMut::from_row(&mut gates),
                MatRef::from_row(&before),
                MatMut::from_row(&mut c),
                MatMut::from_row(&mut h),
            );
            let f = gates[column(4, 1, 0)];
            let exact = f * before[0];
            let expected = if exact.is_subnormal() { 0.0 } else { exact };
            assert!(c.iter().all(|&c| c == expected), "{c:?}, not {expected:e}");
            seen += usize::from(c[0] != 0.0);
        }
        assert!(c.iter().all(|&c| c == 0.0) && (50..200).contains(&seen));

        let mut h = start(sign);
        for _ in 0..400 {
            let before = h.clone();
            gru::forward(
                MatMut::from_row(&mut fill(3, 1, 2.2)),
                MatRef::from_row(&vec![0.0; 3 * UNITS]),
                MatRef::from_row(&before),
                MatMut::from_row(&mut h),
            );
            assert!(h.iter().all(|&h| !h.is_subnormal()));
        }
        assert!(h.iter().all(|&h| h == 0.0));
    }
}

#[test]
fn the_gradient_of_a_cell_state_that_is_forgotten_goes_to_zero() {
    let zeros = [0.0; GROUP];
    let nothing = MatRef::from_row(&zeros);
    let mut dc = [1e-35_f32; GROUP];
    let mut steps = 0;
    while dc[0] != 0.0 {
        let before = dc[0];
        // the gates' values: f alone is not 0
        let mut gates = vec![0.0; 4 * GROUP];
        gates[GROUP..2 * GROUP].fill(0.9);
        lstm::backward(
            MatMut::from_row(&mut gates),
            nothing,
            nothing,
            nothing,
            MatMut::from_row(&mut dc),
        );
        let exact = 0.9 * before;
        let expected = if exact.is_subnormal() { 0.0 } else { exact };
        assert!(dc.iter().all(|&dc| dc == expected), "{dc:?}, not {expected:e}");
        steps += 1;
    }
    assert!((50..200).contains(&steps));
}

/// W_rec `[16, G·16]` with `value` from each unit to the gate `gate` of the same unit.
fn to_itself(gates: usize, gate: usize, value: f32) -> Vec<f32> {
    let mut w_rec = vec![0.0; GROUP * gates * GROUP];
    (0..GROUP).for_each(|unit| w_rec[unit * gates * GROUP + column(gates, gate, unit)] = value);
    w_rec
}

#[test]
fn states_of_elman_cells_that_decay_go_to_zero_by_every_way() {
    const STEPS: usize = 400;
    let walk = Walk { steps: STEPS, batch: 1, direction: Direction::Forward };
    let w_rec = to_itself(1, 0, 0.9);
    let w_rec = MatRef::new(&w_rec, GROUP, GROUP);
    for (nonlinearity, sign) in
        [(Nonlinearity::Tanh, 1.0), (Nonlinearity::Tanh, -1.0), (Nonlinearity::Relu, 1.0)]
    {
        let start = [sign * 1e-35_f32; GROUP];
        let mut h = vec![0.0; STEPS * GROUP];
        let view = MatMut::new(&mut h, STEPS, GROUP);
        elman::forward_steps(nonlinearity, walk, w_rec, MatRef::from_row(&start), view);
        let mut before = start;
        for after in h.chunks(GROUP) {
            let exact = 0.9 * before[0];
            let expected = if exact.is_subnormal() { 0.0 } else { exact };
            // One rounding of tanh.
            let near = (after[0] - expected).abs() <= 2.0 * f32::EPSILON * exact.abs();
            assert!(near && !after[0].is_subnormal(), "{:e}, not {expected:e}", after[0]);
            let mut by_step = [0.0; GROUP];
            let weights =
                CellWeights { w_in: MatRef::new(&[], 0, GROUP), w_rec, b_in: None, b_rec: None };
            elman::step(
                nonlinearity,
                weights,
                MatRef::new(&[], 1, 0),
                MatRef::from_row(&before),
                MatMut::from_row(&mut by_step),
            );
            let mut by_row = before.map(|h| 0.9 * h);
            elman::forward(nonlinearity, GROUP, MatMut::from_row(&mut by_row));
            assert_eq!(after, by_step);
            assert_eq!(after, by_row);
            before.copy_from_slice(after);
        }
        assert_eq!(before, [0.0; GROUP]);
    }
}

#[test]
fn gradients_that_vanish_on_the_way_through_many_steps_go_to_zero() {
    const STEPS: usize = 400;
    let walk = Walk { steps: STEPS, batch: 1, direction: Direction::Forward };
    // From the last step alone.
    let mut last = vec![0.0; STEPS * GROUP];
    last[(STEPS - 1) * GROUP..].fill(1e-35_f32);
    let filled = |gates: usize, values: &[f32]| -> Vec<f32> {
        let block = values.iter().flat_map(|&value| [value; GROUP]);
        (0..STEPS).flat_map(|_| block.clone()).collect::<Vec<_>>()[..STEPS * gates * GROUP].to_vec()
    };
    let zeros = vec![0.0; STEPS * GROUP];
    let nothing = || MatRef::new(&zeros, STEPS, GROUP);
    let row = MatRef::from_row(&zeros[..GROUP]);
    let gone = |name: &str, dh: &[f32], start: &[f32]| {
        let counted = dh.iter().filter(|dh| **dh != 0.0).count() / GROUP;
        assert!((20..200).contains(&counted), "{name}: {counted} steps");
        assert_eq!(start, [0.0; GROUP], "{name}");
    };

    let (mut dz, mut start) = (last.clone(), [1.0; GROUP]);
    let w_rec = to_itself(1, 0, 0.9);
    elman::backward_steps(
        Nonlinearity::Tanh,
        walk,
        MatRef::new(&w_rec, GROUP, GROUP),
        nothing(),
        MatMut::new(&mut dz, STEPS, GROUP),
        MatMut::from_row(&mut start),
    );
    gone("Elman", &dz, &start);

    // r = 0, z = 0.9, n = 0: dh_before = 0.9·dh
    let (mut zx, mut zh) = (filled(3, &[0.0, 0.9, 0.0]), filled(3, &[0.0; 3]));
    let (mut dh, mut start) = (last.clone(), [1.0; GROUP]);
    gru::backward_steps(
        walk,
        MatRef::new(&to_itself(3, 0, 0.0), GROUP, 3 * GROUP),
        row,
        gru::StepsBackward {
            zx: MatMut::new(&mut zx, STEPS, 3 * GROUP),
            zh: MatMut::new(&mut zh, STEPS, 3 * GROUP),
            h: nothing(),
            dh: MatMut::new(&mut dh, STEPS, GROUP),
        },
        MatMut::from_row(&mut start),
    );
    gone("GRU", &dh, &start);

    // i = 1, f = 0, g = 0, o = ½: dz_g = dh/2, and dh_before = 1.8·dz_g
    let mut gates = filled(4, &[1.0, 0.0, 0.0, 0.5]);
    let (mut dh, mut start, mut dc) = (last, [1.0; GROUP], [0.0; GROUP]);
    lstm::backward_steps(
        walk,
        MatRef::new(&to_itself(4, 2, 1.8), GROUP, 4 * GROUP),
        row,
        lstm::StepsBackward {
            gates: MatMut::new(&mut gates, STEPS, 4 * GROUP),
            c: nothing(),
            h: nothing(),
            dh: MatMut::new(&mut dh, STEPS, GROUP),
        },
        lstm::StartBackward { dh: MatMut::from_row(&mut start), dc: MatMut::from_row(&mut dc) },
    );
    gone("LSTM", &dh, &start);
}
