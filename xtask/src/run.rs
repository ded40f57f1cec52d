//! `cargo xtask run`: a trained network and its machine read a word side by side.

use crate::output::line;
use crate::paths::shown;
use crate::{Usage, numbers, runs};
use anyhow::bail;
use certify::ibp::MachineIbp;
use model::{Cell, Network, Nonlinearity, Parameters};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use train::batch::Batch;
use train::run_folder::RunFolder;
use train::task::Task;
use train::task::machine::{Machine, Words};

/// Let the trained network of a machine read a word
///
/// The network was trained by `cargo xtask train machine`. It reads the word a symbol at a time,
/// beside the machine itself: each line shows the symbol, the state that the machine is in then, its
/// output, what the network said, and the hidden units as shaded cells. Compare the rows of one
/// state: the network has found states of its own, which look alike.
///
/// A word is written without gaps if its symbols are of one character (or all of one length), else
/// with commas or spaces between them.
///
/// Exit code 0 if each output is right, 1 if one is wrong.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask run 1011                       a word of the latest run's machine
  cargo xtask run 10,11,01                   two digits a symbol, as addition has
  cargo xtask run '(()())' --run runs/0002 --json
  cargo xtask run --random 40 --seed 3       a word of 40 symbols that can come")]
pub struct Args {
    /// The word: the machine's input symbols
    #[arg(required_unless_present = "random", conflicts_with = "random")]
    word: Vec<String>,

    /// Draw a word of so many symbols instead, as training draws them
    #[arg(long, value_name = "T", value_parser = numbers::whole::<usize>(1..=65_536),
          allow_negative_numbers = true)]
    random: Option<usize>,

    /// What --random draws from
    #[arg(long, default_value_t = 0, value_parser = numbers::whole::<u64>(0..=u64::MAX),
          requires = "random", allow_negative_numbers = true)]
    seed: u64,

    /// The run whose network reads [default: the latest of a machine under runs/]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// Print a JSON object: machine, word, states (the machine's, behind each symbol), expected,
    /// said, outputs (the network's, `[T][O]`), hidden (`[T][H]`), correct, wrong (how many outputs are)
    #[arg(long)]
    json: bool,
}

/// More cells than this do not fit on a line.
const MOST_CELLS: usize = 64;

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = runs::open(args.run.as_deref(), &READING, !args.json)?;
    let Reading { words: task, parameters, .. } = reading(&folder)?;
    let machine = task.machine();
    let word = match args.random {
        Some(length) => task.drawn(length, args.seed),
        None => parse(machine, &args.word).map_err(Usage)?,
    };
    let steps = read(&task, &parameters, word).map_err(Usage)?;
    let wrong = steps.iter().filter(|step| step.said != step.expected).count();
    if args.json {
        print_json(machine, &steps, wrong);
    } else {
        table(machine, &steps, &parameters);
        summary(&steps, wrong, machine, &folder);
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A run that reads words.
pub struct Reading {
    /// What it learned.
    pub words: Words,
    /// The seed of its training.
    pub seed: u64,
    /// The network.
    pub parameters: Parameters,
}

/// The tasks whose networks read words.
pub const READING: [&str; 2] = [Words::NAME, MachineIbp::NAME];

/// The network of a run that reads words.
///
/// # Errors
/// If the run trained on another task, or a file makes no sense.
pub fn reading(folder: &RunFolder) -> anyhow::Result<Reading> {
    let name = folder.task_name()?;
    Ok(match name.as_str() {
        Words::NAME => {
            let (config, parameters) = folder.load::<Words>()?;
            Reading { words: config.task, seed: config.run.seed, parameters }
        }
        MachineIbp::NAME => {
            let (config, parameters) = folder.load::<MachineIbp>()?;
            Reading { words: config.task.words().clone(), seed: config.run.seed, parameters }
        }
        _ => bail!(
            "the network of {} learned the task {name} and reads no words; train one with `cargo \
             xtask train machine`",
            shown(folder.path())
        ),
    })
}

/// The symbols of a word as it was typed.
fn parse(machine: &Machine, words: &[String]) -> Result<Vec<usize>, String> {
    let inputs = machine.inputs();
    let find = |text: &str| inputs.iter().position(|input| input == text);
    let mut word = Vec::new();
    let width = inputs[0].chars().count();
    let is_even = inputs.iter().all(|input| input.chars().count() == width);
    for part in words.iter().flat_map(|word| word.split([',', ' '])).filter(|part| !part.is_empty())
    {
        if let Some(symbol) = find(part) {
            word.push(symbol);
            continue;
        }
        let chars: Vec<char> = part.chars().collect();
        for piece in chars.chunks(if is_even { width } else { chars.len() }) {
            let piece: String = piece.iter().collect();
            word.push(find(&piece).ok_or_else(|| {
                format!(
                    "{piece:?} is no input of the machine {}; its inputs are {}",
                    machine.name(),
                    inputs.join(", ")
                )
            })?);
        }
    }
    if word.is_empty() {
        return Err(format!("the word is empty; give symbols of {}", inputs.join(", ")));
    }
    Ok(word)
}

/// A symbol, the machine behind it, and what the network made of it.
struct Step {
    symbol: usize,
    state: usize,
    expected: usize,
    said: usize,
    /// `[O]`
    outputs: Vec<f32>,
    /// `[H]`
    hidden: Vec<f32>,
}

/// Lets machine and network read `word`.
fn read(task: &Words, parameters: &Parameters, word: Vec<usize>) -> Result<Vec<Step>, String> {
    let machine = task.machine();
    let (mut state, mut states) = (0, Vec::new());
    for (symbol, t) in word.iter().zip(1..) {
        let Some((next, output)) = machine.step(state, *symbol) else {
            let can = (0..machine.inputs().len()).filter(|&i| machine.step(state, i).is_some());
            let can: Vec<_> = can.map(|input| machine.inputs()[input].as_str()).collect();
            return Err(format!(
                "the symbol {t}, {}, cannot come in the state \"{}\" of the machine {}; what can is {}",
                machine.inputs()[*symbol],
                machine.states()[state],
                machine.name(),
                can.join(", ")
            ));
        };
        state = next;
        states.push((state, output));
    }
    let mut batch = Batch::default();
    task.encode(std::slice::from_ref(&word), &mut batch);
    let mut network = Network::new(parameters.config());
    let sequences =
        batch.sequences(parameters.config(), None).map_err(|error| error.to_string())?;
    let y = network.run(parameters, &sequences).to_vec();
    let rows = y.chunks_exact(parameters.config().outputs());
    let mut steps = Vec::with_capacity(word.len());
    for (t, ((symbol, (state, expected)), y)) in word.into_iter().zip(states).zip(rows).enumerate()
    {
        let hidden = network.hidden(t, 0).to_vec();
        steps.push(Step {
            symbol,
            state,
            expected,
            said: task.said(y),
            outputs: y.to_vec(),
            hidden,
        });
    }
    Ok(steps)
}

fn print_json(machine: &Machine, steps: &[Step], wrong: usize) {
    let names = |names: &[String], number: fn(&Step) -> usize| -> Vec<String> {
        steps.iter().map(|step| names[number(step)].clone()).collect()
    };
    let object = json!({
        "machine": machine.name(),
        "word": names(machine.inputs(), |step| step.symbol),
        "states": names(machine.states(), |step| step.state),
        "expected": names(machine.outputs(), |step| step.expected),
        "said": names(machine.outputs(), |step| step.said),
        "outputs": steps.iter().map(|step| &step.outputs).collect::<Vec<_>>(),
        "hidden": steps.iter().map(|step| &step.hidden).collect::<Vec<_>>(),
        "correct": wrong == 0,
        "wrong": wrong,
    });
    line(object.to_string());
}

/// A row a symbol.
fn table(machine: &Machine, steps: &[Step], parameters: &Parameters) {
    let width = |names: &[String], heading: &str| {
        let names = names.iter().map(|name| name.chars().count());
        names.max().unwrap_or(0).max(heading.len())
    };
    let (inputs, states) = (width(machine.inputs(), "input"), width(machine.states(), "state"));
    let outputs = width(machine.outputs(), "output");
    let range = range(parameters.config().cell(), steps);
    line(format!(
        "step  {:<inputs$}  {:<states$}  {:<outputs$}  {:<outputs$}  hidden units (darker: greater)",
        "input", "state", "output", "said"
    ));
    for (n, step) in steps.iter().enumerate() {
        line(format!(
            "{n:>4}  {:<inputs$}  {:<states$}  {:<outputs$}  {:<outputs$}  {}{}",
            machine.inputs()[step.symbol],
            machine.states()[step.state],
            machine.outputs()[step.expected],
            machine.outputs()[step.said],
            cells(&step.hidden, range),
            if step.said == step.expected { "" } else { "  wrong" }
        ));
    }
    line("");
}

fn summary(steps: &[Step], wrong: usize, machine: &Machine, folder: &RunFolder) {
    let (count, name) = (steps.len(), machine.name());
    let network = format!("the network of {}, trained on the machine {name}", shown(folder.path()));
    line(match wrong {
        0 => format!("Right in all {count} outputs: {network}."),
        _ => format!("Wrong in {wrong} of {count} outputs: {network}."),
    });
}

/// From where to where the units of a cell go.
fn range(cell: Cell, steps: &[Step]) -> (f32, f32) {
    match cell {
        Cell::Elman(Nonlinearity::Sigmoid) => (0.0, 1.0),
        Cell::Elman(Nonlinearity::Relu) => {
            let all = steps.iter().flat_map(|step| &step.hidden);
            (0.0, all.copied().fold(f32::MIN_POSITIVE, f32::max))
        }
        _ => (-1.0, 1.0),
    }
}

fn cells(hidden: &[f32], (least, most): (f32, f32)) -> String {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let shade = |&h: &f32| {
        let share = (h - least) / (most - least);
        SHADES[((share * SHADES.len() as f32) as usize).min(SHADES.len() - 1)]
    };
    let cells: String = hidden.iter().take(MOST_CELLS).map(shade).collect();
    let more = hidden.len().saturating_sub(MOST_CELLS);
    if more > 0 { format!("▏{cells}▕ and {more} more") } else { format!("▏{cells}▕") }
}
