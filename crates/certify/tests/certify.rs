//! Certificates: what is proved holds, what is not proved is refused.

use certify::study::{Ending, Kind, Recipe, study, train};
use certify::{
    BUDGET, Certificate, Machine, Outcome, Piece, answers_wrongly, certify, picture, prove,
};
use model::{Config, Network, Parameters, weights};
use num_bigint::BigUint;
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;
use std::io;
use std::sync::{LazyLock, Mutex};
use train::config::NetworkConfig;
use train::task::Addition;
use train::task::adder;
use verify::{Error, Verified, check};

const LAB_KIND: Kind = Kind::LAB;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../verify/tests/fixtures/certified");

/// The lab's network of `hidden` units, or the same with biases.
fn network(hidden: usize, bias: bool) -> Config {
    let network = NetworkConfig { bias, ..NetworkConfig::lab(hidden) };
    network.config(&Addition::lab().task).unwrap()
}

/// Two units with biases that add, written down by hand. With s = a + b + carry in 0..=3:
///
/// ```text
/// h₀ = σ(24·(s − 1½))           the carry: a steep unit, nearly 0 or 1
/// h₁ = σ(⅕·(s − 1½)) ≈ ½ + (s − 1½)/20         the sum: a shallow one
/// o  = σ(200·h₁ − 20·h₀ − 90) ≈ σ(10·(s − 2·h₀ − ½))      s − 2·carry is the digit
/// ```
///
/// Both read the carry from h₀, and nothing from h₁.
fn two_units() -> Parameters {
    written_down(
        true,
        &[
            ("weight_ih_l0", &[24.0, 24.0, 0.2, 0.2]),
            ("weight_hh_l0", &[24.0, 0.0, 0.2, 0.0]),
            ("bias_ih_l0", &[-36.0, -0.3]),
            ("bias_hh_l0", &[0.0, 0.0]),
            ("head.weight", &[-20.0, 200.0]),
            ("head.bias", &[-90.0]),
        ],
    )
}

/// Three units without biases that add. Gradients found such from random weights, first on
/// all sums of 3 digits, then of 4, then on long carries; then three weights were made 0 and
/// the others round. With u = a + b, and c the carry before it:
///
/// ```text
/// C' = σ(50·u + 15·C − 22·K − 54·S)        a steep one: is u above c?
/// K' = σ(1.4·u + 6·K)                      a constant: ½ or more at first, then nearly 1
/// S' = σ(1.2·u + 0.4·C − 1.3·S)            a shallow one: u, and with a carry a little less
/// o  = σ(90·C' + 61·K' − 177·S')           above ½ where S' is below (90·C' + 61·K')/177
/// ```
///
/// No unit holds the carry; `22·K + 54·S − 15·C` does, below 45 without one and above 51 with
/// one, so that 50·u is above it just where u is above c. After the first two digits:
///
/// ```text
/// u, c                     0, 0        1, 0        2, 0        0, 1        1, 1        2, 1
/// C'                       0           1           1           0           0 to 0.13   1
/// S'                       0.37–0.40   0.66–0.69   0.86–0.88   0.31–0.34   0.60–0.63   0.83–0.85
/// (90·C' + 61·K')/177      0.34        0.85        0.85        0.34        0.34–0.41   0.85
/// digit                    0           1           0           1           0           1
/// ```
fn three_units() -> Parameters {
    written_down(
        false,
        &[
            ("weight_ih_l0", &[50.0, 50.0, 1.4, 1.4, 1.2, 1.2]),
            ("weight_hh_l0", &[15.0, -22.0, -54.0, 0.0, 6.0, 0.0, 0.4, 0.0, -1.3]),
            ("head.weight", &[90.0, 61.0, -177.0]),
        ],
    )
}

/// The network with these tensors, each `[to, from]` by rows.
fn written_down(bias: bool, tensors: &[(&str, &[f32])]) -> Parameters {
    let hidden = tensors[0].1.len() / 2;
    let mut parameters = Parameters::zeros(network(hidden, bias));
    let names: Vec<String> =
        parameters.tensors().iter().map(|tensor| tensor.name().to_owned()).collect();
    assert_eq!(names.len(), tensors.len(), "{names:?}");
    for tensor in parameters.tensors() {
        let (_, values) = tensors.iter().find(|(name, _)| tensor.name() == *name).unwrap();
        let indices: Vec<usize> = tensor.indices().collect();
        assert_eq!(indices.len(), values.len(), "{}", tensor.name());
        indices.into_iter().zip(*values).for_each(|(i, value)| parameters.arena_mut()[i] = *value);
    }
    parameters
}

/// The networks of the fixtures that are written down here.
fn written() -> [(&'static str, Parameters); 2] {
    [("two-units-with-biases", two_units()), ("three-units-without-biases", three_units())]
}

fn certified(parameters: &Parameters) -> (Vec<u8>, Certificate, Verified) {
    let model = weights::to_bytes(parameters);
    match certify(parameters, &Machine::addition(), &model, BUDGET) {
        Outcome::Certified { certificate, verified } => (model, certificate, verified),
        other => panic!("{other:?}"),
    }
}

/// The same for many tests: the two units (boxes), and a lab network (along principal axes).
static SMALL: LazyLock<(Parameters, Vec<u8>, Certificate)> = LazyLock::new(|| {
    let parameters = two_units();
    let (model, certificate, verified) = certified(&parameters);
    assert!(verified.boxes);
    (parameters, model, certificate)
});
static LAB: LazyLock<(Parameters, Vec<u8>, Certificate)> = LazyLock::new(|| {
    let parameters = train(LAB_KIND, 0).unwrap();
    let (model, certificate, verified) = certified(&parameters);
    assert!(!verified.boxes);
    (parameters, model, certificate)
});

/// A forger who takes the digest again.
fn with_new_digest(certificate: &Certificate) -> Certificate {
    let mut forged = certificate.clone();
    forged.update_digest();
    forged
}

fn checked(model: &[u8], certificate: &Certificate) -> Result<Verified, Error> {
    check(model, certificate.to_json().as_bytes())
}

#[track_caller]
fn refused(model: &[u8], certificate: &Certificate) -> Error {
    match checked(model, certificate) {
        Err(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Refused because the nodes are not those of the digest.
fn is_changed(error: &Error) -> bool {
    matches!(error, Error::Changed { .. })
}

/// Refused because the certificate names another network.
fn is_of_another(error: &Error) -> bool {
    matches!(error, Error::OtherNetwork { .. })
}

#[test]
fn a_proof_alone_is_that_of_the_whole_search() {
    let network = two_units();
    let file = weights::to_bytes(&network);
    let Outcome::Certified { certificate, verified } =
        certify(&network, &Machine::addition(), &file, BUDGET)
    else {
        panic!("no proof was found");
    };
    assert_eq!(prove(&network, &Machine::addition(), &file, 20_000), Some((certificate, verified)));
}

#[test]
fn the_units_written_down_are_those_of_the_fixtures() {
    for (name, parameters) in written() {
        let fixture = std::fs::read(format!("{FIXTURES}/{name}.safetensors")).unwrap();
        assert_eq!(weights::to_bytes(&parameters), fixture, "{name}");
    }
}

/// Why no two units without biases add, with any weights:
///
/// Let the output be `v₁σ(p₁) + v₂σ(p₂)` with `pⱼ = κⱼ + wⱼ·x`, κ from the state and x one
/// of 00, 01, 10, 11; the digit is 1 where it is above 0. As one digit is 1 and another 0,
/// the signs differ: `v₁ > 0 > v₂`, say. With `r = −v₂/v₁`, `A = e^−κ₂`, `B = r·e^−κ₁`,
/// `Y(x) = e^−w₂·x`, `X(x) = e^−w₁·x`, all above 0, and `k = r − 1`, division by `σ(p₁)σ(p₂)`
/// makes it
///
/// ```text
/// digit 1  ⟺  A·Y(x) > B·X(x) + k        X(00) = 1, X(11) = X(01)·X(10), and so for Y
/// ```
///
/// of which only A and B are the state's. Let k > 0. Without a carry the digit is 1 at 01 and
/// 10, and 0 at 00 and 11. The product of each two, whose left sides are `A²·Y(11)`, says
///
/// ```text
/// (B·X(01) + k)·(B·X(10) + k)  <  A²·Y(11)  ≤  (B + k)·(B·X(11) + k)
/// ```
///
/// and so `X(01) + X(10) < 1 + X(11)`, or `(1 − X(01))·(1 − X(10)) > 0`. With a carry all is
/// reversed, and `(1 − X(01))·(1 − X(10)) < 0`; but X knows nothing of a carry. With k < 0
/// the same holds for Y, from `A·Y(x) + |k| > B·X(x)`; with k = 0 the first line already
/// contradicts itself. An output with a bias moves k by the state, and two units are enough.
///
/// The test draws weights near some that make the digits without a carry, or with one, and
/// then what a state may add to the sums: it never leads to the other digits, while with a
/// bias of the output that is drawn along it always does.
#[test]
fn two_units_without_biases_make_the_digits_without_a_carry_or_those_with_one() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut draw = |most: f64| generator.random_range(-most..most);
    for n in 0..100 {
        let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
        let w = [10.0, 10.0, 1.0, 1.0].map(|w: f64| w * draw(0.5).exp());
        let v = [sign, -1.25 * sign].map(|v: f64| v * draw(0.1).exp());
        let [mut without_bias, mut with_bias] = [[0; 2]; 2]; // digits of no carry, of a carry
        for draws in 0..5_000 {
            let scale = if draws % 5 == 0 { 0.3 } else { 1.0 };
            let (first, second, bias) = (draw(20.0 * scale), draw(3.0 * scale), draw(1.0));
            let outputs = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]].map(|[a, b]| {
                v[0] * sigmoid(first + w[0] * a + w[1] * b)
                    + v[1] * sigmoid(second + w[2] * a + w[3] * b)
            });
            for (found, bias) in [(&mut without_bias, 0.0), (&mut with_bias, bias)] {
                match outputs.map(|output| output + bias > 0.0) {
                    [false, true, true, false] => found[0] += 1,
                    [true, false, false, true] => found[1] += 1,
                    _ => {}
                }
            }
        }
        let [own, other] = if n % 2 == 0 { [0, 1] } else { [1, 0] };
        assert!(without_bias[own] > 0 && without_bias[other] == 0, "{w:?} {v:?} {without_bias:?}");
        assert!(with_bias.iter().all(|&found| found > 0), "{w:?} {v:?} {with_bias:?}");
    }
}

/// Writes the fixtures that are written down here, and the certificates of all; run by hand
/// when the format changes.
#[test]
#[ignore = "writes files"]
fn write_the_certificates() {
    for (name, parameters) in written() {
        let file = format!("{FIXTURES}/{name}.safetensors");
        std::fs::write(file, weights::to_bytes(&parameters)).unwrap();
    }
    for (name, hidden, bias) in [
        ("two-units-with-biases", 2, true),
        ("three-units-without-biases", 3, false),
        ("four-units-without-biases", 4, false),
    ] {
        let model = std::fs::read(format!("{FIXTURES}/{name}.safetensors")).unwrap();
        let config = network(hidden, bias);
        let (_, certificate, _) = certified(&weights::from_bytes(config, &model).unwrap());
        std::fs::write(format!("{FIXTURES}/{name}.json"), certificate.to_json()).unwrap();
    }
}

#[test]
fn what_is_certified_adds_long_random_numbers() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(7);
    for (parameters, ..) in [&*SMALL, &*LAB] {
        for bits in [1, 2, 63, 500, 3_000] {
            for _ in 0..10 {
                let mut number = || {
                    let density = generator.random_range(0.0..1.0_f64);
                    let mut number = BigUint::ZERO;
                    for n in 0..bits {
                        number.set_bit(n, generator.random_range(0.0..1.0_f64) < density);
                    }
                    number
                };
                assert_eq!(adder::add(parameters, &number(), &number()).wrong_bits(), 0);
            }
            // the longest carry there is
            let ones = (BigUint::from(1_u8) << bits) - 1_u8;
            assert_eq!(adder::add(parameters, &ones, &BigUint::from(1_u8)).wrong_bits(), 0);
        }
    }
}

#[test]
fn the_smallest_networks_add_numbers_of_a_million_digits() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(8);
    let mut number = || {
        let mut words: Vec<u32> = (0..31_250).map(|_| generator.random()).collect();
        words[31_249] |= 1 << 31;
        BigUint::new(words)
    };
    for (name, parameters) in written() {
        let (a, b) = (number(), number());
        assert_eq!((a.bits(), b.bits()), (1_000_000, 1_000_000));
        assert_eq!(adder::add(&parameters, &a, &b).wrong_bits(), 0, "{name}");
    }
}

#[test]
fn a_network_that_fails_is_refuted_by_two_numbers_that_anyone_can_try() {
    for seed in [1, 3, 4] {
        let parameters = train(LAB_KIND, seed).unwrap();
        let model = weights::to_bytes(&parameters);
        let Outcome::Refuted(found) = certify(&parameters, &Machine::addition(), &model, BUDGET)
        else {
            panic!("seed {seed} is not refuted");
        };
        let [a, b] = found.operands();
        assert!(adder::add(&parameters, &a, &b).wrong_bits() > 0);
        let bits = found.length(&Machine::addition());
        assert!(bits < 60, "{found:?}");
        assert!(found.right_up_to as u64 <= bits, "{found:?}");
        assert!(found.right_up_to < found.word.len(), "{found:?}");
        assert_eq!(found.is_shortest(), found.right_up_to + 1 == found.word.len());
    }
}

/// Refutes the lab's network in `file` without looking for a proof: a word of fewer than `most` symbols.
fn assert_refuted(file: &str, most: usize) {
    let file = format!("{}/tests/fixtures/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let (lab, model) = (Addition::lab(), std::fs::read(file).unwrap());
    let parameters = weights::from_bytes(lab.network.config(&lab.task).unwrap(), &model).unwrap();
    let outcome = certify(&parameters, &Machine::addition(), &model, 0);
    let Outcome::Refuted(found) = outcome else { panic!("{outcome:?}") };
    let [a, b] = found.operands();
    assert!(adder::add(&parameters, &a, &b).wrong_bits() > 0, "{found:?}");
    assert!(answers_wrongly(&parameters, &Machine::addition(), &found.word));
    assert!(found.right_up_to >= 10 && found.word.len() < most, "{found:?}");
}

/// Of seed 41, as the build for AVX-512 trains it: 16 units without biases. Behind some words it
/// stands between two answers, and leaves that place only after tens of symbols.
#[test]
fn a_network_that_is_wrong_only_after_a_long_chain_is_refuted() {
    assert_refuted("wrong-after-a-chain", 64);
}

/// Of seed 73, as a build for AVX2 trained it: behind some words of ten symbols and more it stays
/// close to a saddle while 10 follows 10, and is wrong after some sixty of them.
#[test]
fn a_network_that_stays_by_a_saddle_before_it_is_wrong_is_refuted() {
    assert_refuted("wrong-behind-a-saddle", 128);
}

#[test]
fn certifiable_training_leads_to_proofs_with_boxes() {
    let kind = Kind { hidden: 8, bias: true, recipe: Recipe::Certifiable, ..LAB_KIND };
    let trials = Mutex::new(Vec::new());
    let jobs = [(kind, 0), (kind, 1)];
    let keep = |trial| {
        trials.lock().unwrap().push(trial);
        Ok(())
    };
    study(&jobs, BUDGET, || false, keep).unwrap();
    let mut trials = trials.into_inner().unwrap();
    trials.sort_by_key(|trial| trial.seed);
    assert_eq!(trials.iter().map(|trial| (trial.kind, trial.seed)).collect::<Vec<_>>(), jobs);
    for trial in trials {
        assert!(matches!(trial.ending, Ending::Certified { boxes: true, .. }), "{trial:?}");
    }
}

#[test]
fn a_study_whose_trials_cannot_be_kept_ends() {
    let kind = Kind { hidden: 2, ..LAB_KIND };
    let jobs: Vec<_> = (0..1_000).map(|seed| (kind, seed)).collect();
    let ended = Mutex::new(0);
    let full = |_| {
        *ended.lock().unwrap() += 1;
        let source = io::Error::from(io::ErrorKind::StorageFull);
        Err(certify::Error::File { action: "write", path: "trials".into(), source })
    };
    assert!(matches!(study(&jobs, BUDGET, || false, full), Err(certify::Error::File { .. })));
    let ended = ended.into_inner().unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((1..=cores).contains(&ended), "{ended} trials on {cores} cores");
    study(&[], BUDGET, || false, |_| panic!("there is no job")).unwrap();
    study(&jobs, BUDGET, || true, |_| panic!("it was stopped before")).unwrap();
}

/// The state of a real run that ends like `node`, after a multiple of `steps` steps.
fn state_in(
    parameters: &Parameters,
    key: &str,
    steps: usize,
    generator: &mut impl Rng,
) -> Vec<f32> {
    let words: Vec<&str> = key.split(' ').collect();
    let mut pairs: Vec<&str> = Vec::new();
    if words[0] != "start" {
        let before = generator.random_range(1..20);
        pairs =
            (0..before).map(|_| ["00", "01", "10", "11"][generator.random_range(0..4)]).collect();
        pairs.push(if words[0] == "1" { "11" } else { "00" });
        while !(pairs.len() + words.len() - 1).is_multiple_of(steps) {
            pairs.insert(0, "01");
        }
    }
    pairs.extend(&words[1..]);
    if pairs.is_empty() {
        return vec![0.0; parameters.config().hidden()];
    }
    let x: Vec<f32> =
        pairs.iter().flat_map(|pair| pair.bytes().map(|digit| f32::from(digit - b'0'))).collect();
    let mut network = Network::new(parameters.config());
    network.forward(parameters, &x, pairs.len(), 1);
    network.hidden(pairs.len() - 1, 0).to_vec()
}

/// Moves the edge of an abstract state just past a state that a real run has there. A run is in the
/// sets again and again, at most `steps` symbols apart, and need not be after each multiple of them:
/// then another is drawn.
fn move_edge(
    (parameters, model, certificate): &(Parameters, Vec<u8>, Certificate),
    seed: u64,
) -> Certificate {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut forged = certificate.clone();
    let n = generator.random_range(0..forged.nodes.len());
    let node = &mut forged.nodes[n];
    let state = state_in(parameters, &node.key, certificate.steps, &mut generator);
    let state: Vec<f64> = state.into_iter().map(f64::from).collect();
    let i = generator.random_range(0..state.len());
    let along: Vec<f64> = match &node.axes {
        Some(axes) => {
            axes.iter().map(|axis| axis.iter().zip(&state).map(|(a, s)| a * s).sum()).collect()
        }
        None => state.clone(),
    };
    let value = |piece: &Piece, i: usize| {
        along[i] - piece.slopes.as_ref().map_or(0.0, |slopes| slopes[i]) * along[0]
    };
    let past = 1e-8;
    let up = generator.random_range(0..2) == 0;
    // every piece that the state is in: pieces may touch
    let is_in = |piece: &&mut Piece| {
        (0..state.len()).all(|i| {
            let value = value(piece, i);
            piece.low[i] - 1e-6 <= value && value <= piece.high[i] + 1e-6
        })
    };
    let mut moved = 0;
    for piece in node.pieces.iter_mut().filter(is_in) {
        moved += 1;
        let value = value(piece, i);
        if up {
            piece.low[i] = value + past;
            piece.high[i] = piece.high[i].max(piece.low[i]);
        } else {
            piece.high[i] = value - past;
            piece.low[i] = piece.low[i].min(piece.high[i]);
        }
    }
    if moved == 0 {
        return move_edge(
            &(parameters.clone(), model.clone(), certificate.clone()),
            seed.wrapping_add(1),
        );
    }
    forged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_edge_moved_past_a_state_of_a_real_run_is_refused(seed in any::<u64>()) {
        let forged = move_edge(&SMALL, seed);
        prop_assert!(is_changed(&refused(&SMALL.1, &forged)));
        let error = refused(&SMALL.1, &with_new_digest(&forged));
        prop_assert!(!is_changed(&error), "{}", error);
    }

    #[test]
    fn abstract_states_of_the_two_carries_exchanged_are_refused(a in 0..1_000_usize, b in 0..1_000_usize) {
        let (_, model, certificate) = &*SMALL;
        let mut forged = certificate.clone();
        let (a, b) = (a % forged.nodes.len(), b % forged.nodes.len());
        let (mut x, mut y) = (forged.nodes[a].clone(), forged.nodes[b].clone());
        std::mem::swap(&mut x.key, &mut y.key);
        // Those that overlap may be exchanged and still be right; these do not.
        let (c, d) = (&x.pieces[0], &y.pieces[0]);
        prop_assume!((0..2).any(|i| c.low[i] > d.high[i] || d.low[i] > c.high[i]));
        (forged.nodes[a], forged.nodes[b]) = (x, y);
        prop_assert!(is_changed(&refused(model, &forged)));
        let error = refused(model, &with_new_digest(&forged));
        prop_assert!(!is_changed(&error), "{}", error);
    }

    #[test]
    fn a_weight_changed_by_one_ulp_is_another_network(n in any::<usize>(), up in any::<bool>()) {
        let (parameters, _, certificate) = &*SMALL;
        let mut other = parameters.clone();
        let places: Vec<usize> = other.tensors().iter().flat_map(|t| t.indices().collect::<Vec<_>>()).collect();
        let weight = &mut other.arena_mut()[places[n % places.len()]];
        *weight = if up { weight.next_up() } else { weight.next_down() };
        let error = refused(&weights::to_bytes(&other), certificate);
        prop_assert!(is_of_another(&error), "{}", error);
    }

    #[test]
    fn a_forged_digest_is_refused(at in 0..64_usize, digit in 0..16_u32) {
        let (_, model, certificate) = &*SMALL;
        let mut forged = certificate.clone();
        let digit = char::from_digit(digit, 16).unwrap().to_string();
        forged.model.replace_range(at..=at, &digit);
        prop_assume!(forged.model != certificate.model);
        prop_assert!(is_of_another(&refused(model, &forged)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_edge_along_a_principal_axis_moved_past_a_state_is_refused(seed in any::<u64>()) {
        prop_assert!(is_changed(&refused(&LAB.1, &move_edge(&LAB, seed))));
    }

    /// With a new digest, and every abstract state thinner than what arrives there.
    #[test]
    fn abstract_states_shrunk_to_points_are_refused_though_their_digest_is_new(share in 0.0..0.5_f64) {
        let mut forged = LAB.2.clone();
        for node in forged.nodes.iter_mut().filter(|node| !node.key.starts_with("start")) {
            for piece in &mut node.pieces {
                for (low, high) in piece.low.iter_mut().zip(&mut piece.high) {
                    let middle = 0.5 * (*low + *high);
                    (*low, *high) = (middle - share * 0.1 * (*high - *low), middle);
                }
            }
        }
        let error = refused(&LAB.1, &with_new_digest(&forged));
        prop_assert!(!is_changed(&error), "{}", error);
    }
}

#[test]
fn chains_with_gaps_are_refused_though_their_digest_is_new() {
    let (_, model, certificate) = &*LAB;
    for which in 0..2 {
        let mut forged = certificate.clone();
        for node in forged.nodes.iter_mut().filter(|node| node.pieces.len() > 1) {
            let mut n = 0;
            node.pieces.retain(|_| {
                n += 1;
                n % 2 == which
            });
        }
        let reason = refused(model, &with_new_digest(&forged)).to_string();
        assert!(reason.contains("leads out of node"), "{reason}");
    }
}

#[test]
fn a_certificate_without_any_one_of_its_nodes_is_refused() {
    let (_, model, certificate) = &*SMALL;
    for n in 0..certificate.nodes.len() {
        let mut forged = certificate.clone();
        let key = forged.nodes.remove(n).key;
        assert!(is_changed(&refused(model, &forged)));
        let reason = refused(model, &with_new_digest(&forged)).to_string();
        assert!(reason.contains("no node"), "{key}: {reason}");
    }
}

#[test]
fn a_network_whose_sign_is_turned_is_refused_with_its_own_digest() {
    let (parameters, model, certificate) = &*SMALL;
    for tensor in parameters.tensors() {
        for index in tensor.indices().filter(|&index| parameters.arena()[index] != 0.0) {
            let mut other = parameters.clone();
            other.arena_mut()[index] *= -1.0;
            let bytes = weights::to_bytes(&other);
            let (from, to) = (&certificate.model, digest_asked_for(&bytes, certificate));
            let json = certificate.to_json().replace(from, &to);
            let error = check(&bytes, json.as_bytes()).unwrap_err();
            assert!(
                !matches!(error, Error::OtherNetwork { .. } | Error::Changed { .. }),
                "{error}"
            );
        }
    }
    assert!(checked(model, certificate).is_ok());
}

/// The digest of a network, as the refusal of another's certificate tells it.
fn digest_asked_for(model: &[u8], certificate: &Certificate) -> String {
    let reason = refused(model, certificate).to_string();
    reason.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn what_is_no_certificate_is_refused_with_a_reason() {
    let (_, model, certificate) = &*SMALL;
    let json: Value = serde_json::from_str(&certificate.to_json()).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        json.to_string()
    };
    let slopes = |slopes: Value| {
        let mut node = json["nodes"][0].clone();
        node["cells"][0]["slopes"] = slopes;
        node
    };
    let two = |first: f64, second: f64| {
        let cell = |low| serde_json::json!({"low": [low, 0], "high": [1, 1]});
        serde_json::json!({"key": "0", "cells": [cell(first), cell(second)]})
    };
    // the same, with a new digest
    let forged = |pointer: &str, value: Value| {
        let forged: Certificate = serde_json::from_str(&with(pointer, value)).unwrap();
        with_new_digest(&forged).to_json()
    };
    for (text, reason) in [
        (String::new(), "it is not one"),
        ("{".to_owned(), "it is not one"),
        (json.to_string()[..500].to_owned(), "it is not one"),
        (with("/format", "carry-certificate-9".into()), "its format is \"carry-certificate-9\""),
        (with("/format", "carry-certificate-3".into()), "holds neither a cell nor a machine"),
        (with("/cell", "elman-tanh".into()), "it was changed"),
        (with("/cell", "rwkv".into()), "it is not one"),
        (with("/machine/transitions/0/3/0", 0.into()), "it was changed"),
        (with("/machine/transitions/0/3/0", 2.into()), "to states and outputs"),
        (with("/model", "00".into()), "the digest \"00\""),
        (with("/seal", "00".into()), "its digest (`seal`) is \"00\""),
        (with("/nodes/0/cells/0/high/0", 0.5.into()), "it was changed"),
        (with("/steps", 0.into()), "0 steps at a time"),
        (with("/steps", 13.into()), "13 steps at a time"),
        (forged("/nodes", Value::Array(vec![])), "no node `start`"),
        (forged("/nodes/0/key", "2 01".into()), "does not begin with"),
        (forged("/nodes/0/key", "1 02".into()), "\"02\", which is no symbol"),
        (forged("/nodes/0/key", json["nodes"][1]["key"].clone()), "is there twice"),
        (forged("/nodes/0/cells/0/low", Value::Array(vec![0.into()])), "2 hidden units"),
        (
            forged("/nodes/0", serde_json::json!({"key": "0", "axes": [[1]], "cells": []})),
            "2 hidden units",
        ),
        (forged("/nodes/0/cells/0/low/0", 5.into()), "make no set"),
        (forged("/nodes/0/cells", Value::Array(vec![])), "make no set"),
        (forged("/nodes/0", slopes(serde_json::json!([0]))), "2 hidden units"),
        (forged("/nodes/0", slopes(serde_json::json!([0.1, 0]))), "make no set"),
        (forged("/nodes/0", slopes(serde_json::json!([0, 9]))), "make no set"),
        (forged("/nodes/0", two(0.5, 0.4)), "not in order"),
        (with("/nodes/0/cells/0/low/0", Value::Null), "it is not one"),
        (forged("/nodes/0/cells/0/high/0", 1e9.into()), "make no set"),
    ] {
        match check(model, text.as_bytes()) {
            Err(found) => assert!(found.to_string().contains(reason), "{found}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
    let error = refused(&model[..100], certificate);
    assert!(is_of_another(&error), "{error}");
}

#[test]
fn the_picture_shows_each_abstract_state_around_its_states() {
    let (parameters, _, certificate) = &*SMALL;
    let picture = picture(parameters, &Machine::addition(), Some(certificate));
    let pieces = certificate.nodes.iter().map(|node| node.pieces.len()).sum::<usize>();
    assert_eq!(picture.pieces.iter().map(Vec::len).sum::<usize>(), pieces);
    for carry in 0..2 {
        assert!(picture.states[carry].len() >= 100);
        let inside = |point: &&[f64; 2]| {
            picture.pieces[carry].iter().any(|[low, high]| {
                (0..2).all(|n| low[n] - 1e-6 <= point[n] && point[n] <= high[n] + 1e-6)
            })
        };
        assert_eq!(
            picture.states[carry].iter().filter(inside).count(),
            picture.states[carry].len()
        );
    }
}
