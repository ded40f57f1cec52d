//! A leaf: a history, and the abstract state after it, a chain of segments.
//!
//! ```text
//! axes      the direction that is remembered longest, and behind it the principal axes of the
//!           sampled states (or the units: one box)
//! segments  between neighbouring edges along the first axis, multiples of `length`
//! bounds    low₀ ≤ a₀·h ≤ high₀,   lowᵢ ≤ (aᵢ − slopeᵢ·a₀)·h ≤ highᵢ for the other axes
//! ```
//!
//! The states of a network that remembers for long lie, after given pairs, close to a curve.
//! One box around a bent curve is mostly empty; short segments along it are not, and a slope
//! turns a segment into the curve's direction.

use crate::abstract_state::{AbstractState, Domain};
use crate::axes::principal_axes;
use crate::certificate::{Node, Piece};
use crate::lanes::LANES;
use crate::machine::Transitions;
use std::collections::BTreeMap;
use std::rc::Rc;

/// By which share of the range a bound is widened, and how much besides.
pub(crate) type Widening = (f64, f64);
/// At first, segments are halved until they are as short as they are thick, or as this.
const LEAST_LENGTH: f64 = 0.05;
/// A slope is fitted to so many sampled states on each side at least.
const NEAREST: usize = 6;
/// A slope is used where it explains this share of the variance.
const FIT: f64 = 0.9;

/// One of the segments.
#[derive(Clone, PartialEq)]
pub(crate) struct Segment {
    /// `[H, H]`, the directions of the bounds, by rows; none for those of the units.
    rows: Vec<f64>,
    /// `[H]`
    slopes: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
    /// Whether it has grown since it was propagated.
    pub grown: bool,
}

/// A history and its abstract state.
#[derive(Clone, PartialEq)]
pub(crate) struct Leaf {
    /// Whether the history goes back to the first step.
    pub from_start: bool,
    /// The state of the machine before the symbols.
    pub before: usize,
    /// The symbols.
    pub word: Vec<u8>,
    /// The state of the machine after them.
    pub after: usize,
    /// The hidden states that there are.
    domain: Domain,
    widening: Widening,
    /// `[H, H]`, a row an axis; the units without.
    axes: Option<Vec<f64>>,
    /// How far a unit of `AᵀA·h` may be from that of h: the axes are rounded.
    pub axes_error: f64,
    /// How long a segment is along the first axis.
    pub length: f64,
    /// By their number along the first axis.
    pub segments: BTreeMap<i64, Segment>,
    /// The leaf whose successors last widened it.
    pub widened_by: usize,
    /// The sampled states along the axes, in the order of the first.
    coordinates: Rc<Vec<Vec<f64>>>,
}

/// Called with the number of a segment, and what it would have to hold.
pub(crate) type Missed<'a> = dyn FnMut(i64, &Ranges) + 'a;

/// The ranges of an abstract state along the bounds of a segment.
pub(crate) type Ranges = Vec<(f64, f64)>;

impl Segment {
    /// Holds `ranges` too, and a little more.
    fn widen(&mut self, ranges: &[(f64, f64)], (share, least): Widening) {
        for (j, &(low, high)) in ranges.iter().enumerate() {
            let by = share * (high - low).max(0.0) + least;
            if low < self.low[j] {
                self.low[j] = low - by;
            }
            if high > self.high[j] {
                self.high[j] = high + by;
            }
        }
    }

    /// The range of a state along one of the bounds but the first.
    fn range(&self, state: &AbstractState, bound: usize) -> (f64, f64) {
        let h = self.low.len();
        match self.rows.is_empty() {
            true => state.range_of_unit(bound),
            false => state.range(&self.rows[bound * h..][..h]),
        }
    }
}

impl Leaf {
    /// The box of the states after the first symbols of a run.
    pub fn start(machine: &Transitions, word: Vec<u8>, low: Vec<f64>, high: Vec<f64>) -> Self {
        let (rows, slopes) = (Vec::new(), vec![0.0; low.len()]);
        Self {
            from_start: true,
            before: 0,
            after: machine.follow(0, &word).expect("histories are legal"),
            word,
            domain: Domain::ALL,
            widening: (0.0, 0.0),
            axes: None,
            axes_error: 0.0,
            length: f64::INFINITY,
            segments: BTreeMap::from([(0, Segment { rows, slopes, low, high, grown: true })]),
            widened_by: 0,
            coordinates: Rc::default(),
        }
    }

    /// Around the sampled `states`, along `axes`: segments of this `length`, or of one that fits
    /// how thick they are.
    pub fn around(
        (machine, domain, widening): (&Transitions, Domain, Widening),
        (before, word): (usize, &[u8]),
        axes: Option<Vec<f64>>,
        length: Option<f64>,
        states: &[Vec<f64>],
    ) -> Self {
        let h = states[0].len();
        let coordinates = coordinates(axes.as_deref(), states);
        let length = match (length, &axes) {
            (Some(length), _) => length,
            (None, Some(_)) => first_length(&coordinates),
            (None, None) => f64::INFINITY,
        };
        let axes_error = axes.as_ref().map_or(0.0, |axes| axes_error(axes, h));
        let mut leaf = Self {
            from_start: false,
            before,
            after: machine.follow(before, word).expect("histories are legal"),
            word: word.to_vec(),
            domain,
            widening,
            axes,
            axes_error,
            length,
            segments: BTreeMap::new(),
            widened_by: 0,
            coordinates: Rc::new(coordinates),
        };
        let mut sampled: BTreeMap<i64, Ranges> = BTreeMap::new();
        for along in leaf.coordinates.iter() {
            let number = leaf.number(along[0]);
            let slopes = leaf.slopes(number);
            let ranges = sampled.entry(number).or_insert_with(|| vec![(f64::MAX, f64::MIN); h]);
            for ((range, value), slope) in ranges.iter_mut().zip(along).zip(slopes) {
                let value = value - slope * along[0];
                *range = (range.0.min(value), range.1.max(value));
            }
        }
        for (number, ranges) in sampled {
            leaf.widen(number, &ranges, 0);
        }
        leaf
    }

    /// The number of the segment at a coordinate along the first axis.
    fn number(&self, along: f64) -> i64 {
        (along / self.length).floor() as i64
    }

    /// The edges of a segment along the first axis.
    fn edges(&self, number: i64) -> (f64, f64) {
        if self.length.is_infinite() {
            return (f64::MIN, f64::MAX);
        }
        (number as f64 * self.length, (number + 1) as f64 * self.length)
    }

    /// The slope of each axis over the first near a segment, by least squares over the sampled
    /// states.
    fn slopes(&self, number: i64) -> Vec<f64> {
        let mut slopes = vec![0.0; self.coordinates[0].len()];
        let (low, high) = self.edges(number);
        let (middle, reach) = (0.5 * (low + high), 0.75 * self.length);
        if self.length.is_infinite() {
            return slopes;
        }
        let below = |edge: f64| self.coordinates.partition_point(|along| along[0] < edge);
        let at = below(middle);
        let first = below(middle - reach).min(at.saturating_sub(NEAREST));
        let last = below(middle + reach).max(at + NEAREST).min(self.coordinates.len());
        let near = &self.coordinates[first..last];
        let mean = |i: usize| near.iter().map(|along| along[i]).sum::<f64>() / near.len() as f64;
        let sum = |i: usize, j: usize| {
            let (a, b) = (mean(i), mean(j));
            near.iter().map(|along| (along[i] - a) * (along[j] - b)).sum::<f64>()
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

    /// A segment that holds nothing yet.
    fn empty(&self, number: i64, h: usize) -> Segment {
        let (low, high) = (vec![f64::MAX; h], vec![f64::MIN; h]);
        let (mut rows, mut slopes) = (Vec::new(), vec![0.0; h]);
        if let Some(axes) = &self.axes {
            slopes = self.slopes(number);
            rows.clone_from(axes);
            for (row, slope) in rows.chunks_exact_mut(h).zip(&slopes) {
                row.iter_mut().zip(axes).for_each(|(value, first)| *value -= slope * first);
            }
        }
        Segment { rows, slopes, low, high, grown: true }
    }

    /// Widens a segment to hold `ranges`, the successors of the leaf `by`.
    pub fn widen(&mut self, number: i64, ranges: &[(f64, f64)], by: usize) {
        let (edges, is_box, widening) = (self.edges(number), self.axes.is_none(), self.widening);
        if !self.segments.contains_key(&number) {
            self.segments.insert(number, self.empty(number, ranges.len()));
        }
        let segment = self.segments.get_mut(&number).expect("just inserted");
        segment.grown = true;
        self.widened_by = by;
        segment.widen(ranges, widening);
        if is_box {
            for (n, (low, high)) in segment.low.iter_mut().zip(&mut segment.high).enumerate() {
                let (least, most) = self.domain.of(n);
                (*low, *high) = (low.max(least), high.min(most));
            }
        }
        segment.low[0] = segment.low[0].max(edges.0);
        segment.high[0] = segment.high[0].min(edges.1);
    }

    /// The same, and it holds nothing yet.
    pub fn emptied(&self) -> Self {
        Self { segments: BTreeMap::new(), ..self.clone() }
    }

    /// Widens a segment to hold a hidden state, and a little more.
    pub fn hold_point(&mut self, hidden: &[f64]) {
        let along = match &self.axes {
            Some(axes) => axes.chunks_exact(hidden.len()).map(|axis| dot(axis, hidden)).collect(),
            None => hidden.to_vec(),
        };
        let number = self.number(along[0]);
        let slopes = match self.segments.get(&number) {
            Some(segment) => segment.slopes.clone(),
            None => self.slopes(number),
        };
        let across = |(value, slope): (&f64, &f64)| value - slope * along[0];
        let ranges: Ranges = along.iter().zip(&slopes).map(across).map(|at| (at, at)).collect();
        let holds = |segment: &Segment| {
            let bounds = segment.low.iter().zip(&segment.high);
            bounds.zip(&ranges).all(|((low, high), at)| *low <= at.0 && at.0 <= *high)
        };
        if !self.segments.get(&number).is_some_and(holds) {
            self.widen(number, &ranges, 0);
        }
    }

    /// Whether the leaf holds all of `state`. If not, `missed`, where it is given, is called for
    /// every segment that would have to hold more.
    pub fn holds(
        &self,
        state: &AbstractState,
        ranges: &mut Ranges,
        mut missed: Option<&mut Missed>,
    ) -> bool {
        let first = match &self.axes {
            Some(axes) => state.range(&axes[..ranges.len()]),
            None => state.range_of_unit(0),
        };
        let mut all = true;
        for number in self.number(first.0)..=self.number(first.1) {
            let edges = self.edges(number);
            let fresh;
            let segment = match self.segments.get(&number) {
                Some(segment) => segment,
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
                    _ => segment.range(state, i),
                };
                held &= segment.low[i] <= range.0 && range.1 <= segment.high[i];
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

    /// Writes a segment to `state`.
    pub fn write_state(&self, segment: &Segment, domain: Domain, state: &mut AbstractState) {
        let h = segment.low.len();
        let middle = |i: usize| 0.5 * (segment.low[i] + segment.high[i]);
        let radius = |i: usize| 0.5 * (segment.high[i] - segment.low[i]);
        let Some(axes) = &self.axes else {
            state.columns = 0;
            state.low.copy_from_slice(&segment.low);
            state.high.copy_from_slice(&segment.high);
            for j in 0..h {
                (state.center[j], state.own[j]) = (middle(j), radius(j));
            }
            return;
        };
        state.columns = h.next_multiple_of(LANES);
        state.center.fill(0.0);
        state.generators.fill(0.0);
        state.own.fill(0.0);
        for (n, (low, high)) in state.low.iter_mut().zip(&mut state.high).enumerate() {
            (*low, *high) = domain.of(n);
        }
        for (i, axis) in axes.chunks_exact(h).enumerate() {
            for (j, a) in axis.iter().enumerate() {
                let row = j * state.stride;
                state.center[j] += a * (middle(i) + segment.slopes[i] * middle(0));
                state.generators[row + i] += a * radius(i);
                state.generators[row] += a * segment.slopes[i] * radius(0);
            }
        }
    }

    /// The thickness of the thickest segment, across the first axis.
    pub fn thickness(&self) -> f64 {
        let bounds = self
            .segments
            .values()
            .flat_map(|segment| segment.low.iter().zip(&segment.high).skip(1));
        bounds.map(|(low, high)| high - low).fold(0.0, f64::max)
    }

    /// As a node of a certificate, for a machine with symbols of these names.
    pub fn node(&self, names: &[String]) -> Node {
        let first = if self.from_start { "start".to_owned() } else { self.before.to_string() };
        let words = self.word.iter().map(|&symbol| &*names[usize::from(symbol)]);
        let bounds = |segment: &Segment| {
            let has_slopes = segment.slopes.iter().any(|&slope| slope != 0.0);
            let slopes = has_slopes.then(|| segment.slopes.clone());
            Piece { low: segment.low.clone(), high: segment.high.clone(), slopes }
        };
        let rows =
            |axes: &Vec<f64>| axes.chunks_exact(axes.len().isqrt()).map(<[f64]>::to_vec).collect();
        Node {
            key: [&*first].into_iter().chain(words).collect::<Vec<_>>().join(" "),
            axes: self.axes.as_ref().map(rows),
            pieces: self.segments.values().map(bounds).collect(),
        }
    }
}

/// How long the segments around `states` are at first: a measure of how thick they lie.
pub(crate) fn segment_length(states: &[Vec<f64>]) -> f64 {
    first_length(&coordinates(Some(&principal_axes(states)), states))
}

fn dot(axis: &[f64], state: &[f64]) -> f64 {
    axis.iter().zip(state).map(|(a, s)| a * s).sum()
}

/// The coordinates of `states` along `axes`, in the order of the first.
fn coordinates(axes: Option<&[f64]>, states: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let along = |state: &Vec<f64>| match axes {
        Some(axes) => axes.chunks_exact(state.len()).map(|axis| dot(axis, state)).collect(),
        None => state.clone(),
    };
    let mut coordinates: Vec<Vec<f64>> = states.iter().map(along).collect();
    coordinates.sort_by(|a, b| a[0].total_cmp(&b[0]));
    coordinates
}

/// Halves the length until segments are about as long as they are thick.
fn first_length(coordinates: &[Vec<f64>]) -> f64 {
    let range = |segment: &[Vec<f64>], i: usize| {
        let values = segment.iter().map(|along| along[i]);
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    let mut length = range(coordinates, 0).max(1e-3);
    while length > LEAST_LENGTH {
        let segments = coordinates
            .chunk_by(|a, b| (a[0] / length).floor() as i64 == (b[0] / length).floor() as i64);
        let thick =
            segments.flat_map(|segment| (1..coordinates[0].len()).map(move |i| range(segment, i)));
        if thick.fold(0.0, f64::max) > length {
            break;
        }
        length *= 0.5;
    }
    length
}

/// The largest `Σ_k |I − AᵀA|` of a row, and a little more.
fn axes_error(axes: &[f64], h: usize) -> f64 {
    let entry = |j: usize, k: usize| {
        let product: f64 = axes.chunks_exact(h).map(|axis| axis[j] * axis[k]).sum();
        (f64::from(u8::from(j == k)) - product).abs() + 1e-8
    };
    (0..h).map(|j| (0..h).map(|k| entry(j, k)).sum()).fold(1e-8, f64::max)
}
