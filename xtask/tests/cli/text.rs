//! Texts: `train text`, `sample`, `evaluate`, and what they refuse.

use crate::{Outcome, assert_keys, command, json_line, temporary, xtask, xtask_line};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const LINE: &str = "She sells sea shells by the sea shore.\n";

/// A training of a second.
const TRAIN: &str = "train text book.txt --hidden 16 --batch 4 --chunk 16 --examples 12000";

/// A folder with a text.
fn with_text() -> TempDir {
    let folder = temporary();
    fs::write(folder.path().join("book.txt"), LINE.repeat(60)).unwrap();
    folder
}

/// A folder with a text, and a network that learned it in `run`.
fn learned() -> TempDir {
    let folder = with_text();
    assert_eq!(xtask_line(&folder, &format!("{TRAIN} --quiet --out run")).success(), "");
    folder
}

#[test]
fn a_text_is_learned_and_what_it_says_is_shown() {
    let folder = with_text();
    let shown = xtask_line(&folder, &format!("{TRAIN} --out run --json")).success();
    for text in [
        "2,106 chars to train on, 234 to validate; 14 different ones",
        "5-grams cost ",
        "training loss",
        "validation loss",
        "symbols/s",
        "The validation part costs ",
        "bits",
        "The run is in run",
        "Let it write: cargo xtask sample run",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = json_line(&shown);
    assert_keys(
        &json,
        &[
            "task",
            "unit",
            "symbols",
            "chunk",
            "cell",
            "layers",
            "hidden",
            "bias",
            "examples",
            "seed",
            "strategy",
            "threads",
            "push_every",
            "ranks",
            "optimizer",
            "seconds",
            "ns_per_example",
            "loss",
            "run",
            "updates",
            "best_updates",
            "train_loss",
            "valid_loss",
            "valid_bits",
            "baseline_nats",
            "symbols_per_second",
        ],
    );
    let number = |name: &str| json[name].as_f64().unwrap();
    assert_eq!((&json["task"], &json["unit"]), (&"text".into(), &"char".into()));
    assert_eq!((number("symbols"), number("updates")), (14.0, 3_000.0));
    assert!(number("valid_loss") < 0.2 && number("train_loss") < 0.3, "{json}");
    let bits = number("valid_loss") / std::f64::consts::LN_2;
    assert!((number("valid_bits") - bits).abs() < 1e-12);
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    for text in ["name = \"text\"", "book.txt", "unit = \"char\"", "sha256", "chunk = 16"] {
        assert!(config.contains(text), "{text}: {config}");
    }
    let metrics = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"valid\":"), "{metrics}");
    let curve = fs::read_to_string(folder.path().join("run/curve.svg")).unwrap();
    assert!(curve.contains("validation"), "the picture shows both losses");
}

#[test]
fn a_network_writes_what_it_learned_behind_a_prompt() {
    let folder = learned();
    let written = xtask_line(&folder, "sample run --temperature 0 --length 39").success();
    assert_eq!(written, format!("{LINE}\n"));
    let prompted = xtask(
        &folder,
        &["sample", "run", "--prompt", "She sells", "--top-k", "1", "--length", "30"],
    );
    assert_eq!(prompted.success(), format!("{LINE}\n"));
    // The same seed writes the same; a hot network other things for another.
    let hot = |seed: &str| {
        xtask_line(&folder, &format!("sample run --temperature 3 --length 80 --seed {seed}"))
            .success()
    };
    assert_eq!(hot("1"), hot("1"));
    assert_ne!(hot("1"), hot("2"));
    assert_eq!(xtask_line(&folder, "sample run --length 0 --prompt She").success(), "She\n");
}

#[test]
fn a_sample_whose_reader_goes_away_ends_without_a_word() {
    let folder = learned();
    let mut child = command(&folder, &["sample", "run", "--length", "18446744073709551615"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn another_text_is_evaluated_and_what_is_unknown_is_told() {
    let folder = learned();
    fs::write(folder.path().join("other.txt"), LINE.repeat(5)).unwrap();
    let json = xtask_line(&folder, "evaluate run other.txt --json").json();
    assert_eq!((&json["symbols"], &json["unknown"]), (&194.into(), &0.into()));
    assert!(json["nats"].as_f64().unwrap() < 0.3, "{json}");
    fs::write(folder.path().join("odd.txt"), "She sells Zürich\u{1b} zoo").unwrap();
    let shown = xtask_line(&folder, "evaluate run odd.txt --json").success();
    assert!(shown.contains("that the network does not know were left out: "), "{shown}");
    assert!(shown.contains("\"Z\", \"ü\"") && !shown.contains('\u{1b}'), "{shown}");
    assert_eq!(json_line(&shown)["unknown"], 6);

    // The text that it learned from, as it was and changed: said on standard error.
    let told = |line: &str| {
        let Outcome { code, stderr, .. } = xtask_line(&folder, line);
        assert_eq!(code, Some(0), "{stderr}");
        stderr
    };
    assert!(told("evaluate run book.txt").contains("is what the network learned from"));
    fs::write(folder.path().join("book.txt"), LINE).unwrap();
    assert!(told("evaluate run book.txt").contains("has changed since the training began"));
}

#[test]
fn words_and_bytes_are_learned_and_written_too() {
    let folder = with_text();
    let line = format!("{TRAIN} --unit word --vocabulary 5 --quiet --json --out words");
    let json = xtask_line(&folder, &line).json();
    assert_eq!((&json["unit"], &json["symbols"]), (&"word".into(), &6.into()));
    let shown = xtask_line(&folder, "evaluate words book.txt");
    assert!(shown.stdout.contains("perplexity") && shown.stdout.contains("count as <unk>"));
    let written = xtask_line(&folder, "sample words --temperature 0 --length 20").success();
    assert!(written.contains("<unk>"), "{written}");

    fs::write(folder.path().join("bytes"), [0, 255, 10, 128, 7, 200, 13].repeat(300)).unwrap();
    let line = TRAIN.replace("book.txt", "bytes");
    xtask_line(&folder, &format!("{line} --unit byte --quiet --out bytes-run")).success();
    let output = command(&folder, &["sample", "bytes-run", "--temperature", "0", "--length", "7"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, [128, 7, 200, 13, 0, 255, 10, 10], "behind byte 10");
}

#[test]
fn a_training_starts_from_the_weights_of_another() {
    let folder = learned();
    let start = |init: &str, examples: u32| {
        let line = TRAIN.replace("12000", &examples.to_string());
        let line = format!("{line} --quiet --json --lr 1e-30 --init {init}");
        xtask_line(&folder, &line).json()["valid_loss"].as_f64().unwrap()
    };
    let fresh = TRAIN.replace("12000", "4");
    let fresh = xtask_line(&folder, &format!("{fresh} --quiet --json --lr 1e-30")).json();
    assert!(fresh["valid_loss"].as_f64().unwrap() > 2.0);
    assert!(start("run", 4) < 0.2);
    assert!(start("run/model.safetensors", 4) < 0.2);
    let refused = xtask_line(&folder, "train text book.txt --hidden 17 --init run");
    refused.refused(1, &["run", "cannot be used", "[64, 14]", "[68, 14]"]);
    // Another text is read with the symbols that the first network knows.
    fs::write(folder.path().join("next.txt"), "She sells Xeroxes ashore.\n".repeat(40)).unwrap();
    let line = TRAIN.replace("book.txt", "next.txt");
    let shown = xtask_line(&folder, &format!("{line} --init run --out next")).success();
    assert!(
        shown.contains("14 different ones") && shown.contains("80 chars are unknown"),
        "{shown}"
    );
    let refused = xtask_line(&folder, "train text next.txt --unit byte --init run");
    refused.refused(2, &["knows chars", "--unit char"]);
    let refused = xtask_line(&folder, "train text book.txt --init nothing");
    refused.refused(1, &["cannot read nothing"]);
    let started = xtask_line(&folder, "train --quiet --out a").success();
    assert_eq!(started, "");
    xtask_line(&folder, "train --quiet --init a --examples 1 --out b").success();
}

#[test]
fn many_seeds_of_a_text_are_compared_by_their_validation() {
    let folder = with_text();
    let line = TRAIN.replace("12000", "400");
    let shown = xtask_line(&folder, &format!("{line} --seeds 0..3 --json")).success();
    assert!(shown.contains("valid_loss: median"), "{shown}");
    let json = json_line(&shown);
    let mut losses: Vec<f64> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["valid_loss"].as_f64().unwrap())
        .collect();
    losses.sort_by(f64::total_cmp);
    assert_eq!((&json["median"], &json["best"]), (&losses[1].into(), &losses[0].into()));
    assert_eq!(json["quartiles"].as_array().unwrap().len(), 2);
}

#[test]
fn a_stopped_text_is_resumed_and_a_changed_one_refused() {
    let folder = with_text();
    let line = TRAIN.replace("12000", "1000000000");
    let mut child = command(&folder, &line.split(' ').chain(["--out", "run"]).collect::<Vec<_>>())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(folder.path().join("run/checkpoint").exists());
    fs::write(folder.path().join("book.txt"), LINE.repeat(61)).unwrap();
    let refused = xtask_line(&folder, "train --resume run");
    refused.refused(1, &["book.txt has changed since the training began", "put back"]);
    fs::remove_file(folder.path().join("book.txt")).unwrap();
    xtask_line(&folder, "train --resume run").refused(1, &["cannot read", "book.txt"]);
}

#[test]
fn what_makes_no_sense_for_a_text_is_refused_and_makes_no_folder() {
    let folder = with_text();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("latin", b"caf\xe9 caf\xe9"),
        ("same", &[b'x'; 900]),
        ("short", b"abcabcabc"),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    for (line, code, texts) in [
        ("train text", 2, &["<FILE>"][..]),
        ("train text missing", 1, &["cannot read missing"]),
        ("train text .", 1, &["is a folder"]),
        ("train text pipe", 1, &["no regular file"]),
        ("train text empty", 1, &["empty is empty"]),
        ("train text book.txt empty", 1, &["empty is empty"]),
        ("train text latin", 1, &["latin is no text", "byte 3 (0xe9)", "--unit byte"]),
        ("train text same", 2, &["one char alone, \"x\""]),
        ("train text short", 2, &["short has 8 chars to train on", "--chunk"]),
        ("train text book.txt --batch 500", 2, &["too short for 500 streams", "--batch"]),
        ("train text book.txt --bidirectional", 2, &["--bidirectional"]),
        ("train text book.txt --vocabulary 5", 2, &["--vocabulary would be ignored"]),
        ("train text book.txt --valid 1", 2, &["a share above 0 and below 1"]),
        ("train text book.txt --epochs 1 --examples 5", 2, &["cannot be used with"]),
        ("train text book.txt --bits 8", 2, &["--bits"]),
        ("train --patience 3", 2, &["--patience would be ignored"]),
    ] {
        xtask_line(&folder, line).refused(code, texts);
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn without_a_name_the_latest_run_of_the_right_task_is_taken() {
    let folder = with_text();
    xtask_line(&folder, "train --quiet").success();
    xtask_line(&folder, &format!("{TRAIN} --quiet")).success();
    assert!(xtask_line(&folder, "add 1 2").success().contains("runs/0001"));
    xtask_line(&folder, "train --quiet --examples 1").success();
    assert_eq!(
        xtask_line(&folder, "sample --temperature 0 --length 39").success(),
        format!("{LINE}\n")
    );
}

#[test]
fn a_run_of_another_task_is_refused_by_name() {
    let folder = learned();
    xtask_line(&folder, "train --quiet --out sums").success();
    for (line, texts) in [
        ("add 1 2 --run run", &["learned the task text and cannot add"][..]),
        ("certify --run run", &["learned the task text"]),
        ("sample sums", &["learned the task addition and cannot write", "train text"]),
        ("evaluate sums book.txt", &["learned the task addition and cannot judge a text"]),
        ("train --resume run", &["is finished"]),
    ] {
        let code = if line.contains("resume") { 2 } else { 1 };
        xtask_line(&folder, line).refused(code, texts);
    }
    for line in ["sample run --prompt Quiz", "sample run --temperature -1", "sample run --top-k 0"]
    {
        xtask_line(&folder, line).refused(2, &[]);
    }
    let refused = xtask_line(&folder, "sample run --prompt Quiz");
    refused.refused(2, &["characters that the network never saw: \"Q\", \"u\", \"i\", \"z\""]);
    for name in ["empty", "one"] {
        fs::write(folder.path().join(name), if name == "one" { "S" } else { "" }).unwrap();
    }
    xtask_line(&folder, "evaluate run empty").refused(1, &["empty is empty"]);
    xtask_line(&folder, "evaluate run one").refused(1, &["1 symbols that the network knows"]);
    xtask_line(&temporary(), "sample").refused(1, &["there is no finished run"]);
}

/// Runs where PyTorch is: by `python3`, or the interpreter that `CARRY_PYTHON` names.
#[test]
fn a_run_loads_in_pytorch_and_gives_the_same_loss() {
    let python = std::env::var("CARRY_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_torch = Command::new(&python).args(["-c", "import torch, safetensors"]).output();
    if !has_torch.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no torch and safetensors");
        return;
    }
    let script =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/train/examples/pytorch/loss_of_a_text.py");
    let folder = with_text();
    for embedding in ["", " --embedding 5"] {
        let line = format!("{TRAIN}{embedding} --quiet --out run --force");
        xtask_line(&folder, &line).success();
        let ours = xtask_line(&folder, "evaluate run book.txt --json");
        let ours = json_line(&ours.stdout)["nats"].as_f64().unwrap();
        let output = Command::new(&python)
            .args([script, "run", "book.txt"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let theirs: f64 = text.trim().parse().unwrap_or_else(|_| {
            panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
        });
        assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
    }
}
