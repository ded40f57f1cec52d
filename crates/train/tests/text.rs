//! Texts: what is drawn, what is validated, what is kept, and that it all comes again.

use model::{Cell, Parameters, Stream};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fs;
use std::path::{Path, PathBuf};
use train::batch::{Batch, Inputs, Targets};
use train::config::{Extent, NetworkConfig, RunConfig, Strategy, StrategyConfig};
use train::job::{Every, Job, OnDivergence, Options};
use train::optimizer::Schedule;
use train::run_folder::RunFolder;
use train::task::text::{ORDER, Reading, Text, Unit};
use train::task::{Progress, Score, Source, Task};
use train::trainer::Trainer;

/// A text with something to learn and something that cannot be.
fn words(count: usize, seed: u64) -> String {
    let mut random = seed;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    let nouns = ["the cat", "a dog", "my bird", "the old man"];
    let verbs = ["sees", "likes", "follows"];
    let mut text = String::new();
    for _ in 0..count {
        let [a, b] = [draw(4), draw(4)].map(|n| nouns[n as usize]);
        text += &format!("{a} {} {b}.\n", verbs[draw(3) as usize]);
    }
    text
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn reading(chunk: usize) -> Reading {
    Reading { chunk, ..Reading::default() }
}

fn small(text: Text, strategy: Strategy, threads: usize) -> RunConfig<Text> {
    let training = text.training();
    RunConfig {
        network: NetworkConfig::new(Cell::Gru, 9),
        strategy: StrategyConfig { name: strategy, threads, push_every: 8 },
        run: Extent::new(400, 4, 3),
        ..training
    }
}

const ALL: [(Strategy, usize); 4] = [
    (Strategy::Serial, 1),
    (Strategy::Synchronous, 2),
    (Strategy::Averaging, 2),
    (Strategy::Hogwild, 2),
];

/// The next chunk of worker `worker` of `workers`, after `done` chunks of three streams.
fn drawn(text: &Text, worker: usize, workers: usize, done: u64, batch: &mut Batch) {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(done);
    let progress = Progress { examples: done * 3, of: 1_000, batch: 3, worker, workers };
    text.draw(Source { generator: &mut generator, count: 3, progress }, batch);
}

#[test]
fn streams_go_on_chunk_after_chunk_around_the_text_and_ask_for_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(40, 1));
    let text = Text::open(&[path], reading(7)).unwrap();
    let train = &text.corpus().train;
    let len = train.len();
    for (worker, workers) in [(0, 1), (0, 2), (1, 2)] {
        let mut batch = Batch::default();
        let mut places: Vec<_> = (0..3).map(|n| (worker * 3 + n) * len / (workers * 3)).collect();
        for done in 0..400 {
            drawn(&text, worker, workers, done, &mut batch);
            let (Inputs::Symbols(symbols), Targets::Classes(classes)) =
                (&batch.inputs, &batch.targets)
            else {
                panic!("symbols and classes")
            };
            assert!(batch.is_carried && (batch.steps, batch.count) == (7, 3));
            for row in 0..7 {
                for (n, place) in places.iter_mut().enumerate() {
                    assert_eq!(symbols[row * 3 + n], train.at(*place));
                    *place = (*place + 1) % len;
                    assert_eq!(classes[row * 3 + n], train.at(*place));
                }
            }
        }
    }
}

#[test]
fn one_stream_in_thirty_two_starts_from_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(40, 1));
    let text = Text::open(&[path], reading(7)).unwrap();
    let mut batch = Batch::default();
    let mut count = 0;
    for done in 0..4_000 {
        drawn(&text, 0, 1, done, &mut batch);
        assert!(batch.restarts.iter().all(|&stream| stream < 3));
        count += batch.restarts.len();
    }
    assert!((300..450).contains(&count), "{count} of 12,000; expected 375, deviation 19");
}

#[test]
fn a_stream_that_starts_anew_forgets_and_the_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(40, 1));
    let text = Text::open(&[path], reading(5)).unwrap();
    let config = small(text.clone(), Strategy::Serial, 1);
    let model = config.network.config(&text).unwrap();
    let parameters = Parameters::initialised(model, &mut Xoshiro256PlusPlus::seed_from_u64(5));
    let mut pass = train::pass::Pass::new(model, Xoshiro256PlusPlus::seed_from_u64(0));
    let mut gradient = Parameters::zeros(model);
    let mut batch = Batch::default();
    drawn(&text, 0, 1, 0, &mut batch);
    batch.restarts.clear();
    let mut outputs = |batch: &Batch| {
        let y = |_: &Batch, y: &[f32], dy: &mut [f32]| {
            dy.fill(0.0);
            y.to_vec()
        };
        pass.differentiate(&parameters, batch, &mut gradient, y).unwrap()
    };
    let first = outputs(&batch);
    batch.restarts = vec![1];
    let second = outputs(&batch); // the same symbols again
    let width = model.outputs();
    for (row, (a, b)) in first.chunks(width).zip(second.chunks(width)).enumerate() {
        assert_eq!(a == b, row % 3 == 1, "stream {}", row % 3);
    }
}

#[test]
fn what_is_validated_is_what_the_network_says_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(40, 1));
    let text = Text::open(&[path], reading(5)).unwrap();
    let config = small(text.clone(), Strategy::Serial, 1);
    let parameters = Trainer::new(&config).unwrap().parameters().clone();
    // A part this short is one stream.
    let valid = &text.corpus().valid;
    assert!((64..=128).contains(&valid.len()), "{}", valid.len());
    let mut stream = Stream::new(parameters.clone()).unwrap();
    let mut y = vec![0.0; text.vocabulary().len()];
    let mut loss = 0.0;
    for place in 0..valid.len() - 1 {
        stream.step_symbol(valid.at(place), &mut y).unwrap();
        let sum: f64 = y.iter().map(|&a| f64::from(a).exp()).sum();
        loss += sum.ln() - f64::from(y[valid.at(place + 1) as usize]);
    }
    loss /= (valid.len() - 1) as f64;
    let [found, whole] = [text.validate(&parameters), text.loss_on(&parameters, valid)];
    assert!((found - loss).abs() < 1e-5 && (whole - loss).abs() < 1e-5, "{found} {whole} {loss}");
}

#[test]
fn the_loss_of_an_example_is_the_mean_over_its_symbols_and_so_is_its_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(40, 1));
    let text = Text::open(&[path], reading(5)).unwrap();
    let mut batch = Batch::default();
    drawn(&text, 0, 1, 0, &mut batch);
    let outputs = text.vocabulary().len();
    let y = vec![0.5; 5 * 3 * outputs];
    let mut dy = vec![f32::NAN; y.len()];
    let totals = text.loss(&batch, &y, &mut dy);
    let uniform = (outputs as f64).ln();
    assert_eq!(totals.examples, 3);
    assert!((totals.loss - 3.0 * uniform).abs() < 1e-5, "{}", totals.loss);
    let Targets::Classes(classes) = &batch.targets else { panic!("classes") };
    for (row, dy) in dy.chunks(outputs).enumerate() {
        for (k, dy) in dy.iter().enumerate() {
            let is_class = if classes[row] as usize == k { 1.0 } else { 0.0 };
            let expected = (1.0 / outputs as f32 - is_class) / 5.0;
            assert!((dy - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn every_strategy_learns_a_text_better_than_its_letters_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(300, 1));
    let text = Text::open(&[path], reading(16)).unwrap();
    for (strategy, threads) in ALL {
        let mut config = small(text.clone(), strategy, threads);
        config.run.examples = 8_000;
        config.network = NetworkConfig::new(Cell::Gru, 24);
        let mut trainer = Trainer::new(&config).unwrap();
        trainer.train(8_000);
        let score = text.evaluate(trainer.parameters(), 0);
        // Letter frequencies alone: about 2.7 nats.
        assert!(score.valid_loss < 1.0, "{strategy:?}: {score}");
    }
}

#[test]
fn a_batch_that_is_shared_out_is_the_one_that_one_worker_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(100, 1));
    let text = Text::open(&[path], reading(8)).unwrap();
    let losses = |strategy, threads| {
        let mut trainer = Trainer::new(&small(text.clone(), strategy, threads)).unwrap();
        (0..40).map(|_| trainer.train(4).loss).collect::<Vec<_>>()
    };
    let serial = losses(Strategy::Serial, 1);
    for threads in [1, 2, 4] {
        for (update, (a, b)) in
            serial.iter().zip(losses(Strategy::Synchronous, threads)).enumerate()
        {
            assert!((a - b).abs() < 1e-4 * a, "{threads} threads, update {update}: {a} {b}");
        }
    }
}

#[test]
fn the_same_seed_and_threads_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "text", words(100, 1));
    let text = Text::open(&[path], reading(8)).unwrap();
    for (strategy, threads) in &ALL[..3] {
        let trained = |seed| {
            let mut config = small(text.clone(), *strategy, *threads);
            config.run.seed = seed;
            let mut trainer = Trainer::new(&config).unwrap();
            trainer.train(400);
            trainer.parameters().arena().to_vec()
        };
        assert_eq!(trained(1), trained(1), "{strategy:?}");
        assert_ne!(trained(1), trained(2), "{strategy:?}");
    }
}

const OPTIONS: Options = Options {
    checkpoint_every: Every::Examples(u64::MAX),
    on_divergence: OnDivergence::Stop,
    tensorboard: false,
    snapshots: 0,
};

#[test]
fn a_training_that_is_stopped_goes_on_to_the_same_bits_and_the_same_best() {
    let root = tempfile::tempdir().unwrap();
    let path = write(root.path(), "text", words(200, 1));
    let text = Text::open(&[path], reading(8)).unwrap();
    for (strategy, threads) in &ALL[..3] {
        let mut config = small(text.clone(), *strategy, *threads);
        config.run.examples = 6_000;
        let model = |name: &str, stops: bool| {
            let folder =
                RunFolder::create(&root.path().join(format!("{strategy:?} {name}")), false);
            let folder = folder.unwrap();
            let mut job = Job::start(config.clone(), folder.clone(), OPTIONS).unwrap();
            while !job.is_done() {
                job.advance().unwrap();
                if stops && job.examples() >= 2_000 && job.examples() < 4_000 {
                    job.checkpoint().unwrap();
                    drop(job);
                    job = Job::resume(folder.clone(), OPTIONS).unwrap();
                }
            }
            let validations: Vec<_> = job.metrics().iter().filter_map(|m| m.valid).collect();
            assert!(validations.len() >= 10, "{validations:?}");
            let best = job.validation().best().unwrap();
            assert!(validations.iter().all(|&loss| loss >= best.loss));
            let best = best.loss;
            let kept = job.parameters();
            assert_eq!(text.validate(&kept), best, "what is kept is the best");
            job.finish("").unwrap();
            let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
            (validations, bytes)
        };
        assert!(model("at once", false) == model("in parts", true), "{strategy:?}");
    }
}

#[test]
fn every_worker_of_hogwild_has_its_share_of_a_job_however_slow_an_update_is() {
    let root = tempfile::tempdir().unwrap();
    let path = write(root.path(), "text", words(200, 1));
    let text = Text::open(&[path], reading(16)).unwrap();
    let mut config = small(text, Strategy::Hogwild, 2);
    // An update of some milliseconds: as long as a job works before it looks up.
    config.network = NetworkConfig::new(Cell::Lstm, 700);
    let folder = RunFolder::create(&root.path().join("run"), false).unwrap();
    let mut job = Job::start(config, folder, OPTIONS).unwrap();
    while !job.is_done() {
        job.advance().unwrap();
    }
    let shares: Vec<u64> =
        job.trainer().state().workers.iter().map(|worker| worker.examples).collect();
    assert!(shares.iter().all(|&share| share > 0), "of 400: {shares:?}");
}

#[test]
fn a_training_that_gets_no_better_ends_early_with_its_best() {
    let root = tempfile::tempdir().unwrap();
    // Too little to learn from, and another text behind it.
    let text = words(6, 1) + &words(40, 9).replace("cat", "yak").replace("dog", "owl");
    let path = write(root.path(), "text", text);
    let text = Text::open(&[path], Reading { valid: 0.8, ..reading(8) }).unwrap();
    let mut config = small(text.clone(), Strategy::Serial, 1);
    config.network = NetworkConfig::new(Cell::Gru, 24);
    config.optimizer.schedule = Schedule::Constant;
    config.run = Extent { patience: Some(2), ..Extent::new(100_000, 4, 3) };
    let folder = RunFolder::create(&root.path().join("run"), false).unwrap();
    let mut job = Job::start(config.clone(), folder.clone(), OPTIONS).unwrap();
    while !job.is_done() {
        job.advance().unwrap();
    }
    assert!(job.examples() < 100_000);
    let validations: Vec<_> = job.metrics().iter().filter_map(|m| m.valid).collect();
    let best = job.validation().best().unwrap().loss;
    let place = validations.iter().position(|&loss| loss == best).unwrap();
    assert_eq!(place + 3, validations.len(), "two more: {validations:?}");
    job.finish("").unwrap();
    let (_, kept) = folder.load::<Text>().unwrap();
    assert_eq!(text.validate(&kept), best);

    // Each of many seeds, too.
    let ended = std::sync::Mutex::new(Vec::new());
    train::study::train_seeds(&config, 3..4, |result| {
        ended.lock().unwrap().push(result);
        Ok(())
    })
    .unwrap();
    let ended = ended.into_inner().unwrap();
    assert_eq!((ended[0].examples, ended[0].score.figure().1), (job.examples(), best));
}

#[test]
fn a_text_that_changed_is_refused_when_its_training_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let path = write(root.path(), "text", words(200, 1));
    let text = Text::open(std::slice::from_ref(&path), reading(8)).unwrap();
    let folder = RunFolder::create(&root.path().join("run"), false).unwrap();
    let config = small(text, Strategy::Serial, 1);
    let mut job = Job::start(config, folder.clone(), OPTIONS).unwrap();
    job.advance().unwrap();
    job.checkpoint().unwrap();
    drop(job);
    fs::write(&path, words(200, 2)).unwrap();
    let error = Job::<Text>::resume(folder.clone(), OPTIONS).unwrap_err().to_string();
    assert!(error.contains("has changed since the training began"), "{error}");
    fs::write(&path, words(200, 1)).unwrap();
    Job::<Text>::resume(folder, OPTIONS).unwrap();
}

#[test]
fn a_text_is_known_by_its_fields_alone() {
    let root = tempfile::tempdir().unwrap();
    let paths = [write(root.path(), "a", words(50, 1)), write(root.path(), "b", words(9, 2))];
    for unit in [Unit::Char, Unit::Byte, Unit::Word] {
        let text = Text::open(&paths, Reading { unit, vocabulary: 5, ..reading(8) }).unwrap();
        let config = small(text, Strategy::Serial, 1);
        let back = RunConfig::<Text>::from_toml(&config.to_toml()).unwrap();
        assert_eq!(back, config);
        let mut task = back.task;
        task.prepare().unwrap();
        assert_eq!(task.corpus(), config.task.corpus());
    }
}

#[test]
fn the_parts_of_a_text_are_cut_between_its_characters() {
    let root = tempfile::tempdir().unwrap();
    for length in 20..40 {
        let text: String = "aé€😀".chars().cycle().take(length).collect();
        let path = write(root.path(), "text", &text);
        let read = Text::open(&[path], Reading { valid: 0.3, ..reading(2) }).unwrap();
        let corpus = read.corpus();
        assert_eq!(corpus.train.len() + corpus.valid.len(), length);
        let all = corpus.train.part(0..corpus.train.len());
        let all: Vec<u32> = all.chain(corpus.valid.part(0..corpus.valid.len())).collect();
        assert_eq!(read.vocabulary().decode(&all), text);
    }
}

#[test]
fn a_text_of_megabytes_needs_little_more_than_its_symbols() {
    let root = tempfile::tempdir().unwrap();
    let text = words(100_000, 1);
    let path = write(root.path(), "text", &text);
    let size = text.len() as u64;
    drop(text);
    for unit in [Unit::Char, Unit::Byte] {
        let read =
            || Text::open(std::slice::from_ref(&path), Reading { unit, ..reading(64) }).unwrap();
        let bytes = allocation_counter::measure(|| drop(read())).bytes_max;
        // The file and its symbols, a byte each, and the n-grams of so simple a text.
        assert!(bytes < 2 * size + (8 << 20), "{bytes} for {size}");
    }
    assert_eq!(ORDER, 5, "the orders that the memory was measured with");
}

#[test]
fn texts_that_nothing_can_be_learned_from_are_refused_with_the_remedy() {
    let root = tempfile::tempdir().unwrap();
    let char = Reading::default();
    let byte = Reading { unit: Unit::Byte, ..char };
    let word = Reading { unit: Unit::Word, ..char };
    for (bytes, reading, reasons) in [
        (&b""[..], char, &["is empty"][..]),
        (b"abcab\xff", char, &["byte 5 (0xff) is no UTF-8", "--unit byte"]),
        (b"abcab\xff", word, &["byte 5 (0xff) is no UTF-8", "--unit byte"]),
        (&[b'a'; 500], char, &["one char alone, \"a\""]),
        (&[0; 500], byte, &["one byte alone, \"\\0\""]),
        (b"ab ab ab ab ab ab ab ab ", word, &["one word alone, \"ab\""]),
        (b"abcabc", char, &["has 5 chars to train on and 1 to validate", "chunk"]),
        (b"a b c d", word, &["to train on", "longer text", "--chunk"]),
        (b"abcabc", Reading { valid: 0.0, ..char }, &["validation part of 0"]),
        (b"abcabc", Reading { valid: 1.0, ..char }, &["validation part of 1"]),
        (b"abcabc", Reading { valid: f64::NAN, ..char }, &["validation part of NaN"]),
    ] {
        let path = write(root.path(), "text", bytes);
        let error = Text::open(&[path], reading).unwrap_err().to_string();
        for reason in reasons {
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
    let path = write(root.path(), "text", words(20, 1));
    let text = Text::open(&[path], reading(64)).unwrap();
    let error = Trainer::new(&small(text.clone(), Strategy::Averaging, 3)).unwrap_err().to_string();
    assert!(error.contains("too short for 12 streams with chunks of 64"), "{error}");
    Trainer::new(&small(text, Strategy::Synchronous, 3)).unwrap();
}
