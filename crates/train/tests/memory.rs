//! The estimate of memory beside what is allocated.

use model::Cell;
use std::fs;
#[cfg(target_os = "linux")]
use std::process::Command;
use train::Error;
use train::checkpoint::Checkpoint;
use train::config::{NetworkConfig, RunConfig, Strategy, StrategyConfig};
use train::job::{Every, Job, OnDivergence, Options};
use train::memory;
use train::metrics::Totals;
use train::optimizer::Rule;
use train::run_folder::RunFolder;
use train::state::State;
use train::task::Addition;
use train::trainer::Trainer;

/// The bytes that a serial training has at most at a time, and the estimate of them.
fn both(config: &RunConfig<Addition>) -> (f64, f64) {
    let found = allocation_counter::measure(|| {
        let mut trainer = Trainer::new(config).unwrap();
        trainer.train(config.run.examples);
    });
    (found.bytes_max as f64, memory::serial_bytes(config, 1).unwrap() as f64)
}

fn config(cell: Option<Cell>, hidden: usize, bits: u32, batch: usize) -> RunConfig<Addition> {
    let mut config = Addition::recipe(bits, hidden).unwrap();
    if let Some(cell) = cell {
        config.network = NetworkConfig::new(cell, hidden);
    }
    config.run.batch = batch;
    config.run.examples = 2 * batch as u64;
    config
}

#[test]
fn the_estimate_is_near_what_a_training_allocates_where_that_is_much() {
    let mut adam = config(None, 1_000, 1, 1);
    adam.optimizer.rule = Rule::ADAM;
    let mut deep = config(Some(Cell::Lstm), 64, 16, 256);
    (deep.network.layers, deep.network.bidirectional) = (3, true);
    for (name, config) in [
        ("wide", config(None, 1_000, 1, 1)),
        ("wide, with Adam", adam),
        ("a large batch", config(None, 64, 32, 2_048)),
        ("a large batch of a GRU", config(Some(Cell::Gru), 64, 32, 512)),
        ("a large batch of an LSTM", config(Some(Cell::Lstm), 64, 32, 512)),
        ("a wide GRU", config(Some(Cell::Gru), 400, 2, 4)),
        ("three layers, both ways", deep),
    ] {
        let (found, estimate) = both(&config);
        let ratio = estimate / found;
        assert!((0.6..1.3).contains(&ratio), "{name}: {estimate} for {found}, {ratio:.2} times");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_both_figures_and_what_fits_is_not() {
    let least = memory::serial_bytes(&Addition::lab(), 1).unwrap();
    assert!(least < 1 << 20 && memory::check(least).is_ok(), "{least}");
    let large = config(None, 512, 64, 65_536);
    let needed = memory::job_bytes(&large, 0).unwrap();
    // h and dz: 64 steps of 65,536 sequences of 512 units, 8.6 GB each
    assert!((17_000_000_000..20_000_000_000).contains(&needed), "{needed}");
    if cfg!(target_os = "linux") {
        let text = memory::check(u64::MAX).unwrap_err().to_string();
        assert!(text.contains("needs 18.4 EB") && text.contains("are available"), "{text}");
    }
}

#[test]
fn a_training_that_does_not_fit_is_refused_at_every_door() {
    if !cfg!(target_os = "linux") {
        return; // where nobody says how much memory there is
    }
    // h and dz: 64 steps of 65,536 sequences of 16,000 units
    let large = config(None, 16_000, 64, 65_536);
    let refused = |error: Error| match error {
        Error::Memory { needed, available } => assert!(needed > 500_000_000_000 && available > 0),
        other => panic!("{other}"),
    };
    refused(Trainer::new(&large).unwrap_err());
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| RunFolder::create(&folder.path().join(name), false).unwrap();
    refused(Job::start(large, run("start"), OPTIONS).unwrap_err());

    // A small network, and many workers with a large batch each.
    let mut many = config(None, 2, 64, 65_536);
    many.strategy = StrategyConfig { name: Strategy::Hogwild, threads: 1_024, push_every: 1 };
    let state = State::new(&many, 1_024).unwrap();
    let checkpoint = Checkpoint {
        config: many.to_toml(),
        examples: 0,
        seconds: 0.0,
        interval: Totals::default(),
        metrics_bytes: 0,
        first_loss: None,
        validation: Default::default(),
        snapshots: 0,
        state: state.clone(),
    };
    refused(Trainer::from_state(&many, state).unwrap_err());
    let run = run("resume");
    fs::write(run.path().join("metrics.jsonl.unfinished"), "").unwrap();
    checkpoint.write(&run.path().join("checkpoint")).unwrap();
    let run = RunFolder::unfinished(run.path()).unwrap();
    refused(Job::<Addition>::resume(run, OPTIONS).unwrap_err());
}

const OPTIONS: Options = Options {
    checkpoint_every: Every::Seconds(1e9),
    on_divergence: OnDivergence::Stop,
    tensorboard: false,
    snapshots: 0,
};

/// Says in a process of its own which training is measured.
#[cfg(target_os = "linux")]
const CASE: &str = "CARRY_MEMORY_CASE";

/// The trainings whose memory other threads take, or a job with so many snapshots.
#[cfg(target_os = "linux")]
fn cases() -> Vec<(&'static str, RunConfig<Addition>, Option<u32>)> {
    let by = |name: Strategy, threads: usize, mut config: RunConfig<Addition>| {
        config.strategy = StrategyConfig { name, threads, push_every: 1 };
        config.run.examples *= threads as u64;
        config
    };
    let wide = || config(None, 1_500, 1, 1);
    let mut adam = wide();
    adam.optimizer.rule = Rule::ADAM;
    let mut many = wide();
    many.run.examples = 20;
    vec![
        ("Hogwild!, two workers", by(Strategy::Hogwild, 2, wide()), None),
        ("Hogwild!, four workers", by(Strategy::Hogwild, 4, wide()), None),
        ("averaging, two workers", by(Strategy::Averaging, 2, wide()), None),
        ("averaging, four workers, with Adam", by(Strategy::Averaging, 4, adam.clone()), None),
        ("synchronous, two workers", by(Strategy::Synchronous, 2, wide()), None),
        (
            "synchronous, a large batch",
            by(Strategy::Synchronous, 3, config(Some(Cell::Gru), 64, 32, 1_024)),
            None,
        ),
        (
            "Hogwild!, a large batch",
            by(Strategy::Hogwild, 3, config(Some(Cell::Lstm), 64, 32, 256)),
            None,
        ),
        ("a job", wide(), Some(0)),
        ("a job with Adam", adam.clone(), Some(0)),
        ("a job of two workers with Adam", by(Strategy::Averaging, 2, adam), Some(0)),
        ("a job with many snapshots", many, Some(20)),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn the_terms_of_workers_and_of_a_job_are_near_what_a_process_takes() {
    const NAME: &str = "the_terms_of_workers_and_of_a_job_are_near_what_a_process_takes";
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        1_024.0 * line.trim().strip_suffix(" kB").unwrap().parse::<f64>().unwrap()
    };
    if let Ok(case) = std::env::var(CASE) {
        let (_, config, snapshots) = cases().swap_remove(case.parse().unwrap());
        let before = peak();
        if let Some(snapshots) = snapshots {
            let folder = tempfile::tempdir().unwrap();
            let folder = RunFolder::create(&folder.path().join("run"), false).unwrap();
            let mut job = Job::start(config, folder, Options { snapshots, ..OPTIONS }).unwrap();
            job.advance().unwrap();
            while snapshots > 0 && !job.is_done() {
                job.advance().unwrap();
            }
            job.checkpoint().unwrap();
        } else {
            let mut trainer = Trainer::new(&config).unwrap();
            trainer.train(config.run.examples);
        }
        println!("\npeak {}", peak() - before);
        return;
    }
    for (n, (name, config, snapshots)) in cases().into_iter().enumerate() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CASE, n.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix("peak "));
        let found: f64 = found.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap();
        let bytes = match snapshots {
            Some(snapshots) => memory::job_bytes(&config, snapshots),
            None => memory::trainer_bytes(&config),
        };
        let estimate = bytes.unwrap() as f64;
        let ratio = estimate / found;
        println!("{name}: {ratio:.2}");
        assert!((0.6..1.3).contains(&ratio), "{name}: {estimate} for {found}, {ratio:.2} times");
    }
}
