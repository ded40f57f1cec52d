//! What a proof looks like: the states of a network, and the abstract states that hold them,
//! along the two principal axes on which the states differ most.

use crate::axes::principal_axes;
use crate::certificate::Certificate;
use crate::machine::Transitions;
use crate::network::Net;
use crate::prove::provable;
use crate::sample::Sample;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use verify::Machine;

/// The hidden states, a family for each state of the machine, on their first two principal axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// `[2][H]`: a point is the product of a state with each.
    pub axes: [Vec<f64>; 2],
    /// Points, by the state of the machine.
    pub states: Vec<Vec<[f64; 2]>>,
    /// What each piece of a node covers, by the state of the machine: the least and the largest
    /// point.
    pub pieces: Vec<Vec<[[f64; 2]; 2]>>,
    /// The history of each piece's node, as [`crate::Node::key`] says it.
    pub histories: Vec<Vec<String>>,
}

/// The picture of a certified network, or, without a certificate, of its states alone.
///
/// # Panics
/// If the network is not [`provable`] for the machine.
pub fn picture(
    parameters: &Parameters,
    machine: &Machine,
    certificate: Option<&Certificate>,
) -> Picture {
    let cell = provable(parameters.config(), machine).expect("a network for the machine");
    let net = Net::new(parameters, cell, machine);
    let h = net.hidden;
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let sample = Sample::new(&net, &Transitions::new(machine), 200, &mut generator);
    let vectors = principal_axes(&sample.states.concat());
    let axis = |n: usize| match n < h {
        true => vectors[n * h..][..h].to_vec(),
        false => vec![0.0; h], // a single unit has one axis
    };
    let axes = [axis(0), axis(1)];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let points = |states: &Vec<Vec<f64>>| {
        states.iter().map(|state| [dot(&axes[0], state), dot(&axes[1], state)]).collect()
    };
    let states: Vec<Vec<[f64; 2]>> = sample.states.iter().map(points).collect();
    let (mut pieces, mut histories) = (vec![Vec::new(); states.len()], vec![vec![]; states.len()]);
    for node in certificate.iter().flat_map(|certificate| &certificate.nodes) {
        let Some(state) = Certificate::state_after(machine, node) else { continue };
        for piece in &node.pieces {
            let range = |axis: &[f64]| {
                let mut along: Vec<f64> = match &node.axes {
                    Some(axes) => axes.iter().map(|row| dot(row, axis)).collect(),
                    None => axis.to_vec(),
                };
                for (i, slope) in piece.slopes.iter().flatten().enumerate() {
                    along[0] += slope * along[i];
                }
                let (mut low, mut high) = (0.0, 0.0);
                for ((least, most), a) in piece.low.iter().zip(&piece.high).zip(along) {
                    low += (a * least).min(a * most);
                    high += (a * least).max(a * most);
                }
                [low, high]
            };
            let [x, y] = [range(&axes[0]), range(&axes[1])];
            pieces[state].push([[x[0], y[0]], [x[1], y[1]]]);
            histories[state].push(node.key.clone());
        }
    }
    Picture { axes, states, pieces, histories }
}
