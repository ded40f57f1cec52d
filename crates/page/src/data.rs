//! The data of a page, as its views read them.
//!
//! Names and shapes of tensors are those of `model.safetensors`; numbers of tensors and units are
//! base64. `network.js` says how a network is made of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Cell, HeadActivation, Nonlinearity, Parameters};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What [`Data::format`] says.
pub const FORMAT: &str = "carry page 1";

/// A network and what there is to see of it.
#[derive(Clone, Debug, Serialize)]
pub struct Data {
    /// [`FORMAT`]
    pub format: &'static str,
    /// `addition`, `text` or `series`.
    pub task: &'static str,
    /// The run, as its user names it.
    pub run: String,
    /// The command that makes the page.
    pub command: String,
    /// What the network is.
    pub network: Description,
    /// How it was trained.
    pub training: Training,
    /// Of a network that adds: its parameters, by their names.
    pub tensors: BTreeMap<String, Encoded>,
    /// Its parameters at some moments of the training, the trained ones last; may be empty.
    pub snapshots: Vec<Moment>,
    /// How the error fell.
    pub curve: Vec<Point>,
    /// What is proved of it.
    pub proof: Option<Proof>,
    /// Of a network that writes.
    pub text: Option<TextData>,
    /// Of a network that forecasts or tells classes.
    pub series: Option<SeriesData>,
}

/// A network.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// `elman`, `gru` or `lstm`.
    pub cell: &'static str,
    /// Of an Elman cell: `sigmoid`, `tanh` or `relu`.
    pub activation: Option<&'static str>,
    /// I
    pub inputs: usize,
    /// H
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// O
    pub outputs: usize,
    /// Whether the cells have biases …
    pub bias: bool,
    /// … and the head.
    pub head_bias: bool,
    /// What the head does to its sums: `sigmoid` or `identity`.
    pub output: &'static str,
}

impl Description {
    /// That of `parameters`.
    pub(crate) fn of(parameters: &Parameters) -> Self {
        let config = parameters.config();
        let (cell, activation) = match config.cell() {
            Cell::Elman(Nonlinearity::Sigmoid) => ("elman", Some("sigmoid")),
            Cell::Elman(Nonlinearity::Tanh) => ("elman", Some("tanh")),
            Cell::Elman(Nonlinearity::Relu) => ("elman", Some("relu")),
            Cell::Gru => ("gru", None),
            Cell::Lstm => ("lstm", None),
        };
        let sigmoid = config.head().is_some_and(|head| head.activation == HeadActivation::Sigmoid);
        Self {
            cell,
            activation,
            inputs: config.symbols(),
            hidden: config.hidden(),
            layers: config.layers(),
            outputs: config.outputs(),
            bias: config.bias(),
            head_bias: config.head().is_some_and(|head| head.bias),
            output: if sigmoid { "sigmoid" } else { "identity" },
        }
    }
}

/// A training.
#[derive(Clone, Debug, Serialize)]
pub struct Training {
    /// T of an addition.
    pub bits: Option<u32>,
    /// Its seed.
    pub seed: u64,
    /// Examples that it saw.
    pub examples: u64,
    /// The learning rate at its end.
    pub learning_rate: f32,
    /// The update rule.
    pub rule: &'static str,
    /// B
    pub batch: usize,
    /// Whether it was trained for a proof.
    pub certifiable: bool,
}

/// A tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Encoded {
    /// PyTorch's.
    pub shape: Vec<usize>,
    /// Base64 of f32, little-endian, row by row.
    pub data: String,
}

/// The parameters at a moment of the training.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// Examples trained on by then.
    pub examples: u64,
    /// As [`Encoded::data`], by name.
    pub tensors: BTreeMap<String, String>,
}

/// An interval of a training.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Examples at its end.
    pub examples: u64,
    /// The mean error of an example; of additions Σ_t |y − o|.
    pub error: f32,
    /// The mean loss of an example.
    pub loss: f32,
    /// The loss on the validation data, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<f32>,
}

/// What a certificate says, after `verify` has accepted it.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// In words.
    pub statement: String,
    /// What is taken from a state before it is projected, if anything.
    pub origin: Option<Vec<f64>>,
    /// `[2][H]`: a state's place in the picture is its product with each.
    pub axes: [Vec<f64>; 2],
    /// Places of states, by carry.
    pub states: [Vec<[f32; 2]>; 2],
    /// The pieces of the sets that hold all states.
    pub sets: Vec<Set>,
    /// How many more of these there are.
    pub omitted: usize,
    /// Steps from set to set, at most.
    pub steps: usize,
    /// The least distance of a sum before an output's sigmoid from 0, on the right side.
    pub margin: f64,
}

/// A piece of an abstract state.
#[derive(Clone, Debug, Serialize)]
pub struct Set {
    /// The carry of all states in it.
    pub carry: u8,
    /// After which pairs of digits a state is in it, as certificates say it: `1 01 11`.
    pub history: String,
    /// The least places along the axes …
    pub low: [f32; 2],
    /// … and the largest.
    pub high: [f32; 2],
}

/// A stretch of text, T symbols, and what the units make of it.
#[derive(Clone, Debug, Serialize)]
pub struct TextData {
    /// `char`, `byte` or `word`.
    pub unit: &'static str,
    /// Where the text is from, in words.
    pub source: String,
    /// Whether the network wrote it.
    pub is_sampled: bool,
    /// What is shown of a unit: `h`, or `tanh(c)` of an LSTM.
    pub values: &'static str,
    /// Units of all layers, U.
    pub units: usize,
    /// Texts of symbols, each once.
    pub symbols: Vec<String>,
    /// `[T]`: places in `symbols`.
    pub text: Vec<u32>,
    /// `[T, U]`: the values after each symbol, 0 for the least value of the unit, 255 for its
    /// largest.
    #[serde(serialize_with = "base64")]
    pub activations: Vec<u8>,
    /// `[U]`: the least and the largest value of each.
    pub ranges: Vec<[f32; 2]>,
    /// `[T][5]`: places in `symbols` of what is likeliest to follow each symbol.
    pub likeliest: Vec<Vec<u32>>,
    /// `[T][5]`: how likely, in 1/10,000.
    pub chances: Vec<Vec<u16>>,
    /// What units may be alike with.
    pub features: Vec<Feature>,
    /// Symbols that the correlations were measured on.
    pub measured: usize,
}

/// Something that a reader may keep in mind, and the units that are most alike with it.
#[derive(Clone, Debug, Serialize)]
pub struct Feature {
    /// In words.
    pub name: &'static str,
    /// Its mean: the share of symbols, of what is so or not.
    pub mean: f32,
    /// The units and their correlations with it, the closest first; none where the feature does not
    /// vary.
    pub units: Vec<Alike>,
}

/// A unit and its correlation with a feature.
#[derive(Clone, Debug, Serialize)]
pub struct Alike {
    /// Its number.
    pub unit: usize,
    /// Pearson's correlation.
    pub correlation: f32,
}

/// What a network makes of the test part of a table.
#[derive(Clone, Debug, Serialize)]
pub struct SeriesData {
    /// The file's name.
    pub file: String,
    /// What is forecast; the column of classes.
    pub targets: Vec<String>,
    /// Rows ahead; 0 of classes.
    pub horizon: usize,
    /// Rows after which the pattern comes again.
    pub season: usize,
    /// Rows of the test part.
    pub rows: [usize; 2],
    /// Forecasts, by the row that they begin at.
    pub origins: Vec<Origin>,
    /// Origins of the test part, of which these are some.
    pub of: usize,
    /// Errors: the network's, the baselines', as `cargo xtask train --json` has them.
    pub score: serde_json::Value,
    /// Of a classification.
    pub classes: Vec<String>,
}

/// A forecast.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// The first row that is forecast, counted from 0.
    pub row: usize,
    /// Its time, where there is a column of times.
    pub time: Option<String>,
    /// `[targets][rows before]`: what was, null where it is missing.
    pub before: Vec<Vec<Option<f32>>>,
    /// `[targets][horizon]`: what came.
    pub truth: Vec<Vec<Option<f32>>>,
    /// `[targets][horizon]`: what the network said.
    pub forecast: Vec<Vec<f32>>,
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// The tensors of `parameters`.
pub(crate) fn tensors(parameters: &Parameters) -> BTreeMap<String, Encoded> {
    let arena = parameters.arena();
    let encoded = parameters.tensors().into_iter().map(|tensor| {
        let values = tensor.indices().flat_map(|index| arena[index].to_le_bytes());
        let data = STANDARD.encode(values.collect::<Vec<_>>());
        (tensor.name().to_owned(), Encoded { shape: tensor.shape(), data })
    });
    encoded.collect()
}

/// Least sizes that thinning leaves.
const LEAST_MOMENTS: usize = 8;
const LEAST_STATES: usize = 40;
const LEAST_SETS: usize = 40;
const LEAST_SYMBOLS: usize = 200;
const LEAST_ORIGINS: usize = 12;

impl Data {
    /// Bytes in the page's data block.
    pub fn bytes(&self) -> usize {
        bytes(self)
    }

    /// The same, but with fewer snapshots, states, sets, symbols or origins, as many times the
    /// largest of these are halved as it takes for `most` bytes; or as small as it can be.
    pub fn thinned(mut self, most: usize) -> Self {
        let mut total = self.bytes();
        while total > most {
            let Some(part) = self.largest() else { break };
            self.halve(part);
            total = self.bytes();
        }
        self
    }

    /// The largest part that can be halved.
    fn largest(&self) -> Option<Part> {
        let mut parts = Vec::new();
        let mut push = |can: bool, size: usize, part| {
            if can {
                parts.push((size, part));
            }
        };
        let moments = self.snapshots.len();
        push(moments > LEAST_MOMENTS, bytes(&self.snapshots), Part::Snapshots);
        if let Some(proof) = &self.proof {
            let most = proof.states.iter().map(Vec::len).max().unwrap_or(0);
            push(most > LEAST_STATES, bytes(&proof.states), Part::States);
            push(proof.sets.len() > LEAST_SETS, bytes(&proof.sets), Part::Sets);
        }
        if let Some(text) = &self.text {
            push(text.text.len() > LEAST_SYMBOLS, bytes(text), Part::Text);
        }
        if let Some(series) = &self.series {
            push(series.origins.len() > LEAST_ORIGINS, bytes(series), Part::Origins);
        }
        let largest = parts.into_iter().max_by_key(|&(size, _)| size).map(|(_, part)| part);
        // At last the snapshots go, without which the network is still whole.
        largest.or_else(|| (moments > 0).then_some(Part::AllSnapshots))
    }

    fn halve(&mut self, part: Part) {
        match part {
            Part::Snapshots => every_other(&mut self.snapshots),
            Part::AllSnapshots => self.snapshots.clear(),
            Part::States => {
                let proof = self.proof.as_mut().expect("it is there");
                proof.states.iter_mut().for_each(every_other);
            }
            Part::Sets => {
                let proof = self.proof.as_mut().expect("it is there");
                let before = proof.sets.len();
                every_other(&mut proof.sets);
                proof.omitted += before - proof.sets.len();
            }
            Part::Text => {
                let text = self.text.as_mut().expect("it is there");
                text.truncate(text.text.len() / 2);
            }
            Part::Origins => {
                let series = self.series.as_mut().expect("it is there");
                every_other(&mut series.origins);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Snapshots,
    AllSnapshots,
    States,
    Sets,
    Text,
    Origins,
}

impl TextData {
    /// Leaves the first `count` symbols.
    fn truncate(&mut self, count: usize) {
        self.text.truncate(count);
        self.activations.truncate(count * self.units);
        self.likeliest.truncate(count);
        self.chances.truncate(count);
    }
}

/// Leaves every other element, and the last.
fn every_other<V>(all: &mut Vec<V>) {
    let Some(last) = all.len().checked_sub(1) else { return };
    let mut place = 0;
    all.retain(|_| {
        let stays = place % 2 == 0 || place == last;
        place += 1;
        stays
    });
}

/// Bytes of the JSON of `value` in a page.
fn bytes(value: &impl Serialize) -> usize {
    let json = serde_json::to_string(value).expect("maps with names, lists and numbers");
    json.len() + 5 * json.matches(['<', '>', '&', '\u{2028}', '\u{2029}']).count()
}
