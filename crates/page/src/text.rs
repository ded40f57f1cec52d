//! What a network makes of a stretch of text: its units, what they are alike with, and what it
//! expects to come.
//!
//! The text is the validation part of what the network learned from, if that is still there; else
//! what the network writes. Pearson's correlation of a unit's value a with a feature f, both after
//! each symbol: `cov(a, f) / (σ(a)·σ(f))` (units that follow quotes and line ends: Karpathy, Johnson
//! and Fei-Fei, *Visualizing and Understanding Recurrent Networks*, 2016).

use crate::data::{Alike, Feature, TextData};
use crate::error::Error;
use model::{Cell, Parameters, State, Stream};
use std::cmp::Ordering;
use train::task::Task;
use train::task::text::{Sampler, Text, Unit, Vocabulary};

/// Symbols on which correlations are measured at most.
const MEASURED: usize = 10_000;

/// Symbols that are shown at most, and values of units.
const SHOWN: usize = 2_000;
const VALUES: usize = 1_000_000;

/// Units that are measured: those of the top layers, where there are more.
const MOST_UNITS: usize = 2_048;

/// Symbols that are said to be likely.
const LIKELIEST: usize = 5;

/// Units that are named of a feature.
const ALIKE: usize = 5;

/// Reads some text with the network; also says what a person should know.
///
/// # Errors
/// If the network cannot run step by step.
pub fn of_text(task: &mut Text, parameters: &Parameters) -> Result<(TextData, Vec<String>), Error> {
    let mut notes = Vec::new();
    let (symbols, source, is_sampled) = match task.prepare() {
        Ok(()) => {
            let valid = &task.corpus().valid;
            let symbols: Vec<u32> = valid.part(0..valid.len().min(MEASURED)).collect();
            let files: Vec<_> = task
                .files()
                .iter()
                .map(|file| {
                    let name = file.path.file_name().unwrap_or_default();
                    name.to_string_lossy().into_owned()
                })
                .collect();
            let source =
                format!("from the part of {} that it was not trained on", files.join(", "));
            (symbols, source, false)
        }
        Err(error) => {
            notes.push(format!(
                "the text that it learned from cannot be shown, and the page shows one that the \
                 network writes: {}",
                with_cause(&error)
            ));
            let first = task.first_symbol();
            let mut sampler = Sampler::new(parameters.clone(), 0.8, usize::MAX, 0)?;
            sampler.read(first)?;
            let symbols = (0..MEASURED).map(|_| sampler.write()).collect();
            (symbols, "that the network wrote by itself".to_owned(), true)
        }
    };
    let data = read(task.vocabulary(), parameters, &symbols, source, is_sampled)?;
    Ok((data, notes))
}

/// An error and what caused it.
fn with_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn read(
    vocabulary: &Vocabulary,
    parameters: &Parameters,
    symbols: &[u32],
    source: String,
    is_sampled: bool,
) -> Result<TextData, Error> {
    let config = parameters.config();
    let is_lstm = config.cell() == Cell::Lstm;
    let all_units = config.layers() * config.hidden();
    let (units, skipped) = (all_units.min(MOST_UNITS), all_units.saturating_sub(MOST_UNITS));
    let shown = symbols.len().min(SHOWN).min(VALUES / units);
    let mut stream = Stream::new(parameters.clone())?;
    let mut state = State::zeros(config, 1);
    let mut logits = vec![0.0; config.outputs()];
    let mut reader = Reader::new(vocabulary, symbols);
    let mut sums = Sums::new(units);
    let mut values = Vec::with_capacity(shown * units);
    let mut names = Names::new(vocabulary);
    let (mut text, mut likeliest, mut chances) = (Vec::new(), Vec::new(), Vec::new());
    for (t, &symbol) in symbols.iter().enumerate() {
        stream.step_symbol(symbol, &mut logits)?;
        stream.snapshot_into(&mut state)?;
        let of_units: Vec<f32> = if is_lstm {
            state.c()[skipped..].iter().map(|c| c.tanh()).collect()
        } else {
            state.h()[skipped..].to_vec()
        };
        sums.add(&of_units, &reader.read(t));
        if t < shown {
            values.extend_from_slice(&of_units);
            text.push(names.of(t.checked_sub(1).map(|before| symbols[before]), symbol));
            let (next, how) = top(&logits);
            likeliest.push(next.into_iter().map(|next| names.of(Some(symbol), next)).collect());
            chances.push(how);
        }
    }
    let activations = values
        .chunks(units)
        .flat_map(|row| row.iter().zip(&sums.ranges))
        .map(|(&value, &[low, high])| {
            let share = (value - low) / (high - low).max(f32::MIN_POSITIVE);
            (share * 255.0).round() as u8
        })
        .collect();
    Ok(TextData {
        unit: vocabulary.unit().name(),
        source,
        is_sampled,
        values: if is_lstm { "tanh(c)" } else { "h" },
        units,
        symbols: names.texts,
        text,
        activations,
        ranges: sums.ranges.clone(),
        likeliest,
        chances,
        features: sums.features(),
        measured: symbols.len(),
    })
}

/// The likeliest symbols by their logits, and how likely they are, in 1/10,000.
fn top(logits: &[f32]) -> (Vec<u32>, Vec<u16>) {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let logit = |n: &u32| logits[*n as usize];
    let by_logit = |a: &u32, b: &u32| -> Ordering { logit(b).total_cmp(&logit(a)).then(a.cmp(b)) };
    let count = LIKELIEST.min(order.len());
    if count < order.len() {
        order.select_nth_unstable_by(count, by_logit);
    }
    order.truncate(count);
    order.sort_unstable_by(by_logit);
    let top = logit(&order[0]);
    let weight = |value: f32| f64::from(value - top).exp();
    let sum: f64 = logits.iter().map(|&value| weight(value)).sum();
    let chance = |n: &u32| (weight(logit(n)) / sum * 10_000.0).round() as u16;
    let chances = order.iter().map(chance).collect();
    (order, chances)
}

/// The texts of symbols, each once.
struct Names<'a> {
    vocabulary: &'a Vocabulary,
    texts: Vec<String>,
    places: std::collections::HashMap<String, u32>,
}

impl<'a> Names<'a> {
    fn new(vocabulary: &'a Vocabulary) -> Self {
        Self { vocabulary, texts: Vec::new(), places: Default::default() }
    }

    /// The place of the text of `symbol` behind the symbol `before`.
    fn of(&mut self, before: Option<u32>, symbol: u32) -> u32 {
        let mut bytes = Vec::new();
        self.vocabulary.decode_to(before, symbol, &mut bytes);
        // A byte that is no character by itself.
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string());
        let next = self.texts.len() as u32;
        *self.places.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        })
    }
}

/// What a reader may keep in mind; see [`Reader::read`].
const FEATURES: [&str; 12] = [
    "inside quotation marks",
    "inside brackets",
    "symbols since the line began",
    "the first symbol of a line",
    "the line ends here",
    "the line ends with the next symbol",
    "capital letters",
    "small letters",
    "digits",
    "punctuation marks",
    "spaces",
    "letters since the word began",
];

/// Lines and words that are longer count as this long.
const LONGEST: f32 = 200.0;

/// The features of a text, symbol by symbol.
struct Reader {
    /// The first character of each symbol.
    chars: Vec<char>,
    is_quoted: bool,
    depth: u32,
    column: f32,
    in_word: f32,
}

impl Reader {
    fn new(vocabulary: &Vocabulary, symbols: &[u32]) -> Self {
        let char_of = |symbol: u32| {
            let mut bytes = Vec::new();
            vocabulary.decode_to(None, symbol, &mut bytes);
            match vocabulary.unit() {
                Unit::Byte => char::from(bytes[0]),
                _ => String::from_utf8_lossy(&bytes).chars().next().unwrap_or(' '),
            }
        };
        let chars = symbols.iter().map(|&symbol| char_of(symbol)).collect();
        Self { chars, is_quoted: false, depth: 0, column: 0.0, in_word: 0.0 }
    }

    /// Of symbol `t`, which follows the one that was read before.
    fn read(&mut self, t: usize) -> [f32; FEATURES.len()] {
        let char = self.chars[t];
        let before = t.checked_sub(1).map_or('\n', |before| self.chars[before]);
        let next = self.chars.get(t + 1).copied();
        match char {
            '"' => self.is_quoted = !self.is_quoted,
            '“' | '«' | '„' => self.is_quoted = true,
            '”' | '»' => self.is_quoted = false,
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            // No quotation and no bracket goes on behind an empty line.
            '\n' if before == '\n' => (self.is_quoted, self.depth) = (false, 0),
            _ => {}
        }
        self.column = if char == '\n' { 0.0 } else { (self.column + 1.0).min(LONGEST) };
        self.in_word = if char.is_alphabetic() { (self.in_word + 1.0).min(LONGEST) } else { 0.0 };
        let is = |so: bool| f32::from(u8::from(so));
        [
            is(self.is_quoted),
            is(self.depth > 0),
            self.column,
            is(before == '\n'),
            is(char == '\n'),
            is(next == Some('\n')),
            is(char.is_uppercase()),
            is(char.is_lowercase()),
            is(char.is_numeric()),
            is(char.is_ascii_punctuation()),
            is(char == ' '),
            self.in_word,
        ]
    }
}

/// Sums from which ranges and correlations follow.
struct Sums {
    count: f64,
    /// `[U]`
    ranges: Vec<[f32; 2]>,
    /// `[U]`: Σa, Σa²
    units: Vec<[f64; 2]>,
    /// Σf, Σf²
    of_features: [[f64; 2]; FEATURES.len()],
    /// `[U]`: Σ a·f
    both: Vec<[f64; FEATURES.len()]>,
}

impl Sums {
    fn new(units: usize) -> Self {
        Self {
            count: 0.0,
            ranges: vec![[f32::INFINITY, f32::NEG_INFINITY]; units],
            units: vec![[0.0; 2]; units],
            of_features: Default::default(),
            both: vec![[0.0; FEATURES.len()]; units],
        }
    }

    fn add(&mut self, units: &[f32], features: &[f32; FEATURES.len()]) {
        self.count += 1.0;
        let features = features.map(f64::from);
        for (sums, f) in self.of_features.iter_mut().zip(features) {
            *sums = [sums[0] + f, sums[1] + f * f];
        }
        for (n, &value) in units.iter().enumerate() {
            let [low, high] = &mut self.ranges[n];
            (*low, *high) = (low.min(value), high.max(value));
            let a = f64::from(value);
            let sums = &mut self.units[n];
            *sums = [sums[0] + a, sums[1] + a * a];
            for (both, f) in self.both[n].iter_mut().zip(features) {
                *both += a * f;
            }
        }
    }

    fn features(&self) -> Vec<Feature> {
        let n = self.count;
        let variance = |[sum, squares]: [f64; 2]| (squares - sum * sum / n).max(0.0);
        let feature = |(place, name): (usize, &'static str)| {
            let sums = self.of_features[place];
            let correlation = |unit: usize| {
                let covariance = self.both[unit][place] - self.units[unit][0] * sums[0] / n;
                let scale = (variance(sums) * variance(self.units[unit])).sqrt();
                // Rounding may leave a trace of a variance where there is none.
                let is_there = scale > 1e-9 * n;
                (if is_there { (covariance / scale).clamp(-1.0, 1.0) } else { 0.0 }) as f32
            };
            let mut units: Vec<Alike> = if variance(sums) > 0.0 {
                let all = 0..self.units.len();
                all.map(|unit| Alike { unit, correlation: correlation(unit) }).collect()
            } else {
                Vec::new()
            };
            units.sort_by(|a, b| b.correlation.abs().total_cmp(&a.correlation.abs()));
            units.truncate(ALIKE);
            Feature { name, mean: (sums[0] / n) as f32, units }
        };
        FEATURES.into_iter().enumerate().map(feature).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_what_a_reader_keeps_in_mind() {
        let text = "Say \"no (1)\"!\n\nA";
        let vocabulary = Vocabulary::of(Unit::Char, text.as_bytes(), 0).unwrap();
        let symbols = vocabulary.encode(text.as_bytes()).unwrap().symbols;
        let mut reader = Reader::new(&vocabulary, &symbols);
        let rows: Vec<_> = (0..symbols.len()).map(|t| reader.read(t)).collect();
        let marked = |name: &str| -> String {
            let place = FEATURES.iter().position(|&known| known == name).unwrap();
            let mark = |row: &[f32; FEATURES.len()]| char::from(b'0' + row[place] as u8 % 10);
            rows.iter().map(mark).collect()
        };
        assert_eq!(marked("inside quotation marks"), "0000111111100000");
        assert_eq!(marked("inside brackets"), "0000000011000000");
        assert_eq!(marked("symbols since the line began"), "1234567890123001");
        assert_eq!(marked("the first symbol of a line"), "1000000000000011");
        assert_eq!(marked("the line ends with the next symbol"), "0000000000001100");
        assert_eq!(marked("capital letters"), "1000000000000001");
        assert_eq!(marked("digits"), "0000000001000000");
        assert_eq!(marked("letters since the word began"), "1230012000000001");
    }

    #[test]
    fn a_correlation_is_pearsons() {
        let mut sums = Sums::new(3);
        for t in 0..40_u32 {
            let mut features = [0.0; FEATURES.len()];
            features[0] = f32::from(t % 4 == 0);
            features[2] = (t % 7) as f32;
            sums.add(&[0.5 - 0.25 * features[0], features[2] * 0.1, 0.7], &features);
        }
        let features = sums.features();
        let best = &features[0].units[0];
        assert_eq!(best.unit, 0);
        assert!((best.correlation + 1.0).abs() < 1e-6, "{best:?}");
        let best = &features[2].units[0];
        assert!(best.unit == 1 && (best.correlation - 1.0).abs() < 1e-6, "{best:?}");
        assert!((features[0].mean - 0.25).abs() < 1e-6);
        // A unit that stands still is like nothing; a feature that does has no units.
        let of_still = features[0].units.iter().find(|alike| alike.unit == 2).unwrap();
        assert_eq!(of_still.correlation, 0.0);
        assert!(features[1].units.is_empty());
    }

    #[test]
    fn the_likeliest_come_first_with_their_chances() {
        let (order, chances) = top(&[0.0, 3.0, -1.0, 3.0, 1.0, 2.0]);
        assert_eq!(order, [1, 3, 5, 4, 0]);
        assert_eq!(chances[0], chances[1]);
        let all: f64 = [0.0_f64, 3.0, -1.0, 3.0, 1.0, 2.0].iter().map(|a| a.exp()).sum();
        assert_eq!(f64::from(chances[2]), (2.0_f64.exp() / all * 1e4).round());
        assert_eq!(top(&[2.0, 1.0]).0, [0, 1]);
    }
}
