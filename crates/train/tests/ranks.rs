//! Trainings over ranks: the bits of one process with as many workers, states that go on, and what
//! must not make a difference. Ranks are threads here; `xtask/tests/cluster.rs` has processes.

mod lab;

use lab::Lab;
use model::{Cell, Nonlinearity};
use std::sync::Arc;
use std::thread;
use train::Error;
use train::config::{
    Compress, Extent, NetworkConfig, OuterRule, RanksConfig, RunConfig, Strategy, StrategyConfig,
};
use train::followers::{self, Next};
use train::metrics::Totals;
use train::optimizer::{Clip, Descent, Rule, Schedule};
use train::task::machine::Machine;
use train::task::text::Reading;
use train::task::{Addition, Task, Text, Words};
use train::trainer::Trainer;
use train::transport::{Threads, Transport};

/// What `lead` comes to as rank 0 of so many, the others following.
fn led<T: Task, O: Send>(ranks: usize, lead: impl FnOnce(Arc<dyn Transport>) -> O + Send) -> O {
    let mut all = Threads::new(ranks).into_iter().map(|rank| Arc::new(rank) as Arc<dyn Transport>);
    let zero = all.next().unwrap();
    thread::scope(|scope| {
        for transport in all {
            scope.spawn(move || {
                let _not_alone = Guard(None);
                let mut next = followers::first(&*transport);
                while let Next::Begin(begin) = next {
                    assert_eq!(begin.task_name().unwrap(), T::NAME);
                    next = followers::follow::<T>(&transport, *begin);
                }
            });
        }
        let _followers = Guard(Some(Arc::clone(&zero)));
        lead(zero)
    })
}

/// Tells the followers when rank 0 has ended, however it has. A follower that panics ends all: the
/// others would wait for it.
struct Guard(Option<Arc<dyn Transport>>);

impl Drop for Guard {
    fn drop(&mut self) {
        match &self.0 {
            Some(transport) => followers::end(&**transport),
            None if thread::panicking() => std::process::abort(),
            None => {}
        }
    }
}

fn bits<T: Task>(trainer: &Trainer<T>) -> Vec<u32> {
    trainer.parameters().arena().iter().map(|w| w.to_bits()).collect()
}

/// The parameters after calls for so many examples each, and what these came to.
type Outcome = (Vec<u32>, Vec<Totals>);

fn alone<T: Task>(config: &RunConfig<T>, calls: &[u64]) -> Outcome {
    let mut trainer = Trainer::new(config).unwrap();
    let totals = calls.iter().map(|&examples| trainer.train(examples)).collect();
    (bits(&trainer), totals)
}

/// The same on ranks; between the calls the state is taken, and another trainer goes on from it.
fn over_ranks<T: Task>(config: &RunConfig<T>, ranks: usize, calls: &[u64]) -> Outcome {
    led::<T, _>(ranks, |transport| {
        let mut trainer = Trainer::across(Some(Arc::clone(&transport)), config).unwrap();
        let mut totals = Vec::new();
        for &examples in calls {
            totals.push(trainer.train(examples));
            let state = trainer.state();
            assert_eq!(state.examples(), totals.iter().map(|totals| totals.examples).sum::<u64>());
            let transport = Some(Arc::clone(&transport));
            trainer = Trainer::across_from_state(transport, config, state).unwrap();
        }
        (bits(&trainer), totals)
    })
}

/// By `name`, with so many workers, which are on so many ranks.
fn by<T: Task>(
    config: &RunConfig<T>,
    name: Strategy,
    workers: usize,
    ranks: RanksConfig,
) -> RunConfig<T> {
    let strategy = StrategyConfig { name, threads: workers, push_every: 12 };
    RunConfig { strategy, ranks, ..config.clone() }
}

fn on(count: usize) -> RanksConfig {
    RanksConfig { count, ..RanksConfig::ALONE }
}

/// One process with as many workers ends in the same bits, and adds up to the same losses.
fn check<T: Task>(config: &RunConfig<T>, calls: &[u64]) {
    for (ranks, threads) in [(2, 1), (3, 1), (4, 1), (2, 2), (3, 2)] {
        let workers = ranks * threads;
        let one = by(config, Strategy::Synchronous, workers, RanksConfig::ALONE);
        let many = by(config, Strategy::Synchronous, workers, on(ranks));
        let (one, many) = (alone(&one, calls), over_ranks(&many, ranks, calls));
        assert!(one == many, "{} synchronous on {ranks} × {threads}: {:?}", T::NAME, many.1);
        if threads > 1 {
            continue;
        }
        for outer in [OuterRule::Sgd, OuterRule::Nesterov] {
            let alone_too = RanksConfig { outer, ..RanksConfig::ALONE };
            let one = by(config, Strategy::Averaging, workers, alone_too);
            let many = by(config, Strategy::Averaging, workers, RanksConfig { outer, ..on(ranks) });
            let (one, many) = (alone(&one, calls), over_ranks(&many, ranks, calls));
            assert!(one == many, "{} averaging on {ranks}, {outer:?}: {:?}", T::NAME, many.1);
        }
    }
}

/// Every rule, clipping and schedule once.
fn optimizers() -> [(Rule, Clip, Schedule); 4] {
    let descent = Rule::Sgd(Descent { momentum: 0.9, nesterov: true, weight_decay: 1e-4 });
    let cosine = Schedule::Cosine { warmup: 20, steps: 900, floor: 0.1 };
    [
        (Rule::SGD, Clip::None, Schedule::Constant),
        (descent, Clip::Value(0.1), Schedule::Step { every: 100, factor: 0.5 }),
        (Rule::ADAM, Clip::Norm(1.0), cosine),
        (Rule::ADAM_W, Clip::None, Schedule::Constant),
    ]
}

#[test]
fn ranks_end_in_the_bits_of_one_process_with_every_optimizer() {
    for (optimizer, clip, schedule) in optimizers() {
        let (batch, learning_rate) = (4, 0.05);
        let lab = Lab { optimizer, clip, schedule, batch, learning_rate, ..Lab::default() };
        // A batch and a round are cut, and a batch has fewer examples than there are workers.
        check(&lab.config(), &[240, 97, 1, 2, 30]);
    }
}

fn text(folder: &std::path::Path) -> Text {
    let path = folder.join("text.txt");
    let words = ["the cat", "a dog", "sees", "follows", "an old man.\n"];
    let text: String = (0..900).map(|n: usize| words[n * n % 7 % 5]).collect();
    std::fs::write(&path, text).unwrap();
    Text::open(&[path], Reading { chunk: 7, ..Reading::default() }).unwrap()
}

fn networks() -> Vec<NetworkConfig> {
    let tanh = Cell::Elman(Nonlinearity::Tanh);
    let deep = NetworkConfig { layers: 2, dropout: 0.2, ..NetworkConfig::new(Cell::Lstm, 5) };
    // So large that blocks are cut, and several.
    let large = NetworkConfig::new(Cell::Lstm, 130);
    vec![NetworkConfig::new(tanh, 9), NetworkConfig::new(Cell::Gru, 17), deep, large]
}

#[test]
fn ranks_end_in_the_bits_of_one_process_with_every_network_of_a_text() {
    let folder = tempfile::tempdir().unwrap();
    for network in networks() {
        let text = text(folder.path()).training();
        let run = Extent::new(10_000, 6, 3);
        check(&RunConfig { network, run, ..text }, &[72 * 6, 20]);
    }
}

#[test]
fn ranks_end_in_the_bits_of_one_process_on_words_of_a_machine() {
    let machine = Machine::built_in("parity").unwrap();
    let words = Words::new(machine, 8).unwrap().training();
    let run = Extent::new(10_000, 8, 5);
    check(&RunConfig { run, ..words }, &[500]);
}

#[test]
fn compressed_ranks_agree_and_learn_as_others_do() {
    let lab = Lab { optimizer: Rule::ADAM, learning_rate: 0.02, batch: 8, ..Lab::default() };
    for (strategy, ranks, threads) in [
        (Strategy::Synchronous, 2, 1),
        (Strategy::Synchronous, 3, 2),
        (Strategy::Averaging, 3, 1),
        (Strategy::Averaging, 2, 2),
    ] {
        let of = |compress| {
            let ranks_config = RanksConfig { compress, ..on(ranks) };
            let config = by(&lab.config(), strategy, ranks * threads, ranks_config);
            let (bits, totals) = over_ranks(&config, ranks, &[12_000, 4_800]);
            (bits, totals[1].loss / 4_800.0)
        };
        let (plain, compressed) = (of(Compress::None), of(Compress::Bf16));
        assert!(plain.0 != compressed.0, "they were compressed");
        assert!(plain.1 < 0.5, "{strategy:?} learns: {}", plain.1);
        let relative = (compressed.1 - plain.1).abs() / plain.1;
        assert!(relative < 0.25, "{strategy:?} {}: {} and {}", ranks, compressed.1, plain.1);
    }
}

#[test]
fn a_compressed_training_goes_on_from_its_state_in_the_same_bits() {
    for (name, threads) in [(Strategy::Synchronous, 2), (Strategy::Averaging, 1)] {
        let ranks = RanksConfig { compress: Compress::Bf16, outer: OuterRule::Nesterov, ..on(2) };
        let lab = Lab { optimizer: Rule::ADAM, batch: 4, ..Lab::default() }.config();
        let config = by(&lab, name, 2 * threads, ranks);
        let whole = led::<Addition, _>(2, |transport| {
            let mut trainer = Trainer::across(Some(transport), &config).unwrap();
            trainer.train(480);
            trainer.train(480);
            bits(&trainer)
        });
        assert!(over_ranks(&config, 2, &[480, 480]).0 == whole, "{name:?}");
    }
}

#[test]
fn a_rank_that_cannot_begin_is_named_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let training = text(folder.path()).training();
    let config =
        by(&RunConfig { run: Extent::new(100, 4, 0), ..training }, Strategy::Averaging, 3, on(3));
    led::<Text, _>(3, |transport| {
        let path = folder.path().join("text.txt");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, "another text").unwrap();
        let error = Trainer::across(Some(Arc::clone(&transport)), &config).unwrap_err();
        let Error::Rank { rank: 1, reason } = &error else { panic!("{error}") };
        assert!(reason.contains("text.txt has changed since"), "{reason}");
        std::fs::remove_file(&path).unwrap();
        let error = Trainer::across(Some(Arc::clone(&transport)), &config).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("rank 1: cannot read ") && text.contains("No such file"),
            "{text}"
        );
        std::fs::write(&path, bytes).unwrap();
        Trainer::across(Some(transport), &config).unwrap().train(36);
    });
}

#[test]
fn strategies_that_need_one_memory_and_workers_that_do_not_divide_are_refused() {
    for (name, workers, reason) in [
        (Strategy::Hogwild, 2, "--strategy averaging"),
        (Strategy::Serial, 2, "--strategy averaging"),
        (Strategy::Averaging, 3, "3 workers cannot be dealt to 2 ranks"),
    ] {
        let config = by(&Lab::default().config(), name, workers, on(2));
        let error = led::<Addition, _>(2, |transport| {
            Trainer::across(Some(transport), &config).unwrap_err().to_string()
        });
        assert!(error.contains(reason), "{error}");
    }
}
