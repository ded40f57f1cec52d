//! `cargo xtask add`.

use crate::{assert_keys, json_line, temporary, trained, xtask, xtask_line};
use model::{Config, Parameters, weights};
use rand::SeedableRng;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn two_numbers_are_added_and_shown_digit_by_digit() {
    let folder = trained();
    let stdout = xtask_line(&folder, "add 53 74 --run run").success();
    let lines: Vec<_> = stdout.lines().collect();
    let [head, digits @ .., empty, sum, verdict] = &lines[..] else { panic!("{stdout}") };
    assert!(head.starts_with("digit  a b  carry  sum  output  hidden units"), "{head}");
    assert_eq!(*empty, "");
    assert_eq!(*sum, "53 + 74 = 127");
    assert_eq!(*verdict, "Right in all 8 binary digits: the network of run, trained on 8 bits.");

    assert_eq!(digits.len(), 8); // one more than the longer operand has
    for (n, digit) in digits.iter().enumerate() {
        let (numbers, cells) = digit.split_once('▏').unwrap();
        let words: Vec<_> = numbers.split_whitespace().collect();
        let bit = |number: u32| (number >> n & 1).to_string();
        assert_eq!(words[..3], [n.to_string(), bit(53), bit(74)], "{digit}");
        assert_eq!((words[3], words[4]), ("·", bit(127).as_str()), "{digit}"); // no carry in 53 + 74
        let output: f64 = words[5].parse().unwrap();
        assert_eq!(output > 0.5, bit(127) == "1", "{digit}");
        let cells = cells.strip_suffix('▕').unwrap();
        assert_eq!(cells.chars().count(), 16, "{digit}");
        assert!(cells.chars().all(|cell| " ░▒▓█".contains(cell)), "{digit}");
    }
}

#[test]
fn the_table_shows_the_carry_in_the_row_that_made_it() {
    let folder = trained();
    let stdout = xtask_line(&folder, "add 3 1 --run run").success();
    let carries: Vec<_> =
        stdout.lines().skip(1).take(3).map(|row| row.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(carries, ["1", "1", "·"]);
}

#[test]
fn the_table_is_shown_up_to_16_bits() {
    let folder = trained();
    for (number, shown) in [(65_535, true), (65_536, false)] {
        let stdout = xtask_line(&folder, &format!("add 1 {number} --run run")).success();
        assert_eq!(stdout.starts_with("digit"), shown, "{stdout}");
        assert_eq!(stdout.lines().count(), if shown { 1 + 17 + 3 } else { 2 }, "{stdout}");
    }
}

#[test]
fn numbers_of_300_digits_are_added_by_a_network_trained_on_8_bits() {
    let folder = trained();
    let (nines, ones) = ("9".repeat(300), "1".repeat(300));
    let json = xtask(&folder, &["add", &nines, &ones, "--run", "run", "--json"]).json();
    assert_keys(&json, &["a", "b", "sum", "expected", "correct", "wrong_bits", "outputs"]);
    let sum = format!("1{}0", "1".repeat(299));
    assert_eq!((&json["a"], &json["b"]), (&nines.into(), &ones.into()));
    assert_eq!((&json["sum"], &json["expected"]), (&sum.clone().into(), &sum.into()));
    assert_eq!((&json["correct"], &json["wrong_bits"]), (&true.into(), &0.into()));
}

#[test]
fn json_tells_the_outputs_of_all_digits_lowest_first_but_of_very_long_numbers() {
    let folder = trained();
    // By the network at once, and step by step.
    for (a, b) in [(107_u64, 89), (65_535, 65_535), (65_536, 1), (u64::from(u32::MAX), 77)] {
        let outcome = xtask_line(&folder, &format!("add {a} {b} --run run --json"));
        let json = json_line(&outcome.stdout);
        let outputs: Vec<f64> = serde_json::from_value(json["outputs"].clone()).unwrap();
        let digits = u64::BITS - a.max(b).leading_zeros() + 1;
        assert_eq!(outputs.len(), digits as usize, "{a} + {b}");
        let spelled: u64 =
            outputs.iter().enumerate().map(|(n, &output)| u64::from(output > 0.5) << n).sum();
        assert_eq!(json["sum"], spelled.to_string());
        // As short as tells an f32 apart.
        let text = json["outputs"].to_string();
        for number in text.trim_matches(['[', ']']).split(',') {
            let value: f32 = number.parse().unwrap();
            assert!(number.len() <= 16 && value > 0.0 && value < 1.0, "{number}");
            assert_eq!(number.parse::<f64>().unwrap() as f32, value);
        }
    }
    let long = |bits: u32| {
        let number = (num_bigint::BigUint::from(1_u32) << (bits - 1)).to_string();
        let command = format!("printf '{number}\\n1\\n' | \"$0\" add - - --run run --json");
        let output = Command::new("sh")
            .args(["-c", &command, env!("CARGO_BIN_EXE_xtask")])
            .current_dir(folder.path())
            .output()
            .unwrap();
        json_line(&String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(long(65_536)["outputs"].as_array().unwrap().len(), 65_537);
    assert!(long(65_537).get("outputs").is_none());
}

#[test]
fn nothing_plus_nothing_is_a_sum_too_and_leading_zeros_are_nothing() {
    let folder = trained();
    let json = xtask_line(&folder, "add 0 0 --run run --json").json();
    assert_eq!((&json["sum"], &json["expected"]), (&"0".into(), &"0".into()));
    assert_eq!(xtask_line(&folder, "add 007 0 --run run --json").json()["sum"], "7");
}

#[test]
fn a_wrong_sum_is_told_with_the_right_one_and_exit_code_1() {
    let folder = temporary();
    xtask_line(&folder, "train --examples 1 --quiet --out run").success();
    let outcome = xtask_line(&folder, "add 123456789 987654321 --run run");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    let last = outcome.stdout.lines().last().unwrap();
    assert!(last.starts_with("Wrong in ") && last.ends_with("; the sum is 1111111110."), "{last}");

    let outcome = xtask_line(&folder, "add 123456789 987654321 --run run --json");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    let json = json_line(&outcome.stdout);
    let number = |key: &str| json[key].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((number("expected"), json["correct"].as_bool()), (1_111_111_110, Some(false)));
    let wrong_bits = (number("sum") ^ number("expected")).count_ones();
    assert_eq!(json["wrong_bits"], wrong_bits);
    assert!(wrong_bits > 0);

    // the table of a small sum marks the digits that are wrong
    let small = xtask_line(&folder, "add 65535 65535 --run run");
    let marked = small.stdout.lines().filter(|line| line.ends_with("▕  wrong")).count();
    assert!(small.stdout.contains(&format!("Wrong in {marked} of 17 binary digits")), "{marked}");
}

#[test]
fn the_latest_finished_run_adds_when_none_is_named() {
    let folder = temporary();
    for hidden in [3, 4] {
        xtask_line(&folder, &format!("train --hidden {hidden} --examples 1 --quiet")).success();
    }
    fs::create_dir(folder.path().join("runs/0003")).unwrap(); // begun, not finished
    let stdout = xtask_line(&folder, "add 5 6").stdout;
    assert!(stdout.contains("the network of runs/0002, trained on 8 bits"), "{stdout}");
}

#[test]
fn without_a_run_the_command_that_makes_one_is_named() {
    let folder = temporary();
    let advice = "train one with `cargo xtask train`";
    xtask_line(&folder, "add 53 74").refused(1, &["no finished run in runs", advice]);
    xtask_line(&folder, "add 53 74 --run none").refused(1, &["no finished run in none", advice]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    xtask_line(&folder, "add 53 74 --run empty").refused(1, &["no finished run in empty", advice]);
}

#[test]
fn what_is_no_whole_number_is_refused() {
    let folder = trained();
    for (a, b, texts) in [
        ("12x", "3", ["'12x'", "<A>", "a whole number in decimal digits is needed"]),
        ("3", "12x", ["'12x'", "<B>", "a whole number in decimal digits is needed"]),
        ("", "3", ["''", "<A>", "a whole number in decimal digits is needed"]),
        ("3", " ", ["' '", "<B>", "a whole number in decimal digits is needed"]),
        ("1.5", "3", ["'1.5'", "<A>", "a whole number in decimal digits is needed"]),
        ("+5", "3", ["'+5'", "<A>", "a whole number in decimal digits is needed"]),
        ("0x10", "3", ["'0x10'", "<A>", "a whole number in decimal digits is needed"]),
        ("1_000", "3", ["'1_000'", "<A>", "a whole number in decimal digits is needed"]),
        ("٣", "3", ["'٣'", "<A>", "a whole number in decimal digits is needed"]),
        ("-5", "3", ["'-5'", "<A>", "a negative number"]),
        ("5", "-3", ["'-3'", "<B>", "a negative number"]),
        ("-123456789012345678901234567890", "3", ["'-12345", "<A>", "a negative number"]),
    ] {
        xtask(&folder, &["add", "--run", "run", a, b]).refused(2, &texts);
    }
    xtask_line(&folder, "add 5 --run run").refused(2, &["<B>", "not provided"]);
    xtask_line(&folder, "add 5 6 7 --run run").refused(2, &["'7'"]);
    xtask_line(&folder, "add 5 6 --rum run").refused(2, &["'--rum'", "'--run'"]);
}

/// Writes `bytes` over the file `name` of a fresh run, and lets it add.
#[track_caller]
fn refuses(name: &str, bytes: &[u8], texts: &[&str]) {
    let folder = trained();
    refuses_in(&folder, name, bytes, texts);
}

#[track_caller]
fn refuses_in(folder: &TempDir, name: &str, bytes: &[u8], texts: &[&str]) {
    fs::write(folder.path().join("run").join(name), bytes).unwrap();
    let path = format!("run/{name}");
    xtask_line(folder, "add 53 74 --run run").refused(1, &[&[path.as_str()], texts].concat());
}

#[test]
fn truncated_weights_are_refused() {
    let folder = trained();
    let whole = fs::read(folder.path().join("run/model.safetensors")).unwrap();
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        let texts = ["not a whole safetensors file", "train the network again"];
        refuses_in(&folder, "model.safetensors", &whole[..length], &texts);
    }
    let longer = [&whole[..], b"more"].concat();
    refuses_in(&folder, "model.safetensors", &longer, &["not a whole safetensors file"]);
}

#[test]
fn foreign_weights_are_refused() {
    let texts = ["not a whole safetensors file"];
    refuses("model.safetensors", b"%PDF-1.7 this is not a network at all", &texts);
    // A header that promises more than there is in the world.
    refuses("model.safetensors", &[0xff; 64], &texts);
    let header = br#"{"conv.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    refuses("model.safetensors", &file, &["`conv.weight`", "does not have"]);
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let config = Config::lab(2, 16, 1).unwrap();
    for value in [f32::NAN, f32::INFINITY] {
        let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
        let mut parameters = Parameters::uniform(config, &mut generator);
        parameters.for_each_row_mut(|row| row[3] = value);
        let texts = [&format!("holds {value} at index 6"), "weights must be finite"];
        refuses("model.safetensors", &weights::to_bytes(&parameters), &texts.map(|t| t as &str));
    }
}

#[test]
fn a_configuration_that_disagrees_with_the_weights_is_refused() {
    let folder = trained();
    let text = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    for hidden in ["15", "17", "30000"] {
        let other = text.replace("hidden = 16", &format!("hidden = {hidden}"));
        fs::write(folder.path().join("run/config.toml"), other).unwrap();
        let asked = format!("configuration asks for F32 [{hidden}, 2]");
        let texts = ["run/model.safetensors cannot be used", "F32 [16, 2]", &asked];
        xtask_line(&folder, "add 53 74 --run run").refused(1, &texts);
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let folder = trained();
    let path = folder.path().join("run/config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from));
        text.replace(from, to).into_bytes()
    };
    for (bytes, reason) in [
        (b"= = what?".to_vec(), "makes no sense"),
        (b"\xff\xfe".to_vec(), "cannot read"),
        (Vec::new(), "the table `[task]` is missing"),
        (with("name = \"addition\"\n", ""), "`name` in the table `[task]` is missing"),
        (with("hidden = 16\n", ""), "missing field `hidden`"),
        (with("seed = 0", "seed = 0\nlayers = 2"), "unknown field `layers`"),
        (with("bits = 8", "bits = 8\nbytes = 1"), "unknown field `bytes`"),
        (with("hidden = 16", "hidden = -16"), "makes no sense"),
        (with("hidden = 16", "hidden = \"many\""), "makes no sense"),
        (with("hidden = 16", "hidden = 0"), "at least one hidden unit"),
        (with("hidden = 16", "hidden = 1000000000"), "does not fit in memory"),
        (with("bits = 8", "bits = 0"), "0 bits cannot be trained"),
        (with("bits = 8", "bits = 65"), "65 bits cannot be trained"),
    ] {
        refuses_in(&folder, "config.toml", &bytes, &[reason]);
    }
    fs::write(&path, with("\"addition\"", "\"division\"")).unwrap();
    let reasons = ["learned the task division", "cannot add", "cargo xtask train addition"];
    xtask_line(&folder, "add 1 2 --run run").refused(1, &reasons);
    fs::remove_file(&path).unwrap();
    xtask_line(&folder, "add 1 2 --run run").refused(1, &["cannot read run/config.toml"]);
}
