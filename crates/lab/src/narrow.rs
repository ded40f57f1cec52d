//! Additions of [`BITS`] digits whose operands use only the lowest few: the others are 0.

use crate::recipe::BITS;
use model::{Head, Parameters};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use train::batch::Batch;
use train::metrics::Totals;
use train::task::{Addition, Pair, Source, Sums, Task};

/// Operands below 2^`digits`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Narrow {
    /// Below [`BITS`].
    pub digits: u32,
}

impl Narrow {
    fn addition() -> Addition {
        Addition::new(BITS).expect("1 to 64 bits")
    }
}

/// Two operands below 2^`digits`.
pub(crate) fn sample(digits: u32, generator: &mut impl rand::Rng) -> Pair {
    let mut operand = || generator.random_range(0..1_u64 << digits);
    Pair { a: operand(), b: operand() }
}

impl Task for Narrow {
    const NAME: &'static str = "addition-narrow";

    type Score = Sums;

    fn io(&self) -> (usize, Head) {
        Self::addition().io()
    }

    fn steps(&self) -> usize {
        Self::addition().steps()
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let pairs: Vec<Pair> = (0..count).map(|_| sample(self.digits, generator)).collect();
        Self::addition().encode(&pairs, batch);
    }

    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        Self::addition().loss(batch, y, dy)
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Sums {
        Self::addition().evaluate(parameters, seed)
    }

    fn aim(&self) -> String {
        format!("add {} bits, of which {} are used", BITS, self.digits)
    }
}
