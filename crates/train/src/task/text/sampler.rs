//! A text that a network makes, a symbol at a time.

use crate::Error;
use model::{Parameters, Stream};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cmp::Ordering;

/// A network that reads and writes. A symbol takes one step of [`Stream`], and no allocation.
///
/// The next symbol k is drawn with the probability `e^{a_k/τ} / Σ_j e^{a_j/τ}` of the logits a and
/// the temperature τ, the sum being over the likeliest symbols alone if so asked.
#[derive(Clone, Debug)]
pub struct Sampler {
    stream: Stream,
    /// `[O]`
    logits: Vec<f32>,
    /// `[O]`: symbols, the likeliest first as far as is needed.
    order: Vec<u32>,
    /// `[O]`: how likely the symbols in `order` are, as multiples of the likeliest.
    weights: Vec<f64>,
    temperature: f64,
    likeliest: usize,
    generator: Xoshiro256PlusPlus,
}

impl Sampler {
    /// A reader of nothing yet. At a `temperature` of 0 the likeliest symbol is taken each time;
    /// at 1 symbols come as often as the network believes. Of all but the `likeliest` none is
    /// taken.
    ///
    /// # Errors
    /// If the network cannot run step by step: see [`Stream::new`].
    ///
    /// # Panics
    /// If the temperature is negative or not finite, or `likeliest` is 0.
    pub fn new(
        parameters: Parameters,
        temperature: f64,
        likeliest: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        assert!(temperature >= 0.0 && temperature.is_finite(), "a temperature of {temperature}");
        assert!(likeliest > 0, "one of no symbols cannot be taken");
        let outputs = parameters.config().outputs();
        Ok(Self {
            stream: Stream::new(parameters)?,
            logits: vec![0.0; outputs],
            order: (0..outputs as u32).collect(),
            weights: vec![0.0; outputs],
            temperature,
            likeliest: likeliest.min(outputs),
            generator: Xoshiro256PlusPlus::seed_from_u64(seed),
        })
    }

    /// Reads `symbol`.
    ///
    /// # Errors
    /// If the network has no such symbol.
    pub fn read(&mut self, symbol: u32) -> Result<(), Error> {
        Ok(self.stream.step_symbol(symbol, &mut self.logits)?)
    }

    /// The symbol that follows what was read, and the reading of it.
    pub fn write(&mut self) -> u32 {
        let symbol = self.draw();
        let read = self.stream.step_symbol(symbol, &mut self.logits);
        read.expect("as many symbols as outputs");
        symbol
    }

    /// A symbol by the logits.
    fn draw(&mut self) -> u32 {
        let Self { logits, order, weights, temperature, likeliest, generator, .. } = self;
        let logit = |symbol: u32| logits[symbol as usize];
        // Of equal logits the lower symbol, so that the order before does not matter.
        let by_logit =
            |a: &u32, b: &u32| -> Ordering { logit(*b).total_cmp(&logit(*a)).then(a.cmp(b)) };
        let greedy = *order.iter().min_by(|a, b| by_logit(a, b)).expect("there are outputs");
        if *temperature == 0.0 || *likeliest == 1 {
            return greedy;
        }
        if *likeliest < order.len() {
            order.select_nth_unstable_by(*likeliest - 1, by_logit);
            order[..*likeliest].sort_unstable();
        }
        let top = logit(greedy);
        let kept = &order[..*likeliest];
        let mut sum = 0.0;
        for (weight, &symbol) in weights.iter_mut().zip(kept) {
            *weight = (f64::from(logit(symbol) - top) / *temperature).exp();
            sum += *weight;
        }
        // 53 bits in [0, 1)
        let mut left = (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        for (weight, symbol) in weights.iter().zip(kept) {
            left -= weight;
            if left < 0.0 {
                return *symbol;
            }
        }
        greedy // what rounding left over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Architecture, Cell, Config, Head};

    fn network() -> Parameters {
        let gru = Architecture::new(Cell::Gru, 5, 7);
        let config = Config::new(Architecture { head: Some(Head::linear(5)), ..gru }).unwrap();
        Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(3))
    }

    /// With these logits.
    fn sampler(logits: [f32; 5], temperature: f64, likeliest: usize) -> Sampler {
        let mut sampler = Sampler::new(network(), temperature, likeliest, 1).unwrap();
        sampler.logits = logits.to_vec();
        sampler
    }

    #[test]
    fn symbols_come_as_often_as_their_logits_say() {
        const DRAWS: u32 = 40_000;
        let logits = [0.0, 1.0, -1.0, 0.5, 0.2];
        for (temperature, likeliest) in [(1.0, 5), (0.5, 5), (2.0, 3), (1.0, 2)] {
            let mut sampler = sampler(logits, temperature, likeliest);
            let mut counts = [0_u32; 5];
            (0..DRAWS).for_each(|_| counts[sampler.draw() as usize] += 1);
            let kept: &[usize] = match likeliest {
                2 => &[1, 3],
                3 => &[1, 3, 4],
                _ => &[0, 1, 2, 3, 4],
            };
            let weight = |k: usize| (f64::from(logits[k]) / temperature).exp();
            let sum: f64 = kept.iter().map(|&k| weight(k)).sum();
            for (k, &count) in counts.iter().enumerate() {
                let p = if kept.contains(&k) { weight(k) / sum } else { 0.0 };
                let (n, deviation) = (f64::from(DRAWS), (p * (1.0 - p)).sqrt());
                let off = (f64::from(count) - n * p).abs();
                assert!(off <= 5.0 * deviation * n.sqrt(), "{k} at {temperature}: {count}");
            }
        }
    }

    #[test]
    fn without_temperature_the_likeliest_is_taken() {
        assert_eq!(sampler([0.0, 1.0, 3.0, 3.0, -1.0], 0.0, 5).draw(), 2);
        assert_eq!(sampler([0.0, 1.0, 3.0, 3.0, -1.0], 1.0, 1).draw(), 2);
    }

    #[test]
    fn extreme_logits_are_no_trouble() {
        for logits in [[f32::MAX, 0.0, 0.0, 0.0, 0.0], [0.0, -1e30, -1e30, -1e30, -1e30]] {
            assert_eq!(sampler(logits, 1e-300, 5).draw(), 0);
            assert_eq!(sampler(logits, 1.0, 5).draw(), 0);
        }
    }

    #[test]
    fn the_same_seed_writes_the_same_and_allocates_nothing() {
        let text = |seed| {
            let mut sampler = Sampler::new(network(), 1.0, 5, seed).unwrap();
            sampler.read(2).unwrap();
            let mut text = [0; 50];
            let allocated = allocation_counter::measure(|| text.fill_with(|| sampler.write()));
            assert_eq!(allocated.count_total, 0);
            text
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
        assert!(Sampler::new(network(), 1.0, 5, 0).unwrap().read(5).is_err());
    }
}
