//! `cargo xtask certify`: proves that a trained network adds numbers of any length.

use crate::chart;
use crate::output::{Progress, line, thousands};
use crate::train::seed_range;
use num_bigint::BigUint;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use train::certify::study::{Kind, Recipe, SIZES, Trial, WORKERS, kinds, study};
use train::certify::{Certificate, EFFORT, Outcome, Verified, certify, check, picture};
use train::run::{RunFolder, write_whole};

/// Prove that a trained network adds any two numbers of any length
///
/// Looks for sets of hidden states that every pair of digits maps into each other, with every
/// output on its right side, for the network as this program runs it in f32. A separate checker
/// decides. What it finds is a proof, kept in the run's folder as certificate.json with a picture
/// in report.svg, or two numbers that the network adds wrongly, or neither.
///
/// Exit code 0 with a proof, 1 without.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask train --certifiable            a network that can be proved
  cargo xtask certify                        prove the latest one
  cargo xtask certify --check runs/0001/certificate.json --run runs/0001
  cargo xtask certify --study --seeds 0..10  how often does it succeed?")]
pub struct Args {
    /// The run whose network is examined [default: the latest under runs/]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// Search nothing; check that this certificate proves the run's network right
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// How long to search: so many sets are taken a step further before it is given up
    #[arg(long, value_name = "N", default_value_t = EFFORT, conflicts_with = "check")]
    effort: u64,

    /// Train and examine many networks: H of 2, 3, 4, 8 and 16, with biases and without, plain
    /// and certifiable training, by one worker and by two on shared parameters (Hogwild!)
    #[arg(long, conflicts_with_all = ["run", "check"])]
    study: bool,

    /// The seeds of the study [default: 0..100]
    #[arg(long, value_name = "FROM..TO", value_parser = seed_range, requires = "study")]
    seeds: Option<Range<u64>>,

    /// The sizes of the study, parted by commas [default: 2,3,4,8,16]
    #[arg(long, value_name = "H,H", value_delimiter = ',', value_parser = studied,
          requires = "study")]
    hidden: Vec<usize>,

    /// The picture of the study
    #[arg(long, value_name = "FILE", default_value = "certify-study.svg", requires = "study")]
    picture: PathBuf,

    /// Print a JSON object as the last line, and nothing else
    #[arg(long)]
    json: bool,
}

fn studied(text: &str) -> Result<usize, String> {
    let hidden = text.parse().ok().filter(|hidden| SIZES.contains(hidden));
    hidden.ok_or_else(|| "one of 2, 3, 4, 8, 16 is needed".to_owned())
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.study {
        return run_study(&args);
    }
    let folder = match &args.run {
        Some(path) => RunFolder::open(path)?,
        None => RunFolder::latest(Path::new("runs"))?,
    };
    match &args.check {
        Some(file) => run_check(&args, &folder, file),
        None => run_search(&args, &folder),
    }
}

/// The sentence that a certificate proves.
fn statement(verified: &Verified) -> String {
    format!(
        "Proved: this network of {} hidden units {} biases, run digit by digit in f32, adds any \
         two whole numbers of any length, every binary digit right.",
        verified.hidden,
        if verified.bias { "with" } else { "without" }
    )
}

fn show(verified: &Verified, seconds: f64) {
    line(statement(verified));
    line(format!(
        "{} nodes, histories of up to {} pairs of digits (k), {} a time, {} sets",
        thousands(verified.nodes as u64),
        verified.history,
        if verified.steps == 1 {
            "1 step at".to_owned()
        } else {
            format!("up to {} steps at", verified.steps)
        },
        if verified.boxes { "plain boxes as" } else { "oriented boxes as" }
    ));
    line(format!(
        "smallest margin {:.4}, the distance from 0 of a sum before its output's sigmoid",
        verified.margin
    ));
    line(format!("{seconds:.2} s"));
}

fn fields(verified: &Verified) -> Value {
    json!({
        "outcome": "certified",
        "statement": statement(verified),
        "hidden": verified.hidden,
        "bias": verified.bias,
        "nodes": verified.nodes,
        "k": verified.history,
        "steps": verified.steps,
        "boxes": verified.boxes,
        "margin": verified.margin,
    })
}

fn run_check(args: &Args, folder: &RunFolder, file: &Path) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    folder.load()?; // a network whose configuration and weights fit
    let model = folder.model_bytes()?;
    let certificate = std::fs::read(file).map_err(|error| {
        anyhow::anyhow!("cannot read the certificate {}: {error}", file.display())
    })?;
    let verified = check(&model, &certificate)?;
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        let mut object = fields(&verified);
        object["seconds"] = seconds.into();
        line(object.to_string());
    } else {
        show(&verified, seconds);
    }
    Ok(ExitCode::SUCCESS)
}

fn run_search(args: &Args, folder: &RunFolder) -> anyhow::Result<ExitCode> {
    let (config, parameters) = folder.load()?;
    let model = folder.model_bytes()?;
    let start = Instant::now();
    let outcome = certify(&parameters, &model, args.effort);
    let seconds = start.elapsed().as_secs_f64();
    let draw = |certificate: Option<&Certificate>| -> anyhow::Result<PathBuf> {
        let title = format!(
            "{} hidden units, seed {}: the states without and with a carry",
            config.hidden, config.seed
        );
        let svg = chart::families(&title, &picture(&parameters, certificate))?;
        let path = folder.path().join("report.svg");
        write_whole(&path, svg.as_bytes())?;
        Ok(path)
    };
    let (object, code) = match outcome {
        Outcome::Certified { certificate, verified } => {
            let path = folder.path().join("certificate.json");
            write_whole(&path, certificate.to_json().as_bytes())?;
            let report = draw(Some(&certificate))?;
            if !args.json {
                show(&verified, seconds);
                line(format!(
                    "The proof is in {}, a picture in {}",
                    path.display(),
                    report.display()
                ));
            }
            let mut object = fields(&verified);
            object["certificate"] = path.display().to_string().into();
            object["report"] = report.display().to_string().into();
            (object, ExitCode::SUCCESS)
        }
        Outcome::Refuted(found) => {
            let report = draw(None)?;
            if !args.json {
                line(format!(
                    "Refuted: the network adds {} and {} wrongly.",
                    short(&found.a),
                    short(&found.b)
                ));
                line(format!(
                    "They have {} binary digits; the lowest {} of any sum are right.",
                    found.bits(),
                    found.right_up_to
                ));
                line(format!(
                    "Try it: cargo xtask add {} {} --run {}",
                    found.a,
                    found.b,
                    folder.path().display()
                ));
                line(format!("{seconds:.2} s"));
            }
            let object = json!({
                "outcome": "counterexample",
                "a": found.a.to_string(),
                "b": found.b.to_string(),
                "bits": found.bits(),
                "right_up_to": found.right_up_to,
                "report": report.display().to_string(),
            });
            (object, ExitCode::FAILURE)
        }
        Outcome::Unknown => {
            let report = draw(None)?;
            if !args.json {
                line("Unknown: neither a proof nor two numbers that are added wrongly were found.");
                line(format!("{seconds:.2} s"));
            }
            let object = json!({ "outcome": "unknown", "report": report.display().to_string() });
            (object, ExitCode::FAILURE)
        }
    };
    if args.json {
        let mut object = object;
        object["seconds"] = seconds.into();
        line(object.to_string());
    }
    Ok(code)
}

/// A number, or how long it is.
fn short(number: &BigUint) -> String {
    let text = number.to_string();
    if text.len() <= 40 { text } else { format!("a number of {} digits", text.len()) }
}

/// What became of the networks of one kind.
struct Summary {
    kind: Kind,
    certified: usize,
    refuted: usize,
    unknown: usize,
    margin: f64,
    k: f64,
    nodes: f64,
    training: f64,
    proof: f64,
}

fn summary(kind: Kind, trials: &[Trial]) -> Summary {
    let verified: Vec<&Verified> = trials
        .iter()
        .filter_map(|trial| match &trial.outcome {
            Outcome::Certified { verified, .. } => Some(verified),
            _ => None,
        })
        .collect();
    let refuted =
        trials.iter().filter(|trial| matches!(trial.outcome, Outcome::Refuted(_))).count();
    let of = |value: fn(&Verified) -> f64| median(verified.iter().map(|verified| value(verified)));
    Summary {
        kind,
        certified: verified.len(),
        refuted,
        unknown: trials.len() - verified.len() - refuted,
        margin: of(|verified| verified.margin),
        k: of(|verified| verified.history as f64),
        nodes: of(|verified| verified.nodes as f64),
        training: median(trials.iter().map(|trial| trial.training)),
        proof: median(trials.iter().map(|trial| trial.proof)),
    }
}

/// The middle value; NaN of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn name(kind: Kind) -> String {
    let recipe = match kind.recipe {
        Recipe::Plain => "plain",
        Recipe::Certifiable => "certifiable",
    };
    format!("{recipe}{}", if kind.hogwild { ", Hogwild!" } else { "" })
}

fn run_study(args: &Args) -> anyhow::Result<ExitCode> {
    let seeds = args.seeds.clone().unwrap_or(0..100);
    let mut kinds = kinds();
    if !args.hidden.is_empty() {
        kinds.retain(|kind| args.hidden.contains(&kind.hidden));
    }
    let count = seeds.end - seeds.start;
    let progress = Progress::new(count * kinds.len() as u64, "networks");
    if !args.json {
        progress.line(format!(
            "{:>3}  {:<7}  {:<22}  {:>9}  {:>7}  {:>7}  {:>7}  {:>4}  {:>6}  {:>10}  {:>7}",
            "H",
            "biases",
            "training",
            "certified",
            "refuted",
            "unknown",
            "margin",
            "k",
            "nodes",
            "training s",
            "proof s"
        ));
    }
    let mut summaries = Vec::new();
    for kind in kinds {
        progress.say(format!("H = {}, {}", kind.hidden, name(kind)));
        let trials = study(kind, seeds.clone(), args.effort, || progress.add(1))?;
        let row = summary(kind, &trials);
        if !args.json {
            let number = |value: f64, digits: usize| match value.is_nan() {
                true => "·".to_owned(),
                false => format!("{value:.digits$}"),
            };
            progress.line(format!(
                "{:>3}  {:<7}  {:<22}  {:>9}  {:>7}  {:>7}  {:>7}  {:>4}  {:>6}  {:>10.2}  {:>7.2}",
                kind.hidden,
                if kind.bias { "with" } else { "without" },
                name(kind),
                row.certified,
                row.refuted,
                row.unknown,
                number(row.margin, 2),
                number(row.k, 0),
                number(row.nodes, 0),
                row.training,
                row.proof
            ));
        }
        summaries.push(row);
    }
    progress.finish();
    let bars: Vec<_> = summaries
        .iter()
        .map(|row| {
            let bias = if row.kind.bias { ", biases" } else { "" };
            let label = format!("{} {}{bias}", row.kind.hidden, name(row.kind));
            (label, [row.certified, row.refuted, row.unknown])
        })
        .collect();
    let svg = chart::shares(&format!("Proved, refuted, unknown: {count} seeds each"), &bars)?;
    write_whole(&args.picture, svg.as_bytes())?;
    if args.json {
        let finite = |value: f64| if value.is_nan() { Value::Null } else { value.into() };
        let rows: Vec<Value> = summaries
            .iter()
            .map(|row| {
                json!({
                    "hidden": row.kind.hidden,
                    "bias": row.kind.bias,
                    "training": match row.kind.recipe {
                        Recipe::Plain => "plain",
                        Recipe::Certifiable => "certifiable",
                    },
                    "workers": if row.kind.hogwild { WORKERS } else { 1 },
                    "certified": row.certified,
                    "refuted": row.refuted,
                    "unknown": row.unknown,
                    "margin": finite(row.margin),
                    "k": finite(row.k),
                    "nodes": finite(row.nodes),
                    "training_seconds": row.training,
                    "proof_seconds": row.proof,
                })
            })
            .collect();
        line(
            json!({ "seeds": count, "effort": args.effort, "rows": rows, "picture": args.picture })
                .to_string(),
        );
    } else {
        line(format!("The picture is {}", args.picture.display()));
    }
    Ok(ExitCode::SUCCESS)
}
