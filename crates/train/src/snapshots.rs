//! Snapshots: the parameters of a training at some moments of it, evenly spread, for whoever wants
//! to see how a network learned.
//!
//! With N of them in a training of E examples, number k is taken after k·E / (N − 1) examples, cut
//! upwards to whole rounds: the first before any update, the last is the trained network. In a file
//! they are the tensors of safetensors:
//!
//! ```text
//! metadata               format = "carry snapshots 1; asked N"
//! 0/weight_ih_l0         F32, shaped as in model.safetensors: the parameters after 0 examples
//! …
//! 10000/head.weight      the last of a training of 10,000
//! ```
//!
//! No optimizer and no generator: a checkpoint is what a training goes on from.

use crate::config::{RunConfig, Strategy};
use crate::task::Task;
use model::{Config, Parameters, Tensor};
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// The most that can be asked.
pub const MOST_SNAPSHOTS: u32 = 1_000;

/// How the format begins; one entry of metadata, for the order of several is not the same twice.
const FORMAT: &str = "carry snapshots 1;";

/// The parameters at a moment of a training.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Examples trained on by then.
    pub examples: u64,
    /// As they were.
    pub parameters: Parameters,
}

/// The moments of a training, and what was taken at those that are over.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    /// N; 0 for none.
    asked: u32,
    /// E
    all: u64,
    round: u64,
    is_hogwild: bool,
    taken: Vec<Snapshot>,
    /// Examples after which the next is due.
    next: u64,
}

impl Snapshots {
    /// `asked` of a training by `config`, none of them taken.
    pub fn new<T: Task>(config: &RunConfig<T>, asked: u32) -> Self {
        let mut new = Self {
            asked,
            all: config.run.examples,
            round: config.round(),
            is_hogwild: config.strategy.name == Strategy::Hogwild,
            taken: Vec::new(),
            next: u64::MAX,
        };
        if asked > 0 {
            new.next = new.moment(0);
        }
        new
    }

    /// Gives the moments that are over to a training that goes on.
    pub fn with_taken(mut self, taken: Vec<Snapshot>) -> Self {
        self.taken = taken;
        self
    }

    /// Drops what was taken after `examples` examples, and goes on from there.
    pub fn go_back_to(&mut self, examples: u64) {
        self.taken.retain(|snapshot| snapshot.examples <= examples);
        self.next = self.after(examples);
    }

    /// The first moment after `examples` examples.
    fn after(&self, examples: u64) -> u64 {
        (0..self.asked).map(|k| self.moment(k)).find(|&at| at > examples).unwrap_or(u64::MAX)
    }

    /// Examples after which number `k` is due.
    fn moment(&self, k: u32) -> u64 {
        let Some(spans) = self.asked.checked_sub(1).filter(|&spans| spans > 0) else {
            return self.all; // of one alone
        };
        let exact = (u128::from(self.all) * u128::from(k)).div_ceil(u128::from(spans)) as u64;
        exact.checked_next_multiple_of(self.round).map_or(self.all, |at| at.min(self.all))
    }

    /// Examples from `examples` on to where a training should be cut for the next one. The workers
    /// of Hogwild! are not asked to meet for that; it is taken where they do.
    pub fn left(&self, examples: u64) -> u64 {
        if self.is_hogwild { u64::MAX } else { self.next.saturating_sub(examples) }
    }

    /// Takes the snapshot that is due after `examples` examples, if there is one.
    pub fn take(&mut self, examples: u64, parameters: &Parameters) {
        if examples >= self.next {
            self.taken.push(Snapshot { examples, parameters: parameters.clone() });
            self.next = self.after(examples);
        }
    }

    /// The last one is what a training of `examples` examples ended with.
    pub fn end(&mut self, examples: u64, parameters: &Parameters) {
        if self.asked > 0 {
            self.taken.retain(|snapshot| snapshot.examples < examples);
            self.taken.push(Snapshot { examples, parameters: parameters.clone() });
        }
        self.next = u64::MAX;
    }

    /// The bytes of a file, if any were asked.
    pub fn file(&self) -> Option<Vec<u8>> {
        (self.asked > 0).then(|| to_bytes(self.asked, &self.taken))
    }
}

/// The bytes of a safetensors file: see the module.
pub fn to_bytes(asked: u32, snapshots: &[Snapshot]) -> Vec<u8> {
    let views = snapshots.iter().flat_map(|Snapshot { examples, parameters }| {
        let arena = parameters.arena();
        let of_tensor = move |tensor: Tensor| {
            let name = format!("{examples}/{}", tensor.name());
            (name, Values { arena, shape: tensor.shape(), tensor })
        };
        parameters.tensors().into_iter().map(of_tensor)
    });
    let metadata = HashMap::from([("format".to_owned(), format!("{FORMAT} asked {asked}"))]);
    safetensors::serialize(views, Some(metadata)).expect("named tensors make a file")
}

/// A tensor that becomes bytes when it is written: not all of them at once.
struct Values<'a> {
    arena: &'a [f32],
    shape: Vec<usize>,
    tensor: Tensor,
}

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.tensor.indices().flat_map(|index| self.arena[index].to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.tensor.rows() * self.tensor.columns() * size_of::<f32>()
    }
}

/// The snapshots of a network of `config` in the safetensors file `bytes`, in the order of their
/// examples.
///
/// Safe on hostile bytes: nothing is allocated before every tensor is known to be there with the
/// right shape and type, and none beside them.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence that begins with the file's name.
pub fn from_bytes(config: Config, bytes: &[u8]) -> Result<Vec<Snapshot>, String> {
    let refuse = |error: safetensors::SafeTensorError| format!("is no safetensors file: {error}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
    check_format(&metadata)?;
    let file = SafeTensors::deserialize(bytes).map_err(refuse)?;
    let mut moments = BTreeMap::<u64, usize>::new();
    for name in file.names() {
        let examples = name.split_once('/').and_then(|(examples, _)| examples.parse().ok());
        let examples = examples.ok_or_else(|| {
            format!("holds the tensor {name:?}; examples and a name such as \"500/head.weight\" are needed")
        })?;
        *moments.entry(examples).or_default() += 1;
    }
    if let Some((examples, _)) =
        moments.first_key_value().filter(|_| moments.len() > MOST_SNAPSHOTS as usize)
    {
        let count = moments.len();
        return Err(format!(
            "holds {count} snapshots from {examples} on; at most {MOST_SNAPSHOTS} are kept"
        ));
    }
    let tensors = config.tensors();
    for (&examples, &found) in &moments {
        if found != tensors.len() {
            let expected = tensors.len();
            return Err(format!("holds {found} tensors of snapshot {examples}, not {expected}"));
        }
        for tensor in &tensors {
            view(&file, examples, tensor)?;
        }
    }
    let read = |examples| read(config, &file, examples, &tensors);
    moments.into_keys().map(read).collect()
}

/// Is it a file of snapshots of this version?
fn check_format(metadata: &Metadata) -> Result<(), String> {
    let format = metadata.metadata().as_ref().and_then(|named| named.get("format"));
    match format {
        Some(format) if format.starts_with(FORMAT) => Ok(()),
        Some(other) => {
            Err(format!("is of the format {other:?}; {FORMAT:?} is needed at its beginning"))
        }
        None => Err(format!("names no format; {FORMAT:?} is needed")),
    }
}

/// A tensor of a snapshot, which must be F32 and of its shape.
fn view<'a>(
    file: &SafeTensors<'a>,
    examples: u64,
    tensor: &Tensor,
) -> Result<TensorView<'a>, String> {
    let name = format!("{examples}/{}", tensor.name());
    let found = file.tensor(&name).map_err(|_| format!("holds no tensor {name:?}"))?;
    if found.dtype() == Dtype::F32 && found.shape() == tensor.shape() {
        return Ok(found);
    }
    let (kind, shape) = (found.dtype(), found.shape());
    Err(format!("holds {name:?} as {kind:?} {shape:?}; F32 {:?} is needed", tensor.shape()))
}

fn read(
    config: Config,
    file: &SafeTensors<'_>,
    examples: u64,
    tensors: &[Tensor],
) -> Result<Snapshot, String> {
    let mut parameters = Parameters::zeros(config);
    let arena = parameters.arena_mut();
    for tensor in tensors {
        let view = view(file, examples, tensor)?;
        let (values, _) = view.data().as_chunks::<4>();
        for (place, &bytes) in tensor.indices().zip(values) {
            let value = f32::from_le_bytes(bytes);
            if !value.is_finite() {
                let name = tensor.name();
                return Err(format!("holds {value} in \"{examples}/{name}\"; numbers are needed"));
            }
            arena[place] = value;
        }
    }
    Ok(Snapshot { examples, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Extent, StrategyConfig};
    use crate::task::TestTask;

    fn config(examples: u64, batch: usize) -> RunConfig<TestTask> {
        RunConfig { run: Extent::new(examples, batch, 0), ..TestTask::lab() }
    }

    fn moments(config: &RunConfig<TestTask>, asked: u32) -> Vec<u64> {
        let parameters = Parameters::zeros(config.network.config(&config.task).unwrap());
        let mut snapshots = Snapshots::new(config, asked);
        let mut at = 0;
        snapshots.take(at, &parameters);
        while at < config.run.examples {
            at += snapshots.left(at).max(1).min(config.run.examples - at);
            snapshots.take(at, &parameters);
        }
        snapshots.end(at, &parameters);
        snapshots.taken.iter().map(|snapshot| snapshot.examples).collect()
    }

    #[test]
    fn moments_are_evenly_spread_between_rounds_with_both_ends() {
        assert_eq!(moments(&config(10_000, 1), 5), [0, 2_500, 5_000, 7_500, 10_000]);
        assert_eq!(moments(&config(10, 3), 4), [0, 6, 9, 10]);
        assert_eq!(moments(&config(2, 1), 60), [0, 1, 2]);
        assert_eq!(moments(&config(1, 1), 2), [0, 1]);
        assert_eq!(moments(&config(7, 1), 1), [7]);
        assert_eq!(moments(&config(7, 1), 0), [0; 0]);
        assert_eq!(moments(&config(10_000, 1), 60).len(), 60);
        let mut averaging = config(1_000, 1);
        averaging.strategy =
            StrategyConfig { name: Strategy::Averaging, threads: 2, push_every: 50 };
        assert_eq!(moments(&averaging, 4), [0, 400, 700, 1_000]);
        let most = Snapshots::new(&config(u64::MAX, 7), 3);
        assert_eq!([0, 1, 2].map(|k| most.moment(k)), [0, (1 << 63) + 6, u64::MAX]);
    }

    #[test]
    fn after_going_back_they_are_taken_again_where_they_were() {
        let config = config(100, 1);
        let parameters = Parameters::zeros(config.network.config(&config.task).unwrap());
        for back in [0, 1, 24, 25, 26, 74, 75, 100] {
            let mut snapshots = Snapshots::new(&config, 5);
            let go = |snapshots: &mut Snapshots, from: u64| {
                (from..=100).for_each(|at| snapshots.take(at, &parameters));
            };
            go(&mut snapshots, 0);
            snapshots.go_back_to(back);
            assert!(snapshots.taken.iter().all(|snapshot| snapshot.examples <= back), "{back}");
            go(&mut snapshots, back);
            let taken: Vec<_> = snapshots.taken.iter().map(|snapshot| snapshot.examples).collect();
            assert_eq!(taken, [0, 25, 50, 75, 100], "{back}");
        }
    }

    #[test]
    fn a_file_comes_back_and_what_is_none_is_refused_with_the_reason() {
        let config = config(10, 1);
        let model = config.network.config(&config.task).unwrap();
        let snapshot = |examples: u64| {
            let mut parameters = Parameters::zeros(model);
            let place = model.tensors()[1].index(2, 1);
            parameters.arena_mut()[place] = examples as f32 + 0.1;
            Snapshot { examples, parameters }
        };
        let all = [0, 9, 10].map(snapshot);
        let bytes = to_bytes(3, &all);
        let read = from_bytes(model, &bytes).unwrap();
        let told = |all: &[Snapshot]| format!("{all:?}");
        assert_eq!(told(&read), told(&all));

        let refused = |bytes: &[u8], text: &str| {
            let reason = from_bytes(model, bytes).unwrap_err();
            assert!(reason.contains(text), "{reason}");
        };
        refused(b"", "is no safetensors file");
        refused(&bytes[..bytes.len() - 1], "is no safetensors file");
        refused(&model::weights::to_bytes(&all[0].parameters), "names no format");
        let replaced = |from: &str, to: &str| {
            let mut bytes = bytes.clone();
            let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            bytes
        };
        refused(&replaced("snapshots 1", "snapshots 2"), "carry snapshots 2");
        refused(&replaced("9/head", "8/head"), "tensors of snapshot");
        refused(&replaced("9/head", "x/head"), "\"x/head.weight\"");
        refused(&replaced("9/head.weight", "9/read.weight"), "no tensor \"9/head.weight\"");
        refused(&replaced("\"F32\"", "\"I32\""), "F32 [");
        let other = TestTask::lab().network;
        let other = crate::config::NetworkConfig { hidden: 3, ..other };
        let other = other.config(&config.task).unwrap();
        assert!(from_bytes(other, &bytes).unwrap_err().contains("is needed"));
        let mut bytes = bytes.clone();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        refused(&bytes, "holds NaN");
    }
}
