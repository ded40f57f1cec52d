//! Certificates of machines: what is proved holds, a forged table, cell or head is refused.

use certify::ibp::MachineIbp;
use certify::{
    BUDGET, Certificate, Machine, Outcome, agree, answers_wrongly, certify, picture, provable,
};
use model::{Nonlinearity, Parameters, weights};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use train::config::RunConfig;
use train::task::{self, Words};
use train::trainer::Trainer;
use verify::{Cell, Error, check};

/// A machine of symbols that are shown as `shown`.
fn machine(name: &str, shown: &Value, outputs: &Value, transitions: &Value) -> Machine {
    let names =
        |of: &Value| (0..of.as_array().unwrap().len()).map(|n| n.to_string()).collect::<Vec<_>>();
    serde_json::from_value(json!({
        "name": name, "symbols": names(shown), "shown": shown, "outputs": outputs,
        "states": names(transitions), "transitions": transitions,
    }))
    .unwrap()
}

/// Was the number of ones up to now odd?
const PARITY_FILE: &str = r#"
name = "parity"
inputs = ["0", "1"]
outputs = ["even", "odd"]
states = ["even", "odd"]
transitions = [
    ["even", "0", "even", "even"], ["even", "1", "odd", "odd"],
    ["odd", "0", "odd", "odd"], ["odd", "1", "even", "even"],
]
"#;

/// The number of ones modulo 3, by a softmax.
const MODULO_3_FILE: &str = r#"
name = "modulo 3"
inputs = ["0", "1"]
outputs = ["0", "1", "2"]
states = ["0", "1", "2"]
transitions = [
    ["0", "0", "0", "0"], ["0", "1", "1", "1"],
    ["1", "0", "1", "1"], ["1", "1", "2", "2"],
    ["2", "0", "2", "2"], ["2", "1", "0", "0"],
]
"#;

/// Brackets to depth 2, where a closing one is legal behind an opening one alone: the depth.
const BRACKETS_FILE: &str = r#"
name = "brackets"
inputs = ["(", ")"]
outputs = ["0", "1", "2"]
states = ["0", "1", "2"]
transitions = [
    ["0", "(", "1", "1"], ["1", "(", "2", "2"], ["1", ")", "0", "0"], ["2", ")", "1", "1"],
]
legal = { "0" = ["("], "2" = [")"] }
"#;

/// Of these seeds a training for a proof, as the build for AVX-512 makes it, ends in a network that
/// can be proved, by the recipe of then, which did not ask the states for the machine's. Other builds
/// end in other networks, so the three are kept in `tests/fixtures/machines`.
const SEEDS: [(&str, &str, Nonlinearity, u64); 3] = [
    ("parity", PARITY_FILE, Nonlinearity::Sigmoid, 0),
    ("modulo-3", MODULO_3_FILE, Nonlinearity::Tanh, 1),
    ("brackets", BRACKETS_FILE, Nonlinearity::Relu, 1),
];
const HIDDEN: usize = 8;

/// The training of one of [`SEEDS`].
fn training(number: usize) -> RunConfig<MachineIbp> {
    let (_, file, nonlinearity, seed) = SEEDS[number];
    let machine = task::machine::Machine::from_toml(file).unwrap();
    let words = Words::new(machine, MachineIbp::STEPS).unwrap();
    MachineIbp::training(words, nonlinearity, HIDDEN, seed)
}

fn machine_of(number: usize) -> Machine {
    certify::machine_of(training(number).task.words().machine()).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/machines");
    folder.join(format!("{name}.safetensors"))
}

#[test]
#[ignore = "writes the networks of the other tests"]
fn trains_the_networks_again() {
    for (number, (name, ..)) in SEEDS.into_iter().enumerate() {
        let config = training(number);
        let mut trainer = Trainer::new(&config).unwrap();
        trainer.train(config.run.examples);
        fs::create_dir_all(fixture(name).parent().unwrap()).unwrap();
        fs::write(fixture(name), weights::to_bytes(trainer.parameters())).unwrap();
    }
}

struct Proved {
    machine: Machine,
    parameters: Parameters,
    file: Vec<u8>,
    certificate: Certificate,
}

fn proved(number: usize) -> Proved {
    let (run, machine) = (training(number), machine_of(number));
    let name = SEEDS[number].0;
    let file = fs::read(fixture(name)).unwrap();
    let parameters = weights::from_bytes(run.network.config(&run.task).unwrap(), &file).unwrap();
    match certify(&parameters, &machine, &file, BUDGET) {
        Outcome::Certified { certificate, verified } => {
            assert_eq!(verified.machine, machine);
            Proved { machine, parameters, file, certificate }
        }
        other => panic!("{name}: {other:?}"),
    }
}

static PARITY: LazyLock<Proved> = LazyLock::new(|| proved(0));
static MODULO_3: LazyLock<Proved> = LazyLock::new(|| proved(1));
static BRACKETS: LazyLock<Proved> = LazyLock::new(|| proved(2));

fn all() -> [&'static Proved; 3] {
    [&PARITY, &MODULO_3, &BRACKETS]
}

#[test]
fn what_is_certified_answers_long_random_words() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    for proved in all() {
        let Proved { machine, parameters, .. } = proved;
        for length in [1, 2, 63, 500] {
            let (mut word, mut state) = (Vec::new(), 0);
            while word.len() < length {
                let symbol = generator.random_range(0..machine.symbols().len());
                let Some((next, _)) = machine.step(state, symbol) else { continue };
                word.push(symbol);
                state = next;
                assert!(!answers_wrongly(parameters, machine, &word));
            }
        }
    }
}

#[test]
fn both_modes_agree_on_every_cell_and_head() {
    for Proved { file, certificate, .. } in all() {
        let [rounded, exact] = agree(file, certificate.to_json().as_bytes()).unwrap();
        assert_eq!(exact.statement(), rounded.statement());
    }
}

#[test]
fn what_both_modes_refuse_is_told_once() {
    let Proved { file, certificate, .. } = &*PARITY;
    let mut forged = certificate.clone();
    forged.steps = 0;
    let error = agree(file, forged.to_json().as_bytes()).unwrap_err();
    assert!(error.contains("takes 0 steps"), "{error}");
}

#[test]
fn the_statement_names_the_cell_and_the_machine() {
    let statements = all().map(|proved| {
        check(&proved.file, proved.certificate.to_json().as_bytes()).unwrap().statement()
    });
    let of = |units: &str, machine: &str| {
        format!(
            "Proved: this Elman network of 8 {units} units with biases, run symbol by symbol in \
             f32, gives the output of the machine {machine} of any length."
        )
    };
    let every = "after every symbol of every";
    let expected = [
        of("sigmoid", &format!("\"parity\" (2 states, 2 symbols, 2 outputs) {every} input")),
        of("tanh", &format!("\"modulo 3\" (3 states, 2 symbols, 3 outputs) {every} input")),
        of("ReLU", &format!("\"brackets\" (3 states, 2 symbols, 3 outputs) {every} legal input")),
    ];
    assert_eq!(statements, expected);
}

#[test]
fn a_forged_table_cell_or_node_is_refused_though_its_digest_is_new() {
    let refused = |proved: &Proved, forged: &Certificate| {
        let mut forged = forged.clone();
        let changed = check(&proved.file, forged.to_json().as_bytes());
        assert!(matches!(changed, Err(Error::Changed { .. })), "{changed:?}");
        forged.update_digest();
        match check(&proved.file, forged.to_json().as_bytes()) {
            Err(error) => assert!(!matches!(error, Error::Changed { .. }), "{error}"),
            Ok(verified) => panic!("{verified:?}"),
        }
    };
    for proved in all() {
        let certificate = &proved.certificate;
        // every transition and every output, each replaced by each other one
        let table = serde_json::to_value(&proved.machine).unwrap();
        let (states, outputs) = (proved.machine.states().len(), proved.machine.outputs().len());
        for state in 0..states {
            for symbol in 0..proved.machine.symbols().len() {
                let Some((next, output)) = proved.machine.step(state, symbol) else { continue };
                let others = (0..states).filter(|&n| n != next).map(|n| [n, output]);
                let others = others.chain((0..outputs).filter(|&n| n != output).map(|n| [next, n]));
                for other in others {
                    let mut table = table.clone();
                    table["transitions"][state][symbol] = json!(other);
                    let mut forged = certificate.clone();
                    forged.machine = Some(serde_json::from_value(table).unwrap());
                    refused(proved, &forged);
                }
            }
        }
        // symbols shown otherwise
        let mut table = table.clone();
        table["shown"].as_array_mut().unwrap().reverse();
        let mut forged = certificate.clone();
        forged.machine = Some(serde_json::from_value(table).unwrap());
        refused(proved, &forged);
        // another cell
        for cell in Cell::ALL.into_iter().filter(|&cell| Some(cell) != certificate.cell) {
            let mut forged = certificate.clone();
            forged.cell = Some(cell);
            refused(proved, &forged);
        }
        // a node less, where each step has to end in one: of more steps some can do without
        let is_needed = certificate.steps == 1;
        for n in (0..certificate.nodes.len()).filter(|_| is_needed) {
            let mut forged = certificate.clone();
            forged.nodes.remove(n);
            refused(proved, &forged);
        }
    }
}

#[test]
fn a_symbol_that_is_not_legal_cannot_be_made_legal() {
    let proved = &*BRACKETS;
    let mut table = serde_json::to_value(&proved.machine).unwrap();
    table["transitions"][0][1] = json!([0, 0]);
    let mut forged = proved.certificate.clone();
    forged.machine = Some(serde_json::from_value(table).unwrap());
    forged.update_digest();
    assert!(check(&proved.file, forged.to_json().as_bytes()).is_err());
}

#[test]
fn the_right_row_of_a_head_exchanged_with_another_is_refused() {
    let Proved { parameters, certificate, .. } = &*MODULO_3;
    let mut other = parameters.clone();
    for name in ["head.weight", "head.bias"] {
        let tensors = other.tensors();
        let tensor = tensors.iter().find(|tensor| tensor.name() == name).unwrap();
        for column in 0..tensor.columns() {
            let (a, b) = (tensor.index(0, column), tensor.index(1, column));
            other.arena_mut().swap(a, b);
        }
    }
    let file = weights::to_bytes(&other);
    let Err(Error::OtherNetwork { found, .. }) = check(&file, certificate.to_json().as_bytes())
    else {
        panic!("the digest is of another network");
    };
    let mut forged = certificate.clone();
    forged.model = found;
    let error = check(&file, forged.to_json().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("another output may be the largest"), "{error}");
}

#[test]
fn a_network_of_another_machine_is_refuted_by_a_word() {
    // trained for parity, asked whether the last symbol was 1
    let transitions = json!([[[0, 0], [0, 1]]]);
    let last = machine("last", &json!([[0], [1]]), &json!(["no", "yes"]), &transitions);
    let Proved { parameters, file, .. } = &*PARITY;
    let Outcome::Refuted(found) = certify(parameters, &last, file, BUDGET) else {
        panic!("it is not refuted");
    };
    assert_eq!((found.word.len(), found.right_up_to), (2, 1), "{found:?}");
    assert!(answers_wrongly(parameters, &last, &found.word));
    assert_eq!(found.spell(&last).len(), 3);
}

#[test]
fn only_words_that_are_legal_refute() {
    // of one state alone, where only 0 is legal, parity is always even
    let transitions = json!([[[0, 0], null]]);
    let zeros = machine("zeros", &json!([[0], [1]]), &json!(["even", "odd"]), &transitions);
    let Proved { parameters, file, .. } = &*PARITY;
    assert!(matches!(certify(parameters, &zeros, file, BUDGET), Outcome::Certified { .. }));
    assert!(!answers_wrongly(parameters, &zeros, &[1]));
}

#[test]
fn a_picture_has_a_family_for_each_state() {
    for Proved { machine, parameters, certificate, .. } in all() {
        let picture = picture(parameters, machine, Some(certificate));
        let pieces = certificate.nodes.iter().map(|node| node.pieces.len()).sum::<usize>();
        assert_eq!(picture.states.len(), machine.states().len());
        assert_eq!(picture.pieces.iter().map(Vec::len).sum::<usize>(), pieces);
    }
}

#[test]
fn a_network_of_another_shape_cannot_be_proved() {
    let config = PARITY.parameters.config();
    assert_eq!(provable(config, &PARITY.machine), Ok(Cell::Sigmoid));
    let reason = provable(config, &machine_of(1)).unwrap_err();
    assert!(reason.contains("has 1 inputs and 1 outputs"), "{reason}");
}
