//! A data race on purpose: `cargo xtask race` first makes sure that its tool finds this one.
//! Ignored otherwise.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

struct Unguarded(UnsafeCell<u64>);

// SAFETY: not sound on purpose: two threads write to the value at once, and that race is
// what the tool has to find.
unsafe impl Sync for Unguarded {}

#[test]
#[ignore = "races on purpose"]
fn two_threads_count_in_one_place_and_nothing_orders_them() {
    let count = Unguarded(UnsafeCell::new(0));
    // The end of one thread orders what another does that starts later.
    let both_run = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            let (count, both_run) = (&count, &both_run);
            scope.spawn(move || {
                both_run.wait();
                for _ in 0..1_000 {
                    let place = black_box(count.0.get());
                    // SAFETY: the place is valid for reads and writes; the race with the other thread
                    // is intended, and no value that it garbles is used.
                    unsafe { place.write_volatile(place.read_volatile() + 1) };
                }
            });
        }
    });
    assert!(count.0.into_inner() > 0);
}
