//! What PyTorch recorded (`fixtures/make_fixtures.py`) against Carry: its weights come in
//! and go out bit for bit, the f64 reference agrees as f64 does, and so the fast path in
//! f32: outputs, states, losses, every gradient.

mod sample;

use model::reference::{Matrix, Reference, State};
use model::{
    Architecture, Cell, Config, Head, HeadSteps, Network, Nonlinearity, Parameters, Sequences,
    weights,
};
use safetensors::{Dtype, SafeTensors};
use sample::{narrow, state_values, time_major, widen};
use std::collections::BTreeMap;
use std::fs;

/// T, of every fixture; sequences may be shorter.
const STEPS: usize = 6;
/// B
const BATCH: usize = 3;
/// I
const INPUTS: usize = 3;
/// H
const HIDDEN: usize = 5;
/// O
const OUTPUTS: usize = 2;
/// V, of an embedding.
const SYMBOLS: usize = 7;

/// Numbers by name, row-major as PyTorch has them.
type Tensors = BTreeMap<String, Vec<f64>>;

/// One network that PyTorch ran.
struct Case {
    name: String,
    architecture: Architecture,
    /// The file of its `state_dict`.
    weights: Vec<u8>,
    /// The file of its passes.
    passes: Vec<u8>,
}

/// One pass of a [`Case`].
struct Pass {
    name: String,
    config: Config,
    parameters: Parameters,
    /// The steps of each sequence.
    lengths: Vec<usize>,
    /// `[T, B]`, if there is an embedding.
    symbols: Vec<u32>,
    /// All that PyTorch was given.
    given: Tensors,
    /// All that it computed.
    expected: Tensors,
}

fn cases() -> Vec<Case> {
    let cells = [
        ("rnn_tanh", Cell::Elman(Nonlinearity::Tanh)),
        ("rnn_relu", Cell::Elman(Nonlinearity::Relu)),
        ("gru", Cell::Gru),
        ("lstm", Cell::Lstm),
    ];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let case = |name: String, architecture| {
        let read = |suffix: &str| fs::read(format!("{folder}/{name}{suffix}")).unwrap();
        let (weights, passes) = (read(".safetensors"), read(".passes.safetensors"));
        Case { name, architecture, weights, passes }
    };
    let mut cases = vec![];
    for (of_cell, cell) in cells {
        let of_embedding = Architecture {
            layers: 2,
            bidirectional: cell == Cell::Gru,
            head: Some(Head::linear(OUTPUTS)),
            embedding: Some(SYMBOLS),
            ..Architecture::new(cell, INPUTS, HIDDEN)
        };
        cases.push(case(format!("embedding-{of_cell}"), of_embedding));
        for layers in [1, 2] {
            for (of_directions, bidirectional) in [("forward", false), ("bidirectional", true)] {
                for (of_bias, bias) in [("bias", true), ("none", false)] {
                    let name = format!("{of_cell}-{layers}-{of_directions}-{of_bias}");
                    let head = Some(Head { bias, ..Head::linear(OUTPUTS) });
                    let plain = Architecture::new(cell, INPUTS, HIDDEN);
                    let architecture = Architecture { layers, bidirectional, bias, head, ..plain };
                    cases.push(case(name, architecture));
                }
            }
        }
    }
    cases
}

/// The passes of all cases: over whole sequences with the head on every step, and over
/// sequences of unequal length with the head on the last of each.
fn passes() -> Vec<Pass> {
    let mut passes = vec![];
    for Case { name, architecture, weights, passes: file } in cases() {
        let file = SafeTensors::deserialize(&file).unwrap();
        for (kind, steps) in [("every.", HeadSteps::Every), ("last.", HeadSteps::Last)] {
            let head = architecture.head.map(|head| Head { steps, ..head });
            let config = Config::new(Architecture { head, ..architecture }).unwrap();
            let mut pass = Pass {
                name: format!("{name}, {kind}"),
                config,
                parameters: weights::from_bytes(config, &weights).unwrap(),
                lengths: vec![STEPS; BATCH],
                symbols: vec![],
                given: Tensors::new(),
                expected: Tensors::new(),
            };
            for (name, view) in file.iter().filter(|(name, _)| name.starts_with(kind)) {
                let (name, data) = (name[kind.len()..].to_owned(), view.data());
                match view.dtype() {
                    Dtype::F32 => {
                        let (values, _) = data.as_chunks::<4>();
                        let values = values.iter().map(|&v| f64::from(f32::from_le_bytes(v)));
                        pass.given.insert(name, values.collect());
                    }
                    Dtype::F64 => {
                        let (values, _) = data.as_chunks::<8>();
                        let values = values.iter().map(|&v| f64::from_le_bytes(v));
                        pass.expected.insert(name, values.collect());
                    }
                    other => {
                        assert_eq!(other, Dtype::I64);
                        let (values, _) = data.as_chunks::<8>();
                        let values = values.iter().map(|&v| i64::from_le_bytes(v));
                        match name.as_str() {
                            "lengths" => pass.lengths = values.map(|v| v as usize).collect(),
                            "symbols" => pass.symbols = values.map(|v| v as u32).collect(),
                            _ => panic!("{name}"),
                        }
                    }
                }
            }
            passes.push(pass);
        }
    }
    passes
}

impl Pass {
    /// Fails unless `found` holds all that PyTorch computed, but for `tolerance`.
    fn assert_agrees(&self, found: &Tensors, tolerance: f64) {
        let names = |tensors: &Tensors| tensors.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(found), names(&self.expected), "{}", self.name);
        for (tensor, expected) in &self.expected {
            let name = format!("{} {tensor}", self.name);
            sample::assert_close(&name, &found[tensor], expected, tolerance);
        }
    }
}

/// Sequence `b`'s rows `[T_b][F]` of a `[T, B, F]`.
fn sequence(values: &[f64], features: usize, b: usize, length: usize) -> Matrix {
    (0..length).map(|t| values[(t * BATCH + b) * features..][..features].to_vec()).collect()
}

/// What the reference makes of a pass.
fn by_the_reference(pass: &Pass) -> Tensors {
    let Pass { config, lengths, given, .. } = pass;
    let weights = Reference::from(&pass.parameters);
    let (states, width) = (config.layers() * config.directions(), config.directions() * HIDDEN);
    let mut gradient = Reference::zeros(*config);
    let (mut loss, mut y, mut dx, mut all_states) = (0.0, vec![], vec![], vec![]);
    let (mut last, mut dfirst) = (vec![], vec![]);
    for (b, &length) in lengths.iter().enumerate() {
        let mut first = State::zeros(*config);
        first.h = sequence(&given["h_0"], HIDDEN, b, states);
        if let Some(c_0) = given.get("c_0") {
            first.c = sequence(c_0, HIDDEN, b, states);
        }
        let rows = if given["target"].len() == BATCH * OUTPUTS { 1 } else { length };
        let target = sequence(&given["target"], OUTPUTS, b, rows);

        let forward = match given.get("x") {
            Some(x) => weights.forward_from(&sequence(x, INPUTS, b, length), &first, &[]),
            None => {
                let of_b = pass.symbols.iter().skip(b).step_by(BATCH).take(length);
                weights.forward_from(&of_b.copied().collect::<Vec<_>>()[..], &first, &[])
            }
        };
        let (of_sequence, dy) = weights.squared_error(&forward, &target);
        let (of_x, of_first) = weights.backward(&forward, &dy, &mut gradient);
        loss += of_sequence;
        y.push(forward.y);
        all_states.push(forward.states);
        last.push(forward.last);
        dx.push(of_x);
        dfirst.push(of_first);
    }
    let ((h_n, c_n), (dh_0, dc_0)) = (state_values(*config, &last), state_values(*config, &dfirst));
    let mut found = Tensors::from([
        ("loss".to_owned(), vec![loss]),
        ("y".to_owned(), time_major(&y, OUTPUTS, given["target"].len() / (BATCH * OUTPUTS))),
        ("states".to_owned(), time_major(&all_states, width, STEPS)),
        ("h_n".to_owned(), h_n),
        ("d.h_0".to_owned(), dh_0),
    ]);
    if given.contains_key("x") {
        found.insert("d.x".to_owned(), time_major(&dx, INPUTS, STEPS));
    }
    if config.cell() == Cell::Lstm {
        found.insert("c_n".to_owned(), c_n);
        found.insert("d.c_0".to_owned(), dc_0);
    }
    found.extend(gradient.tensors().into_iter().map(|(name, v)| (format!("d.{name}"), v)));
    found
}

/// The sequences of a pass, of the values `x` or of its symbols.
fn sequences<'a>(pass: &'a Pass, config: Config, x: Option<&'a [f32]>) -> Sequences<'a> {
    let sequences = match x {
        Some(x) => Sequences::new(config, x, STEPS, BATCH),
        None => Sequences::of_symbols(config, &pass.symbols, STEPS, BATCH),
    };
    let is_even = pass.lengths == [STEPS; BATCH];
    let lengths = |sequences: Sequences<'a>| sequences.with_lengths(&pass.lengths);
    if is_even { sequences.unwrap() } else { sequences.and_then(lengths).unwrap() }
}

/// What the fast path makes of a pass.
fn by_the_fast_path(pass: &Pass) -> Tensors {
    let Pass { config, parameters, given, .. } = pass;
    let x = given.get("x").map(|x| narrow(x));
    let c_0 = given.get("c_0").map_or(vec![], |c_0| narrow(c_0));
    let start = model::State::new(*config, BATCH, narrow(&given["h_0"]), c_0).unwrap();
    let sequences = sequences(pass, *config, x.as_deref());
    let sequences = sequences.starting_from(&start).unwrap();
    let mut network = Network::new(*config);
    let y = widen(network.run(parameters, &sequences));
    let last = network.state();

    // loss = 1/2 sum((y - target)^2)
    let dy: Vec<f64> = y.iter().zip(&given["target"]).map(|(y, target)| y - target).collect();
    let loss = 0.5 * dy.iter().map(|d| d * d).sum::<f64>();
    let (mut gradient, dy) = (Parameters::zeros(*config), narrow(&dy));
    let dx = x.as_ref().map(|x| {
        let mut dx = vec![f32::NAN; x.len()];
        network.backward_to_inputs(parameters, x, &dy, &mut gradient, &mut dx);
        ("d.x".to_owned(), widen(&dx))
    });
    if dx.is_none() {
        network.backward(parameters, sequences.inputs(), &dy, &mut gradient);
    }
    let dfirst = network.start_gradient().unwrap();

    let mut found = Tensors::from([
        ("loss".to_owned(), vec![loss]),
        ("y".to_owned(), y),
        ("states".to_owned(), states_of_the_last_layer(pass, x.as_deref(), &start)),
        ("h_n".to_owned(), widen(last.h())),
        ("d.h_0".to_owned(), widen(dfirst.h())),
    ]);
    if config.cell() == Cell::Lstm {
        found.insert("c_n".to_owned(), widen(last.c()));
        found.insert("d.c_0".to_owned(), widen(dfirst.c()));
    }
    found.extend(dx);
    for tensor in gradient.tensors() {
        let values = tensor.indices().map(|index| f64::from(gradient.arena()[index]));
        found.insert(format!("d.{}", tensor.name()), values.collect());
    }
    found
}

/// The outputs `[T, B, D·H]` of the same network without its head.
fn states_of_the_last_layer(pass: &Pass, x: Option<&[f32]>, start: &model::State) -> Vec<f64> {
    let architecture = Architecture { head: None, ..pass.config.architecture() };
    let config = Config::new(architecture).unwrap();
    let mut parameters = Parameters::zeros(config);
    for (to, from) in parameters.tensors().iter().zip(&pass.parameters.tensors()) {
        assert_eq!(to.name(), from.name());
        for (to, from) in to.indices().zip(from.indices()) {
            parameters.arena_mut()[to] = pass.parameters.arena()[from];
        }
    }
    let sequences = sequences(pass, config, x).with_lengths(&pass.lengths).unwrap();
    let sequences = sequences.starting_from(start).unwrap();
    widen(Network::new(config).run(&parameters, &sequences))
}

#[test]
fn there_are_as_many_cases_as_kinds_of_network() {
    assert_eq!(cases().len(), 4 * 2 * 2 * 2 + 4);
    let all = passes();
    assert_eq!(all.len(), 64 + 8);
    assert!(all.iter().filter(|pass| pass.lengths == [4, 6, 1]).count() == 32 + 4);
    // with an embedding of which the last row is never used
    let of_symbols = all.iter().filter(|pass| pass.symbols.len() == STEPS * BATCH);
    assert!(of_symbols.clone().all(|pass| pass.symbols.iter().all(|&s| s + 1 < SYMBOLS as u32)));
    assert_eq!(of_symbols.count(), 8);
    // the loss, y, states and last states; gradients of x, the first states and weights
    let most = all.iter().map(|pass| pass.expected.len()).max().unwrap();
    assert_eq!(most, 3 + 2 + 3 + 2 * 2 * 4 + 2);
}

#[test]
fn weights_of_pytorch_come_in_and_go_out_bit_for_bit() {
    for Case { name, architecture, weights, .. } in cases() {
        let config = Config::new(architecture).unwrap();
        let parameters = weights::from_bytes(config, &weights).unwrap();
        let written = weights::to_bytes(&parameters);
        let tensors = |bytes: &[u8]| -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
            let file = SafeTensors::deserialize(bytes).unwrap();
            let of = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
                (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            };
            file.iter().map(of).collect()
        };
        assert_eq!(tensors(&written), tensors(&weights), "{name}");
        let again = weights::from_bytes(config, &written).unwrap();
        assert_eq!(again.arena(), parameters.arena(), "{name}");
    }
}

#[test]
fn the_reference_agrees_with_pytorch() {
    for pass in passes() {
        pass.assert_agrees(&by_the_reference(&pass), 1e-13);
    }
}

#[test]
fn the_fast_path_agrees_with_pytorch() {
    for pass in passes() {
        pass.assert_agrees(&by_the_fast_path(&pass), 1e-5);
    }
}
