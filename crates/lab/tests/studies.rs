//! Studies as a whole: the same seed gives the same findings on any number of cores, they are what a
//! plain loop finds, and a study that is stopped tells what is done.

use lab::memory::LENGTHS;
use lab::{Findings, Recipe, Settings, Share, Study, Watch, rates};
use std::sync::atomic::{AtomicUsize, Ordering};
use train::config::NetworkConfig;
use train::strategy::Serial;
use train::task::{Score, Task};

const QUICK: Settings = Settings { seed: 3, quick: true };

fn on_cores(cores: usize, study: Study, settings: Settings) -> Findings {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().unwrap();
    pool.install(|| study.run(&settings, Watch::NOBODY))
}

#[test]
fn the_same_seed_gives_the_same_findings_on_any_number_of_cores_and_another_others() {
    for study in [Study::Memory, Study::Rates, Study::Bptt, Study::Window] {
        let one = on_cores(1, study, QUICK);
        assert_eq!(one, on_cores(3, study, QUICK), "{study:?}");
        assert_eq!(one.study(), study);
    }
    let other = Settings { seed: 4, ..QUICK };
    assert_ne!(on_cores(2, Study::Memory, QUICK), on_cores(2, Study::Memory, other));
}

#[test]
fn what_learns_is_what_a_plain_loop_over_seeds_says() {
    let Findings::Rates(found) = on_cores(2, Study::Rates, QUICK) else { unreachable!() };
    let mut seen = [false; 2];
    for (rate, size) in [(0.1, 8), (0.2, 6), (1.0, 16), (5.0, 4)] {
        let learned = (0..5_u64).map(|seed| {
            let network = NetworkConfig::lab(size);
            let mut config = Recipe::Lab.config(network, QUICK.seed_of(seed));
            config.optimizer.learning_rate = rate;
            let mut serial = Serial::new(&config).unwrap();
            serial.train(10_000);
            let finite = serial.parameters().is_finite();
            finite && config.task.evaluate(serial.parameters(), 0).is_perfect()
        });
        let expected = Share::of(learned);
        let row = rates::SIZES.iter().position(|&s| s == size).unwrap();
        let column = rates::RATES.iter().position(|&r| r == rate).unwrap();
        assert_eq!(found.learned[row][column], expected, "{rate}, {size} units");
        seen[0] |= expected.count > 0;
        seen[1] |= expected.count < expected.of;
    }
    assert_eq!(seen, [true; 2], "learned and not: both have to be seen");
}

#[test]
fn a_study_that_is_stopped_tells_what_is_done_and_begins_no_more() {
    for study in Study::ALL {
        let done = AtomicUsize::new(0);
        let tell = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        // the first trial of these takes a second
        let most = if study == Study::States { 1 } else { 6 };
        let is_stopped = || done.load(Ordering::Relaxed) >= most;
        let findings =
            study.run(&QUICK, Watch { done: &tell, is_stopped: &is_stopped, ranks: None });
        let done = done.into_inner();
        assert!((most..most + 40).contains(&done), "{study:?}: {done}");
        assert!(done < study.networks(&QUICK), "{study:?}");
        let sentence = findings.sentence();
        assert!(sentence.ends_with('.') && !sentence.contains("NaN"), "{sentence}");
        serde_json::to_string(&findings).unwrap();
    }
}

#[test]
fn a_study_that_never_began_tells_nothing_and_panics_nowhere() {
    for study in Study::ALL {
        let watch = Watch { done: &|| unreachable!(), is_stopped: &|| true, ranks: None };
        let findings = study.run(&QUICK, watch);
        assert!(findings.sentence().ends_with('.'), "{study:?}");
    }
}

#[test]
fn the_watch_is_told_of_every_network() {
    for study in [Study::Memory, Study::Bptt, Study::Rates] {
        let done = AtomicUsize::new(0);
        let tell = || {
            done.fetch_add(1, Ordering::Relaxed);
        };
        study.run(&QUICK, Watch { done: &tell, is_stopped: &|| false, ranks: None });
        assert_eq!(done.into_inner(), study.networks(&QUICK), "{study:?}");
    }
}

/// The lab's claims, as far as few networks can show them.
#[test]
fn state_remembers_and_output_does_not() {
    let Findings::Memory(found) = on_cores(2, Study::Memory, QUICK) else { unreachable!() };
    let seven = LENGTHS.iter().position(|&length| length == 7).unwrap();
    assert!(found.elman.right[seven] > 0.9, "{found:?}");
    assert!(found.jordan.right[seven] < 0.7, "{found:?}");
    assert_eq!(found.jordan.learned.count, 0);
    assert!(found.elman.learned.value() > 0.5, "{found:?}");
}
