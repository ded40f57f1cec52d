//! A unit of a cell with gates, on an abstract state: affine forms of what it computes, of eight
//! units at once.
//!
//! ```text
//! form   a value within `noise` of Σ_k coefficient_k·row_k + offset, and between `low` and `high`;
//!        row_k is a sum of the unit, one for each gate, or the number of the state that its gates
//!        scale
//! GRU    r = σ(r)   z = σ(z)   n = tanh(x_n + r·n)   h = n + z·(h − n)
//! LSTM   i = σ(i)   f = σ(f)   g = tanh(g)   o = σ(o)   c = f·c + i·g   h = o·tanh(c)
//! ```
//!
//! A product is linearised in the middle of both intervals: what is left is the product of how far
//! these reach. Like all of the search it computes in rounded f64, with some slack.

use crate::abstract_state::Sums;
use crate::lanes::{LANES, Lanes, Line};
use std::array;
use verify::Cell;

/// The most rows of a unit: four sums, and a number of the state.
pub(crate) const ROWS: usize = 5;
/// Three times the relative slack of the checker.
const SLACK: f64 = 3e-9;
/// u, half a unit in the last place of 1, in f32, and a little more.
const HALF_ULP: f64 = 1.1 / 16_777_216.0;
const TINY: f64 = 1e-30;

/// A value of eight units.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub coefficients: [Lanes; ROWS],
    pub offset: Lanes,
    pub noise: Lanes,
    pub low: Lanes,
    pub high: Lanes,
}

fn lanes_of(value: impl Fn(usize) -> f64) -> Lanes {
    array::from_fn(value)
}

impl Form {
    fn middle(&self) -> Lanes {
        lanes_of(|l| 0.5 * (self.low[l] + self.high[l]))
    }

    fn radius(&self) -> Lanes {
        lanes_of(|l| 0.5 * (self.high[l] - self.low[l]))
    }

    fn largest(&self, l: usize) -> f64 {
        self.high[l].abs().max(self.low[l].abs())
    }

    fn rounded(mut self, error: Lanes) -> Self {
        for (l, error) in error.into_iter().enumerate() {
            self.noise[l] += error;
            self.low[l] -= error;
            self.high[l] += error;
        }
        self
    }
}

/// Eight units: where their rows are, and what is known of these.
pub(crate) struct Units<'a> {
    pub sums: &'a Sums,
    /// The first of each row among those of the sums.
    pub places: [usize; ROWS],
    /// How many units there are, up to eight.
    pub count: usize,
    /// The affine forms of the rows are no larger than this.
    pub size: [Lanes; ROWS],
    /// What the symbol and the biases add to each row.
    pub inputs: [Lanes; ROWS],
    /// The bias that is in the row of a GRU's candidate.
    pub inner: Lanes,
}

impl Units<'_> {
    /// The states after the step: of a GRU h, of an LSTM h and c.
    pub fn step(&self, cell: Cell) -> [Option<Form>; 2] {
        match cell {
            Cell::Gru => [Some(self.gru()), None],
            _ => self.lstm().map(Some),
        }
    }

    fn gru(&self) -> Form {
        let r = self.activate(Cell::Sigmoid, &self.sum(0));
        let z = self.activate(Cell::Sigmoid, &self.sum(1));
        let inside = self.shifted(self.exact(2), self.inner);
        let argument = self.shifted(self.times(&r, &inside), self.inputs[2]);
        let argument = argument.rounded(self.error(2));
        let n = self.activate(Cell::Tanh, &self.tightened(argument));
        let before = self.kept(3);
        let h = self.mix(&z, &n, &before);
        let error = lanes_of(|l| {
            HALF_ULP * (2.0 * (before.largest(l) + n.largest(l)) + h.largest(l)) + TINY
        });
        h.rounded(error)
    }

    fn lstm(&self) -> [Form; 2] {
        let gate = |n: usize| self.activate(Cell::Sigmoid, &self.sum(n));
        let (i, f, o) = (gate(0), gate(1), gate(3));
        let g = self.activate(Cell::Tanh, &self.sum(2));
        let (kept, new) = (self.times(&f, &self.kept(4)), self.times(&i, &g));
        let error = lanes_of(|l| HALF_ULP * 2.0 * (kept.largest(l) + new.largest(l)) + TINY);
        let c = self.tightened(self.plus(&kept, &new).rounded(error));
        let h = self.times(&o, &self.activate(Cell::Tanh, &c));
        let mut h = h.rounded([HALF_ULP + TINY; LANES]);
        (h.low, h.high) = (h.low.map(|low| low.max(-1.0)), h.high.map(|high| high.min(1.0)));
        [h, c]
    }

    /// Some values of the units in one of their rows, and zeros.
    fn row(&self, values: &[f64], row: usize) -> Lanes {
        lanes_of(|l| if l < self.count { values[self.places[row] + l] } else { 0.0 })
    }

    fn error(&self, row: usize) -> Lanes {
        self.row(&self.sums.error, row)
    }

    /// The real values of a row.
    fn exact(&self, row: usize) -> Form {
        let slack = self.size[row].map(|size| SLACK * size);
        // The bounds of a sum hold its errors, too.
        let (low, high) = (self.row(&self.sums.low, row), self.row(&self.sums.high, row));
        let coefficients = array::from_fn(|n| [f64::from(u8::from(n == row)); LANES]);
        Form { coefficients, offset: [0.0; LANES], noise: [0.0; LANES], low, high }.rounded(slack)
    }

    /// The numbers of the state that the gates scale.
    fn kept(&self, row: usize) -> Form {
        self.exact(row).rounded(self.error(row))
    }

    /// The f32 values of a row with its input.
    fn sum(&self, row: usize) -> Form {
        self.shifted(self.exact(row), self.inputs[row]).rounded(self.error(row))
    }

    fn size(&self, form: &Form) -> Lanes {
        lanes_of(|l| {
            let rows = form.coefficients.iter().zip(&self.size);
            rows.map(|(a, size)| a[l].abs() * size[l]).sum::<f64>()
                + form.offset[l].abs()
                + form.noise[l]
        })
    }

    fn shifted(&self, mut form: Form, by: Lanes) -> Form {
        for (l, by) in by.into_iter().enumerate() {
            form.offset[l] += by;
            form.low[l] += by;
            form.high[l] += by;
        }
        let size = self.size(&form);
        form.rounded(lanes_of(|l| SLACK * (size[l] + by[l].abs())))
    }

    fn plus(&self, a: &Form, b: &Form) -> Form {
        let add = |a: &Lanes, b: &Lanes| lanes_of(|l| a[l] + b[l]);
        let sum = Form {
            coefficients: array::from_fn(|k| add(&a.coefficients[k], &b.coefficients[k])),
            offset: add(&a.offset, &b.offset),
            noise: add(&a.noise, &b.noise),
            low: add(&a.low, &b.low),
            high: add(&a.high, &b.high),
        };
        let (a, b) = (self.size(a), self.size(b));
        sum.rounded(lanes_of(|l| SLACK * (a[l] + b[l])))
    }

    fn times(&self, a: &Form, b: &Form) -> Form {
        let (x, y, r, s) = (a.middle(), b.middle(), a.radius(), b.radius());
        let ends = |l: usize| {
            [a.low[l] * b.low[l], a.low[l] * b.high[l], a.high[l] * b.low[l], a.high[l] * b.high[l]]
        };
        let product = Form {
            coefficients: array::from_fn(|k| {
                lanes_of(|l| y[l] * a.coefficients[k][l] + x[l] * b.coefficients[k][l])
            }),
            offset: lanes_of(|l| y[l] * a.offset[l] + x[l] * b.offset[l] - x[l] * y[l]),
            noise: lanes_of(|l| y[l].abs() * a.noise[l] + x[l].abs() * b.noise[l] + r[l] * s[l]),
            low: lanes_of(|l| ends(l).into_iter().fold(f64::MAX, f64::min)),
            high: lanes_of(|l| ends(l).into_iter().fold(f64::MIN, f64::max)),
        };
        let (a, b) = (self.size(a), self.size(b));
        product.rounded(lanes_of(|l| {
            let all = y[l].abs() * a[l] + x[l].abs() * b[l] + (x[l] * y[l]).abs();
            SLACK * (all + r[l] * s[l])
        }))
    }

    /// `n + z·(h − n)`, a mean of n and h for z in [0, 1].
    fn mix(&self, z: &Form, n: &Form, h: &Form) -> Form {
        let minus = |a: &Lanes, b: &Lanes| lanes_of(|l| a[l] - b[l]);
        let difference = Form {
            coefficients: array::from_fn(|k| minus(&h.coefficients[k], &n.coefficients[k])),
            offset: minus(&h.offset, &n.offset),
            noise: lanes_of(|l| h.noise[l] + n.noise[l]),
            low: minus(&h.low, &n.high),
            high: minus(&h.high, &n.low),
        };
        let (size_h, size_n, size_z) = (self.size(h), self.size(n), self.size(z));
        let slack = lanes_of(|l| SLACK * (size_h[l] + size_n[l]));
        let difference = self.tightened(difference.rounded(slack));
        let (x, y) = (z.middle(), difference.middle());
        let (r, s) = (z.radius(), difference.radius());
        let mean = |z: f64, n: f64, h: f64| (1.0 - z) * n + z * h;
        // It grows with n and h, and is linear in z.
        let at = |l: usize, n: f64, h: f64| [mean(z.low[l], n, h), mean(z.high[l], n, h)];
        let of = |z: &Lanes, n: &Lanes, h: &Lanes| {
            lanes_of(|l| (1.0 - x[l]) * n[l] + x[l] * h[l] + y[l] * z[l])
        };
        let mixed = Form {
            coefficients: array::from_fn(|k| {
                of(&z.coefficients[k], &n.coefficients[k], &h.coefficients[k])
            }),
            offset: lanes_of(|l| of(&z.offset, &n.offset, &h.offset)[l] - x[l] * y[l]),
            noise: lanes_of(|l| {
                (1.0 - x[l]).abs() * n.noise[l]
                    + x[l].abs() * h.noise[l]
                    + y[l].abs() * z.noise[l]
                    + r[l] * s[l]
            }),
            low: lanes_of(|l| {
                let [a, b] = at(l, n.low[l], h.low[l]);
                a.min(b)
            }),
            high: lanes_of(|l| {
                let [a, b] = at(l, n.high[l], h.high[l]);
                a.max(b)
            }),
        };
        mixed.rounded(lanes_of(|l| {
            let all = size_h[l] + size_n[l] + y[l].abs() * size_z[l];
            SLACK * (all + (x[l] * y[l]).abs() + r[l] * s[l])
        }))
    }

    /// σ or tanh, as the cell says.
    fn activate(&self, of: Cell, sum: &Form) -> Form {
        let line = Line::of(of, sum.low, sum.high);
        let (least, most) = if of == Cell::Sigmoid { (0.0, 1.0) } else { (-1.0, 1.0) };
        let size = self.size(sum);
        let ulp = lanes_of(|l| 4.0e-7 * line.top[l].max(-line.bottom[l]) + 3e-11);
        let slope = line.slope;
        Form {
            coefficients: sum.coefficients.map(|row| lanes_of(|l| slope[l] * row[l])),
            offset: lanes_of(|l| slope[l] * sum.offset[l] + 0.5 * (line.below[l] + line.above[l])),
            noise: lanes_of(|l| {
                let far = 3e-10 * (1.0 + sum.high[l].abs().max(sum.low[l].abs()));
                let rounding = SLACK * (2.0 + slope[l] * size[l]) + far;
                slope[l] * sum.noise[l] + 0.5 * (line.above[l] - line.below[l]) + ulp[l] + rounding
            }),
            low: lanes_of(|l| (line.bottom[l] - ulp[l]).max(least)),
            high: lanes_of(|l| (line.top[l] + ulp[l]).min(most)),
        }
    }

    /// What the affine form of a unit is in one of the generators.
    pub fn along(&self, form: &Form, l: usize, column: usize) -> Lanes {
        let mut sum = [0.0; LANES];
        for (k, coefficients) in form.coefficients.iter().enumerate() {
            if coefficients[l] != 0.0 {
                let at = (self.places[k] + l) * self.sums.stride + column;
                let from = &self.sums.generators[at..][..LANES];
                for (sum, from) in sum.iter_mut().zip(from) {
                    *sum += coefficients[l] * from;
                }
            }
        }
        sum
    }

    /// The middle of the affine form of a unit.
    pub fn center(&self, form: &Form, l: usize) -> f64 {
        let mut center = form.offset[l];
        for (k, coefficients) in form.coefficients.iter().enumerate() {
            if coefficients[l] != 0.0 {
                center += coefficients[l] * self.sums.center[self.places[k] + l];
            }
        }
        center
    }

    /// What a step adds to the noise of a form.
    pub fn own(&self, form: &Form, l: usize) -> f64 {
        form.noise[l] + SLACK * (2.0 + self.size(form)[l])
    }

    /// Its affine form may say more than the bounds say.
    fn tightened(&self, mut form: Form) -> Form {
        let size = self.size(&form);
        for (l, size) in size.into_iter().enumerate().take(self.count) {
            let mut radius = [0.0; LANES];
            for first in (0..self.sums.columns).step_by(LANES) {
                let sum = self.along(&form, l, first);
                (0..LANES).for_each(|l| radius[l] += sum[l].abs());
            }
            let radius = radius.iter().sum::<f64>() + form.noise[l] + SLACK * size;
            let center = self.center(&form, l);
            let low = form.low[l].max(center - radius);
            let high = form.high[l].min(center + radius);
            (form.low[l], form.high[l]) = (low.min(high), low.max(high));
        }
        form
    }
}
