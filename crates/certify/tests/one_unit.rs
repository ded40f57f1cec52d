//! What no network of one hidden unit does, whatever its weights.
//!
//! A head of a machine has no biases: its outputs are v·h, with one h. So
//! - of three outputs or more, v·h is the largest for two of them at the most: for the largest v where
//!   h is above 0, for the smallest where it is below;
//! - a sigmoid or a ReLU is never below 0, so only one output has a margin;
//! - an Elman unit with tanh says "above" where w·x + u·h + b is above 0. If one symbol is above in a
//!   state where another is below, its w·x is the larger one, and so it is in every state. Hence the
//!   symbols that are above in a state are among those of another state, or the other way round.

use model::{Cell, Nonlinearity};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use train::task::machine::Machine;

/// Whether of any two states one is above wherever the other is, as far as both know a symbol;
/// `[states][symbols]`.
fn nested(above: &[Vec<Option<bool>>]) -> bool {
    let more = |a: &[Option<bool>], b: &[Option<bool>]| {
        a.iter().zip(b).any(|pair| matches!(pair, (Some(true), Some(false))))
    };
    above.iter().all(|a| above.iter().all(|b| !(more(a, b) && more(b, a))))
}

/// Whether one unit of that cell is not ruled out.
fn may_have_one_unit(machine: &Machine, cell: Cell) -> bool {
    if machine.outputs().len() > 2 {
        return false;
    }
    match cell {
        Cell::Elman(Nonlinearity::Tanh) => {
            let row = |state| {
                let symbols = 0..machine.inputs().len();
                symbols
                    .map(|symbol| machine.step(state, symbol).map(|(_, output)| output == 1))
                    .collect()
            };
            nested(&(0..machine.states().len()).map(row).collect::<Vec<_>>())
        }
        Cell::Elman(_) => false,
        Cell::Gru | Cell::Lstm => true,
    }
}

#[test]
fn which_machines_one_unit_may_be() {
    let names = |cell| {
        let built_in = Machine::BUILT_IN.iter().filter(|name| !name.starts_with("random"));
        let may = |name: &&&str| may_have_one_unit(&Machine::built_in(name).unwrap(), cell);
        built_in.filter(may).copied().collect::<Vec<_>>()
    };
    assert!(names(Cell::Elman(Nonlinearity::Sigmoid)).is_empty());
    assert!(names(Cell::Elman(Nonlinearity::Relu)).is_empty());
    let tanh = "tomita-1 tomita-2 tomita-4 tomita-7 brackets lock edge-detector debouncer";
    assert_eq!(names(Cell::Elman(Nonlinearity::Tanh)).join(" "), tanh);
    let more = ["comparison", "division-by-3", "counter-3", "counter-5"]; // outputs than two
    let gated = names(Cell::Gru);
    assert!(more.iter().all(|name| !gated.contains(name)) && gated.len() == 18, "{gated:?}");
}

#[test]
fn the_symbols_above_are_nested() {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut draw = || generator.random_range(-3.0..3.0_f64);
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        let (symbols, u, b) = ([(); 4].map(|()| draw()), draw(), draw());
        let states = [(); 3].map(|()| draw().tanh());
        let row = |&h: &f64| symbols.iter().map(|x| Some((x + u * h + b).tanh() > 0.0)).collect();
        let above: Vec<Vec<Option<bool>>> = states.iter().map(row).collect();
        assert!(nested(&above), "{symbols:?} {u} {b} {states:?}");
        kinds.insert(above);
    }
    assert!(kinds.len() > 100, "{}", kinds.len());
}
