//! Python for the peers: a virtual environment for each library, made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use crate::bench::process::finish;

/// Makes sure that the virtual environment of `name` holds its requirements,
/// and returns its interpreter.
///
/// The stamp next to the environment repeats its requirements. It is written last and
/// removed first: an incomplete environment has none.
pub fn prepare_environment(root: &Path, name: &str, progress: &ProgressBar) -> Result<PathBuf> {
    let requirements = root.join(format!("benches/peers/requirements-{name}.txt"));
    let environments = root.join("target/peers-venv");
    let environment = environments.join(name);
    let stamp = environments.join(format!("{name}.stamp"));
    let python = environment.join("bin/python");

    let version =
        finish(Command::new("python3").arg("--version"), "Python", Duration::from_secs(20))?;
    let listed = fs::read_to_string(&requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    let asked = format!("{version}{listed}");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == asked) {
        return Ok(python);
    }

    progress.set_message(format!("installing {name} under {}", environments.display()));
    if stamp.exists() {
        fs::remove_file(&stamp)?;
    }
    if environment.exists() {
        fs::remove_dir_all(&environment)?;
    }
    fs::create_dir_all(&environments)?;
    finish(
        python_command(Path::new("python3")).args(["-m", "venv"]).arg(&environment),
        "python3 -m venv",
        Duration::from_secs(120),
    )
    .context("no virtual environment (Debian and Ubuntu have it in the package python3-venv)")?;
    finish(
        python_command(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&requirements),
        "pip install",
        Duration::from_secs(if name == "torch" { 3600 } else { 900 }),
    )
    .with_context(|| format!("cannot install {name} (is the package index within reach?)"))?;
    let unfinished = stamp.with_extension("unfinished");
    fs::write(&unfinished, asked)?;
    fs::rename(unfinished, stamp)?;
    Ok(python)
}

/// A Python that sees only the modules of its own environment and leaves no bytecode in the sources.
pub fn python_command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
