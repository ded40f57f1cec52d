//! What the ranks of a training say to each other: the one trait, and the sums and comparisons
//! that are made of it.
//!
//! A rank is a process of an MPI job (`Mpi`, with the feature `mpi`), or a thread of this process
//! ([`Threads`]). All ranks call the same functions in the same order, with buffers of the same
//! lengths.

#[cfg(feature = "mpi")]
mod message_passing;
mod threads;

#[cfg(feature = "mpi")]
pub use message_passing::Mpi;
pub use threads::Threads;

use kernels::vector::axpy;

/// Values that travel at a time: what a sum needs beside its arena is this for each rank.
const BLOCK: usize = 1 << 16;

/// One rank of several.
pub trait Transport {
    /// Its number, from 0.
    fn rank(&self) -> usize;

    /// How many there are: 1 at least.
    fn ranks(&self) -> usize;

    /// Each rank's `own` (n values) in `all` (ranks × n), in rank order.
    ///
    /// # Panics
    /// If `all` is of another length.
    fn all_gather(&self, own: &[f32], all: &mut [f32]);

    /// [`Transport::all_gather`] of bytes.
    ///
    /// # Panics
    /// If `all` is of another length.
    fn all_gather_bytes(&self, own: &[u8], all: &mut [u8]);
}

/// Something that must be the same on all ranks is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} of rank {rank} is not that of rank 0: give every rank the same")]
pub struct Differs {
    /// Which thing: `configuration`, say.
    pub what: String,
    /// The first rank where it is another than on rank 0.
    pub rank: usize,
}

/// `values` becomes the sum over all ranks: ((v₀ + v₁) + v₂) + … , whoever comes first; the same
/// bits on every rank.
pub fn sum_in_rank_order(transport: &dyn Transport, values: &mut [f32]) {
    let ranks = transport.ranks();
    let mut all = vec![0.0; ranks * values.len().min(BLOCK)];
    for own in values.chunks_mut(BLOCK) {
        let all = &mut all[..ranks * own.len()];
        transport.all_gather(own, all);
        let (first, others) = all.split_at(own.len());
        own.copy_from_slice(first);
        for other in others.chunks_exact(own.len()) {
            axpy(1.0, other, own);
        }
    }
}

/// Is `digest`, that of `what`, the same on all ranks? All are given the same answer.
///
/// # Errors
/// [`Differs`] with the first rank where it is another than on rank 0.
pub fn compare(transport: &dyn Transport, what: &str, digest: &[u8; 32]) -> Result<(), Differs> {
    let mut all = vec![0; 32 * transport.ranks()];
    transport.all_gather_bytes(digest, &mut all);
    match all.chunks_exact(32).position(|other| *other != all[..32]) {
        Some(rank) => Err(Differs { what: what.into(), rank }),
        None => Ok(()),
    }
}
