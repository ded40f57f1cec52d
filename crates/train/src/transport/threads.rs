//! Ranks that are threads of one process, and meet at a barrier.

use super::Transport;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

/// What all ranks see.
#[derive(Debug)]
struct Meeting {
    barrier: Barrier,
    values: Vec<Mutex<Vec<f32>>>,
    bytes: Vec<Mutex<Vec<u8>>>,
}

/// A rank that is a thread. All of [`Threads::new`] must go on: the others wait for one that ends.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    meeting: Arc<Meeting>,
}

impl Threads {
    /// `ranks` of them, in their order, one for each thread.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(ranks: usize) -> Vec<Self> {
        assert!(ranks > 0, "a training needs a rank");
        let meeting = Arc::new(Meeting {
            barrier: Barrier::new(ranks),
            values: (0..ranks).map(|_| Mutex::default()).collect(),
            bytes: (0..ranks).map(|_| Mutex::default()).collect(),
        });
        (0..ranks).map(|rank| Self { rank, meeting: meeting.clone() }).collect()
    }

    fn gather<V: Copy>(&self, own: &[V], all: &mut [V], slots: &[Mutex<Vec<V>>]) {
        assert_eq!(all.len(), slots.len() * own.len(), "room for what each rank has");
        let lock = |slot: usize| slots[slot].lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut slot = lock(self.rank);
            slot.clear();
            slot.extend_from_slice(own);
        }
        self.meeting.barrier.wait();
        if !own.is_empty() {
            for (rank, part) in all.chunks_exact_mut(own.len()).enumerate() {
                part.copy_from_slice(&lock(rank));
            }
        }
        // Nobody writes the next before all have read this.
        self.meeting.barrier.wait();
    }
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.meeting.values.len()
    }

    fn all_gather(&self, own: &[f32], all: &mut [f32]) {
        self.gather(own, all, &self.meeting.values);
    }

    fn all_gather_bytes(&self, own: &[u8], all: &mut [u8]) {
        self.gather(own, all, &self.meeting.bytes);
    }
}
