//! `cargo xtask sample`: a network that learned a text writes.

use crate::numbers::whole;
use crate::output::raw;
use crate::paths::shown;
use crate::{Usage, interrupt, runs};
use anyhow::bail;
use std::path::PathBuf;
use std::process::ExitCode;
use train::run_folder::RunFolder;
use train::task::Task;
use train::task::text::{Sampler, Text, Unit, Vocabulary};

/// Let a network that learned a text write one, symbol by symbol
///
/// The text goes to standard output as it is made: behind the prompt, which comes first, or else
/// as behind the end of a line.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask sample                         of the latest run
  cargo xtask sample runs/0003 --prompt 'To be' --length 200
  cargo xtask sample --temperature 0.5 --top-k 5 --seed 7
  cargo xtask sample --length 1000000 | head -c 1000")]
pub struct Args {
    /// The run of a text [default: the latest run]
    run: Option<PathBuf>,

    /// What the text begins with
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,

    /// Symbols to write
    #[arg(long, default_value_t = 500, value_parser = whole::<u64>(0..=u64::MAX),
          allow_negative_numbers = true)]
    length: u64,

    /// How bold it is: 0 takes the likeliest symbol each time, 1 as often as it was learned
    #[arg(long, default_value_t = 0.8, value_parser = temperature, allow_negative_numbers = true)]
    temperature: f64,

    /// Take one of the K likeliest symbols only [default: of all]
    #[arg(long, value_name = "K", value_parser = whole::<usize>(1..=u64::MAX),
          allow_negative_numbers = true)]
    top_k: Option<usize>,

    /// The number that all randomness comes from
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX),
          allow_negative_numbers = true)]
    seed: u64,
}

fn temperature(text: &str) -> Result<f64, String> {
    let temperature = text.parse().ok().filter(|&t: &f64| t >= 0.0 && t.is_finite());
    temperature.ok_or_else(|| "a finite number, 0 or above, is needed, such as 0.8".to_owned())
}

/// Writes.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    let folder = runs::open(args.run.as_deref(), &[Text::NAME], true)?;
    of_text(&folder, "write")?;
    let (config, parameters) = folder.load::<Text>()?;
    let (text, top_k) = (config.task, args.top_k.unwrap_or(usize::MAX));
    let vocabulary = text.vocabulary();
    let prompt = match &args.prompt {
        Some(prompt) => known(prompt, vocabulary)?,
        None => Vec::new(),
    };
    let mut sampler = Sampler::new(parameters, args.temperature, top_k, args.seed)?;
    let mut before = None;
    let mut bytes = Vec::new();
    for &symbol in &prompt {
        sampler.read(symbol)?;
        vocabulary.decode_to(before, symbol, &mut bytes);
        before = Some(symbol);
    }
    if prompt.is_empty() {
        sampler.read(text.first_symbol())?;
    }
    for _ in 0..args.length {
        if !raw(&bytes) {
            return Ok(ExitCode::SUCCESS); // nobody reads on
        }
        if interrupt::asked() {
            return Ok(interrupt::exit_code());
        }
        bytes.clear();
        let symbol = sampler.write();
        vocabulary.decode_to(before, symbol, &mut bytes);
        before = Some(symbol);
    }
    bytes.push(b'\n');
    raw(&bytes);
    Ok(ExitCode::SUCCESS)
}

/// Refuses the run of another task than text, which cannot `act`.
pub fn of_text(folder: &RunFolder, act: &str) -> anyhow::Result<()> {
    let name = folder.task_name()?;
    if name == Text::NAME {
        return Ok(());
    }
    bail!(
        "the network of {} learned the task {name} and cannot {act}; train one with `cargo xtask \
         train text FILE`",
        shown(folder.path())
    )
}

/// The symbols of `prompt`, which must all be known.
fn known(prompt: &str, vocabulary: &Vocabulary) -> anyhow::Result<Vec<u32>> {
    let encoded = vocabulary.encode(prompt.as_bytes())?;
    if encoded.unknown > 0 && vocabulary.unit() == Unit::Char {
        return Err(Usage(format!(
            "--prompt has characters that the network never saw: {}; leave them out",
            encoded
                .examples
                .iter()
                .map(|symbol| format!("{symbol:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .into());
    }
    Ok(encoded.symbols)
}
