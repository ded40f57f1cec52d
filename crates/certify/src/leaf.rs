//! A history that is told apart, and the set of its states: a chain of cells.
//!
//! ```text
//! axes    the principal axes of states seen, the longest first (or the units: one box)
//! cells   what lies between neighbouring edges of the first axis, a multiple of `width`
//! bounds  low₀ ≤ a₀·h ≤ high₀,   lowᵢ ≤ (aᵢ − slopeᵢ·a₀)·h ≤ highᵢ for the other axes
//! ```
//!
//! A network that remembers for long has, after given pairs, states along a curve, and thin
//! about it. One box around a bent curve is mostly air; short cells along it are not, and a
//! slope lets a cell lie along its piece of the curve.

use crate::abstract_state::Zonotope;
use crate::axes::principal_axes;
use crate::certificate::{Node, Piece};
use crate::lanes::LANES;
use crate::pairs::add;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Each set is widened by this share of its width and this much.
const WIDEN: (f64, f64) = (0.02, 1e-4);
/// Cells are halved at first until they are as short as they are thick, or as this.
const LEAST_WIDTH: f64 = 0.05;
/// A slope is that of so many states on each side at least.
const NEAREST: usize = 6;
/// A slope is used where it explains this share of the variance.
const FIT: f64 = 0.9;

/// One of the cells.
#[derive(Clone)]
pub(crate) struct Cell {
    /// `[H, H]`, the directions of the bounds, by rows; none for those of the units.
    rows: Vec<f64>,
    /// `[H]`
    slopes: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
    /// Whether it has grown since it was taken further.
    pub grown: bool,
}

/// A history and its set.
#[derive(Clone)]
pub(crate) struct Leaf {
    /// All pairs since the first step are known.
    pub from_start: bool,
    /// The carry before the pairs.
    pub before: bool,
    pub pairs: Vec<u8>,
    /// `[H, H]`, a row an axis; the units without.
    axes: Option<Vec<f64>>,
    /// The axes are rounded: how far `AᵀA·h` may be from `h`.
    pub rough: f64,
    /// How long a cell is along the first axis.
    pub width: f64,
    /// By their number along the first axis.
    pub cells: BTreeMap<i64, Cell>,
    /// Of which other leaf it last had to hold more.
    pub from: usize,
    /// Where states seen lie along the axes, in the order of the first.
    places: Rc<Vec<Vec<f64>>>,
}

/// Is told the number of a cell, and what it would have to hold.
pub(crate) type Missed<'a> = dyn FnMut(i64, &Ranges) + 'a;

/// What of a set a cell would have to hold: the range of each bound.
pub(crate) type Ranges = Vec<(f64, f64)>;

impl Cell {
    /// Holds `ranges` too, and a little more.
    fn widen(&mut self, ranges: &[(f64, f64)]) {
        for (j, &(low, high)) in ranges.iter().enumerate() {
            let by = WIDEN.0 * (high - low).max(0.0) + WIDEN.1;
            if low < self.low[j] {
                self.low[j] = low - by;
            }
            if high > self.high[j] {
                self.high[j] = high + by;
            }
        }
    }

    /// The range of a set along one of the bounds but the first.
    fn range(&self, set: &Zonotope, bound: usize) -> (f64, f64) {
        let h = self.low.len();
        match self.rows.is_empty() {
            true => set.range_of_unit(bound),
            false => set.range(&self.rows[bound * h..][..h]),
        }
    }
}

impl Leaf {
    /// The box of the states after the first `pairs` of all.
    pub fn start(pairs: Vec<u8>, low: Vec<f64>, high: Vec<f64>) -> Self {
        let (rows, slopes) = (Vec::new(), vec![0.0; low.len()]);
        Self {
            from_start: true,
            before: false,
            pairs,
            axes: None,
            rough: 0.0,
            width: f64::INFINITY,
            cells: BTreeMap::from([(0, Cell { rows, slopes, low, high, grown: true })]),
            from: 0,
            places: Rc::default(),
        }
    }

    /// Around `states`: cells of this `width`, or one as `width` is best, along `axes`.
    pub fn around(
        before: bool,
        pairs: Vec<u8>,
        axes: Option<Vec<f64>>,
        width: Option<f64>,
        states: &[Vec<f64>],
    ) -> Self {
        let h = states[0].len();
        let places = places(axes.as_deref(), states);
        let width = match (width, &axes) {
            (Some(width), _) => width,
            (None, Some(_)) => first_width(&places),
            (None, None) => f64::INFINITY,
        };
        let rough = axes.as_ref().map_or(0.0, |axes| roughness(axes, h));
        let mut leaf = Self {
            from_start: false,
            before,
            pairs,
            axes,
            rough,
            width,
            cells: BTreeMap::new(),
            from: 0,
            places: Rc::new(places),
        };
        let mut seen: BTreeMap<i64, Ranges> = BTreeMap::new();
        for place in leaf.places.iter() {
            let number = leaf.number(place[0]);
            let slopes = leaf.slopes(number);
            let ranges = seen.entry(number).or_insert_with(|| vec![(f64::MAX, f64::MIN); h]);
            for ((range, value), slope) in ranges.iter_mut().zip(place).zip(slopes) {
                let value = value - slope * place[0];
                *range = (range.0.min(value), range.1.max(value));
            }
        }
        for (number, ranges) in seen {
            leaf.hold(number, &ranges, 0);
        }
        leaf
    }

    /// The carry after the pairs.
    pub fn carry(&self) -> bool {
        self.pairs.iter().fold(self.before, |carry, &pair| add(pair, carry).1)
    }

    /// The number of the cell at a place along the first axis.
    fn number(&self, place: f64) -> i64 {
        (place / self.width).floor() as i64
    }

    /// The edges of a cell along the first axis.
    fn edges(&self, number: i64) -> (f64, f64) {
        if self.width.is_infinite() {
            return (f64::MIN, f64::MAX);
        }
        (number as f64 * self.width, (number + 1) as f64 * self.width)
    }

    /// How each axis goes with the first about a cell, by least squares over states seen.
    fn slopes(&self, number: i64) -> Vec<f64> {
        let mut slopes = vec![0.0; self.places[0].len()];
        let (low, high) = self.edges(number);
        let (middle, reach) = (0.5 * (low + high), 0.75 * self.width);
        if self.width.is_infinite() {
            return slopes;
        }
        let below = |edge: f64| self.places.partition_point(|place| place[0] < edge);
        let at = below(middle);
        let first = below(middle - reach).min(at.saturating_sub(NEAREST));
        let last = below(middle + reach).max(at + NEAREST).min(self.places.len());
        let near = &self.places[first..last];
        let mean = |i: usize| near.iter().map(|place| place[i]).sum::<f64>() / near.len() as f64;
        let sum = |i: usize, j: usize| {
            let (a, b) = (mean(i), mean(j));
            near.iter().map(|place| (place[i] - a) * (place[j] - b)).sum::<f64>()
        };
        let square = sum(0, 0);
        for (i, slope) in slopes.iter_mut().enumerate().skip(1) {
            let product = sum(0, i);
            if product * product > FIT * square * sum(i, i) {
                *slope = f64::from((product / (square + 1e-9)).clamp(-4.0, 4.0) as f32);
            }
        }
        slopes
    }

    /// A cell that holds nothing yet.
    fn empty(&self, number: i64, h: usize) -> Cell {
        let (low, high) = (vec![f64::MAX; h], vec![f64::MIN; h]);
        let (mut rows, mut slopes) = (Vec::new(), vec![0.0; h]);
        if let Some(axes) = &self.axes {
            slopes = self.slopes(number);
            rows.clone_from(axes);
            for (row, slope) in rows.chunks_exact_mut(h).zip(&slopes) {
                row.iter_mut().zip(axes).for_each(|(value, first)| *value -= slope * first);
            }
        }
        Cell { rows, slopes, low, high, grown: true }
    }

    /// Widens a cell to hold `ranges`, which came from the leaf `from`.
    pub fn hold(&mut self, number: i64, ranges: &[(f64, f64)], from: usize) {
        let (edges, is_box) = (self.edges(number), self.axes.is_none());
        if !self.cells.contains_key(&number) {
            self.cells.insert(number, self.empty(number, ranges.len()));
        }
        let cell = self.cells.get_mut(&number).expect("just inserted");
        cell.grown = true;
        self.from = from;
        cell.widen(ranges);
        if is_box {
            cell.low.iter_mut().for_each(|low| *low = low.max(0.0));
            cell.high.iter_mut().for_each(|high| *high = high.min(1.0));
        }
        cell.low[0] = cell.low[0].max(edges.0);
        cell.high[0] = cell.high[0].min(edges.1);
    }

    /// Whether the leaf holds all of `set`. If not, and `missed` is asked for, it is called
    /// with every cell that would have to hold more, and what.
    pub fn holds(
        &self,
        set: &Zonotope,
        ranges: &mut Ranges,
        mut missed: Option<&mut Missed>,
    ) -> bool {
        let first = match &self.axes {
            Some(axes) => set.range(&axes[..ranges.len()]),
            None => set.range_of_unit(0),
        };
        let mut all = true;
        for number in self.number(first.0)..=self.number(first.1) {
            let edges = self.edges(number);
            let fresh;
            let cell = match self.cells.get(&number) {
                Some(cell) => cell,
                None if missed.is_none() => return false,
                None => {
                    fresh = self.empty(number, ranges.len());
                    &fresh
                }
            };
            let mut held = true;
            for (i, range) in ranges.iter_mut().enumerate() {
                *range = match i {
                    0 => (first.0.max(edges.0), first.1.min(edges.1)),
                    _ => cell.range(set, i),
                };
                held &= cell.low[i] <= range.0 && range.1 <= cell.high[i];
                if !held && missed.is_none() {
                    return false;
                }
            }
            if !held && let Some(missed) = &mut missed {
                all = false;
                missed(number, ranges);
            }
        }
        all
    }

    /// Sets `set` to a cell.
    pub fn put(&self, cell: &Cell, set: &mut Zonotope) {
        let h = cell.low.len();
        let middle = |i: usize| 0.5 * (cell.low[i] + cell.high[i]);
        let radius = |i: usize| 0.5 * (cell.high[i] - cell.low[i]);
        let Some(axes) = &self.axes else {
            set.columns = 0;
            set.low.copy_from_slice(&cell.low);
            set.high.copy_from_slice(&cell.high);
            for j in 0..h {
                (set.center[j], set.own[j]) = (middle(j), radius(j));
            }
            return;
        };
        set.columns = h.next_multiple_of(LANES);
        set.center.fill(0.0);
        set.generators.fill(0.0);
        set.own.fill(0.0);
        set.low.fill(0.0);
        set.high.fill(1.0);
        for (i, axis) in axes.chunks_exact(h).enumerate() {
            for (j, a) in axis.iter().enumerate() {
                let row = j * set.stride;
                set.center[j] += a * (middle(i) + cell.slopes[i] * middle(0));
                set.generators[row + i] += a * radius(i);
                set.generators[row] += a * cell.slopes[i] * radius(0);
            }
        }
    }

    /// The thickest that a cell is across the first axis.
    pub fn thickness(&self) -> f64 {
        let bounds = self.cells.values().flat_map(|cell| cell.low.iter().zip(&cell.high).skip(1));
        bounds.map(|(low, high)| high - low).fold(0.0, f64::max)
    }

    /// As a certificate says it.
    pub fn node(&self) -> Node {
        let first = match (self.from_start, self.before) {
            (true, _) => "start",
            (false, false) => "0",
            (false, true) => "1",
        };
        let words = self.pairs.iter().map(|&pair| ["00", "01", "10", "11"][usize::from(pair)]);
        let bounds = |cell: &Cell| {
            let is_bent = cell.slopes.iter().any(|&slope| slope != 0.0);
            let slopes = is_bent.then(|| cell.slopes.clone());
            Piece { low: cell.low.clone(), high: cell.high.clone(), slopes }
        };
        let rows =
            |axes: &Vec<f64>| axes.chunks_exact(axes.len().isqrt()).map(<[f64]>::to_vec).collect();
        Node {
            key: [first].into_iter().chain(words).collect::<Vec<_>>().join(" "),
            axes: self.axes.as_ref().map(rows),
            pieces: self.cells.values().map(bounds).collect(),
        }
    }
}

/// How long the cells of `states` are at first: a measure of how thick the set is.
pub(crate) fn cell_width(states: &[Vec<f64>]) -> f64 {
    first_width(&places(Some(&principal_axes(states)), states))
}

/// Where `states` lie along `axes`, in the order of the first.
fn places(axes: Option<&[f64]>, states: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let dot = |axis: &[f64], state: &[f64]| axis.iter().zip(state).map(|(a, s)| a * s).sum();
    let place = |state: &Vec<f64>| match axes {
        Some(axes) => axes.chunks_exact(state.len()).map(|axis| dot(axis, state)).collect(),
        None => state.clone(),
    };
    let mut places: Vec<Vec<f64>> = states.iter().map(place).collect();
    places.sort_by(|a, b| a[0].total_cmp(&b[0]));
    places
}

/// Halves the length until cells are about as long as they are thick.
fn first_width(places: &[Vec<f64>]) -> f64 {
    let range = |cell: &[Vec<f64>], i: usize| {
        let values = cell.iter().map(|place| place[i]);
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    let mut width = range(places, 0).max(1e-3);
    while width > LEAST_WIDTH {
        let cells =
            places.chunk_by(|a, b| (a[0] / width).floor() as i64 == (b[0] / width).floor() as i64);
        let thick = cells.flat_map(|cell| (1..places[0].len()).map(move |i| range(cell, i)));
        if thick.fold(0.0, f64::max) > width {
            break;
        }
        width *= 0.5;
    }
    width
}

/// The largest `Σ_k |I − AᵀA|` of a row, and a little more.
fn roughness(axes: &[f64], h: usize) -> f64 {
    let entry = |j: usize, k: usize| {
        let product: f64 = axes.chunks_exact(h).map(|axis| axis[j] * axis[k]).sum();
        (f64::from(u8::from(j == k)) - product).abs() + 1e-8
    };
    (0..h).map(|j| (0..h).map(|k| entry(j, k)).sum()).fold(1e-8, f64::max)
}
