//! `cargo xtask bench [GROUP]`: the Criterion groups in one run and one report.
//!
//! A figure has a meaning only in relation to the rivals and to the limits of the same machine at
//! the same time, so the machine is measured before and after the groups:
//!
//! ```text
//! build · ceilings · group, group, ... · ceilings  →  report.md, report.json, *.svg
//! ```
//!
//! With `--also`, the same follows for a build for an older CPU, which has its own
//! ceilings and its own columns.
//!
//! Criterion measures and estimates, each benchmark in a process that asserts the
//! answers first; this file runs it, into a folder that is emptied before, so that no result
//! of an earlier run is read. It judges no figure and keeps no history: an earlier
//! report.json is a baseline if one is named.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use serde::Deserialize;
use train::atomic_file::write_whole;

use super::group::Group;
use super::machine::cpu_model;
use super::process::{finish, last_line, tail};
use super::report::{Also, Benchmark, Build, Report};
use super::roofline::{Ceilings, Roofline};
use super::workspace::{Workspace, criterion_settings};
use super::{baseline, criterion, pictures};
use crate::output::line;
use crate::paths::shown;

#[derive(clap::Args)]
#[group(skip)] // its name is taken by the Args that this is part of
pub struct Args {
    /// Which benchmarks to run [default: all]
    group: Option<Group>,

    /// Half a second a benchmark instead of five: a look, not a measurement
    #[arg(long)]
    quick: bool,

    /// Print the report as one JSON object in the last line
    #[arg(long)]
    json: bool,

    /// Compare with an earlier report.json, and mark what became slower than the noise
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Measure a build for this CPU as well, with columns of its own (x86-64-v3: AVX2)
    #[arg(long, value_name = "CPU", value_parser = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"])]
    also: Option<String>,
}

/// Runs the study and prints its report.
///
/// # Errors
/// If the baseline cannot be used, the benchmarks cannot be built or run, or the report
/// cannot be written.
pub fn run(args: Args) -> Result<()> {
    // First, as the benchmarks take minutes.
    let baseline = args.baseline.as_deref().map(baseline::read).transpose()?;
    let groups = args.group.map_or(Group::ALL.to_vec(), |group| vec![group]);
    let workspace = Workspace::here()?;
    let folder = workspace.report_folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let also = args.also.as_deref().map(|cpu| (cpu, workspace.for_cpu(cpu)));

    // Drawn on stderr, and not at all where that is no terminal.
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));
    progress.set_message("building the benchmarks");
    let names = || groups.iter().map(|group| group.name()).chain(["roofline"]);
    workspace.build(names())?;
    if let Some((cpu, workspace)) = &also {
        progress.set_message(format!("building the benchmarks for {cpu}"));
        workspace.build(names())?;
    }
    let study = |workspace: &Workspace, name: &str| {
        measure(workspace, &groups, args.quick, &folder.join(name), &progress)
    };
    let Build { build_features, roofline, benchmarks } = study(&workspace, "criterion")?;
    let also = match also {
        None => None,
        Some((cpu, workspace)) => Some(Also {
            target_cpu: cpu.to_owned(),
            build: study(&workspace, &format!("criterion-{cpu}"))?,
        }),
    };
    progress.finish_and_clear();

    let mut report = Report {
        date: utc(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
        command: command_line(&args),
        cpu: cpu_model(),
        build_features,
        rustc: workspace.rustc_version()?,
        quick: args.quick,
        roofline,
        benchmarks,
        also,
        comparison: None,
    };
    if let (Some(baseline), Some(path)) = (&baseline, &args.baseline) {
        baseline::compare(&mut report, baseline, &shown(path));
    }
    // What was measured is said, whatever becomes of the files.
    line(report.markdown());
    let written = write(&folder, &report);
    for path in written.iter().flatten() {
        line(format!("wrote {}", shown(path)));
    }
    if args.json {
        line(report.json());
    }
    written.map(drop)
}

/// What the bench `roofline` prints.
#[derive(Deserialize)]
struct Machine {
    #[serde(flatten)]
    ceilings: Ceilings,
    build_features: Vec<String>,
}

/// Measures the groups between two measurements of the machine; Criterion writes into
/// `folder`, emptied before.
fn measure(
    workspace: &Workspace,
    groups: &[Group],
    quick: bool,
    folder: &Path,
    progress: &ProgressBar,
) -> Result<Build> {
    remove_folder(folder)?;
    progress.set_message("measuring the machine");
    let Machine { ceilings: before, build_features } = machine(workspace)?;
    for &group in groups {
        measure_group(workspace, group, quick, folder, progress)?;
    }
    progress.set_message("measuring the machine again");
    let roofline = Roofline::new(before, machine(workspace)?.ceilings);
    let mut benchmarks = Vec::new();
    for &group in groups {
        let results = criterion::read(&folder.join(group.name()))?;
        ensure!(!results.is_empty(), "the group {} measured nothing", group.name());
        benchmarks.extend(Benchmark::of_group(group, results, &roofline));
    }
    Ok(Build { build_features, roofline, benchmarks })
}

fn machine(workspace: &Workspace) -> Result<Machine> {
    let mut command = workspace.cargo_bench();
    command.args(["--bench", "roofline"]);
    let output = finish(&mut command, "the bench roofline", Duration::from_secs(300))?;
    last_line(&output).context("the bench roofline")
}

/// Runs a group; Criterion writes below `folder`, and its messages are shown only if it fails.
fn measure_group(
    workspace: &Workspace,
    group: Group,
    quick: bool,
    folder: &Path,
    progress: &ProgressBar,
) -> Result<()> {
    let name = group.name();
    let mut command = workspace.cargo_bench();
    let mut child = command
        .args(["--bench", name, "--"])
        .args(criterion_settings(quick))
        .env("CRITERION_HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start cargo for the group {name}"))?;
    let stderr = BufReader::new(child.stderr.take().context("stderr is piped")?);
    let mut messages = String::new();
    let mut count = 0;
    progress.set_message(format!("{name}: starting"));
    for bytes in stderr.split(b'\n') {
        let bytes = bytes?;
        let text = String::from_utf8_lossy(&bytes);
        match text.strip_prefix("Benchmarking ") {
            // "Benchmarking ID", then "Benchmarking ID: what it does now"
            Some(id) if !id.contains(": ") => {
                count += 1;
                progress.set_message(format!("benchmark {count}: {id}"));
            }
            Some(_) => {}
            None => messages = messages + &text + "\n",
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the group {name} failed ({status}){}", tail(&messages));
    }
    Ok(())
}

/// Writes the report and its pictures, and returns where; a picture of an earlier run
/// that this one did not draw is removed, for it would not belong to this report.
fn write(folder: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let files = [
        ("roofline.svg", Some(pictures::roofline(report)?)),
        ("matmul.svg", pictures::matmul(report)?),
        ("report.json", Some(report.json() + "\n")),
        ("report.md", Some(report.markdown())),
    ];
    let mut written = Vec::new();
    for (name, content) in files {
        let path = folder.join(name);
        if let Some(content) = content {
            write_whole(&path, content.as_bytes())?;
            written.push(path);
        } else if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(written)
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The command that makes such a report. The baseline is left out: what is measured does
/// not depend on it.
fn command_line(args: &Args) -> String {
    let mut command = "cargo xtask bench".to_owned();
    if let Some(group) = args.group {
        command = command + " " + group.name();
    }
    if args.quick {
        command += " --quick";
    }
    if let Some(cpu) = &args.also {
        command = command + " --also " + cpu;
    }
    command
}

/// Seconds since 1970 as `2026-01-31 23:59 UTC`.
fn utc(seconds: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut days = seconds / 86_400;
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_and_new_year() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00 UTC"),
            (68_169_599, "1972-02-28 23:59 UTC"),
            (68_169_600, "1972-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
            (1_798_761_600, "2027-01-01 00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }

    #[test]
    fn the_command_names_what_was_measured() {
        let args = Args {
            group: Some(Group::Matmul),
            quick: true,
            json: true,
            baseline: Some(PathBuf::from("earlier.json")),
            also: Some("x86-64-v3".to_owned()),
        };
        assert_eq!(command_line(&args), "cargo xtask bench matmul --quick --also x86-64-v3");
    }
}
