//! Every reader of files against bytes that mean harm: valid files that were changed, and random
//! ones. Whatever they hold, a reader answers, and never panics.
//!
//! ```text
//! input  = 1 in 16: random bytes; else a valid file with 1 to 8 changes
//! change = a bit, a byte, an edge of its type for a number, in text or in 8 bytes,
//!          a stretch cut, doubled, moved, cut off, or taken from another valid file
//! ```
//!
//! Each runs for a moment in every test; `cargo xtask fuzz [READER] --seconds N` runs them for
//! longer, and says how many inputs each was given. An input that a reader panics at is kept.

use certify::ibp::Ibp;
use model::{Cell, weights};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};
use signal_hook::consts;
use signal_hook::flag::{register, register_conditional_shutdown};
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use train::checkpoint::Checkpoint;
use train::config::{NetworkConfig, RunConfig, Strategy, StrategyConfig};
use train::job::{Every, Job, OnDivergence, Options};
use train::optimizer::{Clip, Rule, Schedule};
use train::run_folder::RunFolder;
use train::snapshots::{self, Snapshot};
use train::task::trace::Trace;
use train::task::{Addition, Task};
use train::trainer::Trainer;

/// How long each reader is tried: set by `cargo xtask fuzz`.
const SECONDS: &str = "CARRY_FUZZ_SECONDS";

/// Inputs longer than this are cut: they would test the disk.
const LONGEST: usize = 1 << 16;

/// Gives `read` changed `files`; it says whether it took the input for a file.
fn fuzz(name: &str, files: &[Vec<u8>], mut read: impl FnMut(&[u8]) -> bool) {
    let seconds = std::env::var(SECONDS).ok().map(|text| text.parse().expect("a number"));
    let limit = Duration::from_secs_f64(seconds.unwrap_or(0.5));
    for file in files {
        assert!(read(file), "{name}: a valid file is refused");
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let (start, mut inputs, mut taken) = (Instant::now(), 0_u64, 0_u64);
    let mut slowest = Duration::ZERO;
    while start.elapsed() < limit && !(seconds.is_some() && is_stopped()) {
        let input = input(&mut random, files);
        let begin = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| read(&input))) {
            Ok(is_taken) => taken += u64::from(is_taken),
            Err(panic) => {
                let path = std::env::temp_dir().join(format!("carry-fuzz-{name}"));
                fs::write(&path, &input).unwrap();
                eprintln!("{name}: input {inputs} is kept in {}", path.display());
                std::panic::resume_unwind(panic);
            }
        }
        let took = begin.elapsed();
        if took > slowest {
            // Again: another program may have had the core.
            let begin = Instant::now();
            let _ = read(&input);
            slowest = slowest.max(took.min(begin.elapsed()));
        }
        inputs += 1;
    }
    let rate = inputs as f64 / start.elapsed().as_secs_f64();
    println!(
        "{name}: {inputs} inputs, {rate:.0} a second, {taken} of them taken for files, the slowest \
         in {:.1} ms",
        slowest.as_secs_f64() * 1e3
    );
}

/// Was the program told to end? From the first call on, it then says how far it came; a second
/// signal ends it.
fn is_stopped() -> bool {
    static STOPPED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
        let stopped = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            register_conditional_shutdown(signal, 1, Arc::clone(&stopped)).unwrap();
            register(signal, Arc::clone(&stopped)).unwrap();
        }
        stopped
    });
    STOPPED.load(Ordering::Relaxed)
}

#[cfg(unix)]
const SIGNALS: [i32; 3] = [consts::SIGHUP, consts::SIGINT, consts::SIGTERM];
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [consts::SIGINT, consts::SIGTERM];

fn input(random: &mut impl Rng, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = files.choose(random).unwrap().clone();
    if random.random_ratio(1, 16) {
        let length = random.random_range(0..300);
        bytes = (0..length).map(|_| random.random()).collect();
    }
    for _ in 0..random.random_range(1..=8) {
        change(random, &mut bytes, files);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// A stretch of `length` bytes, of up to 64 where there are so many.
fn stretch(random: &mut impl Rng, length: usize) -> Range<usize> {
    let from = random.random_range(0..=length);
    from..(from + random.random_range(0..=64)).min(length)
}

const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "127",
    "128",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "1e308",
    "1e999",
    "-1e-300",
    "0.5",
    "nan",
];
const EDGES: [u64; 10] = [0, 1, 2, 0x7f, 0x80, 0xffff, 1 << 31, 1 << 62, u64::MAX - 1, u64::MAX];

fn change(random: &mut impl Rng, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
    let length = bytes.len();
    if length == 0 {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..length);
    match random.random_range(0..10) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 | 3 => {
            // The number that begins at or after a place.
            let is_part = |byte: &u8| byte.is_ascii_digit() || b".eE+-".contains(byte);
            let begin = (at..length).find(|&at| bytes[at].is_ascii_digit());
            let begin = begin.unwrap_or(at);
            let end = begin + bytes[begin..].iter().take_while(|&byte| is_part(byte)).count();
            bytes.splice(begin..end, NUMBERS.choose(random).unwrap().bytes());
        }
        4 => {
            let edge = EDGES.choose(random).unwrap().to_le_bytes();
            let room = length - at;
            bytes[at..at + room.min(8)].copy_from_slice(&edge[..room.min(8)]);
        }
        5 => drop(bytes.drain(stretch(random, length))),
        6 => {
            let copy = bytes[stretch(random, length)].to_vec();
            bytes.splice(at..at, copy);
        }
        7 => {
            let moved: Vec<u8> = bytes.drain(stretch(random, length)).collect();
            let at = at.min(bytes.len());
            bytes.splice(at..at, moved);
        }
        8 => {
            let other = files.choose(random).unwrap();
            let taken = other[stretch(random, other.len())].to_vec();
            let over = stretch(random, length);
            bytes.splice(over, taken);
        }
        _ => bytes.truncate(at),
    }
}

/// A folder, and a file in it that is written for each input.
struct Scratch {
    _folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Self {
        // In memory, where there is such a folder: the disk is not what is tested.
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() {
            tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir()).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        Self { path: folder.path().join(name), _folder: folder }
    }

    fn write(&self, bytes: &[u8]) -> &Path {
        fs::write(&self.path, bytes).unwrap();
        &self.path
    }
}

/// The files with such an end in a folder of tests.
fn fixtures(folder: &str, end: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(end));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Configurations with different tasks, cells, rules and strategies.
fn configs() -> Vec<RunConfig<Addition>> {
    let lab = Addition::lab();
    let mut adam = lab.clone();
    adam.optimizer.rule = Rule::ADAM_W;
    adam.network.hidden = 3;
    let mut averaging = lab.clone();
    averaging.strategy = StrategyConfig { name: Strategy::Averaging, threads: 2, push_every: 3 };
    averaging.network.layers = 2;
    averaging.network.dropout = 0.25;
    let mut hogwild = lab.clone();
    hogwild.network = NetworkConfig { bidirectional: true, ..NetworkConfig::new(Cell::Lstm, 3) };
    hogwild.optimizer.clip = Clip::Norm(1.0);
    hogwild.strategy = StrategyConfig { name: Strategy::Hogwild, threads: 2, push_every: 3 };
    let mut synchronous = lab.clone();
    synchronous.network = NetworkConfig::new(Cell::Gru, 3);
    synchronous.optimizer.schedule = Schedule::Cosine { warmup: 2, steps: 9, floor: 0.1 };
    synchronous.run.batch = 4;
    synchronous.strategy =
        StrategyConfig { name: Strategy::Synchronous, threads: 2, push_every: 1 };
    vec![lab, adam, averaging, hogwild, synchronous]
}

#[test]
fn config() {
    let mut files: Vec<Vec<u8>> =
        configs().iter().map(|config| config.to_toml().into_bytes()).collect();
    files.push(Ibp::training(4, true, 0).to_toml().into_bytes());
    fuzz("config", &files, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let addition = RunConfig::<Addition>::from_toml(&text);
        let of_network = addition.as_ref().map(|config| config.network.config(&config.task));
        let _ = format!("{of_network:?}");
        addition.is_ok() || RunConfig::<Ibp>::from_toml(&text).is_ok()
    });
}

#[test]
fn weights() {
    let files: Vec<_> = configs()
        .iter()
        .map(|config| {
            let model = config.network.config(&config.task).unwrap();
            let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
            weights::to_bytes(&model::Parameters::initialised(model, &mut random))
        })
        .collect();
    let models: Vec<_> =
        configs().iter().map(|config| config.network.config(&config.task).unwrap()).collect();
    fuzz("weights", &files, |bytes| {
        let read = models.iter().map(|&model| weights::from_bytes(model, bytes).is_ok());
        read.fold(false, |any, is_ok| any | is_ok)
    });
}

#[test]
fn snapshots() {
    let files: Vec<_> = configs()
        .iter()
        .map(|config| {
            let parameters = Trainer::new(config).unwrap().parameters().clone();
            let snapshot = |examples| Snapshot { examples, parameters: parameters.clone() };
            snapshots::to_bytes(3, &[0, 170, 10_000].map(snapshot))
        })
        .collect();
    let models: Vec<_> =
        configs().iter().map(|config| config.network.config(&config.task).unwrap()).collect();
    fuzz("snapshots", &files, |bytes| {
        let read = models.iter().map(|&model| snapshots::from_bytes(model, bytes).is_ok());
        read.fold(false, |any, is_ok| any | is_ok)
    });
}

#[test]
fn metrics() {
    let scratch = Scratch::new("metrics.jsonl");
    let line = |n: u32| {
        format!("{{\"examples\":{n},\"loss\":0.{n},\"error\":{n}e-3,\"seconds\":0.0{n}}}\n")
    };
    let files = [1, 5, 40].map(|count| (1..=count).map(line).collect::<String>().into_bytes());
    fuzz("metrics", &files, |bytes| {
        RunFolder::metrics(scratch.write(bytes).parent().unwrap()).is_ok()
    });
}

#[test]
fn traces() {
    let scratch = Scratch::new("trace.json");
    // Short ones: a whole one is replayed in a tenth of a second.
    let short = |file: Vec<u8>| {
        let mut trace: serde_json::Value = serde_json::from_slice(&file).unwrap();
        for list in ["pairs", "errors"] {
            trace[list].as_array_mut().unwrap().truncate(20);
        }
        trace.as_object_mut().unwrap().remove("printed");
        trace.to_string().into_bytes()
    };
    let files: Vec<_> = fixtures("train/tests/fixtures", ".json").into_iter().map(short).collect();
    fuzz("traces", &files, |bytes| {
        Trace::read(scratch.write(bytes)).is_ok_and(|trace| trace.replay().is_ok())
    });
}

#[test]
fn certificates() {
    let models = fixtures("verify/tests/fixtures/certified", ".safetensors");
    let proofs = fixtures("verify/tests/fixtures/certified", ".json");
    let mut pairs: Vec<_> = models.into_iter().zip(proofs).collect();
    pairs.retain(|(_, proof)| proof.len() < LONGEST);
    let files: Vec<_> = pairs.iter().map(|(_, proof)| proof.clone()).collect();
    let models: Vec<_> = pairs.into_iter().map(|(model, _)| model).collect();
    fuzz("certificates", &files, |bytes| {
        // It names its network by a digest: for any other, reading ends there.
        models.iter().any(|model| verify::check(model, bytes).is_ok())
    });
}

#[test]
fn networks_of_certificates() {
    let models = fixtures("verify/tests/fixtures/certified", ".safetensors");
    let proofs = fixtures("verify/tests/fixtures/certified", ".json");
    let named: Vec<(String, String)> = models
        .iter()
        .zip(proofs)
        .map(|(model, proof)| (digest(model), String::from_utf8(proof).unwrap()))
        .collect();
    fuzz("networks", &models, |bytes| {
        // The proof of the first, as if it were one of these bytes.
        let (old, proof) = &named[0];
        let proof = proof.replace(old, &digest(bytes));
        let is_first = verify::check(bytes, proof.as_bytes()).is_ok();
        is_first || named.iter().any(|(known, _)| *known == digest(bytes))
    });
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the part of a checkpoint that its checksum is of begins.
const TITLE: usize = "carry checkpoint 6\n".len();

#[test]
fn checkpoints() {
    let scratch = Scratch::new("run/checkpoint");
    let folder = scratch.path.parent().unwrap();
    let options = Options {
        checkpoint_every: Every::Seconds(1e9),
        on_divergence: OnDivergence::Stop,
        tensorboard: false,
        snapshots: 2,
    };
    let files: Vec<_> = configs()
        .into_iter()
        .map(|config| {
            let folder = RunFolder::create(folder, true).unwrap();
            let mut job = Job::start(config, folder, options).unwrap();
            job.advance().unwrap();
            job.checkpoint().unwrap();
            fs::read(&scratch.path).unwrap()
        })
        .collect();
    fuzz("checkpoints", &files, |bytes| {
        let mut bytes = bytes.to_vec();
        // Every other one with the checksum of what it holds.
        let is_signed = bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte)) % 2 == 0;
        if is_signed && let Some((head, rest)) = bytes.split_at_mut_checked(TITLE + 32) {
            head[TITLE..].copy_from_slice(&Sha256::digest(rest));
        }
        scratch.write(&bytes);
        let Ok(checkpoint) = Checkpoint::read(&scratch.path) else { return false };
        let _ = checkpoint.task_name(&scratch.path);
        let _ = fs::remove_file(folder.join("metrics.jsonl.unfinished"));
        let run = RunFolder::unfinished(folder).unwrap();
        let Ok(mut job) = Job::<Addition>::resume(run, options) else { return false };
        if is_small(job.config()) {
            for _ in 0..ADVANCES {
                if job.is_done() || job.advance().is_err() {
                    break;
                }
            }
        }
        true
    });
}

/// Each trains for twice as long as the one before.
const ADVANCES: u32 = 3;

/// Does a training go on within milliseconds? A batch may be large, and honest.
fn is_small(config: &RunConfig<Addition>) -> bool {
    let network = &config.network;
    let units = (2 * network.layers as u64).saturating_mul(network.hidden as u64);
    let examples = config.round().min(config.run.examples);
    let work = examples.saturating_mul(config.task.steps() as u64).saturating_mul(units);
    work <= 1 << 15 && config.run.batch <= 1 << 10
}
