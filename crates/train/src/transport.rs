//! What the ranks of a training say to each other: the one trait, and the sums and comparisons
//! that are made of it.
//!
//! A rank is a process of an MPI job (`Mpi`, with the feature `mpi`), or a thread of this process
//! ([`Threads`]). All ranks call the same collective functions in the same order, with buffers of
//! the same lengths; messages to one rank are for the rest.

#[cfg(feature = "mpi")]
mod message_passing;
mod threads;

#[cfg(feature = "mpi")]
pub use message_passing::{Mpi, Watch};
pub use threads::Threads;

use bytemuck::{cast_slice, cast_slice_mut};
use kernels::vector::axpy;
use std::fmt::Debug;

/// Values that travel at a time: what a sum needs beside its arena is this for each rank.
const BLOCK: usize = 1 << 16;

/// One rank of several. A call from one thread at a time; which one does not matter.
pub trait Transport: Debug + Send + Sync {
    /// Its number, from 0.
    fn rank(&self) -> usize;

    /// How many there are: 1 at least.
    fn ranks(&self) -> usize;

    /// Each rank's `own` (n bytes) in `all` (ranks × n), in rank order; does `meanwhile` while
    /// they travel.
    ///
    /// # Panics
    /// If `all` is of another length.
    fn gather_while(&self, own: &[u8], all: &mut [u8], meanwhile: &mut dyn FnMut());

    /// The n-th part of `own` (ranks × n bytes) to rank n; in `all` what each rank has for this
    /// one, in rank order; does `meanwhile` while they travel.
    ///
    /// # Panics
    /// If the lengths differ, or are no multiple of the ranks.
    fn scatter_while(&self, own: &[u8], all: &mut [u8], meanwhile: &mut dyn FnMut());

    /// Sends `bytes` to the rank `to`, another one. May wait until it receives them.
    ///
    /// # Panics
    /// If there is no such rank, or it is this one.
    fn send_bytes(&self, to: usize, bytes: &[u8]);

    /// The next message of the rank `from`, or of whoever sends one; and who that was. Those of one
    /// rank come in the order in which they were sent.
    ///
    /// # Panics
    /// If there is no such rank, or it is this one.
    fn receive_bytes(&self, from: Option<usize>) -> (usize, Vec<u8>);

    /// Each rank's `own` (n values) in `all` (ranks × n), in rank order.
    ///
    /// # Panics
    /// If `all` is of another length.
    fn all_gather(&self, own: &[f32], all: &mut [f32]) {
        self.gather_while(cast_slice(own), cast_slice_mut(all), &mut || ());
    }

    /// [`Transport::all_gather`] of bytes.
    ///
    /// # Panics
    /// If `all` is of another length.
    fn all_gather_bytes(&self, own: &[u8], all: &mut [u8]) {
        self.gather_while(own, all, &mut || ());
    }
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
