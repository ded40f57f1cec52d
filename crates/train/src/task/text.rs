//! A text of your own: the next symbol, from all that came before.
//!
//! ```text
//! training   B streams, each somewhere in the text, that go on chunk after chunk
//!            an example = T symbols of a stream, and for each the one that follows
//! loss       −(1/T) Σ_t ln P(the one that follows): nats a symbol
//! ```
//!
//! The states are carried from chunk to chunk, and no gradient is: truncated backpropagation through
//! time (Williams and Peng, *An Efficient Gradient-Based Algorithm for On-Line Training of
//! Recurrent Network Trajectories*, 1990). A stream that comes to where the next one began goes on,
//! and behind the end of the text it goes on at its beginning. Now and then one starts from zero,
//! at any place: else a network would never see the state that every use of it begins with.

mod corpus;
mod ngram;
pub(super) mod pieces;
mod sampler;
mod vocabulary;

pub use corpus::{Corpus, Symbols};
pub use ngram::{NGrams, ORDER};
pub use sampler::Sampler;
pub use vocabulary::{Encoded, Seen, UNKNOWN, Unit, Vocabulary};

use super::{Score, Source, Task};
use crate::Error;
use crate::batch::{Batch, Targets};
use crate::config::{Extent, NetworkConfig, RanksConfig, RunConfig, Strategy, StrategyConfig};
use crate::data_file::{DataFile, length};
use crate::metrics::Totals;
use crate::optimizer::{Clip, Moments, OptimizerConfig, Rule, Schedule};
use crate::text::thousands;
use corpus::GrowingSymbols;
use model::loss::{Terms, softmax_cross_entropy};
use model::{Cell, Head, HeadActivation, HeadSteps, Network, Parameters, Sequences, State};
use pieces::{Cut, Pieces, Room, Utf8};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::f64::consts::LN_2;
use std::fmt::{Display, Formatter};
use std::path::PathBuf;
use std::sync::Arc;

/// A stream starts from zero at one chunk in so many, in the mean.
const RESTART: u64 = 32;

/// A text is validated in so many streams side by side, in blocks that cores share …
const VALID_STREAMS: usize = 32;
const VALID_BLOCK: usize = 16;
/// … of so many symbols each, at most.
const VALID_STEPS: usize = 1 << 13;
/// Steps of a pass of validation, and the outputs that it makes at most.
const PASS_STEPS: usize = 128;
const PASS_OUTPUTS: usize = 4 << 20;

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What a symbol is.
    pub unit: Unit,
    /// The most words that are known.
    pub vocabulary: usize,
    /// T, the symbols of an example.
    pub chunk: usize,
    /// The share of the text, its last part, that is not trained on.
    pub valid: f64,
}

impl Default for Reading {
    /// Characters, in chunks of 64, the last tenth for validation.
    fn default() -> Self {
        Self { unit: Unit::Char, vocabulary: 10_000, chunk: 64, valid: 0.1 }
    }
}

/// The next symbol of a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    files: Vec<DataFile>,
    chunk: usize,
    valid: f64,
    /// Of an n-gram model on the validation part: see [`NGrams`].
    baseline_nats: f64,
    vocabulary: Vocabulary,
    /// None of a task that was read from a file and not prepared.
    #[serde(skip)]
    corpus: Option<Arc<Corpus>>,
}

impl PartialEq for Text {
    /// The text itself is known by its digest.
    fn eq(&self, other: &Self) -> bool {
        let fields = |text: &Self| (text.chunk, text.valid, text.baseline_nats);
        (&self.files, &self.vocabulary) == (&other.files, &other.vocabulary)
            && fields(self) == fields(other)
    }
}

impl Text {
    /// Reads the text in `paths`, one behind the other. Symbols that are too many for memory are
    /// kept in a temporary file: see [`crate::store`].
    ///
    /// # Errors
    /// If a file cannot be read, is empty, or is not of `reading.unit`; if the text is too short
    /// for a chunk in each part, or has one symbol alone; if `reading.valid` is not above 0 and
    /// below 1, or a size is 0.
    pub fn open(paths: &[PathBuf], reading: Reading) -> Result<Self, Error> {
        Self::open_with(paths, reading, None)
    }

    /// [`Text::open`] with the symbols that another network `knows`; `reading.vocabulary` is not
    /// looked at. Characters that it does not know are left out: see [`Corpus::unknown`].
    ///
    /// # Errors
    /// As [`Text::open`], or if `knows` is of another unit than `reading`.
    pub fn open_with(
        paths: &[PathBuf],
        reading: Reading,
        knows: Option<Vocabulary>,
    ) -> Result<Self, Error> {
        Self::read(paths, reading, knows, Room::USUAL)
    }

    fn read(
        paths: &[PathBuf],
        reading: Reading,
        knows: Option<Vocabulary>,
        room: Room,
    ) -> Result<Self, Error> {
        let Reading { unit, vocabulary, chunk, valid } = reading;
        if let Some(known) = knows.as_ref().map(Vocabulary::unit).filter(|&known| known != unit) {
            let (known, unit) = (known.name(), unit.name());
            return Err(Error::Task(format!(
                "the network knows {known}s, and the text would be read as {unit}s; give --unit {known}"
            )));
        }
        if !(valid > 0.0 && valid < 1.0) {
            return Err(Error::Task(format!(
                "a validation part of {valid} of the text makes no sense; give a share above 0 and \
                 below 1, such as 0.1"
            )));
        }
        if chunk == 0 || vocabulary == 0 || paths.is_empty() {
            return Err(Error::Task("a text needs a file, a chunk and a vocabulary".to_owned()));
        }
        let mut cut = Cut::new(unit, total(paths)?, valid);
        let mut seen = Seen::new(if knows.is_some() { Unit::Byte } else { unit });
        // The first byte, and whether another one came.
        let (mut first, mut is_one) = (None, true);
        let mut see = |start: u64, piece: &[u8]| {
            let first = *first.get_or_insert(piece.first().copied().unwrap_or(0));
            is_one &= piece.iter().all(|&byte| byte == first);
            seen.see(if unit == Unit::Word { cut.parts(start, piece).0 } else { piece })
        };
        let (mut files, mut pieces) = (Vec::new(), Pieces::new(unit));
        for path in paths {
            let mut utf8 = Utf8::default();
            let no_text =
                |error| Error::Data { path: path.clone(), reason: format!("is no text: {error}") };
            files.push(DataFile::each(path, room.piece, |bytes| {
                if unit != Unit::Byte {
                    utf8.see(bytes).map_err(no_text)?;
                }
                pieces.push(bytes, &mut see)
            })?);
            utf8.end().map_err(no_text)?;
        }
        pieces.end(&mut see)?;
        let vocabulary = knows.unwrap_or_else(|| seen.vocabulary(vocabulary));
        let corpus = corpus(&files, &vocabulary, valid, room)?;
        let place = || paths[0].display();
        let is_one = match unit {
            Unit::Char => vocabulary.len() < 2,
            Unit::Byte => is_one,
            Unit::Word => vocabulary.len() <= 2 && corpus.unknown == 0,
        };
        if is_one && !corpus.train.is_empty() {
            return Err(Error::Task(format!(
                "{} holds one {} alone, {:?}, and there is nothing to tell apart; give a text with \
                 several",
                place(),
                unit.name(),
                vocabulary.decode(&[corpus.train.at(0)])
            )));
        }
        let (train, held) = (corpus.train.len(), corpus.valid.len());
        if train <= chunk || held < 2 {
            return Err(Error::Task(format!(
                "{} has {} {}s to train on and {} to validate, too few for chunks of {chunk}; give a \
                 longer text or a smaller --chunk",
                place(),
                thousands(train as u64),
                unit.name(),
                thousands(held as u64)
            )));
        }
        let corpus = Some(Arc::new(corpus));
        let mut text = Self { files, chunk, valid, baseline_nats: 0.0, vocabulary, corpus };
        text.baseline_nats = text.baseline();
        Ok(text)
    }

    /// The loss of an n-gram model of the training part on what is validated.
    fn baseline(&self) -> f64 {
        let Corpus { train, valid, .. } = self.corpus();
        let (model, _) = NGrams::of(self.vocabulary.len(), train.part(0..train.len()));
        let streams = self.valid_streams();
        let loss = |start: usize| {
            // The first symbol of a stream is given, and not asked for.
            let all = model.loss(valid.part(start..start + streams.steps + 1));
            all - model.loss(valid.part(start..start + 1))
        };
        let losses: Vec<f64> = (0..streams.count).map(|n| loss(n * streams.apart)).collect();
        losses.iter().sum::<f64>() / (streams.count * streams.steps) as f64
    }

    /// A training of this text that is likely to go well.
    ///
    /// An LSTM of 256 units, Adam with a cosine schedule, gradients clipped by their norm; about
    /// 16 million symbols, but at least once and at most fifty times through the text.
    pub fn training(self) -> RunConfig<Self> {
        let epoch = self.examples_of_an_epoch();
        let examples = (SYMBOLS / self.chunk as u64).clamp(epoch, 50 * epoch);
        let updates = examples.div_ceil(BATCH as u64);
        let warmup = WARM_UP.min(updates / 10);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let name = if threads == 1 { Strategy::Serial } else { Strategy::Synchronous };
        RunConfig {
            task: self,
            network: NetworkConfig::new(Cell::Lstm, 256),
            optimizer: OptimizerConfig {
                learning_rate: LEARNING_RATE,
                rule: Rule::Adam(Moments { beta2: BETA_2, ..ADAM }),
                clip: Clip::Norm(CLIP),
                schedule: Schedule::Cosine { warmup, steps: updates, floor: FLOOR },
            },
            strategy: StrategyConfig { name, threads, push_every: 1 },
            run: Extent::new(examples, BATCH, 0),
            ranks: RanksConfig::ALONE,
        }
    }

    /// Examples that show each symbol of the training part about once.
    pub fn examples_of_an_epoch(&self) -> u64 {
        (self.corpus().train.len() as u64).div_ceil(self.chunk as u64)
    }

    /// The symbols.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The files that it is in.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The loss of an n-gram model on the validation part, in nats a symbol.
    pub fn baseline_nats(&self) -> f64 {
        self.baseline_nats
    }

    /// The text.
    ///
    /// # Panics
    /// If this was read from a file and not prepared.
    pub fn corpus(&self) -> &Corpus {
        self.corpus.as_ref().expect("a task that was read from a file is prepared before its use")
    }

    /// Some symbols that the network writes, at a temperature of 0.8, from the end of a line on.
    ///
    /// # Errors
    /// If the network cannot run step by step: see [`model::Stream::new`].
    pub fn sample(
        &self,
        parameters: Parameters,
        length: usize,
        seed: u64,
    ) -> Result<String, Error> {
        let mut sampler = Sampler::new(parameters, 0.8, usize::MAX, seed)?;
        sampler.read(self.first_symbol())?;
        let symbols: Vec<u32> = (0..length).map(|_| sampler.write()).collect();
        Ok(self.vocabulary.decode(&symbols))
    }

    /// What a text begins behind: the end of a line, if there is one.
    pub fn first_symbol(&self) -> u32 {
        let end = self.vocabulary.encode(b"\n").unwrap_or_default();
        end.symbols.first().copied().unwrap_or(0)
    }

    /// The mean loss of a network on `symbols`, in nats, from zero states on: of each but the
    /// first, from all before it.
    ///
    /// # Panics
    /// If there are fewer than two symbols, one is not in the vocabulary, or the network is of
    /// another.
    pub fn loss_on(&self, parameters: &Parameters, symbols: &Symbols) -> f64 {
        let steps = symbols.len() - 1;
        let streams = Streams { count: 1, steps, apart: 0 };
        streams.loss(parameters, symbols, 0..1) / steps as f64
    }

    /// What [`Task::validate`] looks at: so many streams, of so many symbols each, and so many
    /// symbols from the beginning of one to that of the next.
    pub fn validated(&self) -> (usize, usize, usize) {
        let Streams { count, steps, apart } = self.valid_streams();
        (count, steps, apart)
    }

    fn valid_streams(&self) -> Streams {
        let asked = self.corpus().valid.len() - 1;
        let count = VALID_STREAMS.min(asked.div_ceil(PASS_STEPS)).max(1);
        let apart = asked / count;
        Streams { count, steps: apart.min(VALID_STEPS), apart }
    }
}

/// About so many symbols are trained on.
const SYMBOLS: u64 = 16_000_000;
const BATCH: usize = 32;
const LEARNING_RATE: f32 = 4e-3;
const ADAM: Moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
const BETA_2: f64 = 0.99;
const CLIP: f32 = 1.0;
const WARM_UP: u64 = 100;
const FLOOR: f64 = 0.01;

/// Parts of a text, `apart` symbols from each other, side by side.
struct Streams {
    count: usize,
    steps: usize,
    apart: usize,
}

impl Streams {
    /// The loss of the streams `range`, summed, in nats. The states are carried from pass to pass.
    fn loss(&self, parameters: &Parameters, text: &Symbols, range: std::ops::Range<usize>) -> f64 {
        let (config, count) = (parameters.config(), range.len());
        let mut network = Network::new(config);
        let mut state = State::zeros(config, count);
        let (mut symbols, mut classes, mut dy) = (Vec::new(), Vec::new(), Vec::new());
        let mut loss = 0.0;
        let pass = (PASS_OUTPUTS / (count * config.outputs())).clamp(1, PASS_STEPS);
        for first in (0..self.steps).step_by(pass) {
            let steps = pass.min(self.steps - first);
            symbols.resize(steps * count, 0);
            classes.resize(steps * count, 0);
            for (k, n) in range.clone().enumerate() {
                let place = n * self.apart + first;
                text.each(place..place + steps + 1, |t, symbol| {
                    if t < steps {
                        symbols[t * count + k] = symbol;
                    }
                    if t > 0 {
                        classes[(t - 1) * count + k] = symbol;
                    }
                });
            }
            let sequences = Sequences::of_symbols(config, &symbols, steps, count)
                .and_then(|sequences| sequences.starting_from(&state))
                .expect("symbols of the vocabulary");
            let y = network.infer(parameters, &sequences);
            dy.resize(y.len(), 0.0);
            let terms = Terms::all(steps, count, config.outputs());
            let sum = softmax_cross_entropy(&terms, y, &classes, &mut dy);
            loss += f64::from(sum.expect("symbols of the vocabulary"));
            state = network.state();
        }
        loss
    }
}

/// The bytes of all `paths` together.
fn total(paths: &[PathBuf]) -> Result<u64, Error> {
    paths.iter().map(|path| length(path)).sum()
}

/// The two parts of `files`, as they were when their text was made a task.
fn corpus(
    files: &[DataFile],
    vocabulary: &Vocabulary,
    valid: f64,
    room: Room,
) -> Result<Corpus, Error> {
    let unit = vocabulary.unit();
    let unknown_word = (unit == Unit::Word).then_some(0);
    let mut unknown = 0;
    let mut parts = [(); 2].map(|()| GrowingSymbols::new(vocabulary.len(), room.symbols));
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    let mut cut = Cut::new(unit, total(&paths)?, valid);
    let mut symbols = Vec::new();
    let mut see = |start: u64, piece: &[u8]| {
        let (train, valid) = cut.parts(start, piece);
        for (part, bytes) in parts.iter_mut().zip([train, valid]) {
            symbols.clear();
            vocabulary.each(bytes, |number, _| {
                unknown += u64::from(number.is_none());
                symbols.extend(number.or(unknown_word));
            })?;
            part.extend(&symbols)?;
        }
        Ok(())
    };
    let mut pieces = Pieces::new(unit);
    for file in files {
        file.each_again(room.piece, |bytes| pieces.push(bytes, &mut see))?;
    }
    pieces.end(&mut see)?;
    let [train, valid] = parts;
    Ok(Corpus { train: train.finish()?, valid: valid.finish()?, unknown })
}

impl Task for Text {
    const NAME: &'static str = "text";

    type Score = TextScore;

    fn io(&self) -> (usize, Head) {
        let (outputs, activation) = (self.vocabulary.len(), HeadActivation::Identity);
        (outputs, Head { outputs, bias: true, steps: HeadSteps::Every, activation })
    }

    fn steps(&self) -> usize {
        self.chunk
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let corpus = corpus(&self.files, &self.vocabulary, self.valid, Room::USUAL)?;
        self.corpus = Some(Arc::new(corpus));
        Ok(())
    }

    fn check(&self, workers: usize, batch: usize) -> Result<(), Error> {
        let (train, streams) = (self.corpus().train.len(), workers.saturating_mul(batch));
        if train / self.chunk >= streams {
            return Ok(());
        }
        Err(Error::Task(format!(
            "a text of {} {}s to train on is too short for {} streams with chunks of {} (--batch times \
             the workers of hogwild or averaging, and --chunk); give a longer text, or smaller ones",
            thousands(train as u64),
            self.vocabulary.unit().name(),
            thousands(streams as u64),
            self.chunk
        )))
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, progress } = source;
        let text = &self.corpus().train;
        let (steps, len) = (self.chunk, text.len());
        let streams = progress.batch as usize * progress.workers;
        let first = progress.worker * progress.batch as usize;
        let done = u128::from(progress.examples / progress.batch) * steps as u128;
        let (symbols, classes) = batch.symbols((steps, count));
        for n in 0..count {
            let begin = (first + n) as u128 * len as u128 / streams as u128;
            let place = ((begin + done) % len as u128) as usize;
            let mut set = |t: usize, symbol: u32| {
                if t < steps {
                    symbols[t * count + n] = symbol;
                }
                if t > 0 {
                    classes[(t - 1) * count + n] = symbol;
                }
            };
            let to_end = (steps + 1).min(len - place);
            text.each(place..place + to_end, &mut set);
            text.each(0..steps + 1 - to_end, |t, symbol| set(to_end + t, symbol));
        }
        batch.is_carried = true;
        batch.target_steps = HeadSteps::Every;
        batch.restarts.clear();
        batch.restarts.extend((0..count).filter(|_| generator.next_u64() % RESTART == 0));
    }

    /// The mean over the T symbols of an example; the error is the same in bits.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Classes(classes) = &batch.targets else {
            panic!("a batch of text holds classes");
        };
        let terms = Terms::all(batch.steps, batch.count, self.vocabulary.len());
        let sum = softmax_cross_entropy(&terms, y, classes, dy).expect("symbols of the vocabulary");
        let mean = 1.0 / batch.steps as f32;
        dy.iter_mut().for_each(|dy| *dy *= mean);
        let loss = f64::from(sum) / batch.steps as f64;
        Totals { examples: batch.count as u64, loss, error: loss / LN_2 }
    }

    /// So that validation takes some 5 % of the time: a symbol of it costs a third of one that is
    /// trained on.
    fn validate_every(&self) -> Option<u64> {
        let Streams { count, steps, .. } = self.valid_streams();
        Some((count * steps) as u64 * 20 / 3 / self.chunk as u64 + 1)
    }

    fn validate(&self, parameters: &Parameters) -> f64 {
        let streams = self.valid_streams();
        let blocks = (0..streams.count).step_by(VALID_BLOCK);
        let blocks: Vec<_> = blocks.map(|n| n..(n + VALID_BLOCK).min(streams.count)).collect();
        let loss = |range| streams.loss(parameters, &self.corpus().valid, range);
        let losses: Vec<f64> = blocks.into_par_iter().map(loss).collect();
        losses.iter().sum::<f64>() / (streams.count * streams.steps) as f64
    }

    fn illustrate(&self, parameters: &Parameters) -> Option<String> {
        let length = if self.vocabulary.unit() == Unit::Word { 16 } else { 72 };
        let text = self.sample(parameters.clone(), length, 0).ok()?;
        Some(text.escape_debug().to_string())
    }

    fn in_words(&self, loss: f64) -> String {
        match self.vocabulary.unit() {
            Unit::Word => format!("{loss:.4} nats, perplexity {:.1}", loss.exp()),
            Unit::Char | Unit::Byte => format!("{loss:.4} nats, {:.3} bits", loss / LN_2),
        }
    }

    fn describe(&self) -> serde_json::Value {
        json!({
            "unit": self.vocabulary.unit(),
            "symbols": self.vocabulary.len(),
            "chunk": self.chunk,
            "baseline_nats": self.baseline_nats,
        })
    }

    fn evaluate(&self, parameters: &Parameters, _seed: u64) -> TextScore {
        TextScore {
            valid_loss: self.validate(parameters),
            baseline_nats: self.baseline_nats,
            unit: self.vocabulary.unit(),
        }
    }

    fn aim(&self) -> String {
        format!("tell the next {}", self.vocabulary.unit().name())
    }
}

/// How well a network tells the next symbol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextScore {
    /// On the validation part, in nats a symbol.
    pub valid_loss: f64,
    /// Of an n-gram model on the same.
    pub baseline_nats: f64,
    /// What a symbol is.
    pub unit: Unit,
}

impl Display for TextScore {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let &Self { valid_loss, baseline_nats, unit } = self;
        let unit = unit.name();
        write!(
            f,
            "The validation part costs {valid_loss:.4} nats a {unit}, {:.3} bits",
            valid_loss / LN_2
        )?;
        if unit == Unit::Word.name() {
            write!(f, ", a perplexity of {:.1}", valid_loss.exp())?;
        }
        write!(f, "; {ORDER}-grams cost {baseline_nats:.4} nats.")
    }
}

impl Score for TextScore {
    fn is_perfect(&self) -> bool {
        self.valid_loss < self.baseline_nats
    }

    fn brief(&self) -> String {
        format!("{:.4}", self.valid_loss)
    }

    fn heading() -> &'static str {
        "validation loss"
    }

    fn figure(&self) -> (&'static str, f64) {
        ("valid_loss", self.valid_loss)
    }

    fn summary(&self, perfect: usize, count: usize) -> String {
        format!(
            "{perfect} of {count} seeds are better than {ORDER}-grams ({:.4} nats)",
            self.baseline_nats
        )
    }

    fn describe(&self) -> serde_json::Value {
        json!({
            "valid_loss": self.valid_loss,
            "valid_bits": self.valid_loss / LN_2,
            "baseline_nats": self.baseline_nats,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Progress;
    use super::*;
    use crate::batch::Inputs;
    use crate::store::Store;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use std::fs;

    /// All pieces small, all symbols in a file.
    const NARROW: Room = Room { piece: 5, symbols: 0 };

    fn reading(unit: Unit) -> Reading {
        Reading { unit, vocabulary: 6, chunk: 7, valid: 0.3 }
    }

    fn is_in_a_file(symbols: &Symbols) -> bool {
        match symbols {
            Symbols::U8(all) => matches!(all, Store::File(..)),
            Symbols::U16(all) => matches!(all, Store::File(..)),
            Symbols::U32(all) => matches!(all, Store::File(..)),
        }
    }

    /// What is drawn as the chunk after `done` of them.
    fn drawn(text: &Text, done: u64) -> (Vec<u32>, Vec<u32>) {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(done);
        let progress = Progress { examples: done * 3, of: 1_000, batch: 3, worker: 1, workers: 2 };
        let mut batch = Batch::default();
        text.draw(Source { generator: &mut generator, count: 3, progress }, &mut batch);
        match (batch.inputs, batch.targets) {
            (Inputs::Symbols(symbols), Targets::Classes(classes)) => (symbols, classes),
            _ => panic!("symbols and classes"),
        }
    }

    proptest! {
        #[test]
        fn a_text_in_a_file_read_piece_by_piece_is_the_text_in_memory(
            parts in prop::collection::vec("(é|[abc \n€]|😀|the |of ){60,90}", 1..3),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let write = |(n, part): (usize, &String)| {
                let path = folder.path().join(format!("{n}"));
                fs::write(&path, part).unwrap();
                path
            };
            let paths: Vec<_> = parts.iter().enumerate().map(write).collect();
            for unit in [Unit::Char, Unit::Byte, Unit::Word] {
                let whole = Text::open(&paths, reading(unit)).unwrap();
                let narrow = Text::read(&paths, reading(unit), None, NARROW).unwrap();
                prop_assert_eq!(&narrow, &whole);
                prop_assert_eq!(narrow.corpus(), whole.corpus());
                prop_assert!(is_in_a_file(&narrow.corpus().train));
                prop_assert!(!is_in_a_file(&whole.corpus().train));
                for done in 0..20 {
                    prop_assert_eq!(drawn(&narrow, done), drawn(&whole, done));
                }
                let config = whole.clone().training();
                let network = NetworkConfig::new(Cell::Gru, 4).config(&config.task).unwrap();
                let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
                let parameters = Parameters::initialised(network, &mut generator);
                let losses = [&narrow, &whole].map(|text| text.validate(&parameters));
                prop_assert_eq!(losses[0].to_bits(), losses[1].to_bits());
            }
        }
    }
}
