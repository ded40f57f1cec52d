//! `cargo xtask lab`: the lab's own questions, answered by hundreds of trained networks in one page.

mod pictures;
mod report;
mod tables;

use crate::numbers::whole;
use crate::output::{Progress, line, thousands, warn};
use crate::page::open;
use crate::paths::shown;
use crate::{interrupt, ranks};
use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use lab::{Settings, Study, Watch, proof};
use page::{Document, document, of_run};
use pictures::{Picture, names, pictures};
use report::{Told, report};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use train::atomic_file::{try_output, write_output};
use train::job::{Every, Job, OnDivergence, Options};
use train::run_folder::RunFolder;
use train::task::Addition;
use train::transport::Transport;

/// Answer the lab's questions by pictures, made from hundreds of trained networks
///
/// Each study trains the networks that its question needs, on all cores, and says in one sentence
/// what came out. The folder holds index.html, one page that loads nothing and reads without
/// JavaScript; each picture as SVG; and the numbers as numbers.json. The same seed gives the same
/// numbers, but for Hogwild!, which never does the same twice.
#[derive(clap::Args)]
#[command(after_help = "\
Studies:
  window    Why not feed-forward?
  units     How many hidden units suffice?
  memory    State or output fed back?
  bptt      What does BPTT add?
  rates     Which learning rate?
  chains    How long does it remember?
  hogwild   Does Hogwild! cost accuracy?
  states    What did it learn?

Examples:
  cargo xtask lab --open            all of them, about a minute and a half on two cores
  cargo xtask lab --quick           the same from few networks, in seconds
  cargo xtask lab units rates       two of them")]
pub struct Args {
    /// The studies [default: all]
    #[arg(value_name = "STUDY", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(Study::ALL.map(Study::name)).map(study))]
    studies: Vec<Study>,

    /// The folder for the report [default: lab, or of some studies lab-STUDY]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Fewer networks: seconds instead of minutes, and wider intervals
    #[arg(long)]
    quick: bool,

    /// What all randomness comes from
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX),
          allow_negative_numbers = true)]
    seed: u64,

    /// Open the report in the system's browser
    #[arg(long)]
    open: bool,

    /// Print a JSON object as the last line, and nothing else
    #[arg(long)]
    json: bool,
}

fn study(name: String) -> Study {
    let found = Study::ALL.into_iter().find(|study| study.name() == name);
    found.expect("one of the possible values")
}

const REPORT: &str = "index.html";
const NUMBERS: &str = "numbers.json";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    let start = Instant::now();
    let settings = Settings { seed: args.seed, quick: args.quick };
    let ranks = ranks::transport().filter(|transport| transport.ranks() > 1);
    // Each once, in the order of the report.
    let is_asked = |study: &Study| args.studies.is_empty() || args.studies.contains(study);
    let studies: Vec<Study> = Study::ALL.into_iter().filter(is_asked).collect();
    if let Some(transport) = ranks.as_ref().filter(|transport| transport.rank() > 0) {
        // Rank 0 has the folder, and says everything.
        let ranks = Some(&**transport);
        let watch = Watch { done: &|| (), is_stopped: &interrupt::asked, ranks };
        studies.iter().for_each(|study| drop(study.run(&settings, watch)));
        return Ok(if interrupt::asked() { interrupt::exit_code() } else { ExitCode::SUCCESS });
    }
    let out = args.out.clone().unwrap_or_else(|| {
        let chosen = studies.iter().map(|study| format!("-{}", study.name()));
        if args.studies.is_empty() {
            "lab".into()
        } else {
            format!("lab{}", chosen.collect::<String>()).into()
        }
    });
    try_folder(&out, &studies)?;

    let network = network(&settings)?;
    let told = make(&args, &settings, &studies, ranks.as_deref())?;
    let is_whole = told.len() == studies.len()
        && told.iter().all(|Told { networks: (done, asked), .. }| done == asked);

    // What was found is said before the files, whatever becomes of them.
    let is_told = |study: &Study| told.iter().any(|told| told.findings.study() == *study);
    let missing = studies.iter().filter(|study| !is_told(study));
    let missing: Vec<&str> = missing.map(|study| study.question()).collect();
    let html = document(&Document {
        title: "The lab's questions, answered by networks".to_owned(),
        network: Some(network),
        report: report(&settings, &told, &missing),
    });
    let kept = keep(&out, &settings, &told, is_whole, &html);
    let index = out.join(REPORT);
    let opened = if args.open && kept.is_ok() { open(&index) } else { Ok(()) };
    if args.json {
        let study = |told: &Told| {
            json!({
                "study": told.findings.study().name(),
                "sentence": told.findings.sentence(),
                "networks": told.networks.0,
            })
        };
        let pictures = told.iter().flat_map(|told| &told.pictures);
        let mut object = json!({
            "report": index.display().to_string(),
            "bytes": html.len(),
            "numbers": out.join(NUMBERS).display().to_string(),
            "pictures": pictures.map(|p| out.join(p.name).display().to_string()).collect::<Vec<_>>(),
            "seed": settings.seed,
            "quick": settings.quick,
            "studies": told.iter().map(study).collect::<Vec<Value>>(),
            "seconds": start.elapsed().as_secs_f64(),
            "stopped": !is_whole,
            "opened": args.open && kept.is_ok() && opened.is_ok(),
        });
        if let Err(error) = &kept {
            object["error"] = format!("{error:#}").into();
        }
        line(object.to_string());
    } else if kept.is_ok() {
        let kilobytes = html.len().div_ceil(1_000);
        line(format!("The report is {} ({} kB)", shown(&index), thousands(kilobytes as u64)));
    }
    kept?;
    opened?;
    if !is_whole {
        let networks: usize = told.iter().map(|told| told.networks.0).sum();
        let all: usize = studies.iter().map(|study| study.networks(&settings)).sum();
        warn(format!(
            "stopped after {} of {} networks; the report is of these",
            thousands(networks as u64),
            thousands(all as u64)
        ));
        return Ok(interrupt::exit_code());
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the studies one after the other, each on all cores and ranks, until the program is asked to end. One
/// that has no network by then is left out.
fn make(
    args: &Args,
    settings: &Settings,
    studies: &[Study],
    ranks: Option<&dyn Transport>,
) -> anyhow::Result<Vec<Told>> {
    let all: usize = studies.iter().map(|study| study.networks(settings)).sum();
    let progress = if args.json { Progress::none() } else { Progress::new(all as u64, "networks") };
    let mut all_told = Vec::new();
    interrupt::while_saying_that_it_stops(|| {
        for study in studies {
            progress.say(study.name().to_owned());
            let count = AtomicUsize::new(0);
            let done = || {
                count.fetch_add(1, Ordering::Relaxed);
                progress.add(1);
            };
            let findings =
                study.run(settings, Watch { done: &done, is_stopped: &interrupt::asked, ranks });
            let networks = (count.into_inner(), study.networks(settings));
            if networks.0 == 0 {
                continue; // as all ranks do
            }
            if !args.json {
                progress.line(format!("{} {}", study.question(), findings.sentence()));
            }
            let command = command(*study, settings);
            let pictures = pictures(&findings)?;
            all_told.push(Told { findings, networks, command, pictures });
        }
        anyhow::Ok(())
    })?;
    progress.finish();
    Ok(all_told)
}

/// The line that makes a study alone, with these numbers.
fn command(study: Study, settings: &Settings) -> String {
    let quick = if settings.quick { " --quick" } else { "" };
    let seed =
        if settings.seed == 0 { String::new() } else { format!(" --seed {}", settings.seed) };
    format!("cargo xtask lab {}{quick}{seed}", study.name())
}

/// Makes the folder, and looks whether all files can be written, before hours of others' work are in
/// them.
fn try_folder(out: &Path, studies: &[Study]) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| {
        format!("cannot make the folder {}; choose another with --out", shown(out))
    })?;
    let pictures = studies.iter().flat_map(|&study| names(study));
    for name in [REPORT, NUMBERS].iter().chain(pictures) {
        try_output(&out.join(name))?;
    }
    Ok(())
}

/// The network that the page shows: the lab's, with the seed of the studies and snapshots of its
/// training; with its proof, if one is found.
fn network(settings: &Settings) -> anyhow::Result<page::Data> {
    const SNAPSHOTS: u32 = 60;
    let folder = tempfile::tempdir().context("making a folder for the page's network")?;
    let folder = RunFolder::create(&folder.path().join("network"), false)?;
    let mut config = Addition::lab();
    config.run.seed = settings.seed_of(0);
    let options = Options {
        checkpoint_every: Every::Examples(u64::MAX),
        on_divergence: OnDivergence::Stop,
        tensorboard: false,
        snapshots: SNAPSHOTS,
    };
    let mut job = Job::start(config, folder.clone(), options)?;
    while !job.is_done() {
        job.advance()?;
    }
    job.finish("")?;
    if let Some(certificate) = proof(&job.parameters()) {
        write_output(&folder.path().join("certificate.json"), certificate.to_json().as_bytes())?;
    }
    let command =
        format!("cargo xtask train --seed {} --snapshots {SNAPSHOTS}", settings.seed_of(0));
    let mut data = of_run(&folder, &command)?.data;
    data.run = format!("the lab's recipe, seed {}", settings.seed_of(0));
    Ok(data)
}

/// Writes all files; the report, which says that the rest is there, last.
fn keep(
    out: &Path,
    settings: &Settings,
    told: &[Told],
    is_whole: bool,
    html: &str,
) -> anyhow::Result<()> {
    for Picture { name, svg, .. } in told.iter().flat_map(|told| &told.pictures) {
        write_output(&out.join(name), svg.as_bytes())?;
    }
    let study = |told: &Told| {
        let study = told.findings.study();
        json!({
            "study": study.name(),
            "question": study.question(),
            "command": told.command,
            "sentence": told.findings.sentence(),
            "networks": { "done": told.networks.0, "of": told.networks.1 },
            "findings": told.findings,
        })
    };
    let numbers = json!({
        "format": "carry lab 1",
        "settings": settings,
        "stopped": !is_whole,
        "studies": told.iter().map(study).collect::<Vec<Value>>(),
    });
    let mut text = numbers.to_string();
    text.push('\n');
    write_output(&out.join(NUMBERS), text.as_bytes())?;
    write_output(&out.join(REPORT), html.as_bytes())?;
    Ok(())
}
