//! Every number that a command takes, near the ends of its type: refused as wrong usage with a
//! remedy, or meaning what it says. Which options there are is read from `--help`, so that a new
//! one is noticed.

use crate::{contents, temporary, trained, xtask_line};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::{NamedTempFile, TempDir};

/// The ends of the types, and what is not a number.
const VALUES: [&str; 17] = [
    "0",
    "1",
    "65534",
    "65535",
    "4294967294",
    "4294967295",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "-0",
    "1e300",
    "1e-300",
    "0.9999999999999999",
    "340282346638528859811704183484516925440",
    "nan",
    "inf",
];

/// A training of a few milliseconds.
const TRAIN: &str = "train --quiet --json --bits 1 --hidden 2 --examples 20 --out out --force";

/// The same on a text.
const TEXT: &str = "train text book.txt --quiet --json --hidden 2 --batch 2 --chunk 4 --examples 20 --out out --force";

/// The same on a table.
const SERIES: &str = "train series load.csv --quiet --json --target load --hidden 2 --batch 2 --window 4 --horizon 2 --season 7 --examples 20 --out out --force";

/// The same on a machine.
const MACHINE: &str = "train machine parity --quiet --json --hidden 2 --batch 2 --length 4 --examples 20 --out out --force";

/// What takes a number: a command, the option, its own limits beside [`VALUES`], and the rest of a
/// command line, with `{}` for the number. A line that begins with `train` has [`TRAIN`] for it, one
/// with `train text` [`TEXT`], with `train series` [`SERIES`], with `train machine` [`MACHINE`].
const NUMBERS: &[(&str, &str, &[&str], &str)] = &[
    ("train", "--bits", &["63", "64", "65"], "train --hidden 2 --examples 20 --bits {}"),
    ("train", "--hidden", &[], "train --bits 1 --examples 20 --hidden {}"),
    ("train", "--examples", &[], "train --bits 1 --hidden 2 --examples {}"),
    ("train", "--batch", &["65536", "65537"], "train --batch {}"),
    ("train", "--threads", &["1023", "1024", "1025"], "train --strategy hogwild --threads {}"),
    ("train", "--threads", &["1024"], "train --strategy synchronous --batch 3 --threads {}"),
    ("train", "--threads", &["1024"], "train --strategy averaging --threads {}"),
    ("train", "--push-every", &[], "train --strategy hogwild --threads 2 --push-every {}"),
    ("train", "--push-every", &[], "train --strategy averaging --threads 2 --push-every {}"),
    ("train", "--push-every", &[], "train --strategy averaging --batch 7 --push-every {}"),
    ("train", "--seed", &[], "train --seed {}"),
    ("train", "--layers", &[], "train --examples 1 --layers {}"),
    ("train", "--memory", &["2"], "train --memory {}"),
    ("train", "--dropout", &[], "train --layers 2 --dropout {}"),
    ("train", "--seeds", &[], "train --seeds 0..{}"),
    ("train", "--seeds", &[], "train --seeds {}..18446744073709551615"),
    (
        "train",
        "--checkpoint-every",
        &["1s", "0s", "1e300s", "1e-300s", "nans", "infs", "-1s"],
        "train --checkpoint-every {}",
    ),
    ("train", "--lr", &["1e-45", "1e-46", "3.4e38", "3.5e38"], "train --lr {}"),
    ("train", "--momentum", &[], "train --optimizer momentum --momentum {}"),
    ("train", "--momentum", &[], "train --optimizer nesterov --momentum {}"),
    ("train", "--beta1", &[], "train --optimizer adam --beta1 {}"),
    ("train", "--beta2", &[], "train --optimizer adamw --beta2 {}"),
    ("train", "--epsilon", &["1e-45"], "train --optimizer adam --epsilon {}"),
    ("train", "--weight-decay", &[], "train --weight-decay {}"),
    ("train", "--weight-decay", &[], "train --optimizer adamw --weight-decay {}"),
    ("train", "--clip-norm", &["1e-45"], "train --clip-norm {}"),
    ("train", "--clip-value", &["1e-45"], "train --clip-value {}"),
    ("train", "--decay-every", &[], "train --schedule step --decay-every {}"),
    ("train", "--decay", &[], "train --schedule step --decay-every 3 --decay {}"),
    ("train", "--warm-up", &["19", "20"], "train --schedule cosine --warm-up {}"),
    ("train", "--floor", &[], "train --schedule cosine --floor {}"),
    ("train", "--bits", &["64"], "train --certifiable --batch 4 --bits {}"),
    ("train", "--hidden", &[], "train --certifiable --batch 4 --hidden {}"),
    ("train", "--batch", &["65536"], "train --certifiable --batch {}"),
    ("train", "--push-every", &[], "train --certifiable --strategy hogwild --push-every {}"),
    ("train", "--until-proved", &["1001"], "train --batch 4 --until-proved {}"),
    ("train", "--until-proved", &["1001"], "train machine --until-proved {}"),
    ("train", "--snapshots", &["1000", "1001", "2"], "train --snapshots {}"),
    ("train", "--snapshots", &["1000"], "train text --snapshots {}"),
    ("train", "--patience", &[], "train text --patience {}"),
    ("train text", "--chunk", &["65536", "65537", "899"], "train text --chunk {}"),
    ("train", "--batch", &[], "train text --batch {}"),
    ("train text", "--epochs", &[], "train text --epochs {}"),
    ("train text", "--vocabulary", &[], "train text --unit word --vocabulary {}"),
    ("train text", "--valid", &["1e-9", "0.999"], "train text --valid {}"),
    ("train text", "--embedding", &[], "train text --embedding {}"),
    ("train series", "--window", &["160", "161", "65536"], "train series --window {}"),
    ("train series", "--horizon", &["20", "21", "65536"], "train series --horizon {}"),
    ("train series", "--season", &["160"], "train series --season {}"),
    ("train series", "--stride", &[], "train series --stride {}"),
    (
        "train series",
        "--valid",
        &["1e-9", "0.999"],
        "train series --train-rows 0..160 --test-rows 160..200 --valid {}",
    ),
    ("train series", "--split", &["0.8,0.1,0.1", "1e-300,0.5,0.5"], "train series --split {}"),
    ("train series", "--split", &[], "train series --split 0.5,0.25,{}"),
    ("train series", "--train-rows", &[], "train series --train-rows 0..{} --test-rows 160..200"),
    ("train series", "--test-rows", &[], "train series --train-rows 0..160 --test-rows 160..{}"),
    ("train machine", "--length", &["65536", "65537"], "train machine --length {}"),
    ("run", "--random", &["65536", "65537"], "run --run machine --random {}"),
    ("run", "--seed", &[], "run --run machine --random 9 --seed {}"),
    ("forecast", "--steps", &["2", "3"], "forecast series load.csv --steps {}"),
    ("sample", "--length", &[], "sample text --length {}"),
    ("sample", "--temperature", &[], "sample text --length 9 --temperature {}"),
    ("sample", "--top-k", &[], "sample text --length 9 --top-k {}"),
    ("sample", "--seed", &[], "sample text --length 9 --seed {}"),
    ("add", "<A>", &["-"], "add {} 1 --run run --json"),
    ("add", "<B>", &["-"], "add 1 {} --run run"),
    ("certify", "--budget", &[], "certify --run bad --json --budget {}"),
    ("certify", "--seeds", &[], "certify --json --study --hidden 2 --recipe plain --seeds 0..{}"),
    ("certify", "--seeds", &[], "certify --json --study --seeds {}..18446744073709551615"),
    (
        "certify",
        "--hidden",
        &["2,0"],
        "certify --json --study --seeds 0..1 --recipe plain --hidden {}",
    ),
    (
        "certify",
        "--workers",
        &["3"],
        "certify --json --study --seeds 0..1 --recipe plain --hidden 2 --workers {}",
    ),
    ("lab", "--seed", &[], "lab memory --quick --json --out report --seed {}"),
    ("cluster", "--ranks", &["65536", "65537"], "cluster --ranks {} -- train"),
    (
        "train",
        "--stall",
        &["1s", "0.1s", "0s", "1000000s", "1e300s", "nans", "infs", "-1s"],
        "train --stall {}",
    ),
    ("replay", "--tolerance", &[], "replay trace.json --json --tolerance {}"),
    ("fuzz", "--seconds", &[], "fuzz weights --seconds {}"),
    ("bench peers", "--examples", &["1000000", "1000001"], "bench peers --examples {}"),
    (
        "cluster",
        "--hidden",
        &[],
        "cluster --predict --json --seeds 1 --workers 2 --push-every 16 --examples 20 --hidden {}",
    ),
    (
        "cluster",
        "--loss",
        &[],
        "cluster --predict --json --seeds 1 --workers 2 --push-every 16 --examples 200 --loss {}",
    ),
    (
        "cluster",
        "--examples",
        &[],
        "cluster --predict --json --seeds 1 --workers 2 --push-every 16 --loss 1000 --examples {}",
    ),
    (
        "cluster",
        "--workers",
        &["256", "257", "2,1"],
        "cluster --predict --json --seeds 1 --push-every 16 --examples 200 --workers {}",
    ),
    (
        "cluster",
        "--push-every",
        &["1000000000", "1000000001", "16,0"],
        "cluster --predict --json --seeds 1 --workers 2 --examples 200 --push-every {}",
    ),
    (
        "cluster",
        "--seeds",
        &["1000", "1001"],
        "cluster --predict --json --workers 2 --push-every 16 --examples 20 --seeds {}",
    ),
    ("bench hogwild", "--threads", &["1024", "1,1025"], "bench hogwild --threads {}"),
    ("bench hogwild", "--push-every", &["1,0"], "bench hogwild --push-every {}"),
    ("bench hogwild", "--rate", &["0.1,0"], "bench hogwild --rate {}"),
    ("bench hogwild", "--seeds", &["1000", "1001"], "bench hogwild --seeds {}"),
    ("bench hogwild", "--loss", &["1,nan"], "bench hogwild --loss {}"),
];

/// What takes a value that is no number.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "train",
        &[
            "--init",
            "--strategy",
            "--outer",
            "--compress",
            "--cell",
            "--out",
            "--trials",
            "--resume",
            "--on-divergence",
            "--optimizer",
            "--schedule",
        ],
    ),
    ("train text", &["<FILE>...", "--unit"]),
    (
        "train series",
        &["<FILE.csv>", "--target", "--classify", "--inputs", "--time", "--delimiter", "--decimal"],
    ),
    ("train machine", &["<NAME|FILE.toml>"]),
    ("run", &["[WORD]...", "--run"]),
    ("forecast", &["<FILE.csv>...", "--out"]),
    ("sample", &["[RUN]", "--prompt"]),
    ("evaluate", &["<FILE>..."]),
    ("add", &["--run"]),
    (
        "certify",
        &[
            "--run",
            "--check",
            "--machine",
            "--cell",
            "--biases",
            "--recipe",
            "--trials",
            "--picture",
        ],
    ),
    ("lab", &["[STUDY]...", "--out"]),
    ("cluster", &["--hosts", "[COMMAND]...", "--text", "--out"]),
    ("replay", &["<FILE>"]),
    ("plot", &["<RUN>...", "--out"]),
    ("page", &["[RUN]", "--out"]),
    ("bench", &["[GROUP]", "--baseline", "--also"]),
    ("bench peers", &["--cell", "--text", "--series", "--target"]),
    ("bench hogwild", &["[SIZE]", "--strategy"]),
    ("race", &[]),
    ("fuzz", &["[READER]"]),
    ("ci", &[]),
    ("dist", &["--out"]),
];

/// Ends only when it is told to, at numbers larger than these.
fn is_long(command: &str, option: &str, value: &str) -> bool {
    let most = match (command, option) {
        // Every way in which we train, each so often: a minute for all of a million.
        ("bench peers", "--examples") => 100_000,
        (_, "--examples" | "--length") => 1_000_000,
        (_, "--seeds" | "--epochs") => 1_000,
        _ => return false,
    };
    value.parse::<u64>().is_ok_and(|value| value > most)
}

/// All that takes a value, as `--help` lists it: the command, and the option or argument.
fn listed() -> BTreeSet<(String, String)> {
    let folder = temporary();
    let mut all = BTreeSet::new();
    let mut commands = vec![String::new()];
    while let Some(command) = commands.pop() {
        let help = xtask_line(&folder, &format!("{command} --help")).success();
        let mut section = "";
        for line in help.lines() {
            let indent = line.len() - line.trim_start().len();
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                [_, ..] if indent == 0 => section = line,
                ["help", ..] => {}
                // `train` by itself, under another name.
                ["addition", ..] if section == "Tasks:" => {}
                [name, ..] if ["Commands:", "Tasks:"].contains(&section) && indent == 2 => {
                    commands.push(format!("{command} {name}").trim().to_owned());
                }
                [name] if section == "Arguments:" && indent == 2 => {
                    all.insert((command.clone(), name.to_owned()));
                }
                // Alone, or behind its short form: `-n, --ranks <RANKS>`.
                [option, value, ..] | [_, option, value, ..]
                    if indent <= 6 && option.starts_with("--") && value.starts_with('<') =>
                {
                    all.insert((command.clone(), option.to_owned()));
                }
                _ => {}
            }
        }
    }
    // What every task of `train` takes is told once.
    let common = |option: &String| all.contains(&("train".to_owned(), option.clone()));
    let own =
        |(command, option): &&(String, String)| !command.starts_with("train ") || !common(option);
    all.iter().filter(own).cloned().collect()
}

#[test]
fn every_option_is_in_the_sweep() {
    let numbers = NUMBERS.iter().map(|&(command, option, ..)| (command, option));
    let others =
        OTHERS.iter().flat_map(|&(command, options)| options.iter().map(move |&o| (command, o)));
    let known =
        numbers.chain(others).map(|(command, option)| (command.to_owned(), option.to_owned()));
    let known: BTreeSet<_> = known.collect();
    let listed = listed();
    let new: Vec<_> = listed.difference(&known).collect();
    assert!(new.is_empty(), "say in this file what these take: {new:?}");
    let gone: Vec<_> = known.difference(&listed).collect();
    assert!(gone.is_empty(), "not in --help: {gone:?}");
}

/// A folder with what the command lines of [`NUMBERS`] need.
fn workplace() -> TempDir {
    let folder = trained();
    xtask_line(&folder, "train --quiet --examples 1 --out bad").success();
    let trace =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/train/tests/fixtures/lab-seed-0.json");
    fs::copy(trace, folder.path().join("trace.json")).unwrap();
    fs::write(folder.path().join("book.txt"), "It was a dark night. ".repeat(50)).unwrap();
    let text = TEXT.replace("--json ", "").replace("--out out --force", "--out text");
    xtask_line(&folder, &text).success();
    let rows = (0..200).map(|n| format!("{},{}\n", n % 7, n * n % 11));
    fs::write(
        folder.path().join("load.csv"),
        "load,other\n".to_owned() + &rows.collect::<String>(),
    )
    .unwrap();
    let series = SERIES.replace("--json ", "").replace("--out out --force", "--out series");
    xtask_line(&folder, &series).success();
    let machine = MACHINE.replace("--json ", "").replace("--out out --force", "--out machine");
    xtask_line(&folder, &machine).success();
    // Benches and rivals are not built: what cargo and python3 would do is nobody's number here.
    for name in ["cargo", "python3"] {
        let program = folder.path().join(name);
        fs::write(&program, "#!/bin/sh\necho this one measures nothing >&2\nexit 101\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// How a command ended: the status, what it printed, and whether it had to be told to.
struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    was_long: bool,
}

/// Runs `cargo xtask` with no more than 16 GiB of addresses; after two seconds a long one gets a
/// Ctrl-C, and none may take longer than a minute, however busy the machine is.
fn run(folder: &TempDir, arguments: &[&str], is_long: bool) -> Ended {
    // Files, for a pipe that nobody reads meanwhile gets full.
    let [stdout, stderr] = [(); 2].map(|()| NamedTempFile::new().unwrap());
    let mut child = Command::new("/bin/sh")
        .args(["-c", "ulimit -v 16777216; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_xtask")])
        .args(arguments)
        .current_dir(folder.path())
        .env("CARGO", folder.path().join("cargo"))
        .env("PATH", folder.path())
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .stdout(stdout.reopen().unwrap())
        .stderr(stderr.reopen().unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut was_long = false;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if is_long && !was_long && start.elapsed() > Duration::from_secs(2) {
            was_long = true;
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap(); // which is not how a command ends
        }
        thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = [stdout, stderr].map(|file| fs::read_to_string(file.path()).unwrap());
    Ended { status, stdout, stderr, was_long }
}

/// What is wrong with how a command ended, if anything is.
fn fault(command: &str, ended: &Ended) -> Option<&'static str> {
    const REMEDIES: [&str; 5] = ["needed", "give", "ask for", "at most", "at least"];
    let Ended { status, stdout, stderr, was_long } = ended;
    let says = |text: &str| stderr.contains(text);
    if says("panicked") || says("overflow") {
        return Some("it panicked");
    }
    match status.code() {
        Some(2) if !stderr.starts_with("error: ") || !stdout.is_empty() => Some("no plain error"),
        Some(2) if !REMEDIES.iter().any(|text| says(text)) => Some("no remedy"),
        Some(2) => None,
        Some(0) if command.starts_with("train") || command == "certify" => {
            let object = serde_json::from_str::<serde_json::Value>(stdout.trim_end());
            (stdout.lines().count() != 1 || object.is_err()).then_some("no JSON object")
        }
        Some(0) => None,
        Some(1) if stdout.contains("\"proof\":{") => (!stderr.is_empty()).then_some("it failed"),
        Some(1) if command.starts_with("train") => (!says("diverged")).then_some("it failed"),
        Some(1) if command == "cluster" => (!says("no MPI is installed")).then_some("it failed"),
        Some(1) if command.starts_with("bench") || command == "fuzz" => {
            (!says("measures nothing")).then_some("it failed")
        }
        // A sum or an output that is wrong, no proof, a replay that is not within.
        Some(1) => (stdout.is_empty() || !stderr.is_empty()).then_some("it failed"),
        Some(130) if *was_long => None,
        None if *was_long && status.signal() == Some(2) => None,
        _ => Some("it did not end, or was ended"),
    }
}

#[test]
fn every_number_near_the_ends_of_its_type_is_refused_or_means_what_it_says() {
    let mut tries = Vec::new();
    for &(command, option, own, line) in NUMBERS {
        for value in VALUES.iter().chain(own) {
            let line = match line.strip_prefix("train ") {
                // The last of an option that is given twice would be refused.
                Some(rest) => {
                    let tasks = [("text ", TEXT), ("series ", SERIES), ("machine ", MACHINE)];
                    let of_task = |&(task, base)| Some((base, rest.strip_prefix(task)?));
                    let (base, rest) = tasks.iter().find_map(of_task).unwrap_or((TRAIN, rest));
                    let plain = base.split(" --").filter(|part| {
                        let name = part.split(' ').next().unwrap();
                        let is_given = rest.contains(&format!("--{name} "));
                        let is_ignored = rest.contains("--seeds")
                            && ["out", "force"].contains(&name)
                            || rest.contains("--epochs") && name == "examples";
                        !is_given && !is_ignored
                    });
                    format!("{} {rest}", plain.collect::<Vec<_>>().join(" --"))
                }
                None => line.to_owned(),
            };
            tries.push((command, option, *value, line.replace("{}", value)));
        }
    }
    let (next, workers) = (AtomicUsize::new(0), 2);
    let faults = thread::scope(|scope| {
        let work = || {
            let folder = workplace();
            let mut faults = Vec::new();
            while let Some((command, option, value, line)) =
                tries.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let arguments: Vec<_> = line.split_whitespace().collect();
                let ended = run(&folder, &arguments, is_long(command, option, value));
                if let Some(fault) = fault(command, &ended) {
                    let Ended { status, stdout, stderr, .. } = ended;
                    faults.push(format!("{line}: {fault}; {status}\n{stdout}{stderr}"));
                }
            }
            faults
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), tries.len(), faults.join("\n"));
}

#[test]
fn a_checkpoint_after_more_examples_than_there_are_changes_nothing() {
    let folder = temporary();
    let model = |options: &str, out: &str| {
        let line = format!("train --examples 2000 --quiet {options} --out {out}");
        xtask_line(&folder, &line).success();
        contents(&folder.path().join(out)).remove("model.safetensors").unwrap()
    };
    let plain = model("", "plain");
    for (n, every) in ["18446744073709551615", "18446744073709551614", "1e300s"].iter().enumerate()
    {
        assert!(model(&format!("--checkpoint-every {every}"), &n.to_string()) == plain, "{every}");
    }
    // K beyond all examples is one average at the end, at any of its numbers.
    let averaging = "--strategy averaging --threads 2 --push-every";
    let once = model(&format!("{averaging} 1000"), "once");
    assert!(model(&format!("{averaging} 18446744073709551615"), "most") == once);
}

#[test]
fn what_only_f64_holds_is_refused_where_steps_are_made_in_f32() {
    let folder = temporary();
    for (options, texts) in [
        (
            "--optimizer momentum --momentum 0.9999999999999999",
            ["momentum of 0.9999999999999999 makes no sense", "0 to below 1"],
        ),
        ("--weight-decay 1e300", ["weight decay of 1", "0 or more, below 3e38"]),
        ("--optimizer adamw --weight-decay 1e39", ["weight decay of 1", "below 3e38"]),
        ("--optimizer adam --epsilon 1e-300", ["epsilon of 0.000", "such as 1e-8"]),
        ("--lr 1e300", ["--lr", "positive, finite"]),
        ("--layers 2 --dropout 0.9999999999999999", ["--dropout", "0 to below 1"]),
        ("--seeds 0..100001", ["--seeds", "at most 100,000 seeds"]),
    ] {
        xtask_line(&folder, &format!("train {options}")).refused(2, &texts);
    }
}
