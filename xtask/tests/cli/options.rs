//! Options beside each other: what would be ignored is refused, with the reason; `--quiet` is
//! quiet; and the examples of `--help` run as they are written.

use crate::{names, temporary, trained, xtask_line};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

#[test]
fn an_option_that_would_be_ignored_is_refused_with_the_reason() {
    let folder = temporary();
    for (line, texts) in [
        ("train --threads 2", &["--threads would be ignored", "serial"][..]),
        ("train --push-every 2", &["--push-every would be ignored", "serial"]),
        ("train --strategy serial --threads 2", &["--threads would be ignored", "serial"]),
        (
            "train --strategy synchronous --push-every 2",
            &["--push-every would be ignored", "meet after each batch"],
        ),
        ("train --dropout 0.5", &["--dropout would be ignored", "--layers 2"]),
        ("train --cell gru --dropout 0.5 --layers 1", &["--dropout would be ignored"]),
        ("train --force", &["--out", "required"]),
        ("train --seeds 0..2 --force", &["cannot be used with", "--force"]),
        ("train --seeds 0..2 --threads 2", &["cannot be used with", "--threads"]),
        ("train --seeds 0..2 --push-every 2", &["cannot be used with", "--push-every"]),
        ("train --seeds 0..2 --snapshots 2", &["cannot be used with", "--snapshots"]),
        ("train --resume run --snapshots 2", &["cannot be used with", "--snapshots"]),
        ("train --seeds 0..2 --tensorboard", &["cannot be used with", "--tensorboard"]),
        ("train --seeds 0..2 --checkpoint-every 1s", &["cannot be used", "--checkpoint-every"]),
        ("train --seeds 0..2 --on-divergence halve-lr", &["cannot be used", "--on-divergence"]),
        ("train --certifiable --layers 2", &["cannot be used with", "--layers"]),
        ("train --momentum 0.5", &["--momentum needs an --optimizer"]),
        ("train --optimizer sgd --beta1 0.5", &["--beta1 needs an --optimizer"]),
        ("train --schedule cosine --decay 0.5", &["--decay needs --schedule step"]),
        ("train --schedule step --decay-every 5 --floor 0", &["--floor needs --schedule cosine"]),
        ("train --resume run --seed 1", &["cannot be used with", "--seed"]),
        ("train --resume run --lr 1", &["cannot be used with", "--lr"]),
        ("train --resume run --hidden 3", &["cannot be used with", "--hidden"]),
        ("certify --seeds 0..2", &["--study", "required"]),
        ("certify --hidden 2", &["--study", "required"]),
        ("certify --biases with", &["--study", "required"]),
        ("certify --recipe plain", &["--study", "required"]),
        ("certify --workers 1", &["--study", "required"]),
        ("certify --trials x", &["--study", "required"]),
        ("certify --picture x", &["--study", "required"]),
        ("certify --machine parity", &["--study", "required"]),
        ("certify --study --cell tanh", &["--machine", "required"]),
        ("certify --study --machine parity --biases with", &["cannot be used with", "--biases"]),
        ("certify --study --machine parity --workers 2", &["cannot be used with", "--workers"]),
        ("certify --study --run run", &["cannot be used with", "--run"]),
        ("certify --study --check x", &["cannot be used with", "--check"]),
        ("certify --check x --budget 5", &["cannot be used with", "--budget"]),
        ("bench --quick peers", &["'peers'", "[GROUP]"]),
        ("bench matmul hogwild", &["hogwild"]),
        ("bench peers --cell gru", &["--cell needs --models, --text or --series"]),
        ("bench peers --models --examples 5", &["cannot be used with", "--examples"]),
        ("bench peers --models --with-torch", &["cannot be used with", "--with-torch"]),
        ("bench hogwild --quick --seeds 3", &["cannot be used with", "--seeds"]),
        ("bench hogwild --quick --rate 0.1,0.2", &["--quick tries one --rate"]),
        ("bench hogwild --strategy serial --threads 2", &["--threads would be ignored"]),
        ("bench hogwild --strategy synchronous --push-every 2", &["--push-every would be ignored"]),
        ("bench hogwild --loss 0.1,0.2", &["do not fall", "highest first"]),
    ] {
        xtask_line(&folder, line).refused(2, texts);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

/// What `line` writes on a terminal, where progress is shown after a second; none where there is no
/// program `script` to make one.
fn on_a_terminal(folder: &Path, line: &str) -> Option<String> {
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_xtask"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let output = script.current_dir(folder).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {text}");
    Some(text)
}

#[test]
fn quiet_shows_no_progress_of_a_long_command_either() {
    let folder = temporary();
    for (line, lines) in [
        ("train --seeds 0..20 --examples 200000 --quiet", 0),
        ("train --seeds 0..20 --examples 200000 --quiet --json", 1),
        ("train --examples 4000000 --quiet", 0),
    ] {
        let Some(text) = on_a_terminal(folder.path(), line) else { return };
        assert_eq!(text.lines().count(), lines, "{line}: {text:?}");
        assert!(!text.contains('\u{1b}'), "{line}: {text:?}");
    }
}

/// The command lines that `--help` of `command` gives as examples, without what is said of them.
fn examples(command: &str) -> Vec<String> {
    let help = xtask_line(&temporary(), &format!("{command} --help")).success();
    let (_, examples) = help.split_once("\nExample").expect("it has examples");
    let lines = examples.lines().skip(1).take_while(|line| line.starts_with("  "));
    let commands = lines.map(|line| {
        let line = line.trim_start();
        line.split_once("  ").map_or(line, |(command, _)| command).to_owned()
    });
    commands.collect()
}

/// Runs `line` as a shell does, with `cargo xtask` as this program; `after`, if there is one, it
/// gets a Ctrl-C.
fn shell(folder: &Path, line: &str, after: Option<Duration>) -> Output {
    let script = format!(
        "cargo() {{ shift; {}\"$XTASK\" \"$@\"; }}\n{line}",
        match after {
            Some(_) => "exec ",
            None => "",
        }
    );
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).env("XTASK", env!("CARGO_BIN_EXE_xtask")).current_dir(folder);
    let child = bash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    if let Some(after) = after {
        thread::sleep(after);
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_code(line: &str, output: &Output, code: i32) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line}\n{stdout}{stderr}");
}

#[test]
fn the_examples_of_train_add_and_plot_run_as_they_are_written() {
    let folder = temporary();
    let lines = examples("train");
    assert!(lines.len() >= 10, "{lines:?}");
    for line in lines {
        let is_long = line.contains("1000000000") || line.contains("--resume");
        let output = shell(folder.path(), &line, is_long.then_some(Duration::from_secs(1)));
        assert_code(&line, &output, if is_long { 130 } else { 0 });
    }
    let lines = examples("add");
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        // The latest run need not add numbers of any length rightly.
        let output = shell(folder.path(), &line, None);
        assert!(matches!(output.status.code(), Some(0 | 1)) && output.stderr.is_empty(), "{line}");
    }
    for line in &examples("plot") {
        assert_code(line, &shell(folder.path(), line, None), 0);
    }
    assert!(folder.path().join("all.svg").exists());
}

#[test]
fn the_examples_of_certify_and_replay_run_as_they_are_written() {
    let folder = temporary();
    for line in examples("certify").iter().filter(|line| !line.contains("--study")) {
        assert_code(line, &shell(folder.path(), line, None), 0);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for line in &examples("replay") {
        assert_code(line, &shell(root, line, None), 0);
    }
}

#[test]
fn help_names_the_choices_of_train() {
    let help = xtask_line(&temporary(), "train --help").success();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "sigmoid",
        "tanh",
        "relu",
        "gru",
        "lstm",
        "serial",
        "synchronous",
        "hogwild",
        "averaging",
        "auto",
        "--layers",
        "--bidirectional",
        "--dropout",
        "--optimizer",
        "nesterov",
        "adamw",
        "--schedule",
        "cosine",
        "--resume",
        "--checkpoint-every",
        "--on-divergence",
        "halve-lr",
        "--tensorboard",
        "--certifiable",
        "--strategy auto",
    ] {
        assert!(words.contains(text), "{text}: {help}");
    }
}

#[test]
fn numbers_of_many_digits_come_from_standard_input() {
    let folder = trained();
    let sum = |arguments: &str, input: &str| {
        let line = format!("printf '{input}' | cargo xtask add {arguments} --run run");
        shell(folder.path(), &line, None)
    };
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let output = sum("- -", "53\\n74\\n");
    assert_code("- -", &output, 0);
    // The numbers are not said again.
    let lines = text(&output);
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines[lines.len() - 2..][0], "127");
    assert!(lines[lines.len() - 1].starts_with("Right in all 8 binary digits"), "{lines:?}");
    for (arguments, input) in
        [("- 74", "53"), ("53 -", "74\\r\\n"), ("- -", "53\\r\\n74"), ("- -", "0053\\n74 \\n")]
    {
        let output = sum(&format!("{arguments} --json"), input);
        assert_code(arguments, &output, 0);
        let json: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
        assert_eq!((&json["a"], &json["sum"]), (&"53".into(), &"127".into()), "{input}");
    }
    for (arguments, input, reason) in [
        ("- -", "53\\n", "holds 1 line; 2 are needed"),
        ("- -", "", "holds 0 lines; 2 are needed"),
        ("- 7", "1\\n2\\n", "holds 2 lines; 1 is needed"),
        ("- -", "53\\n-7\\n", "line 2 of standard input: a negative number"),
        ("- -", "53x\\n7\\n", "line 1 of standard input: a whole number in decimal digits"),
        ("- -", "\\n7\\n", "line 1 of standard input: a whole number in decimal digits"),
        ("- -", "\\377\\n7\\n", "standard input"),
    ] {
        let output = sum(arguments, input);
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{input}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_million_digits_are_added_in_seconds_and_the_sum_is_said_once() {
    let folder = trained();
    // 10^1,000,000 − 1 and 1; and no line is longer than the sum's.
    let script = "printf '%01000000d\\n' 0 | tr 0 9 > a; echo 1 >> a; \
                  cargo xtask add - - --run run < a";
    let start = std::time::Instant::now();
    let output = shell(folder.path(), script, None);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", lines.len());
    assert!((999_000..=1_000_001).contains(&lines[0].len()), "{}", lines[0].len());
    assert!(lines[1].len() < 200, "{}", lines[1]);
    assert!(lines[1].contains("of 3321929 binary digits") || lines[1].starts_with("Right"));
}

#[test]
fn runs_are_looked_for_upwards_to_the_root_of_the_workspace() {
    let folder = temporary();
    let deep = folder.path().join("one/two");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    let root = std::fs::canonicalize(folder.path()).unwrap();
    let xtask = |arguments: &str, place: &Path| {
        let output = shell(place, &format!("cargo xtask {arguments}"), None);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let said = format!("using the runs in {}\n", root.join("runs").display());

    // Started in a subfolder, found in the root; and the other way round.
    let (code, stdout, stderr) = xtask("train --examples 600", &deep);
    assert_eq!((code, &stderr), (Some(0), &said), "{stdout}");
    let run = root.join("runs/0001");
    assert!(stdout.contains(&format!("The run is in {}\n", run.display())), "{stdout}");
    assert_eq!(names(folder.path()), [".git", "one", "runs"]);
    let (_, stdout, stderr) = xtask("add 1 2", folder.path());
    assert!(stdout.contains("the network of runs/0001,") && stderr.is_empty(), "{stdout}{stderr}");
    let (code, _, _) = xtask("train --examples 1 --quiet", folder.path());
    assert_eq!(code, Some(0));
    let (_, stdout, stderr) = xtask("add 1 2", &deep);
    let expected = format!("the network of {},", root.join("runs/0002").display());
    assert!(stdout.contains(&expected) && stderr == said, "{stdout}{stderr}");
    let (code, stdout, stderr) = xtask("certify", &deep);
    assert!(code == Some(1) && stderr == said, "{stdout}{stderr}");
    // Nobody asked to be told.
    let (_, _, stderr) = xtask("add 1 2 --json", &deep);
    assert_eq!(stderr, "");
    let (_, stdout, stderr) = xtask("train --examples 1 --quiet --json", &deep);
    assert!(stderr.is_empty() && stdout.contains("/runs/0003\""), "{stdout}");

    // A nearer folder of runs counts, and a folder that is named is that of the current one.
    std::fs::create_dir(folder.path().join("one/runs")).unwrap();
    let (_, stdout, _) = xtask("train --examples 1 --quiet --json", &deep);
    assert!(stdout.contains("/one/runs/0001\""), "{stdout}");
    let (_, stdout, _) = xtask("train --examples 1 --quiet --json --out runs", &deep);
    assert!(stdout.contains("\"runs\""), "{stdout}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_does_not_fit_in_memory_is_refused_beforehand_with_the_figures() {
    let folder = temporary();
    // More than any machine has. Within a limit of addresses, so that none is filled where the
    // estimate is wrong.
    for options in [
        "--hidden 32000 --optimizer adam --strategy averaging --threads 512 --examples 5",
        "--batch 65536 --bits 64 --hidden 32000 --examples 65536",
        "--strategy hogwild --threads 1024 --hidden 8000 --examples 5",
        "--seeds 0..50 --batch 65536 --bits 64 --hidden 32000 --examples 65536",
        "--cell lstm --layers 3 --hidden 4096 --batch 65536 --bits 64 --examples 65536",
    ] {
        let limited = "ulimit -v 50000000; cargo xtask train --quiet";
        let output = shell(folder.path(), &format!("{limited} {options}"), None);
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options}: {stderr}");
        for text in
            ["error: the training needs ", " TB of memory", " are available; give fewer units"]
        {
            assert!(stderr.contains(text), "{options}: {text:?} is not in {stderr}");
        }
    }
    assert_eq!(names(folder.path()), [""; 0]);
}
