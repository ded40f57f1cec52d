//! `cargo xtask train`: trains a network, shows how it goes, keeps it in a run folder.
//!
//! A task has one file here, with its options and its defaults, and a line in each of the two
//! matches of [`lead`], and in [`follow`]; all else serves any task.

mod addition;
mod common;
mod ending;
mod json;
mod machine;
mod many;
mod one;
mod optimizer;
mod prove;
mod series;
mod start;
mod text;
mod workers;

use crate::{interrupt, ranks};
use anyhow::bail;
use certify::ibp::{Ibp, MachineIbp};
use clap::Subcommand;
pub use common::strategy;
pub use optimizer::learning_rate;
use start::resume;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use train::followers::{self, Next};
use train::run_folder::RunFolder;
use train::task::{Addition, Series, Task, Text, Words};
use train::transport::Transport;

/// Train a network: to add binary numbers, as a finite-state machine, on your own text or series
///
/// A recurrent network reads two binary numbers a digit at a time, lowest digit first, and learns
/// to say the digits of their sum. The defaults are the well-known lab: 8 bits, one layer of 16
/// sigmoid units, 10,000 examples of plain SGD by one worker. Others are chosen by --cell,
/// --layers, --optimizer and --strategy; --strategy auto takes what was measured to be the fastest.
///
/// Every 500 examples it prints one of them: the error over all digits, what the network said
/// and what is true (highest digit first), and the sum in decimals. At the end every possible sum
/// is tried (up to 10 bits; above, 10,000 random ones).
///
/// Other tasks have options and a --help of their own: `cargo xtask train text --help`, `cargo
/// xtask train series --help`, `cargo xtask train machine --help`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_value_name = "TASK",
    subcommand_help_heading = "Tasks",
    disable_help_subcommand = true,
    after_help = "\
Examples:
  cargo xtask train                          the lab, in milliseconds
  cargo xtask train --seeds 0..100           a hundred networks: how often does it succeed?
  cargo xtask train --hidden 4 --examples 100000 --seed 7
  cargo xtask train --batch 64 --lr 2 --examples 200000
  cargo xtask train --examples 200000 --strategy hogwild --threads 2 --push-every 32
  cargo xtask train --cell gru --layers 2 --dropout 0.1 --optimizer adam
  cargo xtask train --hidden 64 --bits 32 --examples 50000 --strategy auto
  cargo xtask train --optimizer adam --schedule cosine --warm-up 500 --clip-norm 1
  cargo xtask train --examples 1000000000 --out long      Ctrl-C ends it with a checkpoint,
  cargo xtask train --resume long                         and this goes on
  cargo xtask train --certifiable            a network that `cargo xtask certify` can prove
  cargo xtask train --until-proved 5         the same with its proof, from the next seed if need be
  cargo xtask train --json --quiet           one JSON object for a program to read"
)]
pub struct Args {
    #[command(subcommand)]
    task: Option<TaskArgs>,

    /// Go on with the training in DIR that was stopped, with what it was asked then
    #[arg(long, value_name = "DIR",
          conflicts_with_all = ["bits", "cell", "hidden", "layers", "bidirectional", "dropout",
                                "memory", "bias", "examples", "optimizing", "batch", "seed", "seeds", "strategy",
                                "threads", "push_every", "outer", "compress", "patience", "init", "snapshots", "certifiable",
                                "until_proved", "out",
                                "force"])]
    resume: Option<PathBuf>,

    #[command(flatten)]
    addition: addition::AdditionArgs,
}

#[derive(Subcommand)]
enum TaskArgs {
    Addition(Box<addition::AdditionArgs>),
    Text(Box<text::TextArgs>),
    Series(Box<series::SeriesArgs>),
    Machine(Box<machine::MachineArgs>),
}

impl Args {
    /// What all tasks can be asked.
    fn common(&self) -> &common::Common {
        match &self.task {
            None => &self.addition.common,
            Some(TaskArgs::Addition(args)) => &args.common,
            Some(TaskArgs::Text(args)) => &args.common,
            Some(TaskArgs::Series(args)) => &args.common,
            Some(TaskArgs::Machine(args)) => &args.common,
        }
    }

    /// Is it many trainings, which several ranks share, and not one?
    fn is_study(&self) -> bool {
        self.common().seeds.is_some()
    }

    /// How long other ranks are waited for.
    pub fn stall(&self) -> Duration {
        self.common().stall
    }
}

/// Runs the command: on rank 0, if there are several; the others follow it. Many trainings are dealt
/// out instead.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    let Some(transport) = ranks::transport().filter(|_| !args.is_study()) else {
        return lead(args);
    };
    if transport.rank() > 0 {
        follow(&transport)?;
        return Ok(ExitCode::SUCCESS);
    }
    let code = lead(args)?;
    followers::end(&*transport);
    Ok(code)
}

/// Trains as rank 0 says: one line a task.
fn follow(transport: &Arc<dyn Transport>) -> anyhow::Result<()> {
    let mut next = followers::first(&**transport);
    while let Next::Begin(begin) = next {
        next = match begin.task_name()?.as_str() {
            Addition::NAME => followers::follow::<Addition>(transport, *begin),
            Ibp::NAME => followers::follow::<Ibp>(transport, *begin),
            Text::NAME => followers::follow::<Text>(transport, *begin),
            Series::NAME => followers::follow::<Series>(transport, *begin),
            Words::NAME => followers::follow::<Words>(transport, *begin),
            MachineIbp::NAME => followers::follow::<MachineIbp>(transport, *begin),
            name => bail!("rank 0 trains the task {name}, which this program has not"),
        };
    }
    Ok(())
}

/// One line a task, here and for a run that is gone on with.
fn lead(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.resume {
        let common = &args.addition.common;
        let folder = RunFolder::unfinished(path)?;
        let name = folder.checkpoint()?.task_name(&folder.checkpoint_path())?;
        return match name.as_str() {
            Addition::NAME => resume::<Addition>(common, folder, addition::ADD),
            Ibp::NAME => resume::<Ibp>(common, folder, addition::PROVE),
            Text::NAME => resume::<Text>(common, folder, text::ENDING),
            Series::NAME => resume::<Series>(common, folder, series::ENDING),
            Words::NAME => resume::<Words>(common, folder, machine::ENDING),
            MachineIbp::NAME => resume::<MachineIbp>(common, folder, machine::PROVE),
            _ => bail!("{} is of the task {name}, which this program has not", path.display()),
        };
    }
    match args.task {
        None => addition::run(&args.addition),
        Some(TaskArgs::Addition(args)) => addition::run(&args),
        Some(TaskArgs::Text(args)) => text::run(&args),
        Some(TaskArgs::Series(args)) => series::run(&args),
        Some(TaskArgs::Machine(args)) => machine::run(&args),
    }
}
