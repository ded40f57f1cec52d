//! The search for a certificate: abstract states that hold all states of a network.
//!
//! Nothing here is trusted. It computes in rounded f64 with some slack, and what it finds
//! counts only once the checker, which shares no code with it, has accepted it.
//!
//! ```text
//! for each plan (kind of abstract states, steps at a time, how many leaves):
//!   leaves     the machine's state before and the last symbols
//!   states     around sampled ones: boxes, or chains of segments along principal axes
//!   fixpoint   propagate every segment that grew, step by step, until a leaf holds what
//!              arrives; after `steps` at the latest widen the segments that do not
//!   until      all hold: found
//!              an output may be wrong, or states keep growing. Refine where that happens,
//!              where growth began and where the linearisation error is largest: shorter
//!              segments or, where these are thick, more histories; and begin again
//! ```
//!
//! 1. A key names the machine's state *before* its symbols, not only the one now: in an addition
//!    the carry after 01 01 01 11 is 1 either way, but the hidden states still tell what it was
//!    before the 01s.
//! 2. Units move together: along a leaf's principal axes its states are thin, and a box
//!    along the units would be mostly empty.
//! 3. A network may remember, along one direction, for forty symbols. Histories that tell all
//!    of that apart would be 2⁴⁰; a few symbols and the position along that direction are enough.
//! 4. Some steps at a time: a single step may stretch a state along an axis and turn it; only
//!    over several does a network that has learned to carry contract. Most sequences end
//!    earlier: one step is enough where states forget fast.
//! 5. Where states lie between two answers, small errors grow for many steps. Where an output may be
//!    wrong, only what leads there is refined; states are widened by very little; and the first axis
//!    is the direction that is remembered longest, so that errors across it do not add up.
//! 6. An abstract state is as good as σ is linear on it. A unit that is nearly 0 or 1 may vary
//!    widely at no cost, so leaves are refined by their linearisation error, not by how wide
//!    their sums are.

use crate::axes::principal_axes;
use crate::histories::Histories;
use crate::leaf::{self, Leaf, Ranges, Widening};
use crate::machine::Transitions;
use crate::memory::axes;
use crate::network::Net;
use crate::sample::Sample;
use crate::walk::Walk;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use verify::MOST_SEQUENCES;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Along axes of the states, or else along the units.
    pub axes: Option<First>,
    /// The least symbols of a history.
    pub shortest: usize,
    /// The most symbols of a history.
    pub longest: usize,
    /// At first, histories are split whose sampled states are thicker than this.
    pub thickness: f64,
    /// The most leaves at first, and in the end.
    pub leaves: (usize, usize),
    /// Steps at a time, at most.
    pub steps: usize,
    /// By how much more than what arrives states are widened.
    pub widening: Widening,
    /// One leaf of so many is refined for its linearisation error.
    pub share: usize,
    /// Where an output may be wrong, are leaves refined where growth began, too?
    pub everywhere: bool,
}

/// The first axis of a leaf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum First {
    /// That of the largest variance.
    Principal,
    /// That which is remembered longest.
    Remembered,
}

/// The cheapest first.
pub(crate) const PLANS: [Plan; 5] = [boxes(1), boxes(2), boxes(3), FINE, CURVES];
/// Sampled hidden states of each state of the machine.
pub(crate) const SAMPLED: usize = 400;
/// So many plans cost less than a search for a counterexample.
pub(crate) const CHEAP: usize = 3;

const fn boxes(k: usize) -> Plan {
    Plan { axes: None, shortest: k, longest: k, leaves: (0, 0), steps: 1, ..CURVES }
}

/// Chains of segments along principal axes, refined everywhere.
const CURVES: Plan = Plan {
    axes: Some(First::Principal),
    shortest: 2,
    longest: 60,
    thickness: 0.2,
    leaves: (200, 20_000),
    steps: 4,
    widening: (0.02, 1e-4),
    share: 8,
    everywhere: true,
};

/// Along what is remembered longest, refined where an output may be wrong.
const FINE: Plan = Plan {
    axes: Some(First::Remembered),
    steps: 6,
    widening: (0.002, 1e-5),
    share: 32,
    everywhere: false,
    ..CURVES
};

/// Why a plan found no certificate.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Symbols up to outputs that may be wrong.
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

/// What is searched: a network, a machine, sampled states, and by which plan.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub net: &'a Net,
    pub machine: &'a Transitions,
    pub sample: &'a Sample,
    pub plan: &'a Plan,
}

/// A plan that begins with more histories is none.
const MOST_HISTORIES: usize = 1 << 15;

impl Question<'_> {
    /// Steps at a time, as many as a certificate may have for so many symbols.
    pub fn steps(&self) -> usize {
        let symbols = self.machine.width();
        let may = |&n: &usize| symbols.checked_pow(n as u32).is_some_and(|n| n <= MOST_SEQUENCES);
        (1..=self.plan.steps).rev().find(may).unwrap_or(1)
    }

    /// Are the histories that the plan begins with few enough?
    fn is_small(&self) -> bool {
        let symbols = self.machine.width().checked_pow(self.plan.shortest as u32);
        symbols.is_some_and(|symbols| symbols * self.machine.states <= MOST_HISTORIES)
    }
}

/// All leaves, and which history leads to which.
struct Tree<'a> {
    leaves: Vec<Leaf>,
    histories: Histories<'a>,
    by_start: HashMap<Vec<u8>, usize>,
}

impl Tree<'_> {
    /// The leaf for the states after `word`, which begins with the symbols of `leaf`.
    fn find(&self, leaf: &Leaf, word: &[u8]) -> Option<usize> {
        let from_start = || leaf.from_start.then(|| self.by_start.get(word).copied()).flatten();
        self.histories.find(leaf.before, word).or_else(from_start)
    }
}

/// A history and how thick its states lie; the thickest is the greatest.
#[derive(Clone, Debug, PartialEq)]
struct History {
    thickness: f64,
    before: usize,
    word: Vec<u8>,
}

impl Eq for History {}

impl Ord for History {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rest = |history: &Self| (history.before, history.word.clone());
        self.thickness.total_cmp(&other.thickness).then_with(|| rest(self).cmp(&rest(other)))
    }
}

impl PartialOrd for History {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Looks for a certificate by one plan, and takes what that costs from `budget`.
pub(crate) fn search(question: Question<'_>, budget: &mut u64) -> Result<Vec<Leaf>, Failure> {
    let Question { net, machine, plan, .. } = question;
    let mut failure = Failure { sequences: Vec::new() };
    if !question.is_small() {
        return Err(failure);
    }
    let mut walk = Walk::new(net, machine, question.steps(), budget);
    let mut leaves = close(first_leaves(question), question);
    loop {
        let mut tree = make_leaves(question, &mut leaves);
        add_starts(&mut tree, &mut walk);
        let Some(obstacles) = fixpoint(&mut tree, &mut walk, plan.everywhere) else {
            return Ok(tree.leaves);
        };
        failure.sequences.extend(obstacles.iter().filter_map(|(_, word)| word.clone()));
        if plan.axes.is_none() || leaves.len() >= plan.leaves.1 || *walk.budget == 0 {
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
                split(machine, &mut leaves, &key(leaf));
            }
        }
        leaves = close(leaves, question);
    }
}

/// A history: how many symbols, these, and the state before them. Short ones come first.
type Key = (usize, Vec<u8>, usize);

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
    (leaf.word.len(), leaf.word.clone(), leaf.before)
}

/// Replaces a history by those one symbol longer. Where that is a whole run, there may be none: it
/// is then among the histories from the first step.
fn split(machine: &Transitions, leaves: &mut Leaves, key: &Key) {
    leaves.remove(key);
    for (before, word) in machine.earlier(key.2, &key.1) {
        leaves.insert((word.len(), word, before), Made::default());
    }
}

/// Splits histories, the thickest first, as far as the plan says.
fn first_leaves(Question { net, machine, sample, plan }: Question<'_>) -> Leaves {
    let history = |before: usize, word: Vec<u8>| {
        let thickness = if word.len() < plan.shortest {
            f64::MAX
        } else if word.len() < plan.longest {
            leaf::segment_length(&sample.after(net, before, &word))
        } else {
            0.0
        };
        History { thickness, before, word }
    };
    let mut open: BinaryHeap<History> =
        machine.reachable().map(|state| history(state, vec![])).collect();
    while let Some(worst) = open.peek() {
        let short = worst.word.len() < plan.shortest;
        if !short && (worst.thickness <= plan.thickness || open.len() >= plan.leaves.0) {
            break;
        }
        let History { before, word, .. } = open.pop().expect("just seen");
        open.extend(machine.earlier(before, &word).map(|(before, word)| history(before, word)));
    }
    open.into_iter()
        .map(|open| ((open.word.len(), open.word, open.before), Made::default()))
        .collect()
}

/// From each leaf, `steps` symbols must lead to a leaf whose history is then known: splits
/// leaves until they do.
fn close(mut leaves: Leaves, question: Question<'_>) -> Leaves {
    let (machine, steps) = (question.machine, question.steps());
    loop {
        let mut histories = Histories::new(machine);
        for (n, (_, word, before)) in leaves.keys().enumerate() {
            histories.insert(*before, word, n);
        }
        // As many symbols as the longest history has are enough for any.
        let longest = leaves.keys().map(|key| key.0).max().unwrap_or(0);
        let open = |(known, word, before): &&Key| {
            known + steps < longest && {
                let after = machine.follow(*before, word).expect("histories are legal");
                let mut known = Known { histories: &histories, machine, before: *before };
                !known.leads_to_leaves(&mut word.clone(), after, steps)
            }
        };
        let open: Vec<Key> = leaves.keys().filter(open).cloned().collect();
        if open.is_empty() {
            return leaves;
        }
        open.iter().for_each(|key| split(machine, &mut leaves, key));
    }
}

/// Histories, and words behind one of them.
struct Known<'a> {
    histories: &'a Histories<'a>,
    machine: &'a Transitions,
    /// The state before that.
    before: usize,
}

impl Known<'_> {
    /// Do all `left` symbols behind `word`, which leads to `state`, lead to a leaf?
    fn leads_to_leaves(&mut self, word: &mut Vec<u8>, state: usize, left: usize) -> bool {
        if left == 0 {
            return self.histories.find(self.before, word).is_some();
        }
        self.machine.all().all(|symbol| {
            let Some((next, _)) = self.machine.step(state, symbol) else { return true };
            word.push(symbol);
            let leads = self.leads_to_leaves(word, next, left - 1);
            word.pop();
            leads
        })
    }
}

/// A tree of the leaves, each around sampled states.
fn make_leaves<'a>(question: Question<'a>, leaves: &mut Leaves) -> Tree<'a> {
    let Question { net, machine, sample, plan } = question;
    let mut tree =
        Tree { leaves: Vec::new(), histories: Histories::new(machine), by_start: HashMap::new() };
    for ((_, word, before), Made { length, leaf }) in leaves {
        let leaf = leaf.get_or_insert_with(|| {
            let states = sample.after(net, *before, word);
            let state = machine.follow(*before, word).expect("histories are legal");
            let axes = plan.axes.map(|first| match first {
                First::Principal => principal_axes(&states),
                First::Remembered => axes(net, machine, state, &states),
            });
            Leaf::around(
                (machine, net.domain, plan.widening),
                (*before, word),
                axes,
                *length,
                &states,
            )
        });
        tree.histories.insert(*before, word, tree.leaves.len());
        tree.leaves.push(leaf.clone());
    }
    tree
}

/// Adds the leaves of the histories from the first step that are too short for the others.
fn add_starts(tree: &mut Tree<'_>, walk: &mut Walk<'_>) {
    let (h, steps, machine) = (walk.net.hidden, walk.steps, walk.machine);
    let domain = walk.net.domain;
    let mut open = vec![(Vec::new(), vec![0.0; h], vec![0.0; h])];
    while let Some((word, low, high)) = open.pop() {
        tree.by_start.insert(word.clone(), tree.leaves.len());
        let leaf = Leaf::start(machine, word, low, high);
        // An output that may be wrong is found again, and reported, by the fixpoint.
        let _ = walk.propagate(&leaf, &leaf.segments[&0], f64::MIN, &mut |state, word, depth| {
            let known = tree.histories.find(0, word).is_some();
            if depth == steps && !known {
                let low = state.low.iter().enumerate();
                let low = low.map(|(n, low)| (low - 1e-6).max(domain.of(n).0)).collect();
                let high = state.high.iter().enumerate();
                let high = high.map(|(n, high)| (high + 1e-6).min(domain.of(n).1)).collect();
                open.push((word.to_vec(), low, high));
            }
            known
        });
        tree.leaves.push(leaf);
    }
}

/// A leaf to refine, and the symbols up to an output that may be wrong from there, if one may.
type Obstacle = (usize, Option<Vec<u8>>);

/// The last leaf from which more arrived than a segment holds, and the ranges that arrived.
type Wanted = (usize, Ranges);

/// Widens segments until all hold what arrives, or returns the leaves that keep them from it.
fn fixpoint(tree: &mut Tree<'_>, walk: &mut Walk<'_>, everywhere: bool) -> Option<Vec<Obstacle>> {
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
                    walk.propagate(leaf, segment, LEAST_MARGIN, &mut |state, word, depth| {
                        let Some(m) = tree.find(leaf, word) else { return false };
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
                if let Err(word) = result {
                    obstacles.push((n, Some(word)));
                    break;
                }
            }
        }
        if !obstacles.is_empty() {
            if everywhere {
                obstacles.extend(where_growth_began(&growing));
            }
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
fn to_refine(
    tree: &Tree<'_>,
    walk: &mut Walk<'_>,
    obstacles: &[Obstacle],
    plan: &Plan,
) -> Vec<usize> {
    let may = |n: &usize| !tree.leaves[*n].from_start && tree.leaves[*n].word.len() < plan.longest;
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
    refined.extend(errors[..errors.len() / plan.share].iter().map(|&(_, n)| n));
    refined.into_iter().filter(may).collect()
}
