//! `cargo xtask train machine`: a network that does what a finite-state machine does.

use super::common::Common;
use super::ending::Ending;
use super::prove::Attempts;
use super::start::start;
use crate::Usage;
use crate::numbers::whole;
use crate::paths::shown;
use anyhow::Context;
use certify::ibp::MachineIbp;
use certify::machine_of;
use model::{Cell, Nonlinearity};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use train::task::machine::{LENGTH, Machine, Words};

/// A finite-state machine: the output of each symbol, from all symbols that came before
///
/// A Mealy machine has states and a table: in each state, for each input symbol, the next state and
/// an output symbol. The network is shown words of input symbols and asked for the outputs; it has
/// to find states of its own. Half the words are drawn by chance, half walk from transition to
/// transition, so that all are seen. At the end all words of a length are tried, and long ones.
///
/// The built-in machines: addition, subtraction and comparison (two digits at a time, lowest first);
/// times-3 and times-5 (lowest first); division-by-3 (highest first); gray-encode and gray-decode;
/// parity; counter-3 and counter-5; tomita-1 to tomita-7; brackets; lock; edge-detector; debouncer;
/// and random-SEED, ten states drawn from a seed (random-SEED:STATES, 2 to 64).
///
/// The defaults are a GRU of 16 units, Adam, and 96,000 words of 24 symbols: some seconds.
#[derive(clap::Args)]
#[command(after_help = "\
A file is TOML. The first state is the start; a table [legal] may say which inputs can come in a
state, and words then hold no others:

  name = \"parity\"
  inputs = [\"0\", \"1\"]
  outputs = [\"0\", \"1\"]
  states = [\"even\", \"odd\"]
  transitions = [                    # from, input, to, output
      [\"even\", \"0\", \"even\", \"0\"],
      [\"even\", \"1\", \"odd\",  \"1\"],
      [\"odd\",  \"0\", \"odd\",  \"1\"],
      [\"odd\",  \"1\", \"even\", \"0\"],
  ]

Inputs that are digits 0 and 1 of one length are shown digit by digit, others one-hot; with two
outputs the network has one, sigmoid, else one for each.

Examples:
  cargo xtask train machine tomita-4
  cargo xtask train machine my-machine.toml --cell lstm --hidden 8
  cargo xtask train machine random-7 --seeds 0..20
  cargo xtask run 1011                       and this shows what it does with a word
  cargo xtask train machine brackets --certifiable
  cargo xtask certify                        and this proves it for words of any length
  cargo xtask train machine brackets --until-proved 5        both in one")]
pub struct MachineArgs {
    /// A built-in machine, or a file that ends in .toml
    #[arg(value_name = "NAME|FILE.toml")]
    machine: String,

    /// T, the symbols of a word [default: 24, for a proof 12, of ReLUs 16]
    #[arg(long, value_parser = whole::<usize>(1..=65_536), allow_negative_numbers = true)]
    length: Option<usize>,

    /// Train for a proof, by interval bound propagation; see `cargo xtask certify`. The defaults are
    /// others then: 32 sigmoid units, 6,000 updates of Adam on 64 words; every --cell
    #[arg(long, conflicts_with_all = ["layers", "bidirectional", "dropout", "memory"])]
    certifiable: bool,

    #[command(flatten)]
    attempts: Attempts,

    #[command(flatten)]
    pub common: Common,
}

/// What to do with a network that does as a machine does …
pub const ENDING: Ending<Words> = Ending {
    unit: "words",
    about: |words| about(words),
    has_page: false,
    ..Ending::new(|path| {
        let option = path.map_or(String::new(), |path| format!(" --run {path}"));
        format!("Try it: cargo xtask run --random 12{option}")
    })
};

/// … and with one that was trained for a proof.
pub const PROVE: Ending<MachineIbp> = Ending {
    unit: "words",
    about: |task| about(task.words()),
    has_page: false,
    ..Ending::new(|path| {
        let option = path.map_or(String::new(), |path| format!(" --run {path}"));
        format!("Prove it: cargo xtask certify{option}")
    })
};

/// Trains.
pub fn run(args: &MachineArgs) -> anyhow::Result<ExitCode> {
    if args.common.bidirectional {
        let reason = "--bidirectional would show the network the symbols that are still to come";
        return Err(Usage(reason.to_owned()).into());
    }
    let machine = machine(&args.machine)?;
    if !args.certifiable && args.attempts.until_proved.is_none() {
        let words = Words::new(machine, args.length.unwrap_or(LENGTH))?;
        return start(&args.common, words.training(), ENDING);
    }
    let cell = args.common.cell.map_or(Cell::Elman(Nonlinearity::Sigmoid), Cell::from);
    machine_of(&machine).map_err(|reason| {
        Usage(format!("--certifiable: the machine {} cannot be proved: {reason}", machine.name()))
    })?;
    let words = Words::new(machine, args.length.unwrap_or(MachineIbp::steps(cell)))?;
    let hidden = args.common.hidden.unwrap_or(MachineIbp::HIDDEN);
    let training = MachineIbp::training(words, cell, hidden, args.common.seed);
    start(&args.common, training, Ending { attempts: args.attempts.until_proved, ..PROVE })
}

/// The machine of that name, or in that file.
fn machine(name: &str) -> anyhow::Result<Machine> {
    if let Some(machine) = Machine::built_in(name) {
        return Ok(machine);
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|end| end != "toml") {
        let known = Machine::BUILT_IN.join(", ");
        return Err(Usage(format!(
            "there is no machine \"{name}\"; give one of {known} (or another seed), or a file that \
             ends in .toml"
        ))
        .into());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", shown(path)))?;
    Machine::from_toml(&text).map_err(|error| anyhow::anyhow!("{} {error}", shown(path)))
}

/// The machine in a line, and which of its states were the same.
fn about(words: &Words) -> Vec<String> {
    let machine = words.machine();
    let count =
        |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut lines = vec![format!(
        "{}: {}, {}, {}",
        machine.name(),
        count(machine.states().len(), "state"),
        count(machine.inputs().len(), "input"),
        count(machine.outputs().len(), "output")
    )];
    lines.extend(machine.merged().iter().map(|states| {
        format!(
            "The states {} do not differ, and are one: the machine was not minimal",
            states.join(", ")
        )
    }));
    lines
}
