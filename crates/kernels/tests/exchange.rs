//! The exchange between threads under stress: every row arrives as it was published, whoever is
//! late; and a thread that panics takes the others with it.

use kernels::exchange::{Exchange, Seat};
use kernels::matrix::{MatMut, MatRef};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// Runs `work` for each seat on a thread of its own.
fn each(seats: Vec<Seat<'_>>, work: impl Fn(Seat<'_>) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        seats.into_iter().for_each(|seat| drop(scope.spawn(move || work(seat))));
    });
}

/// What thread `thread` publishes in turn `turn`, at `place`.
fn value(thread: usize, turn: usize, place: usize) -> f32 {
    (thread * 1_000_000 + turn * 100 + place % 100) as f32
}

/// Each thread publishes two matrices of its own sizes and takes those of all others.
fn turns(
    exchange: &mut Exchange,
    threads: usize,
    turns: usize,
    late: impl Fn(usize, usize) + Sync,
) {
    let (rows, width) = (3, |thread: usize| 16 * (thread % 3 + 1));
    each(exchange.seats(2 * rows * width(2)), |mut seat| {
        let own = seat.number();
        let mut found = vec![f32::NAN; 2 * rows * width(2)];
        for turn in 0..turns {
            late(own, turn);
            let len = rows * width(own);
            let values: Vec<f32> = (0..2 * len).map(|place| value(own, turn, place)).collect();
            let matrix = |values| MatRef::new(values, rows, width(own));
            seat.publish(&[matrix(&values[..len]), matrix(&values[len..])]);
            for other in seat.others() {
                let len = rows * width(other);
                let (first, second) = found[..2 * len].split_at_mut(len);
                let matrix = |values| MatMut::new(values, rows, width(other));
                seat.take(other, [matrix(first), matrix(second)]);
                let mut found = found[..2 * len].iter().enumerate();
                assert!(found.all(|(place, &found)| found == value(other, turn, place)));
            }
        }
        assert_eq!(seat.others().count(), threads - 1);
    });
}

#[test]
fn rows_arrive_as_they_were_published_in_every_turn() {
    for threads in [1, 2, 3, 4, 7] {
        let mut exchange = Exchange::new(threads);
        turns(&mut exchange, threads, 3_000, |_, _| ());
        turns(&mut exchange, threads, 100, |_, _| ()); // begun anew
    }
}

#[test]
fn late_threads_are_waited_for() {
    // every way to wait: a look, an offer of the core, a nap
    for pause in [1, 30, 300] {
        turns(&mut Exchange::new(3), 3, 40, |own, turn| {
            if turn % 3 == own {
                thread::sleep(Duration::from_micros(pause));
            }
        });
    }
}

#[test]
fn many_more_threads_than_cores_come_to_an_end() {
    turns(&mut Exchange::new(24), 24, 50, |_, _| ());
}

#[test]
fn a_thread_that_panics_takes_the_others_with_it() {
    for threads in [2, 3] {
        let mut exchange = Exchange::new(threads);
        let all = AssertUnwindSafe(|| {
            each(exchange.seats(0), |mut seat| {
                for turn in 0..10 {
                    assert!(turn < 5 || seat.number() > 0, "a planted panic");
                    seat.meet();
                }
            });
        });
        assert!(catch_unwind(all).is_err());
        turns(&mut exchange, threads, 10, |_, _| ()); // good for another pass
    }
}

#[test]
fn a_turn_that_was_left_in_the_middle_is_refused() {
    let mut exchange = Exchange::new(2);
    let mut seats = exchange.seats(0);
    seats[0].publish(&[]);
    let again = catch_unwind(AssertUnwindSafe(|| seats[0].publish(&[])));
    assert!(again.is_err());
}

#[test]
fn rows_that_are_no_whole_lines_or_have_no_room_are_refused() {
    let values = [0.0; 64];
    for (room, rows, width) in [(64, 2, 8), (16, 2, 32)] {
        let mut exchange = Exchange::new(1);
        let mut seats = exchange.seats(room);
        let rows = MatRef::new(&values[..rows * width], rows, width);
        assert!(catch_unwind(AssertUnwindSafe(|| seats[0].publish(&[rows]))).is_err());
    }
}
