//! The file of a study's trials: one as JSON a line, appended as it ends, so that a study
//! that is stopped goes on, and files of several studies can be joined by `cat`.

use crate::error::Error;
use crate::study::trial::Trial;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// How every line begins.
const BEGIN: &[u8] = b"{\"hidden\":";

/// A file of trials, open to append; nobody else can open it so meanwhile.
#[derive(Debug)]
pub struct TrialsFile {
    path: PathBuf,
    file: File,
}

/// What a file of trials held when it was opened.
#[derive(Debug)]
pub struct TrialsFound {
    /// Its trials, in its order.
    pub trials: Vec<Trial>,
    /// The number of the line that was cut off its end, because it was unfinished.
    pub unfinished: Option<usize>,
}

impl TrialsFile {
    /// Opens `path`, or makes it. A last line without its end, which a study that was killed
    /// may leave, is cut off.
    ///
    /// # Errors
    /// If it cannot be read or written, if another study has it open, or if a line is no
    /// trial; then the file stays as it is.
    pub fn open(path: &Path) -> Result<(Self, TrialsFound), Error> {
        let open = || OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = open().map_err(Error::file("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(path.to_owned())),
            // A file system without locks: two studies with one file are not noticed.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::file("read", path))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let (lines, rest) = bytes.split_at(whole);
        let refused = |line, reason: String| Error::NoTrial { path: path.to_owned(), line, reason };
        let mut trials = Vec::new();
        for (number, line) in (1..).zip(lines.split_inclusive(|&byte| byte == b'\n')) {
            let trial = serde_json::from_slice(line);
            trials.push(trial.map_err(|error| refused(number, error.to_string()))?);
        }
        let mut unfinished = None;
        if !rest.is_empty() {
            let number = trials.len() + 1;
            let common = rest.len().min(BEGIN.len());
            if rest[..common] != BEGIN[..common] {
                return Err(refused(number, "nor is it the beginning of one".to_owned()));
            }
            file.set_len(whole as u64).map_err(Error::file("write", path))?;
            unfinished = Some(number);
        }
        Ok((Self { path: path.to_owned(), file }, TrialsFound { trials, unfinished }))
    }

    /// Appends a trial; then it is on the disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, trial: &Trial) -> Result<(), Error> {
        let mut line = serde_json::to_string(trial).expect("numbers and names");
        line.push('\n');
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(Error::file("write", &self.path))
    }
}
