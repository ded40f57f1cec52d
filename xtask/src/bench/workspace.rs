//! The workspace whose benches are built and run: where cargo is asked, and where it puts things.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::finish;

/// How Criterion is set: seconds to warm up and to measure, how many samples, and how often they
/// are drawn anew for the confidence intervals.
pub fn criterion_settings(quick: bool) -> [&'static str; 5] {
    let [warm_up, measurement, samples, resamples] = if quick {
        ["--warm-up-time=0.1", "--measurement-time=0.3", "--sample-size=10", "--nresamples=2000"]
    } else {
        ["--warm-up-time=1", "--measurement-time=3", "--sample-size=50", "--nresamples=20000"]
    };
    ["--noplot", warm_up, measurement, samples, resamples]
}

/// The folder of the workspace.
///
/// # Errors
/// Never: xtask is a folder of the workspace.
pub fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")
}

/// The workspace and a target folder.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: OsString,
    /// What to build for, where it is not what the configuration says.
    cpu: Option<String>,
}

impl Workspace {
    /// As cargo finds it.
    ///
    /// # Errors
    /// If the current folder is gone, which a relative `CARGO_TARGET_DIR` refers to.
    pub fn here() -> Result<Self> {
        let root = root()?;
        // Absolute, for cargo is called in the root.
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => std::path::absolute(target)?,
            None => root.join("target"),
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Ok(Self { root: root.to_owned(), target, cargo, cpu: None })
    }

    /// The same for another CPU, with a target folder of its own below the first.
    pub fn for_cpu(&self, cpu: &str) -> Self {
        let (root, cargo) = (self.root.clone(), self.cargo.clone());
        Self { root, target: self.target.join(cpu), cargo, cpu: Some(cpu.to_owned()) }
    }

    /// Where reports go.
    pub fn report_folder(&self) -> PathBuf {
        self.target.join("bench-report")
    }

    /// `cargo bench --package benches`, and no more yet.
    pub fn cargo_bench(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .args(["bench", "--quiet", "--package", "benches"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        if let Some(cpu) = &self.cpu {
            command.env("RUSTFLAGS", format!("-C target-cpu={cpu}"));
            command.env("CARRY_BENCH_ANY_BUILD", "1"); // it was asked for
        }
        command
    }

    /// Builds the bench targets `names`, so that no compilation comes between measurements.
    ///
    /// # Errors
    /// If that fails.
    pub fn build<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut command = self.cargo_bench();
        command.arg("--no-run");
        for name in names {
            command.args(["--bench", name]);
        }
        finish(&mut command, "building the benchmarks", Duration::from_secs(3600))?;
        Ok(())
    }

    /// The compiler's name and version.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub fn rustc_version(&self) -> Result<String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.arg("--version").current_dir(&self.root);
        let version = finish(&mut command, "rustc", Duration::from_secs(60))?;
        Ok(version.trim().to_owned())
    }
}
