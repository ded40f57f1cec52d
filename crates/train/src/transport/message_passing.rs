//! Ranks that are processes of an MPI job: OpenMPI or MPICH, by the crate `mpi`.

use super::Transport;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi::{Threading, initialize_with_threading};
use std::env;
use std::fmt;

/// What launchers tell the processes that they start: OpenMPI's `mpirun`, MPICH's and Slurm's.
const STARTED: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

/// This process as a rank. MPI ends with it; dropped by a panic, it ends the whole job, for the
/// other ranks would wait for this one.
pub struct Mpi {
    world: SimpleCommunicator,
    _universe: Universe,
}

impl Mpi {
    /// Was this process started by MPI? Asks the environment alone.
    pub fn is_started() -> bool {
        STARTED.iter().any(|name| env::var_os(name).is_some())
    }

    /// Starts MPI, which the thread that calls this may use; `None` if it was started before in
    /// this process.
    pub fn start() -> Option<Self> {
        let (universe, _) = initialize_with_threading(Threading::Funneled)?;
        Some(Self { world: universe.world(), _universe: universe })
    }

    /// Ends every rank of the job at once, with this exit code.
    pub fn abort(&self, code: i32) -> ! {
        self.world.abort(code)
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort(1);
        }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi {{ rank: {}, ranks: {} }}", self.rank(), self.ranks())
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn ranks(&self) -> usize {
        self.world.size() as usize
    }

    fn all_gather(&self, own: &[f32], all: &mut [f32]) {
        assert_eq!(all.len(), self.ranks() * own.len(), "room for what each rank has");
        self.world.all_gather_into(own, all);
    }

    fn all_gather_bytes(&self, own: &[u8], all: &mut [u8]) {
        assert_eq!(all.len(), self.ranks() * own.len(), "room for what each rank has");
        self.world.all_gather_into(own, all);
    }
}
