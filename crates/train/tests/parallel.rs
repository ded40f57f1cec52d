//! A batch on several threads: the gradient and outputs of one network over all of it, and
//! the same bits every time.

use model::{Architecture, Cell, Config, Head, Network, Nonlinearity, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use train::batch::Batch;
use train::parallel::Parallel;

const STEPS: usize = 9;
const BATCH: usize = 7;
const LENGTHS: [usize; BATCH] = [9, 2, 5, 1, 9, 8, 3];

fn config(cell: Cell) -> Config {
    let head = Some(Head::linear(2));
    Config::new(Architecture { head, ..Architecture::new(cell, 3, 21) }).unwrap()
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|k| (k as f32 * 0.7).sin()).collect()
}

/// T = STEPS, B = BATCH, I = 3.
fn batch(x: &[f32], lengths: Option<&[usize]>) -> Batch {
    let lengths = lengths.map(<[usize]>::to_vec);
    let mut batch = Batch { lengths, ..Batch::default() };
    batch.values((STEPS, BATCH), 3, 1).0.copy_from_slice(x);
    batch
}

/// `½ Σ y²`, whose gradient is y.
fn half_square(outputs: &[f32], dy: &mut [f32]) -> f64 {
    dy.copy_from_slice(outputs);
    0.5 * f64::from(kernels::vector::squared_norm(outputs))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_number_of_threads_gives_the_gradient_of_the_whole_batch() {
    for cell in [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm] {
        let config = config(cell);
        let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(1));
        let x = values(STEPS * BATCH * 3);
        let mut network = Network::new(config);
        let mut whole = Parameters::zeros(config);
        let outputs = network.forward(&parameters, &x, STEPS, BATCH).to_vec();
        let mut dy = vec![0.0; outputs.len()];
        let expected = half_square(&outputs, &mut dy);
        network.backward(&parameters, &x, &dy, &mut whole);

        // More threads than sequences leave some without work.
        for threads in [1, 2, 3, 7, 9] {
            let mut parallel = Parallel::new(config, threads).unwrap();
            let batch = batch(&x, None);
            let mut first = None;
            for _ in 0..5 {
                let loss = parallel
                    .differentiate(&parameters, &batch, |_, outputs, dy| half_square(outputs, dy))
                    .unwrap();
                assert!((loss - expected).abs() <= 1e-6 * expected, "{threads}");
                let found = bits(parallel.gradient().arena());
                assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{threads}");
            }
            let gradient = parallel.gradient().arena();
            let pairs = || gradient.iter().zip(whole.arena());
            let error: f32 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
            let size: f32 = whole.arena().iter().map(|g| g.powi(2)).sum();
            assert!(error.sqrt() <= 1e-6 * size.sqrt(), "{cell:?}, {threads}");
            if threads == 1 {
                assert_eq!(bits(gradient), bits(whole.arena()));
            }

            parallel.infer(&parameters, &batch).unwrap();
            let mut seen = 0;
            for (sequences, found) in parallel.outputs() {
                for (step, row) in found.chunks(2 * sequences.len()).enumerate() {
                    let expected = &outputs[step * BATCH * 2..][2 * sequences.start..][..row.len()];
                    assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6));
                    seen += row.len();
                }
            }
            assert_eq!(seen, outputs.len());
        }
    }
}

#[test]
fn a_loss_sees_its_sequences_and_their_lengths() {
    let config = config(Cell::Gru);
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(2));
    let x = values(STEPS * BATCH * 3);
    let batch = batch(&x, Some(&LENGTHS));
    let mut losses = Vec::new();
    for threads in [1, 3] {
        let mut parallel = Parallel::new(config, threads).unwrap();
        let loss = parallel.differentiate(&parameters, &batch, |share, outputs, dy| {
            let lengths = share.lengths.as_ref().expect("those of the batch");
            for (step, row) in outputs.chunks(2 * share.count).enumerate() {
                for (outputs, &length) in row.chunks(2).zip(lengths) {
                    assert_eq!(outputs == [0.0; 2], step >= length);
                }
            }
            half_square(outputs, dy)
        });
        losses.push(loss.unwrap());
    }
    assert!((losses[0] - losses[1]).abs() <= 1e-6 * losses[0]);
}

#[test]
fn what_cannot_run_is_refused_by_its_place_in_the_batch() {
    let config = config(Cell::Lstm);
    assert!(Parallel::new(config, 0).unwrap_err().to_string().contains("0 threads"));
    let parameters = Parameters::zeros(config);
    let mut x = values(STEPS * BATCH * 3);
    let mut parallel = Parallel::new(config, 2).unwrap();
    let mut refused = |x: &[f32], lengths: Option<&[usize]>| {
        let batch = batch(x, lengths);
        let text = parallel.differentiate(&parameters, &batch, |_, _, _| 0.0_f64).unwrap_err();
        assert_eq!(parallel.infer(&parameters, &batch).unwrap_err().to_string(), text.to_string());
        text.to_string()
    };
    let text = refused(&x, Some(&[1, 2, 3, 4, 5, 10, 7]));
    assert!(text.contains("sequence 5 has a length of 10"), "{text}");
    for count in [0, 3, 6, 8] {
        let text = refused(&x, Some(&[1; 9][..count]));
        assert!(text.contains(&format!("{count} lengths were given for 7 sequences")), "{text}");
    }
    x[100] = f32::INFINITY;
    for lengths in [None, Some(&[9; 7][..])] {
        let text = refused(&x, lengths);
        assert!(text.contains("index 100") && text.contains("inf"), "{text}");
    }
}

/// Networks so large, and batches so small, that the units are shared.
fn shared(cell: Cell, hidden: usize) -> Config {
    let head = Some(Head::linear(2));
    Config::new(Architecture { head, layers: 2, ..Architecture::new(cell, 3, hidden) }).unwrap()
}

/// Fails unless `found` is `expected` but for its rounding.
fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let error: f32 = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f32 = expected.iter().map(|b| b.powi(2)).sum();
    assert!(error.sqrt() <= tolerance * size.sqrt(), "{name}: {} of {}", error.sqrt(), size.sqrt());
}

#[test]
fn few_sequences_are_shared_by_units_with_the_same_bits_every_time() {
    for (cell, hidden) in
        [(Cell::Elman(Nonlinearity::Tanh), 450), (Cell::Gru, 257), (Cell::Lstm, 224)]
    {
        let config = shared(cell, hidden);
        let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(3));
        // So few sequences that one thread would do are shared for learning if they are long.
        for (threads, steps, count) in [(2, 256, 1), (2, STEPS, 5), (3, 260, 1), (3, 128, 2)] {
            let x = values(steps * count * 3);
            let whole = Batch::of_values(&x, steps, count);
            let mut parallel = Parallel::new(config, threads).unwrap();
            let mut one = Parallel::new(config, 1).unwrap();
            let differentiate = |parallel: &mut Parallel| {
                let loss = parallel
                    .differentiate(&parameters, &whole, |_, outputs, dy| half_square(outputs, dy));
                (loss.unwrap(), parallel.gradient().arena().to_vec())
            };
            let (expected, gradient) = differentiate(&mut one);
            let mut first = None;
            for _ in 0..5 {
                let (loss, found) = differentiate(&mut parallel);
                assert!((loss - expected).abs() <= 1e-6 * expected, "{threads}");
                assert_close(&format!("{cell:?}, {threads}, {count}"), &found, &gradient, 1e-5);
                let found = bits(&found);
                assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{threads}");
            }
            parallel.infer(&parameters, &whole).unwrap();
            one.infer(&parameters, &whole).unwrap();
            let [found, expected] = [&parallel, &one].map(|parallel| {
                let mut all = parallel.outputs();
                let (sequences, outputs) = all.next().unwrap();
                assert!(sequences == (0..count) && all.next().is_none(), "units are shared");
                outputs.to_vec()
            });
            assert_close("outputs", &found, &expected, 1e-5);
        }
    }
}

#[test]
fn states_are_carried_over_batches_whose_units_are_shared() {
    let config = shared(Cell::Lstm, 224);
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(4));
    let long = values(3 * STEPS * 2 * 3);
    let mut gradients = Vec::new();
    for threads in [1, 2] {
        let mut parallel = Parallel::new(config, threads).unwrap();
        for (chunk, x) in long.chunks(STEPS * 2 * 3).enumerate() {
            let mut batch = Batch::of_values(x, STEPS, 2);
            batch.is_carried = true;
            batch.restarts = if chunk == 2 { vec![1] } else { vec![] };
            let loss = parallel
                .differentiate(&parameters, &batch, |_, outputs, dy| half_square(outputs, dy));
            assert!(loss.unwrap() > 0.0);
        }
        gradients.push(parallel.gradient().arena().to_vec());
    }
    assert_close("the last chunk", &gradients[1], &gradients[0], 1e-5);
}

#[test]
fn a_loss_that_panics_between_shared_passes_leaves_the_threads_ready() {
    let config = shared(Cell::Gru, 257);
    let parameters = Parameters::initialised(config, &mut Xoshiro256PlusPlus::seed_from_u64(5));
    let batch = Batch::of_values(&values(STEPS * 2 * 3), STEPS, 2);
    let mut parallel = Parallel::new(config, 2).unwrap();
    let mut expected = None;
    for panics in [false, true, false] {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            parallel.differentiate(&parameters, &batch, |_, outputs, dy| {
                assert!(!panics, "a planted panic");
                half_square(outputs, dy)
            })
        }));
        assert_eq!(result.is_err(), panics);
        if let Ok(loss) = result {
            assert_eq!(*expected.get_or_insert(loss.as_ref().copied().unwrap()), loss.unwrap());
        }
    }
}
