//! Weights survive the way to bytes and back; files that do not fit are refused by name.
//! Bytes that mean harm are `hostile.rs`'s.

use model::{Architecture, Cell, Config, Head, Nonlinearity, Parameters, weights};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

fn network(inputs: usize, hidden: usize, outputs: usize) -> Parameters {
    let config = Config::lab(inputs, hidden, outputs).unwrap();
    Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(7))
}

#[test]
fn weights_come_back_bit_for_bit_under_pytorch_names_and_shapes() {
    for (inputs, hidden, outputs) in [(2, 16, 1), (1, 1, 1), (3, 17, 5)] {
        let parameters = network(inputs, hidden, outputs);
        let bytes = weights::to_bytes(&parameters);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("weight_ih_l0").unwrap().shape(), [hidden, inputs]);
        assert_eq!(file.tensor("weight_hh_l0").unwrap().shape(), [hidden, hidden]);
        assert_eq!(file.tensor("head.weight").unwrap().shape(), [outputs, hidden]);
        let again = weights::from_bytes(parameters.config(), &bytes).unwrap();
        assert_eq!(parameters.arena(), again.arena());
    }
}

#[test]
fn weight_hh_has_the_target_unit_in_its_rows() {
    let mut parameters = network(1, 2, 1);
    let values = [[0.5, 0.25], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]; // w_in, w_rec, w_rec, w_out
    let mut rows = values.iter();
    parameters.for_each_row_mut(|row| row.copy_from_slice(rows.next().unwrap()));
    let bytes = weights::to_bytes(&parameters);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    assert_eq!(floats("weight_hh_l0"), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(floats("weight_ih_l0"), [0.5, 0.25]);
    assert_eq!(floats("head.weight"), [5.0, 6.0]);
}

#[test]
fn weights_of_another_size_are_refused_by_tensor_and_shape() {
    let bytes = weights::to_bytes(&network(2, 16, 1));
    let text = |inputs, hidden, outputs| {
        let config = Config::lab(inputs, hidden, outputs).unwrap();
        weights::from_bytes(config, &bytes).unwrap_err().to_string()
    };
    assert_eq!(
        text(2, 8, 1),
        "tensor `weight_ih_l0` is F32 [16, 2], the network's configuration asks for F32 [8, 2]"
    );
    assert!(text(2, 16, 3).contains("`head.weight` is F32 [1, 16]"));
}

#[test]
fn a_weight_that_is_not_finite_is_refused_by_place() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut parameters = network(2, 3, 1);
        parameters.for_each_row_mut(|row| row[2] = value);
        let bytes = weights::to_bytes(&parameters);
        let text = weights::from_bytes(parameters.config(), &bytes).unwrap_err().to_string();
        assert!(text.contains("`weight_ih_l0`") && text.contains("index 4"), "{text}");
    }
}

#[test]
fn missing_and_foreign_tensors_are_named() {
    let config = Config::lab(1, 1, 1).unwrap();
    let value = 1.0_f32.to_le_bytes();
    let file = |names: &[&str]| {
        let view = || {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 1], &value)
                .unwrap()
        };
        safetensors::serialize(names.iter().map(|name| (*name, view())), None).unwrap()
    };
    let text = |names: &[&str]| weights::from_bytes(config, &file(names)).unwrap_err().to_string();
    assert!(text(&["weight_ih_l0", "weight_hh_l0"]).contains("no tensor `head.weight`"));
    let all = ["weight_ih_l0", "weight_hh_l0", "head.weight", "bias_ih_l0"];
    assert!(text(&all).contains("`bias_ih_l0`"));
    assert!(weights::from_bytes(config, &file(&all[..3])).is_ok());
    // all of them, sorted, and those that are missing, too
    let text = text(&["weight_ih_l0", "zebra", "a\nb", "fc.weight"]);
    assert!(text.contains("no tensor `head.weight`, `weight_hh_l0`"), "{text}");
    assert!(text.contains("they hold `a\\nb`, `fc.weight`, `zebra`"), "{text}");
    let many: Vec<String> = (0..5_000).map(|n| format!("t{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let text = weights::from_bytes(config, &file(&many)).unwrap_err().to_string();
    assert!(text.contains("and 4900 more") && text.len() < 3_000, "{text}");
}

/// The file of `parameters` with other names.
fn renamed(parameters: &Parameters, name: impl Fn(&str) -> String) -> Vec<u8> {
    let bytes = weights::to_bytes(parameters);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    safetensors::serialize(file.iter().map(|(old, view)| (name(old), view)), None).unwrap()
}

#[test]
fn prefixes_of_modules_are_taken_off_and_told() {
    let parameters = random(
        Config::new(Architecture { embedding: Some(4), ..largest().architecture() }).unwrap(),
    );
    let part = |name: &str| if name.contains("_l") { "lstm." } else { "" };
    type Rename<'a> = Box<dyn Fn(&str) -> String + 'a>;
    let files: [(Rename<'_>, &[&str]); 5] = [
        (Box::new(str::to_owned), &[]),
        (Box::new(|name| format!("lstm.{name}")), &["lstm."]),
        (Box::new(|name| format!("module.{name}")), &["module."]),
        (Box::new(|name| format!("{}{name}", part(name))), &["lstm."]),
        (
            Box::new(|name| format!("_orig_mod.{}{name}", part(name))),
            &["_orig_mod.", "_orig_mod.lstm."],
        ),
    ];
    for (rename, prefixes) in files {
        let bytes = renamed(&parameters, rename);
        let read = weights::read(parameters.config(), &bytes).unwrap();
        assert_eq!(read.prefixes, prefixes);
        assert_eq!(read.parameters.arena(), parameters.arena());
        let again = weights::from_bytes(parameters.config(), &bytes).unwrap();
        assert_eq!(again.arena(), parameters.arena());
    }
    // no prefix of a whole part: all is named
    let some = |name: &str| if name.contains("_l1") { format!("lstm.{name}") } else { name.into() };
    for rename in [&some as &dyn Fn(&str) -> String, &|name| format!("x{name}")] {
        let text = weights::from_bytes(parameters.config(), &renamed(&parameters, rename));
        let text = text.unwrap_err().to_string();
        assert!(text.contains("no tensor") && text.contains("prefix"), "{text}");
    }
}

#[test]
fn two_networks_in_one_file_are_not_guessed_at() {
    let parameters = random(Config::new(Architecture::new(Cell::Gru, 2, 3)).unwrap());
    let bytes = weights::to_bytes(&parameters);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let both = ["encoder.", "decoder."]
        .into_iter()
        .flat_map(|prefix| file.iter().map(move |(name, view)| (format!("{prefix}{name}"), view)));
    let both = safetensors::serialize(both, None).unwrap();
    let text = weights::from_bytes(parameters.config(), &both).unwrap_err().to_string();
    assert!(text.contains("`decoder.bias_hh_l0`") && text.contains("`encoder.weight_ih_l0`"));
}

fn random(config: Config) -> Parameters {
    Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(7))
}

/// Two layers, both directions, biases: every kind of tensor there is.
fn largest() -> Config {
    let lstm = Architecture::new(Cell::Lstm, 2, 3);
    let head = Some(Head::linear(2));
    Config::new(Architecture { layers: 2, bidirectional: true, head, ..lstm }).unwrap()
}

#[test]
fn every_configuration_comes_back_bit_for_bit_under_pytorch_names() {
    for cell in [Cell::Elman(Nonlinearity::Relu), Cell::Gru, Cell::Lstm] {
        for layers in [1, 2] {
            for bidirectional in [false, true] {
                for (bias, hidden) in [(false, 16), (true, 17), (true, 5)] {
                    let head = bias.then_some(Head::linear(3));
                    let architecture = Architecture::new(cell, 4, hidden);
                    let architecture =
                        Architecture { layers, bidirectional, bias, head, ..architecture };
                    let parameters = random(Config::new(architecture).unwrap());
                    let bytes = weights::to_bytes(&parameters);
                    let again = weights::from_bytes(parameters.config(), &bytes).unwrap();
                    assert_eq!(parameters.arena(), again.arena());
                }
            }
        }
    }
    let bytes = weights::to_bytes(&random(largest()));
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for layer in ["l0", "l0_reverse", "l1", "l1_reverse"] {
        let inputs = if layer.starts_with("l0") { 2 } else { 6 };
        let shape = |name: &str| file.tensor(&format!("{name}_{layer}")).unwrap().shape().to_vec();
        assert_eq!(shape("weight_ih"), [12, inputs]);
        assert_eq!(shape("weight_hh"), [12, 3]);
        assert_eq!((shape("bias_ih"), shape("bias_hh")), (vec![12], vec![12]));
    }
    assert_eq!(file.tensor("head.weight").unwrap().shape(), [2, 6]);
    assert_eq!(file.tensor("head.bias").unwrap().shape(), [2]);
    assert_eq!(file.len(), 18);
}

#[test]
fn gates_follow_one_another_in_the_rows_of_a_file() {
    // weight_ih of a GRU of 2 units and 1 input: r, r, z, z, n, n
    let config =
        Config::new(Architecture { bias: false, ..Architecture::new(Cell::Gru, 1, 2) }).unwrap();
    let values: Vec<f32> = (0..6).map(|n| n as f32).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let zeros = [0; 4 * 12];
    let view = |shape: Vec<usize>, bytes| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap()
    };
    let tensors = [
        ("weight_ih_l0", view(vec![6, 1], &bytes[..])),
        ("weight_hh_l0", view(vec![6, 2], &zeros)),
    ];
    let file = safetensors::serialize(tensors, None).unwrap();
    let parameters = weights::from_bytes(config, &file).unwrap();
    let mut row = [0.0; 48];
    (row[0], row[1], row[16], row[17], row[32], row[33]) = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0);
    assert_eq!(parameters.arena()[..48], row);
}
