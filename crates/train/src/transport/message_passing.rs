//! Ranks that are processes of an MPI job: OpenMPI or MPICH, by the crate `mpi`.
//!
//! MPI waits for ever, and at full load. Here every wait is a loop of questions, which gets slower
//! the longer it lasts, and has a limit ([`Watch::stall`]):
//!
//! 1. A collective is waited for so long. Then all ranks are asked whether they wait, too; those
//!    that do not answer are named, and the job ends.
//! 2. A message may take any time, for its sender may be computing. But every rank sends a sign of
//!    life to rank 0, and rank 0 to every rank, from a thread of its own; a rank that waits for one
//!    whose signs do not come ends the job. Two others than rank 0 send no signs to each other.
//! 3. MPI's own start waits for all ranks, and cannot be asked how it goes: a thread beside it has the
//!    same limit, and ends the process.
//! 4. Asked to end by a signal, a rank waits for the others a little longer and no more: who was
//!    killed does not come.

use super::Transport;
use mpi::datatype::Equivalence;
use mpi::environment::{Universe, processor_name};
use mpi::point_to_point::Message;
use mpi::request::{Request, Scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Source};
use mpi::{Tag, Threading, initialize_with_threading};
use std::env;
use std::fmt;
use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What launchers tell the processes that they start: OpenMPI's `mpirun`, MPICH's and Slurm's.
const STARTED: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

/// What a message is, by its tag.
const DATA: Tag = 1;
const ALIVE: Tag = 2;
const DO_YOU_WAIT: Tag = 3;
const I_WAIT: Tag = 4;

/// The most bytes of a part of a message; one of just so many has another part behind it.
const PART: usize = 1 << 30;

/// So long others have to answer that they wait, too.
const ANSWER: Duration = Duration::from_secs(2);

/// So long the others are waited for after a signal, beside twice the longest wait of before.
const GRACE: Duration = Duration::from_secs(2);

/// … and so long at most.
const MOST_GRACE: Duration = Duration::from_secs(15);

/// When a rank does not wait any longer, and whom it tells.
#[derive(Clone, Copy)]
pub struct Watch {
    /// How long others are waited for.
    pub stall: Duration,
    /// Was this process asked to end?
    pub is_asked: fn() -> bool,
    /// Is told why the job ends, before it does.
    pub lost: fn(&str),
}

/// This process as a rank. MPI ends with it; dropped by a panic, it ends the whole job, for the
/// other ranks would wait for this one.
pub struct Mpi {
    /// Held for a call to MPI, and never while waiting.
    universe: Arc<Mutex<Universe>>,
    rank: usize,
    ranks: usize,
    watch: Watch,
    longest: Mutex<Duration>,
    signs: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Mpi {
    /// Was this process started by MPI? Asks the environment alone.
    pub fn is_started() -> bool {
        STARTED.iter().any(|name| env::var_os(name).is_some())
    }

    /// Starts MPI; `None` if it was started before in this process.
    ///
    /// A rank that does not come to that within the limit of `watch` ends the process, with exit code
    /// 1: there is nobody yet whom MPI would tell.
    ///
    /// # Panics
    /// If this MPI cannot be called by several threads in turn, or a thread cannot be started.
    pub fn start(watch: Watch) -> Option<Self> {
        let started = end_unless_started(watch);
        let (universe, threading) = initialize_with_threading(Threading::Serialized)?;
        drop(started);
        assert!(threading >= Threading::Serialized, "an MPI that several threads may call in turn");
        let world = universe.world();
        let (rank, ranks) = (world.rank() as usize, world.size() as usize);
        let universe = Arc::new(Mutex::new(universe));
        let signs = (ranks > 1).then(|| {
            let universe = Arc::clone(&universe);
            let (stop, stopped) = channel();
            let pause = (watch.stall / 4).min(Duration::from_secs(15));
            let to: Vec<_> = if rank == 0 { (1..ranks).collect() } else { vec![0] };
            let signs = move || {
                while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    let world = lock(&universe).world();
                    for &to in &to {
                        let _universe = lock(&universe);
                        world.process_at_rank(to as i32).send_with_tag(&[0_u8; 0], ALIVE);
                    }
                }
            };
            let thread = thread::Builder::new().name("signs of life".to_owned()).spawn(signs);
            (stop, thread.expect("a thread"))
        });
        Some(Self { universe, rank, ranks, watch, longest: Mutex::default(), signs })
    }

    /// The machine's name, for messages.
    pub fn host(&self) -> String {
        processor_name().unwrap_or_else(|_| "unknown".to_owned())
    }

    /// Ends every rank of the job at once, with this exit code.
    pub fn abort(&self, code: i32) -> ! {
        self.world().1.abort(code)
    }

    /// All ranks, as long as nobody else calls MPI.
    fn world(&self) -> (MutexGuard<'_, Universe>, SimpleCommunicator) {
        let universe = lock(&self.universe);
        let world = universe.world();
        (universe, world)
    }

    /// Ends the job, for a reason that is told.
    fn lose(&self, reason: &str) -> ! {
        (self.watch.lost)(reason);
        self.abort(1)
    }

    /// [`Self::wait_for_all`] until what they make together is there.
    fn wait_for_request<'s, D: ?Sized, S: Scope<'s>>(&self, request: Request<'s, D, S>) {
        let mut request = Some(request);
        self.wait_for_all(|| {
            request = request.take().and_then(|request| request.test().err());
            request.is_none()
        });
    }

    /// Asks `is_done` until it says so.
    fn wait_for_all(&self, mut is_done: impl FnMut() -> bool) {
        let mut wait = Wait::new();
        loop {
            {
                let _universe = lock(&self.universe);
                if is_done() {
                    break;
                }
            }
            if wait.pause() {
                self.answer();
                if wait.start.elapsed() >= self.watch.stall {
                    self.name_the_missing();
                }
                self.end_if_asked(&mut wait);
            }
        }
        let mut longest = lock(&self.longest);
        *longest = wait.start.elapsed().max(*longest);
    }

    /// After a signal, others are waited for a little longer.
    fn end_if_asked(&self, wait: &mut Wait) {
        if !(self.watch.is_asked)() {
            return;
        }
        let since = *wait.asked.get_or_insert_with(Instant::now);
        if since.elapsed() >= (GRACE + 2 * *lock(&self.longest)).min(MOST_GRACE) {
            self.lose("asked to end, it waited for the other ranks in vain");
        }
    }

    /// Tells those who ask that this rank waits.
    fn answer(&self) {
        let (_universe, world) = self.world();
        while let Some(question) = world.any_process().immediate_matched_probe_with_tag(DO_YOU_WAIT)
        {
            let to = receive_empty(question);
            world.process_at_rank(to).send_with_tag(&[0_u8; 0], I_WAIT);
        }
    }

    /// Ends the job: a collective took too long. Those who do not wait are those who are waited
    /// for.
    fn name_the_missing(&self) -> ! {
        let others = (0..self.ranks).filter(|&rank| rank != self.rank);
        for other in others.clone() {
            self.world().1.process_at_rank(other as i32).send_with_tag(&[0_u8; 0], DO_YOU_WAIT);
        }
        let mut is_waiting = vec![false; self.ranks];
        let start = Instant::now();
        while start.elapsed() < ANSWER {
            self.answer();
            let (universe, world) = self.world();
            while let Some(answer) = world.any_process().immediate_matched_probe_with_tag(I_WAIT) {
                is_waiting[receive_empty(answer) as usize] = true;
            }
            drop(universe);
            thread::sleep(Duration::from_millis(1));
        }
        let missing: Vec<_> = others.filter(|&rank| !is_waiting[rank]).collect();
        let seconds = self.watch.stall.as_secs_f64();
        self.lose(&match missing[..] {
            [] => format!("a message was lost: all ranks have waited for {seconds} s"),
            _ => format!(
                "{} did not come to a meeting within {seconds} s; if it only is slow, give a longer \
                 --stall",
                names(&missing)
            ),
        })
    }

    /// The next part of a message, from whoever is meant.
    fn receive_part(&self, from: Option<usize>) -> (usize, Vec<u8>) {
        // Who must have been heard of since: of rank 0, all others; of another, rank 0.
        let mut heard = vec![Instant::now(); self.ranks];
        let mut wait = Wait::new();
        loop {
            let (universe, world) = self.world();
            let found = match from {
                Some(from) => {
                    world.process_at_rank(from as i32).immediate_matched_probe_with_tag(DATA)
                }
                None => world.any_process().immediate_matched_probe_with_tag(DATA),
            };
            drop(universe);
            if let Some(found) = found {
                return self.receive_found(found);
            }
            if !wait.pause() {
                continue;
            }
            self.answer();
            let (universe, world) = self.world();
            while let Some(sign) = world.any_process().immediate_matched_probe_with_tag(ALIVE) {
                heard[receive_empty(sign) as usize] = Instant::now();
            }
            drop(universe);
            let is_silent = |&rank: &usize| {
                let sends_signs = rank != self.rank && (rank == 0 || self.rank == 0);
                sends_signs && heard[rank].elapsed() >= self.watch.stall
            };
            let silent: Vec<_> = match from {
                Some(from) => [from].into_iter().filter(is_silent).collect(),
                None => (0..self.ranks).filter(is_silent).collect(),
            };
            if !silent.is_empty() {
                let seconds = self.watch.stall.as_secs_f64();
                self.lose(&format!("no sign of life of {} for {seconds} s", names(&silent)));
            }
            self.end_if_asked(&mut wait);
        }
    }

    fn receive_found(
        &self,
        (message, status): (Message, mpi::point_to_point::Status),
    ) -> (usize, Vec<u8>) {
        let length = status.count(u8::equivalent_datatype()) as usize;
        let mut bytes = vec![0; length];
        scope(|scope| {
            let request = {
                let _universe = lock(&self.universe);
                message.immediate_matched_receive_into(scope, &mut bytes[..])
            };
            let mut request = Some(request);
            self.wait_for_all(|| {
                request = request.take().and_then(|request| request.test().err());
                request.is_none()
            });
        });
        (status.source_rank() as usize, bytes)
    }

    fn send_part(&self, to: usize, bytes: &[u8]) {
        let (universe, world) = self.world();
        scope(|scope| {
            let to = world.process_at_rank(to as i32);
            let request = to.immediate_send_with_tag(scope, bytes, DATA);
            drop(universe);
            let mut request = Some(request);
            self.wait_for_all(|| {
                request = request.take().and_then(|request| request.test().err());
                request.is_none()
            });
        });
    }
}

/// Ends this process if what it returns is not dropped within the limit.
fn end_unless_started(watch: Watch) -> Sender<()> {
    let (started, is_started) = channel();
    let wait = move || {
        if is_started.recv_timeout(watch.stall) == Err(RecvTimeoutError::Timeout) {
            let seconds = watch.stall.as_secs_f64();
            (watch.lost)(&format!(
                "MPI has not started within {seconds} s: another rank was ended meanwhile, or cannot be \
                 reached; if it only is slow, give a longer --stall"
            ));
            process::exit(1);
        }
    };
    let thread = thread::Builder::new().name("start of MPI".to_owned()).spawn(wait);
    thread.expect("a thread");
    started
}

/// Receives a message without content; from whom.
fn receive_empty((message, status): (Message, mpi::point_to_point::Status)) -> i32 {
    message.matched_receive_into(&mut [0_u8; 0]);
    status.source_rank()
}

fn names(ranks: &[usize]) -> String {
    let numbers: Vec<_> = ranks.iter().map(ToString::to_string).collect();
    format!("rank{} {}", if ranks.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One wait: how long it lasts, and how often to ask.
struct Wait {
    start: Instant,
    /// Since when this process is asked to end.
    asked: Option<Instant>,
    questions: u32,
}

impl Wait {
    fn new() -> Self {
        Self { start: Instant::now(), asked: None, questions: 0 }
    }

    /// Between two questions: others may need the core. Whether it is time to look at clocks and
    /// signals, too.
    fn pause(&mut self) -> bool {
        /// Questions before the clock is looked at.
        const QUICK: u32 = 64;
        self.questions += 1;
        if !self.questions.is_multiple_of(QUICK) && self.questions < QUICK * QUICK {
            thread::yield_now();
            return false;
        }
        let lasted = self.start.elapsed();
        if lasted < Duration::from_millis(2) {
            thread::yield_now();
            return false;
        }
        // The longer it has lasted, the less a moment matters.
        thread::sleep((lasted / 64).clamp(Duration::from_micros(50), Duration::from_millis(1)));
        true
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if thread::panicking() {
            self.abort(1);
        }
        if let Some((stop, thread)) = self.signs.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi {{ rank: {}, ranks: {} }}", self.rank, self.ranks)
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather_while(&self, own: &[u8], all: &mut [u8], meanwhile: &mut dyn FnMut()) {
        assert_eq!(all.len(), self.ranks * own.len(), "room for what each rank has");
        if own.is_empty() {
            return meanwhile(); // which MPI takes for a mistake
        }
        scope(|scope| {
            let (universe, world) = self.world();
            let request = world.immediate_all_gather_into(scope, own, all);
            drop(universe);
            meanwhile();
            self.wait_for_request(request);
        });
    }

    fn scatter_while(&self, own: &[u8], all: &mut [u8], meanwhile: &mut dyn FnMut()) {
        assert_eq!(all.len(), own.len(), "room for what each rank sends");
        assert!(own.len().is_multiple_of(self.ranks), "a part for each rank");
        if own.is_empty() {
            return meanwhile();
        }
        scope(|scope| {
            let (universe, world) = self.world();
            let request = world.immediate_all_to_all_into(scope, own, all);
            drop(universe);
            meanwhile();
            self.wait_for_request(request);
        });
    }

    fn send_bytes(&self, to: usize, bytes: &[u8]) {
        assert!(to < self.ranks && to != self.rank, "another rank of the job");
        for part in bytes.chunks(PART) {
            self.send_part(to, part);
        }
        if bytes.len().is_multiple_of(PART) {
            self.send_part(to, &[]);
        }
    }

    fn receive_bytes(&self, from: Option<usize>) -> (usize, Vec<u8>) {
        let is_another = |from| from < self.ranks && from != self.rank;
        assert!(from.is_none_or(is_another), "another rank of the job");
        let (by, mut bytes) = self.receive_part(from);
        let mut is_cut = bytes.len() == PART;
        while is_cut {
            let (_, part) = self.receive_part(Some(by));
            is_cut = part.len() == PART;
            bytes.extend(part);
        }
        (by, bytes)
    }
}
