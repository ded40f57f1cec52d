//! This process as a rank of an MPI job, where `mpirun` or `srun` has started it: begun before the
//! command, compared with the other ranks, ended with it. Rank 0 says everything; the others tell
//! their errors alone, with their number.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use train::transport::Transport;

/// How long other ranks are waited for where nobody says.
pub const STALL: Duration = Duration::from_secs(60);

/// What launchers tell how many processes there are: OpenMPI's `mpirun`, MPICH's and Slurm's `srun`,
/// which also starts what is no MPI.
#[cfg(not(feature = "mpi"))]
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", SLURM];

/// Where `srun` tells it.
const SLURM: &str = "SLURM_STEP_NUM_TASKS";

/// The number in a variable of the environment.
fn number_in(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

/// What launchers tell a process of its number.
const NUMBERS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

/// Is this process one that another says everything for? Known before MPI starts.
pub fn is_silent() -> bool {
    let number = NUMBERS.iter().find_map(|name| number_in(name));
    number.is_some_and(|number| number > 0)
}

/// The other ranks; none where this process is on its own.
pub fn transport() -> Option<Arc<dyn Transport>> {
    job::transport()
}

/// Begins to be a rank, if this process was started as one, for a command that `may` be one of
/// several.
///
/// # Errors
/// If the ranks are of different programs or on different CPUs, or the command is for one alone.
pub fn begin(stall: Duration, may: bool) -> anyhow::Result<()> {
    if is_silent() {
        crate::output::be_silent();
    }
    job::begin(stall, may)
}

/// Ends being a rank: with the others, if all is well, else with all of them at once.
pub fn end(code: ExitCode, is_well: bool) -> ExitCode {
    job::end(code, is_well)
}

/// Prints an error, of which rank it is.
pub fn tell(error: &str) {
    match transport() {
        Some(transport) if transport.ranks() > 1 => {
            crate::output::tell(format!("error: {}: {error}", job::name(transport.rank())));
        }
        _ => crate::output::warn(format!("error: {error}")),
    }
}

/// Without the feature `mpi`, there are no ranks.
#[cfg(not(feature = "mpi"))]
mod job {
    use super::{Arc, Duration, ExitCode, SIZES, Transport, number_in};
    use crate::Usage;

    pub fn transport() -> Option<Arc<dyn Transport>> {
        None
    }

    /// As many trainings side by side as there are ranks are nobody's wish.
    pub fn begin(_stall: Duration, _may: bool) -> anyhow::Result<()> {
        let size = SIZES.iter().find_map(|name| number_in(name));
        if size.is_none_or(|size| size < 2) {
            return Ok(());
        }
        let reason = "MPI or srun has started several of this program, and this build knows no MPI; build \
                      it with `cargo build --release --package xtask --features mpi`, or start it by \
                      `cargo xtask cluster`";
        Err(Usage(reason.to_owned()).into())
    }

    pub fn end(code: ExitCode, _is_well: bool) -> ExitCode {
        code
    }

    pub fn name(rank: usize) -> String {
        format!("rank {rank}")
    }
}

#[cfg(feature = "mpi")]
mod job {
    use super::{Arc, Duration, ExitCode, SLURM, Transport, number_in};
    use crate::{Usage, interrupt, paths};
    use anyhow::Context;
    use sha2::{Digest, Sha256};
    use std::sync::Mutex;
    use std::{env, fs, panic, thread};
    use train::transport::{Differs, Mpi, Watch, compare};

    /// Taken out at the end: MPI must be finished before the process is.
    static MPI: Mutex<Option<Arc<Mpi>>> = Mutex::new(None);

    fn mpi() -> Option<Arc<Mpi>> {
        MPI.lock().expect("nobody panics with it").clone()
    }

    pub fn transport() -> Option<Arc<dyn Transport>> {
        mpi().map(|mpi| mpi as Arc<dyn Transport>)
    }

    pub fn begin(stall: Duration, may: bool) -> anyhow::Result<()> {
        if !Mpi::is_started() {
            if number_in(SLURM).is_some_and(|tasks| tasks > 1) {
                let reason = "srun has started several of this program without MPI; start them by `srun \
                              --mpi=pmix` (--mpi=pmi2 for MPICH)";
                return Err(Usage(reason.to_owned()).into());
            }
            return Ok(());
        }
        interrupt::watch_as_rank()?;
        let watch = Watch { stall, is_asked: interrupt::asked, lost: super::tell };
        let mpi = Arc::new(Mpi::start(watch).context("MPI was started before")?);
        *MPI.lock().expect("nobody panics with it") = Some(Arc::clone(&mpi));
        if mpi.ranks() == 1 {
            return Ok(());
        }
        let before = panic::take_hook();
        let who = name(mpi.rank());
        panic::set_hook(Box::new(move |info| {
            crate::output::tell(format!("error: {who}:"));
            before(info);
        }));
        let begun = check(&mpi, may);
        if begun.is_err() && mpi.rank() > 0 {
            thread::sleep(Duration::from_secs(5)); // rank 0 tells it, and ends the job
        }
        begun
    }

    /// Is it a command for several ranks, and the same program on the same CPUs on all of them?
    fn check(mpi: &Mpi, may: bool) -> anyhow::Result<()> {
        if !may {
            let reason = "this command is for one process; start it without mpirun";
            return Err(Usage(reason.to_owned()).into());
        }
        let program = env::current_exe().context("where this program is, nobody knows")?;
        let itself = std::path::Path::new("/proc/self/exe"); // even if the file was replaced
        let program = if itself.exists() { itself } else { &program };
        let program =
            fs::read(program).with_context(|| format!("cannot read {}", paths::shown(program)))?;
        Ok(compare_builds(mpi, &program, &cpu())?)
    }

    /// Are all ranks this `program`, on such a `cpu`?
    fn compare_builds(transport: &dyn Transport, program: &[u8], cpu: &str) -> Result<(), Differs> {
        compare(transport, "program (xtask)", &Sha256::digest(program).into())?;
        compare(transport, "CPU", &Sha256::digest(cpu).into())
    }

    /// What a CPU has that the C library or the kernels may choose their arithmetic by.
    fn cpu() -> String {
        let features = [
            #[cfg(target_arch = "x86_64")]
            ("sse4.1", std::is_x86_feature_detected!("sse4.1")),
            #[cfg(target_arch = "x86_64")]
            ("avx", std::is_x86_feature_detected!("avx")),
            #[cfg(target_arch = "x86_64")]
            ("avx2", std::is_x86_feature_detected!("avx2")),
            #[cfg(target_arch = "x86_64")]
            ("fma", std::is_x86_feature_detected!("fma")),
            #[cfg(target_arch = "x86_64")]
            ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ];
        let _: &[(&str, bool)] = &features;
        format!("{} {features:?} {:?}", env::consts::ARCH, kernels::cpu::unused_features())
    }

    pub fn end(code: ExitCode, is_well: bool) -> ExitCode {
        let mpi = MPI.lock().expect("nobody panics with it").take();
        if let Some(mpi) = mpi.filter(|mpi| !is_well && mpi.ranks() > 1) {
            let codes = (0..=255).map(|number| (number, ExitCode::from(number)));
            let same = |(_, other): &(u8, ExitCode)| *other == code;
            mpi.abort(codes.into_iter().find(same).map_or(1, |(number, _)| number.into()));
        }
        code
    }

    pub fn name(rank: usize) -> String {
        match mpi() {
            Some(mpi) => format!("rank {rank} on {}", mpi.host()),
            None => format!("rank {rank}"),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use train::transport::Threads;

        #[test]
        fn another_program_or_cpu_on_any_rank_is_named_on_all() {
            let this = cpu();
            let other = this.replace("(\"avx512f\", true)", "(\"avx512f\", false)") + " and more";
            for odd in 1..4 {
                for (program, cpu, what) in [
                    (&b"program"[..], &*other, Some("CPU")),
                    (b"another program", &*this, Some("program (xtask)")),
                    (b"another program", &*other, Some("program (xtask)")),
                    (b"program", &*this, None),
                ] {
                    let expected = what.map(|what| Differs { what: what.to_owned(), rank: odd });
                    thread::scope(|scope| {
                        for transport in Threads::new(4) {
                            let (this, expected) = (&this, &expected);
                            scope.spawn(move || {
                                let found = if transport.rank() == odd {
                                    compare_builds(&transport, program, cpu)
                                } else {
                                    compare_builds(&transport, b"program", this)
                                };
                                assert_eq!(found.err(), *expected);
                            });
                        }
                    });
                }
            }
        }
    }
}
