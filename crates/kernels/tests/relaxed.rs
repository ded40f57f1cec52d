//! The exchange of a shared line, beside the obvious one; and under threads.

use kernels::relaxed::{LINE, Line};
use proptest::prelude::*;
use std::thread;

/// Value by value, as the documentation says.
fn obvious(shared: &mut [f32; LINE], own: &mut [f32; LINE], seen: &mut [f32; LINE]) {
    for n in 0..LINE {
        let is = |a: f32, b: f32| a.to_bits() == b.to_bits();
        let changed = !is(own[n], seen[n]);
        let value = if !changed {
            shared[n]
        } else if is(shared[n], seen[n]) {
            own[n]
        } else {
            shared[n] + (own[n] - seen[n])
        };
        if changed {
            shared[n] = value;
        }
        (own[n], seen[n]) = (value, value);
    }
}

/// Few values, so that they are often the same, and those at which bits and numbers differ.
fn value() -> impl Strategy<Value = f32> {
    const SPECIAL: [f32; 10] =
        [0.0, -0.0, 1.0, -1.5, 1e-40, 3e38, -3e38, f32::INFINITY, f32::NAN, 0.1];
    prop_oneof![(0..SPECIAL.len()).prop_map(|n| SPECIAL[n]), -1.0_f32..1.0]
}

fn line() -> impl Strategy<Value = [f32; LINE]> {
    proptest::array::uniform(value())
}

fn bits(values: [f32; LINE]) -> [u32; LINE] {
    // Which NaN a sum makes of NaN, ∞ − ∞ is the processor's affair.
    values.map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() })
}

proptest! {
    #[test]
    fn an_exchange_does_what_the_obvious_one_does(
        shared in line(), own in line(), seen in line(), same in any::<[u16; 2]>(),
    ) {
        // In the lanes that the masks name, nobody else wrote, or the owner changed nothing.
        let lane = |mask: u16, n: usize| mask >> n & 1 == 1;
        let seen: [f32; LINE] =
            std::array::from_fn(|n| if lane(same[0], n) { shared[n] } else { seen[n] });
        let own: [f32; LINE] =
            std::array::from_fn(|n| if lane(same[1], n) { seen[n] } else { own[n] });

        let place = Line::new(shared);
        let (mut found_own, mut found_seen) = (own, seen);
        place.exchange(&mut found_own, &mut found_seen);
        let (mut shared, mut own, mut seen) = (shared, own, seen);
        obvious(&mut shared, &mut own, &mut seen);
        prop_assert_eq!(bits(place.load()), bits(shared));
        prop_assert_eq!(bits(found_own), bits(own));
        prop_assert_eq!(bits(found_seen), bits(seen));
    }
}

#[test]
fn threads_that_change_other_values_of_a_line_lose_nothing() {
    const TIMES: usize = 20_000;
    let place = Line::new([0.0; LINE]);
    thread::scope(|scope| {
        for worker in 0..2 {
            let place = &place;
            scope.spawn(move || {
                let (mut own, mut seen) = ([0.0_f32; LINE], [0.0; LINE]);
                for _ in 0..TIMES {
                    own.iter_mut().skip(worker).step_by(2).for_each(|value| *value += 1.0);
                    place.exchange(&mut own, &mut seen);
                }
            });
        }
    });
    assert_eq!(place.load(), [TIMES as f32; LINE]);
}

#[test]
fn no_value_is_torn() {
    // Each thread stores one bit pattern in all lanes; a mixture of two would be a third.
    let place = Line::new([1.0; LINE]);
    let patterns = [f32::from_bits(0x1234_5678), f32::from_bits(0x5a5a_0f0f)];
    thread::scope(|scope| {
        for pattern in patterns {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..20_000 {
                    // Whatever is there counts as seen: the value stands as it is.
                    let mut seen = place.load();
                    let mut own = [pattern; LINE];
                    place.exchange(&mut own, &mut seen);
                    for value in place.load() {
                        let known = [1.0, patterns[0], patterns[1]];
                        let sums = patterns.map(|p| patterns.map(|q| known.map(|k| p + (q - k))));
                        let sums = sums.as_flattened().as_flattened();
                        assert!(known.contains(&value) || sums.contains(&value), "{value:e}");
                    }
                }
            });
        }
    });
}
