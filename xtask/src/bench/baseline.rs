//! Comparison with an earlier report.json: what became slower by more than the noise?
//!
//! ```text
//! noise[run]  = max(half the median's confidence interval, median absolute deviation) / median
//!               + drift of the peak rate within the run
//! slower      : median / baseline median > 1 + noise[this run] + noise[baseline]
//! ```
//!
//! Both noises are measured along with the medians, none is assumed. A rival that became
//! slower is marked as well: its code did not change, so the machine did.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::report::{Benchmark, Change, Comparison, FORMAT, Report, VERSION};

/// Reads a report.json.
///
/// # Errors
/// If it cannot be read, is something else, or is of another version.
pub fn read(path: &Path) -> Result<Report> {
    let path_shown = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the baseline {path_shown}"))?;
    parse(&text).with_context(|| format!("cannot use the baseline {path_shown}"))
}

fn parse(text: &str) -> Result<Report> {
    #[derive(Deserialize)]
    struct Header {
        format: String,
        version: u32,
    }
    const OTHER: &str = "it is no report.json of `cargo xtask bench`";
    // If it is damaged, or no JSON at all: the error says where.
    serde_json::from_str::<serde::de::IgnoredAny>(text).context(OTHER)?;
    let header = serde_json::from_str(text).ok().filter(|header: &Header| header.format == FORMAT);
    let Some(Header { version, .. }) = header else { bail!(OTHER) };
    ensure!(
        version == VERSION,
        "it is of version {version} and this program knows {VERSION}; measure it again with this one"
    );
    serde_json::from_str(text).context("it is damaged")
}

/// Marks in `report` what became slower than in `baseline`, read from the file `name`.
pub fn compare(report: &mut Report, baseline: &Report, name: &str) {
    let mut warnings = Vec::new();
    let mut warn = |what: &str, here: &str, there: &str| {
        if here != there {
            warnings.push(format!("{what} differs: here {here}, in the baseline {there}"));
        }
    };
    warn("the CPU", &report.cpu, &baseline.cpu);
    warn("the build", &report.build_features.join(" "), &baseline.build_features.join(" "));
    warn("the compiler", &report.rustc, &baseline.rustc);
    let mode = |quick| if quick { "--quick" } else { "measured in full" };
    warn("the length of the run", mode(report.quick), mode(baseline.quick));

    let groups: Vec<_> = report.benchmarks.iter().map(|b| b.group).collect();
    let mut earlier: BTreeMap<String, &Benchmark> = baseline
        .benchmarks
        .iter()
        .filter(|b| groups.contains(&b.group))
        .map(|b| (b.id(), b))
        .collect();
    for benchmark in &mut report.benchmarks {
        benchmark.change = earlier.remove(&benchmark.id()).map(|earlier| {
            let noise = benchmark.noise()
                + report.roofline.drift
                + earlier.noise()
                + baseline.roofline.drift;
            let ratio = benchmark.median_ns / earlier.median_ns;
            Change { ratio, noise, slower: ratio > 1.0 + noise }
        });
    }
    report.comparison = Some(Comparison {
        baseline: name.to_owned(),
        baseline_date: baseline.date.clone(),
        peak_ratio: report.roofline.ceilings.peak_gflops / baseline.roofline.ceilings.peak_gflops,
        warnings,
        gone: earlier.into_keys().collect(),
    });
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{measured, report};
    use super::*;

    #[test]
    fn slower_is_beyond_the_noise_of_both_runs_and_their_drift() {
        // Each run: 2% noise; the new one drifted by 1%. Together 5%.
        let baseline = report(vec![
            measured("exp/carry", "4096", 1000.0),
            measured("exp/carry", "64", 1000.0),
            measured("exp/std", "64", 1000.0),
            measured("tanh/carry", "64", 1000.0),
        ]);
        let mut now = report(vec![
            measured("exp/carry", "4096", 1051.0),
            measured("exp/carry", "64", 1049.0),
            measured("exp/std", "64", 500.0),
            measured("sigmoid/carry", "64", 1000.0),
        ]);
        now.roofline.drift = 0.01;
        compare(&mut now, &baseline, "old.json");
        let changes: Vec<_> = now
            .benchmarks
            .iter()
            .map(|b| (b.id(), b.change.map(|c| (c.ratio, c.slower))))
            .collect();
        let expected = [
            ("activation exp 64 carry", Some((1.049, false))),
            ("activation exp 64 std", Some((0.5, false))),
            ("activation exp 4096 carry", Some((1.051, true))),
            ("activation sigmoid 64 carry", None),
        ];
        assert_eq!(changes, expected.map(|(id, change)| (id.to_owned(), change)));
        let comparison = now.comparison.as_ref().unwrap();
        assert_eq!(comparison.gone, ["activation tanh 64 carry"]);
        assert_eq!(comparison.warnings, [""; 0]);
        let text = now.markdown();
        for line in [
            "- slower: activation exp 4096 carry: 1.05 times the baseline's 1.00 µs, noise 5.0%\n",
            "- no longer measured: activation tanh 64 carry\n",
            "- 1 of 3 benchmarks became slower\n",
            " 1.05 slower |\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn another_machine_build_compiler_or_length_is_a_warning() {
        let baseline = report(vec![measured("exp/carry", "64", 1000.0)]);
        let mut now = report(vec![measured("exp/carry", "64", 1000.0)]);
        now.cpu = "another CPU".to_owned();
        now.build_features.push("avx512f".to_owned());
        now.rustc = "rustc 1.95.0".to_owned();
        now.quick = true;
        compare(&mut now, &baseline, "old.json");
        let warnings = now.comparison.unwrap().warnings;
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert_eq!(warnings[0], "the CPU differs: here another CPU, in the baseline a CPU");
    }

    #[test]
    fn a_report_survives_a_round_trip_through_json() {
        let mut here = report(vec![measured("exp/carry", "64", 10.0 / 3.0)]);
        let again = report(vec![measured("exp/carry", "64", 3.0)]);
        compare(&mut here, &again, "old.json");
        let back = parse(&here.json()).unwrap();
        assert_eq!(back.benchmarks, here.benchmarks);
        assert_eq!(back.comparison, here.comparison);
        assert_eq!(back.json(), here.json());
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let whole = report(vec![]).json();
        for (text, reason) in [
            ("", "it is no report.json of `cargo xtask bench`"),
            ("[1]", "it is no report.json of `cargo xtask bench`"),
            (
                r#"{"format": "another", "version": 1}"#,
                "it is no report.json of `cargo xtask bench`",
            ),
            (r#"{"format": "carry-bench-report", "version": 1}"#, "it is damaged"),
            (
                &whole.replacen("\"version\":1", "\"version\":2", 1),
                "it is of version 2 and this program knows 1; measure it again with this one",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), reason, "{text}");
        }
        let cut = format!("{:#}", parse(&whole[..whole.len() / 2]).unwrap_err());
        assert!(cut.starts_with("it is no report.json of `cargo xtask bench`: EOF while"), "{cut}");
        let error = read(Path::new("no/such/file.json")).unwrap_err().to_string();
        assert_eq!(error, "cannot read the baseline no/such/file.json");
    }
}
