//! Both modes of the checker agree on what is found for trained networks.
//!
//! `TRIALS` sets how many networks are trained.

use certify::study::{Kind, Recipe, Studied, kinds_of, train};
use certify::{BUDGET, Outcome, agree, certify};
use model::weights;
use std::time::{Duration, Instant};
use verify::{Cell, Verified};

/// Networks that add, in turn: with boxes, and with chains of segments along axes.
const ADDING: [(usize, bool, Recipe); 10] = [
    (2, true, Recipe::Certifiable),
    (3, false, Recipe::Certifiable),
    (4, true, Recipe::Certifiable),
    (8, false, Recipe::Certifiable),
    (16, true, Recipe::Certifiable),
    (16, false, Recipe::Certifiable),
    (8, true, Recipe::Certifiable),
    (4, false, Recipe::Certifiable),
    (16, false, Recipe::Plain),
    (16, true, Recipe::Plain),
];

/// What both modes say of a network, if there is a certificate, and how long they took.
fn judged(kind: Kind, seed: u64) -> Option<(Result<[Verified; 2], String>, usize, Duration)> {
    let parameters = train(kind, seed).unwrap();
    let model = weights::to_bytes(&parameters);
    let outcome = certify(&parameters, &kind.machine(seed), &model, BUDGET / 10);
    let Outcome::Certified { certificate, verified } = outcome else { return None };
    let json = certificate.to_json();
    let start = Instant::now();
    let both = agree(&model, json.as_bytes());
    assert!(both.as_ref().is_err() || both.as_ref().unwrap()[0] == verified);
    Some((both, json.len(), start.elapsed()))
}

/// Both modes on every certificate of `TRIALS` (or `trials`) networks, of `kinds` in turn.
fn agreement(kinds: &[Kind], trials: usize) {
    let trials = std::env::var("TRIALS").map_or(trials, |text| text.parse().expect("a number"));
    let (mut proved, mut curved, mut apart) = (0, 0, Vec::new());
    let (mut slowest, mut widest) = (Duration::ZERO, 0.0_f64);
    for trial in 0..trials {
        let (kind, seed) = (kinds[trial % kinds.len()], (trial / kinds.len()) as u64);
        let Some((both, bytes, took)) = judged(kind, seed) else { continue };
        proved += 1;
        match both {
            Ok([rounded, exact]) => {
                curved += usize::from(!rounded.boxes);
                slowest = slowest.max(took);
                let difference = (rounded.margin - exact.margin).abs() / (1.0 + rounded.margin);
                widest = widest.max(difference);
                println!("{kind:?} {seed}: {bytes} bytes, {took:?}, {}", exact.margin);
            }
            Err(error) => {
                println!("{kind:?} {seed}: {error}");
                apart.push(format!("{kind:?} {seed}: {error}"));
            }
        }
    }
    println!(
        "{proved} of {trials} proved, {curved} not by boxes; margins at most {widest:e} apart; the \
         slowest check of both took {slowest:?}"
    );
    assert!(apart.is_empty(), "{apart:#?}");
    // the smallest are rarely proved
    assert!(3 * proved >= trials, "{proved} of {trials}");
}

#[test]
#[ignore = "minutes of training and search"]
fn both_modes_agree_on_every_certificate_of_a_study() {
    let kind = |(hidden, bias, recipe)| Kind { hidden, bias, recipe, ..Kind::LAB };
    agreement(&ADDING.map(kind), 100);
}

#[test]
#[ignore = "minutes of training and search"]
fn both_modes_agree_on_every_certificate_of_a_study_of_machines() {
    let machines: Vec<_> = Studied::all().collect();
    let cells = [Cell::Sigmoid, Cell::Tanh, Cell::Relu, Cell::Gru, Cell::Lstm];
    let kinds = kinds_of(&machines, &cells, &[16], &[Recipe::Certifiable]);
    agreement(&kinds, kinds.len());
}
