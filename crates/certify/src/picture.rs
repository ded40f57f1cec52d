//! What a proof looks like: the states of a network, and the abstract states that hold them,
//! along the two principal axes on which the states differ most.

use crate::axes::principal_axes;
use crate::certificate::Certificate;
use crate::network::Net;
use crate::sample::Sample;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The two families of states, no carry and carry, on their first two principal axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// `[2][H]`: a point is the product of a state with each.
    pub axes: [Vec<f64>; 2],
    /// Points, by carry.
    pub states: [Vec<[f64; 2]>; 2],
    /// What each piece of a node covers, by carry: the least and the largest point.
    pub pieces: [Vec<[[f64; 2]; 2]>; 2],
    /// The history of each piece's node, as [`crate::Node::key`] says it.
    pub histories: [Vec<String>; 2],
}

/// The picture of a certified network, or, without a certificate, of its states alone.
pub fn picture(parameters: &Parameters, certificate: Option<&Certificate>) -> Picture {
    let net = Net::new(parameters);
    let h = net.hidden;
    let sample = Sample::new(&net, 200, &mut Xoshiro256PlusPlus::seed_from_u64(0));
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
    let states = [points(&sample.states[0]), points(&sample.states[1])];
    let (mut pieces, mut histories) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let machine = certificate.map(Certificate::machine);
    for node in certificate.iter().flat_map(|certificate| &certificate.nodes) {
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
            let machine = machine.as_ref().expect("a certificate has one");
            let Some(carry) = Certificate::state_after(machine, node) else { continue };
            pieces[carry].push([[x[0], y[0]], [x[1], y[1]]]);
            histories[carry].push(node.key.clone());
        }
    }
    Picture { axes, states, pieces, histories }
}
