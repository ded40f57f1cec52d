//! The strategies: one worker is the serial strategy, what must be reproducible is, and
//! Hogwild! learns as well as serial seeds do.

mod lab;

use lab::Lab;
use model::{Config, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use train::Error;
use train::config::Strategy;
use train::metrics::Totals;
use train::optimizer::{Clip, Descent, Rule, Schedule};
use train::state::State;
use train::strategy::{Serial, best_push_every, fastest};
use train::task::Addition;
use train::time_to_target::HeldOut;
use train::trainer::Trainer;

fn bits(parameters: &Parameters) -> Vec<u32> {
    parameters.arena().iter().map(|w| w.to_bits()).collect()
}

fn state_bits(state: &State) -> Vec<u32> {
    state.arena.iter().map(|w| w.to_bits()).collect()
}

fn config(strategy: Strategy, threads: usize, push_every: u64) -> Lab {
    Lab { strategy, threads, push_every, ..Lab::default() }
}

#[test]
fn one_worker_is_the_serial_strategy_bit_for_bit() {
    // The last two are so large that Hogwild! exchanges W_out in the middle of a batch.
    for (hidden, digits, batch) in [(16, 8, 1), (5, 8, 1), (17, 8, 3), (64, 8, 8), (70, 64, 1)] {
        let base = Lab { hidden, bits: digits, batch, seed: 3, ..Lab::default() };
        let mut serial = Serial::new(&base.config()).unwrap();
        let expected = serial.train(400);
        for strategy in Strategy::ALL {
            for push_every in [1, 7, 64] {
                let config = Lab { strategy, push_every, ..base.clone() };
                let mut trainer = Trainer::new(&config.config()).unwrap();
                let found = trainer.train(400);
                assert_eq!(bits(trainer.parameters()), bits(serial.parameters()), "{config:?}");
                let shown = |(batch, y)| trainer.task().first_example(batch, y);
                assert_eq!(shown(trainer.last_batch()), shown(serial.last_batch()), "{config:?}");
                assert_eq!(found.examples, 400);
                assert!((found.loss - expected.loss).abs() <= 1e-12 * expected.loss);
            }
        }
    }
}

#[test]
fn biases_are_trained_where_they_are_asked_for_by_every_strategy() {
    for (strategy, hidden, bits) in
        Strategy::ALL.into_iter().flat_map(|strategy| [(strategy, 16, 8), (strategy, 128, 64)])
    {
        let base = Lab { hidden, bits, bias: true, ..Lab::default() };
        let mut trainer = Trainer::new(&Lab { threads: 2, strategy, ..base }.config()).unwrap();
        let first = trainer.parameters().clone();
        trainer.train(200);
        let names = ["bias_ih_l0", "bias_hh_l0", "head.bias"];
        for tensor in first.tensors().iter().filter(|tensor| names.contains(&tensor.name())) {
            let has_moved = |index| first.arena()[index] != trainer.parameters().arena()[index];
            assert!(tensor.indices().all(has_moved), "{strategy:?} {}", tensor.name());
        }
        assert_eq!(first.tensors().len(), 6);
    }
}

/// Every rule, clipping and schedule once, and some of them together.
fn optimizers() -> [(Rule, Clip, Schedule); 6] {
    let descent = |nesterov| Rule::Sgd(Descent { momentum: 0.9, nesterov, weight_decay: 1e-4 });
    let cosine = Schedule::Cosine { warmup: 20, steps: 900, floor: 0.1 };
    [
        (Rule::SGD, Clip::Norm(0.5), Schedule::Constant),
        (Rule::SGD, Clip::None, cosine),
        (descent(false), Clip::Value(0.1), Schedule::Step { every: 100, factor: 0.5 }),
        (descent(true), Clip::None, Schedule::Constant),
        (Rule::ADAM, Clip::Norm(1.0), cosine),
        (Rule::ADAM_W, Clip::None, Schedule::Constant),
    ]
}

#[test]
fn one_worker_is_the_serial_strategy_with_every_optimizer_and_they_differ() {
    let mut all = Vec::new();
    for (optimizer, clip, schedule) in optimizers() {
        // So large that Hogwild! exchanges W_out by itself, where the optimizer lets it.
        let (hidden, batch, learning_rate) = (64, 8, 0.02);
        let sizes = Lab { hidden, batch, ..Lab::default() };
        let base = Lab { optimizer, clip, schedule, learning_rate, ..sizes };
        let mut serial = Serial::new(&base.config()).unwrap();
        serial.train(400);
        for strategy in Strategy::ALL {
            for push_every in [1, 16] {
                let config = Lab { strategy, push_every, ..base.clone() };
                let mut trainer = Trainer::new(&config.config()).unwrap();
                trainer.train(240);
                trainer.train(160);
                assert_eq!(bits(trainer.parameters()), bits(serial.parameters()), "{config:?}");
            }
        }
        all.push(bits(serial.parameters()));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), optimizers().len());
}

#[test]
fn an_optimizers_memory_is_in_the_state_and_belongs_to_the_worker() {
    for (optimizer, clip, schedule) in optimizers() {
        for strategy in [Strategy::Serial, Strategy::Synchronous, Strategy::Averaging] {
            let threads = if strategy == Strategy::Serial { 1 } else { 3 };
            let config = Lab {
                optimizer,
                clip,
                schedule,
                batch: 4,
                learning_rate: 0.05,
                ..config(strategy, threads, 32)
            };
            let mut whole = Trainer::new(&config.config()).unwrap();
            whole.train(500);
            whole.train(700);

            let mut first = Trainer::new(&config.config()).unwrap();
            first.train(500);
            let mut second = Trainer::from_state(&config.config(), first.state()).unwrap();
            second.train(700);
            assert_eq!(bits(second.parameters()), bits(whole.parameters()), "{config:?}");
            assert_eq!(second.state().workers, whole.state().workers);
        }
        // Of several workers each has its own; of a batch that is shared out, one steps.
        let moments = match optimizer {
            Rule::Sgd(Descent { momentum: 0.0, .. }) => 0,
            Rule::Sgd(_) => 1,
            _ => 2,
        };
        for (strategy, steppers) in
            [(Strategy::Hogwild, 3), (Strategy::Averaging, 3), (Strategy::Synchronous, 1)]
        {
            let config = Lab { optimizer, clip, schedule, ..config(strategy, 3, 8) };
            let mut trainer = Trainer::new(&config.config()).unwrap();
            trainer.train(2_000);
            let workers = trainer.state().workers;
            // Of Hogwild!'s workers one may have come too late for an example.
            let has_stepped = |n: usize| n < steppers && workers[n].examples > 0;
            for (n, worker) in workers.iter().enumerate() {
                let expected = if has_stepped(n) { moments } else { 0 };
                assert_eq!(worker.moments.len(), expected, "{config:?}");
            }
            let steps: u64 = workers.iter().map(|worker| worker.steps).sum();
            assert_eq!(steps, 2_000, "{config:?}");
            if moments > 0 && has_stepped(1) {
                assert_ne!(workers[0].moments, workers[1].moments, "{config:?}");
            }
        }
    }
}

#[test]
fn a_state_of_another_optimizer_is_refused() {
    let adam = Lab { optimizer: Rule::ADAM, ..Lab::default() };
    let mut trainer = Trainer::new(&adam.config()).unwrap();
    trainer.train(10);
    let error = Trainer::from_state(&Lab::default().config(), trainer.state()).unwrap_err();
    assert!(matches!(error, Error::OptimizerState(_)), "{error}");
    let mut short = trainer.state();
    short.workers[0].moments[1].pop();
    let error = Trainer::from_state(&adam.config(), short).unwrap_err();
    assert!(matches!(error, Error::OptimizerState(_)), "{error}");
}

#[test]
fn a_schedule_counts_the_updates_of_all_workers() {
    // A rate that falls to nothing after 400 updates: nothing changes any more, and the two
    // workers have made them together.
    let schedule = Schedule::Cosine { warmup: 0, steps: 400, floor: 0.0 };
    for strategy in [Strategy::Hogwild, Strategy::Averaging] {
        let mut trainer =
            Trainer::new(&Lab { schedule, ..config(strategy, 2, 4) }.config()).unwrap();
        trainer.train(200);
        let half = bits(trainer.parameters());
        // A worker of Hogwild!'s that woke up late makes up for it.
        while trainer.state().workers.iter().any(|worker| worker.steps < 200) {
            trainer.train(1_000);
        }
        let end = bits(trainer.parameters());
        assert_ne!(half, end, "{strategy:?}");
        trainer.train(1_000);
        assert_eq!(bits(trainer.parameters()), end, "{strategy:?}");
    }
}

#[test]
fn hogwild_learns_with_every_optimizer() {
    let held_out = HeldOut::new(Addition::new(8).unwrap(), 500);
    for (optimizer, learning_rate) in [
        (Rule::Sgd(Descent { momentum: 0.9, nesterov: false, weight_decay: 0.0 }), 0.01),
        (Rule::Sgd(Descent { momentum: 0.9, nesterov: true, weight_decay: 0.0 }), 0.01),
        (Rule::ADAM, 0.005),
        (Rule::ADAM_W, 0.005),
    ] {
        let config = Lab { optimizer, learning_rate, ..config(Strategy::Hogwild, 2, 8) };
        let mut trainer = Trainer::new(&config.config()).unwrap();
        let before = held_out.loss(trainer.parameters());
        trainer.train(15_000);
        let after = held_out.loss(trainer.parameters());
        assert!(after < 0.2 * before, "{optimizer:?}: from {before} to {after}");
    }
}

/// 64 units and batches of 8: W_out is exchanged in the middle of each, or by Clip::Norm is not.
#[test]
fn hogwild_learns_where_the_head_goes_first_and_where_its_step_has_no_parts() {
    let held_out = HeldOut::new(Addition::new(8).unwrap(), 500);
    for clip in [Clip::None, Clip::Norm(4.0)] {
        let sizes = Lab { hidden: 64, batch: 8, clip, ..config(Strategy::Hogwild, 2, 8) };
        let mut trainer = Trainer::new(&Lab { learning_rate: 0.5, ..sizes }.config()).unwrap();
        let before = held_out.loss(trainer.parameters());
        trainer.train(15_000);
        let after = held_out.loss(trainer.parameters());
        assert!(after < 0.2 * before, "{clip:?}: from {before} to {after}");
    }
}

#[test]
fn the_same_seed_and_workers_give_the_same_bits_unless_parameters_are_shared() {
    for strategy in [Strategy::Synchronous, Strategy::Averaging] {
        for (threads, batch, push_every) in [(2, 1, 1), (2, 8, 8), (3, 16, 16), (5, 7, 50)] {
            let config = Lab { batch, ..config(strategy, threads, push_every) };
            let run = || {
                let mut trainer = Trainer::new(&config.config()).unwrap();
                let totals = trainer.train(1_003);
                (bits(trainer.parameters()), totals, trainer.state().workers)
            };
            let (first, again) = (run(), run());
            assert!(first == again, "{config:?}");
            assert_eq!(first.1.examples, 1_003);
        }
    }
}

#[test]
fn synchronous_training_is_serial_training_but_for_rounding() {
    for (threads, batch, examples) in [(2, 8, 800), (3, 64, 1_000), (4, 3, 100), (7, 5, 103)] {
        let config = Lab { batch, ..config(Strategy::Synchronous, threads, 1) };
        let mut synchronous = Trainer::new(&config.config()).unwrap();
        let mut serial = Serial::new(&config.config()).unwrap();
        let (found, expected) = (synchronous.train(examples), serial.train(examples));
        assert_eq!(found.examples, expected.examples);
        assert!((found.loss - expected.loss).abs() <= 1e-4 * expected.loss, "{found:?}");
        let pairs = synchronous.parameters().arena().iter().zip(serial.parameters().arena());
        let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= 1e-4, "{far} apart: {config:?}");
    }
}

#[test]
fn a_training_goes_on_from_its_state_as_if_it_had_not_stopped() {
    for strategy in [Strategy::Serial, Strategy::Synchronous, Strategy::Averaging] {
        let threads = if strategy == Strategy::Serial { 1 } else { 3 };
        let config = Lab { batch: 4, ..config(strategy, threads, 32) };
        let mut whole = Trainer::new(&config.config()).unwrap();
        whole.train(500);
        whole.train(700);

        let mut first = Trainer::new(&config.config()).unwrap();
        first.train(500);
        let state = first.state();
        assert_eq!(state.examples(), 500);
        drop(first);
        let mut second = Trainer::from_state(&config.config(), state).unwrap();
        second.train(700);
        assert_eq!(bits(second.parameters()), bits(whole.parameters()), "{strategy:?}");
        assert_eq!(second.state().workers, whole.state().workers);
    }
}

#[test]
fn a_shared_training_is_taken_and_restored_at_any_example() {
    let config = config(Strategy::Hogwild, 3, 8);
    let mut first = Trainer::new(&config.config()).unwrap();
    let totals = first.train(1_001);
    let state = first.state();
    assert_eq!((totals.examples, state.examples()), (1_001, 1_001));
    let mut second = Trainer::from_state(&config.config(), state.clone()).unwrap();
    assert_eq!(bits(second.parameters()), state_bits(&state));
    second.train(999);
    assert_eq!(second.state().examples(), 2_000);
    // No example is drawn twice: each generator stands where its worker's count says.
    for (state, first) in
        second.state().workers.iter().zip(State::new(&config.config(), 3).unwrap().workers)
    {
        let mut generator = first.generator;
        let task = Addition::new(8).unwrap();
        for _ in 0..state.examples {
            task.sample(&mut generator);
        }
        assert_eq!(generator, state.generator);
    }
}

#[test]
fn worker_n_draws_from_the_nth_jump_of_the_runs_generator() {
    let config = Lab { seed: 5, ..Lab::default() };
    let state = State::new(&config.config(), 4).unwrap();
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
    let sizes = Config::lab(Addition::INPUTS, config.hidden, Addition::OUTPUTS).unwrap();
    let first = Parameters::uniform(sizes, &mut generator);
    assert_eq!(state_bits(&state), bits(&first));
    for worker in state.workers {
        assert_eq!((worker.generator, worker.examples), (generator.clone(), 0));
        generator.jump();
    }
}

#[test]
fn a_round_with_an_example_for_one_worker_alone_is_not_diluted() {
    let mut averaging = Trainer::new(&config(Strategy::Averaging, 4, 10).config()).unwrap();
    let mut serial = Serial::new(&Lab::default().config()).unwrap();
    assert_eq!(averaging.train(1), serial.train(1));
    assert_eq!(bits(averaging.parameters()), bits(serial.parameters()));
}

#[test]
fn the_watch_sees_every_meeting_and_the_parameters_of_the_end() {
    for strategy in Strategy::ALL {
        let threads = if strategy == Strategy::Serial { 1 } else { 2 };
        let mut trainer =
            Trainer::new(&Lab { batch: 10, ..config(strategy, threads, 20) }.config()).unwrap();
        let (mut seen, mut last) = (Vec::new(), Vec::new());
        let totals = trainer.train_watched(400, |examples, parameters| {
            seen.push(examples);
            last = parameters.arena().to_vec();
        });
        assert_eq!(totals.examples, 400);
        assert!(seen.is_sorted() && !seen.is_empty(), "{strategy:?} {seen:?}");
        if strategy != Strategy::Hogwild {
            assert_eq!(seen.last(), Some(&400));
            assert_eq!(last, trainer.parameters().arena(), "{strategy:?}");
        }
    }
}

#[test]
fn nothing_to_do_changes_nothing() {
    for strategy in Strategy::ALL {
        let mut trainer = Trainer::new(&config(strategy, 2, 4).config()).unwrap();
        let before = bits(trainer.parameters());
        assert_eq!(trainer.train(0), Totals::default());
        assert_eq!(bits(trainer.parameters()), before);
    }
}

#[test]
fn workers_that_make_no_sense_are_refused() {
    for strategy in [Strategy::Synchronous, Strategy::Hogwild, Strategy::Averaging] {
        for threads in [0, 1025] {
            let error = Trainer::new(&config(strategy, threads, 1).config()).unwrap_err();
            assert!(matches!(error, Error::Threads(n) if n == threads), "{error}");
        }
        let error = Trainer::new(&config(strategy, 2, 0).config()).unwrap_err();
        assert!(matches!(error, Error::PushEvery), "{error}");
    }
}

#[test]
fn small_jobs_are_serial_large_ones_shared_and_pushes_are_whole_batches() {
    let sizes = |lab: &Lab| {
        let config = lab.config();
        let model = config.network.config(&config.task).unwrap();
        (config, model)
    };
    let fastest = |lab: &Lab, threads| {
        let (config, model) = sizes(lab);
        fastest(&config, model, threads)
    };
    let best_push_every = |lab: &Lab| {
        let (config, model) = sizes(lab);
        best_push_every(&config, model)
    };
    let lab = Lab::default();
    let large = Lab { hidden: 128, bits: 64, ..Lab::default() };
    assert_eq!(fastest(&lab, 2), Strategy::Serial);
    assert_eq!(fastest(&large, 2), Strategy::Hogwild);
    assert_eq!(fastest(&large, 1), Strategy::Serial);
    for hidden in [1, 16, 128, 1_000] {
        for batch in [1, 3, 64] {
            let every = best_push_every(&Lab { hidden, batch, ..lab.clone() });
            assert!(every >= 1 && every.is_multiple_of(batch as u64), "{every}");
        }
    }
    assert_eq!((best_push_every(&lab), best_push_every(&large)), (32, 1));
}

/// How likely a rank sum at least as far from its mean as `sum` is, if both samples are of one
/// distribution: exactly, by counting the subsets of ranks. `n` values of `2n` are ours.
fn mann_whitney(sum: usize, n: usize) -> f64 {
    // counts[k][s]: the ways to choose k of the ranks so far with sum s
    let most = n * (2 * n + 1);
    let mut counts = vec![vec![0.0_f64; most + 1]; n + 1];
    counts[0][0] = 1.0;
    for rank in 1..=2 * n {
        for k in (1..=n).rev() {
            for s in (rank..=most).rev() {
                counts[k][s] += counts[k - 1][s - rank];
            }
        }
    }
    let all: f64 = counts[n].iter().sum();
    // twice the distance from the mean, n (2n + 1) / 2
    let distance = |s: usize| (2 * s).abs_diff(most);
    let beyond = counts[n].iter().enumerate().filter(|(s, _)| distance(*s) >= distance(sum));
    beyond.map(|(_, count)| count).sum::<f64>() / all
}

#[test]
fn the_rank_test_counts_as_the_tables_do() {
    // n = 3: the lowest rank sum, 6, is one of 20 subsets, and so is the highest.
    assert!((mann_whitney(6, 3) - 0.1).abs() < 1e-12);
    assert_eq!(mann_whitney(10, 3), 1.0);
    // n = 20: U = 127, a rank sum of 337, is the critical value of 5 %.
    assert!(mann_whitney(337, 20) <= 0.05 && mann_whitney(339, 20) > 0.05);
}

/// Twenty seeds by four workers, and twenty other seeds by one, at the same learning rate and
/// for as many examples: are the losses of one distribution? Hogwild! is never the same
/// twice, so this can fail by chance: once in a million times at this level. A
/// Hogwild! that lost every second push was found out with p = 7e-9.
#[test]
fn four_workers_reach_a_loss_inside_the_band_of_the_serial_seeds() {
    const SEEDS: u64 = 20;
    let held_out = HeldOut::new(Addition::new(8).unwrap(), 500);
    let loss = |strategy, seed| {
        let config = Lab { seed, ..config(strategy, 4, 4) };
        let mut trainer = Trainer::new(&config.config()).unwrap();
        trainer.train(8_000);
        held_out.loss(trainer.parameters())
    };
    let mut losses: Vec<(f64, bool)> = (0..SEEDS)
        .flat_map(|seed| {
            [(loss(Strategy::Hogwild, seed), true), (loss(Strategy::Serial, seed + SEEDS), false)]
        })
        .collect();
    losses.sort_by(|a, b| a.0.total_cmp(&b.0));
    let sum: usize =
        losses.iter().zip(1..).filter(|((_, ours), _)| *ours).map(|(_, rank)| rank).sum();
    let probability = mann_whitney(sum, SEEDS as usize);
    assert!(probability > 1e-6, "p = {probability:e}: {losses:?}");
}
