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
    use train::transport::{Mpi, Transport};

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank() {
        assert!(Mpi::is_started(), "started by mpirun");
        let mpi = Mpi::start().unwrap();
        assert!(Mpi::start().is_none());
        check(&mpi);
    }

    #[test]
    #[ignore = "a rank, which the other tests have mpirun start"]
    fn as_a_rank_that_panics() {
        let mpi = Mpi::start().unwrap();
        assert!(mpi.rank() != 1, "rank 1 gives up");
        check(&mpi);
    }

    /// Does `test` succeed on so many ranks? `None` without an `mpirun`.
    fn ranks(ranks: usize, test: &str) -> Option<bool> {
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
                Some(output.status.success())
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
            assert_ne!(ranks(n, "processes::as_a_rank"), Some(false), "{n} ranks");
        }
    }

    #[test]
    fn a_rank_that_panics_ends_the_job() {
        assert_ne!(ranks(3, "processes::as_a_rank_that_panics"), Some(true));
    }
}
