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
//! of an earlier run is read. What was measured before one fails, or before a signal, is said and
//! not written: it is no report to compare with. It judges no figure and keeps no history: an earlier
//! report.json is a baseline if one is named.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Error, Result, bail, ensure};
use indicatif::ProgressBar;
use serde::Deserialize;
use train::atomic_file::{try_output, write_whole};

use super::group::Group;
use super::machine::cpu_model;
use super::process::{finish, last_line, tail};
use super::report::{Also, Benchmark, Build, Report};
use super::roofline::{Ceilings, Roofline};
use super::workspace::{Workspace, criterion_settings};
use super::{baseline, criterion, floor, moments, pictures};
use crate::children;
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

    /// Print how far every kernel is from what bounds it on this machine, in a minute
    #[arg(long, conflicts_with_all = ["group", "baseline", "also"])]
    floor: bool,
}

/// Runs the study and prints its report.
///
/// # Errors
/// If the baseline cannot be used, the benchmarks cannot be built or run, or the report
/// cannot be written.
pub fn run(args: Args) -> Result<()> {
    if args.floor {
        return floor::run(args.quick, args.json);
    }
    // First, as the benchmarks take minutes.
    let baseline = args.baseline.as_deref().map(baseline::read).transpose()?;
    let groups = args.group.map_or(Group::ALL.to_vec(), |group| vec![group]);
    let workspace = Workspace::here()?;
    let folder = workspace.report_folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", shown(&folder)))?;
    for name in FILES {
        try_output(&folder.join(name))?;
    }
    let rustc = workspace.rustc_version()?;
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
    let (build, mut failure) = study(&workspace, "criterion")?;
    let also = match also {
        Some((cpu, workspace)) if failure.is_none() => {
            match study(&workspace, &format!("criterion-{cpu}")) {
                Ok((build, other)) => {
                    failure = other;
                    Some(Also { target_cpu: cpu.to_owned(), build })
                }
                Err(error) => {
                    failure = Some(error);
                    None
                }
            }
        }
        _ => None,
    };
    progress.finish_and_clear();
    let Build { build_features, roofline, benchmarks } = build;
    if benchmarks.is_empty()
        && let Some(failure) = failure
    {
        return Err(failure);
    }

    let mut report = Report {
        date: utc(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
        command: command_line(&args),
        cpu: cpu_model(),
        build_features,
        rustc,
        quick: args.quick,
        roofline,
        benchmarks,
        also,
        comparison: None,
        incomplete: failure.as_ref().map(|error| format!("{error:#}")),
    };
    if let (Some(baseline), Some(path)) = (&baseline, &args.baseline) {
        baseline::compare(&mut report, baseline, &shown(path));
    }
    // What was measured is said, whatever becomes of the files.
    line(report.markdown());
    let written = match failure {
        Some(failure) => Err(failure),
        None => write(&folder, &report),
    };
    for path in written.iter().flatten() {
        line(format!("wrote {}", shown(path)));
    }
    if args.json {
        line(report.json());
    }
    written.map(drop)
}

/// What a report may consist of.
const FILES: [&str; 4] = ["roofline.svg", "matmul.svg", "report.json", "report.md"];

/// What the bench `roofline` prints.
#[derive(Deserialize)]
struct Machine {
    #[serde(flatten)]
    ceilings: Ceilings,
    build_features: Vec<String>,
}

/// Measures the groups between two measurements of the machine; Criterion writes into
/// `folder`, emptied before. If that fails on the way, there is what was measured until then, and
/// the reason.
fn measure(
    workspace: &Workspace,
    groups: &[Group],
    quick: bool,
    folder: &Path,
    progress: &ProgressBar,
) -> Result<(Build, Option<Error>)> {
    remove_folder(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", shown(folder)))?;
    progress.set_message("measuring the machine");
    let Machine { ceilings: before, build_features } = machine(workspace)?;
    let measured = || {
        for &group in groups {
            measure_group(workspace, group, quick, folder, progress)?;
        }
        progress.set_message("measuring the machine again");
        Ok(machine(workspace)?.ceilings)
    };
    let (after, failure) = match measured() {
        Ok(after) => (after, None),
        Err(failure) => (before, Some(failure)),
    };
    let roofline = Roofline::new(before, after);
    let mut benchmarks = Vec::new();
    for &group in groups {
        let results = match criterion::read(&folder.join(group.name())) {
            // One that was ended may have begun nothing, or left half a file.
            Err(_) if failure.is_some() => continue,
            results => results?,
        };
        let is_there = !results.is_empty() || failure.is_some();
        ensure!(is_there, "the group {} measured nothing", group.name());
        let mut results = Benchmark::of_group(group, results, &roofline);
        Benchmark::add_moments(&mut results, &moments::read(&moments_of(folder, group))?);
        benchmarks.extend(results);
    }
    Ok((Build { build_features, roofline, benchmarks }, failure))
}

/// Where a group appends what it makes of its samples.
fn moments_of(folder: &Path, group: Group) -> PathBuf {
    folder.join(format!("{}.moments", group.name()))
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
    command
        .args(["--bench", name, "--"])
        .args(criterion_settings(quick))
        .env("CRITERION_HOME", folder)
        .env("CARRY_BENCH_MOMENTS", moments_of(folder, group))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    progress.set_message(format!("{name}: starting"));
    let mut cargo = children::start(&mut command)
        .with_context(|| format!("cannot start cargo for the group {name}"))?;
    let stderr = cargo.child().stderr.take().context("stderr is piped")?;
    let reader = thread::spawn({
        let progress = progress.clone();
        move || show(stderr, &progress)
    });
    // Before its messages, which do not end where it started something that goes on.
    let status = cargo.wait(None)?.expect("there is no limit");
    if !status.success() {
        let messages = reader.join().unwrap_or_default();
        bail!("the group {name} failed ({status}){}", tail(&messages));
    }
    Ok(())
}

/// Shows which benchmark runs; returns the other messages.
fn show(stderr: ChildStderr, progress: &ProgressBar) -> String {
    let (mut messages, mut count) = (String::new(), 0);
    for bytes in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
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
    messages
}

/// Writes the report and its pictures, and returns where; a picture of an earlier run
/// that this one did not draw is removed, for it would not belong to this report.
fn write(folder: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    let contents = [
        Some(pictures::roofline(report)?),
        pictures::matmul(report)?,
        Some(report.json() + "\n"),
        Some(report.markdown()),
    ];
    let mut written = Vec::new();
    for (name, content) in FILES.into_iter().zip(contents) {
        let path = folder.join(name);
        if let Some(content) = content {
            write_whole(&path, content.as_bytes())?;
            written.push(path);
        } else if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", shown(&path)))?;
        }
    }
    Ok(written)
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", shown(path)))
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
            floor: false,
        };
        assert_eq!(command_line(&args), "cargo xtask bench matmul --quick --also x86-64-v3");
    }
}
