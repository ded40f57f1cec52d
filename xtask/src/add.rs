//! `cargo xtask add`: a trained network adds two integers of any length.

use crate::output::line;
use anyhow::bail;
use certify::ibp::Ibp;
use model::Parameters;
use num_bigint::BigUint;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use train::run_folder::RunFolder;
use train::task::adder::{self, Digit, Sum};
use train::task::{Addition, Task};

/// Add two whole numbers with the trained network
///
/// The network sees the numbers a binary digit at a time, lowest first, and says the digits of
/// their sum. It was trained on a few bits, and may be asked for any number of them. Numbers of up
/// to 16 bits are shown digit by digit with the hidden units as shaded cells, so that one sees
/// where the carry is held.
///
/// Exit code 0 if the sum is right, 1 if it is wrong.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask add 53 74
  cargo xtask add 123456789012345678901234567890 987654321098765432109876543210
  cargo xtask add 53 74 --run runs/0001 --json")]
pub struct Args {
    /// A whole number in decimal digits, of any length
    #[arg(value_name = "A", value_parser = decimal, allow_negative_numbers = true)]
    a: BigUint,

    /// A whole number in decimal digits, of any length
    #[arg(value_name = "B", value_parser = decimal, allow_negative_numbers = true)]
    b: BigUint,

    /// The run whose network adds [default: the latest under runs/]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// Print a JSON object: a, b, sum, expected (as strings of decimal digits), correct, and
    /// wrong_bits, how many digits of the sum are wrong
    #[arg(long)]
    json: bool,
}

/// Above this many bits the table of digits is not shown.
const TABLE_BITS: u64 = 16;
/// More cells than this do not fit on a line.
const MOST_CELLS: usize = 64;

fn decimal(text: &str) -> Result<BigUint, String> {
    if text.starts_with('-') {
        return Err("a negative number; the network adds whole numbers from 0 on".to_owned());
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a whole number in decimal digits is needed".to_owned());
    }
    text.parse().map_err(|error| format!("{error}"))
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let folder = match &args.run {
        Some(path) => RunFolder::open(path)?,
        None => RunFolder::latest(Path::new("runs"))?,
    };
    let Adding { bits, parameters, .. } = adding(&folder)?;
    let sum = adder::add(&parameters, &args.a, &args.b);
    let wrong = sum.wrong_bits();
    if args.json {
        let object = json!({
            "a": args.a.to_string(),
            "b": args.b.to_string(),
            "sum": sum.sum.to_string(),
            "expected": sum.expected.to_string(),
            "correct": wrong == 0,
            "wrong_bits": wrong,
        });
        line(object.to_string());
    } else {
        if args.a.bits().max(args.b.bits()) <= TABLE_BITS {
            table(&sum);
        }
        line(format!("{} + {} = {}", args.a, args.b, sum.sum));
        let network = format!("the network of {}, trained on {bits} bits", folder.path().display());
        if wrong == 0 {
            line(format!("Right in all {} binary digits: {network}.", sum.digits.len()));
        } else {
            line(format!(
                "Wrong in {wrong} of {} binary digits: {network}; the sum is {}.",
                sum.digits.len(),
                sum.expected
            ));
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A network that adds, and what it was asked.
pub struct Adding {
    /// The digits of a sum that it was trained on.
    pub bits: u32,
    /// The seed of its training.
    pub seed: u64,
    /// The network.
    pub parameters: Parameters,
}

/// The network of a run that adds.
///
/// # Errors
/// If the run trained on another task, or a file makes no sense.
pub fn adding(folder: &RunFolder) -> anyhow::Result<Adding> {
    let name = folder.task_name()?;
    Ok(match name.as_str() {
        Addition::NAME => {
            let (config, parameters) = folder.load::<Addition>()?;
            Adding { bits: config.task.bits(), seed: config.run.seed, parameters }
        }
        Ibp::NAME => {
            let (config, parameters) = folder.load::<Ibp>()?;
            Adding { bits: config.task.addition().bits(), seed: config.run.seed, parameters }
        }
        _ => bail!(
            "the network of {} learned the task {name} and cannot add; train one with \
             `cargo xtask train addition`",
            folder.path().display()
        ),
    })
}

/// A row a digit, lowest first. The carry stands in the row of the digit that made it.
fn table(sum: &Sum) {
    line("digit  a b  carry  sum  output  hidden units (darker: nearer to 1)");
    let mut carry = false;
    for (n, digit) in sum.digits.iter().enumerate() {
        carry = usize::from(digit.a) + usize::from(digit.b) + usize::from(carry) >= 2;
        line(format!(
            "{n:>5}  {} {}  {:>5}  {:>3}  {:>6.3}  {}{}",
            u8::from(digit.a),
            u8::from(digit.b),
            if carry { "1" } else { "·" },
            u8::from(digit.predicted()),
            digit.output,
            cells(digit),
            if digit.is_right() { "" } else { "  wrong" }
        ));
    }
    line("");
}

fn cells(digit: &Digit) -> String {
    const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
    let shade = |&h: &f32| SHADES[((h * SHADES.len() as f32) as usize).min(SHADES.len() - 1)];
    let cells: String = digit.hidden.iter().take(MOST_CELLS).map(shade).collect();
    let more = digit.hidden.len().saturating_sub(MOST_CELLS);
    if more > 0 { format!("▏{cells}▕ and {more} more") } else { format!("▏{cells}▕") }
}
