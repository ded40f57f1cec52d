//! `cargo xtask cluster`: a command on several processes, which `mpirun` starts, on this machine or
//! on several; and what that would gain on machines that are not here.

mod picture;
mod ping;
mod predict;

use crate::bench::workspace::root;
use crate::children;
use crate::numbers::whole;
use crate::output::{Wait, line};
use crate::{Cli, Usage, paths, show};
use anyhow::{Context, bail};
use clap::Parser;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Run a command on several processes (ranks) by MPI, on this machine or on many
///
/// Builds the program with its feature `mpi` and has `mpirun` start it; the line is printed, and can
/// be changed and typed again. A batch system's `srun target/release/xtask train …` does the same:
/// the program sees by itself that MPI has started it. Needs Debian's libopenmpi-dev, openmpi-bin
/// and libclang-dev. See crates/train/CLUSTER.md.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask cluster -n 2 -- train text book.txt --strategy averaging --threads 1
  cargo xtask cluster -n 16 --hosts hosts -- train --seeds 0..100000
  cargo xtask cluster -n 2 -- train --resume runs/0001
  cargo xtask cluster --predict                          the lab, to a loss of 0.3
  cargo xtask cluster --predict --text book.txt --loss 2 --workers 2,4,8 --push-every 32,320

--predict starts nothing: from the examples that N simulated workers need to a loss, the time of an
example, and what a message costs over TCP on the loopback follows the time to the loss on 2 to 1,024
ranks, over the loopback and three networks that are only assumed, and which strategy and K to take.")]
pub struct Args {
    /// The ranks
    #[arg(short = 'n', long, value_name = "RANKS", value_parser = whole::<u32>(1..=65_536),
          allow_negative_numbers = true, required_unless_present = "predict")]
    ranks: Option<u32>,

    /// The machines, a line each: a name, and `slots=16` for one that takes 16 ranks
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,

    /// The command and its options, behind `--`
    #[arg(last = true, required_unless_present = "predict", value_name = "COMMAND")]
    command: Vec<OsString>,

    #[command(flatten)]
    predict: predict::PredictArgs,
}

/// The commands that know what to do with several ranks.
const COMMANDS: [&str; 3] = ["train", "certify", "lab"];

/// What ranks have for a last checkpoint after Ctrl-C.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// What `mpirun` gives them, where another is killed or it gets the signal itself, in seconds; it
/// waits twice for so long.
const GRACE: &str = "2";

/// Bytes of a message over TCP that is sent without asking whether it is welcome, which takes there and
/// back: a block of parameters, and no more, as each rank keeps some dozens of messages of this size.
const EAGER: &str = "524288";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some(ranks) = args.ranks.filter(|_| !args.predict.predict) else {
        return predict::run(&args.predict);
    };
    let name = args.command[0].to_str().unwrap_or_default();
    if !COMMANDS.contains(&name) {
        let known = COMMANDS.join(", ");
        return Err(Usage(format!(
            "`{}` does not run on several ranks; these do: {known}",
            paths::printable(&args.command[0].to_string_lossy())
        ))
        .into());
    }
    // Before anything is built: what is wrong with it, and its --help.
    let words = [OsString::from("cargo xtask")].into_iter().chain(args.command.iter().cloned());
    if let Err(answer) = Cli::try_parse_from(words) {
        return Ok(show(&answer));
    }
    let launcher = launcher()?;
    let program = build(root()?)?;
    let mut command = Command::new("mpirun");
    let ranks = ranks.to_string();
    match launcher {
        Launcher::OpenMpi => {
            command.args(["--oversubscribe", "--bind-to", "none", "-n", &ranks]);
            command.args(["--mca", "odls_base_sigkill_timeout", GRACE]);
            for limit in ["btl_tcp_eager_limit", "btl_tcp_rndv_eager_limit"] {
                command.args(["--mca", limit, EAGER]);
            }
            if let Some(hosts) = &args.hosts {
                command.arg("--hostfile").arg(hosts);
            }
            if is_root() {
                command.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
                command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
            }
        }
        Launcher::Other => {
            command.args(["-n", &ranks]);
            if let Some(hosts) = &args.hosts {
                command.arg("-f").arg(hosts);
            }
        }
    }
    command.arg(&program).args(&args.command);
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| paths::quoted_word(word.as_encoded_bytes())).collect();
    line(words.join(" "));
    let status =
        children::start(&mut command).context("cannot start mpirun")?.wait_for_job(LAST_WORDS)?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Whose `mpirun` it is.
enum Launcher {
    OpenMpi,
    /// MPICH's, and those that take its options.
    Other,
}

/// The `mpirun` that is installed.
fn launcher() -> anyhow::Result<Launcher> {
    let version = children::output(Command::new("mpirun").arg("--version"), None);
    let (Ok(version), true) = (version, has_compiler()) else {
        bail!(
            "no MPI is installed; get one with `apt-get install libopenmpi-dev openmpi-bin \
             libclang-dev` (on every machine), or load your cluster's module"
        );
    };
    let is_open = version.stdout.contains("Open MPI") || version.stdout.contains("OpenRTE");
    Ok(if is_open { Launcher::OpenMpi } else { Launcher::Other })
}

fn has_compiler() -> bool {
    let version = children::output(Command::new("mpicc").arg("--version"), None);
    version.is_ok_and(|version| version.status.is_some_and(|status| status.success()))
}

/// Builds the program with the feature; where it lies then.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "--package", "xtask", "--bin", "xtask"]);
    command.args(["--features", "mpi", "--message-format", "json-render-diagnostics"]);
    command.current_dir(root);
    let wait = Wait::for_long(Some("building the program with MPI"));
    let output = children::output(&mut command, None)?;
    wait.finish();
    if !output.status.is_some_and(|status| status.success()) {
        let tail: Vec<_> = output.stderr.trim_end().lines().rev().take(20).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        bail!(
            "the program cannot be built with MPI; is libclang-dev installed beside \
             libopenmpi-dev?\n{}",
            tail.join("\n")
        );
    }
    let built = output.stdout.lines().filter_map(executable).next_back();
    built.context("cargo does not say where it has built the program")
}

/// The program that a line of cargo's messages tells of.
fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
