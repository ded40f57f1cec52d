//! How much memory a training takes, and how much there is: asked before it begins, for a process
//! that runs out of memory is ended without a word.
//!
//! With P values of the arena of parameters, m moments of the optimizer, N workers, and c copies of
//! the weights that a network makes ready for its passes (on several ranks N are the workers of one,
//! but in a job those of all):
//!
//! ```text
//! parameters        P
//! each worker       (1 + m + c)·P          its gradient, its moments, its network
//! Hogwild!          (1 + 2N)·P             the shared ones, and two for each replica
//! averaging         N·P                    the replicas; (2 + 2N)·P with several ranks and N > 1
//! ranks, synchronous (1 + m)·P              the sum, and worker 0's moments
//! a job             4·(1 + m·N)·P          three states of a training, and the bytes of one
//! its snapshots     2·n·P                  n of them, and the bytes of their file
//! activations       T·B·(I + 4·O + k·L·D·S) for each worker
//! ```
//!
//! k is what a unit keeps of a step: 2 for an Elman cell (h, and its gradient), 8 for a GRU, 7 for
//! an LSTM. Synchronous workers share B. Small buffers, stacks and the program itself are not
//! counted, so a training needs a little more; what is refused would not have fitted.

use crate::Error;
use crate::config::{RunConfig, Strategy};
use crate::task::Task;
use model::{Cell, Config};
use std::fs;
use std::path::Path;

/// Bytes that a single training of `config` takes in a job with so many snapshots: see the module.
///
/// # Errors
/// If the network of `config` makes no sense.
pub fn job_bytes<T: Task>(config: &RunConfig<T>, snapshots: u32) -> Result<u64, Error> {
    let sizes = Sizes::new(config)?;
    let states = 4.0 * (1.0 + sizes.moments * sizes.all_workers) * sizes.parameters;
    let snapshots = 2.0 * f64::from(snapshots) * sizes.parameters;
    Ok(bytes(sizes.trainer() + states + snapshots))
}

/// Bytes that a [`crate::trainer::Trainer`] of `config` takes: see the module.
///
/// # Errors
/// If the network of `config` makes no sense.
pub fn trainer_bytes<T: Task>(config: &RunConfig<T>) -> Result<u64, Error> {
    Ok(bytes(Sizes::new(config)?.trainer()))
}

/// Bytes that `count` serial trainings of `config` side by side take, without a job.
///
/// # Errors
/// If the network of `config` makes no sense.
pub fn serial_bytes<T: Task>(config: &RunConfig<T>, count: usize) -> Result<u64, Error> {
    let sizes = Sizes { strategy: Strategy::Serial, workers: 1.0, ..Sizes::new(config)? };
    Ok(bytes(sizes.trainer() * count as f64))
}

/// [`Error::Memory`] if `needed` bytes are more than there are.
///
/// # Errors
/// That.
pub fn check(needed: u64) -> Result<(), Error> {
    /// What is not worth a look.
    const SMALL: u64 = 16 << 20;
    if needed <= SMALL {
        return Ok(());
    }
    match available() {
        Some(available) if needed > available => Err(Error::Memory { needed, available }),
        _ => Ok(()),
    }
}

/// Sequences for which packing the weights does not pay.
const FEW: usize = 4;

/// Of f32 values.
fn bytes(values: f64) -> u64 {
    (values * size_of::<f32>() as f64) as u64
}

/// The counts of the formula, as f64, which cannot overflow.
struct Sizes {
    strategy: Strategy,
    workers: f64,
    /// Those of all ranks, whose states rank 0 holds.
    all_workers: f64,
    ranks: f64,
    /// P
    parameters: f64,
    /// m
    moments: f64,
    /// c
    copies: f64,
    /// Of one worker.
    activations: f64,
}

impl Sizes {
    fn new<T: Task>(config: &RunConfig<T>) -> Result<Self, Error> {
        let model = config.network.config(&config.task)?;
        let strategy = config.strategy.name;
        let workers = if strategy == Strategy::Serial { 1 } else { config.strategy.threads.max(1) };
        let ranks = config.ranks.count.clamp(1, workers);
        let batch = (config.run.batch as u64).min(config.run.examples) as usize;
        let batch = match strategy {
            Strategy::Synchronous => batch.div_ceil(workers),
            _ => batch,
        };
        let rows = config.task.steps() as f64 * batch as f64;
        let is_lab = Config::lab(model.inputs(), model.hidden(), model.outputs())
            .is_ok_and(|lab| lab == model);
        let kept = match model.cell() {
            _ if !T::IS_BPTT => 7.0, // the bounds of a pass on intervals
            Cell::Elman(_) => 2.0,
            Cell::Gru => 8.0,
            Cell::Lstm => 7.0,
        };
        let units = model.layers() as f64
            * model.directions() as f64
            * model.hidden().next_multiple_of(16) as f64;
        let width = model.layer_inputs(0) as f64 + 4.0 * model.outputs() as f64 + kept * units;
        Ok(Self {
            strategy,
            workers: (workers / ranks) as f64,
            all_workers: workers as f64,
            ranks: ranks as f64,
            parameters: model.arena_len() as f64,
            moments: config.optimizer.rule.moments() as f64,
            // Few sequences need W_recᵀ or W_in ready one way alone; many need all of them both ways.
            copies: if is_lab || batch <= FEW { 1.0 } else { 2.0 },
            activations: rows * width,
        })
    }

    /// Values of a [`crate::trainer::Trainer`].
    fn trainer(&self) -> f64 {
        let Self { strategy, workers, ranks, parameters, moments, copies, activations, .. } = *self;
        let shared = match strategy {
            // The sum; worker 0's moments on another rank.
            Strategy::Synchronous if ranks > 1.0 => 1.0 + moments,
            Strategy::Serial | Strategy::Synchronous => 0.0,
            Strategy::Hogwild => 1.0 + 2.0 * workers,
            // Hogwild! within, from a replica on.
            Strategy::Averaging if ranks > 1.0 && workers > 1.0 => 2.0 + 2.0 * workers,
            Strategy::Averaging => workers,
        };
        let of_workers = workers * ((1.0 + moments + copies) * parameters + activations);
        parameters * (1.0 + shared) + of_workers
    }
}

/// Bytes that this process may still take: what the kernel says is available, or what the limits
/// of its control groups leave. None where nobody says.
pub fn available() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let free = read(Path::new("/proc/meminfo")).and_then(|text| in_meminfo(&text));
    let group = read(Path::new("/proc/self/cgroup"));
    let group = group.and_then(|text| left_in_groups(&text, read));
    [free, group].into_iter().flatten().min()
}

/// MemAvailable of `/proc/meminfo`, which is in KiB.
fn in_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the limits of the groups in `/proc/self/cgroup` leave, and of those around them; pages of
/// files count as free. `read` reads a file.
fn left_in_groups(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let number = |path: &Path| read(path)?.trim().parse::<u64>().ok();
    let left = |folder: &Path, limit: &str, usage: &str, cached: [&str; 2]| {
        let limit = number(&folder.join(limit))?;
        let used = number(&folder.join(usage))?;
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let of_files = |line: &str| {
            let (name, bytes) = line.split_once(' ')?;
            if cached.contains(&name) { bytes.parse::<u64>().ok() } else { None }
        };
        let cached: u64 = stat.lines().filter_map(of_files).sum();
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    };
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let root = match controllers {
            "" => "/sys/fs/cgroup",
            names if names.split(',').any(|name| name == "memory") => "/sys/fs/cgroup/memory",
            _ => return None,
        };
        let path = Path::new(root).join(path.trim_start_matches('/'));
        let folders = path.ancestors().take_while(|folder| folder.starts_with(root));
        let left = |folder: &Path| {
            if controllers.is_empty() {
                let cached = ["inactive_file", "active_file"];
                left(folder, "memory.max", "memory.current", cached)
            } else {
                let cached = ["total_inactive_file", "total_active_file"];
                left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", cached)
            }
        };
        folders.filter_map(left).min()
    };
    groups.lines().filter_map(of_line).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_in_kib_what_is_available() {
        let text = "MemTotal:       16290016 kB\nMemFree:  12 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(in_meminfo(text), Some(12_345 * 1024));
        assert_eq!(in_meminfo("MemTotal: 1 kB\n"), None);
        assert_eq!(in_meminfo("MemAvailable: many kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(available().unwrap() > 0);
    }

    #[test]
    fn the_tightest_limit_around_a_group_counts_and_pages_of_files_are_free() {
        let files = |path: &Path| {
            let text = match path.to_str().unwrap() {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/b/memory.current" => "50\n",
                "/sys/fs/cgroup/a/memory.max" => "1000\n",
                "/sys/fs/cgroup/a/memory.current" => "900\n",
                "/sys/fs/cgroup/a/memory.stat" => "anon 1\ninactive_file 300\nactive_file 100\n",
                "/sys/fs/cgroup/memory/c/memory.limit_in_bytes" => "400\n",
                "/sys/fs/cgroup/memory/c/memory.usage_in_bytes" => "500\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(left_in_groups("0::/a/b\n", files), Some(500));
        assert_eq!(left_in_groups("4:cpu,cpuacct:/a\n2:memory:/c\n0::/a/b\n", files), Some(0));
        assert_eq!(left_in_groups("0::/elsewhere\n", files), None);
        assert_eq!(left_in_groups("nonsense", files), None);
    }
}
