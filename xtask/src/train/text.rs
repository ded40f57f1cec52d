//! `cargo xtask train text`: a network that tells the next symbol of a text.

use super::common::Common;
use super::ending::Ending;
use super::start::start;
use crate::Usage;
use crate::numbers::whole;
use crate::output::{Wait, thousands};
use clap::ValueEnum;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use train::config::Extent;
use train::run_folder::RunFolder;
use train::task::Task;
use train::task::text::{ORDER, Reading, Text, Unit, Vocabulary};

/// A text of your own: the next character, byte or word, from all that came before
///
/// The network reads B parts of the text side by side, T symbols an update, and carries its state
/// on. The last tenth of the text is not trained on: the network of the least loss there is kept.
/// Beside its loss stands that of 5-grams, which is what a loss on this text is worth.
///
/// The defaults are an LSTM of 256 units, Adam, a cosine schedule, and about 16 million symbols:
/// some minutes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask train text book.txt
  cargo xtask train text part1.txt part2.txt --unit word --epochs 5
  cargo xtask train text log.bin --unit byte --hidden 64 --epochs 1 --patience 5
  cargo xtask sample                         and this is what it learned to write")]
pub struct TextArgs {
    /// The text, one or several files, one behind the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What a symbol is: char (a Unicode scalar value), byte, or word
    #[arg(long, value_enum, default_value = "char")]
    unit: UnitName,

    /// Of words, so many are known, the most frequent; the others are `<unk>` [default: 10000]
    #[arg(long, value_name = "WORDS", value_parser = whole::<usize>(1..=16_777_216),
          allow_negative_numbers = true)]
    vocabulary: Option<usize>,

    /// T, the symbols of an example, through which gradients go
    #[arg(long, default_value_t = 64, value_parser = whole::<usize>(1..=65_536),
          allow_negative_numbers = true)]
    chunk: usize,

    /// So many times through the text [default: 16 million symbols, but 1 to 50 times]
    #[arg(long, value_name = "N", conflicts_with = "examples",
          value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    epochs: Option<u64>,

    /// The share of the text, its last part, that is not trained on, above 0 and below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share,
          allow_negative_numbers = true)]
    valid: f64,

    /// E, the values a symbol is turned into before the first layer [default: none; its row of the
    /// layer's weights is enough]
    #[arg(long, value_name = "E", value_parser = whole::<usize>(1..=65_536),
          allow_negative_numbers = true)]
    embedding: Option<usize>,

    #[command(flatten)]
    pub common: Common,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum UnitName {
    Char,
    Byte,
    Word,
}

pub fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|&share: &f64| share > 0.0 && share < 1.0);
    share.ok_or_else(|| "a share above 0 and below 1 is needed, such as 0.1".to_owned())
}

/// What to do with a network that writes.
pub const ENDING: Ending<Text> = Ending {
    unit: "symbols",
    about,
    per_example: |text| text.steps() as u64,
    numbers: |text, rate| json!({ "symbols_per_second": rate * text.steps() as f64 }),
    ..Ending::new(|path| {
        let run = path.map_or(String::new(), |path| format!(" {path}"));
        format!("Let it write: cargo xtask sample{run}")
    })
};

/// Trains.
pub fn run(args: &TextArgs) -> anyhow::Result<ExitCode> {
    let common = &args.common;
    if common.bidirectional {
        let reason = "--bidirectional would show the network the symbols that it is asked for";
        return Err(Usage(reason.to_owned()).into());
    }
    if args.vocabulary.is_some() && args.unit != UnitName::Word {
        let reason = "--vocabulary would be ignored: all characters or bytes are known; it is for \
                      --unit word";
        return Err(Usage(reason.to_owned()).into());
    }
    let reading = Reading {
        unit: match args.unit {
            UnitName::Char => Unit::Char,
            UnitName::Byte => Unit::Byte,
            UnitName::Word => Unit::Word,
        },
        vocabulary: args.vocabulary.unwrap_or(Reading::default().vocabulary),
        chunk: args.chunk,
        valid: args.valid,
    };
    let known = known(common.init.as_deref())?;
    let wait = Wait::for_long(if common.quiet { None } else { Some("reading the text") });
    let text = Text::open_with(&args.files, reading, known);
    wait.finish();
    let text = text?;
    let epoch = text.examples_of_an_epoch();
    let mut training = text.training();
    training.network.embedding = args.embedding;
    if let Some(epochs) = args.epochs {
        let examples = epochs.saturating_mul(epoch);
        training.run = Extent { examples, ..training.run };
    }
    start(common, training, ENDING)
}

/// The symbols that the network in `init` knows, if it is the run of a text.
fn known(init: Option<&Path>) -> anyhow::Result<Option<Vocabulary>> {
    let Some(path) = init.filter(|path| path.is_dir()) else { return Ok(None) };
    let folder = RunFolder::open(path)?;
    if folder.task_name()? != Text::NAME {
        return Ok(None); // whose weights will not fit, which is told by name
    }
    Ok(Some(folder.config::<Text>()?.task.vocabulary().clone()))
}

/// What was read.
fn about(text: &Text) -> Vec<String> {
    let (corpus, vocabulary) = (text.corpus(), text.vocabulary());
    let unit = vocabulary.unit().name();
    let mut lines = vec![format!(
        "{} {unit}s to train on, {} to validate; {} different ones",
        thousands(corpus.train.len() as u64),
        thousands(corpus.valid.len() as u64),
        thousands(vocabulary.len() as u64)
    )];
    let unknown = thousands(corpus.unknown);
    if vocabulary.unit() == Unit::Word {
        lines.push(format!("{unknown} words are <unk>: not in the vocabulary"));
    } else if corpus.unknown > 0 {
        lines.push(format!("{unknown} {unit}s are unknown to the network, and left out"));
    }
    let baseline = text.in_words(text.baseline_nats());
    lines.push(format!("{ORDER}-grams cost {baseline} on the validation part"));
    lines
}
