//! Bytes that mean harm: whatever is done to a file of weights, reading it neither
//! panics, nor asks for more memory than its size explains, nor gives half of it.

use model::{Architecture, Cell, Config, Error, Head, Parameters, weights};
use proptest::prelude::*;
use proptest::sample::select;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use safetensors::SafeTensors;
use std::ops::Range;

/// Two layers, both directions, biases, a head: every kind of tensor there is.
fn config() -> Config {
    let head = Some(Head::linear(2));
    let lstm = Architecture::new(Cell::Lstm, 2, 3);
    Config::new(Architecture { layers: 2, bidirectional: true, head, ..lstm }).unwrap()
}

/// A file that fits [`config`].
fn file() -> Vec<u8> {
    weights::to_bytes(&Parameters::uniform(config(), &mut Xoshiro256PlusPlus::seed_from_u64(7)))
}

/// The first eight bytes say how long the header is, which is JSON.
fn header(file: &[u8]) -> Range<usize> {
    8..8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

/// The file with another header, whose length is told truly.
fn with_header(file: &[u8], text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text, &file[header(file).end..]].concat()
}

/// Reads the bytes, and fails if what comes of it is not an error or the whole file, or
/// took more memory than it should.
fn read(config: Config, bytes: &[u8]) -> Result<Parameters, Error> {
    let mut result = None;
    let allocated = allocation_counter::measure(|| {
        result = Some(weights::from_bytes(config, bytes));
    });
    let result = result.expect("it was run");
    // the header as text and as names and shapes, an error's text, and the arena if all fits
    let arena = result.as_ref().map_or(0, |parameters| 4 * parameters.arena().len());
    let most = 16 * 1024 + 16 * bytes.len() + arena;
    assert!(
        allocated.bytes_max <= most as u64,
        "{} bytes of memory for {} bytes of file",
        allocated.bytes_max,
        bytes.len()
    );
    if let Ok(parameters) = &result {
        let file = SafeTensors::deserialize(bytes).expect("what was read is a file");
        assert_eq!(file.len(), parameters.tensors().len());
        for tensor in parameters.tensors() {
            let values = tensor.indices().map(|index| parameters.arena()[index]);
            let read: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            assert_eq!(file.tensor(tensor.name()).unwrap().data(), read, "{}", tensor.name());
        }
        assert!(parameters.is_finite());
    }
    result
}

#[test]
fn the_file_itself_is_read() {
    assert!(read(config(), &file()).is_ok());
}

#[test]
fn every_truncation_is_refused() {
    let file = file();
    for end in 0..file.len() {
        assert!(read(config(), &file[..end]).is_err(), "{end} of {} bytes", file.len());
    }
}

#[test]
fn every_single_bit_flipped_is_refused_or_read_whole() {
    let mut file = file();
    let payload = header(&file).end;
    let mut finite = 0;
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            let read = read(config(), &file);
            if at < 8 {
                assert!(read.is_err(), "bit {bit} of byte {at}, in the header's length");
            }
            if at >= payload {
                finite += usize::from(read.is_ok());
            }
            file[at] ^= 1 << bit;
        }
    }
    // no number below 1 is one bit away from NaN or an infinity
    assert_eq!(finite, 8 * (file.len() - payload), "harmless flips of the payload");
}

#[test]
fn a_value_that_is_not_finite_is_refused_wherever_it_stands() {
    let file = file();
    for at in (header(&file).end..file.len()).step_by(4) {
        for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut bytes = file.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(matches!(read(config(), &bytes), Err(Error::NotFinite { .. })), "at {at}");
        }
    }
}

#[test]
fn a_large_network_is_not_laid_out_for_a_small_file() {
    // 4·10⁸ parameters, whose header says all that is expected and whose data is missing
    let large = Config::new(Architecture::new(Cell::Lstm, 8, 10_000)).unwrap();
    let sizes =
        [("weight_ih_l0", "40000,8", 320_000), ("weight_hh_l0", "40000,10000", 400_000_000)];
    let biases = [("bias_ih_l0", "40000", 40_000), ("bias_hh_l0", "40000", 40_000)];
    let mut from = 0;
    let tensors = sizes.into_iter().chain(biases).map(|(name, shape, count)| {
        let to = from + 4_u64 * count;
        let offsets = format!(r#""data_offsets":[{from},{to}]"#);
        from = to;
        format!(r#""{name}":{{"dtype":"F32","shape":[{shape}],{offsets}}}"#)
    });
    let text = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
    let claims = with_header(&[0; 8], text.as_bytes());
    assert!(matches!(read(large, &claims), Err(Error::NotSafetensors(_))));
    assert!(matches!(read(large, &file()), Err(Error::Tensors { .. })));
}

/// What can be done to a file.
#[derive(Clone, Debug)]
enum Mutation {
    /// Set the byte at this place (modulo the length).
    Byte(usize, u8),
    /// Say that the header is so long.
    HeaderLength(u64),
    /// Replace the n-th number in the header: a size or an offset.
    Number(usize, u64),
    /// Replace the n-th "F32" in the header by another type.
    Type(usize, &'static str),
    /// Replace the n-th name (or any other text) in the header.
    Name(usize, String),
    /// Let the n-th and the m-th number of the header change places.
    Swap(usize, usize),
    /// Write these bytes over the data from this place on.
    Payload(usize, Vec<u8>),
    /// Take out a stretch: from, length.
    Cut(usize, usize),
    /// Append zeros.
    Extend(usize),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let sizes = || {
        let edges = vec![0, 1, 3, 12, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX];
        prop_oneof![0..100_u64, select(edges), any::<u64>()]
    };
    let types = vec!["F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "f32", ""];
    prop_oneof![
        any::<(usize, u8)>().prop_map(|(at, value)| Mutation::Byte(at, value)),
        sizes().prop_map(Mutation::HeaderLength),
        (any::<usize>(), sizes()).prop_map(|(n, size)| Mutation::Number(n, size)),
        (any::<usize>(), select(types)).prop_map(|(n, name)| Mutation::Type(n, name)),
        (any::<usize>(), ".{0,20}").prop_map(|(n, name)| Mutation::Name(n, name)),
        any::<(usize, usize)>().prop_map(|(n, m)| Mutation::Swap(n, m)),
        any::<(usize, Vec<u8>)>().prop_map(|(at, bytes)| Mutation::Payload(at, bytes)),
        (any::<usize>(), 0_usize..200).prop_map(|(at, length)| Mutation::Cut(at, length)),
        (0_usize..200).prop_map(Mutation::Extend),
    ]
}

/// The stretches of bytes for which `belongs` holds.
fn runs(text: &[u8], belongs: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = vec![];
    for at in (0..text.len()).filter(|&at| belongs(text[at])) {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// The n-th of the runs (modulo their number) replaced.
fn replaced(text: &[u8], runs: &[Range<usize>], n: usize, by: &[u8]) -> Vec<u8> {
    match runs.len() {
        0 => text.to_vec(),
        count => {
            let Range { start, end } = runs[n % count].clone();
            [&text[..start], by, &text[end..]].concat()
        }
    }
}

impl Mutation {
    fn apply(&self, file: Vec<u8>) -> Vec<u8> {
        // of a file that is no longer one, only the bytes can be changed
        let length = file.first_chunk().map_or(u64::MAX, |&length| u64::from_le_bytes(length));
        let whole = usize::try_from(length).is_ok_and(|n| n <= file.len().saturating_sub(8));
        if !whole || file.is_empty() {
            return file;
        }
        let text = file[header(&file)].to_vec();
        let numbers = || runs(&text, |byte| byte.is_ascii_digit());
        let mut bytes = file.clone();
        match self {
            Self::Byte(at, value) => bytes[at % file.len()] = *value,
            Self::HeaderLength(length) => bytes[..8].copy_from_slice(&length.to_le_bytes()),
            Self::Number(n, number) => {
                let text = replaced(&text, &numbers(), *n, number.to_string().as_bytes());
                return with_header(&file, &text);
            }
            Self::Type(n, name) => {
                let types: Vec<_> = (0..text.len().saturating_sub(2))
                    .filter(|&at| text[at..].starts_with(b"F32"))
                    .map(|at| at..at + 3)
                    .collect();
                return with_header(&file, &replaced(&text, &types, *n, name.as_bytes()));
            }
            Self::Name(n, name) => {
                let names = runs(&text, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                return with_header(&file, &replaced(&text, &names, *n, name.as_bytes()));
            }
            Self::Swap(n, m) => {
                let runs = numbers();
                if !runs.is_empty() {
                    let (n, m) = (n % runs.len(), m % runs.len());
                    let (left, right) = (runs[n.min(m)].clone(), runs[n.max(m)].clone());
                    let (first, second) = (text[left.clone()].to_vec(), &text[right.clone()]);
                    let swapped = replaced(&text, std::slice::from_ref(&right), 0, &first);
                    return with_header(&file, &replaced(&swapped, &[left], 0, second));
                }
            }
            Self::Payload(at, values) => {
                let data = &mut bytes[header(&file).end..];
                if !data.is_empty() {
                    let at = at % data.len();
                    let end = data.len().min(at + values.len());
                    data[at..end].copy_from_slice(&values[..end - at]);
                }
            }
            Self::Cut(at, length) => {
                let at = at % file.len();
                bytes.drain(at..file.len().min(at + length));
            }
            Self::Extend(count) => bytes.resize(file.len() + count, 0),
        }
        bytes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn mutated_files_are_refused_or_read_whole(
        mutations in prop::collection::vec(mutations(), 1..4),
    ) {
        let bytes = mutations.iter().fold(file(), |bytes, mutation| mutation.apply(bytes));
        let _ = read(config(), &bytes);
    }

    #[test]
    fn a_number_of_the_header_that_changes_its_meaning_is_refused(n: usize, number: u64) {
        let file = file();
        let bytes = Mutation::Number(n, number).apply(file.clone());
        prop_assert!(bytes == file || read(config(), &bytes).is_err());
    }

    #[test]
    fn offsets_and_shapes_of_any_size_are_refused(
        from: u64, to: u64, rows: u64, columns: u64,
    ) {
        let text = format!(
            r#"{{"weight_ih_l0":{{"dtype":"F32","shape":[{rows},{columns}],"data_offsets":[{from},{to}]}}}}"#
        );
        prop_assert!(read(config(), &with_header(&file(), text.as_bytes())).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes: Vec<u8>) {
        prop_assert!(read(config(), &bytes).is_err());
        prop_assert!(read(config(), &with_header(&file(), &bytes)).is_err());
    }
}
