//! `cargo xtask`: the commands of Carry, one file each. Each parses, calls, shows.

#![forbid(unsafe_code)]

mod add;
mod bench;
mod certify;
mod chart;
mod children;
mod ci;
mod cluster;
mod dist;
mod evaluate;
mod forecast;
mod fuzz;
mod interrupt;
mod lab;
mod numbers;
mod output;
mod page;
mod paths;
mod plot;
mod race;
mod ranks;
mod replay;
mod run;
mod runs;
mod sample;
mod sanitize;
mod sanitizer;
mod train;

use clap::error::ContextValue;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Duration;

/// Recurrent neural networks on the CPU, trained as fast as the machine allows.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Add(add::Args),
    Run(run::Args),
    Page(page::Args),
    Sample(sample::Args),
    Evaluate(evaluate::Args),
    Forecast(forecast::Args),
    Certify(certify::Args),
    Replay(replay::Args),
    Plot(plot::Args),
    Lab(lab::Args),
    Cluster(cluster::Args),
    Bench(bench::Args),
    Race(race::Args),
    Fuzz(fuzz::Args),
    Sanitize(sanitize::Args),
    Ci(ci::Args),
    Dist(dist::Args),
}

fn main() -> ExitCode {
    // First of all, and before any code that the compiler may have vectorised.
    kernels::cpu::refuse_if_lacking();
    start()
}

/// Exit codes: 0 for success, 1 for failure, 2 for wrong usage; 128 and its number for a signal.
#[inline(never)]
fn start() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(_) if ranks::is_silent() => return ExitCode::from(2),
        Err(answer) => return show(&printable(answer)),
    };
    let result = match ranks::begin(stall(&cli.command), is_for_ranks(&cli.command)) {
        Ok(()) => run(cli.command),
        Err(error) => Err(error),
    };
    let is_well = result.is_ok();
    let code = result.unwrap_or_else(|error| {
        if interrupt::is_stopped(&error) {
            output::warn("stopped");
            return interrupt::exit_code();
        }
        let text = format!("{error:#}");
        let lines: Vec<_> = text.lines().map(paths::printable).collect();
        ranks::tell(&lines.join("\n"));
        ExitCode::from(if is_usage(&error) { 2 } else { 1 })
    });
    output::exit_code(ranks::end(code, is_well))
}

/// Can several ranks of an MPI job do it together?
fn is_for_ranks(command: &Command) -> bool {
    match command {
        Command::Train(_) | Command::Lab(_) => true,
        Command::Certify(args) => args.is_study(),
        _ => false,
    }
}

/// How long its ranks wait for each other.
fn stall(command: &Command) -> Duration {
    match command {
        Command::Train(args) => args.stall(),
        _ => ranks::STALL,
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    if let Some(advice) = kernels::cpu::advice() {
        output::warn(format!("note: {advice}"));
    }
    match command {
        Command::Bench(_)
        | Command::Cluster(_)
        | Command::Race(_)
        | Command::Fuzz(_)
        | Command::Sanitize(_)
        | Command::Ci(_)
        | Command::Dist(_)
            if output::is_installed() =>
        {
            Err(Usage("this command builds the program, and works in its repository alone".into())
                .into())
        }
        Command::Train(args) => train::run(*args),
        Command::Add(args) => add::run(args),
        Command::Run(args) => run::run(args),
        Command::Page(args) => page::run(args),
        Command::Sample(args) => sample::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Forecast(args) => forecast::run(args),
        Command::Certify(args) => certify::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Lab(args) => lab::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Race(args) => race::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Sanitize(args) => sanitize::run(args),
        Command::Ci(args) => ci::run(args),
        Command::Dist(args) => dist::run(args),
    }
}

/// `answer` with the control characters of a command line escaped: nothing that a terminal obeys.
fn printable(mut answer: clap::Error) -> clap::Error {
    let found: Vec<_> = answer.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in found {
        let escaped = match value {
            ContextValue::String(text) => ContextValue::String(paths::printable(&text)),
            ContextValue::Strings(texts) => {
                ContextValue::Strings(texts.iter().map(|text| paths::printable(text)).collect())
            }
            // Tips, which may repeat a word.
            ContextValue::StyledStrs(texts) => {
                let escape = |text: clap::builder::StyledStr| {
                    let plain = text.to_string();
                    if plain.contains(char::is_control) {
                        paths::printable(&plain).into()
                    } else {
                        text
                    }
                };
                ContextValue::StyledStrs(texts.into_iter().map(escape).collect())
            }
            _ => continue,
        };
        answer.insert(kind, escaped);
    }
    answer
}

/// Shows help, or what is wrong with a command line.
fn show(answer: &clap::Error) -> ExitCode {
    if output::is_installed() {
        let text = answer.render().to_string();
        let text = text.trim_end();
        if answer.use_stderr() {
            output::warn(text);
            return ExitCode::from(2);
        }
        output::line(text);
        return output::exit_code(ExitCode::SUCCESS);
    }
    if answer.use_stderr() {
        let _ = answer.print();
        return ExitCode::from(2);
    }
    match answer.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            output::warn(format!("error: cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Options that do not go together, in words.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Is it the command line that must change?
fn is_usage(error: &anyhow::Error) -> bool {
    use ::train::Error::{
        Batch, Bits, Finished, LearningRate, Memory, Model, NoCheckpoint, NotEmpty, Optimizer,
        PushEvery, Ranks, Task, Threads,
    };
    use model::Error as Network;
    let is_named = matches!(
        error.downcast_ref(),
        Some(
            Batch(_)
                | Bits(_)
                | LearningRate(_)
                | Memory { .. }
                | NotEmpty(_)
                | NoCheckpoint(_)
                | Finished(_)
                | Optimizer { .. }
                | PushEvery
                | Ranks(_)
                | Task(_)
                | Threads(_)
                | Model(
                    Network::Zero(_)
                        | Network::TooLarge { .. }
                        | Network::Dropout(_)
                        | Network::DropoutOfOneLayer(_)
                        | Network::Memory { .. }
                )
        )
    );
    is_named || error.is::<Usage>()
}
