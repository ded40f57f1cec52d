//! A data race on purpose: `cargo xtask race` first makes sure that its tool finds this one.
//! It is run by nobody else.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::thread;

struct Unguarded(UnsafeCell<u64>);

// SAFETY: it is not, and that is what is to be found.
unsafe impl Sync for Unguarded {}

#[test]
#[ignore = "races on purpose"]
fn two_threads_count_in_one_place_and_nothing_orders_them() {
    let count = Unguarded(UnsafeCell::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            let count = &count;
            scope.spawn(move || {
                for _ in 0..1_000 {
                    let place = black_box(count.0.get());
                    // SAFETY: the place is valid; that another thread writes to it is the point.
                    unsafe { place.write_volatile(place.read_volatile() + 1) };
                }
            });
        }
    });
    assert!(count.0.into_inner() > 0);
}
