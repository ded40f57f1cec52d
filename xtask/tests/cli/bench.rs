//! `cargo xtask bench`, with a stand-in for cargo that measures nothing: what is called,
//! read, written and told is what counts here.

use crate::{Outcome, command, json_line, names, temporary, xtask_line};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use tempfile::TempDir;

/// Answers as `cargo bench` does. The group `activation` takes `$MEDIAN` nanoseconds, a line from
/// core to core 60, where the lab is asked for, and all others fail.
const CARGO: &str = r#"#!/bin/sh
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
        > "$folder/estimates.json" ;;
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

/// `cargo xtask bench` with `arguments`, where an iteration takes `median` nanoseconds.
fn bench(folder: &TempDir, arguments: &str, median: u32) -> Outcome {
    let cargo = folder.path().join("cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments: Vec<_> = ["bench"].into_iter().chain(arguments.split_whitespace()).collect();
    let Output { status, stdout, stderr } = command(folder, &arguments)
        .env("CARGO", cargo)
        .env("CARGO_TARGET_DIR", "a target")
        .env("MEDIAN", median.to_string())
        .env("RUSTFLAGS", "")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
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
    bench(&folder, "hogwild lab --loss 0.1,0.2", 20).refused(1, &[reason]);
    let reason = "the bench hogwild failed (exit status: 101)\n";
    bench(&folder, "hogwild wide --quick", 20).refused(1, &[reason, "the answer is wrong"]);
    assert!(!folder.path().join("a target/bench-report/hogwild.json").exists());
}

#[test]
fn an_unknown_group_is_wrong_usage() {
    let error = "invalid value 'speed'";
    xtask_line(&temporary(), "bench speed").refused(2, &[error, "activation, matmul, lab"]);
}
