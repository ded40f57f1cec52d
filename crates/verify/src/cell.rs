//! The cells that are checked: what they are made of, what a unit makes of a sum, and what f32
//! may make of it.

use crate::abstract_state::REACH;
use crate::sigmoid::{SIGMOID_ERROR, linearisation_error, sigmoid};
use serde::{Deserialize, Serialize};

/// The largest error of the f32 sigmoid and tanh in units in the last place, rounded up from 2.5.
const ULP: f64 = 3.0;

/// What a layer is made of: an Elman cell, by its nonlinearity, or one with gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cell {
    /// Elman's, with σ
    #[serde(rename = "elman-sigmoid")]
    Sigmoid,
    /// Elman's, with tanh
    #[serde(rename = "elman-tanh")]
    Tanh,
    /// Elman's, with `max(z, 0)`
    #[serde(rename = "elman-relu")]
    Relu,
    /// The gated recurrent unit, as PyTorch defines it
    #[serde(rename = "gru")]
    Gru,
    /// Long short-term memory, with a forget gate
    #[serde(rename = "lstm")]
    Lstm,
}

/// What a unit may make of any sum in an interval, and a line near it.
pub(crate) struct Activated {
    /// The f32 values lie between these.
    pub low: f64,
    pub high: f64,
    /// `slope·z + offset` is within `spread` of the exact value for z in the interval …
    pub slope: f64,
    pub offset: f64,
    pub spread: f64,
    /// … and the f32 value within this of the exact one.
    pub ulp: f64,
}

impl Cell {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sigmoid, Self::Tanh, Self::Relu, Self::Gru, Self::Lstm];

    /// As a certificate writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "elman-sigmoid",
            Self::Tanh => "elman-tanh",
            Self::Relu => "elman-relu",
            Self::Gru => "gru",
            Self::Lstm => "lstm",
        }
    }

    /// G, the sums of a unit: one, or one for each gate.
    pub fn gates(self) -> usize {
        match self {
            Self::Sigmoid | Self::Tanh | Self::Relu => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// N, the numbers of a state of `hidden` (H) units: h, and of an LSTM then c.
    pub fn state_size(self, hidden: usize) -> usize {
        if self == Self::Lstm { 2 * hidden } else { hidden }
    }

    /// A network of `hidden` units, for a sentence.
    pub(crate) fn network(self, hidden: usize) -> String {
        let units = self.units();
        match self {
            Self::Gru | Self::Lstm => format!("{units} of {hidden} units"),
            _ => format!("Elman network of {hidden} {units} units"),
        }
    }

    /// Its units, for a sentence.
    pub(crate) fn units(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "ReLU",
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }

    /// D, of each of the N numbers of a state the least and the largest there is. Where that
    /// follows from no formula, it is checked wherever a state arrives:
    ///
    /// - of a ReLU: there is no largest one, but none above [`REACH`] is accepted;
    /// - of a GRU: h is a mean of a tanh and of h before, but the roundings of that may add up;
    /// - of the c of an LSTM: it is a sum, and its gates may be 1.
    pub(crate) fn domain(self, hidden: usize) -> Vec<(f64, f64)> {
        match self {
            Self::Sigmoid => vec![(0.0, 1.0); hidden],
            Self::Tanh => vec![(-1.0, 1.0); hidden],
            Self::Relu => vec![(0.0, REACH); hidden],
            Self::Gru => vec![(-2.0, 2.0); hidden],
            Self::Lstm => [vec![(-1.0, 1.0); hidden], vec![(-REACH, REACH); hidden]].concat(),
        }
    }

    /// The largest |h| there is.
    pub(crate) fn largest(self) -> f64 {
        let (least, most) = self.domain(1)[0];
        most.max(-least)
    }

    /// What an Elman unit makes of a sum that lies between `low` and `high`.
    ///
    /// # Panics
    /// If the cell has gates.
    pub(crate) fn activate(self, low: f64, high: f64) -> Activated {
        match self {
            Self::Sigmoid => sigmoid_unit(low, high),
            Self::Tanh => tanh_unit(low, high),
            Self::Relu => relu_unit(low, high),
            Self::Gru | Self::Lstm => panic!("{} units have several sums", self.units()),
        }
    }
}

/// Below 2⁻¹²⁶ the f32 functions may be off by that.
fn ulp(value: f64) -> f64 {
    value * (ULP / 8_388_608.0) + 2.0_f64.powi(-126)
}

/// σ of a sum that lies between `low` and `high`. The bounds cross where a piece lies outside of
/// all states there are: it is empty, anything holds, and ends in order are all that is needed.
pub(crate) fn sigmoid_unit(low: f64, high: f64) -> Activated {
    let (low, high) = (low.min(high), low.max(high));
    let (bottom, top) = (sigmoid(low) - SIGMOID_ERROR, sigmoid(high) + SIGMOID_ERROR);
    let slope = if high - low > 1e-6 {
        ((sigmoid(high) - sigmoid(low)) / (high - low)).clamp(0.0, 0.25)
    } else {
        sigmoid(low) * (1.0 - sigmoid(low))
    };
    let (below, above) = linearisation_error(slope, low, high);
    Activated {
        low: (bottom - ulp(bottom.max(0.0))).next_down().max(0.0),
        high: (top + ulp(top)).next_up().min(1.0),
        slope,
        offset: 0.5 * (below + above),
        spread: (0.5 * (above - below)).next_up(),
        ulp: ulp(top),
    }
}

/// By `tanh z = 2·σ(2z) − 1`, and `tanh z − λ·z = 2·(σ(2z) − λ/4·2z) − 1`.
pub(crate) fn tanh_unit(low: f64, high: f64) -> Activated {
    let (low, high) = (low.min(high), low.max(high));
    let tanh = |z: f64| 2.0 * sigmoid(2.0 * z) - 1.0;
    let (bottom, top) = (tanh(low) - 4.0 * SIGMOID_ERROR, tanh(high) + 4.0 * SIGMOID_ERROR);
    let slope = if high - low > 1e-6 {
        ((tanh(high) - tanh(low)) / (high - low)).clamp(0.0, 1.0)
    } else {
        1.0 - tanh(low) * tanh(low)
    };
    let (below, above) = linearisation_error(0.25 * slope, 2.0 * low, 2.0 * high);
    let (below, above) = ((2.0 * below - 1.0).next_down(), (2.0 * above - 1.0).next_up());
    let most = bottom.abs().max(top.abs());
    Activated {
        low: (bottom - ulp(bottom.abs())).next_down().max(-1.0),
        high: (top + ulp(top.abs())).next_up().min(1.0),
        slope,
        offset: 0.5 * (below + above),
        spread: (0.5 * (above - below)).next_up(),
        ulp: ulp(most),
    }
}

/// `max(z, 0)` is exact in f32, but that a subnormal one is 0. It is convex: `max(z, 0) − λ·z`
/// is largest at an end, and least at 0 or, where that is outside, at an end.
fn relu_unit(low: f64, high: f64) -> Activated {
    let (low, high) = (low.min(high), low.max(high));
    let relu = |z: f64| z.max(0.0);
    let slope = if high - low > 1e-6 {
        ((relu(high) - relu(low)) / (high - low)).clamp(0.0, 1.0)
    } else {
        f64::from(u8::from(low > 0.0))
    };
    let (a, b) = (relu(low) - slope * low, relu(high) - slope * high);
    let least = if low < 0.0 && high > 0.0 { 0.0 } else { a.min(b) };
    // For the roundings of these products.
    let slack = 1e-14 * (1.0 + low.abs().max(high.abs()));
    let (below, above) = (least - slack, a.max(b) + slack);
    Activated {
        low: (relu(low) - ulp(0.0)).next_down().max(0.0),
        high: relu(high),
        slope,
        offset: 0.5 * (below + above),
        spread: (0.5 * (above - below)).next_up(),
        ulp: ulp(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(cell: Cell, z: f64) -> f64 {
        match cell {
            Cell::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Cell::Tanh => z.tanh(),
            Cell::Relu => z.max(0.0),
            Cell::Gru | Cell::Lstm => unreachable!("several sums"),
        }
    }

    proptest! {
        #[test]
        fn a_unit_is_between_its_bounds_and_near_its_line(
            which in 0..3_usize, a in -30.0..30.0_f64,
            width in prop_oneof![0.0..20.0_f64, 0.0..1e-5_f64], at in 0.0..=1.0_f64,
        ) {
            let (cell, low, high) = (Cell::ALL[which], a, a + width);
            let found = cell.activate(low, high);
            let z = low + at * (high - low);
            let value = exact(cell, z);
            prop_assert!(found.low <= value && value <= found.high, "{value}");
            let off = (value - found.slope * z - found.offset).abs();
            prop_assert!(off <= found.spread, "{off} {}", found.spread);
            prop_assert!(cell.domain(1)[0].0 <= found.low);
        }
    }
}
