//! Ranks: their sums have the bits of one loop in rank order, and what differs is named. With the
//! feature `mpi`, the same over processes that `mpirun` starts, where there is one.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use train::transport::{Differs, Threads, Transport, compare, sum_in_rank_order};

/// What rank `rank` brings: `length` values of very different sizes.
fn values(rank: usize, length: usize) -> Vec<f32> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(rank as u64);
    (0..length)
        .map(|_| {
            let power: i32 = generator.random_range(-20..20);
            generator.random_range(-1.0_f32..1.0) * 2.0_f32.powi(power)
        })
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// As one rank among others.
fn check(transport: &dyn Transport) {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    assert!(rank < ranks);
    for length in [0, 1, 7, 1_000, (1 << 16) + 3] {
        let mut expected = values(0, length);
        for other in 1..ranks {
            expected.iter_mut().zip(values(other, length)).for_each(|(sum, value)| *sum += value);
        }
        let mut sum = values(rank, length);
        sum_in_rank_order(transport, &mut sum);
        assert_eq!(bits(&sum), bits(&expected), "{length} values on rank {rank} of {ranks}");
    }
    assert_eq!(compare(transport, "data", &[7; 32]), Ok(()));
    for other in 1..ranks {
        let mut digest = [7; 32];
        digest[31] += u8::from(rank >= other);
        let differs = Differs { what: "data".into(), rank: other };
        assert_eq!(compare(transport, "data", &digest), Err(differs));
    }
    check_parts(transport);
    check_messages(transport);
}

/// Each rank's parts reach the ranks that they are for, and work is done meanwhile.
fn check_parts(transport: &dyn Transport) {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    for length in [0, 1, 5, 70_000] {
        let part = |from: usize, to: usize| vec![(16 * from + to) as u8; length];
        let own: Vec<u8> = (0..ranks).flat_map(|to| part(rank, to)).collect();
        let expected: Vec<u8> = (0..ranks).flat_map(|from| part(from, rank)).collect();
        let (mut all, mut is_done) = (vec![0; own.len()], false);
        transport.scatter_while(&own, &mut all, &mut || is_done = true);
        assert!(is_done && all == expected, "{length} bytes on rank {rank} of {ranks}");
        let (own, mut is_done) = (part(rank, 0), false);
        transport.gather_while(&own, &mut all, &mut || is_done = true);
        assert!(is_done && all == (0..ranks).flat_map(|from| part(from, 0)).collect::<Vec<_>>());
    }
}

/// All send to all at once, messages of many lengths; rank 0 also takes them as they come.
fn check_messages(transport: &dyn Transport) {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    let message = |from: usize, to: usize, n: usize| {
        let length = [0, 1, 1_000, 100_000][n % 4] * (from + 1);
        vec![(n * 25 + from * 5 + to) as u8; length]
    };
    // Around a ring, so that the sender of a long one finds a receiver.
    for distance in 1..ranks {
        let (to, from) = ((rank + distance) % ranks, (rank + ranks - distance) % ranks);
        for n in 0..8 {
            if rank < to {
                transport.send_bytes(to, &message(rank, to, n));
                assert_eq!(transport.receive_bytes(Some(from)), (from, message(from, rank, n)));
            } else {
                assert_eq!(transport.receive_bytes(Some(from)), (from, message(from, rank, n)));
                transport.send_bytes(to, &message(rank, to, n));
            }
        }
    }
    if rank > 0 {
        (0..8).for_each(|n| transport.send_bytes(0, &message(rank, 0, n)));
    } else {
        let mut next = vec![0; ranks];
        for _ in 0..8 * (ranks - 1) {
            let (from, bytes) = transport.receive_bytes(None);
            assert_eq!(bytes, message(from, 0, next[from]), "in their order");
            next[from] += 1;
        }
        assert!(next[1..].iter().all(|&next| next == 8));
    }
}

#[test]
fn threads_sum_in_rank_order_and_name_the_rank_that_differs() {
    for ranks in 1..=5 {
        std::thread::scope(|scope| {
            for transport in Threads::new(ranks) {
                scope.spawn(move || check(&transport));
            }
        });
    }
}

#[cfg(feature = "mpi")]
mod processes {
    use super::check;
    use std::process::Command;
    use std::time::{Duration, Instant};
    use train::transport::{Mpi, Transport, Watch};

    fn start(stall: Duration) -> Option<Mpi> {
        let lost = |reason: &str| eprintln!("lost: {reason}");
        Mpi::start(Watch { stall, is_asked: || false, lost })
    }

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank() {
        assert!(Mpi::is_started(), "started by mpirun");
        let mpi = start(Duration::from_secs(60)).unwrap();
        assert!(start(Duration::from_secs(60)).is_none());
        check(&mpi);
    }

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank_that_panics() {
        let mpi = start(Duration::from_secs(60)).unwrap();
        assert!(mpi.rank() != 1, "rank 1 gives up");
        check(&mpi);
    }

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank_that_does_not_meet() {
        let mpi = start(Duration::from_millis(500)).unwrap();
        if mpi.rank() == 1 {
            std::thread::sleep(Duration::from_secs(60));
        }
        check(&mpi);
    }

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank_that_computes_for_long() {
        let mpi = start(Duration::from_millis(400)).unwrap();
        if mpi.rank() == 0 {
            std::thread::sleep(Duration::from_millis(1500));
            (1..mpi.ranks()).for_each(|rank| mpi.send_bytes(rank, b"done"));
            (1..mpi.ranks()).for_each(|_| assert_eq!(mpi.receive_bytes(None).1, b"done"));
        } else {
            assert_eq!(mpi.receive_bytes(Some(0)).1, b"done");
            std::thread::sleep(Duration::from_millis(1500));
            mpi.send_bytes(0, b"done");
        }
    }

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank_that_is_stopped() {
        let mpi = start(Duration::from_millis(500)).unwrap();
        if mpi.rank() == 0 {
            let id = std::process::id().to_string();
            Command::new("kill").args(["-STOP", &id]).status().unwrap();
        }
        mpi.receive_bytes(Some(0));
    }

    /// Does `test` succeed on so many ranks? And what it says. `None` without an `mpirun`.
    fn ranks(ranks: usize, test: &str) -> Option<(bool, String)> {
        let mut command = Command::new("mpirun");
        command.args(["--oversubscribe", "-n", &ranks.to_string()]);
        // Which OpenMPI asks of root, and nobody else needs.
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        match command.output() {
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr);
                if !output.status.success() {
                    println!("{error}");
                }
                Some((output.status.success(), error.into_owned()))
            }
            Err(error) => {
                println!("skipped: mpirun: {error}");
                None
            }
        }
    }

    #[test]
    fn processes_sum_in_rank_order_and_name_the_rank_that_differs() {
        for n in 1..=4 {
            let is_well = ranks(n, "processes::as_a_rank").is_none_or(|(is_well, _)| is_well);
            assert!(is_well, "{n} ranks");
        }
    }

    #[test]
    fn a_rank_that_does_not_meet_is_named_and_the_job_ends() {
        let start = Instant::now();
        let Some((is_well, error)) = ranks(3, "processes::as_a_rank_that_does_not_meet") else {
            return;
        };
        assert!(!is_well && start.elapsed() < Duration::from_secs(30));
        assert!(error.contains("lost: rank 1 did not come to a meeting within 0.5 s"), "{error}");
    }

    #[test]
    fn a_rank_that_is_stopped_is_named_and_one_that_computes_for_long_is_waited_for() {
        let is_well = ranks(3, "processes::as_a_rank_that_computes_for_long");
        assert!(is_well.is_none_or(|(is_well, _)| is_well));
        let start = Instant::now();
        let Some((is_well, error)) = ranks(3, "processes::as_a_rank_that_is_stopped") else {
            return;
        };
        assert!(!is_well && start.elapsed() < Duration::from_secs(30));
        assert!(error.contains("lost: no sign of life of rank 0 for 0.5 s"), "{error}");
    }

    #[test]
    fn a_rank_that_panics_ends_the_job() {
        let is_well = ranks(3, "processes::as_a_rank_that_panics");
        assert!(is_well.is_none_or(|(is_well, _)| !is_well));
    }
}
