//! The search for a certificate: sets that hold all states of a network.
//!
//! Nothing here is trusted. It computes in rounded f64 with some slack, and what it finds
//! counts only once the checker, which shares no code with it, has accepted it.
//!
//! ```text
//! for each plan (kind of sets, steps at a time, how many leaves):
//!   leaves   the carry before and the last pairs of digits
//!   sets     around states seen: boxes, or chains of cells along principal axes
//!   repeat   take every cell that grew further, step by step, until a set holds what arrives;
//!            after `steps` at the latest widen the cells that do not
//!   until    all hold: found
//!            an output may be wrong, or the sets grow on: where that happens, where growth
//!            began and where sets are bent most, make the cells shorter or, where they are
//!            thick, tell more histories apart, and begin again
//! ```
//!
//! 1. A key names the carry *before* its pairs, not only the one now: after 01 01 01 11 the
//!    carry is 1 either way, but the states still tell what it was before the 01s.
//! 2. Units move together: along a leaf's principal axes its states are thin, and a box
//!    along the units would be mostly air.
//! 3. A network may remember, along one direction, for forty pairs. Histories that tell all
//!    of that apart would be 2⁴⁰; a few pairs and the place along that direction are enough.
//! 4. Some steps at a time: one step may stretch a set along an axis and turn it; only over
//!    a few does a network that has learned to carry contract.
//!    Most ways end earlier: one step is enough where states forget fast.
//! 5. A set is as good as σ is straight on it. A unit that is nearly 0 or 1 may vary widely
//!    at no cost, so leaves are split by what lines cannot follow, not by how far sums spread.

use crate::axes::principal_axes;
use crate::certificate::Node;
use crate::histories::Histories;
use crate::leaf::{self, Leaf, Ranges};
use crate::network::Net;
use crate::pairs::earlier;
use crate::pool::Pool;
use crate::walk::Walk;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Sets along the principal axes; along the units without.
    pub axes: bool,
    /// The least pairs of a history.
    pub shortest: usize,
    /// The most pairs of a history.
    pub longest: usize,
    /// A history is split at first where its set is thicker than this.
    pub thickness: f64,
    /// The most leaves at first, and in the end.
    pub leaves: (usize, usize),
    /// Steps at a time.
    pub steps: usize,
}

/// From cheap to dear.
pub(crate) const PLANS: [Plan; 4] = [boxes(1), boxes(2), boxes(3), CURVES];
/// States of each carry that sets are made around.
pub(crate) const STATES: usize = 400;
/// So many plans cost less than a look for a counterexample.
pub(crate) const CHEAP: usize = 3;

const fn boxes(k: usize) -> Plan {
    Plan { axes: false, shortest: k, longest: k, thickness: 0.0, leaves: (0, 0), steps: 1 }
}

/// Chains of cells along the states' principal axes.
const CURVES: Plan =
    Plan { axes: true, shortest: 2, longest: 60, thickness: 0.2, leaves: (200, 20_000), steps: 4 };

/// Why a plan came to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Pairs on the way to outputs that may be wrong.
    pub ways: Vec<Vec<u8>>,
}

/// A leaf that is in the way gets shorter cells where they are longer than this many times
/// their thickness, else its history is split.
const LONG: f64 = 0.7;
/// The most cells of a leaf.
const MOST_CELLS: usize = 200;
/// The most rounds of growth.
const ROUNDS: usize = 60;
/// In the first round a set need not be taken further than this, in the next one step more,
/// and so on: the way is then long only from the sets that need it.
const FIRST_STEPS: usize = 2;
/// One leaf of so many is split because it is bent.
const SHARE: usize = 8;

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

/// A history and how thick its set is; the thickest is the greatest.
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

/// Looks for a certificate by one plan, and takes what that costs from `effort`.
pub(crate) fn search(
    net: &Net,
    pool: &Pool,
    plan: &Plan,
    effort: &mut u64,
) -> Result<Vec<Node>, Failure> {
    let mut walk = Walk::new(net, plan.steps, effort);
    let mut leaves = close(first_leaves(net, pool, plan), plan);
    let mut failure = Failure { ways: Vec::new() };
    loop {
        let mut tree = plant(net, pool, plan, &mut leaves);
        add_starts(net, &mut tree, &mut walk);
        let Some(trouble) = grow(&mut tree, &mut walk) else {
            return Ok(tree.leaves.iter().map(Leaf::node).collect());
        };
        failure.ways.extend(trouble.iter().filter_map(|(_, way)| way.clone()));
        if !plan.axes || leaves.len() >= plan.leaves.1 || *walk.effort == 0 {
            return Err(failure);
        }
        let split = blame(&tree, &mut walk, &trouble, plan);
        if split.is_empty() {
            return Err(failure);
        }
        for n in split {
            let leaf = &tree.leaves[n];
            // Shorter cells, where they are long, else a longer history.
            if leaf.width > LONG * leaf.thickness() && leaf.cells.len() < MOST_CELLS {
                leaves.insert(key(leaf), Made { width: Some(0.5 * leaf.width), leaf: None });
            } else {
                split_leaf(&mut leaves, &key(leaf));
            }
        }
        leaves = close(leaves, plan);
    }
}

/// The pairs of a history, how many, and the carry before them: short ones come first.
type Key = (usize, Vec<u8>, bool);

/// Histories, each with its leaf once that is made.
type Leaves = BTreeMap<Key, Made>;

/// What is made of a history so far.
#[derive(Clone, Default)]
struct Made {
    /// The width of its cells, where that was chosen.
    width: Option<f64>,
    leaf: Option<Leaf>,
}

fn key(leaf: &Leaf) -> Key {
    (leaf.pairs.len(), leaf.pairs.clone(), leaf.before)
}

fn split_leaf(leaves: &mut Leaves, key: &Key) {
    leaves.remove(key);
    for (before, pairs) in earlier(key.2, &key.1) {
        leaves.insert((pairs.len(), pairs, before), Made::default());
    }
}

/// Splits histories, the thickest first, as far as the plan says.
fn first_leaves(net: &Net, pool: &Pool, plan: &Plan) -> Leaves {
    let history = |before: bool, pairs: Vec<u8>| {
        let thickness = if pairs.len() < plan.shortest {
            f64::MAX
        } else if pairs.len() < plan.longest {
            leaf::cell_width(&pool.after(net, before, &pairs))
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
    for ((_, pairs, before), Made { width, leaf }) in leaves {
        let leaf = leaf.get_or_insert_with(|| {
            let states = pool.after(net, *before, pairs);
            let axes = plan.axes.then(|| principal_axes(&states));
            Leaf::around(*before, pairs.clone(), axes, *width, &states)
        });
        tree.histories.insert(*before, pairs, tree.leaves.len());
        tree.leaves.push(leaf.clone());
    }
    tree
}

/// The nodes of histories too short for a leaf, from h = 0 on.
fn add_starts(net: &Net, tree: &mut Tree, walk: &mut Walk) {
    let (h, steps) = (net.hidden, walk.steps);
    let mut open = vec![(Vec::new(), vec![0.0; h], vec![0.0; h])];
    while let Some((pairs, low, high)) = open.pop() {
        tree.by_start.insert(pairs.clone(), tree.leaves.len());
        let leaf = Leaf::start(pairs, low, high);
        // An output that may be wrong is met again, and told, when sets grow.
        let _ = walk.visit(&leaf, &leaf.cells[&0], f64::MIN, &mut |set, way, depth| {
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

/// The last leaf from which more came than a cell holds, and the ranges that came.
type Wanted = (usize, Ranges);

/// Widens cells until all hold what arrives; or the leaves that are in the way.
fn grow(tree: &mut Tree, walk: &mut Walk) -> Option<Vec<Trouble>> {
    let h = walk.net.hidden;
    let mut ranges = vec![(0.0, 0.0); h];
    // of each round, how many cells grew, and of which leaves and from which
    let mut counts: Vec<usize> = Vec::new();
    let mut restless: Vec<Vec<usize>> = Vec::new();
    for round in 0..ROUNDS {
        let mut wanted: BTreeMap<(usize, i64), Wanted> = BTreeMap::new();
        let mut trouble = Vec::new();
        let enough = walk.steps.min(FIRST_STEPS + round);
        for (n, leaf) in tree.leaves.iter().enumerate() {
            for cell in leaf.cells.values().filter(|cell| cell.grown) {
                let result = walk.visit(leaf, cell, LEAST_MARGIN, &mut |set, way, depth| {
                    let Some(m) = tree.find(leaf, way) else { return false };
                    if depth < enough {
                        return tree.leaves[m].holds(set, &mut ranges, None);
                    }
                    let mut missed = |number, ranges: &Ranges| {
                        let none = || (n, vec![(f64::MAX, f64::MIN); h]);
                        let (from, wanted) = wanted.entry((m, number)).or_insert_with(none);
                        *from = n;
                        for (wanted, range) in wanted.iter_mut().zip(ranges) {
                            *wanted = (wanted.0.min(range.0), wanted.1.max(range.1));
                        }
                    };
                    tree.leaves[m].holds(set, &mut ranges, Some(&mut missed));
                    true
                });
                if let Err(way) = result {
                    trouble.push((n, Some(way)));
                    break;
                }
            }
        }
        if !trouble.is_empty() {
            trouble.extend(early(&restless));
            return Some(trouble);
        }
        if wanted.is_empty() {
            return None;
        }
        counts.push(wanted.len());
        restless.push(wanted.iter().flat_map(|((m, _), (from, _))| [*m, *from]).collect());
        let grows = round >= PATIENCE && 2 * counts[round] > 3 * counts[round - PATIENCE / 2];
        if grows || round + 1 == ROUNDS {
            return Some(early(&restless).collect());
        }
        for leaf in &mut tree.leaves {
            leaf.cells.values_mut().for_each(|cell| cell.grown = false);
        }
        for ((m, number), (from, ranges)) in wanted {
            tree.leaves[m].hold(number, &ranges, from);
        }
    }
    Some(Vec::new())
}

/// The leaves where growth began that came before trouble, not where it went.
fn early(restless: &[Vec<usize>]) -> impl Iterator<Item = Trouble> {
    let rounds = SETTLED.min(restless.len())..(SETTLED + PATIENCE / 2).min(restless.len());
    let leaves: BTreeSet<usize> = restless[rounds].concat().into_iter().collect();
    leaves.into_iter().map(|n| (n, None))
}

/// So many rounds are waited for growth to end.
const PATIENCE: usize = 8;
/// What grows before this round does because few states were seen.
const SETTLED: usize = 3;

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
