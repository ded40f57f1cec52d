//! Programs that a command runs. Each is the first of a process group of its own, which ends with
//! all that it has started when the command is asked to end, or gives up on it.

use crate::interrupt::{self, Stopped};
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often it is asked whether a program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What a program has to end by itself; less than lies before a second signal counts, so that
/// none is left behind then.
const GRACE: Duration = Duration::from_millis(300);

/// So long a launcher may run on when all that it has started has ended.
const ALONE: Duration = Duration::from_secs(10);

/// A program that runs, and all that it has started. Dropped, it is ended.
pub struct Running {
    child: Child,
    is_over: bool,
}

/// Starts `command`, without a standard input.
///
/// # Errors
/// [`Stopped`] if the command that calls was asked to end; or if it cannot be started.
pub fn start(command: &mut Command) -> anyhow::Result<Running> {
    interrupt::watch()?;
    if interrupt::asked() {
        return Err(Stopped.into());
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let child = command.stdin(Stdio::null()).spawn()?;
    Ok(Running { child, is_over: false })
}

/// Runs `command` to its end.
///
/// # Errors
/// As [`start`] and [`Running::wait`].
pub fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let status = start(command)?.wait(None)?;
    Ok(status.expect("there is no limit"))
}

/// What a program printed, and how it ended.
pub struct Output {
    /// None if it took too long, and was ended.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` to its end, or for `limit`, and keeps what it prints.
///
/// # Errors
/// As [`start`] and [`Running::wait`].
pub fn output(command: &mut Command, limit: Option<Duration>) -> anyhow::Result<Output> {
    // Files and not pipes: these need not be read while it runs.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let status = start(command)?.wait(limit)?;
    Ok(Output { status, stdout: read_whole(&mut stdout)?, stderr: read_whole(&mut stderr)? })
}

fn read_whole(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Running {
    /// The process itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended; none if that took longer than `limit`, and it was ended.
    ///
    /// # Errors
    /// [`Stopped`] if this program was asked to end before; then it is ended, too.
    pub fn wait(mut self, limit: Option<Duration>) -> anyhow::Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                // One that failed may have met the same signal.
                Some(status) if status.success() || !interrupt::asked() => {
                    self.is_over = true;
                    return Ok(Some(status));
                }
                _ if interrupt::asked() => return Err(Stopped.into()),
                _ if limit.is_some_and(|limit| start.elapsed() >= limit) => return Ok(None),
                _ => sleep(LOOK),
            }
        }
    }

    /// How a job ended, which takes SIGUSR1 for its processes. If this program is asked to end
    /// before, these are, too, and have `time` for that: there may be work to keep. Asked again, this
    /// program ends at once, and the job when its processes do.
    ///
    /// Its launcher may never end though all that it has started has: OpenMPI's, if a process is killed
    /// while MPI starts. After [`ALONE`] without any it is ended, too, where that is known (on Linux).
    ///
    /// # Errors
    /// [`Stopped`] if they take longer; then they are ended. If the launcher was ended.
    pub fn wait_for_job(mut self, time: Duration) -> anyhow::Result<ExitStatus> {
        let mut asked: Option<Instant> = None;
        let mut alone = Alone::default();
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.is_over = true;
                return Ok(status);
            }
            if alone.lasts(self.child.id()) >= ALONE {
                anyhow::bail!(
                    "all processes of the job have ended, and what started them has not: it was ended, \
                     too"
                );
            }
            match asked {
                None if interrupt::asked() => {
                    group::ask(&self.child);
                    asked = Some(Instant::now());
                }
                Some(asked) if asked.elapsed() >= time => return Err(Stopped.into()),
                _ => {}
            }
            sleep(LOOK);
        }
    }
}

/// How long a launcher has been without the processes that it has started.
#[derive(Default)]
struct Alone {
    /// Has it ever had one?
    has_started: bool,
    since: Option<Instant>,
    looked: Option<Instant>,
}

impl Alone {
    /// How long the launcher `id` has been so.
    fn lasts(&mut self, id: u32) -> Duration {
        const SELDOM: Duration = Duration::from_millis(500);
        if self.looked.is_none_or(|looked| looked.elapsed() >= SELDOM) {
            self.looked = Some(Instant::now());
            let has_any = has_children(id);
            self.has_started |= has_any;
            match (self.has_started, has_any) {
                (true, false) => self.since = self.since.or(self.looked),
                _ => self.since = None,
            }
        }
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Has the process `id` others that run? Where nobody can tell, no.
fn has_children(id: u32) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|entry| {
        // 7 (a name) S 1 …: the state and the parent stand behind the name, which may hold anything.
        let status = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut words = status.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, parent) = (words.next(), words.next());
        state != Some("Z") && parent.is_some_and(|parent| parent.parse() == Ok(id))
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            group::end(&mut self.child);
        }
    }
}

#[cfg(unix)]
mod group {
    use super::{Child, GRACE, Instant, LOOK, sleep};
    use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

    /// Asks the processes of the job `child` to end; that it cannot be asked says that it is over.
    pub fn ask(child: &Child) {
        let _ = kill_process(Pid::from_child(child), Signal::USR1);
    }

    /// Asks the group of `child` to end, and ends what has not after a while. Nothing can be done
    /// about an error: there is nobody left, or nobody that may be ended.
    pub fn end(child: &mut Child) {
        let id = Pid::from_child(child);
        let _ = kill_process_group(id, Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE {
            let is_over = child.try_wait().is_ok_and(|status| status.is_some());
            if is_over && test_kill_process_group(id).is_err() {
                return;
            }
            sleep(LOOK);
        }
        let _ = kill_process_group(id, Signal::KILL);
        let _ = child.wait();
    }
}

/// Where there are no groups.
#[cfg(not(unix))]
mod group {
    use super::Child;

    pub fn ask(_child: &Child) {}

    pub fn end(child: &mut Child) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn job(script: &str) -> (anyhow::Result<ExitStatus>, Duration) {
        let begin = Instant::now();
        let job = start(Command::new("/bin/sh").args(["-c", script])).unwrap();
        (job.wait_for_job(Duration::ZERO), begin.elapsed())
    }

    #[test]
    fn a_launcher_that_outlives_all_that_it_has_started_is_ended() {
        let (ended, took) = job("sleep 2 & exec sleep 1000");
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("all processes of the job have ended"), "{error}");
        assert!(took > ALONE && took < 3 * ALONE, "{took:?}");
    }

    #[test]
    fn a_job_may_take_as_long_as_its_processes_do() {
        let (ended, took) = job("sleep 12; exit 3");
        assert_eq!(ended.unwrap().code(), Some(3));
        assert!(took > ALONE, "{took:?}");
    }
}
