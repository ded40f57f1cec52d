//! The serial strategy: the same bits for the same seed, batches that average, and no
//! difference between one call and many.

mod lab;

use lab::Lab;
use model::{Config, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use train::Error;
use train::batch::{Batch, Inputs, Targets};
use train::config::MOST_BATCH;
use train::metrics::Totals;
use train::strategy::Serial;
use train::task::{Addition, Pair};

fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// The weights after `examples` examples, and what they added up to.
fn trained(config: &Lab, examples: u64) -> (Vec<f32>, Totals) {
    let mut serial = Serial::new(&config.config()).unwrap();
    let totals = serial.train(examples);
    (serial.parameters().arena().to_vec(), totals)
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|w| w.to_bits()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for (hidden, batch) in [(16, 1), (16, 64), (5, 1), (17, 7), (100, 3)] {
        let config = Lab { hidden, batch, seed: 3, ..Lab::default() };
        let (first, again) = (trained(&config, 300), trained(&config, 300));
        assert_eq!(bits(&first.0), bits(&again.0), "{config:?}");
        assert_eq!(first.1, again.1, "{config:?}");
    }
}

#[test]
fn other_seeds_start_and_end_elsewhere() {
    let weights = |seed, examples| trained(&Lab { seed, ..Lab::default() }, examples).0;
    for examples in [0, 300] {
        let all = [0, 1, 2, u64::MAX].map(|seed| weights(seed, examples));
        for (n, some) in all.iter().enumerate() {
            assert!(all[..n].iter().all(|other| other != some), "{examples} examples");
        }
    }
}

#[test]
fn training_moves_every_weight_and_leaves_the_padding_zero() {
    let config = Lab { hidden: 17, ..Lab::default() };
    let before = Serial::new(&config.config()).unwrap().parameters().clone();
    let mut serial = Serial::new(&config.config()).unwrap();
    serial.train(50);
    let after = serial.parameters();
    let rows = |p: &Parameters| -> Vec<Vec<f32>> {
        p.w_in().chain(p.w_rec()).chain(p.w_out()).map(<[f32]>::to_vec).collect()
    };
    for (row, (old, new)) in rows(&before).iter().zip(rows(after)).enumerate() {
        assert!(old.iter().zip(&new).all(|(old, new)| old != new), "row {row}");
    }
    let values = after.arena().iter().filter(|w| **w != 0.0).count();
    assert_eq!(values, (2 + 17 + 1) * 17);
}

#[test]
fn many_calls_train_as_one_does() {
    let config = Lab { seed: 11, ..Lab::default() };
    let (whole, totals) = trained(&config, 700);
    let mut serial = Serial::new(&config.config()).unwrap();
    let mut sum = Totals::default();
    for examples in [1, 499, 0, 150, 50] {
        sum += serial.train(examples);
    }
    assert_eq!(bits(&whole), bits(serial.parameters().arena()));
    assert_eq!(sum.examples, totals.examples);
    assert!((sum.loss - totals.loss).abs() <= 1e-12 * totals.loss);
    assert!((sum.error - totals.error).abs() <= 1e-12 * totals.error);
}

#[test]
fn batches_are_cut_from_the_same_stream_of_examples_and_the_last_holds_what_is_left() {
    let config = Lab { batch: 4, ..Lab::default() };
    let first = Parameters::uniform(Config::lab(2, 16, 1).unwrap(), &mut generator(1));
    let mut drawn = Serial::resume(&config.config(), first.clone(), generator(2)).unwrap();
    let totals = drawn.train(10);

    let mut examples = generator(2);
    let pairs: Vec<Pair> = (0..10).map(|_| drawn.task().sample(&mut examples)).collect();
    let mut given = Serial::resume(&config.config(), first, generator(3)).unwrap();
    let mut sum = Totals::default();
    let task = *given.task();
    for pairs in pairs.chunks(4) {
        sum += given.train_on(|batch| task.encode(pairs, batch));
    }
    assert_eq!((totals.examples, totals), (10, sum));
    assert_eq!(bits(drawn.parameters().arena()), bits(given.parameters().arena()));
}

#[test]
fn an_update_on_a_batch_is_the_mean_of_the_updates_on_its_examples() {
    let task = Addition::new(8).unwrap();
    for hidden in [1, 3, 16, 17, 64] {
        for batch in [1, 2, 7, 16, 17, 64] {
            let first = Parameters::uniform(Config::lab(2, hidden, 1).unwrap(), &mut generator(4));
            let config = Lab { hidden, batch, learning_rate: 1.0, ..Lab::default() };
            let update = |pairs: &[Pair]| {
                let mut serial =
                    Serial::resume(&config.config(), first.clone(), generator(0)).unwrap();
                let totals = serial.train_on(|batch| task.encode(pairs, batch));
                let weights = serial.parameters().arena().iter().zip(first.arena());
                let change: Vec<f64> =
                    weights.map(|(w, first)| f64::from(*w) - f64::from(*first)).collect();
                (change, totals)
            };
            let mut examples = generator(5);
            let pairs: Vec<Pair> = (0..batch).map(|_| task.sample(&mut examples)).collect();
            let (found, totals) = update(&pairs);
            let singles: Vec<_> = pairs.iter().map(|pair| update(&[*pair])).collect();

            let largest = found.iter().fold(0.0, |most: f64, change| most.max(change.abs()));
            assert!(largest > 1e-2, "the update moves hardly anything: {largest}");
            for (n, found) in found.iter().enumerate() {
                let mean = singles.iter().map(|(change, _)| change[n]).sum::<f64>() / batch as f64;
                // Half a ULP of a weight below 4 is 1.2e-7, once for each of the two ways, and
                // the gradients' own rounding is of that size.
                assert!((found - mean).abs() <= 5e-7, "H {hidden} B {batch}: {found} {mean}");
            }
            let loss: f64 = singles.iter().map(|(_, totals)| totals.loss).sum();
            let error: f64 = singles.iter().map(|(_, totals)| totals.error).sum();
            assert_eq!(totals.examples, batch as u64);
            assert!((totals.loss - loss).abs() <= 1e-5 * loss, "{totals:?} {loss}");
            assert!((totals.error - error).abs() <= 1e-5 * error, "{totals:?} {error}");
        }
    }
}

#[test]
fn the_last_batch_is_that_of_the_last_update_with_the_outputs_before_it() {
    let mut serial = Serial::new(&Lab { batch: 5, ..Lab::default() }.config()).unwrap();
    let task = *serial.task();
    assert_eq!(serial.last_batch().0.count, 0);
    let pairs = [Pair { a: 100, b: 27 }, Pair { a: 1, b: 2 }, Pair { a: 9, b: 9 }];
    let before = serial.parameters().clone();
    serial.train_on(|batch| task.encode(&pairs, batch));
    let (batch, outputs) = serial.last_batch();
    let (pair, sum, error) = task.first_example(batch, outputs);
    assert_eq!(pair, pairs[0]);

    let mut network = model::Network::new(before.config());
    let mut first = Batch::default();
    task.encode(&pairs[..1], &mut first);
    let (Inputs::Values(x), Targets::Values(targets)) = (&first.inputs, &first.targets) else {
        panic!("additions are values")
    };
    let outputs = network.forward(&before, x, 8, 1);
    let expected: f32 = outputs.iter().zip(&**targets).map(|(o, y)| (y - o).abs()).sum();
    assert!((error - expected).abs() <= 1e-5, "{error} {expected}");
    assert_eq!(sum, task.decode(outputs, 1, 0));
}

#[test]
fn configurations_that_make_no_sense_are_refused_with_the_value() {
    let refused = |change: fn(&mut Lab)| {
        let mut config = Lab::default();
        change(&mut config);
        Serial::new(&config.config()).unwrap_err()
    };
    assert!(matches!(Addition::new(65), Err(Error::Bits(65))));
    assert!(matches!(refused(|c| c.batch = 0), Error::Batch(0)));
    assert!(matches!(refused(|c| c.batch = MOST_BATCH + 1), Error::Batch(_)));
    assert!(matches!(refused(|c| c.learning_rate = -1.0), Error::LearningRate(_)));
    assert!(matches!(refused(|c| c.learning_rate = f32::NAN), Error::LearningRate(_)));
    assert!(matches!(refused(|c| c.hidden = 0), Error::Model(model::Error::Zero(_))));
    assert!(matches!(refused(|c| c.hidden = 1 << 40), Error::Model(_)));
}

#[test]
#[should_panic(expected = "at least one example")]
fn an_update_on_nothing_panics() {
    let mut serial = Serial::new(&Addition::lab()).unwrap();
    let task = *serial.task();
    serial.train_on(|batch| task.encode(&[], batch));
}

#[test]
#[should_panic(expected = "operands must be below 128")]
fn an_operand_with_too_many_bits_panics() {
    Addition::new(8).unwrap().encode(&[Pair { a: 128, b: 0 }], &mut Batch::default());
}
