//! What threads that compute the same steps together tell each other, turn by turn.
//!
//! ```text
//! turn n of each thread      publish its rows
//!                            (work that needs only its own)
//!                            take the rows of each other thread, which waits for them
//! ```
//!
//! This is a barrier that carries data: whoever has taken from all others knows that all have
//! come as far, and that nobody waits for a thread that has more to do than its turn.
//!
//! # Order of memory
//!
//! Rows are relaxed atomics. A thread stores its rows, then counts its turn with release; who
//! reads that count with acquire reads these rows, or later ones. They are not later ones: there
//! are two slots, used by turns, and turn n + 2 is published into the slot of turn n only by a
//! thread that has taken turn n + 1 of all others, who published it after they had taken turn n.
//! [`Seat::publish`] insists on this order. So what is taken does not depend on who is first.
//!
//! # Waiting
//!
//! A step takes a microsecond, so a thread first waits without leaving its core; then it offers
//! the core to others; then it sleeps, a little at a time: where there are more threads than free
//! cores, the one that is waited for gets a core. There is nobody to wake, so publishing costs no
//! system call. A thread that panics takes its seat's exchange with it: the others panic, too,
//! instead of waiting for ever.
//!
//! Not for threads that come and go: all must take part in every turn.
//!
//! Under `--cfg loom` the atomics are those of the model checker `loom`, and a line is one of
//! them; see `tests/loom.rs`.

use crate::buffer::LINE;
use crate::matrix::{MatMut, MatRef};
use crate::prefetch;
#[cfg(not(loom))]
use crate::relaxed::Line;
#[cfg(loom)]
use loom::{
    hint,
    sync::atomic::{AtomicBool, AtomicUsize},
    thread::yield_now,
};
#[cfg(loom)]
use one_value::Line;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::Duration;
#[cfg(not(loom))]
use std::{hint, thread::yield_now};

/// Looks at a count that is waited for before the core is offered to others: a few microseconds,
/// for where two threads have one core, each of these is waited for in vain in every step. To
/// loom every look but an offer of the core is another interleaving.
const LOOKS: u32 = if cfg!(loom) { 0 } else { 200 };
/// Offers of the core before sleeping: many, since one that nobody takes up is soon over.
const OFFERS: u32 = if cfg!(loom) { u32::MAX } else { 200 };
/// How long a thread sleeps at a time.
const NAP: Duration = Duration::from_micros(50);

/// Where the threads publish.
#[derive(Debug)]
pub struct Exchange {
    places: Vec<Place>,
    has_failed: AtomicBool,
}

/// What one thread publishes. The count and the slots are on cache lines of their own, two by
/// two, as the prefetcher fetches them.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    turns: Turns,
    slots: [Vec<Line>; 2],
}

/// The turns that a thread has published.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Turns(AtomicUsize);

/// One thread's access to an exchange.
#[derive(Debug)]
pub struct Seat<'a> {
    exchange: &'a Exchange,
    number: usize,
    /// The turns that it has published.
    turn: usize,
    /// The others from which it has taken the last of them.
    taken: usize,
}

impl Exchange {
    /// An exchange between `threads` threads.
    pub fn new(threads: usize) -> Self {
        let places = (0..threads).map(|_| Place::default()).collect();
        Self { places, has_failed: AtomicBool::new(false) }
    }

    /// Begins anew, with room for `values` values in each turn of a thread: the seats of the
    /// threads, which count their turns from zero.
    pub fn seats(&mut self, values: usize) -> Vec<Seat<'_>> {
        self.has_failed = AtomicBool::new(false);
        for place in &mut self.places {
            place.turns = Turns::default();
            for slot in &mut place.slots {
                let lines = values.div_ceil(LINE);
                slot.resize_with(lines.max(slot.len()), || Line::new([0.0; LINE]));
            }
        }
        let seat = |number| Seat { exchange: self, number, turn: 0, taken: self.places.len() - 1 };
        (0..self.places.len()).map(seat).collect()
    }

    /// Bytes of the slots.
    pub fn bytes(&self) -> usize {
        self.places.iter().flat_map(|place| &place.slots).map(|slot| size_of_val(&slot[..])).sum()
    }
}

impl Seat<'_> {
    /// Begins a turn: all others may take `rows`, one matrix after the other, from now on.
    ///
    /// # Panics
    /// If this thread has not taken from all others in its turn before, the rows are not whole
    /// cache lines, or there is no room for them.
    pub fn publish(&mut self, rows: &[MatRef<'_>]) {
        assert!(self.taken + 1 == self.exchange.places.len(), "a turn was left in the middle");
        let place = &self.exchange.places[self.number];
        let mut lines = place.slots[self.turn % 2].iter();
        for row in rows.iter().flat_map(|rows| rows.iter_rows()) {
            let (values, rest) = row.as_chunks::<LINE>();
            assert!(rest.is_empty(), "a row of {} values is not whole lines", row.len());
            for values in values {
                lines.next().expect("room for all rows of a turn").store(values);
            }
        }
        self.turn += 1;
        self.taken = 0;
        place.turns.0.store(self.turn, Release);
    }

    /// Asks for the cache lines of what the others publish in this turn, `values` values each at
    /// most, without waiting for them: on the way to another core for as long as a step takes to
    /// compute.
    #[inline]
    pub fn prefetch(&self, values: usize) {
        for other in self.others() {
            let place = &self.exchange.places[other];
            prefetch::for_reading(&raw const place.turns);
            for line in place.slots[(self.turn + 1) % 2].iter().take(values.div_ceil(LINE)) {
                prefetch::for_reading(&raw const *line);
            }
        }
    }

    /// Waits until thread `from` has published as many turns as this one, and writes the rows of
    /// the last over `rows`, whose sizes are those of what was published.
    ///
    /// # Panics
    /// If another thread has panicked, or there is no such thread; and as [`Seat::publish`].
    pub fn take<'r>(&mut self, from: usize, rows: impl IntoIterator<Item = MatMut<'r>>) {
        let place = &self.exchange.places[from];
        self.wait(&place.turns.0);
        let mut lines = place.slots[(self.turn - 1) % 2].iter();
        for row in rows.into_iter().flat_map(MatMut::into_rows) {
            let len = row.len();
            let (values, rest) = row.as_chunks_mut::<LINE>();
            assert!(rest.is_empty(), "a row of {len} values is not whole lines");
            for values in values {
                lines.next().expect("room for all rows of a turn").copy_to(values);
            }
        }
        self.taken += 1;
    }

    /// A turn without rows: goes on when all threads have come here.
    ///
    /// # Panics
    /// As [`Seat::take`].
    pub fn meet(&mut self) {
        self.publish(&[]);
        self.others().for_each(|other| self.take(other, []));
    }

    /// Which thread this is, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The numbers of the others: from the next on, round to the one before.
    pub fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let (number, threads) = (self.number, self.exchange.places.len());
        (1..threads).map(move |n| (number + n) % threads)
    }

    #[inline]
    fn wait(&self, turns: &AtomicUsize) {
        let mut looks = 0;
        while turns.load(Acquire) < self.turn {
            looks += 1;
            if looks < LOOKS {
                hint::spin_loop();
            } else {
                self.wait_long(looks);
            }
        }
    }

    #[cold]
    fn wait_long(&self, looks: u32) {
        assert!(!self.exchange.has_failed.load(Relaxed), "another thread has panicked");
        if looks - LOOKS < OFFERS { yield_now() } else { thread::sleep(NAP) }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.exchange.has_failed.store(true, Relaxed);
        }
    }
}

/// What loom looks at instead of a line: the first of its values, for all of them.
#[cfg(loom)]
mod one_value {
    use super::LINE;
    use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[derive(Debug)]
    pub struct Line(AtomicU32);

    impl Line {
        pub fn new([value, ..]: [f32; LINE]) -> Self {
            Self(AtomicU32::new(value.to_bits()))
        }

        pub fn store(&self, [value, ..]: &[f32; LINE]) {
            self.0.store(value.to_bits(), Relaxed);
        }

        pub fn copy_to(&self, target: &mut [f32; LINE]) {
            *target = [f32::from_bits(self.0.load(Relaxed)); LINE];
        }
    }
}
