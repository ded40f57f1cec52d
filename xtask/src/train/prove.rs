//! The proof that is looked for behind a training, where one was asked for.

use crate::certify::proof::search;
use crate::interrupt;
use crate::numbers::whole;
use certify::BUDGET;
use serde_json::Value;
use std::process::ExitCode;
use train::run_folder::RunFolder;

/// The most networks that are trained until one is proved.
const MOST: u64 = 1_000;

/// The option, of each task whose networks can be proved.
#[derive(clap::Args)]
pub struct Attempts {
    /// Train for a proof (--certifiable), look for it as `cargo xtask certify` does, and where there
    /// is none train again from the next seed, so many networks at most; the folder keeps the last.
    /// Exit code 0 with a proof, 1 without
    #[arg(long, value_name = "ATTEMPTS", value_parser = whole::<u64>(1..=MOST),
          allow_negative_numbers = true,
          conflicts_with_all = ["seeds", "layers", "bidirectional", "dropout", "memory"])]
    pub until_proved: Option<u64>,
}

/// What became of it.
pub struct Attempt {
    /// Success with a proof, failure without, and what a shell expects of a program that was stopped.
    pub code: ExitCode,
    /// What programs are told.
    pub fields: Value,
    /// Whether its files could be written.
    pub kept: anyhow::Result<()>,
}

/// Looks for a proof of the network of a finished run, keeps it beside the run, and tells about it
/// unless `quiet`.
///
/// # Errors
/// If no proof can be looked for, or the folder cannot be read.
pub fn prove(folder: &RunFolder, quiet: bool) -> anyhow::Result<Attempt> {
    let found = search(folder, BUDGET)?;
    if found.is_stopped() {
        found.warn_of_stop();
        let fields = found.fields(&Ok(()));
        return Ok(Attempt { code: interrupt::exit_code(), fields, kept: Ok(()) });
    }
    if !quiet {
        found.show();
    }
    let kept = found.keep();
    if kept.is_ok() && !quiet {
        found.show_files();
    }
    let code = if found.is_proved() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok(Attempt { code, fields: found.fields(&kept), kept })
}
