//! Trainings over the processes of an MPI job, as people start them: the bits of one process, and
//! how a job ends when a rank is killed, hangs, is asked to end, or is another program. With the
//! feature `mpi`, and where there is an `mpirun`.

use std::process::Command;

#[cfg(not(feature = "mpi"))]
#[test]
fn a_build_without_mpi_that_mpi_starts_says_what_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["train", "--examples", "10"])
        .env("OMPI_COMM_WORLD_SIZE", "2")
        .env("OMPI_COMM_WORLD_RANK", "0")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("this build knows no MPI") && error.contains("--features mpi"),
        "{error}"
    );
}

#[test]
fn several_that_srun_has_started_without_mpi_say_what_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["train", "--examples", "10"])
        .env("SLURM_STEP_NUM_TASKS", "2")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("srun"), "{error}");
}

#[cfg(feature = "mpi")]
mod processes {
    use super::Command;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use std::fs::{self, File};
    use std::io::Read;
    use std::path::{Path, PathBuf};
    use std::process::{Child, ExitStatus, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};
    use tempfile::TempDir;

    const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

    /// A training of a second or two; cut at any moment, it has a checkpoint of not long before.
    const LONG: &str = "train --quiet --hidden 32 --batch 8 --strategy averaging --push-every 64 \
                        --examples 1000000 --checkpoint-every 10000";

    /// For what happens in the middle: some seconds, also on a machine that does nothing else.
    fn longer() -> String {
        LONG.replace("--examples 1000000", "--examples 10000000")
    }

    fn has_mpirun() -> bool {
        let has = Command::new("mpirun").arg("--version").output().is_ok();
        if !has {
            println!("skipped: there is no mpirun");
        }
        has
    }

    /// A job that runs in a folder of its own.
    struct Job {
        mpirun: Child,
        stderr: PathBuf,
        folder: PathBuf,
    }

    /// How it ended, what it said, and how long that took from the last `wait` on.
    struct Ended {
        status: ExitStatus,
        stderr: String,
        took: Duration,
    }

    impl Ended {
        #[track_caller]
        fn success(self) {
            assert!(self.status.success(), "{}", self.stderr);
        }

        #[track_caller]
        fn failed_soon(self) -> String {
            assert!(!self.status.success(), "{}", self.stderr);
            assert!(self.took < Duration::from_secs(25), "{:?}: {}", self.took, self.stderr);
            self.stderr
        }
    }

    /// `mpirun` with these `options`, which end with a program and its arguments.
    fn job(folder: &Path, options: &[&str]) -> Job {
        let stderr = folder.join("stderr.txt");
        let mpirun = Command::new("mpirun")
            .args(["--oversubscribe", "--bind-to", "none"])
            .args(["--mca", "odls_base_sigkill_timeout", "2"])
            .args(options)
            .current_dir(folder)
            // Which OpenMPI asks of root, and nobody else needs.
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            // So that the processes of this job are told from others.
            .env("CARRY_TEST_FOLDER", folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("stdout.txt")).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Job { mpirun, stderr, folder: folder.to_owned() }
    }

    fn ranks(folder: &Path, ranks: usize, line: &str) -> Job {
        let ranks = ranks.to_string();
        let options = ["-n", &ranks, XTASK].into_iter().chain(line.split_whitespace());
        job(folder, &options.collect::<Vec<_>>())
    }

    impl Job {
        /// The processes of this job that are ranks, by their numbers.
        fn ranks(&self) -> Vec<(usize, u32)> {
            let folder = format!("CARRY_TEST_FOLDER={}", self.folder.display());
            let processes = fs::read_dir("/proc").unwrap().flatten();
            let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let rank = |id: u32| {
                let environment = fs::read(format!("/proc/{id}/environ")).ok()?;
                let mut variables = environment.split(|&byte| byte == 0);
                variables.clone().find(|variable| *variable == folder.as_bytes())?;
                let rank = variables.find_map(|variable| {
                    std::str::from_utf8(variable).ok()?.strip_prefix("OMPI_COMM_WORLD_RANK=")
                })?;
                let state = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
                let is_dead =
                    state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
                (!is_dead).then(|| (rank.parse().unwrap(), id))
            };
            ids.filter_map(rank).collect()
        }

        /// Waits until rank `rank` runs, and for `pause` after that; its process.
        fn process(&self, rank: usize, pause: Duration) -> u32 {
            let start = Instant::now();
            loop {
                if let Some(&(_, id)) = self.ranks().iter().find(|&&(number, _)| number == rank) {
                    sleep(pause);
                    return id;
                }
                assert!(start.elapsed() < Duration::from_secs(60), "rank {rank} has not started");
                sleep(Duration::from_millis(5));
            }
        }

        /// To its end; no process may be left.
        fn wait(mut self) -> Ended {
            let start = Instant::now();
            let status = loop {
                if let Some(status) = self.mpirun.try_wait().unwrap() {
                    break status;
                }
                if start.elapsed() > Duration::from_secs(240) {
                    self.mpirun.kill().unwrap();
                }
                sleep(Duration::from_millis(5));
            };
            let took = start.elapsed();
            // Its last process may still be on its way out.
            while !self.ranks().is_empty() {
                assert!(start.elapsed() < took + Duration::from_secs(5), "{:?}", self.ranks());
                sleep(Duration::from_millis(5));
            }
            let mut stderr = String::new();
            File::open(&self.stderr).unwrap().read_to_string(&mut stderr).unwrap();
            Ended { status, stderr, took }
        }
    }

    fn signal(name: &str, id: u32) -> bool {
        let status = Command::new("kill").args([name, &id.to_string()]).status();
        status.unwrap().success()
    }

    fn alone(folder: &Path, line: &str) {
        let words = line.split_whitespace();
        let output = Command::new(XTASK).args(words).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn model(folder: &TempDir, run: &str) -> Vec<u8> {
        fs::read(folder.path().join(run).join("model.safetensors")).unwrap()
    }

    fn temporary() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    /// Sends `mpirun` a signal in the middle of a training into the folder `cut`; what was said then.
    fn cut(folder: &TempDir, count: usize, line: &str, name: &str) -> String {
        for n in 0..12 {
            let job = ranks(folder.path(), count, &format!("{line} --out cut --force"));
            job.process(count - 1, Duration::from_millis(1_200 - 100 * n));
            signal(name, job.mpirun.id());
            let ended = job.wait();
            // It may have been too fast, or not have begun.
            if folder.path().join("cut/checkpoint").exists() {
                return ended.failed_soon();
            }
        }
        panic!("always too late or too early");
    }

    #[test]
    fn ranks_end_in_the_bits_of_one_process() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let text = "It was the best of times, it was the worst of times. ".repeat(60);
        fs::write(folder.path().join("book.txt"), text).unwrap();
        let lab = "train --quiet --examples 3000 --batch 4";
        let book = "train text book.txt --quiet --hidden 20 --batch 6 --chunk 16 --examples 200";
        let machine = "train machine parity --quiet --hidden 6 --batch 6 --length 8 --examples 500";
        for line in [lab, book, machine] {
            for strategy in ["synchronous", "averaging --push-every 20"] {
                for n in [1, 2, 3, 4] {
                    let line = format!("{line} --strategy {strategy} --force");
                    alone(folder.path(), &format!("{line} --threads {n} --out one"));
                    ranks(folder.path(), n, &format!("{line} --threads 1 --out many"))
                        .wait()
                        .success();
                    assert!(model(&folder, "one") == model(&folder, "many"), "{line}, {n} ranks");
                }
            }
        }
        let line = format!("{lab} --strategy synchronous --force");
        alone(folder.path(), &format!("{line} --threads 4 --out one"));
        ranks(folder.path(), 2, &format!("{line} --threads 2 --out many")).wait().success();
        assert!(
            model(&folder, "one") == model(&folder, "many"),
            "two workers on each of two ranks"
        );
    }

    #[test]
    fn any_rank_killed_at_any_moment_ends_the_job_and_it_goes_on_in_the_same_bits() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let line = longer();
        ranks(folder.path(), 3, &format!("{line} --out whole")).wait().success();
        let whole = model(&folder, "whole");
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(14);
        let (mut kills, mut has_checkpoint) = (0, false);
        while kills < 20 {
            let line = if has_checkpoint {
                "train --quiet --resume cut --checkpoint-every 10000".to_owned()
            } else {
                format!("{line} --out cut --force")
            };
            let job = ranks(folder.path(), 3, &line);
            let rank = generator.random_range(0..3);
            // For while MPI starts, see below.
            let pause = Duration::from_millis(generator.random_range(1_000..2_500));
            let was_killed = signal("-KILL", job.process(rank, pause));
            let ended = job.wait();
            let path = folder.path().join("cut/checkpoint");
            if !ended.status.success() {
                assert!(was_killed, "{}", ended.stderr);
                let error = ended.failed_soon();
                let named = format!("rank {rank}");
                assert!(error.contains(&named) && error.contains("signal 9"), "{named}: {error}");
                kills += 1;
                has_checkpoint = path.exists();
                continue;
            }
            assert!(model(&folder, "cut") == whole, "after {kills} kills");
            has_checkpoint = false;
        }
        if has_checkpoint {
            ranks(folder.path(), 3, "train --quiet --resume cut").wait().success();
            assert!(model(&folder, "cut") == whole);
        }
    }

    #[test]
    fn a_rank_killed_while_mpi_starts_leaves_no_other_behind() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let line = LONG.replace("--examples 1000000", "--examples 1000000000");
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(41);
        for _ in 0..4 {
            let mut job = ranks(folder.path(), 3, &format!("{line} --out run --force --stall 5s"));
            let rank = generator.random_range(0..3);
            let pause = Duration::from_millis(generator.random_range(0..300));
            signal("-KILL", job.process(rank, pause));
            let start = Instant::now();
            while !job.ranks().is_empty() {
                assert!(start.elapsed() < Duration::from_secs(25), "{:?}", job.ranks());
                sleep(Duration::from_millis(20));
            }
            // OpenMPI 4.1's mpirun may then never end; `cargo xtask cluster` ends it.
            let ended = (0..500).find_map(|_| {
                sleep(Duration::from_millis(20));
                job.mpirun.try_wait().unwrap()
            });
            match ended {
                Some(status) => assert!(!status.success()),
                None => {
                    job.mpirun.kill().unwrap();
                    job.mpirun.wait().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_rank_that_does_not_start_ends_the_job() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let options = ["-n", "1", XTASK, "train", "--quiet", "--stall", "2s", "--out", "run"];
        let other = [":", "-n", "1", "sleep", "1000"];
        let ended = job(folder.path(), &[&options[..], &other].concat()).wait();
        let error = ended.failed_soon();
        assert!(error.contains("MPI has not started within 15 s"), "{error}");
    }

    #[test]
    fn ctrl_c_at_mpirun_ends_with_a_checkpoint() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let line = longer().replace("--checkpoint-every 10000", "--checkpoint-every 1000s");
        ranks(folder.path(), 2, &format!("{line} --out whole")).wait().success();
        // The last is what `cargo xtask cluster` sends.
        for name in ["-INT", "-TERM", "-USR1"] {
            let error = cut(&folder, 2, &line, name);
            assert!(error.contains("cargo xtask train --resume cut goes on"), "{error}");
            ranks(folder.path(), 2, "train --quiet --resume cut").wait().success();
            assert!(model(&folder, "cut") == model(&folder, "whole"), "{name}");
        }
    }

    #[test]
    fn a_rank_that_hangs_ends_the_job_and_is_named() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        for rank in 0..3 {
            let line = LONG.replace("--examples 1000000", "--examples 1000000000");
            let job = ranks(folder.path(), 3, &format!("{line} --out run --force --stall 2s"));
            signal("-STOP", job.process(rank, Duration::from_millis(1_200)));
            let error = job.wait().failed_soon();
            let meets = format!("rank {rank} did not come to a meeting within 2 s");
            let lives = format!("no sign of life of rank {rank} for 2 s");
            assert!(error.contains(&meets) || error.contains(&lives), "{rank}: {error}");
        }
    }

    #[test]
    fn another_program_on_a_rank_is_named() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let other = folder.path().join("other");
        let mut bytes = fs::read(XTASK).unwrap();
        bytes.push(0);
        fs::copy(XTASK, &other).unwrap(); // which may be run
        fs::write(&other, bytes).unwrap();
        let train = ["train", "--quiet", "--out", "run"];
        let options = [&["-n", "2", XTASK][..], &train, &[":", "-n", "1", other.to_str().unwrap()]];
        let ended = job(folder.path(), &[options.concat(), train.to_vec()].concat()).wait();
        let error = ended.failed_soon();
        let reason = "the program (xtask) of rank 2 is not that of rank 0";
        assert_eq!(error.matches(reason).count(), 1, "{error}");
        assert!(!folder.path().join("run").exists());
    }

    #[test]
    fn a_full_disk_ends_the_job_with_the_last_checkpoint_whole() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        ranks(folder.path(), 2, &format!("{LONG} --snapshots 0 --out whole")).wait().success();
        // The metrics grow until their file may not: at 12 KiB.
        let script = format!("ulimit -f 24; exec {XTASK} {LONG} --snapshots 0 --out cut");
        let ended = job(folder.path(), &["-n", "2", "/bin/sh", "-c", &script]).wait();
        let error = ended.failed_soon();
        assert!(error.contains("error: rank 0 on") && error.contains("cannot write"), "{error}");
        ranks(folder.path(), 2, "train --quiet --resume cut").wait().success();
        assert!(model(&folder, "cut") == model(&folder, "whole"));
    }

    #[test]
    fn a_proof_is_not_waited_for_on_several_ranks() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        let line = "train machine parity --until-proved 2 --out run";
        let error = ranks(folder.path(), 2, line).wait().failed_soon();
        assert!(error.contains("--until-proved is of one process"), "{error}");
        assert!(!folder.path().join("run").exists());
    }

    #[test]
    fn another_number_of_ranks_goes_on_and_says_whether_the_bits_differ() {
        if !has_mpirun() {
            return;
        }
        let folder = temporary();
        for (line, ranks_of, differs) in [
            (LONG.to_owned(), [2, 3], true),
            (LONG.to_owned(), [3, 1], false),
            (
                LONG.replace("averaging --push-every 64", "synchronous")
                    .replace("1000000", "60000"),
                [2, 1],
                false,
            ),
            (LONG.replace("averaging", "averaging --threads 2"), [2, 3], true),
        ] {
            cut(&folder, ranks_of[0], &line, "-USR1");
            let job = ranks(folder.path(), ranks_of[1], "train --resume cut");
            let ended = job.wait();
            assert!(ended.status.success(), "{}", ended.stderr);
            assert_eq!(ended.stderr.contains("not in the same bits"), differs, "{}", ended.stderr);
            if !differs {
                ranks(folder.path(), ranks_of[0], &format!("{line} --out whole --force"))
                    .wait()
                    .success();
                assert!(model(&folder, "cut") == model(&folder, "whole"), "{line} {ranks_of:?}");
            }
        }
    }
}
