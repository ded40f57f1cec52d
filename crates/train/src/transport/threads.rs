//! Ranks that are threads of one process: they meet at a barrier, and have a letter box each.

use super::Transport;
use std::collections::VecDeque;
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};

/// What all ranks see.
#[derive(Debug)]
struct Meeting {
    barrier: Barrier,
    bytes: Vec<Mutex<Vec<u8>>>,
    boxes: Vec<LetterBox>,
}

/// What was sent to a rank and is not yet received: by whom, and what.
#[derive(Debug, Default)]
struct LetterBox {
    letters: Mutex<VecDeque<(usize, Vec<u8>)>>,
    is_new: Condvar,
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
            bytes: (0..ranks).map(|_| Mutex::default()).collect(),
            boxes: (0..ranks).map(|_| LetterBox::default()).collect(),
        });
        (0..ranks).map(|rank| Self { rank, meeting: meeting.clone() }).collect()
    }

    /// Shows `own` to all, and calls `read` with each rank and what it shows.
    fn meet(&self, own: &[u8], mut read: impl FnMut(usize, &[u8])) {
        {
            let mut slot = lock(&self.meeting.bytes[self.rank]);
            slot.clear();
            slot.extend_from_slice(own);
        }
        self.meeting.barrier.wait();
        for (rank, slot) in self.meeting.bytes.iter().enumerate() {
            read(rank, &lock(slot));
        }
        // Nobody writes the next before all have read this.
        self.meeting.barrier.wait();
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.meeting.bytes.len()
    }

    fn gather_while(&self, own: &[u8], all: &mut [u8], meanwhile: &mut dyn FnMut()) {
        let n = own.len();
        assert_eq!(all.len(), self.ranks() * n, "room for what each rank has");
        meanwhile();
        self.meet(own, |rank, bytes| all[rank * n..][..n].copy_from_slice(bytes));
    }

    fn scatter_while(&self, own: &[u8], all: &mut [u8], meanwhile: &mut dyn FnMut()) {
        assert_eq!(all.len(), own.len(), "room for what each rank sends");
        assert!(own.len().is_multiple_of(self.ranks()), "a part for each rank");
        let n = own.len() / self.ranks();
        meanwhile();
        self.meet(own, |rank, bytes| {
            all[rank * n..][..n].copy_from_slice(&bytes[self.rank * n..][..n]);
        });
    }

    fn send_bytes(&self, to: usize, bytes: &[u8]) {
        assert_ne!(to, self.rank, "a rank has nothing to send to itself");
        let letter_box = &self.meeting.boxes[to];
        lock(&letter_box.letters).push_back((self.rank, bytes.to_vec()));
        letter_box.is_new.notify_one();
    }

    fn receive_bytes(&self, from: Option<usize>) -> (usize, Vec<u8>) {
        assert_ne!(from, Some(self.rank), "a rank has nothing to send to itself");
        assert!(from.is_none_or(|from| from < self.ranks()), "a rank of the job");
        let letter_box = &self.meeting.boxes[self.rank];
        let mut letters = lock(&letter_box.letters);
        loop {
            let is_meant = |(by, _): &(usize, _)| from.is_none_or(|from| from == *by);
            if let Some(letter) = letters.iter().position(is_meant) {
                return letters.remove(letter).expect("it was there");
            }
            letters = letter_box.is_new.wait(letters).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
