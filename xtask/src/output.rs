//! Lines for standard output and standard error, and a progress bar for what takes long.
//!
//! Nobody's work ends because nobody reads: where standard output cannot be written, the rest of
//! it is dropped, and the exit code says so.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};
pub use train::text::thousands;

/// What became of standard output.
static STDOUT: AtomicU8 = AtomicU8::new(OPEN);
const OPEN: u8 = 0;
/// Its reader has gone away, as `| head` does: that is no failure.
const CLOSED: u8 = 1;
/// It cannot be written, as on a full disk.
const FAILED: u8 = 2;

/// Whether another process says everything.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// From now on nothing is printed but by [`tell`]: another process says everything else.
pub fn be_silent() {
    IS_SILENT.store(true, Ordering::Relaxed);
}

/// How people start this program, in all that is printed here.
const OWN_NAME: &str = "cargo xtask";

/// How they start it where `cargo xtask dist` has installed it: its launcher says so.
static INSTALLED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("CARRY_PROGRAM").ok());

/// Whether this is a build from `cargo xtask dist`, without a repository around it.
pub fn is_installed() -> bool {
    INSTALLED.is_some()
}

/// `text` with the name that this program has here.
fn named(text: &str) -> Cow<'_, str> {
    match &*INSTALLED {
        Some(name) if text.contains(OWN_NAME) => text.replace(OWN_NAME, name).into(),
        _ => text.into(),
    }
}

/// Prints a line, if standard output can still be written.
pub fn line(text: impl AsRef<str>) {
    if STDOUT.load(Ordering::Relaxed) != OPEN || IS_SILENT.load(Ordering::Relaxed) {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    note(writeln!(stdout, "{}", named(text.as_ref())).and_then(|()| stdout.flush()));
}

/// Remembers what became of a write to standard output.
fn note(written: std::io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            STDOUT.store(CLOSED, Ordering::Relaxed);
        }
        Err(error) => {
            STDOUT.store(FAILED, Ordering::Relaxed);
            warn(format!("error: cannot write to standard output: {error}; going on without it"));
        }
    }
}

/// Writes `bytes` to standard output at once; whether somebody still reads it.
pub fn raw(bytes: &[u8]) -> bool {
    if STDOUT.load(Ordering::Relaxed) == OPEN {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        note(written);
    }
    STDOUT.load(Ordering::Relaxed) == OPEN
}

/// Prints a line on standard error, if that can be written.
pub fn warn(text: impl AsRef<str>) {
    if !IS_SILENT.load(Ordering::Relaxed) {
        tell(text);
    }
}

/// [`warn`] of a process that is silent otherwise.
pub fn tell(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", named(text.as_ref()));
}

/// The exit code of a command that came to `code`: a failure if its lines were lost, too.
pub fn exit_code(code: ExitCode) -> ExitCode {
    let is_lost = STDOUT.load(Ordering::Relaxed) == FAILED;
    if is_lost && code == ExitCode::SUCCESS { ExitCode::FAILURE } else { code }
}

/// How far the work is, on standard error, once it has taken a second: a bar on a
/// terminal; elsewhere, a line now and then.
pub struct Progress {
    bar: ProgressBar,
    unit: &'static str,
    start: Instant,
    /// Where the work began, if not at 0.
    begin: u64,
    said: Mutex<Instant>,
    is_shown: bool,
}

/// Time between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

impl Progress {
    /// `unit` names what is counted.
    pub fn new(length: u64, unit: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        let style = format!(
            "{{bar:30}} {{human_pos}}/{{human_len}} {unit}  {{rate}}/s  {{eta}} left  {{msg}}"
        );
        let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            // A bar that cannot be written is no bar; the work goes on.
            let _ = text.write_str(&rate(state.per_sec()));
        };
        let style = ProgressStyle::with_template(&style).expect("a fixed template");
        bar.set_style(style.with_key("rate", rate));
        let now = Instant::now();
        Self { bar, unit, start: now, begin: 0, said: Mutex::new(now), is_shown: true }
    }

    /// For those who want to see nothing.
    pub fn none() -> Self {
        Self { is_shown: false, ..Self::new(0, "") }
    }

    /// The first `count` were done before.
    pub fn begin_at(&mut self, count: u64) {
        self.begin = count;
        self.bar.set_position(count);
        self.bar.reset_eta();
    }

    /// `count` more are done.
    pub fn add(&self, count: u64) {
        self.set(self.bar.position() + count);
    }

    /// So many are done.
    pub fn set(&self, count: u64) {
        self.bar.set_position(count);
        if !self.is_shown || self.start.elapsed() < Duration::from_secs(1) {
            return;
        }
        if std::io::stderr().is_terminal() {
            if self.bar.is_hidden() {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            return;
        }
        let mut said = self.said.lock().expect("nobody panics with it");
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            let all = self.bar.length().unwrap_or(count);
            let per_second = (count - self.begin) as f64 / self.start.elapsed().as_secs_f64();
            let left = (all - count) as f64 / per_second;
            warn(format!(
                "{} of {} {}, {}/s, {left:.0} s left  {}",
                thousands(count),
                thousands(all),
                self.unit,
                rate(per_second),
                self.bar.message()
            ));
        }
    }

    /// A word beside the bar.
    pub fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Prints a line without tearing the bar.
    pub fn line(&self, text: String) {
        self.bar.suspend(|| line(text));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A sign of life on a terminal, on standard error, while something takes longer than a moment and
/// nobody knows how long.
pub struct Wait {
    bar: ProgressBar,
}

impl Wait {
    /// With a word for what is waited for; without one, nothing is shown.
    pub fn for_long(word: Option<&'static str>) -> Self {
        let is_shown = word.is_some() && std::io::stderr().is_terminal();
        let bar = if is_shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_message(word.unwrap_or_default());
        if is_shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar }
    }

    /// It is over.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// A rate that reads well.
fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { thousands(per_second as u64) }
}
