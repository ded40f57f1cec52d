//! `cargo xtask plot`: the loss curves of several runs in one picture.

use crate::chart::{self, Curve, unit_of_loss};
use crate::output::line;
use crate::paths::shown;
use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::process::ExitCode;
use train::atomic_file::{is_standard_output, try_output, write_output};
use train::run_folder::RunFolder;

/// Draw the loss of several runs into one picture
///
/// Reads the metrics of finished and unfinished runs and draws their mean loss over the examples
/// and over the seconds of training, a line a run, into one SVG.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask plot runs/0001 runs/0002
  cargo xtask plot runs/* --out all.svg")]
pub struct Args {
    /// Folders of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,

    /// The picture
    #[arg(long, value_name = "FILE", default_value = "runs.svg")]
    out: PathBuf,
}

/// What the loss of these runs is counted in, if it is the same.
fn unit(runs: &[PathBuf]) -> &'static str {
    let unit = |path: &PathBuf| {
        let task = RunFolder::open(path)
            .or_else(|_| RunFolder::unfinished(path))
            .and_then(|folder| folder.task_name());
        task.map_or("", |task| unit_of_loss(&task))
    };
    let first = runs.first().map_or("", unit);
    if runs.iter().all(|path| unit(path) == first) { first } else { "" }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    try_output(&args.out).context("keeping the picture")?;
    let mut curves = Vec::new();
    for path in &args.runs {
        let metrics = RunFolder::metrics(path)?;
        ensure!(!metrics.is_empty(), "the metrics of {} hold no interval yet", shown(path));
        curves.push(Curve { name: shown(path), metrics });
    }
    let title = match curves.len() {
        1 => format!("Loss while training: {}", curves[0].name),
        count => format!("Loss while training: {count} runs"),
    };
    let svg = chart::loss_curves(&title, unit(&args.runs), &curves)?;
    write_output(&args.out, svg.as_bytes()).context("keeping the picture")?;
    if !is_standard_output(&args.out) {
        line(format!("The picture is in {}", shown(&args.out)));
    }
    Ok(ExitCode::SUCCESS)
}
