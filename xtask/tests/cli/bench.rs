//! `cargo xtask bench`, with a stand-in for cargo that measures nothing: what is called,
//! read, written and told is what counts here.

use crate::signals::{signal, wait_for};
use crate::{Outcome, command, json_line, names, temporary, xtask_line};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Answers as `cargo bench` does. The group `activation` takes `$MEDIAN` nanoseconds, a line from
/// core to core 60, where the lab is asked for, and all others fail. What is called with `$HANGS`
/// never ends, and does not listen; `$SPOILS` is a folder that becomes a file meanwhile.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
${HANGS:-none})
    trap "" TERM
    sleep 1000 &
    echo $! > "$HERE/unfinished"
    mv "$HERE/unfinished" "$HERE/hangs"
    wait ;;
esac
if [ "$SPOILS" ]; then
    rm -r "$SPOILS"
    : > "$SPOILS"
fi
case "$*" in
*--no-run*) ;;
*"--bench roofline"*)
    printf '{"peak_gflops":200,"l1_gb_per_s":400,"l2_gb_per_s":100,"memory_gb_per_s":10,'
    echo "\"build_features\":[\"flags:$RUSTFLAGS\"]}" ;;
*"--bench activation -- --noplot"*)
    echo "Benchmarking activation/exp/carry/64" >&2
    folder="$CRITERION_HOME/activation/exp_carry/64/new"
    mkdir -p "$folder"
    echo '{"function_id":"exp/carry","value_str":"64","throughput":{"Elements":64}}' \
        > "$folder/benchmark.json"
    estimate="{\"confidence_interval\":{\"lower_bound\":$MEDIAN,\"upper_bound\":$MEDIAN},\"point_estimate\":"
    echo "{\"median\":$estimate$MEDIAN},\"median_abs_dev\":${estimate}0.5}}" \
        > "$folder/estimates.json"
    printf '{"function":"exp/carry","parameter":"64","reference":"peak","samples":40,' \
        >> "$CARRY_BENCH_MOMENTS"
    printf '"thrown_away":3,"best_ns":15,"median_ns":19,"least_cost":2944,' >> "$CARRY_BENCH_MOMENTS"
    echo '"median_cost":3680,"reference_best":200,"reference_median":199}' >> "$CARRY_BENCH_MOMENTS" ;;
*"--bench limits -- --quick")
    echo "1 of 1: exp 2048" >&2
    printf '{"build_features":["fma"],"lanes":8,"machine":{"peak_gflops":96.5},"kernels":['
    printf '{"kernel":"exp","size":"2048","limit":"FMA ports","limit_ns":400,"limits":['
    printf '{"what":"FMA ports","count":"2,560 FMAs","ns":400}],"best_ns":440,"median_ns":500,'
    printf '"samples":200,"thrown_away":120,"reference":"peak","reference_best":96,'
    echo '"reference_median":80}]}' ;;
*"--bench hogwild -- --noplot"*" hogwild/(line_transfer|push|lab)")
    echo "hogwild/line_transfer   time: [60 ns 60 ns 60 ns]"
    printf '{"cores":2,"line_transfer":60e-9,'
    printf '"one_hot_push":{"inputs":1024,"used_rows":0.66e-6,"all_rows":4.9e-6},'
    printf '"sizes":[{"size":"lab","hidden":16,"bits":8,"workers":2,'
    printf '"independent":[[1,2e6],[2,3.9e6]],'
    printf '"model":{"example":500e-9,"push":400e-9,"transfer":60e-9},'
    echo '"prediction":[[2,17,3.8e6],[64,615,1.2e8]]}]}' ;;
*)
    echo "Benchmarking matmul/carry/16x16x16" >&2
    echo "the answer is wrong" >&2
    exit 101 ;;
esac
"#;

/// `cargo xtask` with `arguments` and the stand-in, with which an iteration takes `median`
/// nanoseconds.
fn with_stand_in(folder: &TempDir, arguments: &str, median: u32) -> Command {
    let cargo = folder.path().join("cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let mut command = command(folder, &arguments);
    command
        .env("CARGO", cargo)
        .env("CARGO_TARGET_DIR", "a target")
        .env("HERE", folder.path())
        .env("MEDIAN", median.to_string())
        .env("RUSTFLAGS", "");
    command
}

fn outcome(Output { status, stdout, stderr }: Output) -> Outcome {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// `cargo xtask bench` with `arguments`.
fn bench(folder: &TempDir, arguments: &str, median: u32) -> Outcome {
    outcome(with_stand_in(folder, &format!("bench {arguments}"), median).output().unwrap())
}

/// `cargo xtask` with `arguments`, where what cargo is called with `hangs` never ends.
fn start(folder: &TempDir, arguments: &str, hangs: &str) -> Child {
    let mut command = with_stand_in(folder, arguments, 20);
    command.env("HANGS", hangs).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Is there such a process, and does it run?
fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Stops `child` with the signal `name` when what hangs does, and sees to it that nothing is left.
#[track_caller]
fn stop_where_it_hangs(folder: &TempDir, child: Child, name: &str) -> Outcome {
    let hangs = folder.path().join("hangs");
    wait_for(|| hangs.exists());
    let id = fs::read_to_string(&hangs).unwrap();
    assert!(!cfg!(target_os = "linux") || runs(&id));
    signal(&child, name);
    let outcome = outcome(child.wait_with_output().unwrap());
    // What was ended by force needs a moment to be gone.
    wait_for(|| !runs(&id));
    fs::remove_file(hangs).unwrap();
    outcome
}

#[test]
fn a_study_is_written_and_serves_as_the_next_ones_baseline() {
    let folder = temporary();
    let report = folder.path().join("a target/bench-report");
    fs::create_dir_all(&report).unwrap();
    fs::write(report.join("matmul.svg"), "of an earlier run").unwrap();

    let stdout = bench(&folder, "activation --json", 20).success();
    assert_eq!(names(&report), ["criterion", "report.json", "report.md", "roofline.svg"]);
    assert!(stdout.contains("| exp 64    | carry | 20.0 ns |"), "{stdout}");
    let json = json_line(&stdout);
    assert_eq!(json["format"], "carry-bench-report");
    assert_eq!(json["benchmarks"][0]["median_ns"], 20.0);
    // 64 values of 23 FLOP, where the peak would have done 3,680.
    let moments = &json["benchmarks"][0]["moments"];
    assert_eq!((&moments["median_share"], &moments["thrown_away"]), (&0.4.into(), &3.into()));
    for text in ["15.0 ns", "3 of 40", "40–50% of peak"] {
        assert!(stdout.contains(text), "{text}\n{stdout}");
    }
    assert_eq!(json_line(&fs::read_to_string(report.join("report.json")).unwrap()), json);

    fs::rename(report.join("report.json"), folder.path().join("old.json")).unwrap();
    // 2.5% of noise then, 1.9% now
    let stdout = bench(&folder, "activation --baseline old.json", 26).success();
    assert!(stdout.contains("slower: activation exp 64 carry: 1.30 times"), "{stdout}");
    assert!(stdout.contains("- 1 of 1 benchmarks became slower\n"), "{stdout}");
    let stdout = bench(&folder, "activation --quick --baseline old.json", 20).success();
    assert!(stdout.contains("- warning: the length of the run differs"), "{stdout}");
    assert!(stdout.contains("- 0 of 1 benchmarks became slower\n"), "{stdout}");
}

#[test]
fn a_second_build_is_made_for_the_cpu_named_and_stands_beside_the_first() {
    let folder = temporary();
    let stdout = bench(&folder, "activation --also x86-64-v3 --json", 20).success();
    let report = folder.path().join("a target/bench-report");
    let files = ["criterion", "criterion-x86-64-v3", "report.json", "report.md", "roofline.svg"];
    assert_eq!(names(&report), files);
    let json = json_line(&stdout);
    assert_eq!(json["build_features"][0], "flags:");
    assert_eq!(json["also"]["target_cpu"], "x86-64-v3");
    assert_eq!(json["also"]["build_features"][0], "flags:-C target-cpu=x86-64-v3");
    assert_eq!(json["also"]["benchmarks"][0]["median_ns"], 20.0);
    assert_eq!(json["command"], "cargo xtask bench activation --also x86-64-v3");
    let error = "invalid value 'pentium' for '--also <CPU>'";
    bench(&folder, "activation --also pentium", 20).refused(2, &[error, "x86-64-v3"]);
}

#[test]
fn every_kernel_is_told_with_what_binds_it_how_much_of_it_there_is_and_the_ratio() {
    let folder = temporary();
    let stdout = bench(&folder, "--floor --quick --json", 20).success();
    let row = "| exp    | 2048 | FMA ports | 2,560 FMAs | 400.0 ns | 500.0 ns |  1.25 | 1.10 | 120 of 200 ! |";
    assert!(stdout.contains(row), "{stdout}");
    assert!(stdout.contains("| peak gflops | 96.50 |\n"), "{stdout}");
    let json = json_line(&stdout);
    assert_eq!((&json["format"], &json["version"]), (&"carry-floor-report".into(), &1.into()));
    assert_eq!(json["kernels"][0]["limits"][0]["count"], "2,560 FMAs");

    // Without --quick the stand-in knows no such bench.
    let reason = ["the bench limits failed (exit status: 101)\n", "    the answer is wrong\n"];
    bench(&folder, "--floor", 20).refused(1, &reason);
    for other in ["matmul", "--baseline old.json", "--also x86-64-v3"] {
        let line = format!("--floor {other}");
        bench(&folder, &line, 20).refused(2, &["cannot be used with", "--floor"]);
    }
}

#[test]
fn a_group_that_fails_is_told_with_the_end_of_its_stderr_and_leaves_no_report() {
    let folder = temporary();
    let reason = "the group matmul failed (exit status: 101)\n    the answer is wrong\n";
    bench(&folder, "matmul", 20).refused(1, &[reason]);
    assert!(!folder.path().join("a target/bench-report/report.json").exists());
}

#[test]
fn a_bad_baseline_is_refused_before_anything_runs() {
    let folder = temporary();
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    for (file, reason) in [
        ("missing.json", "cannot read the baseline missing.json: No such file"),
        ("other.json", "cannot use the baseline other.json: it is no report.json of"),
    ] {
        bench(&folder, &format!("matmul --baseline {file}"), 20).refused(1, &[reason]);
    }
}

#[test]
fn strategies_are_compared_beside_what_the_bench_found_of_more_cores() {
    let folder = temporary();
    let options = "--strategy hogwild,synchronous --threads 2 --push-every 16 --loss 2,1.5";
    let stdout = bench(&folder, &format!("hogwild lab --seeds 3 {options} --json"), 20).success();
    let report = folder.path().join("a target/bench-report");
    assert_eq!(names(&report), ["hogwild-lab.svg", "hogwild.json", "hogwild.md"]);
    for text in [
        "a cache line takes 60 ns from core to core",
        "1024 one-hot inputs and 16 units: 0.66 µs with the rows that were used",
        "\n## lab: H = 16, T = 8, until the held-out loss is below 1.5\n",
        "\n| serial | 1 | 1 | 1 | 0.1 | ",
        "\n| hogwild | 2 | 16 | 1 | 0.1 | ",
        "\n| synchronous | 2 | 64 | 64 | 6.4 | ",
        "| 3/3 |\n",
        "\n- N = 2: 3,900,000 examples/s, 1.95 times serial\n",
        "\nFitted to N = 2: an example takes a worker 500 ns, a push 400 ns.",
        "\n| 64 | 615 | 120,000,000 | 60.0 |\n",
    ] {
        assert!(stdout.contains(text), "{text}\n{stdout}");
    }
    let json = json_line(&stdout);
    assert_eq!((&json["format"], &json["version"]), (&"carry-hogwild-report".into(), &3.into()));
    assert_eq!(json["costs"]["line_transfer"], 60e-9);
    let rows = json["sizes"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1 + 1 + 3); // serial, Hogwild! at one K, synchronous at three B
    for row in rows {
        assert_eq!(row["outcomes"].as_array().unwrap().len(), 3, "{row}");
        assert_eq!(row["targets"][1]["reached"], 3, "{row}");
    }
    let svg = fs::read_to_string(report.join("hogwild-lab.svg")).unwrap();
    for text in ["serial", "hogwild", "synchronous", "ideal: serial / threads"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text}\n{svg}");
    }
}

#[test]
fn targets_that_do_not_fall_and_a_bench_that_fails_end_the_comparison() {
    let folder = temporary();
    let reason = "the losses of --loss do not fall";
    bench(&folder, "hogwild lab --loss 0.1,0.2", 20).refused(2, &[reason]);
    for loss in ["0", "-1", "nan", "1e999", "x"] {
        let reason = "a positive, finite number such as 0.05 is needed";
        bench(&folder, &format!("hogwild lab --loss={loss}"), 20).refused(2, &[reason]);
    }
    let reason = "the bench hogwild failed (exit status: 101)\n";
    bench(&folder, "hogwild wide --quick", 20).refused(1, &[reason, "the answer is wrong"]);
    assert!(!folder.path().join("a target/bench-report/hogwild.json").exists());
}

#[test]
fn an_unknown_group_is_wrong_usage() {
    let error = "invalid value 'speed'";
    xtask_line(&temporary(), "bench speed").refused(2, &[error, "activation, matmul, lab"]);
}

#[test]
fn a_command_that_is_told_to_end_leaves_no_program_behind() {
    let folder = temporary();
    for (command, hangs) in [
        ("bench", "*--no-run*"),
        ("bench activation", "*roofline"),
        ("bench hogwild lab", "*line_transfer*"),
        ("ci", "fmt*"),
        ("fuzz weights", "test*"),
        ("race --loom", "test*"),
    ] {
        for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
            let child = start(&folder, command, hangs);
            let outcome = stop_where_it_hangs(&folder, child, name);
            assert_eq!(outcome.code, Some(code), "{command}: {}", outcome.stderr);
            assert!(outcome.stderr.ends_with("stopped\n"), "{command}: {}", outcome.stderr);
        }
    }
}

#[test]
fn groups_that_were_measured_are_said_when_the_next_is_stopped_or_fails() {
    let folder = temporary();
    let report = folder.path().join("a target/bench-report");
    let row = "| exp 64    | carry | 20.0 ns |";

    let child = start(&folder, "bench --json", "*matmul?--?--noplot*");
    let Outcome { code, stdout, stderr } = stop_where_it_hangs(&folder, child, "-TERM");
    assert_eq!((code, stderr.as_str()), (Some(143), "stopped\n"));
    assert!(stdout.contains("- incomplete: stopped by a signal\n"), "{stdout}");
    assert!(stdout.contains(row), "{stdout}");
    assert_eq!(json_line(&stdout)["incomplete"], "stopped by a signal");
    assert_eq!(names(&report), ["criterion"], "a report of a part");

    let Outcome { code, stdout, stderr } = bench(&folder, "", 20);
    let reason = "the group matmul failed (exit status: 101)";
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with(&format!("error: {reason}")), "{stderr}");
    assert!(
        stdout.contains(&format!("- incomplete: {reason}")) && stdout.contains(row),
        "{stdout}"
    );
    assert_eq!(names(&report), ["criterion"], "a report of a part");
}

#[test]
fn a_comparison_that_is_stopped_says_what_was_measured() {
    let folder = temporary();
    let options = "--strategy hogwild --threads 2 --push-every 16 --loss 2";
    let child = start(&folder, &format!("bench hogwild lab --seeds 1000 {options} --json"), "none");
    // The comparison begins when the costs are known.
    std::thread::sleep(Duration::from_millis(1_500));
    signal(&child, "-TERM");
    let Outcome { code, stdout, stderr } = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(143), "stopped\n"), "{stdout}");
    let json = json_line(&stdout);
    assert_eq!(json["stopped"], true);
    let rows = json["sizes"][0]["rows"].as_array().unwrap();
    let seeds = rows[0]["outcomes"].as_array().unwrap().len();
    assert!(rows.iter().all(|row| row["outcomes"].as_array().unwrap().len() == seeds));
    let said = match seeds {
        0 => "Stopped before a seed; the learning rates of 2 of 2 are chosen.".to_owned(),
        seeds => format!("\nMedian and quartiles of {seeds} seeds (of 1000: it was stopped); "),
    };
    assert!(stdout.contains(&said), "{said}\n{stdout}");
    assert_eq!(names(&folder.path().join("a target/bench-report")), [""; 0], "files of a part");
}

#[test]
fn a_place_that_cannot_be_written_is_told_first_and_one_that_is_lost_after_the_outcome() {
    let folder = temporary();
    let report = folder.path().join("a target/bench-report");
    for (command, file) in [
        ("hogwild lab", "hogwild.md"),
        ("hogwild lab", "hogwild.json"),
        ("hogwild lab", "hogwild-lab.svg"),
        ("activation", "report.json"),
        ("activation", "roofline.svg"),
    ] {
        fs::create_dir_all(report.join(file)).unwrap();
        let mut command = with_stand_in(&folder, &format!("bench {command}"), 20);
        let outcome = outcome(command.env("HANGS", "*").output().unwrap());
        outcome.refused(1, &["cannot write", file]);
        fs::remove_dir(report.join(file)).unwrap();
    }
    let options = "hogwild lab --seeds 2 --strategy hogwild --threads 2 --push-every 16 --loss 2";
    let mut command = with_stand_in(&folder, &format!("bench {options} --json"), 20);
    let Outcome { code, stdout, stderr } =
        outcome(command.env("SPOILS", &report).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: cannot write"), "{stderr}");
    assert!(stdout.contains("\n| hogwild | 2 | 16 | 1 | 0.1 | "), "{stdout}");
    assert_eq!(json_line(&stdout)["sizes"][0]["seeds"], 2);
}

#[cfg(target_os = "linux")]
#[test]
fn peers_that_are_stopped_leave_no_training_behind() {
    let folder = temporary();
    // Without Python, it is our own training that runs.
    let arguments = ["bench", "peers", "--examples", "4294967295"];
    let child = command(&folder, &arguments)
        .env("PATH", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", child.id());
        fs::read_to_string(path).unwrap_or_default()
    };
    wait_for(|| runs(&children()));
    let training = children();
    signal(&child, "-TERM");
    let Outcome { code, stderr, .. } = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(143), "stopped\n"));
    wait_for(|| !runs(&training));
}
