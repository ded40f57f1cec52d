//! `cargo xtask evaluate`: what another text costs a network.

use crate::output::{line, thousands, warn};
use crate::paths::shown;
use crate::runs;
use crate::sample::of_text;
use serde_json::json;
use std::f64::consts::LN_2;
use std::path::PathBuf;
use std::process::ExitCode;
use train::data_file::DataFile;
use train::task::Task;
use train::task::text::{Symbols, Text, Unit};

/// Measure how well a network that learned a text tells the symbols of another
///
/// Every symbol but the first is asked for, from all that came before it. Characters that the network
/// never saw are left out, and counted; words that it does not know count as `<unk>`.
#[derive(clap::Args)]
#[command(
    override_usage = "cargo xtask evaluate [OPTIONS] [RUN] <FILE>",
    after_help = "\
Examples:
  cargo xtask evaluate other.txt             by the latest run
  cargo xtask evaluate runs/0003 other.txt --json"
)]
pub struct Args {
    /// The run of a text [default: the latest run], and the file
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    paths: Vec<PathBuf>,

    /// Print a JSON object as the last line
    #[arg(long)]
    json: bool,
}

/// Measures.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (run, file) = runs::run_and_file(&args.paths);
    let folder = runs::open(run, &[Text::NAME], true)?;
    of_text(&folder, "judge a text")?;
    let (config, parameters) = folder.load::<Text>()?;
    let text = config.task;
    let (data, bytes) = DataFile::read(file)?;
    if let Some(then) = text.files().iter().find(|then| then.path == data.path) {
        if then.sha256 == data.sha256 {
            warn(format!("note: {} is what the network learned from", shown(file)));
        } else {
            warn(format!("warning: {} has changed since the training began", shown(file)));
        }
    }
    let vocabulary = text.vocabulary();
    let encoded = vocabulary.encode(&bytes).map_err(|error| train::Error::Data {
        path: file.clone(),
        reason: format!("is no text: {error}"),
    })?;
    let symbols = Symbols::new(vocabulary.len(), &encoded.symbols);
    if symbols.len() < 2 {
        let reason =
            format!("has {} symbols that the network knows; at least 2 are needed", symbols.len());
        return Err(train::Error::Data { path: file.clone(), reason }.into());
    }
    let loss = text.loss_on(&parameters, &symbols);
    let unit = vocabulary.unit();
    line(format!(
        "{} {}s cost {} each",
        thousands(symbols.len() as u64 - 1),
        unit.name(),
        text.in_words(loss)
    ));
    if encoded.unknown > 0 {
        let names: Vec<_> = encoded.examples.iter().map(|name| format!("{name:?}")).collect();
        let what = if unit == Unit::Word { "count as <unk>" } else { "were left out" };
        line(format!(
            "{} that the network does not know {what}: {}{}",
            thousands(encoded.unknown),
            names.join(", "),
            if encoded.unknown > names.len() as u64 { ", …" } else { "" }
        ));
    }
    if args.json {
        let object = json!({
            "task": Text::NAME,
            "unit": unit,
            "symbols": symbols.len() - 1,
            "nats": loss,
            "bits": loss / LN_2,
            "unknown": encoded.unknown,
            "unknown_examples": encoded.examples,
            "run": folder.path().display().to_string(),
        });
        line(object.to_string());
    }
    Ok(ExitCode::SUCCESS)
}
