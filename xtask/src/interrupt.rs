//! Signals that ask a program to end: the first is noted, and the work ends at its next
//! boundary, with what it has kept.
//!
//! Ctrl-C (SIGINT) comes twice within microseconds where a wrapper passes it on to a program and
//! then to its group, as `timeout` does; a second one counts only some time after the first.

use crate::output::warn;
use std::process::{ExitCode, exit};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// So long after the first signal, a second one ends the program at once.
const SECOND: Duration = Duration::from_millis(500);

/// How often work that runs by itself is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The first signal's number, 0 before it.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// From now on the first signal is only noted. Called again, it does nothing more.
pub fn watch() -> anyhow::Result<()> {
    note(false)
}

/// [`watch`] as a rank, which is asked by SIGUSR1, too: `mpirun` passes that on, while it answers
/// Ctrl-C by ending all ranks a second later.
#[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "without MPI there are no ranks"))]
pub fn watch_as_rank() -> anyhow::Result<()> {
    note(true)
}

fn note(is_rank: bool) -> anyhow::Result<()> {
    static WATCHED: OnceLock<()> = OnceLock::new();
    if WATCHED.set(()).is_err() {
        return Ok(());
    }
    let mut signals = signals::listen(is_rank)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first: Option<Instant> = None;
        loop {
            let signal = signals.wait();
            match first {
                None => {
                    first = Some(Instant::now());
                    ASKED.store(signal, Ordering::Relaxed); // it carries no data
                }
                // A terminal that is closed may say so several times, and means no haste.
                Some(first) if first.elapsed() >= SECOND && signal != signals::HANG_UP => {
                    exit(128 + signal);
                }
                Some(_) => {}
            }
        }
    })?;
    Ok(())
}

/// Was the program asked to end?
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed) != 0
}

/// What a shell says of a program that the signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129
/// for SIGHUP.
pub fn exit_code() -> ExitCode {
    ExitCode::from(u8::try_from(128 + ASKED.load(Ordering::Relaxed)).unwrap_or(1))
}

/// What `work` comes to, on a thread of its own; none if the program was asked to end before.
/// Then the thread goes on until the program ends, so `work` must change nothing that is kept.
pub fn unless_asked<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<Option<T>> {
    let (sender, receiver) = channel();
    let worker = thread::Builder::new().spawn(move || {
        // Nobody may be left who listens.
        let _ = sender.send(work());
    })?;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(result) => return Ok(Some(result)),
            Err(RecvTimeoutError::Timeout) if asked() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("it has sent its result"),
            },
        }
    }
}

/// Why something did not come to its end: the program was asked to end.
#[derive(Debug)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped by a signal")
    }
}

impl std::error::Error for Stopped {}

/// Is that the reason?
pub fn is_stopped(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Stopped>())
}

/// Does `work`, which ends by itself when it is asked to; meanwhile, says that it was.
pub fn while_saying_that_it_stops<T>(work: impl FnOnce() -> T) -> T {
    let (ended, is_ended) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if asked() {
                    say_waiting("the networks in hand are done");
                    return;
                }
            }
        });
        let result = work();
        drop(ended);
        result
    })
}

/// Says that the work waits for `what` to end.
pub fn say_waiting(what: &str) {
    warn(format!("stopping when {what}; Ctrl-C again ends at once"));
}

#[cfg(unix)]
mod signals {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    pub const HANG_UP: i32 = SIGHUP;

    pub struct Listener(Signals);

    pub fn listen(is_rank: bool) -> std::io::Result<Listener> {
        // Who catches it is told of a file that grows beyond a limit by whoever writes it.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let mut all = vec![SIGINT, SIGTERM];
        all.extend((!is_hang_up_ignored()).then_some(SIGHUP));
        all.extend(is_rank.then_some(SIGUSR1));
        Signals::new(all).map(Listener)
    }

    impl Listener {
        /// The next signal.
        pub fn wait(&mut self) -> i32 {
            self.0.forever().next().expect("nobody closes it")
        }
    }

    /// Was the program started by `nohup`? (Known on Linux; elsewhere, no.)
    fn is_hang_up_ignored() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
    }
}

/// Where there are no such signals but Ctrl-C.
#[cfg(not(unix))]
mod signals {
    use signal_hook::consts::SIGINT;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub const HANG_UP: i32 = -1;

    pub struct Listener(Arc<AtomicBool>);

    pub fn listen(_is_rank: bool) -> std::io::Result<Listener> {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, Arc::clone(&flag))?;
        Ok(Listener(flag))
    }

    impl Listener {
        pub fn wait(&mut self) -> i32 {
            while !self.0.swap(false, Ordering::Relaxed) {
                std::thread::sleep(super::LOOK);
            }
            SIGINT
        }
    }
}
