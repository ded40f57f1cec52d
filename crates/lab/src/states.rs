//! What did it learn? The states of a network after all histories of six pairs of digits, along the
//! two axes on which states differ most: two families, one for each carry.

use crate::recipe::{Recipe, trained};
use crate::settings::{Settings, Watch};
use crate::share::Share;
use crate::trials::each;
use certify::ibp::Ibp;
use certify::{Certificate, Machine, Outcome, Picture, certify, picture};
use model::{Network, Parameters, weights};
use serde::{Deserialize, Serialize};
use train::config::NetworkConfig;

/// Pairs of digits in a history.
pub const PAIRS: usize = 6;
/// H
pub const HIDDEN: usize = 16;
/// H of the network that is trained for a proof.
pub const PROVED_HIDDEN: usize = 8;

/// What the states look like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct States {
    /// In how many networks of the lab's recipe one straight line parts the families, along the two
    /// axes; see [`Families::are_apart`].
    pub apart: Share,
    /// The network of the lab's recipe with the study's seed; none if the study was stopped before.
    pub lab: Option<Families>,
    /// A network trained for a proof, and the sets of its certificate.
    pub proved: Option<Families>,
}

/// The states of one network, along two axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Families {
    /// After each history of [`PAIRS`] pairs, by the carry behind it.
    pub states: [Vec<[f64; 2]>; 2],
    /// The mean of each family.
    pub means: [[f64; 2]; 2],
    /// Where the map takes a family, in the mean: by its carry, and by the next pair of digits (00, 01,
    /// 10, 11).
    pub map: [[[f64; 2]; 4]; 2],
    /// The sets of the certificate, by carry: the least and the largest point of each.
    pub sets: [Vec<[[f64; 2]; 2]>; 2],
}

/// How many networks the study trains: those of the lab's recipe, and that of the proof.
pub(crate) fn networks(settings: &Settings) -> usize {
    settings.count(100, 10) + 1
}

/// Makes the study.
pub fn states(settings: &Settings, watch: Watch<'_>) -> States {
    let results = each(networks(settings), watch, |number| {
        // The proof first, as it takes longest.
        let Some(seed) = number.checked_sub(1) else {
            return (false, proved(settings.seed_of(0)));
        };
        let config = Recipe::Lab.config(NetworkConfig::lab(HIDDEN), settings.seed_of(seed as u64));
        let families =
            trained(&config).map(|network| families(&network, &of_addition(&network, None)));
        let apart = families.as_ref().is_some_and(Families::are_apart);
        (apart, families.filter(|_| seed == 0))
    });
    let mut results = results.into_iter();
    let proved = results.next().flatten().and_then(|(_, families)| families);
    let mut lab = None;
    let mut apart = Vec::new();
    for (is_apart, families) in results.flatten() {
        apart.push(is_apart);
        lab = lab.or(families);
    }
    States { apart: Share::of(apart), lab, proved }
}

/// A network trained for a proof, with the sets of its certificate, if one is found.
fn proved(seed: u64) -> Option<Families> {
    let network = trained(&Ibp::training(PROVED_HIDDEN, true, seed))?;
    // It takes a few hundred; more would be no picture.
    const BUDGET: u64 = 20_000;
    match certify(&network, &Machine::addition(), &weights::to_bytes(&network), BUDGET) {
        Outcome::Certified { certificate, .. } => {
            Some(families(&network, &of_addition(&network, Some(&certificate))))
        }
        Outcome::Refuted(_) | Outcome::Unknown => None,
    }
}

/// The carry behind the pairs, each twice the digit of the first operand, plus that of the second.
fn carry(pairs: impl Iterator<Item = usize>) -> usize {
    pairs.fold(0, |carry, pair| usize::from((pair >> 1) + (pair & 1) + carry >= 2))
}

/// The picture of a network that adds: its families are those without and with a carry.
fn of_addition(network: &Parameters, certificate: Option<&Certificate>) -> Picture {
    picture(network, &Machine::addition(), certificate)
}

/// The states of a network on the axes of `picture`.
fn families(parameters: &Parameters, picture: &Picture) -> Families {
    let histories = 4_usize.pow(PAIRS as u32);
    let pair = |history: usize, t: usize| history >> (2 * t) & 3;
    // all histories side by side, and a pair more: a family's next states are those of longer ones
    let mut x = Vec::with_capacity((PAIRS + 1) * 4 * histories * 2);
    for t in 0..=PAIRS {
        for history in 0..4 * histories {
            let pair = pair(history, t);
            x.extend([(pair >> 1) as f32, (pair & 1) as f32]);
        }
    }
    let mut network = Network::new(parameters.config());
    network.forward(parameters, &x, PAIRS + 1, 4 * histories);
    let along = |step: usize, history: usize| {
        let h = network.hidden(step, history);
        [0, 1].map(|axis| {
            let axis: &Vec<f64> = &picture.axes[axis];
            h.iter().zip(axis).map(|(&h, a)| f64::from(h) * a).sum::<f64>()
        })
    };
    let mut states = [Vec::new(), Vec::new()];
    let mut next = [(); 2].map(|()| [(); 4].map(|()| Vec::new()));
    for history in 0..4 * histories {
        let carry = carry((0..PAIRS).map(|t| pair(history, t)));
        let last = pair(history, PAIRS);
        next[carry][last].push(along(PAIRS, history));
        if last == 0 {
            states[carry].push(along(PAIRS - 1, history));
        }
    }
    Families {
        means: [mean(&states[0]), mean(&states[1])],
        map: next.map(|of_carry| of_carry.map(|states| mean(&states))),
        states,
        sets: [picture.pieces[0].clone(), picture.pieces[1].clone()],
    }
}

fn mean(points: &[[f64; 2]]) -> [f64; 2] {
    let count = points.len().max(1) as f64;
    [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / count)
}

impl Families {
    /// Does one straight line part the two families, all states of one from all of the other? It is
    /// looked for along Fisher's discriminant: with m the means and C the sum of the covariances, the
    /// direction d with `C·d = m₁ − m₀`.
    ///
    /// Source: R. A. Fisher, *The use of multiple measurements in taxonomic problems*, 1936.
    pub fn are_apart(&self) -> bool {
        let [mut xx, mut xy, mut yy] = [1e-12, 0.0, 1e-12];
        for (states, mean) in self.states.iter().zip(self.means) {
            for [x, y] in states.iter().map(|state| [state[0] - mean[0], state[1] - mean[1]]) {
                let share = 1.0 / states.len() as f64;
                xx += share * x * x;
                xy += share * x * y;
                yy += share * y * y;
            }
        }
        let [x, y] = [0, 1].map(|axis| self.means[1][axis] - self.means[0][axis]);
        // but for a factor that is positive
        let direction = [yy * x - xy * y, xx * y - xy * x];
        let along = |states: &[[f64; 2]]| -> Vec<f64> {
            states.iter().map(|state| direction[0] * state[0] + direction[1] * state[1]).collect()
        };
        let without = along(&self.states[0]).into_iter().fold(f64::NEG_INFINITY, f64::max);
        let with = along(&self.states[1]).into_iter().fold(f64::INFINITY, f64::min);
        without < with
    }
}

impl States {
    /// What came out.
    pub fn sentence(&self) -> String {
        let sets =
            self.proved.as_ref().map(|proved| proved.sets.iter().map(Vec::len).sum::<usize>());
        let proof = match sets {
            Some(sets) => format!(
                "the certificate of one of {PROVED_HIDDEN} units, trained for a proof, holds them \
                 in {sets} sets, for ever"
            ),
            None => "no certificate was found in this study".to_owned(),
        };
        format!(
            "In {} networks one straight line parts the states with a carry from those without, after \
             all {} histories of {PAIRS} pairs, drawn along two axes; {proof}.",
            self.apart,
            train::text::thousands(4_u64.pow(PAIRS as u32))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_are_those_of_a_plain_walk() {
        let config = Recipe::Lab.config(NetworkConfig::lab(5), 1);
        let parameters = trained(&config).unwrap();
        let picture = of_addition(&parameters, None);
        let found = families(&parameters, &picture);
        assert_eq!(found.states.iter().map(Vec::len).sum::<usize>(), 4_096);
        assert!(found.sets.iter().all(Vec::is_empty));

        let mut network = Network::new(parameters.config());
        let mut after = |pairs: &[usize]| {
            let x: Vec<f32> =
                pairs.iter().flat_map(|p| [(p >> 1) as f32, (p & 1) as f32]).collect();
            network.forward(&parameters, &x, pairs.len(), 1);
            let h = network.hidden(pairs.len() - 1, 0);
            [0, 1].map(|n| {
                let axis = &picture.axes[n];
                h.iter().zip(axis).map(|(&h, a)| f64::from(h) * a).sum::<f64>()
            })
        };
        let near = |a: [f64; 2], b: [f64; 2]| (0..2).all(|n| (a[n] - b[n]).abs() < 1e-5);
        // the first history of each family, counted in the order of the lowest pair
        assert!(near(found.states[0][0], after(&[0; 6])));
        let with_carry: Vec<usize> = vec![3, 3, 3, 3, 3, 3];
        let last = *found.states[1].last().unwrap();
        assert!(near(last, after(&with_carry)));
        assert_eq!([carry([3, 1].into_iter()), carry([3, 0].into_iter())], [1, 0]);
        // where carry and a pair of ones go: the mean over all histories
        let mut sum = [0.0; 2];
        let mut count = 0.0;
        for history in 0..4_096_usize {
            let mut pairs: Vec<usize> = (0..6).map(|t| history >> (2 * t) & 3).collect();
            if carry(pairs.iter().copied()) == 1 {
                pairs.push(3);
                let at = after(&pairs);
                (0..2).for_each(|n| sum[n] += at[n]);
                count += 1.0;
            }
        }
        assert!(near(found.map[1][3], sum.map(|x| x / count)));
    }

    #[test]
    fn families_that_overlap_are_not_apart() {
        let of = |states: [Vec<[f64; 2]>; 2]| Families {
            means: [mean(&states[0]), mean(&states[1])],
            states,
            map: Default::default(),
            sets: Default::default(),
        };
        assert!(of([vec![[0.0, 0.0], [0.0, 1.0]], vec![[3.0, 0.0]]]).are_apart());
        assert!(!of([vec![[0.0, 0.0], [4.0, 0.0]], vec![[3.0, 0.0]]]).are_apart());
        // two long stripes side by side, which the direction between the means would not part
        let stripe = |shift: f64| (0..20).map(|n| [f64::from(n), f64::from(n) + shift]).collect();
        assert!(of([stripe(0.0), stripe(0.5)]).are_apart());
        assert!(of([stripe(0.5), stripe(0.0)]).are_apart());
    }
}
