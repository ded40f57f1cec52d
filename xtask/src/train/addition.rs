//! `cargo xtask train` and `cargo xtask train addition`: the lab.

use super::common::Common;
use super::ending::Ending;
use super::prove::Attempts;
use super::start::start;
use crate::numbers::whole;
use certify::ibp::Ibp;
use std::process::ExitCode;
use train::config::RunConfig;
use train::task::Addition;

/// Binary addition, a digit at a time: what `cargo xtask train` trains without a name
#[derive(clap::Args)]
pub struct AdditionArgs {
    /// T, the digits of a sum, 1 to 64; operands have one less [default: 8]
    #[arg(long, value_parser = whole::<u32>(1..=64), allow_negative_numbers = true)]
    bits: Option<u32>,

    /// Train for a proof, by interval bound propagation; see `cargo xtask certify`. The defaults
    /// are others then: 6,000 updates of Adam on 64 sequences of 12 digits; with any --cell
    #[arg(long, conflicts_with_all = ["layers", "bidirectional", "dropout", "memory"])]
    certifiable: bool,

    #[command(flatten)]
    attempts: Attempts,

    #[command(flatten)]
    pub common: Common,
}

/// What to do with a network that adds …
pub const ADD: Ending<Addition> = Ending {
    snapshots: SNAPSHOTS,
    ..Ending::new(|path| {
        let option = path.map_or(String::new(), |path| format!(" --run {path}"));
        format!("Try it: cargo xtask add 53 74{option}")
    })
};
/// … and with one that was trained for a proof.
pub const PROVE: Ending<Ibp> = Ending {
    snapshots: SNAPSHOTS,
    ..Ending::new(|path| {
        let option = path.map_or(String::new(), |path| format!(" --run {path}"));
        format!("Prove it: cargo xtask certify{option}")
    })
};

/// For the slider of a page, on which one sees the carry appear.
const SNAPSHOTS: u32 = 60;

/// Trains.
pub fn run(args: &AdditionArgs) -> anyhow::Result<ExitCode> {
    let common = &args.common;
    if args.certifiable || args.attempts.until_proved.is_some() {
        let task = Ibp::new(args.bits.unwrap_or(Ibp::BITS))?;
        let training = Ibp::training(common.hidden.unwrap_or(HIDDEN), common.bias, common.seed);
        let ending = Ending { attempts: args.attempts.until_proved, ..PROVE };
        return start(common, RunConfig { task, ..training }, ending);
    }
    let lab = Addition::lab();
    let task = Addition::new(args.bits.unwrap_or(lab.task.bits()))?;
    start(common, RunConfig { task, ..lab }, ADD)
}

/// H of the lab.
const HIDDEN: usize = 16;
