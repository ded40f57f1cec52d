//! The search for a certificate: abstract states that hold all states of a network.
//!
//! Nothing here is trusted. It computes in rounded f64 with some slack, and what it finds
//! counts only once the checker, which shares no code with it, has accepted it.
//!
//! ```text
//! for each plan (kind of abstract states, steps at a time, how many leaves):
//!   leaves     the carry before and the last pairs of digits
//!   states     around sampled ones: boxes, or chains of segments along principal axes
//!   fixpoint   propagate every segment that grew, step by step, until a leaf holds what
//!              arrives; after `steps` at the latest widen the segments that do not
//!   until      all hold: found
//!              an output may be wrong, or states keep growing. Refine where that happens,
//!              where growth began and where the linearisation error is largest: shorter
//!              segments or, where these are thick, more histories; and begin again
//! ```
//!
//! 1. A key names the carry *before* its pairs, not only the one now: after 01 01 01 11 the
//!    carry is 1 either way, but the states still tell what it was before the 01s.
//! 2. Units move together: along a leaf's principal axes its states are thin, and a box
//!    along the units would be mostly empty.
//! 3. A network may remember, along one direction, for forty pairs. Histories that tell all
//!    of that apart would be 2⁴⁰; a few pairs and the position along that direction are enough.
//! 4. Some steps at a time: a single step may stretch a state along an axis and turn it; only
//!    over several does a network that has learned to carry contract. Most sequences end
//!    earlier: one step is enough where states forget fast.
//! 5. An abstract state is as good as σ is linear on it. A unit that is nearly 0 or 1 may vary
//!    widely at no cost, so leaves are refined by their linearisation error, not by how wide
//!    their sums are.

use crate::axes::principal_axes;
use crate::certificate::Node;
use crate::histories::Histories;
use crate::leaf::{self, Leaf, Ranges};
use crate::network::Net;
use crate::pairs::earlier;
use crate::sample::Sample;
use crate::walk::Walk;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Along the principal axes, or else along the units.
    pub axes: bool,
    /// The least pairs of a history.
    pub shortest: usize,
    /// The most pairs of a history.
    pub longest: usize,
    /// At first, histories are split whose sampled states are thicker than this.
    pub thickness: f64,
    /// The most leaves at first, and in the end.
    pub leaves: (usize, usize),
    /// Steps at a time.
    pub steps: usize,
}

/// The cheapest first.
pub(crate) const PLANS: [Plan; 4] = [boxes(1), boxes(2), boxes(3), CURVES];
/// Sampled states of each carry.
pub(crate) const SAMPLED: usize = 400;
/// So many plans cost less than a search for a counterexample.
pub(crate) const CHEAP: usize = 3;

const fn boxes(k: usize) -> Plan {
    Plan { axes: false, shortest: k, longest: k, thickness: 0.0, leaves: (0, 0), steps: 1 }
}

/// Chains of segments along principal axes.
const CURVES: Plan =
    Plan { axes: true, shortest: 2, longest: 60, thickness: 0.2, leaves: (200, 20_000), steps: 4 };

/// Why a plan found no certificate.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Pairs up to outputs that may be wrong.
    pub sequences: Vec<Vec<u8>>,
}

/// A leaf is refined by shorter segments where they are longer than this many times their
/// thickness, else by a split of its history.
const LONG: f64 = 0.7;
/// The most segments of a leaf.
const MOST_SEGMENTS: usize = 200;
/// The most rounds of widening.
const ROUNDS: usize = 60;
/// In the first round a state is propagated no further than this, in the next one step more,
/// and so on: sequences are then long only from the states that need it.
const FIRST_STEPS: usize = 2;
/// One leaf of so many is refined for its linearisation error.
const SHARE: usize = 8;

/// All leaves, and which history leads to which.
struct Tree {
    leaves: Vec<Leaf>,
    histories: Histories,
    by_start: HashMap<Vec<u8>, usize>,
}

impl Tree {
    /// The leaf for the states after `pairs`, of which the first are those of `leaf`.
    fn find(&self, leaf: &Leaf, pairs: &[u8]) -> Option<usize> {
        let from_start = || leaf.from_start.then(|| self.by_start.get(pairs).copied()).flatten();
        self.histories.find(leaf.before, pairs).or_else(from_start)
    }
}

/// A history and how thick its states lie; the thickest is the greatest.
#[derive(Clone, Debug, PartialEq)]
struct History {
    thickness: f64,
    before: bool,
    pairs: Vec<u8>,
}

impl Eq for History {}

impl Ord for History {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rest = |history: &Self| (history.before, history.pairs.clone());
        self.thickness.total_cmp(&other.thickness).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl PartialOrd for History {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Looks for a certificate by one plan, and takes what that costs from `budget`.
pub(crate) fn search(
    net: &Net,
    sample: &Sample,
    plan: &Plan,
    budget: &mut u64,
) -> Result<Vec<Node>, Failure> {
    let mut walk = Walk::new(net, plan.steps, budget);
    let mut leaves = close(first_leaves(net, sample, plan), plan);
    let mut failure = Failure { sequences: Vec::new() };
    loop {
        let mut tree = make_leaves(net, sample, plan, &mut leaves);
        add_starts(net, &mut tree, &mut walk);
        let Some(obstacles) = fixpoint(&mut tree, &mut walk) else {
            return Ok(tree.leaves.iter().map(Leaf::node).collect());
        };
        failure.sequences.extend(obstacles.iter().filter_map(|(_, pairs)| pairs.clone()));
        if !plan.axes || leaves.len() >= plan.leaves.1 || *walk.budget == 0 {
            return Err(failure);
        }
        let refined = to_refine(&tree, &mut walk, &obstacles, plan);
        if refined.is_empty() {
            return Err(failure);
        }
        for n in refined {
            let leaf = &tree.leaves[n];
            if leaf.length > LONG * leaf.thickness() && leaf.segments.len() < MOST_SEGMENTS {
                leaves.insert(key(leaf), Made { length: Some(0.5 * leaf.length), leaf: None });
            } else {
                split(&mut leaves, &key(leaf));
            }
        }
        leaves = close(leaves, plan);
    }
}

/// A history: how many pairs, these, and the carry before them. Short ones come first.
type Key = (usize, Vec<u8>, bool);

/// Histories, each with its leaf once that is made.
type Leaves = BTreeMap<Key, Made>;

/// What was made of a history so far.
#[derive(Clone, Default)]
struct Made {
    /// The length of its segments, where that was refined.
    length: Option<f64>,
    leaf: Option<Leaf>,
}

fn key(leaf: &Leaf) -> Key {
    (leaf.pairs.len(), leaf.pairs.clone(), leaf.before)
}

/// Replaces a history by those one pair longer.
fn split(leaves: &mut Leaves, key: &Key) {
    leaves.remove(key);
    for (before, pairs) in earlier(key.2, &key.1) {
        leaves.insert((pairs.len(), pairs, before), Made::default());
    }
}

/// Splits histories, the thickest first, as far as the plan says.
fn first_leaves(net: &Net, sample: &Sample, plan: &Plan) -> Leaves {
    let history = |before: bool, pairs: Vec<u8>| {
        let thickness = if pairs.len() < plan.shortest {
            f64::MAX
        } else if pairs.len() < plan.longest {
            leaf::segment_length(&sample.after(net, before, &pairs))
        } else {
            0.0
        };
        History { thickness, before, pairs }
    };
    let mut open: BinaryHeap<History> =
        [false, true].map(|before| history(before, vec![])).into_iter().collect();
    while let Some(worst) = open.peek() {
        let short = worst.pairs.len() < plan.shortest;
        if !short && (worst.thickness <= plan.thickness || open.len() >= plan.leaves.0) {
            break;
        }
        let History { before, pairs, .. } = open.pop().expect("just seen");
        open.extend(earlier(before, &pairs).map(|(before, pairs)| history(before, pairs)));
    }
    open.into_iter()
        .map(|open| ((open.pairs.len(), open.pairs, open.before), Made::default()))
        .collect()
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
        open.iter().for_each(|key| split(&mut leaves, key));
    }
}

fn leads_to_leaves(histories: &Histories, before: bool, pairs: &mut Vec<u8>, left: usize) -> bool {
    if left == 0 {
        return histories.find(before, pairs).is_some();
    }
    (0..4).all(|pair| {
        pairs.push(pair);
        let leads = leads_to_leaves(histories, before, pairs, left - 1);
        pairs.pop();
        leads
    })
}

/// A tree of the leaves, each around sampled states.
fn make_leaves(net: &Net, sample: &Sample, plan: &Plan, leaves: &mut Leaves) -> Tree {
    let mut tree =
        Tree { leaves: Vec::new(), histories: Histories::new(), by_start: HashMap::new() };
    for ((_, pairs, before), Made { length, leaf }) in leaves {
        let leaf = leaf.get_or_insert_with(|| {
            let states = sample.after(net, *before, pairs);
            let axes = plan.axes.then(|| principal_axes(&states));
            Leaf::around(*before, pairs.clone(), axes, *length, &states)
        });
        tree.histories.insert(*before, pairs, tree.leaves.len());
        tree.leaves.push(leaf.clone());
    }
    tree
}

/// Adds the leaves of the histories from the first step that are too short for the others.
fn add_starts(net: &Net, tree: &mut Tree, walk: &mut Walk) {
    let (h, steps) = (net.hidden, walk.steps);
    let mut open = vec![(Vec::new(), vec![0.0; h], vec![0.0; h])];
    while let Some((pairs, low, high)) = open.pop() {
        tree.by_start.insert(pairs.clone(), tree.leaves.len());
        let leaf = Leaf::start(pairs, low, high);
        // An output that may be wrong is found again, and reported, by the fixpoint.
        let _ = walk.propagate(&leaf, &leaf.segments[&0], f64::MIN, &mut |state, pairs, depth| {
            let known = tree.histories.find(false, pairs).is_some();
            if depth == steps && !known {
                let low = state.low.iter().map(|low| (low - 1e-6).max(0.0)).collect();
                let high = state.high.iter().map(|high| (high + 1e-6).min(1.0)).collect();
                open.push((pairs.to_vec(), low, high));
            }
            known
        });
        tree.leaves.push(leaf);
    }
}

/// A leaf to refine, and the pairs up to an output that may be wrong from there, if one may.
type Obstacle = (usize, Option<Vec<u8>>);

/// The last leaf from which more arrived than a segment holds, and the ranges that arrived.
type Wanted = (usize, Ranges);

/// Widens segments until all hold what arrives, or returns the leaves that keep them from it.
fn fixpoint(tree: &mut Tree, walk: &mut Walk) -> Option<Vec<Obstacle>> {
    let h = walk.net.hidden;
    let mut ranges = vec![(0.0, 0.0); h];
    // of each round, how many segments grew, and the leaves that grew or caused it
    let mut counts: Vec<usize> = Vec::new();
    let mut growing: Vec<Vec<usize>> = Vec::new();
    for round in 0..ROUNDS {
        let mut wanted: BTreeMap<(usize, i64), Wanted> = BTreeMap::new();
        let mut obstacles = Vec::new();
        let enough = walk.steps.min(FIRST_STEPS + round);
        for (n, leaf) in tree.leaves.iter().enumerate() {
            for segment in leaf.segments.values().filter(|segment| segment.grown) {
                let result =
                    walk.propagate(leaf, segment, LEAST_MARGIN, &mut |state, pairs, depth| {
                        let Some(m) = tree.find(leaf, pairs) else { return false };
                        if depth < enough {
                            return tree.leaves[m].holds(state, &mut ranges, None);
                        }
                        let mut missed = |number, ranges: &Ranges| {
                            let none = || (n, vec![(f64::MAX, f64::MIN); h]);
                            let (from, wanted) = wanted.entry((m, number)).or_insert_with(none);
                            *from = n;
                            for (wanted, range) in wanted.iter_mut().zip(ranges) {
                                *wanted = (wanted.0.min(range.0), wanted.1.max(range.1));
                            }
                        };
                        tree.leaves[m].holds(state, &mut ranges, Some(&mut missed));
                        true
                    });
                if let Err(pairs) = result {
                    obstacles.push((n, Some(pairs)));
                    break;
                }
            }
        }
        if !obstacles.is_empty() {
            obstacles.extend(where_growth_began(&growing));
            return Some(obstacles);
        }
        if wanted.is_empty() {
            return None;
        }
        counts.push(wanted.len());
        growing.push(wanted.iter().flat_map(|((m, _), (from, _))| [*m, *from]).collect());
        let grows = round >= PATIENCE && 2 * counts[round] > 3 * counts[round - PATIENCE / 2];
        if grows || round + 1 == ROUNDS {
            return Some(where_growth_began(&growing).collect());
        }
        for leaf in &mut tree.leaves {
            leaf.segments.values_mut().for_each(|segment| segment.grown = false);
        }
        for ((m, number), (from, ranges)) in wanted {
            tree.leaves[m].widen(number, &ranges, from);
        }
    }
    Some(Vec::new())
}

/// The leaves where growth began, not those that it went to.
fn where_growth_began(growing: &[Vec<usize>]) -> impl Iterator<Item = Obstacle> {
    let rounds = SETTLED.min(growing.len())..(SETTLED + PATIENCE / 2).min(growing.len());
    let leaves: BTreeSet<usize> = growing[rounds].concat().into_iter().collect();
    leaves.into_iter().map(|n| (n, None))
}

/// Growth may take so many rounds before it has to slow down.
const PATIENCE: usize = 8;
/// Before this round states grow because few were sampled.
const SETTLED: usize = 3;

/// A little more than the margin of 2⁻¹⁶ that the checker asks for.
const LEAST_MARGIN: f64 = 2e-5;

/// The leaves to refine: the obstacles, those that widened them, and those of the largest
/// linearisation error.
fn to_refine(tree: &Tree, walk: &mut Walk, obstacles: &[Obstacle], plan: &Plan) -> Vec<usize> {
    let may = |n: &usize| !tree.leaves[*n].from_start && tree.leaves[*n].pairs.len() < plan.longest;
    let mut refined = BTreeSet::new();
    for (n, _) in obstacles {
        let mut n = *n;
        for _ in 0..3 {
            refined.insert(n);
            n = tree.leaves[n].widened_by;
        }
    }
    let mut errors: Vec<(f64, usize)> = (tree.leaves.iter().enumerate())
        .map(|(n, leaf)| (walk.linearisation_error(leaf), n))
        .collect();
    errors.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    refined.extend(errors[..errors.len() / SHARE].iter().map(|&(_, n)| n));
    refined.into_iter().filter(may).collect()
}
