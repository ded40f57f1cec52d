//! The run folder: what a training was asked, how it went, and what it learned.
//!
//! ```text
//! config.toml         what was asked: see RunConfig
//! metrics.jsonl       how it went: an object a line, see Metrics
//! curve.svg           the same as a picture (drawn by the caller)
//! snapshots.safetensors   its parameters at some moments, where that was asked: see Snapshots
//! model.safetensors   what it learned; its presence says that the run is finished
//!
//! checkpoint                 of a run that is not: see Checkpoint
//! metrics.jsonl.unfinished   and its metrics so far
//! snapshots.unfinished       and its snapshots by the checkpoint
//! ```
//!
//! Files are whole or absent (see [`crate::atomic_file`]), and the weights come last, so that no
//! crash leaves the weights of one run beside the configuration of another.

use crate::Error;
use crate::atomic_file::{LEFTOVER, Staged, remove_if_there, write_whole};
use crate::checkpoint::Checkpoint;
use crate::config::{RunConfig, task_name};
use crate::metrics::{Metrics, MetricsFile};
use crate::snapshots::{self, Snapshot};
use crate::task::Task;
use model::{Config, Parameters, weights};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const METRICS_UNFINISHED: &str = "metrics.jsonl.unfinished";
const CURVE: &str = "curve.svg";
const MODEL: &str = "model.safetensors";
const CHECKPOINT: &str = "checkpoint";
const SNAPSHOTS: &str = "snapshots.safetensors";
const SNAPSHOTS_UNFINISHED: &str = "snapshots.unfinished";

/// A folder for one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes `root/0001`, `root/0002`, … whichever is the next number.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create_next(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(Error::no_folder(root))?;
        let mut number = numbered(root)?.last().map_or(1, |(number, _)| number + 1);
        loop {
            let path = root.join(format!("{number:04}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // another process was faster
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::file("make the folder", path)(error)),
            }
        }
    }

    /// Makes the folder `path`, or takes it if it is empty or `force` is given; then
    /// only the files of a run are written over, and only when the new ones are whole.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], or if the folder cannot be made or read.
    pub fn create(path: &Path, force: bool) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::no_folder(path))?;
        let mut entries = fs::read_dir(path).map_err(Error::file("read the folder", path))?;
        if !force && entries.next().is_some() {
            return Err(Error::NotEmpty(path.to_owned()));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The finished run with the highest number in `root`.
    ///
    /// # Errors
    /// [`Error::NoRun`] if there is none.
    pub fn latest(root: &Path) -> Result<Self, Error> {
        let runs = if root.exists() { numbered(root)? } else { Vec::new() };
        let finished = runs.into_iter().rfind(|(_, path)| path.join(MODEL).exists());
        finished.map(|(_, path)| Self { path }).ok_or_else(|| Error::NoRun(root.to_owned()))
    }

    /// The finished run with the highest number in `root` whose task is one of `tasks`; if there is
    /// none, that of any other.
    ///
    /// # Errors
    /// [`Error::NoRun`] if there is none at all.
    pub fn latest_of(root: &Path, tasks: &[&str]) -> Result<Self, Error> {
        let runs = if root.exists() { numbered(root)? } else { Vec::new() };
        let is_of = |folder: &Self| {
            let name = folder.task_name();
            folder.path.join(MODEL).exists() && name.is_ok_and(|name| tasks.contains(&&*name))
        };
        let found = runs.into_iter().rev().map(|(_, path)| Self { path }).find(is_of);
        found.map_or_else(|| Self::latest(root), Ok)
    }

    /// The finished run in `path`.
    ///
    /// # Errors
    /// [`Error::NoRun`] if there is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.join(MODEL).exists() {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(Error::NoRun(path.to_owned()))
        }
    }

    /// The run in `path` that was not finished, but left a checkpoint.
    ///
    /// # Errors
    /// If there is none.
    pub fn unfinished(path: &Path) -> Result<Self, Error> {
        let folder = Self { path: path.to_owned() };
        if folder.has_checkpoint() {
            Ok(folder)
        } else if path.join(MODEL).exists() {
            Err(Error::Finished(path.to_owned()))
        } else {
            Err(Error::NoCheckpoint(path.to_owned()))
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other processes from training in this folder, until it is dropped. (Where
    /// folders cannot be locked, which is anywhere but on Unix, it keeps nobody.)
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it.
    pub fn lock(&self) -> Result<RunLock, Error> {
        if !cfg!(unix) {
            return Ok(RunLock { _folder: None });
        }
        let lock = || {
            let folder = File::open(&self.path)?;
            Ok(match folder.try_lock() {
                Ok(()) => Some(RunLock { _folder: Some(folder) }),
                Err(TryLockError::WouldBlock) => None,
                // A file system without locks: two runs in one folder are not noticed.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    Some(RunLock { _folder: None })
                }
                Err(TryLockError::Error(error)) => return Err(error),
            })
        };
        let lock = lock().map_err(Error::file("lock the folder", &self.path))?;
        lock.ok_or_else(|| Error::InUse(self.path.clone()))
    }

    /// Removes what processes that were killed left half written; for the holder of the lock.
    pub(crate) fn remove_leftovers(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.path).map_err(Error::file("read the folder", &self.path))? {
            let entry = entry.map_err(Error::file("read the folder", &self.path))?;
            if entry.file_name().to_string_lossy().starts_with(LEFTOVER) {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Whether a run in this folder left a checkpoint.
    pub fn has_checkpoint(&self) -> bool {
        self.path.join(CHECKPOINT).exists()
    }

    /// The checkpoint that a run in this folder left.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        Checkpoint::read(&self.checkpoint_path())
    }

    /// Where it lies, if there is one.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    pub(crate) fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        checkpoint.write(&self.path.join(CHECKPOINT))
    }

    pub(crate) fn remove_checkpoint(&self) -> Result<(), Error> {
        remove_if_there(&self.path.join(CHECKPOINT))
    }

    /// Removes the snapshots of a run that was not finished.
    pub(crate) fn remove_snapshots(&self) -> Result<(), Error> {
        remove_if_there(&self.path.join(SNAPSHOTS_UNFINISHED))
    }

    /// Keeps the snapshots of a run that is not finished.
    pub(crate) fn write_snapshots(&self, bytes: &[u8]) -> Result<(), Error> {
        write_whole(&self.path.join(SNAPSHOTS_UNFINISHED), bytes)
    }

    /// The snapshots of a run that is not finished and was asked what the text `asked` says, of a
    /// network of `config`.
    pub(crate) fn unfinished_snapshots(
        &self,
        asked: &str,
        config: Config,
    ) -> Result<Vec<Snapshot>, Error> {
        let path = self.path.join(SNAPSHOTS_UNFINISHED);
        // The run may have been ended between its first file and its last; then the configuration
        // is its own already.
        let is_own = || fs::read_to_string(self.path.join(CONFIG)).is_ok_and(|text| text == asked);
        if !path.exists() && is_own() {
            return read_snapshots(&self.path.join(SNAPSHOTS), config);
        }
        read_snapshots(&path, config)
    }

    /// The parameters at some moments of a finished run, in the order of their examples; the last
    /// are the `trained` ones. None, if no snapshots were asked.
    ///
    /// # Errors
    /// If the file cannot be read, makes no sense, or is of another run.
    pub fn snapshots(&self, trained: &Parameters) -> Result<Vec<Snapshot>, Error> {
        let path = self.path.join(SNAPSHOTS);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let snapshots = read_snapshots(&path, trained.config())?;
        let is_own = |last: &Snapshot| last.parameters.arena() == trained.arena();
        if snapshots.last().is_some_and(is_own) {
            return Ok(snapshots);
        }
        let reason = format!("does not end with the weights of the {MODEL} beside it");
        Err(Error::Content { path, reason })
    }

    /// Starts the metrics, in a file that gets its final name when it is finished.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn start_metrics(&self) -> Result<MetricsFile, Error> {
        Ok(self.metrics_up_to(0)?.0)
    }

    /// The metrics of the run in `path`, finished or not.
    ///
    /// # Errors
    /// If there are none, or they make no sense.
    pub fn metrics(path: &Path) -> Result<Vec<Metrics>, Error> {
        let finished = path.join(METRICS);
        let file = if finished.exists() { finished } else { path.join(METRICS_UNFINISHED) };
        if !file.exists() {
            return Err(Error::NoRun(path.to_owned()));
        }
        let text = fs::read_to_string(&file).map_err(Error::file("read", &file))?;
        // A line without its end is being written.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let metrics = lines.enumerate().map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| Error::Content {
                path: file.clone(),
                reason: format!("makes no sense in line {}: {error}", index + 1),
            })
        });
        metrics.collect()
    }

    /// The metrics of a run that is not finished, cut after the first `bytes` bytes, to
    /// be gone on with, and what they say; 0 bytes begin a new file.
    pub(crate) fn metrics_up_to(&self, bytes: u64) -> Result<(MetricsFile, Vec<Metrics>), Error> {
        let path = self.path.join(METRICS_UNFINISHED);
        let mut text = String::new();
        if bytes > 0 {
            let finished = self.path.join(METRICS);
            if !path.exists() && finished.exists() {
                // The run was ended between its first file and its last.
                fs::rename(&finished, &path).map_err(Error::file("read", &finished))?;
            }
            text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        }
        let lines = usize::try_from(bytes).ok().and_then(|bytes| text.get(..bytes));
        let metrics = lines.and_then(|lines| {
            lines.lines().map(|line| serde_json::from_str(line).ok()).collect::<Option<Vec<_>>>()
        });
        let metrics = metrics.ok_or_else(|| Error::Content {
            path: path.clone(),
            reason: "does not hold the lines that the checkpoint beside it counts".to_owned(),
        })?;
        let open = || {
            let file = OpenOptions::new().append(true).create(true).truncate(false).open(&path)?;
            file.set_len(bytes)?;
            Ok(file)
        };
        let file = open().map_err(Error::file("write", &path))?;
        Ok((MetricsFile { unfinished: path, file, bytes }, metrics))
    }

    /// Ends a run: its configuration, metrics, picture and weights, these last, for
    /// they say that the run is finished. The weights of a run that is written over go
    /// first, so that no crash leaves them beside another configuration; and they go
    /// only when all that is new is on the disk. The snapshots are the bytes of their file, if there
    /// is to be one.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish<T: Task>(
        &self,
        config: &RunConfig<T>,
        metrics: &MetricsFile,
        curve: &str,
        parameters: &Parameters,
        snapshots: Option<&[u8]>,
    ) -> Result<(), Error> {
        let config = Staged::write(&self.path.join(CONFIG), config.to_toml().as_bytes())?;
        let curve = Staged::write(&self.path.join(CURVE), curve.as_bytes())?;
        let model = Staged::write(&self.path.join(MODEL), &weights::to_bytes(parameters))?;
        let place = self.path.join(SNAPSHOTS);
        if let Some(bytes) = snapshots {
            self.write_snapshots(bytes)?;
        }
        metrics.sync()?;
        remove_if_there(&model.path)?;
        config.rename()?;
        metrics.rename(&self.path.join(METRICS))?;
        if snapshots.is_some() {
            let unfinished = self.path.join(SNAPSHOTS_UNFINISHED);
            fs::rename(unfinished, &place).map_err(Error::file("write", &place))?;
        } else {
            remove_if_there(&place)?;
        }
        curve.rename()?;
        model.rename()
    }

    /// The text of the configuration, by `read`.
    fn read_config<V>(&self, read: impl Fn(&str) -> Result<V, String>) -> Result<V, Error> {
        let path = self.path.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        read(&text).map_err(|reason| Error::Content { path, reason })
    }

    /// The name of the task that the run trained on.
    ///
    /// # Errors
    /// If the file cannot be read or names none.
    pub fn task_name(&self) -> Result<String, Error> {
        self.read_config(task_name)
    }

    /// What the run was asked.
    ///
    /// # Errors
    /// If the file cannot be read, makes no sense, or is of another task.
    pub fn config<T: Task>(&self) -> Result<RunConfig<T>, Error> {
        self.read_config(RunConfig::from_toml)
    }

    /// The bytes of the file that holds the weights.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn model_bytes(&self) -> Result<Vec<u8>, Error> {
        let path = self.path.join(MODEL);
        fs::read(&path).map_err(Error::file("read", &path))
    }

    /// The bytes of the file `name` that another command has put beside those of the run; none, if
    /// it is not there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn file(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", path)(error)),
        }
    }

    /// What the run learned; the weights must fit the configuration beside them.
    ///
    /// # Errors
    /// If a file cannot be read or makes no sense, or the two do not fit.
    pub fn load<T: Task>(&self) -> Result<(RunConfig<T>, Parameters), Error> {
        let config = self.config::<T>()?;
        let content = |name, error: &dyn std::error::Error| Error::Content {
            path: self.path.join(name),
            reason: format!("cannot be used: {error}"),
        };
        let sizes = config.network.config(&config.task);
        let sizes = sizes.map_err(|error| content(CONFIG, &error))?;
        let bytes = self.model_bytes()?;
        let parameters =
            weights::from_bytes(sizes, &bytes).map_err(|error| content(MODEL, &error))?;
        Ok((config, parameters))
    }
}

/// The snapshots of a network of `config` in the file `path`.
fn read_snapshots(path: &Path, config: Config) -> Result<Vec<Snapshot>, Error> {
    let bytes = fs::read(path).map_err(Error::file("read", path))?;
    snapshots::from_bytes(config, &bytes)
        .map_err(|reason| Error::Content { path: path.to_owned(), reason })
}

/// The folders in `root` whose names are numbers below 2^32 (a longer row of digits is
/// somebody else's name), in ascending order.
fn numbered(root: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(root).map_err(Error::file("read the folder", root))? {
        let entry = entry.map_err(Error::file("read the folder", root))?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(number) = number {
            runs.push((u64::from(number), entry.path()));
        }
    }
    runs.sort();
    Ok(runs)
}

/// Held by the process that trains in a folder.
#[derive(Debug)]
pub struct RunLock {
    _folder: Option<File>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_numbered_and_the_latest_finished_run_is_found() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("runs");
        assert!(matches!(RunFolder::latest(&runs), Err(Error::NoRun(_))));
        let first = RunFolder::create_next(&runs).unwrap();
        fs::create_dir(runs.join("0009")).unwrap();
        fs::create_dir(runs.join("notes")).unwrap();
        fs::create_dir(runs.join(u64::MAX.to_string())).unwrap();
        let tenth = RunFolder::create_next(&runs).unwrap();
        assert!(tenth.path().ends_with("0010"));
        assert!(matches!(RunFolder::latest(&runs), Err(Error::NoRun(_))));
        fs::write(first.path().join(MODEL), "").unwrap();
        assert_eq!(RunFolder::latest(&runs).unwrap().path(), first.path());
        fs::write(tenth.path().join(MODEL), "").unwrap();
        assert_eq!(RunFolder::latest(&runs).unwrap().path(), tenth.path());
    }
}
