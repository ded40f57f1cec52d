//! `cargo xtask page`: one network as one HTML file.

use crate::output::{line, warn};
use crate::paths::{quoted, shown};
use crate::runs;
use anyhow::{Context, bail};
use page::{Document, document, of_run};
use serde_json::json;
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, ExitCode, Stdio};
use train::atomic_file::{is_standard_output, try_output, write_output};
use train::run_folder::RunFolder;

/// Write a page in which one sees what a network does, and open it in a browser
///
/// One HTML file that loads nothing: the network adds the numbers that you type, digit by digit; its
/// units, its training and its gradients are there to be looked at, and what `cargo xtask certify`
/// has proved. Of a network that learned a text it shows the text coloured by its units; of one that
/// learned a series, its forecasts.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask page                           of the latest run
  cargo xtask page runs/0001 --open
  cargo xtask page --out adder.html")]
pub struct Args {
    /// The run of the network [default: the latest under runs/]
    run: Option<PathBuf>,

    /// The page [default: page.html in the run's folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Open the page in the system's browser
    #[arg(long)]
    open: bool,

    /// Print a JSON object: page, bytes, run, task, snapshots, proved, notes (what is left out, and
    /// why), and opened
    #[arg(long)]
    json: bool,
}

/// Writes the page.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let out = args.out.as_deref();
    let to_stdout = out.is_some_and(is_standard_output);
    let folder = match &args.run {
        Some(path) => RunFolder::open(path)?,
        None => RunFolder::latest(&runs::folder(!args.json && !to_stdout))?,
    };
    let place = out.map_or_else(|| folder.path().join("page.html"), PathBuf::from);
    try_output(&place).context("keeping the page")?;

    let run = folder.path();
    let read = of_run(&folder, &format!("cargo xtask page {}", quoted(run)))?;
    for note in &read.notes {
        warn(format!("note: {note}"));
    }
    let data = read.data;
    let (task, snapshots, proved) = (data.task, data.snapshots.len(), data.proof.is_some());
    let what = match task {
        "addition" => "A network that adds",
        "text" => "A network that writes",
        _ => "A network that looks ahead",
    };
    let title = format!("{what}: {}", shown(run));
    let html = document(&Document { title, network: Some(data), report: String::new() });
    write_output(&place, html.as_bytes()).context("keeping the page")?;

    if !args.json && !to_stdout {
        line(format!("The page is {} ({} kB)", shown(&place), html.len().div_ceil(1_000)));
        if snapshots == 0 && task == "addition" {
            line("It shows no training: the run has no snapshots; train with --snapshots 60");
        }
    }
    let opened = if args.open { open(&place) } else { Ok(()) };
    if args.json {
        let object = json!({
            "page": place.display().to_string(),
            "bytes": html.len(),
            "run": run.display().to_string(),
            "task": task,
            "snapshots": snapshots,
            "proved": proved,
            "notes": read.notes,
            "opened": args.open && opened.is_ok(),
        });
        line(object.to_string());
    } else if !args.open && !to_stdout {
        line(format!("Open it in a browser, or by cargo xtask page {} --open", quoted(run)));
    }
    opened?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the file in the system's browser. It is not waited for.
///
/// # Errors
/// If there is none, with the way to open it by hand.
pub fn open(path: &Path) -> anyhow::Result<()> {
    let (opener, before): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    let path = absolute(path).context("finding the page")?;
    let mut command = Command::new(opener);
    command.args(before).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
    // It hands the page over to a browser and ends.
    let by_hand = format!("open {} in a browser yourself", shown(&path));
    match command.stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{opener} found no browser ({status}); {by_hand}"),
        Err(error) => bail!("cannot start {opener}, which opens browsers: {error}; {by_hand}"),
    }
}
