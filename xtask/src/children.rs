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
    /// # Errors
    /// [`Stopped`] if they take longer; then they are ended.
    pub fn wait_for_job(mut self, time: Duration) -> anyhow::Result<ExitStatus> {
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.is_over = true;
                return Ok(status);
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
