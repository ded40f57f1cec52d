//! `cargo xtask cluster`: what training on many machines would gain.

mod picture;
mod ping;
mod predict;

use crate::interrupt;
use crate::numbers::whole;
use std::path::PathBuf;
use std::process::ExitCode;

/// Predict how long a training takes on a cluster that is not here
///
/// Three things are measured on this machine: the examples that N workers need to a loss, of
/// which each is simulated, without a clock; the time of an example on one core; and what a message
/// costs over TCP on the loopback, as α (latency) and β (time a byte). From them follows the time
/// to the loss on 2 to 1,024 ranks, over the loopback and three networks that are only assumed, and
/// which strategy and K to take. Above the largest N that was simulated the examples are
/// extrapolated, and marked.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask cluster --predict                          the lab, to a loss of 0.3
  cargo xtask cluster --predict --workers 2,4 --push-every 16 --seeds 1
  cargo xtask cluster --predict --text book.txt --loss 2 --workers 2,4,8 --push-every 32,320

A worker of synchronous training computes the gradient of a batch (1 addition, 32 chunks of text);
averaging meets every K examples. The rate is the best of r, r·√N and r·N. The picture shows the time
over the ranks; the model, and what it leaves out, is in crates/train/CLUSTER.md.")]
pub struct Args {
    /// Predict; nothing is started anywhere else
    #[arg(long, required = true)]
    predict: bool,

    /// Learn this text with an LSTM and Adam [default: add 8 bits, as the lab does]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,

    /// H, the hidden units [default: addition 16, text 256]
    #[arg(long, value_parser = whole::<usize>(1..=u64::MAX), allow_negative_numbers = true)]
    hidden: Option<usize>,

    /// The loss to fall below, on examples that nobody trains on [default: addition 0.3, text 2]
    #[arg(long, value_parser = loss, allow_negative_numbers = true)]
    loss: Option<f64>,

    /// Give a training up after so many examples of all its workers [default: addition 500000, text
    /// as `train text`]
    #[arg(long, value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    examples: Option<u64>,

    /// The numbers of workers to simulate, parted by commas, 2 to 256 each
    #[arg(long, value_name = "N,N", value_delimiter = ',',
          default_value = "2,4,8,16,32,64,128,256", value_parser = whole::<usize>(2..=256),
          allow_negative_numbers = true)]
    workers: Vec<usize>,

    /// K, the examples of a worker between two averages, parted by commas
    #[arg(long, value_name = "K,K", value_delimiter = ',', default_value = "1,16,256",
          value_parser = whole::<u64>(1..=1_000_000_000), allow_negative_numbers = true)]
    push_every: Vec<u64>,

    /// Simulate with each of so many seeds; the median counts
    #[arg(long, default_value_t = 3, value_parser = whole::<u64>(1..=1_000),
          allow_negative_numbers = true)]
    seeds: u64,

    /// The picture
    #[arg(long, value_name = "FILE", default_value = "cluster.svg")]
    out: PathBuf,

    /// Print a JSON object as the last line, and nothing else
    #[arg(long)]
    json: bool,
}

fn loss(text: &str) -> Result<f64, String> {
    let loss = text.parse().ok().filter(|&loss: &f64| loss > 0.0 && loss.is_finite());
    loss.ok_or_else(|| "a finite number above 0 is needed, such as 0.3".to_owned())
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    predict::run(args)
}
