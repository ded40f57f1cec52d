//! Names that are odd: every command takes them, and everything that it prints or writes stays what
//! it is, JSON, XML, a line for a shell.

use crate::{Outcome, command, names, temporary, xtask};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const NAMES: [&[u8]; 9] = [
    b"a b",
    b"it's \"x\" $HOME `id` \\n ;|&()",
    b"a<b>&c]]>-->",
    b"two\nlines\ttab\r",
    b"\x1b[31mred\x07\x08",
    b"no UTF-8 \xff\xc3",
    "größe ∑ \u{ffff}\u{202e}".as_bytes(),
    b"-dash",
    b"%s {} {0} *?~#!",
];

/// Runs `cargo xtask`; what it prints holds no control characters but the ends of lines.
#[track_caller]
fn run(folder: &TempDir, arguments: &[&OsStr]) -> Outcome {
    let outcome = xtask(folder, arguments);
    for text in [&outcome.stdout, &outcome.stderr] {
        let odd: Vec<_> = text.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert!(odd.is_empty(), "{odd:?} in {text:?}");
        assert!(!text.contains("panicked"), "{text}");
    }
    outcome
}

/// A command line, with the `*` in it for `name`.
#[track_caller]
fn run_line(folder: &TempDir, line: &str, name: &OsStr) -> Outcome {
    let words = line.split(' ').map(|word| match word.split_once('*') {
        Some((before, behind)) => {
            [OsStr::new(before), name, OsStr::new(behind)].iter().copied().collect()
        }
        None => OsString::from(word),
    });
    let words: Vec<OsString> = words.collect();
    run(folder, &words.iter().map(OsString::as_os_str).collect::<Vec<_>>())
}

/// The line that begins with `start`, run by a shell after that.
#[track_caller]
fn copied(folder: &TempDir, text: &str, start: &str) -> Output {
    let line = text.lines().find_map(|line| line.split_once(start)).expect(text).1;
    let line = line.strip_suffix(" goes on").unwrap_or(line);
    let script = line.replace("cargo xtask", "\"$XTASK\"");
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).env("XTASK", env!("CARGO_BIN_EXE_xtask"));
    bash.current_dir(folder.path()).output().unwrap()
}

#[track_caller]
fn is_svg(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(document.root_element().tag_name().name(), "svg");
}

#[test]
fn every_command_takes_any_name_and_what_it_prints_and_writes_stays_valid() {
    for name in NAMES.map(OsStr::from_bytes) {
        let folder = temporary();
        let at = |name: OsString| folder.path().join(name);
        let with = |end: &str| [name, OsStr::new(end)].iter().copied().collect::<OsString>();
        // A name that begins with a dash is written behind `=`, or as a path.
        let dot = |line: &str| line.replace(" *", " ./*");

        let json = run_line(&folder, "train --examples 600 --quiet --json --out=*", name).json();
        assert_eq!(json["run"], String::from_utf8_lossy(name.as_bytes()).as_ref());
        let trained = run_line(&folder, "train --examples 600 --out=*.1", name).success();
        assert!(trained.contains("The run is in "), "{trained}");
        let tried = copied(&folder, &trained, "Try it: ");
        let tried =
            String::from_utf8(tried.stdout).unwrap() + &String::from_utf8_lossy(&tried.stderr);
        assert!(tried.contains("53 + 74 = "), "{tried}");
        is_svg(&at(name.into()).join("curve.svg"));
        toml_is_read(&at(name.into()).join("config.toml"));

        // Nothing is lost where the folder is in use already.
        run_line(&folder, "train --out=*", name).refused(2, &["is not empty"]);
        run_line(&folder, &dot("add 1 2 --run=*"), name);
        let missing = run_line(&folder, "add 1 2 --run=*.missing", name);
        missing.refused(1, &["no finished run in"]);

        // A network of one example adds wrongly: it is refuted, with numbers to try.
        run_line(&folder, "train --examples 1 --quiet --out=*.2", name).success();
        let refuted = run_line(&folder, "certify --run=*.2", name);
        assert_eq!(refuted.code, Some(1), "{}", refuted.stderr);
        let tried = copied(&folder, &refuted.stdout, "Try it: ");
        assert_eq!(tried.status.code(), Some(1), "{}", String::from_utf8_lossy(&tried.stderr));
        assert!(String::from_utf8_lossy(&tried.stdout).contains("Wrong in "));
        let json = run_line(&folder, "certify --json --run=*.2", name);
        let object: serde_json::Value = serde_json::from_str(json.stdout.trim_end()).unwrap();
        assert_eq!(object["outcome"], "counterexample");
        is_svg(&at(with(".2")).join("report.svg"));
        run_line(&folder, "certify --run=*.2 --check=*.none", name).refused(1, &["cannot read"]);

        let study = "certify --json --study --seeds 0..1 --hidden 2 --biases without --recipe \
                     plain --workers 1 --trials=*.jsonl --picture=*.svg";
        let object = run_line(&folder, study, name).json();
        assert!(object["picture"].as_str().unwrap().ends_with(".svg"), "{object}");
        is_svg(&at(with(".svg")));
        let again = run_line(&folder, &study.replace("--json ", ""), name).success();
        assert!(again.contains("1 of 1 trials are in "), "{again}");

        run_line(&folder, &dot("plot * *.1 *.2 --out=*.curves.svg"), name).success();
        is_svg(&at(with(".curves.svg")));
        run_line(&folder, &dot("plot * --out=*.one.svg"), name).success();
        is_svg(&at(with(".one.svg")));
        run_line(&folder, &dot("plot *.missing"), name).refused(1, &["no finished run"]);

        let paged = run_line(&folder, &dot("page *"), name).success();
        assert!(at(name.into()).join("page.html").exists(), "{paged}");
        run_line(&folder, &dot("page *.1 --out=*.html"), name).success();
        let html = fs::read_to_string(at(with(".html"))).unwrap();
        assert!(!html.contains("a<b>") && html.matches("<script").count() == 2);
        let again = copied(&folder, &trained, "See it: ");
        let again = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(again.starts_with("The page is "), "{again}"); // whether or not there is a browser
        run_line(&folder, &dot("page *.missing"), name).refused(1, &["no finished run"]);

        run_line(&folder, &dot("replay *.missing"), name).refused(1, &["cannot read"]);
        fs::write(at(with(".trace")), "{}").unwrap();
        assert_eq!(run_line(&folder, &dot("replay *.trace"), name).code, Some(1));
        assert_eq!(run_line(&folder, "bench --baseline=*.missing", name).code, Some(1));
    }
}

/// As the program reads it, by its sections.
#[track_caller]
fn toml_is_read(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    for table in ["[task]", "[network]", "[optimizer]", "[strategy]", "[run]"] {
        assert!(text.contains(table), "{text}");
    }
}

#[test]
fn a_training_in_an_odd_folder_that_is_stopped_says_how_to_go_on() {
    for name in NAMES.map(OsStr::from_bytes) {
        let folder = temporary();
        let out: OsString = [OsStr::new("--out="), name].iter().copied().collect();
        let arguments = ["train", "--quiet", "--examples", "1000000000"].map(OsStr::new);
        let mut child = command(&folder, &[&arguments[..], &[&out]].concat());
        let child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
        while !folder.path().join(name).join("metrics.jsonl.unfinished").exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        // It is found again: another process is not asked to train a billion examples here.
        let line = text.split_once("cargo xtask train --resume ").unwrap().1;
        let word = line.trim_end().strip_suffix(" goes on").unwrap();
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(format!("ls {word}")).current_dir(folder.path());
        let listed = String::from_utf8(bash.output().unwrap().stdout).unwrap();
        assert_eq!(listed.lines().collect::<Vec<_>>(), names(&folder.path().join(name)));
    }
}

/// A value that is wrong, in each place of a command line, is told in lines that a terminal can show.
#[test]
fn wrong_usage_with_odd_characters_is_told_with_these_escaped() {
    let folder = temporary();
    let odd: [&[u8]; 6] = [
        b"a\x1b[31mred",
        b"two\nlines",
        b"\r\t\x07",
        b"--\x1b]0;title\x07",
        "\u{9b}2J".as_bytes(),
        b"no UTF-8 \xff\x1b",
    ];
    for odd in odd.map(OsStr::from_bytes) {
        for line in [
            "*",
            "train *",
            "train --*",
            "train --bits=*",
            "train --cell=*",
            "train --lr=*",
            "train --seeds=*",
            "train --checkpoint-every=*",
            "train --optimizer=*",
            "train --schedule=*",
            "train --strategy=*",
            "train --memory=*",
            "train --quiet=*",
            "train --seed=* --seed=*",
            "add 1 *",
            "add 1 2 3*",
            "certify --budget=*",
            "certify --hidden=1,*",
            "certify --recipe=*",
            "replay t --tolerance=*",
            "plot --size=*",
            "bench *",
            "bench --also=*",
            "bench peers --cell=*",
            "bench hogwild --loss=1,*",
            "bench hogwild *",
            "fuzz *",
            "ci *",
        ] {
            let Outcome { code, stdout, stderr } = run_line(&folder, line, odd);
            // A folder or a trace that is not there is no wrong usage.
            assert!(code.is_some_and(|code| code == 2 || code == 1), "{line}: {code:?} {stderr}");
            assert_eq!(stdout, "", "{line}");
            assert!(!stderr.trim_end().replace('\n', "").contains(char::is_control), "{stderr:?}");
            assert!(!stderr.contains("two\nlines"), "{line}: {stderr:?}");
        }
    }
}
