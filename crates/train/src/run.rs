//! The run folder: what a training was asked, how it went, and what it learned.
//!
//! ```text
//! config.toml         what was asked: see RunConfig
//! metrics.jsonl       how it went: an object a line, see Metrics
//! curve.svg           the same as a picture (drawn by the caller)
//! model.safetensors   what it learned; its presence says that the run is finished
//!
//! checkpoint                 of a run that is not: see Checkpoint
//! metrics.jsonl.unfinished   and its metrics so far
//! ```
//!
//! A file is written beside its place, synced, and renamed into it, so that no crash
//! leaves half a file under a final name, nor the weights of one run beside the
//! configuration of another.

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::optimizer::{Clip, OptimizerConfig, Rule, Schedule};
use crate::strategy::Strategy;
use crate::task::Addition;
use model::{Parameters, weights};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The largest batch: its activations at 64 bits still fit in memory.
pub const MOST_BATCH: usize = 1 << 16;

/// Examples between two lines of metrics, and two lines on the screen, at batch 1 …
pub const INTERVAL: u64 = 500;
/// … unless that would be more lines than this.
pub const MOST_INTERVALS: u64 = 2_000;

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const METRICS_UNFINISHED: &str = "metrics.jsonl.unfinished";
const CURVE: &str = "curve.svg";
const MODEL: &str = "model.safetensors";
const CHECKPOINT: &str = "checkpoint";
/// How the names of files begin that are written beside their place; a process that is
/// killed leaves one.
const LEFTOVER: &str = ".unfinished-";

/// What a training was asked to do. The default is the lab's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The task; there is one, `addition`.
    pub task: Task,
    /// T, the digits of a sum.
    pub bits: u32,
    /// H, the hidden units.
    pub hidden: usize,
    /// Whether the network has biases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bias: bool,
    /// Whether it was trained on intervals, for a proof.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certifiable: bool,
    /// Examples to train on.
    pub examples: u64,
    /// η, the length of a step before the schedule.
    pub learning_rate: f32,
    /// B, the examples averaged to one update.
    pub batch: usize,
    /// What all randomness comes from.
    pub seed: u64,
    /// Who computes which gradient, and when they meet.
    #[serde(default)]
    pub strategy: Strategy,
    /// N, the workers; 1 for the serial strategy.
    #[serde(default = "one")]
    pub threads: usize,
    /// K, the examples of a worker between two pushes (or averages), rounded up to whole
    /// batches. Serial and synchronous training has none, and does not look at it.
    #[serde(default = "one")]
    pub push_every: u64,
    /// How parameters follow gradients.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optimizer: Rule,
    /// What is cut off a gradient first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clip: Clip,
    /// How the learning rate changes; its steps are updates of all workers together.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a file from before there were strategies means.
fn one<N: From<u8>>() -> N {
    1.into()
}

/// The tasks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// See [`Addition`].
    Addition,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            task: Task::Addition,
            bits: 8,
            hidden: 16,
            bias: false,
            certifiable: false,
            examples: 10_000,
            learning_rate: 0.1,
            batch: 1,
            seed: 0,
            strategy: Strategy::Serial,
            threads: 1,
            push_every: 1,
            optimizer: Rule::SGD,
            clip: Clip::None,
            schedule: Schedule::Constant,
        }
    }
}

impl RunConfig {
    /// Examples between two lines of metrics: [`INTERVAL`], or more in a run of more than
    /// [`MOST_INTERVALS`] of these (a tenth of that where workers have to meet for a line);
    /// rounded up to whole batches or rounds, so that only the last of a run can be smaller
    /// than the others.
    pub fn interval(&self) -> u64 {
        let most = match self.strategy {
            Strategy::Serial | Strategy::Synchronous => MOST_INTERVALS,
            Strategy::Hogwild | Strategy::Averaging => MOST_INTERVALS / 10,
        };
        let least = INTERVAL.max(self.examples.div_ceil(most));
        least.checked_next_multiple_of(self.round()).unwrap_or(least)
    }

    /// Examples that belong together: a batch, or what lies between two averages. A training
    /// that is cut elsewhere ends in other bits.
    pub fn round(&self) -> u64 {
        let batch = self.batch.max(1) as u64;
        match self.strategy {
            Strategy::Averaging => {
                let every = self.push_every.max(1).checked_next_multiple_of(batch);
                every.unwrap_or(u64::MAX).saturating_mul(self.threads.max(1) as u64)
            }
            Strategy::Serial | Strategy::Synchronous | Strategy::Hogwild => batch,
        }
    }

    /// What each worker does with a gradient.
    pub fn optimizer_config(&self) -> OptimizerConfig {
        let &Self { learning_rate, optimizer: rule, clip, schedule, .. } = self;
        OptimizerConfig { learning_rate, rule, clip, schedule }
    }
}

/// How one interval of examples went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Examples seen at its end.
    pub examples: u64,
    /// The mean loss `½ Σ_t (y − o)²` of an example in it.
    pub loss: f64,
    /// The mean error `Σ_t |y − o|` of an example in it.
    pub error: f64,
    /// Seconds of training up to its end, without printing and evaluation.
    pub seconds: f64,
}

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
        fs::create_dir_all(root).map_err(Error::file("make the folder", root))?;
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
        fs::create_dir_all(path).map_err(Error::file("make the folder", path))?;
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
        Checkpoint::read(&self.path.join(CHECKPOINT))
    }

    pub(crate) fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        checkpoint.write(&self.path.join(CHECKPOINT))
    }

    pub(crate) fn remove_checkpoint(&self) -> Result<(), Error> {
        remove_if_there(&self.path.join(CHECKPOINT))
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
    /// only when all that is new is on the disk.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(
        &self,
        config: &RunConfig,
        metrics: MetricsFile,
        curve: &str,
        parameters: &Parameters,
    ) -> Result<(), Error> {
        let config = toml::to_string(config).expect("a flat table of numbers and one name");
        let config = Staged::write(&self.path.join(CONFIG), config.as_bytes())?;
        let curve = Staged::write(&self.path.join(CURVE), curve.as_bytes())?;
        let model = Staged::write(&self.path.join(MODEL), &weights::to_bytes(parameters))?;
        metrics.sync()?;
        remove_if_there(&model.path)?;
        config.rename()?;
        metrics.rename(&self.path.join(METRICS))?;
        curve.rename()?;
        model.rename()
    }

    /// What the run was asked.
    ///
    /// # Errors
    /// If the file cannot be read or makes no sense.
    pub fn config(&self) -> Result<RunConfig, Error> {
        let path = self.path.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        toml::from_str(&text)
            .map_err(|error| Error::Content { path, reason: format!("makes no sense: {error}") })
    }

    /// The bytes of the file that holds the weights.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn model_bytes(&self) -> Result<Vec<u8>, Error> {
        let path = self.path.join(MODEL);
        fs::read(&path).map_err(Error::file("read", &path))
    }

    /// What the run learned; the weights must fit the configuration beside them.
    ///
    /// # Errors
    /// If a file cannot be read or makes no sense, or the two do not fit.
    pub fn load(&self) -> Result<(RunConfig, Parameters), Error> {
        let config = self.config()?;
        let content = |name, error: &dyn std::error::Error| Error::Content {
            path: self.path.join(name),
            reason: format!("cannot be used: {error}"),
        };
        Addition::new(config.bits).map_err(|error| content(CONFIG, &error))?;
        let sizes = Addition::network(config.hidden, config.bias)
            .map_err(|error| content(CONFIG, &error))?;
        let bytes = self.model_bytes()?;
        let parameters =
            weights::from_bytes(sizes, &bytes).map_err(|error| content(MODEL, &error))?;
        Ok((config, parameters))
    }
}

/// Writes `bytes` to a file beside `path`, syncs it, and renames it to `path`.
///
/// # Errors
/// If one of these fails; then `path` is as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Staged::write(path, bytes)?.rename()
}

/// A file that is whole and on the disk, beside its place; dropped, it is gone.
struct Staged {
    path: PathBuf,
    file: NamedTempFile,
}

impl Staged {
    fn write(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let write = || {
            let mut file =
                tempfile::Builder::new().prefix(LEFTOVER).tempfile_in(folder_of(path))?;
            file.write_all(bytes)?;
            make_readable(file.as_file())?;
            file.as_file().sync_all()?;
            Ok(Self { path: path.to_owned(), file })
        };
        write().map_err(Error::file("write", path))
    }

    fn rename(self) -> Result<(), Error> {
        let rename = || {
            self.file.persist(&self.path)?;
            sync_folder(folder_of(&self.path))
        };
        rename().map_err(Error::file("write", &self.path))
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    let remove = || match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(folder_of(path)),
    };
    remove().map_err(Error::file("remove", path))
}

/// A temporary file is made for its owner alone; a result is for whoever may read the folder.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// A rename is on the disk when its folder is.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
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

/// Metrics that are being written, line by line, in a file that gets its final name when
/// the run is finished.
#[derive(Debug)]
pub struct MetricsFile {
    unfinished: PathBuf,
    file: File,
    bytes: u64,
}

impl MetricsFile {
    /// Adds a line; returns the bytes there are then.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, metrics: &Metrics) -> Result<u64, Error> {
        let mut line = serde_json::to_string(metrics).expect("a flat object of numbers");
        line.push('\n');
        let written = self.file.write_all(line.as_bytes());
        written.map_err(Error::file("write", &self.unfinished))?;
        self.bytes += line.len() as u64;
        Ok(self.bytes)
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::file("write", &self.unfinished))
    }

    fn rename(self, path: &Path) -> Result<(), Error> {
        fs::rename(&self.unfinished, path).map_err(Error::file("write", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::Descent;

    #[test]
    fn a_configuration_survives_the_way_to_toml_and_back() {
        let config = RunConfig { seed: 1 << 40, learning_rate: 0.123_456_79, ..Default::default() };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config);
        assert!(text.contains("task = \"addition\""), "{text}");
        assert!(!text.contains("optimizer"), "{text}");
        for optimizer in [
            Rule::Sgd(Descent { momentum: 0.9, nesterov: true, weight_decay: 1e-4 }),
            Rule::ADAM,
            Rule::ADAM_W,
        ] {
            for clip in [Clip::None, Clip::Norm(0.1), Clip::Value(1e-3)] {
                for schedule in [
                    Schedule::Constant,
                    Schedule::Step { every: 3, factor: 0.1 },
                    Schedule::Cosine { warmup: 10, steps: 1_000, floor: 0.01 },
                ] {
                    let config = RunConfig { optimizer, clip, schedule, ..config.clone() };
                    let text = toml::to_string(&config).unwrap();
                    assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config, "{text}");
                }
            }
        }
    }

    #[test]
    fn a_configuration_from_before_there_were_strategies_is_serial() {
        let text = "task = \"addition\"\nbits = 8\nhidden = 16\nexamples = 10000\n\
                    learning_rate = 0.1\nbatch = 1\nseed = 0\n";
        assert_eq!(toml::from_str::<RunConfig>(text).unwrap(), RunConfig::default());
    }

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

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("taken");
        fs::create_dir(&target).unwrap(); // a file cannot be renamed over a folder
        assert!(write_whole(&target, b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("file");
        write_whole(&file, b"old").unwrap();
        write_whole(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
