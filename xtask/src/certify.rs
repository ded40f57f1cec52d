//! `cargo xtask certify`: proves that a trained network adds numbers of any length, or answers as a
//! machine does.

use crate::Usage;
use crate::add::{ADDING, Adding, adding};
use crate::chart;
use crate::numbers::whole;
use crate::output::{Progress, line, thousands, warn};
use crate::paths::{quoted, shown};
use crate::run::{READING, Reading, reading};
use crate::runs;
use crate::train::seed_range;
use crate::{interrupt, ranks};
use anyhow::bail;
use certify::ibp::MachineIbp;
use certify::study::{
    Kind, Quartiles, Recipe, SIZES, Studied, Summary, Trial, TrialsFile, WORKERS, follow_study,
    kinds, kinds_of, lead_study, study,
};
use certify::{BUDGET, Counterexample, Machine, Outcome, certify, machine_of, picture};
use model::Parameters;
use num_bigint::BigUint;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;
use train::atomic_file::{is_standard_output, try_output, write_output};
use train::run_folder::RunFolder;
use verify::{Cell, Verified, check, check_exact};

/// Prove that a trained network adds any two numbers of any length, or answers as its machine
///
/// Looks for abstract states, sets of hidden states, that every pair of digits (of another machine:
/// every symbol) maps into each other, with every output on its right side, for the network as this program runs it in f32. A
/// separate checker decides. What it finds is a proof, kept in the run's folder as certificate.json with a picture
/// in report.svg, or two numbers that the network adds wrongly (a word that it answers wrongly), or
/// neither.
///
/// Exit code 0 with a proof, 1 without.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask train --certifiable            a network that can be proved
  cargo xtask certify                        prove the latest one
  cargo xtask certify --check runs/0001/certificate.json --run runs/0001
  cargo xtask certify --check runs/0001/certificate.json --run runs/0001 --exact
  cargo xtask certify --study --seeds 0..10  how often does it succeed?
  cargo xtask certify --study --hidden 16 --recipe certifiable --biases without
  cargo xtask certify --study --machine tomita-5,lock --seeds 0..5
  cargo xtask certify --study --machine all --cell sigmoid,tanh

A study appends every trial to a file (--trials) as it ends. Stopped and started again, it goes
on from there: trials of the same kind, seed and budget are not repeated. With more seeds or
sizes it makes what is missing. The trials of a program that was changed since belong into
another file.")]
pub struct Args {
    /// The run whose network is examined [default: the latest under runs/]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// Search nothing; check that this certificate proves the run's network right
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// Check in exact arithmetic, some hundred times slower
    #[arg(long, requires = "check")]
    exact: bool,

    /// How long to search: so many abstract states are propagated a step before it is given up
    #[arg(long, value_name = "N", default_value_t = BUDGET, visible_alias = "effort",
          value_parser = whole::<u64>(0..=u64::MAX), conflicts_with = "check",
          allow_negative_numbers = true)]
    budget: u64,

    /// Train and examine many networks: H of 2, 3, 4, 8 and 16, with biases and without, plain
    /// and certifiable training, by one worker and by two on shared parameters (Hogwild!)
    #[arg(long, conflicts_with_all = ["run", "check"])]
    study: bool,

    /// Study networks that learn these machines instead, parted by commas: names as `train machine`
    /// has them, `random` for another one from each seed, `all` for all of these
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', value_parser = machines,
          requires = "study", conflicts_with_all = ["biases", "workers"])]
    machine: Vec<Machines>,

    /// The cells of the networks that learn a machine, parted by commas [default: sigmoid]
    #[arg(long, value_name = "CELL,CELL", value_delimiter = ',', value_parser = cell,
          requires = "machine")]
    cell: Vec<Cell>,

    /// The seeds of the study [default: 0..100, of machines 0..20]
    #[arg(long, value_name = "FROM..TO", value_parser = seed_range, requires = "study",
          allow_hyphen_values = true)]
    seeds: Option<Range<u64>>,

    /// The sizes of the study, parted by commas [default: 2,3,4,8,16, of machines 32]
    #[arg(long, value_name = "H,H", value_delimiter = ',', value_parser = studied,
          requires = "study", allow_hyphen_values = true)]
    hidden: Vec<usize>,

    /// Only networks with biases, or without
    #[arg(long, value_name = "with|without", value_parser = biases, requires = "study")]
    biases: Option<bool>,

    /// Only plain training, or certifiable training; of machines certifiable, if nothing is said
    #[arg(long, value_name = "plain|certifiable", value_parser = recipe, requires = "study")]
    recipe: Option<Recipe>,

    /// Only training by one worker, or by two (Hogwild!)
    #[arg(long, value_name = "1|2", value_parser = workers, requires = "study",
          allow_hyphen_values = true)]
    workers: Option<usize>,

    /// The trials of the study, a JSON object a line; those in it are not repeated
    #[arg(long, value_name = "FILE", default_value = "certify-study.jsonl", requires = "study")]
    trials: PathBuf,

    /// The picture of the study
    #[arg(long, value_name = "FILE", default_value = "certify-study.svg", requires = "study")]
    picture: PathBuf,

    /// Print a JSON object as the last line, and nothing else
    #[arg(long)]
    json: bool,
}

/// The largest H of a study of machines.
const MOST_HIDDEN: usize = 128;

fn studied(text: &str) -> Result<usize, String> {
    let hidden = text.parse().ok().filter(|hidden| (1..=MOST_HIDDEN).contains(hidden));
    hidden.ok_or_else(|| format!("one of 2, 3, 4, 8, 16 is needed, of machines 1 to {MOST_HIDDEN}"))
}

/// What one name of `--machine` stands for.
#[derive(Clone)]
struct Machines(Vec<Studied>);

fn machines(text: &str) -> Result<Machines, String> {
    if text == "all" {
        return Ok(Machines(Studied::all().collect()));
    }
    text.parse().map(|studied| Machines(vec![studied]))
}

fn cell(text: &str) -> Result<Cell, String> {
    let found = CELLS.into_iter().find(|&cell| cell_name(cell) == text);
    found.ok_or_else(|| "one of sigmoid, tanh, relu, gru, lstm is needed".to_owned())
}

/// The cells of a study.
const CELLS: [Cell; 5] = [Cell::Sigmoid, Cell::Tanh, Cell::Relu, Cell::Gru, Cell::Lstm];

fn cell_name(cell: Cell) -> &'static str {
    match cell {
        Cell::Sigmoid => "sigmoid",
        Cell::Tanh => "tanh",
        Cell::Relu => "relu",
        Cell::Gru => "gru",
        Cell::Lstm => "lstm",
    }
}

fn biases(text: &str) -> Result<bool, String> {
    match text {
        "with" => Ok(true),
        "without" => Ok(false),
        _ => Err("with or without is needed".to_owned()),
    }
}

fn recipe(text: &str) -> Result<Recipe, String> {
    let of_name = |&recipe: &Recipe| recipe_name(recipe) == text;
    let found = [Recipe::Plain, Recipe::Certifiable].into_iter().find(of_name);
    found.ok_or_else(|| "plain or certifiable is needed".to_owned())
}

fn workers(text: &str) -> Result<usize, String> {
    let workers = text.parse().ok().filter(|workers| [1, WORKERS].contains(workers));
    workers.ok_or_else(|| format!("1 or {WORKERS} is needed"))
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    if args.study {
        return run_study(&args);
    }
    let folder = runs::open(args.run.as_deref(), &PROVABLE, !args.json)?;
    match &args.check {
        Some(file) => run_check(&args, &folder, file),
        None => run_search(&args, &folder),
    }
}

/// The sentence that a certificate proves.
fn show(verified: &Verified) {
    line(verified.statement());
    let symbols = if verified.machine.is_addition() { "pairs of digits" } else { "symbols" };
    line(format!(
        "{} nodes, abstract states of {} pieces, histories of up to {} {symbols} (k), {} a time, {}",
        thousands(verified.nodes as u64),
        thousands(verified.pieces as u64),
        verified.history,
        if verified.steps == 1 {
            "1 step at".to_owned()
        } else {
            format!("up to {} steps at", verified.steps)
        },
        if verified.boxes { "plain boxes" } else { "along principal axes" }
    ));
    let of = match verified.machine.head_outputs() {
        1 => "the distance from 0 of a sum before its output's sigmoid",
        _ => "by which the sum of the right output is above all others",
    };
    line(format!("smallest margin {:.4}, {of}", verified.margin));
}

fn fields(verified: &Verified) -> Value {
    json!({
        "outcome": "certified",
        "statement": verified.statement(),
        "hidden": verified.hidden,
        "bias": verified.bias,
        "nodes": verified.nodes,
        "cells": verified.pieces,
        "k": verified.history,
        "steps": verified.steps,
        "boxes": verified.boxes,
        "margin": verified.margin,
    })
}

fn run_check(args: &Args, folder: &RunFolder, file: &Path) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let Provable { cell, machine, .. } = provable(folder)?; // its configuration and weights fit
    let model = folder.model_bytes()?;
    let certificate = std::fs::read(file)
        .map_err(|error| anyhow::anyhow!("cannot read the certificate {}: {error}", shown(file)))?;
    let checked = if args.exact { check_exact } else { check };
    let verified = checked(&model, &certificate)?;
    // The file of a network tells neither its cell nor its task: the run does.
    if verified.cell != cell || !verified.machine.does_as(&machine) {
        bail!(
            "the certificate is refused: it is about {} units and the machine {:?}; the network of \
             {} has {} units and learned the machine {:?}",
            verified.cell.name(),
            verified.machine.name(),
            shown(folder.path()),
            cell.name(),
            machine.name()
        );
    }
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        let mut object = fields(&verified);
        object["seconds"] = seconds.into();
        if args.exact {
            object["exact"] = true.into();
        }
        line(object.to_string());
    } else {
        show(&verified);
        let how = if args.exact { ", in exact arithmetic" } else { "" };
        line(format!("{seconds:.2} s{how}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The tasks whose networks can be proved.
const PROVABLE: [&str; 4] = [ADDING[0], ADDING[1], READING[0], READING[1]];

/// A network of which a proof can be looked for.
struct Provable {
    seed: u64,
    parameters: Parameters,
    cell: Cell,
    /// What it learned.
    machine: Machine,
    /// Whether `add` shows what it does, and not `run`.
    adds: bool,
}

fn provable(folder: &RunFolder) -> anyhow::Result<Provable> {
    let adds = !READING.contains(&&*folder.task_name()?);
    let (seed, parameters, machine) = if !adds {
        let Reading { words, seed, parameters } = reading(folder)?;
        let machine = machine_of(words.machine()).map_err(|reason| {
            Usage(format!(
                "the machine {} of {} cannot be proved: {reason}",
                words.machine().name(),
                shown(folder.path())
            ))
        })?;
        (seed, parameters, machine)
    } else {
        let Adding { seed, parameters, .. } = adding(folder)?;
        (seed, parameters, Machine::addition())
    };
    match certify::provable(parameters.config(), &machine) {
        Ok(cell) => Ok(Provable { seed, parameters, cell, machine, adds }),
        Err(reason) => Err(Usage(format!(
            "only networks of one layer can be proved; that of {} {reason}",
            shown(folder.path())
        ))
        .into()),
    }
}

fn run_search(args: &Args, folder: &RunFolder) -> anyhow::Result<ExitCode> {
    let Provable { seed, parameters, machine, adds, .. } = provable(folder)?;
    let model = folder.model_bytes()?;
    let [proof, report] = ["certificate.json", "report.svg"].map(|name| folder.path().join(name));
    for path in [&proof, &report] {
        try_output(path)?;
    }
    let start = Instant::now();
    let outcome = interrupt::unless_asked({
        let (parameters, machine, budget) = (parameters.clone(), machine.clone(), args.budget);
        move || certify(&parameters, &machine, &model, budget)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let Some(outcome) = outcome else {
        if args.json {
            line(json!({ "outcome": "stopped", "seconds": seconds }).to_string());
        }
        warn(format!(
            "stopped after {seconds:.2} s of search: neither a proof nor {} wrongly were found by then",
            if machine.is_addition() {
                "two numbers that are added"
            } else {
                "a word that is answered"
            }
        ));
        return Ok(interrupt::exit_code());
    };

    // What was found is said first, whatever becomes of the files.
    if !args.json {
        show_outcome(&outcome, &machine);
        if let Outcome::Refuted(found) = &outcome {
            line(try_it(found, &machine, adds, folder.path()));
        }
        line(format!("{seconds:.2} s"));
    }
    let certificate = match &outcome {
        Outcome::Certified { certificate, .. } => Some(certificate),
        _ => None,
    };
    let keep = || -> anyhow::Result<()> {
        if let Some(certificate) = certificate {
            write_output(&proof, certificate.to_json().as_bytes())?;
        }
        let hidden = parameters.config().hidden();
        let (title, names) = if machine.is_addition() {
            let title =
                format!("{hidden} hidden units, seed {seed}: the states without and with a carry");
            (title, ["no carry", "carry"].map(str::to_owned).to_vec())
        } else {
            let title =
                format!("{hidden} hidden units, seed {seed}: the states of {:?}", machine.name());
            (title, machine.states().to_vec())
        };
        let svg = chart::families(&title, &names, &picture(&parameters, &machine, certificate))?;
        write_output(&report, svg.as_bytes())?;
        Ok(())
    };
    let kept = keep();
    if args.json {
        let mut object = outcome_fields(&outcome, &machine);
        object["seconds"] = seconds.into();
        match &kept {
            Ok(()) => {
                if certificate.is_some() {
                    object["certificate"] = proof.display().to_string().into();
                }
                object["report"] = report.display().to_string().into();
            }
            Err(error) => object["error"] = format!("{error:#}").into(),
        }
        line(object.to_string());
    } else if kept.is_ok() && certificate.is_some() {
        line(format!("The proof is in {}, a picture in {}", shown(&proof), shown(&report)));
    }
    kept?;
    Ok(if certificate.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show_outcome(outcome: &Outcome, machine: &Machine) {
    match outcome {
        Outcome::Certified { verified, .. } => show(verified),
        Outcome::Refuted(found) if !machine.is_addition() => {
            line(format!(
                "Refuted: the network answers the last symbol of this word wrongly: {}",
                found.spell(machine)
            ));
            line(format!(
                "It has {} symbols; all answers to words of up to {} are right{}.",
                found.length(machine),
                found.right_up_to,
                so_shortest(found)
            ));
        }
        Outcome::Refuted(found) => {
            let [a, b] = found.operands();
            line(format!("Refuted: the network adds {} and {} wrongly.", short(&a), short(&b)));
            line(format!(
                "They have {} binary digits; the lowest {} of any sum are right{}.",
                found.length(machine),
                found.right_up_to,
                so_shortest(found)
            ));
        }
        Outcome::Unknown if !machine.is_addition() => {
            line("Unknown: neither a proof nor a word that is answered wrongly were found.");
        }
        Outcome::Unknown => {
            line("Unknown: neither a proof nor two numbers that are added wrongly were found.");
        }
    }
}

/// What it means that all shorter ones are right, if they are known to be.
fn so_shortest(found: &Counterexample) -> &'static str {
    if found.is_shortest() { ", and no shorter one is wrong" } else { "" }
}

fn outcome_fields(outcome: &Outcome, machine: &Machine) -> Value {
    match outcome {
        Outcome::Certified { verified, .. } => fields(verified),
        Outcome::Refuted(found) if !machine.is_addition() => json!({
            "outcome": "counterexample",
            "word": found.spell(machine),
            "symbols": found.length(machine),
            "right_up_to": found.right_up_to,
            "shortest": found.is_shortest(),
        }),
        Outcome::Refuted(found) => {
            let [a, b] = found.operands();
            json!({
                "outcome": "counterexample",
                "a": a.to_string(),
                "b": b.to_string(),
                "bits": found.length(machine),
                "right_up_to": found.right_up_to,
            "shortest": found.is_shortest(),
            })
        }
        Outcome::Unknown => json!({ "outcome": "unknown" }),
    }
}

/// A line for a shell that shows the network go wrong.
fn try_it(found: &Counterexample, machine: &Machine, adds: bool, run: &Path) -> String {
    let run = quoted(run);
    if !adds {
        let word = found.spell(machine);
        return format!("Try it: cargo xtask run {} --run {run}", quoted(Path::new(&word)));
    }
    let [a, b] = found.operands().map(|operand| operand.to_string());
    if a.len().max(b.len()) <= MOST_ARGUMENT {
        format!("Try it: cargo xtask add {a} {b} --run {run}")
    } else {
        // Linux takes no argument of 128 KiB or more.
        format!("Try it: printf '%s\\n' {a} {b} | cargo xtask add - - --run {run}")
    }
}

/// The longest number that is written as an argument.
const MOST_ARGUMENT: usize = 100_000;

/// A number, or how long it is.
fn short(number: &BigUint) -> String {
    let text = number.to_string();
    if text.len() <= 40 { text } else { format!("a number of {} digits", text.len()) }
}

fn recipe_name(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::Plain => "plain",
        Recipe::Certifiable => "certifiable",
    }
}

/// How networks of a kind are trained.
fn training(kind: Kind) -> String {
    format!("{}{}", recipe_name(kind.recipe), if kind.hogwild { ", Hogwild!" } else { "" })
}

fn with_or_without(bias: bool) -> &'static str {
    if bias { "with" } else { "without" }
}

/// The trials of a study so far, and the rows of its table that are printed: those of the
/// first kinds, as far as these are complete.
struct Study<'a> {
    kinds: &'a [Kind],
    /// Trials of a kind that is complete.
    seeds: usize,
    trials: Vec<Trial>,
    rows: Vec<Summary>,
}

impl Study<'_> {
    /// The rows that have become complete.
    fn complete(&mut self) -> &[Summary] {
        let printed = self.rows.len();
        for &kind in &self.kinds[printed..] {
            let row = Summary::new(kind, &self.trials);
            if row.trials < self.seeds {
                break;
            }
            self.rows.push(row);
        }
        &self.rows[printed..]
    }

    /// The rows that were begun and are not complete.
    fn rest(&mut self) -> &[Summary] {
        let printed = self.rows.len();
        let rest = self.kinds[printed..].iter().map(|&kind| Summary::new(kind, &self.trials));
        let begun: Vec<Summary> = rest.filter(|row| row.trials > 0).collect();
        self.rows.extend(begun);
        &self.rows[printed..]
    }
}

/// The kinds of networks that are asked for.
fn asked_kinds(args: &Args) -> anyhow::Result<Vec<Kind>> {
    if args.machine.is_empty() {
        if let Some(hidden) = args.hidden.iter().find(|hidden| !SIZES.contains(hidden)) {
            return Err(Usage(format!(
                "--hidden {hidden}: the study of addition has networks of 2, 3, 4, 8 and 16 units; \
                 give one of these, or --machine"
            ))
            .into());
        }
        let mut kinds = kinds();
        kinds.retain(|kind| {
            (args.hidden.is_empty() || args.hidden.contains(&kind.hidden))
                && args.biases.is_none_or(|bias| bias == kind.bias)
                && args.recipe.is_none_or(|recipe| recipe == kind.recipe)
                && args.workers.is_none_or(|workers| workers == kind.workers())
        });
        return Ok(kinds);
    }
    // A machine, cell or size that is named twice counts once.
    let mut machines: Vec<Studied> = Vec::new();
    for &machine in args.machine.iter().flat_map(|machines| &machines.0) {
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    let or =
        |given: &[usize]| if given.is_empty() { vec![MachineIbp::HIDDEN] } else { given.to_vec() };
    let cells = if args.cell.is_empty() { vec![Cell::Sigmoid] } else { args.cell.clone() };
    let recipe = args.recipe.unwrap_or(Recipe::Certifiable);
    let mut seen = HashSet::new();
    let mut kinds = kinds_of(&machines, &cells, &or(&args.hidden), &[recipe]);
    kinds.retain(|&kind| seen.insert(kind));
    Ok(kinds)
}

impl Args {
    /// Is it many networks, which several ranks share?
    pub fn is_study(&self) -> bool {
        self.study
    }
}

fn run_study(args: &Args) -> anyhow::Result<ExitCode> {
    let ranks = ranks::transport().filter(|transport| transport.ranks() > 1);
    if let Some(transport) = ranks.as_ref().filter(|transport| transport.rank() > 0) {
        // Rank 0 has the files, and says everything.
        follow_study(&**transport, args.budget, interrupt::asked);
        return Ok(if interrupt::asked() { interrupt::exit_code() } else { ExitCode::SUCCESS });
    }
    let is_of_machines = !args.machine.is_empty();
    let seeds = args.seeds.clone().unwrap_or(if is_of_machines { 0..20 } else { 0..100 });
    let kinds = asked_kinds(args)?;
    let all = || kinds.iter().flat_map(|&kind| seeds.clone().map(move |seed| (kind, seed)));

    try_output(&args.picture)?;
    let (file, found) = TrialsFile::open(&args.trials)?;
    if let Some(number) = found.unfinished {
        let path = shown(&args.trials);
        warn(format!("{path}: line {number}, the last, was unfinished and is dropped"));
    }
    let mut trials: Vec<Trial> = Vec::new();
    let mut done = HashSet::new();
    let asked: HashSet<(Kind, u64)> = all().collect();
    for trial in found.trials {
        let key = (trial.kind, trial.seed);
        // One that is there twice, such as in files that were joined, counts once.
        if trial.budget == args.budget && asked.contains(&key) && done.insert(key) {
            trials.push(trial);
        }
    }
    let jobs: Vec<(Kind, u64)> = all().filter(|job| !done.contains(job)).collect();
    let count = seeds.end - seeds.start;
    let mut progress =
        if args.json { Progress::none() } else { Progress::new(asked.len() as u64, "networks") };
    progress.begin_at(done.len() as u64);
    if !args.json {
        if !done.is_empty() {
            line(format!(
                "{} of {} trials are in {} already",
                thousands(done.len() as u64),
                thousands(asked.len() as u64),
                shown(&args.trials)
            ));
        }
        line(header(is_of_machines));
    }
    let mut study_so_far = Study { kinds: &kinds, seeds: count as usize, trials, rows: Vec::new() };
    let print = |rows: &[Summary]| {
        if !args.json {
            rows.iter().for_each(|summary| progress.line(row(summary)));
        }
    };
    print(study_so_far.complete());
    let shared = Mutex::new((file, study_so_far));
    let ended = |trial: Trial| {
        let (file, study_so_far) = &mut *shared.lock().expect("nobody panics with it");
        let appended = file.append(&trial);
        study_so_far.trials.push(trial);
        progress.say(format!("H = {}, {}", trial.kind.hidden, what(trial.kind)));
        progress.add(1);
        print(study_so_far.complete());
        appended
    };
    let studied = interrupt::while_saying_that_it_stops(|| match &ranks {
        None => study(&jobs, args.budget, interrupt::asked, ended),
        Some(transport) => lead_study(&**transport, &jobs, args.budget, interrupt::asked, ended),
    });
    progress.finish();
    let (_, mut study_so_far) = shared.into_inner().expect("nobody panics with it");
    let ended = study_so_far.trials.len();
    let is_whole = ended == asked.len();
    if !is_whole {
        print(study_so_far.rest());
    }
    let rows = study_so_far.rows;

    let bars: Vec<chart::Share> = rows
        .iter()
        .map(|row| chart::Share {
            hidden: row.kind.hidden,
            of: match row.kind.machine {
                Some(machine) => machine.to_string(),
                None => with_or_without(row.kind.bias).to_owned(),
            },
            training: match row.kind.machine {
                Some(_) => format!("{}, {}", cell_name(row.kind.cell), training(row.kind)),
                None => training(row.kind),
            },
            counts: [row.certified, row.refuted, row.unknown],
        })
        .collect();
    // A picture of a part would look like one of the whole.
    let draw = || -> anyhow::Result<()> {
        let svg = chart::shares(
            &format!("How many networks are proved or refuted: {count} seeds each"),
            if is_of_machines { "machine" } else { "biases" },
            &bars,
        )?;
        write_output(&args.picture, svg.as_bytes())?;
        Ok(())
    };
    let kept =
        studied.map_err(anyhow::Error::from).and_then(|()| if is_whole { draw() } else { Ok(()) });
    if args.json {
        let mut object = json!({
            "seeds": [seeds.start, seeds.end],
            "effort": args.budget,
            "rows": rows.iter().map(row_fields).collect::<Vec<Value>>(),
            "trials": args.trials.display().to_string(),
        });
        match &kept {
            Err(error) => object["error"] = format!("{error:#}").into(),
            Ok(()) if is_whole => object["picture"] = args.picture.display().to_string().into(),
            Ok(()) => object["stopped"] = true.into(),
        }
        line(object.to_string());
    } else if kept.is_ok() && is_whole && !is_standard_output(&args.picture) {
        line(format!(
            "The trials are in {}, the picture is {}",
            shown(&args.trials),
            shown(&args.picture)
        ));
    }
    kept?;
    if !is_whole {
        warn(format!(
            "stopped: {} of {} trials are in {}; the same command goes on",
            thousands(ended as u64),
            thousands(asked.len() as u64),
            shown(&args.trials)
        ));
        return Ok(interrupt::exit_code());
    }
    Ok(ExitCode::SUCCESS)
}

/// The head of the table; margins, k, nodes and seconds are medians.
fn header(is_of_machines: bool) -> String {
    let first = if is_of_machines { "machine        cell   " } else { "biases " };
    format!(
        "  H  {first}  training                certified  refuted  unknown   margin     k   nodes  \
         training s  proof s"
    )
}

/// How networks of a kind are trained, and for which machine.
fn what(kind: Kind) -> String {
    match kind.machine {
        Some(machine) => format!("{machine}, {}, {}", cell_name(kind.cell), training(kind)),
        None => training(kind),
    }
}

/// A row of it.
fn row(summary: &Summary) -> String {
    let number = |quartiles: Option<Quartiles>, digits: usize| {
        quartiles.map_or("·".to_owned(), |quartiles| format!("{:.digits$}", quartiles.median))
    };
    let first = match summary.kind.machine {
        Some(machine) => format!("{machine:<13}  {:<7}", cell_name(summary.kind.cell)),
        None => format!("{:<7}", with_or_without(summary.kind.bias)),
    };
    format!(
        "{:>3}  {first}  {:<22}  {:>9}  {:>7}  {:>7}  {:>7}  {:>4}  {:>6}  {:>10}  {:>7}",
        summary.kind.hidden,
        training(summary.kind),
        summary.certified,
        summary.refuted,
        summary.unknown,
        number(summary.margin, 2),
        number(summary.k, 0),
        number(summary.nodes, 0),
        number(summary.training_seconds, 2),
        number(summary.proof_seconds, 2)
    )
}

/// A summary with shares beside its counts.
fn row_fields(summary: &Summary) -> Value {
    let mut object = serde_json::to_value(summary).expect("numbers and names");
    for (name, count) in [
        ("share_certified", summary.certified),
        ("share_refuted", summary.refuted),
        ("share_unknown", summary.unknown),
    ] {
        object[name] = (count as f64 / summary.trials as f64).into();
    }
    object
}
