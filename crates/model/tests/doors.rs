//! Sizes whose products wrap, or that no memory holds: every door refuses them by name, in
//! builds without overflow checks, too, and at once.
//!
//! A panic of an overflow check would not be there in a release build; so the texts are
//! looked at.

use model::loss::{self, Mask, Reduction, Terms};
use model::{Architecture, Cell, Config, Head, Network, Parameters, Sequences, State};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The text of the panic that `door` ends with.
fn refusal<T>(door: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(door)) else { panic!("it was let in") };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    let text = text.expect("a panic with a text");
    assert!(!text.contains("overflow"), "only an overflow check found it: {text}");
    text
}

fn configs() -> [Config; 4] {
    let gru = Architecture::new(Cell::Gru, 1, 1);
    let lstm =
        Architecture { layers: 2, bidirectional: true, ..Architecture::new(Cell::Lstm, 1, 3) };
    let last = Head { steps: model::HeadSteps::Last, ..Head::linear(2) };
    [
        Config::lab(1, 1, 1).unwrap(),
        Config::new(gru).unwrap(),
        Config::new(lstm).unwrap(),
        Config::new(Architecture { head: Some(last), ..gru }).unwrap(),
    ]
}

/// Steps and sequences whose product is none, or wraps to 0 or to a small number.
const WRAPPED: [(usize, usize); 5] =
    [(1 << 63, 2), (2, 1 << 63), (1 << 32, 1 << 32), (usize::MAX, usize::MAX), (1 << 40, 1 << 20)];

#[test]
fn passes_whose_sizes_wrap_are_refused_by_their_sizes() {
    for config in configs() {
        let parameters = Parameters::zeros(config);
        for (steps, batch) in WRAPPED {
            for x in [&[][..], &[0.5]] {
                let text =
                    refusal(|| Network::new(config).forward(&parameters, x, steps, batch).to_vec());
                assert!(text.contains(&format!("{steps} steps")), "{text}");
                let text = Sequences::new(config, x, steps, batch).unwrap_err().to_string();
                assert!(text.contains(&format!("{steps} steps of {batch}")), "{text}");
            }
            let text = Sequences::of_symbols(config, &[], steps, batch).unwrap_err().to_string();
            assert!(text.contains(&format!("{steps} steps of {batch}")), "{text}");
        }
    }
}

#[test]
fn the_parts_of_the_labs_pass_refuse_sizes_that_wrap() {
    let config = configs()[0];
    let parameters = Parameters::zeros(config);
    for (steps, batch) in WRAPPED {
        let mut network = Network::new(config);
        let text = refusal(|| network.states(&parameters, &[], steps, batch));
        assert!(text.contains(&format!("{steps} steps")), "{text}");
        // and the network is as it was: of no steps
        assert!(network.head(&parameters).is_empty());
        let mut gradient = Parameters::zeros(config);
        network.head_gradient(&[], &mut gradient);
        let text = refusal(|| network.head_gradient(&[0.5; 2], &mut gradient));
        assert!(text.contains("dy holds 2 values"), "{text}");
        network.backward(&parameters, &[], &[], &mut gradient);
        let text = refusal(|| network.backward(&parameters, &[0.5; 2], &[], &mut gradient));
        assert!(text.contains("x holds 2 values"), "{text}");
    }
}

#[test]
fn states_of_more_sequences_than_memory_holds_are_refused() {
    for config in configs() {
        for batch in [1 << 44, 1 << 58, 1 << 60, 1 << 62, 1 << 63, usize::MAX] {
            let text = refusal(|| State::zeros(config, batch));
            assert!(text.contains("states") && text.contains("memory"), "{text}");
            assert!(State::new(config, batch, vec![], vec![]).is_err());
            let parameters = Parameters::zeros(config);
            if !matches!(config.cell(), Cell::Elman(_)) {
                let mut network = Network::new(config);
                let text = refusal(|| network.forward(&parameters, &[], 0, batch).len());
                assert!(text.contains("memory"), "{text}");
            }
            let text = Sequences::new(config, &[], 0, batch).unwrap_err().to_string();
            assert!(text.contains("memory"), "{text}");
        }
    }
}

#[test]
fn any_number_of_steps_of_no_sequences_comes_back_at_once() {
    for config in configs() {
        let parameters = Parameters::zeros(config);
        for steps in [1 << 40, 1 << 62, usize::MAX] {
            for result in [
                Sequences::new(config, &[], steps, 0),
                Sequences::of_symbols(config, &[], steps, 0),
                Sequences::padded(config, &[], steps, 0, &[]),
            ] {
                let text = result.unwrap_err().to_string();
                assert!(text.contains(&format!("{steps} steps of 0")), "{text}");
            }
            let mut network = Network::new(config);
            assert!(network.forward(&parameters, &[], steps, 0).is_empty());
            let mut gradient = Parameters::zeros(config);
            gradient.arena_mut().fill(1.0);
            network.backward(&parameters, &[], &[], &mut gradient);
            assert!(gradient.arena().iter().all(|&g| g == 0.0));
        }
        // few steps of none are allowed
        let sequences = Sequences::new(config, &[], 3, 0).unwrap();
        assert!(Network::new(config).run(&parameters, &sequences).is_empty());
    }
}

#[test]
fn losses_over_sizes_that_wrap_are_refused() {
    for (steps, batch) in WRAPPED {
        for mask in [Mask::All, Mask::Lengths(&[]), Mask::Steps(&[])] {
            let terms = Terms { steps, batch, outputs: 1, mask, reduction: Reduction::Sum };
            let text = refusal(|| loss::squared_error(&terms, &[], &[], &mut []));
            assert!(text.contains(&steps.to_string()), "{text}");
            let text = refusal(|| loss::softmax_cross_entropy(&terms, &[], &[], &mut []));
            assert!(text.contains(&steps.to_string()), "{text}");
        }
    }
    // so many steps of no sequences have no loss, at once
    let terms = Terms {
        steps: 1 << 62,
        batch: 0,
        outputs: 1,
        mask: Mask::Lengths(&[]),
        reduction: Reduction::Mean,
    };
    assert_eq!(loss::squared_error(&terms, &[], &[], &mut []).unwrap(), 0.0);
    assert_eq!(loss::softmax_cross_entropy(&terms, &[], &[], &mut []).unwrap(), 0.0);
}
