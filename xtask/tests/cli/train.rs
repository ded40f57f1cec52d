//! `cargo xtask train`.

use crate::{
    RUN_FILES, assert_keys, contents, json_line, names, temporary, trained, xtask, xtask_line,
};
use serde_json::Value;
use std::fs;

#[test]
fn the_default_job_is_the_lab_and_learns_to_add() {
    let folder = temporary();
    let json = xtask_line(&folder, "train --json").json();
    let documented = [
        "task",
        "cell",
        "layers",
        "examples",
        "bits",
        "hidden",
        "bias",
        "seed",
        "strategy",
        "threads",
        "push_every",
        "ranks",
        "optimizer",
        "seconds",
        "ns_per_example",
        "loss",
        "sums_correct",
        "sums_total",
        "run",
    ];
    assert_keys(&json, &documented);
    for (key, value) in
        [("examples", 10_000), ("bits", 8), ("hidden", 16), ("seed", 0), ("sums_total", 16_384)]
    {
        assert_eq!(json[key].as_u64(), Some(value), "{key}");
    }
    let float = |key: &str| json[key].as_f64().unwrap();
    // Which of the last sums come out right depends on the rounding of the build.
    assert!((16_000.0..=16_384.0).contains(&float("sums_correct")));
    assert!(float("seconds") > 0.0);
    let ratio = float("ns_per_example") / (float("seconds") * 1e9 / 10_000.0);
    assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
    assert!(float("loss") > 0.0 && float("loss") < 0.5, "{}", float("loss"));
    assert_eq!(json["run"], "runs/0001");
    assert_eq!(names(&folder.path().join("runs/0001")), RUN_FILES);
}

#[test]
fn runs_without_out_are_numbered() {
    let folder = temporary();
    for number in ["runs/0001", "runs/0002"] {
        let json = xtask_line(&folder, "train addition --examples 1 --quiet --json").json();
        assert_eq!(json["run"], number);
    }
    assert_eq!(names(&folder.path().join("runs")), ["0001", "0002"]);
}

#[test]
fn every_500_examples_are_shown_as_the_lab_shows_them_and_the_last_lines_say_where_the_run_lies() {
    let folder = temporary();
    let stdout = xtask_line(&folder, "train --examples 1700 --out here").success();
    let lines: Vec<_> = stdout.lines().collect();
    let first_words = |line: &&str| line.split_whitespace().next().unwrap().to_owned();
    let rows: Vec<_> = lines[1..].iter().take_while(|line| !line.is_empty()).collect();
    let examples: Vec<_> = rows.iter().map(|row| first_words(row)).collect();
    assert_eq!(examples, ["0", "500", "1,000", "1,500"]);
    for row in rows {
        let words: Vec<_> = row.split_whitespace().collect();
        // example error prediction truth a + b = sum TRUE
        assert_eq!((words.len(), words[5], words[7]), (10, "+", "="), "{row}");
        assert!(words[1].parse::<f64>().unwrap() > 0.0, "{row}");
        let number = |word: &str| word.parse::<u64>().unwrap();
        let (prediction, truth) = (words[2], words[3]);
        assert_eq!((prediction.len(), truth.len()), (8, 8), "{row}");
        let binary = |digits| u64::from_str_radix(digits, 2).unwrap();
        assert_eq!(binary(truth), number(words[4]) + number(words[6]), "{row}");
        assert_eq!(binary(prediction), number(words[8]), "{row}");
        let right = if prediction == truth { "TRUE" } else { "FALSE" };
        assert_eq!(words[9], right, "{row}");
    }
    let [.., sums, time, run, try_it, see_it] = lines[..] else { panic!("{stdout}") };
    assert!(sums.contains("of all 16,384 possible sums"), "{sums}");
    assert!(time.starts_with("1,700 examples in ") && time.ends_with(" ns an example"), "{time}");
    assert_eq!(run, "The run is in here");
    assert_eq!(try_it, "Try it: cargo xtask add 53 74 --run here");
    assert_eq!(see_it, "See it: cargo xtask page here --open");
}

#[test]
fn quiet_prints_the_json_line_and_nothing_else() {
    let folder = temporary();
    let stdout = xtask_line(&folder, "train --examples 600 --quiet --json").success();
    assert_eq!(stdout.lines().count(), 1);
    assert_eq!(json_line(&stdout)["examples"], 600);
    assert_eq!(xtask_line(&folder, "train --examples 600 --quiet").success(), "");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let folder = temporary();
    let model = |name: &str, seed: u64| {
        xtask_line(&folder, &format!("train --quiet --seed {seed} --out {name}")).success();
        fs::read(folder.path().join(name).join("model.safetensors")).unwrap()
    };
    let first = model("first", 7);
    assert!(first == model("again", 7), "two runs of seed 7 differ");
    assert!(first != model("other", 8), "seeds 7 and 8 gave the same weights");
}

#[test]
fn every_strategy_trains_says_so_and_is_recorded() {
    let folder = temporary();
    for (strategy, options, words) in [
        ("serial", "", "by one worker (serial)"),
        ("synchronous", "--threads 2 --batch 4", "by 2 workers (synchronous)"),
        (
            "hogwild",
            "--threads 2 --push-every 8",
            "by 2 workers (hogwild, a push every 8 examples)",
        ),
        (
            "averaging",
            "--threads 2 --push-every 1",
            "by 2 workers (averaging, an average every example)",
        ),
    ] {
        let threads = if strategy == "serial" { 1 } else { 2 };
        let arguments = format!(
            "train --examples 1200 --strategy {strategy} {options} --out {strategy} --json"
        );
        let stdout = xtask_line(&folder, &arguments).success();
        assert!(stdout.contains(words), "{stdout}");
        let json = json_line(&stdout);
        assert_eq!((&json["strategy"], &json["threads"]), (&strategy.into(), &threads.into()));
        let config = fs::read_to_string(folder.path().join(strategy).join("config.toml")).unwrap();
        for line in [format!("name = \"{strategy}\""), format!("threads = {threads}")] {
            assert!(config.lines().any(|found| found == line), "{config}");
        }
        let sum = xtask_line(&folder, &format!("add 1 2 --run {strategy} --json"));
        assert_eq!(json_line(&sum.stdout)["expected"], "3", "{}", sum.stderr);
    }
}

#[test]
fn a_network_with_biases_trains_is_recorded_and_adds() {
    let folder = temporary();
    let report = xtask_line(&folder, "train --bias --out run --json --quiet").json();
    assert_eq!(report["bias"], true);
    assert!(report["sums_correct"].as_u64().unwrap() > 16_000, "{report}");
    let model = fs::read(folder.path().join("run/model.safetensors")).unwrap();
    let has = |name: &[u8]| model.windows(name.len()).any(|window| window == name);
    assert!(has(b"bias_ih_l0") && has(b"bias_hh_l0") && has(b"head.bias"));
    let sum = xtask_line(&folder, "add 5 6 --run run --json").json();
    assert_eq!(sum["sum"], "11");
}

#[test]
fn every_optimizer_trains_says_so_and_is_recorded() {
    let folder = temporary();
    for (options, name, rate, words, lines) in [
        ("--optimizer sgd", "sgd", 0.1, "(serial), ", &[][..]),
        ("--weight-decay 1e-4", "sgd", 0.1, " with sgd, ", &["weight_decay = 0.0001"]),
        ("--optimizer momentum", "momentum", 0.01, " with momentum, ", &["momentum = 0.9"]),
        (
            "--optimizer nesterov --momentum 0.8 --lr 0.02 --clip-value 0.5",
            "nesterov",
            0.02,
            " with nesterov, gradients clipped to ±0.5, ",
            &["momentum = 0.8", "nesterov = true", "[optimizer.clip]\nvalue = 0.5"],
        ),
        (
            "--optimizer adam --beta1 0.8 --clip-norm 2 --schedule step --decay-every 300",
            "adam",
            0.01,
            " with adam, gradients clipped to a length of 2, a step schedule, ",
            &["beta1 = 0.8", "beta2 = 0.999", "norm = 2", "every = 300", "factor = 0.1"],
        ),
        (
            "--optimizer adamw --schedule cosine --warm-up 99 --floor 0.1 --batch 2",
            "adamw",
            0.01,
            " with adamw, a cosine schedule, ",
            &["weight_decay = 0.01", "warmup = 50", "steps = 300", "floor = 0.1"],
        ),
    ] {
        let train = format!("train --examples 600 {options} --json --out run --force");
        let stdout = xtask_line(&folder, &train).success();
        assert!(stdout.contains(words), "{words:?} is not in: {stdout}");
        let json = json_line(&stdout);
        assert_eq!(json["optimizer"], name);
        let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
        assert!(config.contains(&format!("learning_rate = {rate}\n")), "{config}");
        for line in lines {
            assert!(config.contains(line), "{line:?} is not in: {config}");
        }
    }
}

#[test]
fn a_training_is_reproducible_unless_the_fastest_strategy_is_asked_for() {
    let folder = temporary();
    let strategy = |options: &str| {
        let json = xtask_line(&folder, &format!("train --quiet --json {options}"));
        json.json()["strategy"].as_str().unwrap().to_owned()
    };
    let long = "--hidden 64 --bits 64 --examples 1600";
    assert_eq!(strategy("--examples 600"), "serial");
    assert_eq!(strategy(long), "serial");
    assert_eq!(strategy("--examples 600 --strategy auto --threads 2"), "serial");
    assert_eq!(strategy(&format!("{long} --strategy auto --threads 2")), "hogwild");
    assert_eq!(strategy(&format!("{long} --strategy auto --threads 1")), "serial");
    let stdout =
        xtask_line(&folder, &format!("train {long} --strategy auto --threads 2")).success();
    let said = "Fastest for these sizes, as measured: 2 workers (hogwild, a push every example)";
    assert_eq!(stdout.lines().next(), Some(said));
    let bits = |name: &str| {
        xtask_line(&folder, &format!("train --batch 64 --examples 100000 --quiet --out {name}"))
            .success();
        fs::read(folder.path().join(name).join("model.safetensors")).unwrap()
    };
    assert!(bits("one") == bits("two"));
}

#[test]
fn a_run_folder_says_what_was_asked_and_how_it_went() {
    let folder = temporary();
    let arguments =
        "train --bits 6 --hidden 5 --examples 1200 --lr 0.25 --batch 3 --seed 9 --out run --json";
    let json = xtask_line(&folder, arguments).json();
    let run = folder.path().join("run");
    assert_eq!(names(&run), RUN_FILES);
    assert_eq!(
        fs::read_to_string(run.join("config.toml")).unwrap(),
        "[task]\nbits = 6\nname = \"addition\"\n\n\
         [network]\nhidden = 5\nlayers = 1\nbidirectional = false\nbias = false\n\
         dropout = 0.0\nstart = \"uniform\"\n\n[network.cell]\nelman = \"sigmoid\"\n\n\
         [optimizer]\nlearning_rate = 0.25\nclip = \"none\"\n\n\
         [optimizer.rule]\nname = \"sgd\"\nmomentum = 0.0\nnesterov = false\n\
         weight_decay = 0.0\n\n[optimizer.schedule]\nname = \"constant\"\n\n\
         [strategy]\nname = \"serial\"\nthreads = 1\npush_every = 1\n\n\
         [run]\nexamples = 1200\nbatch = 3\nseed = 9\n"
    );

    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // 501 is 500 rounded up to whole batches of 3
    let examples: Vec<_> = lines.iter().map(|line| line["examples"].as_u64().unwrap()).collect();
    assert_eq!(examples, [501, 1002, 1200]);
    for line in &lines {
        assert_eq!(line.as_object().unwrap().len(), 4, "{line}");
        for key in ["loss", "error", "seconds"] {
            assert!(line[key].as_f64().unwrap() > 0.0, "{line}");
        }
    }
    assert_eq!(lines[2]["loss"], json["loss"]);
    assert_eq!(lines[2]["seconds"], json["seconds"]);

    let curve = fs::read_to_string(run.join("curve.svg")).unwrap();
    assert!(curve.starts_with("<svg") && curve.trim_end().ends_with("</svg>"), "{curve}");
    assert!(curve.contains("Loss while learning to add 6 bits: 5 hidden units, seed 9"), "{curve}");
}

#[test]
fn the_fewest_and_the_most_bits_train() {
    let folder = temporary();
    let one = xtask_line(&folder, "train --bits 1 --examples 600 --quiet --json").json();
    assert_eq!((&one["sums_correct"], &one["sums_total"]), (&1.into(), &1.into()));
    let stdout = xtask_line(&folder, "train --bits 64 --examples 600 --json").success();
    assert!(stdout.contains("of 10,000 sampled sums are right"), "{stdout}");
    assert_eq!(json_line(&stdout)["sums_total"], 10_000);
}

#[test]
fn ten_bits_are_tried_to_the_last_sum_and_eleven_are_sampled() {
    let folder = temporary();
    for (bits, total) in [(10, 262_144), (11, 10_000)] {
        let arguments = format!("train --bits {bits} --hidden 2 --examples 1 --quiet --json");
        assert_eq!(xtask_line(&folder, &arguments).json()["sums_total"], total);
    }
}

#[test]
fn the_last_batch_may_be_smaller_and_a_batch_larger_than_all_examples() {
    let folder = temporary();
    for (arguments, ends) in [
        ("--batch 64 --examples 1000", &[512, 1000][..]),
        ("--batch 64 --examples 30", &[30]),
        ("--batch 700 --examples 1500", &[700, 1400, 1500]),
    ] {
        let arguments = format!("train {arguments} --quiet --json");
        let json = xtask_line(&folder, &arguments).json();
        let metrics = folder.path().join(json["run"].as_str().unwrap()).join("metrics.jsonl");
        let examples =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["examples"].clone();
        let found: Vec<_> = fs::read_to_string(metrics).unwrap().lines().map(examples).collect();
        assert_eq!(found, ends, "{arguments}");
    }
}

#[test]
fn the_largest_seed_trains_and_its_run_is_read_again() {
    let folder = temporary();
    let arguments = "train --seed 18446744073709551615 --json --out run";
    assert_eq!(xtask_line(&folder, arguments).json()["seed"], u64::MAX);
    let sum = xtask_line(&folder, "add 53 74 --run run --json").json();
    assert_eq!(sum["expected"], "127");
}

#[test]
fn many_seeds_train_as_each_alone_does() {
    let folder = temporary();
    for options in ["--examples 2000", "--examples 1100 --batch 64 --lr 2", "--examples 30"] {
        let all = xtask_line(&folder, &format!("train {options} --seeds 3..6 --json")).json();
        assert_eq!((&all["seeds"], &all["seeds_perfect"]), (&3.into(), &0.into()));
        let rows = all["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        for (row, seed) in rows.iter().zip(3..6) {
            let one = xtask_line(&folder, &format!("train {options} --seed {seed} --quiet --json"));
            let one = one.json();
            for key in ["seed", "sums_correct", "sums_total"] {
                assert_eq!(row[key], one[key], "{key}, {options}");
            }
            // The same losses, added in another order.
            let (found, expected) = (row["loss"].as_f64().unwrap(), one["loss"].as_f64().unwrap());
            assert!((found - expected).abs() <= 1e-12 * expected, "{found} {expected} {options}");
        }
    }
}

#[test]
fn many_seeds_print_a_row_each_and_a_summary_and_keep_no_run() {
    let folder = temporary();
    let stdout = xtask_line(&folder, "train --seeds 0..3").success();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 1 + 3 + 2, "{stdout}");
    for (seed, line) in lines[1..4].iter().enumerate() {
        assert_eq!(line.split_whitespace().next(), Some(seed.to_string().as_str()), "{stdout}");
    }
    let summary = "of 3 seeds add every possible sum rightly after 10,000 examples; median ";
    assert!(lines[5].contains(summary), "{stdout}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_folder_that_is_not_empty_is_refused_and_not_touched() {
    let folder = trained();
    let run = folder.path().join("run");
    let before = contents(&run);
    let texts = ["run is not empty", "choose another folder", "--force"];
    xtask_line(&folder, "train --seed 1 --out run").refused(2, &texts);
    assert_eq!(contents(&run), before);

    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "dear").unwrap();
    xtask_line(&folder, "train --out foreign").refused(2, &["foreign is not empty"]);
    assert_eq!(names(&foreign), ["letter.txt"]);
    assert_eq!(fs::read_to_string(foreign.join("letter.txt")).unwrap(), "dear");
}

#[test]
fn an_empty_folder_is_taken() {
    let folder = temporary();
    fs::create_dir(folder.path().join("run")).unwrap();
    xtask_line(&folder, "train --examples 1 --quiet --out run").success();
    assert_eq!(names(&folder.path().join("run")), RUN_FILES);
}

#[test]
fn force_writes_over_a_run_and_leaves_foreign_files_alone() {
    let folder = trained();
    let run = folder.path().join("run");
    fs::write(run.join("letter.txt"), "dear").unwrap();
    let before = contents(&run);
    xtask_line(&folder, "train --seed 1 --hidden 5 --quiet --out run --force").success();
    let after = contents(&run);
    let mut expected = RUN_FILES.to_vec();
    expected.insert(2, "letter.txt");
    assert_eq!(names(&run), expected);
    assert_eq!(after["letter.txt"], b"dear");
    for name in RUN_FILES {
        assert!(before[name] != after[name], "{name} is the old one");
    }
    let sum = xtask_line(&folder, "add 1 2 --run run --json");
    assert_eq!(json_line(&sum.stdout)["expected"], "3", "{}", sum.stderr);
}

#[test]
fn force_makes_the_folder_where_there_is_none_and_needs_its_name() {
    let folder = temporary();
    xtask_line(&folder, "train --examples 1 --quiet --out deep/run --force").success();
    assert_eq!(names(&folder.path().join("deep/run")), RUN_FILES);
    xtask_line(&folder, "train --force").refused(2, &["--out <DIR>"]);
}

#[test]
fn a_refused_force_leaves_the_old_run_as_it_was() {
    let folder = trained();
    let before = contents(&folder.path().join("run"));
    xtask_line(&folder, "train --hidden 1000000000 --out run --force").refused(2, &["1000000000"]);
    assert_eq!(contents(&folder.path().join("run")), before);
}

#[test]
fn a_folder_that_cannot_be_made_fails_with_its_name_and_cause() {
    let folder = temporary();
    fs::write(folder.path().join("file"), "").unwrap();
    let cause = std::io::Error::from_raw_os_error(20).to_string(); // ENOTDIR
    let outcome = xtask_line(&folder, "train --out file/run");
    assert_eq!(outcome.stderr.matches(&cause).count(), 1, "{}", outcome.stderr);
    outcome.refused(1, &["cannot make the folder file/run"]);
    xtask_line(&folder, "train --out file").refused(1, &["cannot make the folder file"]);
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
#[cfg(unix)]
fn a_path_that_is_no_text_is_no_obstacle() {
    use std::os::unix::ffi::OsStrExt;
    let folder = temporary();
    let path = std::ffi::OsStr::from_bytes(b"run\xff");
    let arguments = ["train", "--examples", "1", "--json", "--out"].map(AsRef::as_ref);
    let json = xtask(&folder, &[&arguments[..], &[path]].concat()).json();
    assert_eq!(json["run"], "run\u{fffd}");
    assert_eq!(names(&folder.path().join(path)), RUN_FILES);
}

#[test]
fn a_training_that_diverges_fails_with_advice_and_leaves_no_run() {
    let folder = temporary();
    // Some first weights overflow at such a rate: the weights of 64 units, 64 steps.
    let arguments = "train --lr 3.4e38 --hidden 64 --bits 64 --quiet --out run";
    let advice = ["diverged: after 500 examples", "rate of 3.4e38 is far from", "0.1 is typical"];
    xtask_line(&folder, arguments).refused(1, &advice);
    assert_eq!(names(&folder.path().join("run")), ["metrics.jsonl.unfinished"]);
    xtask_line(&folder, "add 1 2 --run run").refused(1, &["no finished run in run"]);
}

#[test]
fn a_huge_learning_rate_that_stays_finite_trains_and_says_how_badly() {
    // Every unit saturates at the first examples, and saturated units learn nothing.
    let folder = temporary();
    let json = xtask_line(&folder, "train --lr 1e30 --quiet --json --out run").json();
    assert!(json["sums_correct"].as_u64().unwrap() < 1_000, "{json}");
    assert_eq!(names(&folder.path().join("run")), RUN_FILES);
}

#[test]
fn values_that_make_no_sense_are_refused_by_name_and_make_no_folder() {
    let folder = temporary();
    for (arguments, texts) in [
        ("--hidden 0", &["'0'", "--hidden", "at least 1"][..]),
        ("--hidden -1", &["'-1'", "--hidden", "at least 1"]),
        ("--hidden 1.5", &["'1.5'", "--hidden", "whole number"]),
        ("--hidden 1000000000", &["1000000000 hidden units", "does not fit in memory"]),
        ("--hidden 99999999999999999999", &["--hidden", "too large"]),
        ("--bits 0", &["'0'", "--bits", "1..=64"]),
        ("--bits 65", &["'65'", "--bits", "1..=64"]),
        ("--bits -8", &["'-8'", "--bits", "1..=64"]),
        ("--lr nan", &["'nan'", "--lr", "positive, finite"]),
        ("--lr inf", &["'inf'", "--lr", "positive, finite"]),
        ("--lr -1", &["'-1'", "--lr", "positive, finite"]),
        ("--lr 0", &["'0'", "--lr", "positive, finite"]),
        ("--lr 1e-60", &["'1e-60'", "--lr", "positive, finite"]), // 0 in f32
        ("--lr fast", &["'fast'", "--lr", "such as 0.1"]),
        ("--examples 0", &["'0'", "--examples", "1.."]),
        ("--examples -5", &["'-5'", "--examples"]),
        ("--examples 99999999999999999999", &["--examples", "too large"]),
        ("--batch 0", &["'0'", "--batch", "1 to 65536"]),
        ("--batch 65537", &["'65537'", "--batch", "1 to 65536"]),
        ("--seed -1", &["'-1'", "--seed", "0 to 18446744073709551615"]),
        ("--seed 18446744073709551616", &["--seed", "0 to 18446744073709551615"]),
        ("--seeds 5..5", &["'5..5'", "--seeds", "0..100", "second number above the first"]),
        ("--seeds 9..3", &["'9..3'", "--seeds", "0..100"]),
        ("--seeds x", &["'x'", "--seeds", "0..100"]),
        ("--seeds 3..", &["'3..'", "--seeds", "0..100"]),
        ("--seeds 0..2 --seed 1", &["--seeds", "--seed", "cannot be used with"]),
        ("--seeds 0..2 --out run", &["--seeds", "--out", "cannot be used with"]),
        ("--strategy pigwild", &["'pigwild'", "--strategy", "hogwild", "averaging"]),
        ("--threads 0", &["'0'", "--threads", "1 to 1024"]),
        ("--threads 1025", &["'1025'", "--threads", "1 to 1024"]),
        ("--push-every 0", &["'0'", "--push-every"]),
        ("--optimizer lion", &["'lion'", "--optimizer", "adamw"]),
        ("--momentum 0.9", &["--momentum needs an --optimizer", "nesterov"]),
        ("--optimizer momentum --beta1 0.9", &["--beta1 needs an --optimizer", "adam"]),
        ("--optimizer momentum --momentum 1", &["momentum of 1 makes no sense", "0 to below 1"]),
        ("--optimizer nesterov --momentum 0", &["momentum by Nesterov of 0", "more than 0"]),
        ("--optimizer adam --epsilon 0", &["epsilon of 0 makes no sense"]),
        ("--optimizer adam --beta2 -1", &["beta2 of -1 makes no sense"]),
        ("--weight-decay -1", &["weight decay of -1 makes no sense", "0 or more"]),
        ("--clip-norm 0", &["clip of 0 makes no sense", "positive"]),
        ("--clip-norm 1 --clip-value 1", &["--clip-norm", "--clip-value", "cannot be used"]),
        ("--schedule linear", &["'linear'", "--schedule", "cosine"]),
        ("--schedule step", &["--schedule step needs --decay-every"]),
        ("--decay 0.5", &["--decay needs --schedule step"]),
        ("--schedule step --decay-every 0", &["'0'", "--decay-every"]),
        ("--schedule step --decay-every 9 --decay 0", &["factor of 0 makes no sense"]),
        ("--warm-up 5", &["--warm-up needs --schedule cosine"]),
        ("--schedule cosine --warm-up 10000", &["warm-up of 10000", "fewer steps than all"]),
        ("--schedule cosine --floor 2", &["floor of 2 makes no sense", "0 to 1"]),
        ("--threads 2", &["--threads", "would be ignored", "--strategy"]),
        ("--push-every 2 --strategy serial", &["--push-every", "would be ignored", "--strategy"]),
        ("--push-every 2 --strategy synchronous", &["--push-every", "would be ignored"]),
        ("--strategy fastest", &["--strategy", "auto", "serial", "hogwild"]),
        ("--cell gru --memory output", &["remembers its outputs", "3 gates"]),
        ("--bidirectional --memory 3", &["remembers its last inputs", "two directions"]),
        ("--resume run --clip-norm 1", &["--resume", "--clip-norm", "cannot be used"]),
        ("--seeds 0..2 --strategy hogwild", &["--seeds", "--strategy", "cannot be used with"]),
        ("--seeds 0..2 --hidden 1000000000", &["does not fit in memory"]),
        ("division", &["'division'", "addition"]),
        ("--hiden 4", &["'--hiden'", "'--hidden'"]),
    ] {
        xtask_line(&folder, &format!("train {arguments}")).refused(2, texts);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}
