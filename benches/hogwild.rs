//! Criterion group `hogwild`: what sharing parameters between cores costs, and what more cores
//! would do.
//!
//! | name | what is timed |
//! | --- | --- |
//! | `line_transfer` | the transfer of a cache line from one core to another |
//! | `push/used_rows`, `push/all_rows` | a push while another worker pushes, with 1,024 one-hot inputs and 16 units: with the rows of `W_in` that were used, and with all of them |
//! | `SIZE/independent/N` | an example of N serial trainings at the same time that share nothing: no strategy can be faster |
//! | `SIZE/hogwild/K` | an example of Hogwild! with a worker a core, which push every K |
//!
//! SIZE is `lab` (H = 16, T = 8) or `wide` (H = 128, T = 64). An example is one of all workers
//! together. From these times a model of the cost is fitted, see [`CostModel`]; it and what it
//! predicts are printed at the end, for people and, in the last line, as a JSON object for `cargo
//! xtask bench hogwild`.
//!
//! What this is not: a comparison of strategies, which differ in the examples that they need as
//! well. That is `cargo xtask bench hogwild`, by `train::time_to_target`.

mod build_check;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use model::{Config, Parameters};
use serde_json::{Value, json};
use train::config::{RunConfig, Strategy, StrategyConfig};
use train::shared::{Replica, Shared};
use train::statistics::median;
use train::task::Addition;
use train::trainer::Trainer;

/// One-hot inputs of the network whose pushes are timed.
const ONE_HOT: usize = 1_024;
/// Its hidden units: a row of `W_in`.
const UNITS: usize = 16;

/// A training whose cost is modelled, and the K at which it is timed.
struct Size {
    name: &'static str,
    config: fn() -> RunConfig<Addition>,
    push_every: &'static [u64],
}

const SIZES: [Size; 2] = [
    Size { name: "lab", config: Addition::lab, push_every: &[1, 2, 4, 8, 16, 32, 64, 128, 256] },
    Size {
        name: "wide",
        config: || {
            let mut config = Addition::recipe(64, 128).expect("1 to 64 bits");
            config.optimizer.learning_rate = 0.024;
            config
        },
        push_every: &[1, 2, 4, 8, 16],
    },
];

/// Times `run`, which makes so many iterations and says how long they took. Returns the median
/// seconds of an iteration; none where Criterion was asked for other benchmarks only.
fn measure(
    group: &mut BenchmarkGroup<WallTime>,
    id: &str,
    mut run: impl FnMut(u64) -> Duration,
) -> Option<f64> {
    let mut samples: Vec<(u64, f64)> = Vec::new();
    group.bench_function(id, |b| {
        b.iter_custom(|count| {
            let time = run(count);
            samples.push((count, time.as_secs_f64() / count as f64));
            time
        });
    });
    // Fewer iterations are those of the warm-up.
    let most = samples.iter().map(|(count, _)| *count).max()?;
    let whole = samples.iter().filter(|(count, _)| *count == most);
    Some(median(&whole.map(|(_, seconds)| *seconds).collect::<Vec<_>>()))
}

/// The time of `asked` transfers of a line from core to core: two threads count in turns, and each
/// count has to reach the other. They make at least some thousands, for the scheduler first has to
/// give a core to each. Threads that do not run at the same time would take for ever: they give up
/// after a fifth of a second, and the time is extrapolated from the transfers so far.
fn line_transfer(asked: u64) -> Duration {
    const LEAST: u32 = 20_000;
    const PATIENCE: Duration = Duration::from_millis(200);
    let turns = u32::try_from(asked).unwrap_or(u32::MAX).max(LEAST);
    let count = AtomicU32::new(0);
    let begin = Instant::now();
    // Nothing but the count itself is read: relaxed.
    let play = |parity: u32| {
        for tries in 1_u64.. {
            let now = count.load(Relaxed);
            if now >= turns || (tries.is_multiple_of(1_000) && begin.elapsed() > PATIENCE) {
                break;
            }
            if now % 2 == parity {
                count.store(now + 1, Relaxed);
            }
        }
    };
    let start = thread::scope(|scope| {
        scope.spawn(|| play(1));
        // The other is awake when it has answered this.
        count.store(1, Relaxed);
        while count.load(Relaxed) == 1 && begin.elapsed() < PATIENCE {}
        let start = Instant::now();
        play(0);
        start
    });
    let elapsed = start.elapsed();
    elapsed.mul_f64(asked as f64 / f64::from(count.into_inner().max(1)))
}

/// A worker of the network with one-hot inputs: gives input `input` a change and pushes it.
fn push_once(replica: &mut Replica, shared: &Shared, x: &mut [f32], input: usize, all: bool) {
    x[input] = 1.0;
    replica.use_inputs(model::Inputs::Values(x), shared);
    x[input] = 0.0;
    replica.parameters.arena_mut()[input * UNITS] += 1.0;
    if all {
        replica.push_all(shared);
    } else {
        replica.push(1, shared);
    }
}

fn one_hot_network() -> Parameters {
    Parameters::zeros(Config::lab(ONE_HOT, UNITS, 1).expect("a network"))
}

/// The time of `pushes` of a worker, while another makes as many.
fn push(pushes: u64, all: bool) -> Duration {
    let zeros = one_hot_network();
    let shared = Shared::new(zeros.arena());
    let begin = Barrier::new(2);
    let run = |number: usize| {
        let mut replica = Replica::new(zeros.clone(), number, 2);
        let mut x = vec![0.0; ONE_HOT];
        begin.wait();
        let start = Instant::now();
        for n in 0..pushes as usize {
            push_once(&mut replica, &shared, &mut x, (n * 7 + number) % ONE_HOT, all);
        }
        start.elapsed()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        (run(0) + other.join().expect("a push does not panic")) / 2
    })
}

/// A push of the rows that were used leaves in the shared memory what a push of all rows does.
fn check_push() {
    let pushed = |all| {
        let zeros = one_hot_network();
        let shared = Shared::new(zeros.arena());
        let mut replica = Replica::new(zeros.clone(), 0, 1);
        let mut x = vec![0.0; ONE_HOT];
        for n in 0..100 {
            push_once(&mut replica, &shared, &mut x, n * 7 % ONE_HOT, all);
        }
        let mut values = zeros.arena().to_vec();
        shared.read(&mut values);
        values
    };
    let values = pushed(true);
    assert_eq!(values.iter().sum::<f32>(), 100.0, "no change is lost");
    assert!(pushed(false) == values, "a push of the used rows is a push of all");
}

/// The time in which `threads` serial trainings that share nothing make `examples` examples, all
/// together: at the sum of their rates.
fn independent(config: &RunConfig<Addition>, threads: usize, examples: u64) -> Duration {
    let each = examples.div_ceil(threads as u64);
    let begin = Barrier::new(threads);
    let rates = thread::scope(|scope| {
        let train = |seed| {
            let mut config = config.clone();
            config.run.seed = seed;
            let begin = &begin;
            scope.spawn(move || {
                let mut trainer = Trainer::new(&config).expect("a configuration");
                trainer.train(each.div_ceil(10)); // fills the caches
                begin.wait();
                let start = Instant::now();
                black_box(trainer.train(each));
                each as f64 / start.elapsed().as_secs_f64()
            })
        };
        let all: Vec<_> = (0..threads as u64).map(train).collect();
        all.into_iter().map(|one| one.join().expect("a training does not panic")).sum::<f64>()
    });
    Duration::from_secs_f64(examples as f64 / rates)
}

/// The time of `examples` examples by `threads` workers of Hogwild!, from fresh weights.
fn hogwild(
    config: &RunConfig<Addition>,
    threads: usize,
    push_every: u64,
    examples: u64,
) -> Duration {
    let strategy = StrategyConfig { name: Strategy::Hogwild, threads, push_every };
    let config = RunConfig { strategy, ..config.clone() };
    let mut trainer = Trainer::new(&config).expect("a configuration");
    trainer.train(examples.div_ceil(10)); // fills the caches and wakes the threads
    let start = Instant::now();
    black_box(trainer.train(examples));
    start.elapsed()
}

/// What an example and a push cost a worker of Hogwild!, and so what more of them would do.
///
/// ```text
/// seconds an example of one worker     a + b/K
/// a line of W_in or W_out              is wanted P = min(K, 4) times in K examples, for t each
/// rate of N workers                    min( N / (a + b/K),  K / (P·t) )
/// ```
///
/// The second is a wall: a line can be in one place at a time, so no more than 1/t parts of
/// pushes a second get it, by however many workers. (Where the output layer is synchronised
/// early, examples are so long that the wall of `W_out`, wanted twice an example, is far away.)
#[derive(Clone, Copy, Debug, PartialEq)]
struct CostModel {
    /// a, seconds an example.
    example: f64,
    /// b, seconds a push while other workers push.
    push: f64,
    /// t, seconds a line from core to core.
    transfer: f64,
}

impl CostModel {
    /// The parts in which a push is made.
    const PARTS: f64 = 4.0;

    /// Fits a and b to measured `(K, seconds an example of one worker)` by least squares of
    /// the relative error; `None` from fewer than two K.
    fn fit(points: &[(u64, f64)], transfer: f64) -> Option<Self> {
        // Minimise Σ (a·u + b·v − 1)² with u = 1/s, v = 1/(K·s).
        let (mut uu, mut uv, mut vv, mut u1, mut v1) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(k, seconds) in points {
            let (u, v) = (1.0 / seconds, 1.0 / (seconds * k as f64));
            uu += u * u;
            uv += u * v;
            vv += v * v;
            u1 += u;
            v1 += v;
        }
        let determinant = uu * vv - uv * uv;
        (determinant > 1e-9 * uu * vv).then(|| Self {
            example: (u1 * vv - v1 * uv) / determinant,
            push: (v1 * uu - u1 * uv) / determinant,
            transfer,
        })
    }

    /// Examples a second of `workers` (N) that push every `push_every` (K).
    fn rate(&self, workers: usize, push_every: u64) -> f64 {
        let k = push_every as f64;
        let by_work = workers as f64 / (self.example + self.push / k);
        by_work.min(k / (k.min(Self::PARTS) * self.transfer))
    }

    /// The least K at which pushes take below `share` of a worker's time, and each line is
    /// wanted below `share` of the time, so that no worker queues for it.
    fn least_push_every(&self, workers: usize, share: f64) -> u64 {
        let own = self.push / (share * self.example);
        let queue = Self::PARTS * self.transfer * workers as f64 / (share * self.example);
        own.max(queue).ceil().max(1.0) as u64
    }
}

/// The model is found again in the times that it predicts.
fn check_cost_model() {
    let model = CostModel { example: 4e-7, push: 1.5e-6, transfer: 1e-7 };
    let times = [1, 4, 16, 64].map(|k| (k, model.example + model.push / k as f64));
    let found = CostModel::fit(&times, 1e-7).expect("four K");
    assert!((found.example / model.example - 1.0).abs() < 1e-9, "{found:?}");
    assert!((found.push / model.push - 1.0).abs() < 1e-9, "{found:?}");
    assert_eq!(CostModel::fit(&times[..1], 1e-7), None);
    assert_eq!(CostModel::fit(&[], 1e-7), None);

    // one worker's pushes take 5 % at K = 75; eight make a line wanted 5 % of it at 160
    assert_eq!(model.least_push_every(1, 0.05), 75);
    assert_eq!(model.least_push_every(8, 0.05), 160);
    assert!((model.rate(2, 75) * (4e-7 + 2e-8) / 2.0 - 1.0).abs() < 1e-9);
    assert_eq!(model.rate(64, 1), 1.0 / 1e-7);
    assert_eq!(model.rate(1_000, 8), 2.0 / 1e-7);
}

/// A size, timed.
struct Fitted {
    name: &'static str,
    config: RunConfig<Addition>,
    /// The workers of Hogwild!.
    workers: usize,
    /// N, and the examples a second of N trainings that share nothing, one first.
    independent: Vec<(usize, f64)>,
    model: CostModel,
}

/// Times a size and fits the model; none where that was not asked for.
fn measure_size(
    group: &mut BenchmarkGroup<WallTime>,
    size: &Size,
    cores: usize,
    transfer: Option<f64>,
) -> Option<Fitted> {
    let config = (size.config)();
    let mut doublings: Vec<usize> = (0..).map(|n| 1 << n).take_while(|&n| n < cores).collect();
    doublings.push(cores);
    let mut apart = Vec::new();
    for threads in doublings {
        let id = format!("{}/independent/{threads}", size.name);
        let seconds = measure(group, &id, |examples| independent(&config, threads, examples));
        apart.extend(seconds.map(|seconds| (threads, 1.0 / seconds)));
    }
    let mut points = Vec::new();
    for &k in size.push_every {
        let id = format!("{}/hogwild/{k}", size.name);
        let seconds = measure(group, &id, |examples| hogwild(&config, cores, k, examples));
        points.extend(seconds.map(|seconds| (k, seconds * cores as f64)));
    }
    let model = CostModel::fit(&points, transfer?)?;
    let is_whole = apart.first().is_some_and(|&(threads, _)| threads == 1);
    is_whole.then_some(Fitted {
        name: size.name,
        config,
        workers: cores,
        independent: apart,
        model,
    })
}

impl Fitted {
    /// Prints the model and what it predicts, and returns both.
    fn print(&self) -> Value {
        let Self { name, config, workers, independent, model } = self;
        println!(
            "\n{name}: an example takes a worker {:.0} ns, a push {:.0} ns, a line {:.0} ns from \
             core to core. Predicted, not measured:\n   N   least K   examples/s   times serial",
            model.example * 1e9,
            model.push * 1e9,
            model.transfer * 1e9,
        );
        let prediction = [2, 4, 8, 16, 32, 64].map(|n| {
            let k = model.least_push_every(n, 0.05);
            let rate = model.rate(n, k);
            println!("{n:>4}{k:>10}{rate:>13.0}{:>15.1}", rate / independent[0].1);
            (n, k, rate)
        });
        json!({
            "size": name,
            "hidden": config.network.hidden,
            "bits": config.task.bits(),
            "workers": workers,
            "independent": independent,
            "model": {
                "example": model.example,
                "push": model.push,
                "transfer": model.transfer,
            },
            "prediction": prediction,
        })
    }
}

fn main() {
    build_check::refuse_slow_build();
    check_cost_model();
    check_push();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // As cargo says it; without, everything is only run once, to be tested.
    let is_measurement = std::env::args().any(|argument| argument == "--bench");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .configure_from_args();
    let mut group = criterion.benchmark_group("hogwild");
    // As many iterations in each sample: a short training is mostly the start of its threads.
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));

    let transfer = measure(&mut group, "line_transfer", line_transfer);
    let used = measure(&mut group, "push/used_rows", |n| push(n, false));
    let all = measure(&mut group, "push/all_rows", |n| push(n, true));
    let sizes: Vec<Fitted> =
        SIZES.iter().filter_map(|size| measure_size(&mut group, size, cores, transfer)).collect();
    group.finish();
    criterion.final_summary();
    let (Some(transfer), Some(used), Some(all)) = (transfer, used, all) else { return };
    if is_measurement {
        let found = json!({
            "cores": cores,
            "line_transfer": transfer,
            "one_hot_push": { "inputs": ONE_HOT, "used_rows": used, "all_rows": all },
            "sizes": sizes.iter().map(Fitted::print).collect::<Vec<_>>(),
        });
        println!("\n{found}");
    }
}
