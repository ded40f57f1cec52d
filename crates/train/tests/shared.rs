//! Shared parameters under real threads: no change is lost where nobody else writes, and no
//! value appears that nobody wrote. The command `cargo xtask race` runs these under
//! ThreadSanitizer or valgrind too, so they are short and use nothing but threads.

use model::{Config, Inputs, Parameters};
use std::thread;
use train::shared::{Replica, Shared};

/// I = 6 inputs of H = 16: W_in is rows 0 to 5, W_rec 6 to 21, W_out 22.
fn zeros() -> Parameters {
    Parameters::zeros(Config::lab(6, 16, 1).unwrap())
}

/// `[1, I]` with ones at `inputs`.
fn one_hot(inputs: &[usize]) -> [f32; 6] {
    std::array::from_fn(|n| f32::from(u8::from(inputs.contains(&n))))
}

fn read(shared: &Shared) -> Vec<f32> {
    let mut values = vec![f32::NAN; zeros().arena().len()];
    shared.read(&mut values);
    values
}

#[test]
fn workers_that_own_disjoint_rows_lose_nothing() {
    const PUSHES: usize = 300;
    let shared = Shared::new(zeros().arena());
    thread::scope(|scope| {
        for worker in 0..3 {
            let mut replica = Replica::new(zeros(), worker, 3);
            let shared = &shared;
            scope.spawn(move || {
                for push in 0..PUSHES {
                    // Inputs 2n and 2n + 1 are its own, and of W_rec every third row.
                    let input = 2 * worker + push % 2;
                    replica.use_inputs(Inputs::Values(&one_hot(&[input])), shared);
                    let rows = replica.parameters.arena_mut().chunks_exact_mut(16).enumerate();
                    for (row, values) in rows {
                        if row == input || (row >= 6 && row % 3 == worker) {
                            values.iter_mut().for_each(|w| *w += 1.0);
                        }
                    }
                    replica.push(1 + push % 3, shared);
                }
                replica.push_all(shared);
            });
        }
    });
    for (row, values) in read(&shared).chunks(16).enumerate() {
        let expected = if row < 6 { PUSHES / 2 } else { PUSHES } as f32;
        assert!(values.iter().all(|&w| w == expected), "row {row}: {values:?}");
    }
}

#[test]
fn a_value_that_several_change_is_a_sum_of_whole_changes() {
    const PUSHES: usize = 200;
    let shared = Shared::new(zeros().arena());
    let own = |worker: usize| [1.0, 1_000.0][worker];
    thread::scope(|scope| {
        for worker in 0..2 {
            let mut replica = Replica::new(zeros(), worker, 2);
            let shared = &shared;
            scope.spawn(move || {
                for _ in 0..PUSHES {
                    replica.parameters.arena_mut().iter_mut().for_each(|w| *w += own(worker));
                    replica.push_all(shared);
                }
            });
        }
        for _ in 0..50 {
            for value in read(&shared) {
                let (small, large) = (value % 1_000.0, (value / 1_000.0).floor());
                assert!(small.fract() == 0.0 && small <= PUSHES as f32, "{value}");
                assert!(large <= PUSHES as f32, "{value}");
            }
        }
    });
    for value in read(&shared) {
        // Each worker's last change is there, and whatever was not lost.
        assert!(value >= PUSHES.min(1) as f32 && value <= 1_001.0 * PUSHES as f32, "{value}");
    }
}

#[test]
fn rows_of_inputs_that_are_not_used_are_left_alone_and_seen_when_they_are() {
    let shared = Shared::new(zeros().arena());
    let (mut first, mut second) = (Replica::new(zeros(), 0, 2), Replica::new(zeros(), 1, 2));
    let row = |replica: &Replica, n: usize| replica.parameters.arena()[n * 16];

    first.use_inputs(Inputs::Values(&one_hot(&[1, 4])), &shared);
    first.parameters.arena_mut()[16..32].fill(5.0);
    first.parameters.arena_mut()[4 * 16..5 * 16].fill(7.0);
    first.parameters.arena_mut()[6 * 16..7 * 16].fill(9.0);
    first.push(1, &shared);
    let values = read(&shared);
    assert_eq!([16, 64, 96].map(|n| values[n]), [5.0, 7.0, 9.0]);

    // The second has not used input 1: a push brings it the rest, and not that row.
    second.push(1, &shared);
    assert_eq!((row(&second, 1), row(&second, 6)), (0.0, 9.0));
    second.use_inputs(Inputs::Values(&one_hot(&[1])), &shared);
    assert_eq!((row(&second, 1), row(&second, 4)), (5.0, 0.0));
    second.parameters.arena_mut()[16..32].fill(6.0);

    // Meanwhile the first changes the same row: both changes are in the sum.
    first.use_inputs(Inputs::Values(&one_hot(&[1])), &shared);
    first.parameters.arena_mut()[16..32].fill(25.0);
    first.push(1, &shared);
    second.push(1, &shared);
    assert_eq!(read(&shared)[16], 26.0);
    assert_eq!(row(&second, 1), 26.0);

    second.push_all(&shared);
    assert_eq!(row(&second, 4), 7.0);
}

#[test]
fn a_push_in_parts_is_whole_after_as_many_and_the_border_goes_every_time() {
    for parts in 1..=20 {
        let shared = Shared::new(zeros().arena());
        let mut replica = Replica::new(zeros(), 1, 3);
        replica.parameters.arena_mut().fill(1.0);
        let mut rows = 0;
        for _ in 0..parts {
            replica.push(parts, &shared);
            let values = read(&shared);
            let now = values[6 * 16..22 * 16].iter().filter(|&&w| w == 1.0).count() / 16;
            assert!(now <= rows + 16_usize.div_ceil(parts) && now > rows || now == 16, "{parts}");
            assert!(values[22 * 16..].iter().all(|&w| w == 1.0), "{parts}");
            rows = now;
        }
        assert_eq!(rows, 16, "{parts}");
    }
}

#[test]
fn the_head_is_exchanged_by_itself_and_in_both_directions() {
    let shared = Shared::new(zeros().arena());
    let [mut one, mut other] = [0, 1].map(|number| Replica::new(zeros(), number, 2));
    one.parameters.arena_mut().fill(1.0);
    other.parameters.arena_mut().fill(10.0);
    let exchange = |replica: &mut Replica| {
        replica.prepare_head(&shared);
        replica.exchange_head(&shared);
    };
    exchange(&mut one);
    exchange(&mut other);
    exchange(&mut one);
    let head = 22 * 16;
    for (values, body) in [(&read(&shared), 0.0), (&one.parameters.arena().to_vec(), 1.0)] {
        assert!(values[..head].iter().all(|&w| w == body), "{values:?}");
        assert!(values[head..].iter().all(|&w| w == 11.0), "{values:?}");
    }
}

#[test]
fn what_nobody_else_wrote_stands_as_it_is_to_the_last_bit() {
    // 0.1 + (1e-9 − 0.1) is not 1e-9 in f32, and −0 + 0 is not −0.
    let mut first = zeros();
    first.arena_mut().fill(0.1);
    let shared = Shared::new(first.arena());
    let mut replica = Replica::new(first, 0, 1);
    for value in [1e-9, -0.0, 3.4e38, 1e-40] {
        replica.parameters.arena_mut().fill(value);
        replica.push_all(&shared);
        assert!(read(&shared).iter().all(|w| w.to_bits() == value.to_bits()), "{value:e}");
    }
}
