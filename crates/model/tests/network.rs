//! What must hold of the network exactly: recomputing, chunks, memory, refusals. (How it
//! agrees with the reference is `gradient.rs`'s.)

mod sample;

use model::reference::Reference;
use model::{Architecture, Cell, Config, Head, HeadSteps, Network, Parameters, Sequences, State};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use sample::{Batch, CELLS, assert_close, narrow, state_values, time_major};

fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// How a pass is run.
#[derive(Clone, Copy, Debug, Default)]
struct How {
    from_state: bool,
    dropout: bool,
}

/// All that a pass gives, in the caller's order.
#[derive(Debug, PartialEq)]
struct Given {
    y: Vec<f32>,
    state: State,
    gradient: Vec<f32>,
    dx: Vec<f32>,
    start: Option<State>,
}

struct Data {
    parameters: Parameters,
    batch: Batch,
    lengths: Vec<usize>,
    x: Vec<f32>,
    start: State,
    targets: Vec<f32>,
}

impl Data {
    fn new(config: Config, lengths: &[usize], seed: u64) -> Self {
        let mut generator = generator(seed);
        let mut parameters = Parameters::initialised(config, &mut generator);
        if config.cell() != CELLS[1] {
            parameters.arena_mut().iter_mut().for_each(|w| *w *= 1.5); // some of all gates
        }
        let batch = Batch::random(config, lengths, &mut generator);
        let steps = batch.steps();
        let (h, c) = state_values(config, &batch.first);
        let rows = if is_last(config) { 1 } else { steps };
        Self {
            parameters,
            lengths: lengths.to_vec(),
            x: narrow(&time_major(&batch.x, config.inputs(), steps)),
            start: State::new(config, lengths.len(), narrow(&h), narrow(&c)).unwrap(),
            targets: narrow(&time_major(&batch.targets, config.outputs(), rows)),
            batch,
        }
    }

    fn steps(&self) -> usize {
        self.batch.steps()
    }

    /// Forward, ½ Σ (y − target)², backward.
    fn run(&self, network: &mut Network, how: How) -> Given {
        let config = self.parameters.config();
        let (steps, batch) = (self.steps(), self.lengths.len());
        let mut sequences = Sequences::new(config, &self.x, steps, batch).unwrap();
        sequences = sequences.with_lengths(&self.lengths).unwrap();
        if how.from_state {
            sequences = sequences.starting_from(&self.start).unwrap();
        }
        let y = if how.dropout {
            network.run_training(&self.parameters, &sequences, &mut generator(5)).to_vec()
        } else {
            network.run(&self.parameters, &sequences).to_vec()
        };
        let dy: Vec<f32> = y.iter().zip(&self.targets).map(|(y, t)| y - t).collect();
        let mut gradient = Parameters::zeros(config);
        gradient.arena_mut().fill(f32::NAN); // every value must be written
        let mut padding = Parameters::uniform(config, &mut generator(1));
        padding.for_each_row_mut(|row| row.fill(f32::NAN));
        for (g, p) in gradient.arena_mut().iter_mut().zip(padding.arena()) {
            if *p == 0.0 {
                *g = 0.0; // but padding, which must stay as it is
            }
        }
        let mut dx = vec![f32::NAN; self.x.len()];
        network.backward_to_inputs(&self.parameters, &self.x, &dy, &mut gradient, &mut dx);
        for (g, p) in gradient.arena().iter().zip(padding.arena()) {
            assert!(g.is_finite() && (*p != 0.0 || *g == 0.0), "{config:?}: padding is not zero");
        }
        let (state, start) = (network.state(), network.start_gradient());
        Given { y, state, gradient: gradient.arena().to_vec(), dx, start }
    }
}

fn is_last(config: Config) -> bool {
    config.head().is_some_and(|head| head.steps == HeadSteps::Last)
}

/// Every kind of network, of `hidden` units.
fn architectures(hidden: usize) -> impl Iterator<Item = Architecture> {
    CELLS.into_iter().flat_map(move |cell| {
        [(1, false), (1, true), (2, false), (3, true)].into_iter().map(move |(layers, both)| {
            let head = match layers {
                1 => None,
                2 => Some(Head::linear(3)),
                _ => Some(Head { steps: HeadSteps::Last, ..Head::linear(2) }),
            };
            let architecture = Architecture::new(cell, 3, hidden);
            Architecture { layers, bidirectional: both, head, ..architecture }
        })
    })
}

#[test]
fn recomputing_changes_no_bit() {
    for architecture in architectures(10).chain(architectures(16)) {
        let dropout = if architecture.layers > 1 { 0.4 } else { 0.0 };
        let config = Config::new(Architecture { dropout, ..architecture }).unwrap();
        for lengths in [&[130; 5][..], &[130, 2, 77, 52, 104]] {
            let data = Data::new(config, lengths, 4);
            let mut network = Network::new(config);
            let mut again = Network::new(config).recompute();
            for from_state in [true, false] {
                let how = How { from_state, dropout: dropout > 0.0 };
                assert!(data.run(&mut network, how) == data.run(&mut again, how), "{config:?}");
            }
            if !(config.directions() == 2 && config.cell().gates() == 1) {
                assert!(again.activation_bytes() < network.activation_bytes(), "{config:?}");
            }
        }
    }
}

#[test]
fn inference_gives_the_same_outputs() {
    for architecture in architectures(10).chain(architectures(16)) {
        let config = Config::new(architecture).unwrap();
        let lengths = [130, 2, 77, 52, 104];
        let data = Data::new(config, &lengths, 4);
        let sequences = Sequences::new(config, &data.x, 130, 5).unwrap();
        for sequences in [sequences, sequences.with_lengths(&lengths).unwrap()] {
            let (mut one, mut other) = (Network::new(config), Network::new(config));
            let y = one.run(&data.parameters, &sequences);
            assert_eq!(y, other.infer(&data.parameters, &sequences));
            assert_eq!(one.state(), other.state());
        }
    }
}

#[test]
fn chunks_with_the_state_carried_on_give_the_outputs_of_the_whole_bit_for_bit() {
    for architecture in architectures(21).chain(architectures(16)).filter(|a| !a.bidirectional) {
        let config = Config::new(architecture).unwrap();
        for batch in [1, 3, 9] {
            let steps = 40;
            let data = Data::new(config, &vec![steps; batch], 6);
            let mut network = Network::new(config);
            let whole = network.forward(&data.parameters, &data.x, steps, batch).to_vec();
            let end = network.state();
            for chunk in [1, 2, 7, 13, 40] {
                let (mut state, mut y) = (State::zeros(config, batch), Vec::new());
                for x in data.x.chunks(chunk * batch * config.inputs()) {
                    let steps = x.len() / batch / config.inputs();
                    let sequences = Sequences::new(config, x, steps, batch).unwrap();
                    let sequences = sequences.starting_from(&state).unwrap();
                    y.extend_from_slice(network.run(&data.parameters, &sequences));
                    state = network.state();
                }
                assert!(y == whole, "{config:?}, B {batch}, chunks of {chunk}");
                assert!(state == end, "{config:?}, B {batch}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn truncated_bptt_has_the_gradient_of_the_whole_cut_between_the_chunks() {
    for architecture in architectures(9).filter(|a| !a.bidirectional) {
        let config = Config::new(architecture).unwrap();
        let (steps, batch, chunk) = (23, 3, 7);
        let data = Data::new(config, &vec![steps; batch], 8);
        let weights = Reference::from(&data.parameters);
        let mut network = Network::new(config);
        let (mut found, mut expected) =
            (vec![0.0; data.parameters.arena().len()], Reference::zeros(config));
        let mut state = State::zeros(config, batch);
        let mut states = vec![model::reference::State::zeros(config); batch];
        let width = chunk * batch * config.inputs();
        for (n, x) in data.x.chunks(width).enumerate() {
            let chunk_steps = x.len() / batch / config.inputs();
            let sequences = Sequences::new(config, x, chunk_steps, batch).unwrap();
            let sequences = sequences.starting_from(&state).unwrap();
            let y = network.run(&data.parameters, &sequences).to_vec();
            let mut gradient = Parameters::zeros(config);
            network.backward(&data.parameters, x, &y, &mut gradient); // of ½ Σ y²
            found.iter_mut().zip(gradient.arena()).for_each(|(sum, g)| *sum += g);
            state = network.state();
            for (sequence, state) in data.batch.x.iter().zip(&mut states) {
                let part = &sequence[n * chunk..n * chunk + chunk_steps];
                let pass = weights.forward_from(part, state, &[]);
                // no gradient reaches the chunk from behind it
                weights.backward(&pass, &pass.y, &mut expected);
                *state = pass.last;
            }
        }
        let tensors = data.parameters.tensors();
        let places = tensors.iter().flat_map(|tensor| tensor.indices());
        let found: Vec<f64> = places.map(|place| f64::from(found[place])).collect();
        let expected: Vec<f64> = expected.values().collect();
        assert_close(&format!("{config:?}"), &found, &expected, 1e-5);
    }
}

#[test]
fn the_memory_of_a_pass_is_as_stated() {
    for cell in CELLS {
        let values = match cell {
            Cell::Elman(_) => 1,
            Cell::Gru => 7,
            Cell::Lstm => 6,
        };
        let states = if cell == Cell::Lstm { 2 } else { 1 };
        let architecture = Architecture { layers: 2, ..Architecture::new(cell, 3, 20) };
        let config = Config::new(architecture).unwrap();
        let parameters = Parameters::zeros(config);
        let (steps, batch, stride) = (400, 20, 32); // √T steps have more than 256 rows
        let x = vec![0.5; steps * batch * 3];
        let (mut network, mut again) = (Network::new(config), Network::new(config).recompute());
        network.forward(&parameters, &x, steps, batch);
        again.forward(&parameters, &x, steps, batch);
        let of_rows = |rows: usize| 4 * rows * stride * values;
        let start = 4 * batch * stride * states;
        assert_eq!(network.activation_bytes(), 2 * (of_rows(steps * batch) + 20 * start));
        assert_eq!(again.activation_bytes(), 2 * (of_rows(20 * batch) + 21 * start));
    }
}

#[test]
fn dropout_keeps_its_share_and_the_mean() {
    let architecture = Architecture::new(Cell::Elman(model::Nonlinearity::Tanh), 1, 50);
    let architecture = Architecture { layers: 2, dropout: 0.2, ..architecture };
    let config = Config::new(architecture).unwrap();
    let parameters = Parameters::initialised(config, &mut generator(0));
    let (steps, batch) = (50, 40);
    let x = vec![1.0; steps * batch];
    let sequences = Sequences::new(config, &x, steps, batch).unwrap();
    let mut network = Network::new(config);
    network.run_training(&parameters, &sequences, &mut generator(1));
    let mut kept = 0;
    for t in 0..steps {
        for b in 0..batch {
            let keeps = |&unit: &usize| network.dropout_keeps((0, 0), (t, b), unit).unwrap();
            kept += (0..50).filter(keeps).count();
        }
    }
    let share = kept as f64 / 100_000.0; // σ = 0.0013
    assert!((share - 0.8).abs() < 0.006, "{share}");
    // evaluation drops nothing, and the next training pass something else
    let first = network.outputs().to_vec();
    network.run(&parameters, &sequences);
    assert_eq!(network.dropout_keeps((0, 0), (0, 0), 0), None);
    assert_ne!(first, network.outputs());
    assert_ne!(first, network.run_training(&parameters, &sequences, &mut generator(2)));
    assert_eq!(first, network.run_training(&parameters, &sequences, &mut generator(1)));
}

#[test]
fn what_makes_no_sense_is_refused_by_name_and_value() {
    let config = Config::new(Architecture::new(Cell::Lstm, 2, 3)).unwrap();
    let x = [0.0; 12];
    let text = |result: Result<Sequences<'_>, model::Error>| result.unwrap_err().to_string();
    assert!(text(Sequences::new(config, &x, 3, 3)).contains("12 values"));
    assert!(text(Sequences::new(config, &x, usize::MAX, 2)).contains("12 values"));
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = x;
        x[7] = value;
        let text = text(Sequences::new(config, &x, 3, 2));
        assert!(text.contains(&value.to_string()) && text.contains("index 7"), "{text}");
    }
    let sequences = Sequences::new(config, &x, 3, 2).unwrap();
    assert!(text(sequences.with_lengths(&[3])).contains("1 lengths"));
    assert!(text(sequences.with_lengths(&[3, 0])).contains("sequence 1 has a length of 0"));
    assert!(text(sequences.with_lengths(&[4, 1])).contains("a length of 4"));
    let other = Config::new(Architecture::new(Cell::Lstm, 2, 4)).unwrap();
    assert!(text(sequences.starting_from(&State::zeros(other, 2))).contains("states"));
    assert!(text(sequences.starting_from(&State::zeros(config, 3))).contains("3 sequences"));
    let state = |h: Vec<f32>, c: Vec<f32>| State::new(config, 2, h, c).unwrap_err().to_string();
    assert!(state(vec![0.0; 5], vec![0.0; 6]).contains("states h hold 5 values"));
    assert!(state(vec![0.0; 6], vec![]).contains("states c hold 0 values"));
    assert!(state(vec![0.0; 6], vec![f32::NAN; 6]).contains("NaN"));
}

#[test]
fn the_head_by_itself_gives_the_bits_of_the_whole_and_may_change_before_the_backward_pass() {
    for (hidden, steps, batch) in [(5, 3, 1), (16, 8, 1), (40, 9, 1), (17, 4, 6)] {
        let config = Config::lab(2, hidden, 3).unwrap();
        let mut generator = generator(7);
        let parameters = Parameters::uniform(config, &mut generator);
        let x: Vec<f32> = (0..steps * batch * 2).map(|n| (n % 3) as f32 - 0.5).collect();
        let dy: Vec<f32> = (0..steps * batch * 3).map(|n| (n % 5) as f32 - 1.5).collect();
        let [mut whole, mut parted] = [0, 1].map(|_| Network::new(config));
        let [mut expected, mut found] = [0, 1].map(|_| Parameters::zeros(config));
        let y = whole.forward(&parameters, &x, steps, batch).to_vec();
        whole.backward(&parameters, &x, &dy, &mut expected);

        // Twice: what was kept is not kept for the next pass.
        for _ in 0..2 {
            // The states do not look at W_out,
            let mut changing = parameters.clone();
            let head = changing.head_range();
            changing.arena_mut()[head.clone()].fill(f32::NAN);
            parted.states(&changing, &x, steps, batch);
            assert_eq!(parted.head(&parameters), y);
            found.arena_mut().fill(9.0);
            parted.head_gradient(&dy, &mut found);
            assert_eq!(found.arena()[head.clone()], expected.arena()[head.clone()]);
            assert!(found.arena()[..head.start].iter().all(|&g| g == 9.0));
            // and the backward pass looks at the one that made the outputs.
            parted.backward(&changing, &x, &dy, &mut found);
            assert_eq!(found.arena(), expected.arena());
            // A pass as a whole takes what it is given again.
            let mut zeroed = parameters.clone();
            zeroed.arena_mut()[head].fill(0.0);
            parted.forward(&zeroed, &x, steps, batch);
            parted.backward(&zeroed, &x, &dy, &mut found);
            assert!(found.w_in().flatten().all(|&g| g == 0.0));
        }
    }
}

#[test]
#[should_panic(expected = "for a lab's network")]
fn the_head_by_itself_is_for_the_labs_network() {
    let config = Config::new(Architecture::new(Cell::Gru, 2, 3)).unwrap();
    Network::new(config).states(&Parameters::zeros(config), &[0.0; 2], 1, 1);
}

#[test]
fn no_steps_give_no_outputs_and_a_zero_gradient() {
    for architecture in architectures(4) {
        let config = Config::new(architecture).unwrap();
        let parameters = Parameters::initialised(config, &mut generator(0));
        for (steps, batch) in [(0, 2), (3, 0), (0, 0)] {
            let mut network = Network::new(config);
            let y = network.forward(&parameters, &[], steps, batch).to_vec();
            assert!(y.iter().all(|&y| y == 0.0), "{config:?}");
            let mut gradient = Parameters::uniform(config, &mut generator(1));
            network.backward(&parameters, &[], &y, &mut gradient);
            assert!(gradient.arena().iter().all(|&g| g == 0.0));
        }
    }
}
