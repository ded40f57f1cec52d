//! `cargo xtask bench --floor`: how far every kernel is from what bounds it on this machine.
//!
//! The bench `limits` measures what the machine can do, and each kernel; this file runs it and
//! makes the tables. What a limit is and how it is counted is said there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::machine::cpu_model;
use super::process::{last_line, tail};
use super::report::{table, time};
use super::workspace::Workspace;
use crate::children;
use crate::output::{Progress, Wait, line};

/// What the bench prints.
#[derive(Debug, Serialize, Deserialize)]
struct Floor {
    build_features: Vec<String>,
    /// Values of f32 in a vector.
    lanes: usize,
    /// By the name of a constant, with its unit.
    machine: BTreeMap<String, f64>,
    kernels: Vec<Kernel>,
}

/// A kernel; times are nanoseconds at the clock at which the constants were measured.
#[derive(Debug, Serialize, Deserialize)]
struct Kernel {
    kernel: String,
    size: String,
    limits: Vec<Limit>,
    /// Which of them binds.
    limit: String,
    limit_ns: f64,
    best_ns: f64,
    median_ns: f64,
    samples: usize,
    thrown_away: usize,
    /// What ran beside the samples, and how fast.
    reference: String,
    reference_best: f64,
    reference_median: f64,
}

/// One thing that bounds a kernel.
#[derive(Debug, Serialize, Deserialize)]
struct Limit {
    what: String,
    /// As `4,096 FMAs`.
    count: String,
    ns: f64,
}

/// Builds and runs the bench `limits`, and prints what it found.
///
/// # Errors
/// If it cannot be built or run, or fails; or after a signal.
pub fn run(quick: bool, json: bool) -> Result<()> {
    let workspace = Workspace::here()?;
    let wait = Wait::for_long(Some("building the bench limits"));
    workspace.build(["limits"])?;
    wait.finish();
    let mut command = workspace.cargo_bench();
    command.args(["--bench", "limits", "--"]);
    if quick {
        command.arg("--quick");
    }
    let output = measure(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let floor: Floor = last_line(&output).context("the bench limits")?;
    line(floor.markdown(quick));
    if json {
        line(floor.json(quick));
    }
    Ok(())
}

/// Runs the bench to its end behind a progress bar; returns its standard output.
fn measure(command: &mut std::process::Command) -> Result<String> {
    let mut cargo = children::start(command).context("cannot start cargo for the bench limits")?;
    let stderr = cargo.child().stderr.take().context("stderr is piped")?;
    let mut stdout = cargo.child().stdout.take().context("stdout is piped")?;
    let messages = thread::spawn(move || show(stderr));
    let output = thread::spawn(move || {
        let mut output = String::new();
        stdout.read_to_string(&mut output).map(|_| output)
    });
    let status = cargo.wait(None)?.expect("there is no limit");
    let messages = messages.join().unwrap_or_default();
    if !status.success() {
        bail!("the bench limits failed ({status}){}", tail(&messages));
    }
    output.join().ok().context("the output was read")?.context("cannot read the bench limits")
}

/// Shows which kernel is measured; returns the other messages.
fn show(stderr: ChildStderr) -> String {
    let (mut messages, mut progress) = (String::new(), None);
    for bytes in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
        let text = String::from_utf8_lossy(&bytes);
        let Some((number, all, kernel)) = position(&text) else {
            messages = messages + &text + "\n";
            continue;
        };
        let progress = progress.get_or_insert_with(|| Progress::new(all, "kernels"));
        progress.say(kernel.to_owned());
        progress.set(number.saturating_sub(1).min(all));
    }
    if let Some(progress) = progress {
        progress.finish();
    }
    messages
}

/// `3 of 90: exp 2048` as 3, 90 and `exp 2048`.
fn position(text: &str) -> Option<(u64, u64, &str)> {
    let (numbers, kernel) = text.split_once(": ")?;
    let (number, all) = numbers.split_once(" of ")?;
    Some((number.parse().ok()?, all.parse().ok()?, kernel))
}

impl Kernel {
    fn row(&self) -> Vec<String> {
        let binding = self.limits.iter().find(|limit| limit.what == self.limit);
        let is_disturbed = 2 * self.thrown_away > self.samples;
        vec![
            self.kernel.clone(),
            self.size.clone(),
            self.limit.clone(),
            binding.map_or_else(String::new, |limit| limit.count.clone()),
            time(self.limit_ns),
            time(self.median_ns),
            format!("{:.2}", self.median_ns / self.limit_ns),
            format!("{:.2}", self.best_ns / self.limit_ns),
            format!(
                "{} of {}{}",
                self.thrown_away,
                self.samples,
                if is_disturbed { " !" } else { "" }
            ),
        ]
    }
}

impl Floor {
    /// As one line.
    fn json(&self, quick: bool) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            format: &'static str,
            version: u32,
            cpu: String,
            quick: bool,
            #[serde(flatten)]
            floor: &'a Floor,
        }
        let file =
            File { format: "carry-floor-report", version: 1, cpu: cpu_model(), quick, floor: self };
        serde_json::to_string(&file).expect("numbers, names and lists")
    }

    /// As a page.
    fn markdown(&self, quick: bool) -> String {
        let mut text = format!(
            "# Kernels and their limits\n\n- CPU: {}, one core\n- built for: {}, {} lanes\n",
            cpu_model(),
            self.build_features.join(" "),
            self.lanes,
        );
        if quick {
            text += "- `--quick`: a look, not a measurement\n";
        }
        let constants: Vec<_> = self
            .machine
            .iter()
            .map(|(name, value)| vec![name.replace('_', " "), format!("{value:.2}")])
            .collect();
        text += "\nWhat this core can do, measured; operations are of whole vectors:\n\n";
        text += &table(&["constant", "best"], 1, &constants);
        text += "\nThe limit is the largest of what bounds a kernel: how much of it is to be done, over what \
                 the core can do. It may be too low and is never too high. Times are at the clock of the \
                 constants; ratios are of the median and of the best sample, 1 is the limit. A sample is \
                 thrown away if the reference loop beside it was slower than its own best by more than 5%; \
                 ! marks a figure of which more than half were.\n\n";
        let header =
            ["kernel", "size", "binds", "count", "limit", "median", "ratio", "best", "thrown away"];
        let rows: Vec<_> = self.kernels.iter().map(Kernel::row).collect();
        text + table(&header, 4, &rows).trim_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"{"build_features":["avx2"],"lanes":8,"machine":{"l1_gb_per_s":99.5},
        "kernels":[{"kernel":"exp","size":"2048","limit":"division","limit_ns":100.0,
        "limits":[{"what":"FMA ports","count":"9 FMAs","ns":50.0},
        {"what":"division","count":"1,024 divisions","ns":100.0}],
        "best_ns":110.0,"median_ns":125.0,"samples":8,"thrown_away":5,
        "reference":"peak","reference_best":100.0,"reference_median":99.0}]}"#;

    #[test]
    fn the_table_names_what_binds_with_its_count_and_both_ratios() {
        let floor: Floor = serde_json::from_str(OUTPUT).unwrap();
        let text = floor.markdown(true);
        let same = |a: &str| a.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for row in [
            "| l1 gb per s | 99.50 |",
            "| exp | 2048 | division | 1,024 divisions | 100.0 ns | 125.0 ns | 1.25 | 1.10 | 5 of 8 ! |",
        ] {
            assert!(text.lines().any(|line| same(line) == same(row)), "{row}\n{text}");
        }
        assert!(text.contains("a look, not a measurement"), "{text}");
        assert!(!floor.markdown(false).contains("a look"));
        let json: serde_json::Value = serde_json::from_str(&floor.json(true)).unwrap();
        assert_eq!((&json["format"], &json["quick"]), (&"carry-floor-report".into(), &true.into()));
        assert_eq!(json["kernels"][0]["limits"][1]["ns"], 100.0);
    }

    #[test]
    fn positions_are_told_from_other_messages() {
        assert_eq!(position("3 of 90: exp 2048"), Some((3, 90, "exp 2048")));
        for text in ["error: 3 of 4", "x of 3: exp", "3 of x: exp", "3 of 90", ""] {
            assert_eq!(position(text), None, "{text}");
        }
    }
}
