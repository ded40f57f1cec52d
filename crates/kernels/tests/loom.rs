//! Every interleaving of threads that exchange rows, and every value that a relaxed load may
//! return, by the model checker loom: `cargo xtask race`, or
//! `RUSTFLAGS="--cfg loom" cargo test --release -p kernels --test loom`.
//!
//! Under `--cfg loom` a line holds one value.
#![cfg(loom)]

use kernels::exchange::{Exchange, Seat};
use kernels::matrix::{MatMut, MatRef};
use loom::thread;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Turns, so that each slot is used again.
const TURNS: usize = 3;

/// What `thread` publishes in `turn`.
fn value(thread: usize, turn: usize) -> f32 {
    (10 * (thread + 1) + turn) as f32
}

/// Publishes and takes, turn by turn, and finds what each of the others published in that turn.
fn take_turns(mut seat: Seat<'_>) {
    for turn in 0..TURNS {
        seat.publish(&[MatRef::new(&[value(seat.number(), turn); 16], 1, 16)]);
        for other in seat.others() {
            let mut found = [f32::NAN; 16];
            seat.take(other, [MatMut::new(&mut found, 1, 16)]);
            assert_eq!(found, [value(other, turn); 16], "of thread {other} in turn {turn}");
        }
    }
}

/// Two threads: of three, loom lets two that wait offer the core to each other for ever.
#[test]
fn two_threads_take_the_rows_of_the_turn_whoever_is_first() {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    loom::model(move || {
        counted.fetch_add(1, Relaxed);
        // Threads of loom borrow nothing, and an exchange is a few hundred bytes.
        let exchange = Box::leak(Box::new(Exchange::new(2)));
        let [mine, other]: [Seat<'_>; 2] = exchange.seats(16).try_into().unwrap();
        let other = thread::spawn(move || take_turns(other));
        take_turns(mine);
        other.join().unwrap();
    });
    let count = count.load(Relaxed);
    assert!(count > 10, "loom tried {count} interleavings");
}
