//! Sets of hidden states: those that a walk takes further, and those that a node stands for.
//!
//! ```text
//! set       { c + Σ_g e_g·g + Σ_j e_j·own_j·u_j : all e in [−1, 1] } cut with a box
//! piece     { h in D : low ≤ R·h ≤ high }     R = A − s·a₀ᵀ, D all states there are, N numbers
//! ```

use super::dyadic::{FINE, WEIGHT, exact, read, read_up, shift, shift_up};
use super::sigmoid::Bounds;
use crate::certificate::{Node, Piece};
use num_bigint::BigInt;
use num_bigint::Sign;

/// Bounds, axes and slopes are no larger.
const MOST: f64 = 8.0;

/// All numbers in 2⁻⁹⁶.
#[derive(Clone)]
pub(super) struct Set {
    /// `[N]`
    pub center: Vec<BigInt>,
    /// Rows of `[N]`.
    pub generators: Vec<Vec<BigInt>>,
    /// `[N]`, the generators along the unit vectors.
    pub own: Vec<BigInt>,
    /// `[N]`
    pub low: Vec<BigInt>,
    /// `[N]`
    pub high: Vec<BigInt>,
}

/// The exact product of two vectors.
pub(super) fn dot(a: &[BigInt], b: &[BigInt]) -> BigInt {
    let mut sum = BigInt::ZERO;
    for (a, b) in a.iter().zip(b) {
        if a.sign() != Sign::NoSign && b.sign() != Sign::NoSign {
            sum += a * b;
        }
    }
    sum
}

fn absolute(n: &BigInt) -> BigInt {
    n.magnitude().clone().into()
}

/// Σ|vⱼ|
pub(super) fn magnitude(v: &[BigInt]) -> BigInt {
    v.iter().map(absolute).sum()
}

impl Set {
    /// The range of w·h over the set: exactly that over the zonotope, cut with exactly that
    /// over the box. In the product of both units. Of a `w` that is shorter than a state, the numbers
    /// behind it are left out.
    pub(super) fn range(&self, w: &[BigInt]) -> (BigInt, BigInt) {
        let mut radius: BigInt = self.generators.iter().map(|g| absolute(&dot(g, w))).sum();
        radius += self.own.iter().zip(w).map(|(own, w)| own * absolute(w)).sum::<BigInt>();
        let center = dot(&self.center, w);
        let (mut least, mut most) = (BigInt::ZERO, BigInt::ZERO);
        for ((low, high), w) in self.low.iter().zip(&self.high).zip(w) {
            let (a, b) = (w * low, w * high);
            least += (&a).min(&b);
            most += a.max(b);
        }
        ((&center - &radius).max(least), (center + radius).min(most))
    }
}

impl Set {
    /// The range of number i of the state over the set.
    pub(super) fn unit(&self, i: usize) -> Bounds {
        let radius = self.generators.iter().map(|g| absolute(&g[i])).sum::<BigInt>() + &self.own[i];
        let (least, most) = (&self.center[i] - &radius, &self.center[i] + radius);
        (least.max(self.low[i].clone()), most.min(self.high[i].clone()))
    }
}

/// A node's set: the union of its pieces.
pub(super) struct Region<'a> {
    node: &'a Node,
    /// `[N]`
    domain: &'a [(i32, i32)],
}

/// A piece.
pub(super) struct Part<'a> {
    axes: Option<&'a [Vec<f64>]>,
    piece: &'a Piece,
    /// `[N]`
    domain: &'a [(i32, i32)],
}

impl<'a> Region<'a> {
    /// Reads the pieces of `node` for a network of H = `hidden`, whose states are N numbers in
    /// `domain`. The error is the rest of a sentence.
    pub(super) fn read(
        node: &'a Node,
        hidden: usize,
        domain: &'a [(i32, i32)],
    ) -> Result<Self, String> {
        let size = domain.len();
        let square =
            |axes: &Vec<Vec<f64>>| axes.len() == size && axes.iter().all(|row| row.len() == size);
        let lists = |piece: &Piece| {
            piece.low.len() == size
                && piece.high.len() == size
                && piece.slopes.as_ref().is_none_or(|slopes| slopes.len() == size)
        };
        if !node.axes.as_ref().is_none_or(square) || !node.pieces.iter().all(lists) {
            return Err(format!("is not of a network of {hidden} hidden units"));
        }
        let small = |values: &[f64]| values.iter().all(|value| value.abs() <= MOST);
        let is_set = |piece: &Piece| {
            small(&piece.low)
                && small(&piece.high)
                && piece.low.iter().zip(&piece.high).all(|(low, high)| low <= high)
                && piece.slopes.as_ref().is_none_or(|slopes| small(slopes) && slopes[0] == 0.0)
        };
        let axes_are_small = node.axes.iter().flatten().all(|row| small(row));
        if node.pieces.is_empty() || !axes_are_small || !node.pieces.iter().all(is_set) {
            return Err("has bounds that make no set".to_owned());
        }
        if node.pieces.windows(2).any(|pair| pair[0].low[0] > pair[1].low[0]) {
            return Err("has pieces that are not in order".to_owned());
        }
        Ok(Self { node, domain })
    }

    pub(super) fn pieces(&self) -> impl ExactSizeIterator<Item = Part<'a>> + use<'a> {
        let (node, domain) = (self.node, self.domain);
        node.pieces.iter().map(move |piece| Part { axes: node.axes.as_deref(), piece, domain })
    }

    /// How many matrices R the node has, other than the identity.
    pub(super) fn matrices(&self) -> usize {
        let sloped = self.node.pieces.iter().filter(|piece| piece.slopes.is_some()).count();
        sloped + usize::from(self.node.axes.is_some())
    }

    /// Is there a piece, a box, that holds h = 0?
    pub(super) fn has_origin(&self) -> bool {
        self.pieces().any(|part| {
            part.is_box()
                && part.piece.low.iter().all(|&low| low <= 0.0)
                && part.piece.high.iter().all(|&high| high >= 0.0)
        })
    }

    /// Does the union hold all of `set`, which is within D? Pieces that meet its range along
    /// a₀, in their order, must cover that range without a gap, and each must hold all of the
    /// set along the other rows: then each point of it is in one of them.
    pub(super) fn holds(&self, set: &Set) -> bool {
        // The first row is a₀ for every piece, as s₀ is 0. Its value is within a unit of that of
        // the rounded row; where one piece ends and the next begins is compared as it stands.
        let rounded = u32::from(self.pieces().any(|part| !part.is_box()));
        let size = set.low.len();
        let plain = |i| match self.node.axes.as_deref() {
            Some(axes) => range(&row(Some(axes), None, size, i), set),
            None => set.unit(i),
        };
        let (least, most) = plain(0);
        if least > most {
            return true; // an empty set
        }
        let (least, most) = (least - rounded, most + rounded);
        // The ranges along the rows of A are those of every piece without slopes.
        let mut shared: Option<Vec<Bounds>> = None;
        // up to where pieces hold all of it
        let mut reached: Option<f64> = None;
        for part in self.pieces() {
            let (from, to) = (part.piece.low[0], part.piece.high[0]);
            if read(to, FINE) < least || read_up(from, FINE) > most {
                continue;
            }
            let gap = reached.map_or_else(|| read_up(from, FINE) > least, |reached| from > reached);
            let inside = match part.piece.slopes {
                Some(_) => (1..size).all(|i| part.has(i, &range(&part.row(i), set))),
                None => {
                    let ranges = shared.get_or_insert_with(|| (1..size).map(plain).collect());
                    (1..size).zip(&*ranges).all(|(i, bounds)| part.has(i, bounds))
                }
            };
            if gap || !inside {
                return false;
            }
            reached = Some(reached.map_or(to, |reached| reached.max(to)));
        }
        reached.is_some_and(|reached| read(reached, FINE) >= most)
    }
}

/// The range of a row of R times h over `set`, in 2⁻⁹⁶, outwards.
fn range(row: &[BigInt], set: &Set) -> Bounds {
    let (least, most) = set.range(row);
    (shift(&least, -WEIGHT), shift_up(&most, -WEIGHT))
}

impl Part<'_> {
    /// Is R the identity, for want of axes and slopes?
    pub(super) fn is_box(&self) -> bool {
        self.axes.is_none() && self.piece.slopes.is_none()
    }

    fn row(&self, i: usize) -> Vec<BigInt> {
        row(self.axes, self.piece.slopes.as_deref(), self.piece.low.len(), i)
    }

    /// Are these bounds of row i of R times h within the piece's? Rounding a row moves its product
    /// with h in D by less than 8·N·2⁻¹⁴⁹, which is less than 2⁻⁹⁶.
    fn has(&self, i: usize, (least, most): &Bounds) -> bool {
        let rounded = u32::from(!self.is_box());
        let (low, high) = (self.piece.low[i], self.piece.high[i]);
        read_up(low, FINE) + rounded <= *least && *most <= read(high, FINE) - rounded
    }

    /// A set that holds the piece.
    ///
    /// Boxes are such sets. Else, with any matrix B, `h = B·(R·h) + (I − B·R)·h`: of R·h the
    /// bounds are known, and h is in D. B is nearly the inverse of R; it is computed in f64,
    /// and nothing depends on how well.
    pub(super) fn set(&self) -> Set {
        let size = self.piece.low.len();
        let rounded = u32::from(!self.is_box());
        let outer = |i: usize| {
            let (low, high) = (self.piece.low[i], self.piece.high[i]);
            (read(low, FINE) - rounded, read_up(high, FINE) + rounded)
        };
        let bounds: Vec<_> = (0..size).map(outer).collect();
        let middle: Vec<BigInt> = bounds.iter().map(|(low, high)| (low + high) >> 1_u32).collect();
        // The middle is rounded down, so the upper bound is as far from it, or farther.
        let radius: Vec<BigInt> =
            bounds.iter().zip(&middle).map(|((_, high), m)| high - m).collect();
        if self.is_box() {
            let (low, high) = bounds.into_iter().unzip();
            return Set { center: middle, generators: Vec::new(), own: radius, low, high };
        }
        let rows: Vec<Vec<BigInt>> = (0..size).map(|i| self.row(i)).collect();
        let inverse = nearly_inverse(&rows);
        // B·(2⁻¹⁴⁹ units) times 2⁻⁹⁶ units, back in 2⁻⁹⁶, each rounded by less than one.
        let scaled = |j: usize, i: usize, v: &BigInt| shift(&(&inverse[j][i] * v), -WEIGHT);
        let columns: Vec<Vec<BigInt>> =
            (0..size).map(|k| rows.iter().map(|row| row[k].clone()).collect()).collect();
        let rest = |j: usize| -> BigInt {
            let row = (0..size).zip(self.domain).map(|(k, &(least, most))| {
                let identity = BigInt::from(u32::from(j == k)) << (2 * WEIGHT);
                most.max(-least) * absolute(&(identity - dot(&inverse[j], &columns[k])))
            });
            shift_up(&row.sum(), FINE - 2 * WEIGHT)
        };
        let whole = |n: i32| BigInt::from(n) << FINE;
        Set {
            center: (0..size).map(|j| shift(&dot(&inverse[j], &middle), -WEIGHT)).collect(),
            generators: (0..size)
                .map(|i| (0..size).map(|j| scaled(j, i, &radius[i])).collect())
                .collect(),
            own: (0..size).map(|j| rest(j) + size + 1_u32).collect(),
            low: self.domain.iter().map(|&(least, _)| whole(least)).collect(),
            high: self.domain.iter().map(|&(_, most)| whole(most)).collect(),
        }
    }
}

/// Row i of R = A − s·a₀ᵀ for N = `size`, rounded down to 2⁻¹⁴⁹; without slopes s = 0, without
/// axes A is the identity.
fn row(axes: Option<&[Vec<f64>]>, slopes: Option<&[f64]>, size: usize, i: usize) -> Vec<BigInt> {
    let axis = |i: usize, j: usize| match axes {
        Some(axes) => axes[i][j],
        None => f64::from(u8::from(i == j)),
    };
    let value = |j: usize| {
        let ((a, e), slope) = (exact(axis(i, j)), slopes.map_or(0.0, |slopes| slopes[i]));
        if slope == 0.0 {
            return shift(&a, e + WEIGHT);
        }
        // Both terms in the unit of their product, which is the finer one or can be made so.
        let ((s, f), (first, g)) = (exact(slope), exact(axis(0, j)));
        let unit = e.min(f + g);
        let difference = (a << (e - unit)) - ((s * first) << (f + g - unit));
        shift(&difference, unit + WEIGHT)
    };
    (0..size).map(value).collect()
}

/// A matrix near the inverse of `rows`, if there is one, in 2⁻¹⁴⁹.
fn nearly_inverse(rows: &[Vec<BigInt>]) -> Vec<Vec<BigInt>> {
    let hidden = rows.len();
    let near = |n: &BigInt| super::dyadic::approximate(&shift(n, FINE - WEIGHT));
    let mut left: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(near).collect()).collect();
    let mut right: Vec<Vec<f64>> =
        (0..hidden).map(|i| (0..hidden).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for column in 0..hidden {
        // Gauss and Jordan, with the largest pivot of the column.
        let size = |row: &usize| left[*row][column].abs();
        let pivot = (column..hidden).max_by(|a, b| size(a).total_cmp(&size(b)));
        let pivot = pivot.expect("rows are left");
        left.swap(column, pivot);
        right.swap(column, pivot);
        let (pivot, pivot_right) = (left[column].clone(), right[column].clone());
        for row in 0..hidden {
            let factor = if row == column {
                1.0 - 1.0 / pivot[column]
            } else {
                left[row][column] / pivot[column]
            };
            for k in 0..hidden {
                left[row][k] -= factor * pivot[k];
                right[row][k] -= factor * pivot_right[k];
            }
        }
    }
    let usable = right.iter().flatten().all(|value| value.abs() < 1e6);
    let value = |&value: &f64| if usable { read(value, WEIGHT) } else { BigInt::ZERO };
    right.iter().map(|row| row.iter().map(value).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::dyadic::approximate;
    use super::super::sigmoid::one;
    use super::*;
    use proptest::prelude::*;

    /// The axes are anything, such as nearly parallel.
    fn node(axes: Option<[[f64; 2]; 2]>, pieces: Vec<Piece>) -> Node {
        let axes = axes.map(|axes| axes.map(|row| row.to_vec()).to_vec());
        Node { key: "0".to_owned(), axes, pieces }
    }

    fn is_in(node: &Node, piece: &Piece, h: [f64; 2]) -> bool {
        let along: Vec<f64> = match &node.axes {
            Some(axes) => axes.iter().map(|row| row[0] * h[0] + row[1] * h[1]).collect(),
            None => h.to_vec(),
        };
        (0..2).all(|i| {
            let slope = piece.slopes.as_ref().map_or(0.0, |slopes| slopes[i]);
            let value = along[i] - slope * along[0];
            // not at an edge, where this f64 may err
            piece.low[i] + 1e-12 <= value && value <= piece.high[i] - 1e-12
        })
    }

    fn number(value: f64) -> BigInt {
        read(value, FINE)
    }

    prop_compose! {
        fn nodes()(
            axes in prop_oneof![
                Just(None),
                Just(Some([[0.6, 0.8], [-0.79, 0.61]])),
                prop::array::uniform2(prop::array::uniform2(-1.0..1.0_f64)).prop_map(Some),
            ],
            edges in prop::collection::vec((-0.3..1.0_f64, 0.0..0.7_f64), 1..6),
            bounds in prop::collection::vec((-0.9..0.1_f64, 0.1..0.9_f64, -2.0..2.0_f64, any::<bool>()), 6),
        ) -> Node {
            let mut pieces: Vec<Piece> = edges.iter().zip(&bounds).map(|((low, width), (least, most, slope, has))| Piece {
                low: vec![*low, *least],
                high: vec![low + width, *most],
                slopes: has.then(|| vec![0.0, *slope]),
            }).collect();
            pieces.sort_by(|a, b| a.low[0].total_cmp(&b.low[0]));
            node(axes, pieces)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn the_set_of_a_piece_holds_the_piece(
            node in nodes(),
            points in prop::collection::vec(prop::array::uniform2(0.0..=1.0_f64), 100),
            w in prop::array::uniform2(-2.0..2.0_f64),
            domain in prop::sample::select(vec![(0, 1), (-1, 1), (0, 8)]),
        ) {
            let domains = [domain; 2];
            let region = Region::read(&node, 2, &domains).unwrap();
            let (least, most) = (f64::from(domain.0), f64::from(domain.1));
            let points = points.iter().map(|point| point.map(|x| least + x * (most - least)));
            let points: Vec<[f64; 2]> = points.collect();
            for (piece, part) in node.pieces.iter().zip(region.pieces()) {
                let row = w.map(|w| read(w, WEIGHT));
                let (low, high) = part.set().range(&row);
                let (low, high) = (approximate(&shift(&low, -WEIGHT)), approximate(&shift(&high, -WEIGHT)));
                for h in points.iter().filter(|h| is_in(&node, piece, **h)) {
                    let value = w[0] * h[0] + w[1] * h[1];
                    prop_assert!(low - 1e-12 <= value && value <= high + 1e-12, "{:?}", h);
                }
            }
        }

        #[test]
        fn a_region_holds_every_point_of_a_set_that_it_holds(
            node in nodes(),
            center in prop::array::uniform2(0.2..0.8_f64),
            generators in prop::collection::vec(prop::array::uniform2(-0.1..0.1_f64), 0..4),
            shares in prop::collection::vec(prop::array::uniform4(-1.0..1.0_f64), 64),
        ) {
            let set = Set {
                center: center.map(number).to_vec(),
                generators: generators.iter().map(|g| g.map(number).to_vec()).collect(),
                own: vec![BigInt::ZERO; 2],
                low: vec![BigInt::ZERO; 2],
                high: vec![one(); 2],
            };
            if Region::read(&node, 2, &[(0, 1); 2]).unwrap().holds(&set) {
                let points = shares.iter().map(|shares| {
                    [0, 1].map(|j| {
                        let along: f64 = generators.iter().zip(shares).map(|(g, e)| g[j] * e).sum();
                        center[j] + along
                    })
                });
                for h in points.filter(|h| h.iter().all(|h| (0.0..=1.0).contains(h))) {
                    let near = |piece: &Piece| {
                        let wider = |by: f64, values: &[f64]| values.iter().map(|value| value + by).collect();
                        Piece { low: wider(-1e-9, &piece.low), high: wider(1e-9, &piece.high), slopes: piece.slopes.clone() }
                    };
                    prop_assert!(node.pieces.iter().any(|piece| is_in(&node, &near(piece), h)), "{:?}", h);
                }
            }
        }
    }

    #[test]
    fn a_gap_between_pieces_is_seen_however_small() {
        let piece = |low: f64, high: f64| Piece {
            low: vec![low, 0.0],
            high: vec![high, 1.0],
            slopes: None,
        };
        let set = Set {
            center: vec![number(0.5), number(0.5)],
            generators: vec![vec![number(0.125), number(0.25)]],
            own: vec![BigInt::ZERO; 2],
            low: vec![BigInt::ZERO; 2],
            high: vec![one(); 2],
        };
        for (pieces, held) in [
            (vec![piece(0.375, 0.625)], true),
            (vec![piece(0.375_f64.next_up(), 0.7)], false),
            (vec![piece(0.3, 0.625_f64.next_down())], false),
            (vec![piece(0.3, 0.5), piece(0.5, 0.7)], true),
            (vec![piece(0.3, 0.5), piece(0.5_f64.next_up(), 0.7)], false),
            (vec![piece(0.0, 0.1), piece(0.3, 0.7)], true),
            (vec![piece(0.0, 0.1), piece(0.8, 0.9)], false),
            (vec![piece(0.3, 0.6), piece(0.35, 0.4), piece(0.55, 0.7)], true),
        ] {
            let node = node(None, pieces);
            assert_eq!(Region::read(&node, 2, &[(0, 1); 2]).unwrap().holds(&set), held);
        }
    }
}
