//! The project's commands: `cargo xtask COMMAND`.

mod bench_peers;

use clap::{Parser, Subcommand};

/// The commands of Carry.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
enum Xtask {
    /// Time the lab
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// Compare with NumPy, JAX and PyTorch
    Peers(bench_peers::Args),
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse() {
        Xtask::Bench(Bench::Peers(args)) => bench_peers::run(args),
    }
}
