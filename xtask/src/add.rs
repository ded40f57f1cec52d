//! `cargo xtask add`: a trained network adds two integers of any length.

use crate::output::line;
use crate::paths::shown;
use crate::{Usage, runs};
use anyhow::bail;
use certify::ibp::Ibp;
use model::Parameters;
use num_bigint::BigUint;
use serde_json::json;
use std::io::Read;
use std::path::PathBuf;
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
  cargo xtask add 53 74 --run runs/0001 --json
  printf '53\\n74\\n' | cargo xtask add - -    numbers that are too long for a command line")]
pub struct Args {
    /// A whole number in decimal digits, of any length; `-` reads it from standard input
    #[arg(value_name = "A", value_parser = operand, allow_negative_numbers = true)]
    a: Operand,

    /// A whole number in decimal digits, of any length; `-` for both reads two lines
    #[arg(value_name = "B", value_parser = operand, allow_negative_numbers = true)]
    b: Operand,

    /// The run whose network adds [default: the latest under runs/]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// Print a JSON object: a, b, sum, expected (as strings of decimal digits), correct,
    /// wrong_bits, how many digits of the sum are wrong, and, for numbers of up to 65,536 bits,
    /// outputs, the network's of each step, lowest digit first
    #[arg(long)]
    json: bool,
}

/// Above this many bits the outputs are not told: a line of them would be longer than a megabyte.
const MOST_OUTPUTS: u64 = 1 << 16;
/// Above this many bits the table of digits is not shown.
const TABLE_BITS: u64 = 16;
/// More cells than this do not fit on a line.
const MOST_CELLS: usize = 64;

/// A number of a sum.
#[derive(Clone)]
enum Operand {
    Number(BigUint),
    /// The next line of standard input.
    Line,
}

fn operand(text: &str) -> Result<Operand, String> {
    if text == "-" { Ok(Operand::Line) } else { decimal(text).map(Operand::Number) }
}

fn decimal(text: &str) -> Result<BigUint, String> {
    if text.starts_with('-') {
        return Err("a negative number; give a whole number from 0 on".to_owned());
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a whole number in decimal digits is needed".to_owned());
    }
    Ok(parse(text))
}

/// The number of `text`, which is decimal digits. What is long is cut in the middle and put
/// together by a product, since num-bigint takes the square of the length.
fn parse(text: &str) -> BigUint {
    const SHORT: usize = 2_000;
    if text.len() <= SHORT {
        return text.parse().expect("decimal digits");
    }
    let low = text.len() / 2;
    let (high, rest) = text.split_at(text.len() - low);
    parse(high) * BigUint::from(10_u32).pow(low as u32) + parse(rest)
}

/// The two numbers: those given, or as many lines of standard input.
fn operands(a: Operand, b: Operand) -> anyhow::Result<[BigUint; 2]> {
    let count = [&a, &b].into_iter().filter(|operand| matches!(operand, Operand::Line)).count();
    let mut text = String::new();
    if count > 0 {
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Usage(format!("cannot read standard input: {error}")))?;
    }
    let found = text.lines().count();
    if count > 0 && found != count {
        let lines = if found == 1 { "line" } else { "lines" };
        let are = if count == 1 { "is" } else { "are" };
        return Err(Usage(format!(
            "standard input holds {found} {lines}; {count} {are} needed, of decimal digits"
        ))
        .into());
    }
    let mut lines = text.lines().zip(1..);
    let mut number = |operand| match operand {
        Operand::Number(number) => Ok(number),
        Operand::Line => {
            let (text, line) = lines.next().expect("there are as many lines");
            let number = decimal(text.trim());
            number.map_err(|error| Usage(format!("line {line} of standard input: {error}")))
        }
    };
    Ok([number(a)?, number(b)?])
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { a, b, run, json } = args;
    let folder = runs::open(run.as_deref(), &ADDING, !json)?;
    let Adding { bits, parameters, .. } = adding(&folder)?;
    let is_read = [&a, &b].iter().any(|operand| matches!(operand, Operand::Line));
    let [a, b] = operands(a, b)?;
    let digits = a.bits().max(b.bits()) + 1;
    let mut outputs = None;
    let sum = if digits <= TABLE_BITS + 1 {
        let sum = adder::add(&parameters, &a, &b);
        if json {
            outputs = Some(sum.digits.iter().map(|digit| digit.output).collect());
        } else {
            table(&sum);
        }
        sum.sum
    } else if json && digits <= MOST_OUTPUTS + 1 {
        let mut all = Vec::new();
        let sum = adder::sum_watched(&parameters, &a, &b, |output| all.push(output))?;
        outputs = Some(all);
        sum
    } else {
        adder::sum(&parameters, &a, &b)?
    };
    let expected = &a + &b;
    let wrong = (&sum ^ &expected).count_ones();
    if json {
        let mut object = json!({
            "a": a.to_string(),
            "b": b.to_string(),
            "sum": sum.to_string(),
            "expected": expected.to_string(),
            "correct": wrong == 0,
            "wrong_bits": wrong,
        });
        if let Some(outputs) = outputs {
            object["outputs"] = outputs.iter().map(shortest).collect();
        }
        line(object.to_string());
    } else {
        // Who wrote the numbers to a pipe has them.
        line(if is_read { sum.to_string() } else { format!("{a} + {b} = {sum}") });
        let network = format!("the network of {}, trained on {bits} bits", shown(folder.path()));
        if wrong == 0 {
            line(format!("Right in all {digits} binary digits: {network}."));
        } else if is_read {
            line(format!("Wrong in {wrong} of {digits} binary digits: {network}."));
        } else {
            line(format!(
                "Wrong in {wrong} of {digits} binary digits: {network}; the sum is {expected}."
            ));
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The shortest decimal number that is this f32 and no other; as an f64 it would have the digits of
/// a neighbour that nobody computed.
fn shortest(output: &f32) -> serde_json::Value {
    let number = output.to_string().parse::<f64>();
    serde_json::Value::from(number.expect("an output between 0 and 1"))
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

/// The tasks whose networks add.
pub const ADDING: [&str; 2] = [Addition::NAME, Ibp::NAME];

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
            shown(folder.path())
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
