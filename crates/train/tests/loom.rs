//! Every interleaving of pushes and a snapshot, and every value that a relaxed load may
//! return, by the model checker loom: `cargo xtask race`, or
//! `RUSTFLAGS="--cfg loom" cargo test --release -p train --test loom`.
//!
//! Under `--cfg loom` a block holds one value, so the two values here are two lines. Each
//! model ends by what must hold in all executions; the number of executions is loom's affair,
//! but what is *reached* is counted, so that a model that explores nothing fails.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use std::collections::BTreeSet;
use std::sync::Mutex;
use train::shared::Shared;

/// What `change` makes of both values by one exchange, from `start` on.
fn push(shared: &Shared, seen: &mut [f32; 2], change: f32, start: usize) {
    let mut own = seen.map(|value| value + change);
    for block in [start, 1 - start] {
        shared.exchange(block, from_mut(&mut own[block]), from_mut(&mut seen[block]));
    }
}

fn from_mut(value: &mut f32) -> &mut [f32; 1] {
    std::array::from_mut(value)
}

fn read(shared: &Shared) -> [f32; 2] {
    let mut values = [f32::NAN; 2];
    shared.read(&mut values);
    values
}

/// Two workers push once each, one from either end, while a third thread takes a snapshot.
#[test]
fn pushes_and_snapshots_leave_values_that_some_worker_wrote() {
    let finals = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let reached = finals.clone();
    loom::model(move || {
        let shared = Arc::new(Shared::new(&[0.0, 0.0]));
        let workers = [(1.0, 0), (10.0, 1)].map(|(change, start)| {
            let shared = shared.clone();
            thread::spawn(move || push(&shared, &mut [0.0; 2], change, start))
        });
        for value in read(&shared) {
            assert!([0.0, 1.0, 10.0, 11.0].contains(&value), "snapshot of {value}");
        }
        for worker in workers {
            worker.join().unwrap();
        }
        for value in read(&shared) {
            // Both changes or, where the pushes overlapped, one of them; never none.
            assert!([1.0, 10.0, 11.0].contains(&value), "{value} in the end");
            finals.lock().unwrap().insert(value as u32);
        }
    });
    let all = [1, 10, 11].into();
    assert_eq!(*reached.lock().unwrap(), all, "loom did not try every interleaving");
}

/// A worker that alone changes a value never loses a change, whatever others do beside it.
#[test]
fn a_worker_sees_its_own_pushes_and_loses_none_of_them() {
    loom::model(|| {
        let shared = Arc::new(Shared::new(&[0.0, 0.0]));
        let other = shared.clone();
        let worker = thread::spawn(move || push_one(&other, 1, 10.0));
        push_one(&shared, 0, 1.0);
        worker.join().unwrap();
        assert_eq!(read(&shared), [2.0, 20.0]);
    });
}

/// Two pushes to one value; the other is exchanged unchanged.
fn push_one(shared: &Shared, mine: usize, change: f32) {
    let mut seen = [0.0; 2];
    for _ in 0..2 {
        let mut own = seen;
        own[mine] += change;
        for block in [0, 1] {
            shared.exchange(block, from_mut(&mut own[block]), from_mut(&mut seen[block]));
        }
    }
}
