//! Lines for standard output, and a progress bar for what takes long.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

/// Prints a line. A reader that has gone away (`| head`) ends the program quietly.
pub fn line(text: impl AsRef<str>) {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.as_ref()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
        Ok(()) => {}
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A bar on standard error that appears once the work has taken a second, and only
/// on a terminal.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// `unit` names what is counted.
    pub fn new(length: u64, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
        let style = format!(
            "{{bar:30}} {{human_pos}}/{{human_len}} {unit}  {{rate}}/s  {{eta}} left  {{msg}}"
        );
        let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let rate = state.per_sec();
            // A bar that cannot be written is no bar; the work goes on.
            let _ = match rate < 100.0 {
                true => write!(text, "{rate:.1}"),
                false => write!(text, "{}", thousands(rate as u64)),
            };
        };
        let style = ProgressStyle::with_template(&style).expect("a fixed template");
        bar.set_style(style.with_key("rate", rate));
        Self { bar, start: Instant::now() }
    }

    /// `count` more are done.
    pub fn add(&self, count: u64) {
        self.bar.inc(count);
        if self.bar.is_hidden() && self.start.elapsed() > Duration::from_secs(1) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
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

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_parted_by_commas() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (16_384, "16,384"), (1_234_567, "1,234,567")]
        {
            assert_eq!(super::thousands(number), text);
        }
    }
}
