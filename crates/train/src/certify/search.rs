//! The search for a certificate: sets that hold all states of a network.
//!
//! Nothing here is trusted. It computes in rounded f64 with some slack, and what it finds
//! counts only once the checker, which shares no code with it, has accepted it.
//!
//! ```text
//! for each plan (sets, how finely histories are told apart, steps at a time):
//!   leaves   the carry before and the last pairs of digits; split while their states spread
//!   sets     around states seen, by their principal axes (or the units: boxes), widened
//!   repeat   take every set `steps` further; widen those that do not hold what arrives
//!   until    all hold (found), an output may be wrong (next plan), or it takes too long
//! ```
//!
//! 1. A key names the carry *before* its pairs, not only the one now: after 01 01 01 11 the
//!    carry is 1 either way, but the states still tell what it was before the 01s.
//! 2. Units move together: along a leaf's principal axes its states are thin, and a box
//!    along the units would be mostly air.
//! 3. Some steps at a time: one step may stretch a set along an axis and turn it; only over
//!    a few does a network that has learned to carry contract.

use super::{Net, Node};
use rand::{Rng, RngExt};
use std::collections::{HashMap, HashSet};

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Sets along the principal axes; along the units without.
    pub axes: bool,
    /// The least pairs of a history.
    pub shortest: usize,
    /// The most pairs of a history.
    pub longest: usize,
    /// A history is split where a sum before a sigmoid spreads more than this.
    pub spread: f64,
    /// The most leaves.
    pub leaves: usize,
    /// Steps at a time.
    pub steps: usize,
}

/// From cheap to dear.
pub(super) const PLANS: [Plan; 6] = [
    boxes(1),
    boxes(2),
    boxes(3),
    Plan { axes: true, shortest: 3, longest: 9, spread: 1.0, leaves: 300, steps: 3 },
    Plan { axes: true, shortest: 3, longest: 9, spread: 0.5, leaves: 1_200, steps: 3 },
    Plan { axes: true, shortest: 3, longest: 12, spread: 0.3, leaves: 3_000, steps: 3 },
];
/// So many plans cost less than a look for a counterexample.
pub(super) const CHEAP: usize = 3;

const fn boxes(k: usize) -> Plan {
    Plan { axes: false, shortest: k, longest: k, spread: 0.0, leaves: 0, steps: 1 }
}

/// Why a plan came to nothing.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The pairs on the way to the output that may be wrong, if there was one.
    pub way: Vec<u8>,
}

/// Each set is widened by this share of its width and this much.
const WIDEN: (f64, f64) = (0.02, 1e-4);
const ROUNDS: usize = 16;

/// The sum digit and the next carry.
pub(super) fn add(pair: u8, carry: bool) -> (bool, bool) {
    let sum = (pair >> 1) + (pair & 1) + u8::from(carry);
    (sum & 1 == 1, sum >= 2)
}

/// A set of states: `c + Σ e_g·g + Σ e_j·own_j·u_j`, e in [−1, 1].
#[derive(Clone, Default)]
struct Zonotope {
    center: Vec<f64>,
    /// `[count, H]`
    generators: Vec<f64>,
    own: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// The affine image of a set.
struct Image {
    center: Vec<f64>,
    generators: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Net {
    fn image(&self, set: &Zonotope) -> Image {
        let h = self.hidden;
        let apply = |from: &[f64], to: &mut [f64]| {
            for (value, row) in from.iter().zip(self.w_rec.chunks_exact(h)) {
                for (to, w) in to.iter_mut().zip(row) {
                    *to += value * w;
                }
            }
        };
        let mut center = self.b.clone();
        apply(&set.center, &mut center);
        let mut generators = vec![0.0; set.generators.len()];
        for (from, to) in set.generators.chunks_exact(h).zip(generators.chunks_exact_mut(h)) {
            apply(from, to);
        }
        for (own, row) in set.own.iter().zip(self.w_rec.chunks_exact(h)) {
            if *own != 0.0 {
                generators.extend(row.iter().map(|w| own * w));
            }
        }
        let mut radius = vec![0.0; h];
        for generator in generators.chunks_exact(h) {
            for (radius, value) in radius.iter_mut().zip(generator) {
                *radius += value.abs();
            }
        }
        let (mut low, mut high) = (self.b.clone(), self.b.clone());
        for (k, row) in self.w_rec.chunks_exact(h).enumerate() {
            for j in 0..h {
                let (a, b) = (row[j] * set.low[k], row[j] * set.high[k]);
                low[j] += a.min(b);
                high[j] += a.max(b);
            }
        }
        for j in 0..h {
            low[j] = low[j].max(center[j] - radius[j]) - self.slack[j];
            high[j] = high[j].min(center[j] + radius[j]) + self.slack[j];
        }
        Image { center, generators, low, high }
    }

    fn after(&self, image: &Image, pair: u8) -> Zonotope {
        let h = self.hidden;
        let mut set = Zonotope {
            center: vec![0.0; h],
            generators: image.generators.clone(),
            own: vec![0.0; h],
            low: vec![0.0; h],
            high: vec![0.0; h],
        };
        let mut slopes = vec![0.0; h];
        for (j, kept) in slopes.iter_mut().enumerate() {
            let input = self.input(pair, j);
            let (low, high) = (image.low[j] + input, image.high[j] + input);
            let (bottom, top) = (sigmoid(low), sigmoid(high));
            let ulp = 4.0e-7 * top + 2e-11;
            (set.low[j], set.high[j]) = ((bottom - ulp).max(0.0), (top + ulp).min(1.0));
            let slope = if high - low > 1e-6 {
                ((top - bottom) / (high - low)).clamp(0.0, 0.25)
            } else {
                bottom * (1.0 - bottom)
            };
            let (below, above) = deviation(slope, (low, bottom), (high, top));
            *kept = slope;
            set.center[j] = slope * (image.center[j] + input) + 0.5 * (below + above);
            set.own[j] = 0.5 * (above - below)
                + slope * self.slack[j]
                + ulp
                + 3e-9 * (1.0 + slope * self.weight[j] * 8.0)
                + 3e-10 * (1.0 + high.abs().max(low.abs()));
        }
        for generator in set.generators.chunks_exact_mut(h) {
            for (value, slope) in generator.iter_mut().zip(&slopes) {
                *value *= slope;
            }
        }
        set
    }

    /// How far the sum before the output is on its right side, at least.
    fn margin(&self, set: &Zonotope, digit: bool) -> f64 {
        let (low, high) = set.range(&self.w_out);
        (if digit { low + self.b_out } else { -high - self.b_out }) - self.out_slack
    }

    /// One step of one state.
    pub(super) fn step(&self, state: &[f64], pair: u8) -> Vec<f64> {
        let mut z = self.b.clone();
        for (value, row) in state.iter().zip(self.w_rec.chunks_exact(self.hidden)) {
            for (z, w) in z.iter_mut().zip(row) {
                *z += value * w;
            }
        }
        z.iter().enumerate().map(|(j, z)| sigmoid(z + self.input(pair, j))).collect()
    }

    fn input(&self, pair: u8, j: usize) -> f64 {
        f64::from(pair >> 1) * self.w_in[j] + f64::from(pair & 1) * self.w_in[self.hidden + j]
    }
}

impl Zonotope {
    /// The range of `w·h`.
    fn range(&self, w: &[f64]) -> (f64, f64) {
        let dot = |v: &[f64]| v.iter().zip(w).map(|(v, w)| v * w).sum::<f64>();
        let mut radius = 3e-9 * w.iter().map(|w| w.abs()).sum::<f64>();
        let slack = radius;
        for generator in self.generators.chunks_exact(w.len()) {
            radius += dot(generator).abs();
        }
        let (mut low, mut high) = (-slack, slack);
        for (j, w) in w.iter().enumerate() {
            radius += (self.own[j] * w).abs();
            let (a, b) = (w * self.low[j], w * self.high[j]);
            low += a.min(b);
            high += a.max(b);
        }
        let center = dot(&self.center);
        (low.max(center - radius), high.min(center + radius))
    }

    fn of_box(low: &[f64], high: &[f64]) -> Self {
        let center: Vec<f64> = low.iter().zip(high).map(|(a, b)| 0.5 * (a + b)).collect();
        let own = low.iter().zip(high).map(|(a, b)| 0.5 * (b - a)).collect();
        Self { center, own, generators: Vec::new(), low: low.to_vec(), high: high.to_vec() }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The range of σ(z) − λ·z between two points (z, σ(z)): at an end, or where σ′ = λ.
fn deviation(slope: f64, (low, bottom): (f64, f64), (high, top): (f64, f64)) -> (f64, f64) {
    let (a, b) = (bottom - slope * low, top - slope * high);
    let (mut least, mut most) = (a.min(b), a.max(b));
    let root = (1.0 - 4.0 * slope).max(0.0).sqrt();
    let at = 0.5 * (1.0 + root);
    let z = ((1.0 + root) / (1.0 - root).max(1e-300)).ln();
    for (z, value) in [(z, at), (-z, 1.0 - at)] {
        if low < z && z < high {
            least = least.min(value - slope * z);
            most = most.max(value - slope * z);
        }
    }
    (least, most)
}

/// A history that is told apart, and its set.
#[derive(Clone)]
struct Leaf {
    /// All pairs since the first step are known.
    from_start: bool,
    /// The carry before the pairs.
    before: bool,
    pairs: Vec<u8>,
    /// `[H, H]`, a row an axis; the units without.
    axes: Option<Vec<f64>>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Leaf {
    fn carry(&self) -> bool {
        self.pairs.iter().fold(self.before, |carry, &pair| add(pair, carry).1)
    }

    fn set(&self) -> Zonotope {
        let h = self.low.len();
        let Some(axes) = &self.axes else { return Zonotope::of_box(&self.low, &self.high) };
        let mut set = Zonotope {
            center: vec![0.0; h],
            generators: Vec::with_capacity(h * h),
            own: vec![0.0; h],
            low: vec![0.0; h],
            high: vec![1.0; h],
        };
        for (i, axis) in axes.chunks_exact(h).enumerate() {
            let (middle, radius) =
                (0.5 * (self.low[i] + self.high[i]), 0.5 * (self.high[i] - self.low[i]));
            for (center, a) in set.center.iter_mut().zip(axis) {
                *center += a * middle;
            }
            set.generators.extend(axis.iter().map(|a| a * radius));
        }
        // the axes are rounded: (I − AᵀA)·h
        for j in 0..h {
            for k in 0..h {
                let product: f64 = axes.chunks_exact(h).map(|axis| axis[j] * axis[k]).sum();
                set.own[j] += (f64::from(u8::from(j == k)) - product).abs() + 2e-8;
            }
        }
        set
    }

    /// The set's coordinates along the leaf's axes.
    fn ranges(&self, set: &Zonotope) -> Vec<(f64, f64)> {
        let h = self.low.len();
        match &self.axes {
            Some(axes) => axes.chunks_exact(h).map(|axis| set.range(axis)).collect(),
            None => (0..h)
                .map(|j| {
                    let radius: f64 =
                        set.generators.iter().skip(j).step_by(h).map(|g| g.abs()).sum();
                    let radius = radius + set.own[j] + 3e-9;
                    let (low, high) = (set.center[j] - radius, set.center[j] + radius);
                    (low.max(set.low[j]), high.min(set.high[j]))
                })
                .collect(),
        }
    }
}

type Key = (bool, u64, usize);

/// Leaves, found by the history of a state.
#[derive(Default)]
struct Tree {
    leaves: Vec<Leaf>,
    by_suffix: HashMap<Key, usize>,
    by_start: HashMap<Vec<u8>, usize>,
}

fn code(pairs: &[u8]) -> u64 {
    pairs.iter().fold(0, |code, &pair| code * 4 + u64::from(pair))
}

impl Tree {
    /// The leaf for `pairs`, before which the carry was `before`.
    fn find(&self, before: bool, pairs: &[u8]) -> Option<usize> {
        suffixes(before, pairs).find_map(|key| self.by_suffix.get(&key).copied())
    }
}

/// States seen, by their carry.
pub(super) struct Pool {
    pub states: [Vec<Vec<f64>>; 2],
}

impl Pool {
    /// States of each carry, from sums with mixes of pairs of all kinds.
    pub(super) fn new(net: &Net, generator: &mut impl Rng) -> Self {
        let count = 200;
        let mut states = [Vec::new(), vec![]];
        while states.iter().any(|states| states.len() < count) {
            let mix = mix(generator);
            let (mut state, mut carry) = (vec![0.0; net.hidden], false);
            let keep = generator.random_range(0..30);
            for t in 0..30 {
                let pair = draw(&mix, generator);
                state = net.step(&state, pair);
                carry = add(pair, carry).1;
                if (t == keep || t == 29) && states[usize::from(carry)].len() < count {
                    states[usize::from(carry)].push(state.clone());
                }
            }
        }
        states[0].push(vec![0.0; net.hidden]);
        Self { states }
    }
}

/// How often each pair comes up: now even, now long chains of few kinds.
pub(super) fn mix(generator: &mut impl Rng) -> [f64; 4] {
    let mut mix = [0.0; 4];
    let power = generator.random_range(0.0..6.0);
    for share in &mut mix {
        *share = generator.random_range(0.0..1.0_f64).powf(power) + 1e-3;
    }
    let sum: f64 = mix.iter().sum();
    mix.map(|share| share / sum)
}

pub(super) fn draw(mix: &[f64; 4], generator: &mut impl Rng) -> u8 {
    let mut rest = generator.random_range(0.0..1.0_f64);
    for (pair, share) in (0..4).zip(mix) {
        rest -= share;
        if rest < 0.0 {
            return pair;
        }
    }
    3
}

/// Looks for a certificate by one plan.
pub(super) fn search(net: &Net, pool: &Pool, plan: &Plan) -> Result<Vec<Node>, Failure> {
    let mut tree = grow(net, pool, plan);
    add_starts(net, &mut tree, plan);
    for _ in 0..ROUNDS {
        let mut all_hold = true;
        let mut wanted: Vec<Option<Vec<(f64, f64)>>> = vec![None; tree.leaves.len()];
        for leaf in &tree.leaves {
            let mut way = leaf.pairs.clone();
            visit(net, &leaf.set(), leaf.carry(), plan.steps, &mut way, &mut |set, way| {
                let Some(n) = tree
                    .find(leaf.before, way)
                    .or_else(|| leaf.from_start.then(|| tree.by_start.get(way).copied()).flatten())
                else {
                    return false;
                };
                let target = &tree.leaves[n];
                let ranges = target.ranges(set);
                let holds = ranges.iter().zip(target.low.iter().zip(&target.high));
                if holds.clone().any(|(range, (low, high))| range.0 < *low || range.1 > *high) {
                    all_hold = false;
                    let wanted = wanted[n].get_or_insert_with(|| ranges.clone());
                    for (wanted, range) in wanted.iter_mut().zip(ranges) {
                        *wanted = (wanted.0.min(range.0), wanted.1.max(range.1));
                    }
                }
                true
            })?;
        }
        if all_hold {
            return Ok(nodes(net, &tree));
        }
        for (leaf, wanted) in tree.leaves.iter_mut().zip(wanted) {
            for (j, (low, high)) in wanted.into_iter().flatten().enumerate() {
                let by = WIDEN.0 * (high - low).max(0.0) + WIDEN.1;
                if low < leaf.low[j] {
                    leaf.low[j] = low - by;
                }
                if high > leaf.high[j] {
                    leaf.high[j] = high + by;
                }
            }
            if leaf.axes.is_none() {
                leaf.low.iter_mut().for_each(|low| *low = low.max(0.0));
                leaf.high.iter_mut().for_each(|high| *high = high.min(1.0));
            }
        }
    }
    Err(Failure { way: Vec::new() })
}

/// Takes `set` all ways of `left` more pairs; `arrive` says whether a way leads somewhere.
fn visit(
    net: &Net,
    set: &Zonotope,
    carry: bool,
    left: usize,
    way: &mut Vec<u8>,
    arrive: &mut impl FnMut(&Zonotope, &[u8]) -> bool,
) -> Result<(), Failure> {
    if left == 0 {
        return if arrive(set, way) { Ok(()) } else { Err(Failure { way: way.clone() }) };
    }
    let image = net.image(set);
    for pair in 0..4 {
        let (digit, next) = add(pair, carry);
        let set = net.after(&image, pair);
        way.push(pair);
        if net.margin(&set, digit) <= 2e-5 {
            return Err(Failure { way: way.clone() });
        }
        visit(net, &set, next, left - 1, way, arrive)?;
        way.pop();
    }
    Ok(())
}

/// Splits histories by the plan and gives each leaf a set around states seen.
fn grow(net: &Net, pool: &Pool, plan: &Plan) -> Tree {
    let history = |before: bool, pairs: Vec<u8>| {
        let states: Vec<Vec<f64>> = pool.states[usize::from(before)]
            .iter()
            .map(|state| pairs.iter().fold(state.clone(), |state, &pair| net.step(&state, pair)))
            .collect();
        let spread = if pairs.len() < plan.shortest {
            f64::MAX
        } else if pairs.len() < plan.longest {
            spread(net, &states)
        } else {
            0.0
        };
        (spread, before, pairs, states)
    };
    let earlier = |before: bool, pairs: &[u8]| {
        let before = (0..4)
            .flat_map(|pair| [(pair, false), (pair, true)])
            .filter(move |&(pair, earlier)| add(pair, earlier).1 == before);
        before
            .map(|(pair, earlier)| history(earlier, [&[pair], pairs].concat()))
            .collect::<Vec<_>>()
    };
    let mut open = vec![history(false, vec![]), history(true, vec![])];
    loop {
        let widest = (0..open.len()).max_by(|&a, &b| open[a].0.total_cmp(&open[b].0));
        let widest = widest.expect("both carries are there");
        let (spread, _, pairs, _) = &open[widest];
        if pairs.len() >= plan.shortest && (*spread <= plan.spread || open.len() >= plan.leaves) {
            break;
        }
        let (_, before, pairs, _) = open.swap_remove(widest);
        open.extend(earlier(before, &pairs));
    }
    // From each leaf, `steps` pairs lead to a leaf whose history is then known.
    let mut keys: HashSet<Key> =
        open.iter().map(|(_, before, pairs, _)| (*before, code(pairs), pairs.len())).collect();
    let mut n = 0;
    while n < open.len() {
        let (_, before, pairs, _) = &open[n];
        if leads_to_leaves(&keys, *before, &mut pairs.clone(), plan.steps) {
            n += 1;
            continue;
        }
        let (_, before, pairs, _) = open.swap_remove(n);
        keys.remove(&(before, code(&pairs), pairs.len()));
        for history in earlier(before, &pairs) {
            keys.insert((history.1, code(&history.2), history.2.len()));
            open.push(history);
        }
        n = 0;
    }
    let done = open.into_iter().map(|(_, before, pairs, states)| {
        let axes = plan.axes.then(|| principal_axes(&states));
        leaf_around(before, pairs, axes, &states)
    });
    let mut tree = Tree::default();
    for leaf in done {
        tree.by_suffix
            .insert((leaf.before, code(&leaf.pairs), leaf.pairs.len()), tree.leaves.len());
        tree.leaves.push(leaf);
    }
    tree
}

fn leads_to_leaves(keys: &HashSet<Key>, before: bool, way: &mut Vec<u8>, left: usize) -> bool {
    if left == 0 {
        return suffixes(before, way).any(|key| keys.contains(&key));
    }
    (0..4).all(|pair| {
        way.push(pair);
        let leads = leads_to_leaves(keys, before, way, left - 1);
        way.pop();
        leads
    })
}

/// The keys of the histories that end like `pairs`, before which the carry was `before`.
fn suffixes(before: bool, pairs: &[u8]) -> impl Iterator<Item = Key> {
    let mut carries = vec![before];
    for &pair in pairs {
        carries.push(add(pair, carries[carries.len() - 1]).1);
    }
    (0..=pairs.len()).map(move |known| {
        let first = pairs.len() - known;
        (carries[first], code(&pairs[first..]), known)
    })
}

/// The largest range of a sum before a sigmoid.
fn spread(net: &Net, states: &[Vec<f64>]) -> f64 {
    let h = net.hidden;
    let (mut low, mut high) = (vec![f64::MAX; h], vec![f64::MIN; h]);
    for state in states {
        let mut z = vec![0.0; h];
        for (value, row) in state.iter().zip(net.w_rec.chunks_exact(h)) {
            for (z, w) in z.iter_mut().zip(row) {
                *z += value * w;
            }
        }
        for j in 0..h {
            low[j] = low[j].min(z[j]);
            high[j] = high[j].max(z[j]);
        }
    }
    low.iter().zip(&high).map(|(low, high)| high - low).fold(0.0, f64::max)
}

fn leaf_around(before: bool, pairs: Vec<u8>, axes: Option<Vec<f64>>, states: &[Vec<f64>]) -> Leaf {
    let h = states[0].len();
    let (mut low, mut high) = (vec![f64::MAX; h], vec![f64::MIN; h]);
    for state in states {
        for j in 0..h {
            let value = match &axes {
                Some(axes) => axes[j * h..][..h].iter().zip(state).map(|(a, s)| a * s).sum(),
                None => state[j],
            };
            low[j] = low[j].min(value);
            high[j] = high[j].max(value);
        }
    }
    for (low, high) in low.iter_mut().zip(&mut high) {
        let by = WIDEN.0 * (*high - *low) + WIDEN.1;
        *low -= by;
        *high += by;
        if axes.is_none() {
            (*low, *high) = (low.max(0.0), high.min(1.0));
        }
    }
    Leaf { from_start: false, before, pairs, axes, low, high }
}

/// The nodes of histories too short for a leaf, from h = 0 on.
fn add_starts(net: &Net, tree: &mut Tree, plan: &Plan) {
    let mut open =
        vec![(Vec::new(), Zonotope::of_box(&vec![0.0; net.hidden], &vec![0.0; net.hidden]))];
    while let Some((pairs, set)) = open.pop() {
        tree.by_start.insert(pairs.clone(), tree.leaves.len());
        let widen = if pairs.is_empty() { 0.0 } else { 1e-6 };
        tree.leaves.push(Leaf {
            from_start: true,
            before: false,
            pairs: pairs.clone(),
            axes: None,
            low: set.low.iter().map(|low| (low - widen).max(0.0)).collect(),
            high: set.high.iter().map(|high| (high + widen).min(1.0)).collect(),
        });
        let leaf = tree.leaves[tree.leaves.len() - 1].set();
        let mut way = pairs;
        let mut short = Vec::new();
        // An output that may be wrong is met again, and told, by the search.
        let _ = visit(net, &leaf, false, 0, &mut way, &mut |_, _| true);
        reach(net, &leaf, plan.steps, &mut way, &mut |set, way| {
            if tree.find(false, way).is_none() {
                short.push((way.to_vec(), set.clone()));
            }
        });
        open.extend(short);
    }
}

/// All sets after `left` more pairs.
fn reach(
    net: &Net,
    set: &Zonotope,
    left: usize,
    way: &mut Vec<u8>,
    arrive: &mut impl FnMut(&Zonotope, &[u8]),
) {
    if left == 0 {
        return arrive(set, way);
    }
    let image = net.image(set);
    for pair in 0..4 {
        way.push(pair);
        reach(net, &net.after(&image, pair), left - 1, way, arrive);
        way.pop();
    }
}

/// The eigenvectors of the covariance, as rows `[H, H]`, by Jacobi's rotations, rounded to
/// f32 to be short when written.
fn principal_axes(states: &[Vec<f64>]) -> Vec<f64> {
    let h = states[0].len();
    let count = states.len() as f64;
    let mean: Vec<f64> =
        (0..h).map(|j| states.iter().map(|state| state[j]).sum::<f64>() / count).collect();
    let mut a = vec![0.0; h * h];
    for state in states {
        for i in 0..h {
            for j in 0..h {
                a[i * h + j] += (state[i] - mean[i]) * (state[j] - mean[j]);
            }
        }
    }
    eigenvectors(&mut a, h).into_iter().map(|value| f64::from(value as f32)).collect()
}

/// The eigenvectors of the symmetric `a`, as rows (Golub and Van Loan, Matrix
/// Computations, section 8.5).
pub(super) fn eigenvectors(a: &mut [f64], h: usize) -> Vec<f64> {
    let mut v = vec![0.0; h * h];
    (0..h).for_each(|i| v[i * h + i] = 1.0);
    for _ in 0..30 {
        for p in 0..h {
            for q in p + 1..h {
                let off = a[p * h + q];
                if off.abs() < 1e-300 {
                    continue;
                }
                let tau = (a[q * h + q] - a[p * h + p]) / (2.0 * off);
                let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for k in 0..h {
                    let (x, y) = (a[k * h + p], a[k * h + q]);
                    a[k * h + p] = c * x - s * y;
                    a[k * h + q] = s * x + c * y;
                }
                for k in 0..h {
                    let (x, y) = (a[p * h + k], a[q * h + k]);
                    a[p * h + k] = c * x - s * y;
                    a[q * h + k] = s * x + c * y;
                    let (x, y) = (v[p * h + k], v[q * h + k]);
                    v[p * h + k] = c * x - s * y;
                    v[q * h + k] = s * x + c * y;
                }
            }
        }
        let off: f64 =
            (0..h).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * h + j].abs()).sum();
        let diagonal: f64 = (0..h).map(|i| a[i * h + i].abs()).sum();
        if off <= 1e-14 * diagonal {
            break;
        }
    }
    v
}

fn nodes(net: &Net, tree: &Tree) -> Vec<Node> {
    let h = net.hidden;
    let node = |leaf: &Leaf| {
        let first = match (leaf.from_start, leaf.before) {
            (true, _) => "start",
            (false, false) => "0",
            (false, true) => "1",
        };
        let words = leaf.pairs.iter().map(|&pair| ["00", "01", "10", "11"][usize::from(pair)]);
        Node {
            key: [first].into_iter().chain(words).collect::<Vec<_>>().join(" "),
            axes: leaf
                .axes
                .as_ref()
                .map(|axes| axes.chunks_exact(h).map(<[f64]>::to_vec).collect()),
            low: leaf.low.clone(),
            high: leaf.high.clone(),
        }
    };
    tree.leaves.iter().map(node).collect()
}
