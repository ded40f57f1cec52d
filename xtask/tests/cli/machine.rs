//! Machines: `train machine`, `run`, and what they refuse.

use crate::{
    Outcome, RUN_FILES, assert_keys, contents, json_line, names, temporary, xtask, xtask_line,
};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// A training of a second or two.
const TRAIN: &str = "train machine parity --hidden 8 --examples 32000";

/// A folder with a network that learned parity in `run`.
fn learned() -> TempDir {
    let folder = temporary();
    assert_eq!(xtask_line(&folder, &format!("{TRAIN} --quiet --out run")).success(), "");
    folder
}

/// What `text`, as a file, is answered with by a short training.
fn of_file(text: &str) -> Outcome {
    let folder = temporary();
    fs::write(folder.path().join("own.toml"), text).unwrap();
    let outcome = xtask_line(&folder, "train machine own.toml --hidden 2 --examples 64 --out run");
    assert_eq!(outcome.code == Some(0), folder.path().join("run").exists());
    outcome
}

const FILE: &str = r#"name = "own"
inputs = ["a", "b"]
outputs = ["yes", "no"]
states = ["one", "two", "three"]
transitions = [
    ["one", "a", "two", "yes"],
    ["one", "b", "three", "no"],
    ["two", "a", "one", "no"],
    ["three", "a", "one", "no"],
]
[legal]
two = ["a"]
three = ["a"]
"#;

#[test]
fn a_machine_is_learned_and_the_share_of_words_that_are_right_is_told() {
    let folder = temporary();
    let shown = xtask_line(&folder, &format!("{TRAIN} --out run --json")).success();
    for text in [
        "parity: 2 states, 2 inputs, 2 outputs",
        "All words of up to 14 symbols are right (16,384 of 14); ",
        " of 100 of 1,000 symbols.",
        "The run is in run",
        "Try it: cargo xtask run --random 12 --run run",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = json_line(&shown);
    assert_eq!((&json["task"], &json["machine"]), (&"machine".into(), &"parity".into()));
    assert_eq!((&json["words_correct"], &json["words_total"]), (&16_384.into(), &16_384.into()));
    assert_eq!((&json["length"], &json["states"][1]), (&24.into(), &"odd".into()));
    let found = names(&folder.path().join("run"));
    assert!(found.iter().all(|name| RUN_FILES.contains(&name.as_str())), "{found:?}");
}

#[test]
fn a_word_is_read_beside_the_machine() {
    let folder = learned();
    let shown = xtask_line(&folder, "run 10011 --run run").success();
    let rows: Vec<_> = shown.lines().collect();
    assert!(rows[0].starts_with("step  input  state  output  said  "), "{shown}");
    assert!(rows[1].starts_with("   0  1      odd    1       1     "), "{shown}");
    assert!(rows[5].starts_with("   4  1      odd    1       1     "), "{shown}");
    assert!(
        shown
            .contains("Right in all 5 outputs: the network of run, trained on the machine parity.")
    );

    let json = xtask_line(&folder, "run 1,0 0 11 --run run --json").json();
    let keys =
        ["machine", "word", "states", "expected", "said", "outputs", "hidden", "correct", "wrong"];
    assert_keys(&json, &keys);
    let list = |key: &str| json[key].as_array().unwrap().clone();
    assert_eq!(list("states"), ["odd", "odd", "odd", "even", "odd"]);
    assert_eq!((list("expected"), list("said")), (list("said"), list("expected")));
    assert_eq!((list("outputs").len(), list("hidden")[0].as_array().unwrap().len()), (5, 8));
    assert_eq!((&json["correct"], &json["wrong"]), (&true.into(), &0.into()));

    let drawn = |seed: u64| {
        xtask_line(&folder, &format!("run --random 30 --seed {seed} --run run --json")).json()
    };
    assert_eq!((drawn(3)["word"].as_array().unwrap().len(), drawn(3)), (30, drawn(3)));
    assert_ne!(drawn(3)["word"], drawn(4)["word"]);
}

#[test]
fn words_that_are_none_are_refused_with_what_could_stand_there() {
    let folder = learned();
    let run = |word: &str| xtask(&folder, &["run", word, "--run", "run"]);
    run("1021").refused(2, &["\"2\"", "parity", "0, 1"]);
    run("").refused(2, &["empty", "0, 1"]);
    let train = "train machine brackets --hidden 2 --examples 64 --quiet --out brackets";
    xtask_line(&folder, train).success();
    xtask(&folder, &["run", "())", "--run", "brackets"])
        .refused(2, &["symbol 3", "\"depth 0\"", "what can is ("]);
    xtask_line(&folder, "train --quiet --examples 20 --out adds").success();
    xtask(&folder, &["run", "1", "--run", "adds"])
        .refused(1, &["addition", "cargo xtask train machine"]);
    xtask_line(&folder, "add 1 2 --run run").refused(1, &["machine", "cannot add"]);
}

#[test]
fn a_network_that_is_wrong_ends_with_one() {
    let folder = temporary();
    let train = "train machine comparison --hidden 1 --examples 32 --quiet --out run";
    xtask_line(&folder, train).success();
    let outcome = xtask_line(&folder, "run 00,01,10,11,00,01 --run run");
    assert_eq!(outcome.code, Some(1), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("  wrong\n") && outcome.stdout.contains("Wrong in "));
}

#[test]
fn a_file_is_trained_on_and_what_was_not_minimal_is_said() {
    let shown = of_file(FILE).success();
    assert!(shown.contains("own: 2 states, 2 inputs, 2 outputs"), "{shown}");
    assert!(shown.contains("The states two, three do not differ, and are one"), "{shown}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_before_there_is_a_folder() {
    let refused = |from: &str, to: &str, texts: &[&str]| {
        assert!(FILE.contains(from));
        of_file(&FILE.replace(from, to)).refused(1, &[&["own.toml"], texts].concat());
    };
    refused("three = [\"a\"]\n", "", &["not complete", "\"three\"", "\"b\""]);
    refused("\"three\", \"a\", \"one\"", "\"one\", \"a\", \"one\"", &["not deterministic"]);
    refused("\"three\", \"no\"", "\"two\", \"no\"", &["no word leads to", "\"three\""]);
    let folder = temporary();
    xtask_line(&folder, "train machine none.toml").refused(1, &["none.toml"]);
    xtask_line(&folder, "train machine tomita-8").refused(2, &["tomita-8", "tomita-7", ".toml"]);
    xtask_line(&folder, "train machine parity --bidirectional").refused(2, &["to come"]);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn every_cell_optimizer_and_strategy_trains_a_machine() {
    for options in [
        "--cell sigmoid --bias",
        "--cell tanh --optimizer momentum",
        "--cell relu --layers 2 --dropout 0.1 --clip-norm 1",
        "--cell lstm --optimizer adamw",
        "--memory output --cell tanh",
        "--memory 3 --cell tanh",
        "--strategy synchronous --threads 2",
        "--strategy hogwild --threads 2",
        "--strategy averaging --threads 2",
        "--seeds 0..3",
    ] {
        for machine in ["comparison", "brackets"] {
            let line =
                format!("train machine {machine} --hidden 3 --examples 320 --json {options}");
            let json = xtask_line(&temporary(), &line).json();
            assert_eq!((&json["machine"], &json["hidden"]), (&machine.into(), &3.into()), "{line}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let folder = temporary();
    for out in ["one", "two"] {
        let line = format!("train machine random-3 --examples 640 --quiet --out {out}");
        xtask_line(&folder, &line).success();
    }
    let model = |run: &str| contents(&folder.path().join(run))["model.safetensors"].clone();
    assert_eq!(model("one"), model("two"));
}

/// A network that is proved: weights that were trained for it, and a training that leaves them so.
#[test]
fn a_machine_is_trained_for_a_proof_proved_and_reads_words() {
    let folder = temporary();
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/certify/tests/fixtures/machines/parity.safetensors"
    );
    fs::copy(weights, folder.path().join("parity.safetensors")).unwrap();
    let line = "train machine parity --certifiable --hidden 8 --init parity.safetensors \
                --examples 128 --lr 1e-9 --out run --json --quiet";
    let json = xtask_line(&folder, line).json();
    assert_eq!((&json["machine"], &json["hidden"]), (&"parity".into(), &8.into()));
    let json = xtask_line(&folder, "certify --run run --json").json();
    assert_eq!(json["outcome"], "certified");
    assert!(json["statement"].as_str().unwrap().contains("\"parity\" (2 states"), "{json}");
    for mode in ["", " --exact"] {
        let line = format!("certify --run run --check run/certificate.json{mode}");
        xtask_line(&folder, &line).success();
    }
    let json = xtask_line(&folder, "run 110100 --run run --json").json();
    assert_eq!((&json["correct"], &json["machine"]), (&true.into(), &"parity".into()));
}

/// The same weights: the first attempt is proved, whatever else training would come to.
#[test]
fn a_machine_is_trained_until_it_is_proved_and_the_proof_lies_beside_the_run() {
    let folder = temporary();
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/certify/tests/fixtures/machines/parity.safetensors"
    );
    fs::copy(weights, folder.path().join("parity.safetensors")).unwrap();
    let line = "train machine parity --until-proved 3 --hidden 8 --init parity.safetensors \
                --examples 128 --lr 1e-9 --seed 5 --out run --json";
    let shown = xtask_line(&folder, line).success();
    assert!(shown.contains("Attempt 1 of 3, seed 5\n") && !shown.contains("Attempt 2"), "{shown}");
    assert!(shown.contains("\nProved: this Elman network of 8 sigmoid units"), "{shown}");
    let files = "The proof is in run/certificate.json, a picture in run/report.svg";
    assert!(shown.contains(files) && !shown.contains("Prove it"), "{shown}");
    let json = json_line(&shown);
    assert_eq!((&json["seed"], &json["machine"]), (&5.into(), &"parity".into()));
    assert_eq!(json["proof"]["outcome"], "certified");
    xtask_line(&folder, "certify --run run --check run/certificate.json").success();
}

#[test]
fn a_machine_that_is_not_proved_is_trained_again_from_the_next_seed_and_the_last_run_is_kept() {
    let folder = temporary();
    let line =
        "train machine tomita-5 --until-proved 2 --hidden 4 --examples 64 --seed 7 --out run";
    let outcome = xtask_line(&folder, &format!("{line} --json --quiet"));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    let attempts: Vec<_> = outcome.stdout.lines().map(json_line).collect();
    let told = |json: &Value| (json["seed"].clone(), json["proof"]["outcome"].clone());
    let expected = [7, 8].map(|seed| (seed.into(), "counterexample".into()));
    assert_eq!(attempts.iter().map(told).collect::<Vec<_>>(), expected);
    let run = folder.path().join("run");
    let left = names(&run);
    assert!(
        !left.iter().any(|name| name == "checkpoint" || name == "certificate.json"),
        "{left:?}"
    );
    assert!(fs::read_to_string(run.join("config.toml")).unwrap().contains("\nseed = 8\n"));

    // as one would train it by itself
    let kept = contents(&run)["model.safetensors"].clone();
    let alone =
        "train machine tomita-5 --certifiable --hidden 4 --examples 64 --seed 8 --out alone";
    xtask_line(&folder, &format!("{alone} --quiet")).success();
    assert!(contents(&folder.path().join("alone"))["model.safetensors"] == kept);
    let outcome = xtask_line(&folder, &format!("{line} --force"));
    let said = ["Attempt 1 of 2, seed 7", "Attempt 2 of 2, seed 8", "Refuted: ", "Try it: "];
    assert!(said.iter().all(|said| outcome.stdout.contains(said)), "{}", outcome.stdout);
}

#[test]
fn a_machine_that_is_not_learned_is_refuted_by_a_word_that_shows_it() {
    let folder = temporary();
    let runs = ["--cell tanh --hidden 4", "--certifiable --hidden 4", "--cell gru --hidden 4"];
    for (name, options) in ["plain", "certifiable", "gru"].iter().zip(runs) {
        let line = format!("train machine tomita-5 {options} --examples 64 --quiet --out {name}");
        xtask_line(&folder, &line).success();
    }
    for name in ["plain", "certifiable", "gru"] {
        let outcome = xtask_line(&folder, &format!("certify --run {name}"));
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        let (_, tried) = outcome.stdout.split_once("Try it: cargo xtask ").unwrap();
        let wrong = xtask_line(&folder, &tried.lines().next().unwrap().replace('\'', ""));
        assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
        assert!(wrong.stdout.contains("  wrong\n"), "{}", wrong.stdout);
    }
}

#[test]
fn what_cannot_be_trained_for_a_proof_is_refused_and_makes_no_folder() {
    let folder = temporary();
    let refused = |options: &str, texts: &[&str]| {
        xtask_line(&folder, &format!("train machine parity --certifiable {options}"))
            .refused(2, texts);
    };
    refused("--layers 2", &["--certifiable", "--layers"]);
    refused("--memory 3", &["--certifiable", "--memory"]);
    let spaced = FILE.replace("\"a\"", "\"a b\"");
    fs::write(folder.path().join("own.toml"), spaced).unwrap();
    let line = "train machine own.toml --certifiable";
    xtask_line(&folder, line).refused(2, &["own", "cannot be proved", "words"]);
    assert_eq!(names(folder.path()), ["own.toml"]);
}
