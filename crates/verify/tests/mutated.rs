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
const NAMES: [&str; 2] = ["two-units-with-biases", "three-units-without-biases"];

fn fixture(name: &str) -> (Vec<u8>, Value) {
    let read = |end: &str| std::fs::read(Path::new(FIXTURES).join(name).with_extension(end));
    (read("safetensors").unwrap(), serde_json::from_slice(&read("json").unwrap()).unwrap())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The certificate with digests that fit, as FORMAT.md says; of format 3.
fn sealed(model: &[u8], mut certificate: Value) -> Vec<u8> {
    let mut hash = Sha256::new();
    let none = vec![];
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    let whole = |hash: &mut Sha256, n: usize| hash.update((n as u64).to_le_bytes());
    let numbers = |hash: &mut Sha256, values: &Value| {
        whole(hash, list(values).len());
        list(values)
            .iter()
            .for_each(|value| hash.update(value.as_f64().unwrap_or(0.0).to_le_bytes()));
    };
    whole(&mut hash, certificate["steps"].as_u64().unwrap_or(0) as usize);
    for node in list(&certificate["nodes"]) {
        let key = node["key"].as_str().unwrap_or_default();
        whole(&mut hash, key.len());
        hash.update(key);
        whole(&mut hash, list(&node["axes"]).len());
        list(&node["axes"]).iter().for_each(|row| numbers(&mut hash, row));
        whole(&mut hash, list(&node["cells"]).len());
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
    (0..20_u8, any::<usize>(), any::<usize>(), number())
}

/// Changes a certificate; what does not fit is left as it is.
fn mutate(certificate: &mut Value, (kind, a, b, number): Mutation) {
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

/// Does the network add, in plain f32, whatever random pairs and long carries come?
fn adds(model: &[u8], seed: u64) -> bool {
    let file = safetensors::SafeTensors::deserialize(model).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).map(|tensor| tensor.data().to_vec()).unwrap_or_default();
        data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let [w_in, w_rec, w_out] = ["weight_ih_l0", "weight_hh_l0", "head.weight"].map(values);
    let [b_in, b_rec, b_out] = ["bias_ih_l0", "bias_hh_l0", "head.bias"].map(values);
    let hidden = w_out.len();
    let at = |v: &[f32], j: usize| v.get(j).copied().unwrap_or(0.0);
    let sigmoid = |z: f32| (1.0 / (1.0 + (-f64::from(z)).exp())) as f32;
    let mut random = seed | 1;
    for _ in 0..20 {
        let (mut h, mut carry) = (vec![0.0_f32; hidden], 0);
        let mut pair = 0;
        for t in 0..60 {
            // xorshift; pairs that stay, such as a long carry, are likely
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if t == 0 || random.is_multiple_of(3) {
                pair = (random >> 40) as usize % 4;
            }
            let (a, b) = (pair / 2, pair % 2);
            h = (0..hidden)
                .map(|j| {
                    let recurrent: f32 = (0..hidden).map(|k| h[k] * w_rec[j * hidden + k]).sum();
                    let input = a as f32 * w_in[2 * j] + b as f32 * w_in[2 * j + 1];
                    sigmoid(input + recurrent + at(&b_in, j) + at(&b_rec, j))
                })
                .collect();
            let output: f32 = h.iter().zip(&w_out).map(|(h, w)| h * w).sum::<f32>() + at(&b_out, 0);
            let sum = a + b + carry;
            if (output > 0.0) != (sum % 2 == 1) {
                return false;
            }
            carry = sum / 2;
        }
    }
    true
}

#[test]
fn no_changed_file_makes_the_checker_panic_or_prove_what_is_wrong() {
    let cases = std::env::var("MUTATIONS").map_or(300, |cases| cases.parse().expect("a number"));
    let fixtures = NAMES.map(fixture);
    let strategy = (
        0..NAMES.len(),
        prop::collection::vec(mutation(), 0..4),
        prop::option::of(mutation()),
        prop::option::weighted(0.1, (any::<usize>(), any::<u8>())),
        any::<u64>(),
    );
    let mut config = Config::with_cases(cases);
    config.failure_persistence = None;
    let proofs = std::cell::Cell::new(0);
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
        prop_assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        if rounded.is_ok() || exact.is_ok() {
            proofs.set(proofs.get() + 1);
            prop_assert!(adds(&model, seed), "{rounded:?} {exact:?}");
        }
        if let (Ok(rounded), Ok(exact)) = (&rounded, &exact) {
            let most = 1e-4 * (1.0 + rounded.margin);
            prop_assert!((rounded.margin - exact.margin).abs() < most, "{rounded:?} {exact:?}");
        }
        Ok(())
    });
    outcome.unwrap();
    println!("{} of {cases} were proofs still", proofs.get());
    assert!(proofs.get() > cases / 50);
}

/// Both modes on a changed certificate of two units, each within a second or a few.
fn judged(change: impl Fn(&mut Value)) -> [Result<verify::Verified, verify::Error>; 2] {
    let (model, mut certificate) = fixture(NAMES[0]);
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
    let (model, certificate) = fixture(NAMES[0]);
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let text = String::from_utf8(sealed(&model, certificate)).unwrap().replacen("0.0", &deep, 1);
    for verified in [check(&model, text.as_bytes()), check_exact(&model, text.as_bytes())] {
        assert!(matches!(verified, Err(verify::Error::NotACertificate(_))), "{verified:?}");
    }
}
