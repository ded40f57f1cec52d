//! The search for a certificate: sets that hold all states of a network.
//!
//! Nothing here is trusted. It computes in rounded f64 with some slack, and what it finds
//! counts only once the checker, which shares no code with it, has accepted it.
//!
//! ```text
//! for each plan (kind of sets, steps at a time, how many leaves):
//!   leaves   the carry before and the last pairs of digits
//!   sets     around states seen, by their principal axes (or the units: boxes), widened
//!            and cut into parts where the sigmoids are bent
//!   repeat   take every set that grew further, step by step, until a set holds what arrives;
//!            after `steps` at the latest widen the set that does not
//!   until    all hold: found
//!            an output may be wrong, or the sets grow on: tell more histories apart, where
//!            sets are wrong or bent most, cut finer, and begin again
//! ```
//!
//! 1. A key names the carry *before* its pairs, not only the one now: after 01 01 01 11 the
//!    carry is 1 either way, but the states still tell what it was before the 01s.
//! 2. Units move together: along a leaf's principal axes its states are thin, and a box
//!    along the units would be mostly air.
//! 3. Some steps at a time: one step may stretch a set along an axis and turn it; only over
//!    a few does a network that has learned to carry contract.
//!    Most ways end earlier: one step is enough where states forget fast.
//! 4. A set is as good as σ is straight on it. A unit that is nearly 0 or 1 may vary widely
//!    at no cost, so leaves are split by what lines cannot follow, not by how far sums spread.
//! 5. Along its longest axis a set of states is a curve. Cut into pieces, each nearly
//!    straight, it costs a walk a piece, and no more nodes.

use super::Node;
use super::sets::{Image, Net, Zonotope};
use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Sets along the principal axes; along the units without.
    pub axes: bool,
    /// The least pairs of a history.
    pub shortest: usize,
    /// The most pairs of a history.
    pub longest: usize,
    /// A history is split at first where lines cannot follow the sigmoids better than this.
    pub curvature: f64,
    /// The most leaves at first, and in the end.
    pub leaves: (usize, usize),
    /// Steps at a time.
    pub steps: usize,
}

/// From cheap to dear.
pub(super) const PLANS: [Plan; 5] =
    [boxes(1), boxes(2), boxes(3), oriented(6, 300, 0.03), oriented(8, 1_000, 0.005)];
/// States of each carry that sets are made around.
pub(super) const STATES: usize = 50;
/// So many plans cost less than a look for a counterexample.
pub(super) const CHEAP: usize = 3;

const fn boxes(k: usize) -> Plan {
    Plan { axes: false, shortest: k, longest: k, curvature: 0.0, leaves: (0, 0), steps: 1 }
}

const fn oriented(steps: usize, leaves: usize, curvature: f64) -> Plan {
    let leaves = (leaves, 10 * leaves);
    Plan { axes: true, shortest: 2, longest: 60, curvature, leaves, steps }
}

/// Why a plan came to nothing.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Pairs on the way to outputs that may be wrong.
    pub ways: Vec<Vec<u8>>,
}

/// Each set is widened by this share of its width and this much.
const WIDEN: (f64, f64) = (0.02, 1e-4);
/// The most rounds of growth.
const ROUNDS: usize = 30;
/// In the first round a set need not be taken further than this, in the next one step more,
/// and so on: the way is then long only from the sets that need it.
const FIRST_STEPS: usize = 2;
/// One leaf of so many is split because it is bent.
const SHARE: usize = 8;
/// The most parts of a set.
const MOST_PARTS: usize = 64;

/// The sum digit and the next carry.
pub(super) fn add(pair: u8, carry: bool) -> (bool, bool) {
    let sum = (pair >> 1) + (pair & 1) + u8::from(carry);
    (sum & 1 == 1, sum >= 2)
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
    /// `[H]`, into how many parts of equal width the set is cut along each axis on its way.
    parts: Vec<usize>,
    /// The axes are rounded: how far `AᵀA·h` may be from `h`.
    rough: f64,
    low: Vec<f64>,
    high: Vec<f64>,
    /// Whether the set has grown since it was taken further.
    grown: bool,
    /// Of which other leaf it last had to hold more.
    from: usize,
}

impl Leaf {
    fn carry(&self) -> bool {
        self.pairs.iter().fold(self.before, |carry, &pair| add(pair, carry).1)
    }

    fn key(&self) -> Key {
        (self.pairs.len(), self.pairs.clone(), self.before)
    }

    /// One of the parts of the set.
    fn part(&self, mut part: usize, set: &mut Zonotope) {
        let h = self.low.len();
        for (i, &parts) in self.parts.iter().enumerate() {
            let width = (self.high[i] - self.low[i]) / parts as f64;
            set.low[i] = self.low[i] + (part % parts) as f64 * width;
            set.high[i] = set.low[i] + width;
            part /= parts;
        }
        let Some(axes) = &self.axes else {
            set.columns = 0;
            for j in 0..h {
                set.center[j] = 0.5 * (set.low[j] + set.high[j]);
                set.own[j] = 0.5 * (set.high[j] - set.low[j]);
            }
            return;
        };
        set.columns = h.next_multiple_of(super::sets::LANES);
        set.center.fill(0.0);
        set.generators.fill(0.0);
        set.own.fill(0.0);
        for (i, axis) in axes.chunks_exact(h).enumerate() {
            let middle = 0.5 * (set.low[i] + set.high[i]);
            let radius = 0.5 * (set.high[i] - set.low[i]);
            for (j, a) in axis.iter().enumerate() {
                set.center[j] += a * middle;
                set.generators[j * set.stride + i] = a * radius;
            }
        }
        set.low.fill(0.0);
        set.high.fill(1.0);
    }

    fn count(&self) -> usize {
        self.parts.iter().product()
    }

    /// The range of a set along an axis.
    fn range(&self, set: &Zonotope, axis: usize) -> (f64, f64) {
        let h = self.low.len();
        match &self.axes {
            Some(axes) => set.range(&axes[axis * h..][..h]),
            None => set.range_of_unit(axis),
        }
    }
}

/// Histories, found from their end: whatever the carry is now, the last pair and the carry
/// before it, the pair before that, …
#[derive(Clone, Default)]
struct Histories {
    /// `[8]` for each known end: where it is one pair longer, by `2·pair + carry before`.
    longer: Vec<[u32; 8]>,
    /// The number of the history that is just this end.
    number: Vec<u32>,
}

/// Leaves, by the histories of states.
struct Tree {
    leaves: Vec<Leaf>,
    histories: Histories,
    by_start: HashMap<Vec<u8>, usize>,
}

impl Tree {
    /// The leaf for a state that came from `leaf`, whose pairs are the first of `way`.
    fn find(&self, leaf: &Leaf, way: &[u8]) -> Option<usize> {
        let from_start = || leaf.from_start.then(|| self.by_start.get(way).copied()).flatten();
        self.histories.find(leaf.before, way).or_else(from_start)
    }
}

/// Nothing, in [`Histories`].
const NONE: u32 = u32::MAX;

impl Histories {
    fn new() -> Self {
        // one place for each carry now
        Self { longer: vec![[NONE; 8]; 2], number: vec![NONE; 2] }
    }

    fn insert(&mut self, before: bool, pairs: &[u8], number: usize) {
        let (mut place, steps) = path(before, pairs);
        for step in steps {
            if self.longer[place][step] == NONE {
                self.longer[place][step] = self.longer.len() as u32;
                self.longer.push([NONE; 8]);
                self.number.push(NONE);
            }
            place = self.longer[place][step] as usize;
        }
        self.number[place] = number as u32;
    }

    /// The number of the history that ends `pairs`, before which the carry was `before`.
    fn find(&self, before: bool, pairs: &[u8]) -> Option<usize> {
        let (mut place, mut steps) = path(before, pairs);
        loop {
            if self.number[place] != NONE {
                return Some(self.number[place] as usize);
            }
            place = self.longer[place][steps.next()?] as usize;
            if place == NONE as usize {
                return None;
            }
        }
    }
}

/// The carry now, and the way back.
fn path(before: bool, pairs: &[u8]) -> (usize, impl Iterator<Item = usize>) {
    // bit n: the carry before pair n
    let (mut carries, mut carry) = (u128::from(before), before);
    for (&pair, n) in pairs.iter().zip(1..) {
        carry = add(pair, carry).1;
        carries |= u128::from(carry) << n;
    }
    let back = (0..pairs.len()).rev();
    (usize::from(carry), back.map(move |n| usize::from(pairs[n]) * 2 + (carries >> n & 1) as usize))
}

/// States seen, by their carry.
pub(super) struct Pool {
    pub states: [Vec<Vec<f64>>; 2],
}

impl Pool {
    /// States of each carry, from sums with mixes of pairs of all kinds.
    pub(super) fn new(net: &Net, count: usize, generator: &mut impl Rng) -> Self {
        let mut states = [Vec::new(), vec![]];
        let mut next = vec![0.0; net.hidden];
        while states.iter().any(|states| states.len() < count) {
            let mut shares = mix(generator);
            let (mut state, mut carry) = (vec![0.0; net.hidden], false);
            let keep = generator.random_range(0..40);
            for t in 0..60 {
                if generator.random_range(0..20) == 0 {
                    shares = mix(generator);
                }
                let pair = draw(&shares, generator);
                net.step(&state, pair, &mut next);
                std::mem::swap(&mut state, &mut next);
                carry = add(pair, carry).1;
                if (t == keep || t == 59) && states[usize::from(carry)].len() < count {
                    states[usize::from(carry)].push(state.clone());
                }
            }
        }
        states[0].push(vec![0.0; net.hidden]);
        Self { states }
    }

    /// The states after `pairs` from each that has the carry `before`.
    fn after(&self, net: &Net, before: bool, pairs: &[u8]) -> Vec<Vec<f64>> {
        let mut next = vec![0.0; net.hidden];
        let follow = |state: &Vec<f64>| {
            let mut state = state.clone();
            for &pair in pairs {
                net.step(&state, pair, &mut next);
                std::mem::swap(&mut state, &mut next);
            }
            state
        };
        self.states[usize::from(before)].iter().map(follow).collect()
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

/// A history and how bent its set is; the most bent is the greatest.
#[derive(Clone, Debug, PartialEq)]
struct History {
    curvature: f64,
    before: bool,
    pairs: Vec<u8>,
}

impl Eq for History {}

impl Ord for History {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rest = |history: &Self| (history.before, history.pairs.clone());
        self.curvature.total_cmp(&other.curvature).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl PartialOrd for History {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Histories one pair longer that end with it.
pub(super) fn earlier(before: bool, pairs: &[u8]) -> impl Iterator<Item = (bool, Vec<u8>)> {
    (0..4)
        .flat_map(|pair| [(pair, false), (pair, true)])
        .filter(move |&(pair, earlier)| add(pair, earlier).1 == before)
        .map(move |(pair, earlier)| (earlier, [&[pair], pairs].concat()))
}

/// Looks for a certificate by one plan, and takes what that costs from `effort`.
pub(super) fn search(
    net: &Net,
    pool: &Pool,
    plan: &Plan,
    effort: &mut u64,
) -> Result<Vec<Node>, Failure> {
    let mut walk = Walk::new(net, plan.steps, effort);
    let mut leaves = close(first_leaves(net, pool, plan), plan);
    let mut bend = plan.curvature;
    loop {
        let mut tree = plant(net, pool, plan, &mut leaves);
        if plan.axes {
            tree.leaves.iter_mut().for_each(|leaf| walk.cut(leaf, bend));
        }
        add_starts(net, &mut tree, &mut walk);
        let Some(trouble) = grow(&mut tree, &mut walk) else { return Ok(nodes(net, &tree)) };
        let failure = Failure { ways: trouble.iter().filter_map(|(_, way)| way.clone()).collect() };
        if !plan.axes || leaves.len() >= plan.leaves.1 || *walk.effort == 0 {
            return Err(failure);
        }
        bend *= 0.5;
        let split = blame(&tree, &mut walk, &trouble, plan);
        if split.is_empty() {
            return Err(failure);
        }
        for n in split {
            split_leaf(&mut leaves, &tree.leaves[n].key());
        }
        leaves = close(leaves, plan);
    }
}

/// The pairs of a history, how many, and the carry before them: short ones come first.
type Key = (usize, Vec<u8>, bool);

/// Histories, each with its leaf once that is made.
type Leaves = BTreeMap<Key, Option<Leaf>>;

fn split_leaf(leaves: &mut Leaves, key: &Key) {
    leaves.remove(key);
    for (before, pairs) in earlier(key.2, &key.1) {
        leaves.insert((pairs.len(), pairs, before), None);
    }
}

/// Splits histories, the most bent first, as far as the plan says.
fn first_leaves(net: &Net, pool: &Pool, plan: &Plan) -> Leaves {
    let history = |before: bool, pairs: Vec<u8>| {
        let curvature = if pairs.len() < plan.shortest {
            f64::MAX
        } else if pairs.len() < plan.longest {
            net.curvature(&pool.after(net, before, &pairs))
        } else {
            0.0
        };
        History { curvature, before, pairs }
    };
    let mut open: BinaryHeap<History> =
        [false, true].map(|before| history(before, vec![])).into_iter().collect();
    while let Some(worst) = open.peek() {
        let short = worst.pairs.len() < plan.shortest;
        if !short && (worst.curvature <= plan.curvature || open.len() >= plan.leaves.0) {
            break;
        }
        let History { before, pairs, .. } = open.pop().expect("just seen");
        open.extend(earlier(before, &pairs).map(|(before, pairs)| history(before, pairs)));
    }
    open.into_iter().map(|open| ((open.pairs.len(), open.pairs, open.before), None)).collect()
}

/// From each leaf, `steps` pairs must lead to a leaf whose history is then known: splits
/// leaves until they do.
fn close(mut leaves: Leaves, plan: &Plan) -> Leaves {
    loop {
        let mut histories = Histories::new();
        for (n, (_, pairs, before)) in leaves.keys().enumerate() {
            histories.insert(*before, pairs, n);
        }
        // As many pairs as the longest history has are enough for any.
        let longest = leaves.keys().map(|key| key.0).max().unwrap_or(0);
        let open = |(known, pairs, before): &&Key| {
            known + plan.steps < longest
                && !leads_to_leaves(&histories, *before, &mut pairs.clone(), plan.steps)
        };
        let open: Vec<Key> = leaves.keys().filter(open).cloned().collect();
        if open.is_empty() {
            return leaves;
        }
        open.iter().for_each(|key| split_leaf(&mut leaves, key));
    }
}

fn leads_to_leaves(histories: &Histories, before: bool, way: &mut Vec<u8>, left: usize) -> bool {
    if left == 0 {
        return histories.find(before, way).is_some();
    }
    (0..4).all(|pair| {
        way.push(pair);
        let leads = leads_to_leaves(histories, before, way, left - 1);
        way.pop();
        leads
    })
}

/// A tree of the leaves, each around states seen.
fn plant(net: &Net, pool: &Pool, plan: &Plan, leaves: &mut Leaves) -> Tree {
    let mut tree =
        Tree { leaves: Vec::new(), histories: Histories::new(), by_start: HashMap::new() };
    for ((_, pairs, before), leaf) in leaves {
        let leaf = leaf.get_or_insert_with(|| {
            let states = pool.after(net, *before, pairs);
            let axes = plan.axes.then(|| principal_axes(&states));
            leaf_around(*before, pairs.clone(), axes, &states)
        });
        tree.histories.insert(*before, pairs, tree.leaves.len());
        tree.leaves.push(leaf.clone());
    }
    tree
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
    let rough = axes.as_ref().map_or(0.0, |axes| roughness(axes, h));
    let parts = vec![1; h];
    Leaf { from_start: false, before, pairs, axes, parts, rough, low, high, grown: true, from: 0 }
}

/// The largest `Σ_k |I − AᵀA|` of a row, and a little more.
fn roughness(axes: &[f64], h: usize) -> f64 {
    let entry = |j: usize, k: usize| {
        let product: f64 = axes.chunks_exact(h).map(|axis| axis[j] * axis[k]).sum();
        (f64::from(u8::from(j == k)) - product).abs() + 1e-8
    };
    (0..h).map(|j| (0..h).map(|k| entry(j, k)).sum()).fold(1e-8, f64::max)
}

/// The nodes of histories too short for a leaf, from h = 0 on.
fn add_starts(net: &Net, tree: &mut Tree, walk: &mut Walk) {
    let (h, steps) = (net.hidden, walk.steps);
    let mut open = vec![(Vec::new(), vec![0.0; h], vec![0.0; h])];
    while let Some((pairs, low, high)) = open.pop() {
        tree.by_start.insert(pairs.clone(), tree.leaves.len());
        let leaf = Leaf {
            from_start: true,
            before: false,
            pairs,
            axes: None,
            parts: vec![1; h],
            rough: 0.0,
            low,
            high,
            grown: true,
            from: 0,
        };
        // An output that may be wrong is met again, and told, when sets grow.
        let _ = walk.visit(&leaf, f64::MIN, &mut |set, way, depth| {
            let known = tree.histories.find(false, way).is_some();
            if depth == steps && !known {
                let low = set.low.iter().map(|low| (low - 1e-6).max(0.0)).collect();
                let high = set.high.iter().map(|high| (high + 1e-6).min(1.0)).collect();
                open.push((way.to_vec(), low, high));
            }
            known
        });
        tree.leaves.push(leaf);
    }
}

/// A leaf, and the pairs up to an output that may be wrong from there, if one may.
type Trouble = (usize, Option<Vec<u8>>);

/// The last leaf from which more came than a set holds, and the ranges that came.
type Wanted = (usize, Vec<(f64, f64)>);

/// Widens sets until all hold what arrives; or the leaves that are in the way.
fn grow(tree: &mut Tree, walk: &mut Walk) -> Option<Vec<Trouble>> {
    let h = walk.net.hidden;
    let mut before = usize::MAX;
    for round in 0..ROUNDS {
        let mut wanted: Vec<Option<Wanted>> = vec![None; tree.leaves.len()];
        let mut trouble = Vec::new();
        let (mut misses, mut last_misses) = (0, Vec::new());
        let enough = walk.steps.min(FIRST_STEPS + round);
        for (n, leaf) in tree.leaves.iter().enumerate().filter(|(_, leaf)| leaf.grown) {
            let mut out = 0;
            let result = walk.visit(leaf, LEAST_MARGIN, &mut |set, way, depth| {
                let Some(m) = tree.find(leaf, way) else { return false };
                let target = &tree.leaves[m];
                for i in 0..h {
                    let (low, high) = target.range(set, i);
                    if low < target.low[i] || high > target.high[i] {
                        if depth < enough {
                            return false;
                        }
                        out += 1;
                        let none = || (n, vec![(f64::MAX, f64::MIN); h]);
                        let (from, wanted) = wanted[m].get_or_insert_with(none);
                        if low < wanted[i].0.min(target.low[i])
                            || high > wanted[i].1.max(target.high[i])
                        {
                            *from = n;
                        }
                        wanted[i] = (wanted[i].0.min(low), wanted[i].1.max(high));
                    }
                }
                true
            });
            misses += out;
            if out > 0 {
                last_misses.push((n, None));
            }
            if let Err(way) = result {
                trouble.push((n, Some(way)));
            }
        }
        if !trouble.is_empty() {
            return Some(trouble);
        }
        if misses == 0 {
            return None;
        }
        if round >= 8 && misses > before && round % 4 == 0 || round + 1 == ROUNDS {
            return Some(last_misses);
        }
        if round % 4 == 0 {
            before = misses;
        }
        for (leaf, wanted) in tree.leaves.iter_mut().zip(wanted) {
            leaf.grown = wanted.is_some();
            let Some((from, wanted)) = wanted else { continue };
            leaf.from = from;
            for (j, (low, high)) in wanted.into_iter().enumerate() {
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
    Some(Vec::new())
}

/// The checker asks for a margin of 2⁻¹⁶.
const LEAST_MARGIN: f64 = 2e-5;

/// The leaves to split: those in trouble, those that widened them, and those that are bent
/// most.
fn blame(tree: &Tree, walk: &mut Walk, trouble: &[Trouble], plan: &Plan) -> Vec<usize> {
    let may = |n: &usize| !tree.leaves[*n].from_start && tree.leaves[*n].pairs.len() < plan.longest;
    let mut split = BTreeSet::new();
    for (n, _) in trouble {
        let mut n = *n;
        for _ in 0..3 {
            split.insert(n);
            n = tree.leaves[n].from;
        }
    }
    let mut bent: Vec<(f64, usize)> =
        tree.leaves.iter().enumerate().map(|(n, leaf)| (walk.bend(leaf), n)).collect();
    bent.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    split.extend(bent[..bent.len() / SHARE].iter().map(|&(_, n)| n));
    split.into_iter().filter(may).collect()
}

/// Sets taken further, depth first, in place.
struct Walk<'a> {
    net: &'a Net,
    steps: usize,
    /// `[steps + 1]`
    sets: Vec<Zonotope>,
    images: Vec<Image>,
    way: Vec<u8>,
    /// Sets that may still be taken a step further.
    effort: &'a mut u64,
}

impl<'a> Walk<'a> {
    fn new(net: &'a Net, steps: usize, effort: &'a mut u64) -> Self {
        let h = net.hidden;
        let sets = vec![Zonotope::new(h, steps); steps + 1];
        let images = vec![Image::new(h, steps); steps + 1];
        Self { net, steps, sets, images, way: Vec::new(), effort }
    }

    /// Takes a leaf's set all ways of `steps` pairs; the pairs up to an output whose margin
    /// is below `least` end it.
    fn visit(
        &mut self,
        leaf: &Leaf,
        least: f64,
        arrive: &mut impl FnMut(&Zonotope, &[u8], usize) -> bool,
    ) -> Result<(), Vec<u8>> {
        for part in 0..leaf.count() {
            leaf.part(part, &mut self.sets[0]);
            self.way.clone_from(&leaf.pairs);
            self.further(0, leaf.carry(), leaf.rough, least, arrive)?;
        }
        Ok(())
    }

    fn further(
        &mut self,
        depth: usize,
        carry: bool,
        rough: f64,
        least: f64,
        arrive: &mut impl FnMut(&Zonotope, &[u8], usize) -> bool,
    ) -> Result<(), Vec<u8>> {
        if depth > 0 && arrive(&self.sets[depth], &self.way, depth) || depth == self.steps {
            return Ok(());
        }
        let Some(left) = self.effort.checked_sub(1) else { return Err(self.way.clone()) };
        *self.effort = left;
        self.net.image(&self.sets[depth], rough, &mut self.images[depth]);
        for pair in 0..4 {
            let (digit, next) = add(pair, carry);
            self.net.after(&self.images[depth], pair, &mut self.sets[depth + 1]);
            self.way.push(pair);
            if self.net.margin(&self.sets[depth + 1], digit) <= least {
                return Err(self.way.clone());
            }
            self.further(depth + 1, next, 0.0, least, arrive)?;
            self.way.pop();
        }
        Ok(())
    }

    /// What lines cannot follow of the next step from the middle part of a leaf's set, for the
    /// worst pair.
    fn bend(&mut self, leaf: &Leaf) -> f64 {
        let mut middle = 0;
        for &parts in leaf.parts.iter().rev() {
            middle = middle * parts + parts / 2;
        }
        leaf.part(middle, &mut self.sets[0]);
        self.net.image(&self.sets[0], leaf.rough, &mut self.images[0]);
        self.net.bend(&self.images[0])
    }

    /// Cuts a set where it is bent more than `bend`, along the axes where that helps most.
    fn cut(&mut self, leaf: &mut Leaf, bend: f64) {
        let h = self.net.hidden;
        let mut now = self.bend(leaf);
        while now > bend && leaf.count() < MOST_PARTS {
            let width = |i: usize| (leaf.high[i] - leaf.low[i]) / leaf.parts[i] as f64;
            let mut axes: Vec<usize> = (0..h).collect();
            axes.sort_by(|&a, &b| width(b).total_cmp(&width(a)));
            let mut best = None;
            for &axis in &axes[..h.min(4)] {
                let parts = leaf.parts[axis];
                leaf.parts[axis] = 2 * parts;
                let after = self.bend(leaf);
                leaf.parts[axis] = parts;
                if best.is_none_or(|(least, _)| after < least) {
                    best = Some((after, axis));
                }
            }
            let Some((after, axis)) = best else { return };
            if after > 0.98 * now {
                return;
            }
            leaf.parts[axis] *= 2;
            now = after;
        }
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
            parts: (leaf.count() > 1).then(|| leaf.parts.clone()),
        }
    };
    tree.leaves.iter().map(node).collect()
}
