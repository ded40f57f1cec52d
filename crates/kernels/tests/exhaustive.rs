//! All 2³² f32 through each function of the error table: the proof behind the bounds.
//!
//! Ignored by default; a minute or so on two cores:
//!
//! ```text
//! cargo test --release -p kernels --test exhaustive -- --ignored --nocapture
//! ```

mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use table::{Row, Scratch, TABLE, Worst};

/// Inputs are handed out in blocks of this many, small enough for L1 with all buffers.
const BLOCK: u64 = 1 << 10;
/// Blocks a thread takes at a time.
const BATCH: u64 = 1 << 12;

fn worst_of_all(row: &Row) -> Worst {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let work = || {
        let mut worst = Worst::default();
        let mut scratch = Scratch::default();
        let mut x = vec![0.0; BLOCK as usize];
        loop {
            // Relaxed: the counter only hands out disjoint ranges; joining the
            // threads orders their results.
            let batch = next.fetch_add(BATCH * BLOCK, Ordering::Relaxed);
            if batch >= 1 << 32 {
                return worst;
            }
            for block in (batch..batch + BATCH * BLOCK).step_by(BLOCK as usize) {
                for (x, bits) in x.iter_mut().zip(block as u32..) {
                    *x = f32::from_bits(bits);
                }
                worst = worst.max(row.check(&x, &mut scratch));
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Worst::default(), Worst::max)
    })
}

#[test]
#[ignore = "all f32 there are: a minute in release, much longer otherwise"]
fn bounds_hold_on_all_f32() {
    let mut failed = Vec::new();
    for row in &TABLE {
        let start = Instant::now();
        let worst = worst_of_all(row);
        println!(
            "{:8} {:.6} ULP at {:e} (0x{:08x}), bound {}; {}; {:.1} s",
            row.name,
            worst.ulp,
            worst.x,
            worst.x.to_bits(),
            row.bound(),
            row.note,
            start.elapsed().as_secs_f64()
        );
        if worst.ulp > row.bound() {
            failed.push(row.name);
        }
    }
    assert!(failed.is_empty(), "beyond the bound: {failed:?}");
}
