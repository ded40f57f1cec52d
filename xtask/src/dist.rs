//! `cargo xtask dist`: a folder with the program for every x86-64.

use crate::bench::workspace::root;
use crate::children::{self, Output};
use crate::output::{Wait, line};
use crate::paths::shown;
use anyhow::{Context, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use train::atomic_file::write_whole;

/// Build a folder with the program that runs on every x86-64
///
/// The kernels choose their vectors when they are built, so the folder has three builds: for every
/// x86-64, for AVX2 (x86-64-v3), and for AVX-512 (x86-64-v4). `carry` in it starts the best one for
/// the CPU it is on. The folder can be copied anywhere; nothing has to be installed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask dist
  target/dist/carry/carry train
  cargo xtask dist --out /tmp/carry")]
pub struct Args {
    /// The folder [default: target/dist/carry]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The CPUs that are built for; the launcher knows them, too.
const CPUS: [&str; 3] = ["x86-64", "x86-64-v3", "x86-64-v4"];

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if cfg!(not(target_arch = "x86_64")) {
        bail!(
            "a folder is made for x86-64 alone; elsewhere, `cargo build --release` is for this CPU"
        );
    }
    let root = root()?;
    let out = args.out.unwrap_or_else(|| root.join("target/dist/carry"));
    let builds = out.join("builds");
    fs::create_dir_all(&builds).with_context(|| format!("cannot make {}", shown(&builds)))?;
    let host = host()?;
    for cpu in CPUS {
        let program = build(root, &host, cpu, "xtask")?;
        install(&program, &builds.join(format!("carry-{cpu}")))?;
    }
    install(&build(root, &host, CPUS[0], "carry")?, &out.join("carry"))?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let text = fs::read(root.join(name)).with_context(|| format!("cannot read {name}"))?;
        write_whole(&out.join(name), &text)?;
    }
    line(format!("The folder is {}; try {}", shown(&out), shown(&out.join("carry train"))));
    Ok(ExitCode::SUCCESS)
}

/// The target that this compiler builds for by itself.
fn host() -> anyhow::Result<String> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let Output { stdout, .. } = children::output(rustc.arg("-vV"), None)?;
    let host = stdout.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Builds `program` for `cpu`; where it lies then.
///
/// The target is named even though it is this machine's: cargo then compiles build scripts and
/// macros, which run here and now, without the flags for `cpu`.
fn build(root: &Path, host: &str, cpu: &str, program: &str) -> anyhow::Result<PathBuf> {
    let target = root.join("target/dist/build");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--release", "--target", host])
        .args(["--package", "xtask", "--bin", program])
        .args(["--config", "profile.release.strip=true"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", format!("-C target-cpu={cpu}"));
    line(format!("building {program} for {cpu}"));
    let wait = Wait::for_long(Some("this takes minutes the first time"));
    let Output { status, stderr, .. } = children::output(&mut command, None)?;
    wait.finish();
    if !status.is_some_and(|status| status.success()) {
        bail!("building {program} for {cpu} failed:\n{stderr}");
    }
    Ok(target.join(host).join("release").join(program))
}

/// Copies a program, whole or not at all.
fn install(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", shown(from)))?;
    write_whole(to, &bytes)?;
    let may_run = fs::metadata(from)?.permissions();
    fs::set_permissions(to, may_run).with_context(|| format!("cannot set {}", shown(to)))
}
