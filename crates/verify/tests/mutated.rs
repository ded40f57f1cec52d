//! Hostile files: certificates and networks that were changed anywhere. None makes the checker
//! panic, and none that it still takes for a proof is about a network that errs.
//!
//! `MUTATIONS` sets the number of cases.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::{Duration, Instant};
use verify::{check, check_exact};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certified");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// Certificates of both formats, of every cell and both heads, along axes and with pieces, and of a
/// machine with symbols that are not legal.
const ALL: [(&str, &str); 15] = [
    (FIXTURES, "two-units-with-biases"),
    (FIXTURES, "three-units-without-biases"),
    (VECTORS, "holds-format-4"),
    (VECTORS, "holds-axes-and-slopes"),
    (VECTORS, "holds-parity"),
    (VECTORS, "holds-tanh"),
    (VECTORS, "holds-relu"),
    (VECTORS, "holds-softmax"),
    (VECTORS, "holds-tanh-along-axes"),
    (VECTORS, "holds-relu-along-axes"),
    (VECTORS, "holds-legal-symbols"),
    (VECTORS, "holds-gru"),
    (VECTORS, "holds-lstm"),
    (VECTORS, "holds-gru-along-axes"),
    (VECTORS, "holds-lstm-along-axes"),
];

fn fixture((folder, name): (&str, &str)) -> (Vec<u8>, Value) {
    let read = |end: &str| std::fs::read(Path::new(folder).join(name).with_extension(end));
    let model = read("safetensors")
        .or_else(|_| std::fs::read(Path::new(FIXTURES).join("two-units-with-biases.safetensors")));
    (model.unwrap(), serde_json::from_slice(&read("json").unwrap()).unwrap())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The certificate with digests that fit, as FORMAT.md says.
fn sealed(model: &[u8], mut certificate: Value) -> Vec<u8> {
    let mut hash = Sha256::new();
    let none = vec![];
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    let whole = |hash: &mut Sha256, n: u64| hash.update(n.to_le_bytes());
    let text = |hash: &mut Sha256, value: &Value| {
        let value = value.as_str().unwrap_or_default();
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    };
    let numbers = |hash: &mut Sha256, values: &Value| {
        whole(hash, list(values).len() as u64);
        list(values)
            .iter()
            .for_each(|value| hash.update(value.as_f64().unwrap_or(0.0).to_le_bytes()));
    };
    if let Some(machine) = certificate.get("machine") {
        text(&mut hash, &certificate["cell"]);
        text(&mut hash, &machine["name"]);
        for names in ["symbols", "outputs", "states"] {
            whole(&mut hash, list(&machine[names]).len() as u64);
            list(&machine[names]).iter().for_each(|name| text(&mut hash, name));
        }
        list(&machine["shown"]).iter().for_each(|row| numbers(&mut hash, row));
        for to in list(&machine["transitions"]).iter().flat_map(list) {
            let numbers = to
                .as_array()
                .map_or(vec![u64::MAX], |to| to.iter().map(|n| n.as_u64().unwrap_or(0)).collect());
            numbers.into_iter().for_each(|n| whole(&mut hash, n));
        }
    }
    whole(&mut hash, certificate["steps"].as_u64().unwrap_or(0));
    for node in list(&certificate["nodes"]) {
        text(&mut hash, &node["key"]);
        whole(&mut hash, list(&node["axes"]).len() as u64);
        list(&node["axes"]).iter().for_each(|row| numbers(&mut hash, row));
        whole(&mut hash, list(&node["cells"]).len() as u64);
        for piece in list(&node["cells"]) {
            for field in ["low", "high", "slopes"] {
                numbers(&mut hash, &piece[field]);
            }
        }
    }
    certificate["seal"] = hexadecimal(&hash.finalize()).into();
    certificate["model"] = hexadecimal(&Sha256::digest(model)).into();
    certificate.to_string().into_bytes()
}

/// Where, and what.
type Mutation = (u8, usize, usize, f64);

fn number() -> impl Strategy<Value = f64> {
    let special =
        vec![0.0, -0.0, 1.0, -1.0, 8.0, -8.0, 8.000_000_1, 1e308, -1e308, 5e-324, 1e-9, 0.5];
    prop_oneof![prop::sample::select(special), -1.0..2.0_f64, -9.0..9.0_f64]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    (0..32_u8, any::<usize>(), any::<usize>(), number())
}

/// Changes the machine or the cell of a certificate of format 4.
fn mutate_machine(certificate: &mut Value, (kind, a, b, number): Mutation) {
    let cells = ["elman-sigmoid", "elman-tanh", "elman-relu", "gru", "lstm", "step"];
    if kind == 20 && certificate.get("cell").is_some() {
        certificate["cell"] = cells[a % cells.len()].into();
    }
    let Some(machine) = certificate.get_mut("machine") else { return };
    let length = |value: &Value| value.as_array().map_or(0, Vec::len);
    let symbols = length(&machine["symbols"]);
    let states = length(&machine["states"]).min(length(&machine["transitions"]));
    let outputs = length(&machine["outputs"]);
    if symbols * states * outputs == 0 {
        return;
    }
    let (state, symbol) = (a / symbols % states, a % symbols);
    match kind {
        21 => machine["transitions"][state][symbol] = json!([b % states, b / 64 % outputs]),
        22 => machine["transitions"][state][symbol] = json!([b % 5, b / 64 % 5]),
        23 => machine["transitions"][state][symbol] = json!(null),
        24 if length(&machine["shown"][symbol]) > 0 => {
            machine["shown"][symbol][0] = json!(number as f32);
        }
        24 => {}
        25 => machine["shown"][symbol] = json!(vec![number as f32; b % 3]),
        26 => machine["symbols"][symbol] = json!(["", "0 0", "a", "\u{a0}", "1"][b % 5]),
        27 => machine["outputs"] = json!((0..b % 5).map(|n| n.to_string()).collect::<Vec<_>>()),
        28 => machine["states"] = json!((0..b % 5).map(|n| n.to_string()).collect::<Vec<_>>()),
        29 => {
            // a symbol more: as one of the others
            let (name, shown) =
                (json!(format!("more {b}").replace(' ', "")), machine["shown"][symbol].clone());
            let row = |row: &mut Value| {
                let to = row[symbol].clone();
                row.as_array_mut().unwrap().push(to);
            };
            if machine["transitions"]
                .as_array()
                .is_some_and(|rows| rows.iter().all(|row| length(row) == symbols))
            {
                machine["symbols"].as_array_mut().unwrap().push(name);
                machine["shown"].as_array_mut().unwrap().push(shown);
                machine["transitions"].as_array_mut().unwrap().iter_mut().for_each(row);
            }
        }
        30 => machine["name"] = json!("x".repeat(b % 100)),
        _ => {
            // states that nothing tells apart: a copy of one more, to which nothing leads
            let row = machine["transitions"][state].clone();
            machine["states"].as_array_mut().unwrap().push(json!(format!("copy {b}")));
            machine["transitions"].as_array_mut().unwrap().push(row);
        }
    }
}

/// Changes a certificate; what does not fit is left as it is.
fn mutate(certificate: &mut Value, mutation: Mutation) {
    let (kind, a, b, number) = mutation;
    if kind >= 20 {
        return mutate_machine(certificate, mutation);
    }
    let Some(nodes) = certificate["nodes"].as_array_mut().filter(|nodes| !nodes.is_empty()) else {
        return;
    };
    let count = nodes.len();
    let other = nodes[b % count]["key"].clone();
    let node = &mut nodes[a % count];
    let field = if b.is_multiple_of(2) { "low" } else { "high" };
    let edges = node["cells"].get(0).and_then(|piece| piece[field].as_array());
    let Some(edges) = edges.filter(|edges| !edges.is_empty()).cloned() else { return };
    let hidden = edges.len();
    let j = b / 2 % hidden;
    let old = edges[j].as_f64().unwrap_or(0.0);
    match kind {
        0 | 1 => node["cells"][0][field] = json!(vec![number; hidden]),
        2 | 3 => node["cells"][0][field][j] = json!(old + number * 1e-6),
        4 => node["cells"][0][field][j] = json!(number),
        5 => {
            nodes.remove(a % count);
        }
        6 => {
            let node = node.clone();
            nodes.push(node);
        }
        7 => node["key"] = other,
        8 => node["key"] = format!("{} {}", node["key"].as_str().unwrap_or("0"), "01").into(),
        9 => node["key"] = format!("0{}", " 11".repeat(b % 2_000)).into(),
        10 => {
            // turned by an angle, or squeezed to nothing
            let (sine, cosine) = number.sin_cos();
            let entry = |i: usize, k: usize| match (i, k) {
                (0, 0) | (1, 1) => cosine,
                (0, 1) => sine,
                (1, 0) => -sine,
                (i, k) if i == k => 1.0,
                _ => 0.0,
            };
            let scale = if b.is_multiple_of(3) { 0.0 } else { 1.0 };
            let row = |i| (0..hidden).map(|k| scale * entry(i, k)).collect::<Vec<_>>();
            node["axes"] = json!((0..hidden).map(row).collect::<Vec<_>>());
        }
        11 => node["axes"] = json!(vec![vec![number; hidden]; hidden]),
        12 => {
            let slopes = (0..hidden).map(|i| if i == 0 { 0.0 } else { number });
            node["cells"][0]["slopes"] = json!(slopes.collect::<Vec<_>>());
        }
        13 | 14 => {
            // another piece: a copy, a part, or one far away
            let mut piece = node["cells"][0].clone();
            if kind == 14 {
                piece["low"] = json!(vec![number; hidden]);
                piece["high"] = json!(vec![number + 0.5; hidden]);
            }
            if let Some(cells) = node["cells"].as_array_mut() {
                cells.push(piece);
            }
        }
        15 => node["cells"] = json!([]),
        16 => certificate["steps"] = json!(a % 14),
        17 => node["cells"][0][field] = json!(vec![number; b % 9]),
        18 => node["cells"][0][field] = json!(null),
        _ => {
            // wide enough to hold much
            node["cells"][0]["low"] = json!(vec![0.0; hidden]);
            node["cells"][0]["high"] = json!(vec![1.0; hidden]);
        }
    }
}

/// The same with one weight, or one byte, of a network's file.
fn mutate_model(model: &mut Vec<u8>, (kind, a, b, number): Mutation) {
    let header = 8 + u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    let place = header + a % ((model.len() - header) / 4) * 4;
    let old = f32::from_le_bytes(model[place..place + 4].try_into().unwrap());
    let new = match kind {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => 3e38,
        3 => 2.0_f32.powi(100),
        4..=8 => old * (1.0 + number as f32 * 0.01),
        9..=12 => old * (1.0 + number as f32),
        13 => number as f32,
        14 => f32::from_bits(b as u32),
        15 => {
            let place = a % model.len();
            model[place] = b as u8;
            return;
        }
        16 => {
            model.truncate((a % model.len()).max(8));
            return;
        }
        _ => return,
    };
    model[place..place + 4].copy_from_slice(&new.to_le_bytes());
}

/// The machine's part of a certificate, as plain lists, and the cell.
struct Claim {
    cell: String,
    shown: Vec<Vec<f32>>,
    /// `[states][symbols]`: the next state and the output, where the symbol is legal.
    transitions: Vec<Vec<Option<(usize, usize)>>>,
}

/// What an accepted certificate claims; in format 3 that it adds.
fn claim(certificate: &[u8]) -> Claim {
    let certificate: Value = serde_json::from_slice(certificate).unwrap();
    let Some(machine) = certificate.get("machine").filter(|machine| !machine.is_null()) else {
        let add = |carry: usize| {
            let sum = |pair: usize| pair / 2 + pair % 2 + carry;
            (0..4).map(|pair| Some((sum(pair) / 2, sum(pair) % 2))).collect()
        };
        return Claim {
            cell: "elman-sigmoid".to_owned(),
            shown: (0..4).map(|pair| vec![(pair / 2) as f32, (pair % 2) as f32]).collect(),
            transitions: vec![add(0), add(1)],
        };
    };
    let list = |value: &Value| value.as_array().unwrap().clone();
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let to = |to: &Value| to.as_array().map(|to| (number(&to[0]), number(&to[1])));
    Claim {
        cell: certificate["cell"].as_str().unwrap().to_owned(),
        shown: list(&machine["shown"])
            .iter()
            .map(|row| list(row).iter().map(|x| x.as_f64().unwrap() as f32).collect())
            .collect(),
        transitions: list(&machine["transitions"])
            .iter()
            .map(|row| list(row).iter().map(to).collect())
            .collect(),
    }
}

/// Does the network answer as claimed, in plain f32, whatever random words come, with symbols that
/// stay, such as a long carry?
fn answers(model: &[u8], claim: &Claim, seed: u64) -> bool {
    let file = safetensors::SafeTensors::deserialize(model).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).map(|tensor| tensor.data().to_vec()).unwrap_or_default();
        data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let [w_in, w_rec, w_out] = ["weight_ih_l0", "weight_hh_l0", "head.weight"].map(values);
    let [b_in, b_rec, b_out] = ["bias_ih_l0", "bias_hh_l0", "head.bias"].map(values);
    let outputs = file.tensor("head.weight").unwrap().shape()[0];
    let hidden = w_out.len() / outputs;
    let at = |v: &[f32], j: usize| v.get(j).copied().unwrap_or(0.0);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let row = |w: &'_ [f32], j: usize, x: &[f32]| product(&w[j * x.len()..(j + 1) * x.len()], x);
    let sigmoid = |z: f32| (1.0 / (1.0 + (-f64::from(z)).exp())) as f32;
    let tanh = |z: f32| f64::from(z).tanh() as f32;
    // h and c after a step of unit j, as PyTorch defines it; c is of an LSTM alone
    let unit = |j: usize, x: &[f32], h: &[f32], c: &[f32]| -> [f32; 2] {
        let of_x = |gate: usize| row(&w_in, gate * hidden + j, x) + at(&b_in, gate * hidden + j);
        let of_h = |gate: usize| row(&w_rec, gate * hidden + j, h) + at(&b_rec, gate * hidden + j);
        let sum = |gate: usize| of_x(gate) + of_h(gate);
        match &*claim.cell {
            "elman-sigmoid" => [sigmoid(sum(0)), 0.0],
            "elman-tanh" => [tanh(sum(0)), 0.0],
            "elman-relu" => [sum(0).max(0.0), 0.0],
            "gru" => {
                let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                let n = tanh(of_x(2) + r * of_h(2));
                [n + z * (h[j] - n), 0.0]
            }
            "lstm" => {
                let c = sigmoid(sum(1)) * c[j] + sigmoid(sum(0)) * tanh(sum(2));
                [sigmoid(sum(3)) * tanh(c), c]
            }
            other => panic!("{other}"),
        }
    };
    let symbols = claim.shown.len();
    let mut random = seed | 1;
    for _ in 0..20 {
        let (mut h, mut c) = (vec![0.0_f32; hidden], vec![0.0_f32; hidden]);
        let (mut state, mut symbol) = (0, 0);
        for t in 0..60 {
            // xorshift
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if t == 0 || random.is_multiple_of(3) || claim.transitions[state][symbol].is_none() {
                symbol = (random >> 40) as usize % symbols;
            }
            let legal = |symbol: &usize| claim.transitions[state][*symbol];
            let Some(found) = (symbol..symbols).chain(0..symbol).find(|s| legal(s).is_some())
            else {
                break;
            };
            symbol = found;
            let (next, right) = legal(&symbol).unwrap();
            let x = &claim.shown[symbol];
            let after: Vec<[f32; 2]> = (0..hidden).map(|j| unit(j, x, &h, &c)).collect();
            (h, c) = after.into_iter().map(|[h, c]| (h, c)).unzip();
            let sums: Vec<f32> = (0..outputs).map(|n| row(&w_out, n, &h) + at(&b_out, n)).collect();
            let is_right = match sums[..] {
                [sum] => (sum > 0.0) == (right == 1),
                _ => (0..outputs).all(|n| n == right || sums[n] < sums[right]),
            };
            if !is_right {
                return false;
            }
            state = next;
        }
    }
    true
}

#[test]
fn no_changed_file_makes_the_checker_panic_or_prove_what_is_wrong() {
    let cases = std::env::var("MUTATIONS").map_or(300, |cases| cases.parse().expect("a number"));
    let fixtures = ALL.map(fixture);
    let strategy = (
        0..ALL.len(),
        prop::collection::vec(mutation(), 0..4),
        prop::option::of(mutation()),
        prop::option::weighted(0.1, (any::<usize>(), any::<u8>())),
        any::<u64>(),
    );
    let mut config = Config::with_cases(cases);
    config.failure_persistence = None;
    let proofs = std::cell::RefCell::new([0_u32; ALL.len()]);
    let slowest = std::cell::Cell::new(Duration::ZERO);
    let outcome = TestRunner::new(config).run(&strategy, |(n, mutations, of_model, byte, seed)| {
        let (mut model, mut certificate) = fixtures[n].clone();
        if let Some(mutation) = of_model {
            mutate_model(&mut model, mutation);
        }
        mutations.into_iter().for_each(|mutation| mutate(&mut certificate, mutation));
        let mut bytes = sealed(&model, certificate);
        if let Some((place, byte)) = byte {
            let length = bytes.len();
            bytes[place % length] = byte;
        }
        let start = Instant::now();
        let rounded = check(&model, &bytes);
        let exact = check_exact(&model, &bytes);
        slowest.set(slowest.get().max(start.elapsed()));
        prop_assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        if rounded.is_ok() || exact.is_ok() {
            proofs.borrow_mut()[n] += 1;
            prop_assert!(answers(&model, &claim(&bytes), seed), "{rounded:?} {exact:?}");
        }
        if let (Ok(rounded), Ok(exact)) = (&rounded, &exact) {
            let most = 1e-4 * (1.0 + rounded.margin);
            prop_assert!((rounded.margin - exact.margin).abs() < most, "{rounded:?} {exact:?}");
        }
        Ok(())
    });
    outcome.unwrap();
    let proofs = proofs.into_inner();
    println!("{proofs:?} of {cases} were proofs still; the slowest took {:?}", slowest.get());
    // of each certificate some
    assert!(cases < 10_000 || proofs.iter().all(|&proofs| proofs > cases / 1_000), "{proofs:?}");
    assert!(proofs.iter().sum::<u32>() > cases / 50);
    if let Some(kilobytes) = most_memory() {
        assert!(kilobytes < 1 << 20, "{kilobytes} KiB for files of some kilobytes");
    }
}

/// The most memory that this process held at a time, in KiB, where Linux tells it.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Both modes on a changed certificate of two units, each within a second or a few.
fn judged(change: impl Fn(&mut Value)) -> [Result<verify::Verified, verify::Error>; 2] {
    let (model, mut certificate) = fixture(ALL[0]);
    change(&mut certificate);
    let bytes = sealed(&model, certificate);
    let start = Instant::now();
    let judged = [check(&model, &bytes), check_exact(&model, &bytes)];
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    judged
}

#[test]
fn an_empty_piece_outside_of_all_states_makes_no_panic() {
    for far in [1.5, 5.0, -6.0] {
        for axes in [[1.0, 0.0], [0.6, 0.8]] {
            let _either_way = judged(|certificate| {
                let node = &mut certificate["nodes"][0];
                node["axes"] = json!([axes, [-axes[1], axes[0]]]);
                node["cells"] = json!([{"low": [far, far], "high": [far + 0.1, far + 0.1]}]);
            });
        }
    }
}

#[test]
fn a_key_of_a_hundred_thousand_pairs_takes_no_long_time() {
    let judged = judged(|certificate| {
        let mut node = certificate["nodes"][0].clone();
        node["key"] = format!("0{}", " 00".repeat(100_000)).into();
        certificate["nodes"].as_array_mut().unwrap().push(node);
    });
    assert!(judged.iter().all(Result::is_ok), "{judged:?}");
}

#[test]
fn lists_nested_without_end_are_refused() {
    let (model, certificate) = fixture(ALL[0]);
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let text = String::from_utf8(sealed(&model, certificate)).unwrap().replacen("0.0", &deep, 1);
    for verified in [check(&model, text.as_bytes()), check_exact(&model, text.as_bytes())] {
        assert!(matches!(verified, Err(verify::Error::NotACertificate(_))), "{verified:?}");
    }
}

/// Parity by two units, among `hidden` that nothing comes from; and its certificate, for so many steps.
fn wide(hidden: usize, steps: usize) -> (Vec<u8>, Value) {
    let (small, mut certificate) = fixture((VECTORS, "holds-parity"));
    let file = safetensors::SafeTensors::deserialize(&small).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let wider = |n: usize| if n == 2 { hidden } else { n };
            let shape: Vec<usize> = tensor.shape().iter().map(|&n| wider(n)).collect();
            let (columns, before) = match &*name {
                "weight_hh_l0" => (hidden, 2),
                "weight_ih_l0" => (1, 1),
                _ => (shape.iter().product(), tensor.data().len() / 4),
            };
            let mut data = vec![0; 4 * shape.iter().product::<usize>()];
            for (from, to) in tensor.data().chunks(4 * before).zip(data.chunks_mut(4 * columns)) {
                to[..from.len()].copy_from_slice(from);
            }
            (name, shape, data)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, data)| {
        let f32s = safetensors::Dtype::F32;
        (name, safetensors::tensor::TensorView::new(f32s, shape.clone(), data).unwrap())
    });
    let model = safetensors::serialize(views, None).unwrap();
    certificate["steps"] = json!(steps);
    for node in certificate["nodes"].as_array_mut().unwrap() {
        let is_start = node["key"] == "start";
        for (side, value) in [("low", 0.499), ("high", 0.501)] {
            let bounds = node["cells"][0][side].as_array_mut().unwrap();
            bounds.resize(hidden, json!(if is_start { 0.0 } else { value }));
        }
    }
    (model, certificate)
}

#[test]
fn a_network_of_many_units_is_checked_in_a_short_time() {
    let (model, certificate) = wide(256, 1);
    let bytes = sealed(&model, certificate);
    let start = Instant::now();
    for verified in [check(&model, &bytes), check_exact(&model, &bytes)] {
        assert_eq!(verified.unwrap().hidden, 256);
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// The largest network there may be, and a certificate that asks for more than is done for it.
#[test]
#[ignore = "minutes, and some gigabytes"]
fn the_largest_network_ends_in_a_bounded_time() {
    let (model, certificate) = wide(4_096, 1);
    let bytes = sealed(&model, certificate.clone());
    let start = Instant::now();
    check(&model, &bytes).unwrap();
    println!("{} and {} bytes in {:?}", model.len(), bytes.len(), start.elapsed());
    let start = Instant::now();
    check_exact(&model, &bytes).unwrap();
    println!("exactly in {:?}, {:?} KiB", start.elapsed(), most_memory());
    // without a node to arrive at, and twelve steps
    let (model, mut certificate) = wide(4_096, 12);
    certificate["nodes"].as_array_mut().unwrap().retain(|node| node["key"] == "start");
    let bytes = sealed(&model, certificate);
    for (name, judge) in [("f64", check as fn(&[u8], &[u8]) -> _), ("exactly", check_exact)] {
        let start = Instant::now();
        let refused: Result<verify::Verified, verify::Error> = judge(&model, &bytes);
        println!(
            "{name}: {:?} in {:?}, {:?} KiB",
            refused.unwrap_err(),
            start.elapsed(),
            most_memory()
        );
    }
}
