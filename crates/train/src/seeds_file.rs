//! The file of a study over seeds: what became of each, as JSON a line, appended as it ends, so that a
//! study that is stopped or killed goes on, and files of several studies can be joined by `cat`.
//!
//! A line names the configuration by a digest; those of another one are left alone. Its numbers are
//! for people and programs; `exact` holds the same in bits (Postcard, in hexadecimal digits).

use crate::Error;
use crate::config::RunConfig;
use crate::study::{SeedResult, digest};
use crate::task::{Score, Task};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A file of results, open to append; nobody else can open it so meanwhile.
#[derive(Debug)]
pub struct SeedsFile {
    path: PathBuf,
    file: File,
    config: String,
}

/// What a file holds of trainings on `T`.
pub type Results<T> = Vec<SeedResult<<T as Task>::Score>>;

impl SeedsFile {
    /// Opens `path`, or makes it; also gives what it holds of trainings of `config`, in its order, a
    /// seed once. A last line without its end, which a study that was killed may leave, is cut off.
    ///
    /// # Errors
    /// If it cannot be read or written, another study has it open, or a line is no result; then the
    /// file stays as it is.
    pub fn open<T: Task>(path: &Path, config: &RunConfig<T>) -> Result<(Self, Results<T>), Error> {
        let open = || OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = open().map_err(Error::file("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "is being written by another study; wait until it ends, or name \
                              another file";
                return Err(Error::Data { path: path.into(), reason: reason.into() });
            }
            // A file system without locks: two studies with one file are not noticed.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::file("read", path))?;
        let config = hexadecimal(&digest(config)[..8]);
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut results: Vec<SeedResult<T::Score>> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (number, line) in (1..).zip(bytes[..whole].split_inclusive(|&byte| byte == b'\n')) {
            let result = parse(line, &config).ok_or_else(|| Error::Data {
                path: path.to_owned(),
                reason: format!(
                    "has a line {number} that is no seed's result; name another file, or take the \
                     line out"
                ),
            })?;
            results.extend(result.filter(|result: &SeedResult<_>| seen.insert(result.seed)));
        }
        if bytes.len() > whole {
            if bytes[whole] != b'{' {
                let reason = "ends with what is no seed's result; name another file".to_owned();
                return Err(Error::Data { path: path.into(), reason });
            }
            file.set_len(whole as u64).map_err(Error::file("write", path))?;
        }
        Ok((Self { path: path.to_owned(), file, config }, results))
    }

    /// Appends a result. It outlives this process, and not a loss of power in the same moment.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append<S: Score>(&mut self, result: &SeedResult<S>) -> Result<(), Error> {
        let SeedResult { seed, loss, score, examples, seconds } = result;
        let exact = postcard::to_stdvec(result).expect("plain data");
        let line = json!({
            "config": self.config,
            "seed": seed,
            "loss": loss,
            "score": score.describe(),
            "examples": examples,
            "seconds": seconds,
            "exact": hexadecimal(&exact),
        });
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .map_err(Error::file("write", &self.path))
    }
}

/// A line's result, if it is of `config`; none at all if it is no line of such a file.
fn parse<S: DeserializeOwned>(line: &[u8], config: &str) -> Option<Option<SeedResult<S>>> {
    let line: Value = serde_json::from_slice(line).ok()?;
    if line["config"].as_str()? != config {
        return Some(None);
    }
    let digits = line["exact"].as_str()?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let exact: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    Some(Some(postcard::from_bytes(&exact?).ok()?))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes all
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::train_seeds;
    use crate::task::TestTask;
    use std::fs;
    use std::sync::Mutex;

    #[test]
    fn what_is_in_the_file_comes_back_and_a_line_that_is_cut_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seeds.jsonl");
        let mut config = TestTask::lab();
        config.run.examples = 500;
        let (file, found) = SeedsFile::open(&path, &config).unwrap();
        assert!(found.is_empty());
        let text = SeedsFile::open(&path, &config).unwrap_err().to_string();
        assert!(text.contains("another study"), "{text}");
        let kept = Mutex::new((file, Vec::new()));
        train_seeds(&config, 3..9, |result| {
            let (file, all) = &mut *kept.lock().unwrap();
            all.push(result);
            file.append(&result)
        })
        .unwrap();
        let (file, all) = kept.into_inner().unwrap();
        drop(file);
        let bits = |all: &[SeedResult<_>]| -> Vec<_> {
            all.iter().map(|one| (one.seed, one.loss.to_bits(), one.score, one.examples)).collect()
        };
        // Another configuration's, and half a line.
        config.run.examples = 600;
        let (mut file, none) = SeedsFile::open(&path, &config).unwrap();
        assert!(none.is_empty());
        file.append(&all[0]).unwrap();
        drop(file);
        config.run.examples = 500;
        // Which are none of the configuration.
        config.run.seed = 77;
        config.ranks.count = 3;
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{}", &whole[..40])).unwrap();
        let (file, found) = SeedsFile::open(&path, &config).unwrap();
        assert_eq!(bits(&found), bits(&all));
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        // Joined with itself, each counts once.
        fs::write(&path, format!("{whole}{whole}")).unwrap();
        assert_eq!(SeedsFile::open(&path, &config).unwrap().1.len(), 6);
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.txt");
        let config = TestTask::lab();
        for (text, reason) in
            [("once upon\n", "line 1"), ("{}\n", "line 1"), ("once upon", "ends with")]
        {
            fs::write(&path, text).unwrap();
            let error = SeedsFile::open(&path, &config).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("book.txt"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
