//! The error table, on a sample of all f32 and every special value: quick, in every
//! test run. `exhaustive.rs` leaves nothing out.

mod table;

use table::{Row, Scratch, TABLE, Worst};

/// Values at which something could go wrong, each with both signs.
const SPECIAL: [f32; 24] = [
    0.0,
    1e-45,
    1e-40,
    f32::MIN_POSITIVE,
    1e-30,
    1e-8,
    5.960_464_5e-8,
    0.173_286_8,
    0.346_573_6,
    std::f32::consts::LN_2,
    1.0,
    8.0,
    9.010_913,
    9.1,
    16.635_532,
    17.328_68,
    87.336_54,
    87.68,
    88.0,
    88.722_84,
    89.0,
    103.972_08,
    f32::MAX,
    f32::INFINITY,
];

fn worst_on(row: &Row, x: impl Iterator<Item = f32>) -> Worst {
    let x: Vec<f32> = x.collect();
    row.check(&x, &mut Scratch::default())
}

fn with_neighbours_and_signs(x: f32) -> impl Iterator<Item = f32> {
    [x.next_down(), x, x.next_up()].into_iter().flat_map(|x| [x, -x])
}

#[test]
fn bounds_hold_on_a_sample_of_all_f32() {
    for row in &TABLE {
        // A prime stride: every binade and all low bits, 1.4 million values.
        let worst = worst_on(row, (0..=u32::MAX).step_by(3067).map(f32::from_bits));
        println!("{:8} {:.4} ULP at {:e}", row.name, worst.ulp, worst.x);
        let bound = row.bound();
        assert!(worst.ulp <= bound, "{}: {worst:?}, bound {bound}", row.name);
    }
}

#[test]
fn bounds_hold_at_special_values() {
    for row in &TABLE {
        let worst = worst_on(row, SPECIAL.into_iter().flat_map(with_neighbours_and_signs));
        let bound = row.bound();
        assert!(worst.ulp <= bound, "{}: {worst:?}, bound {bound}", row.name);
    }
}

#[test]
fn limits_are_exact() {
    let of = |name: &str, x: f32| {
        let row = TABLE.iter().find(|row| row.name == name).unwrap();
        let mut y = [0.0];
        (row.kernel)(&[x], &mut y);
        y[0].to_bits()
    };
    let inf = f32::INFINITY;
    for (name, x, y) in [
        ("exp", inf, inf),
        ("exp", 88.8, inf),
        ("exp", -inf, 0.0),
        ("exp", -104.0, 0.0),
        ("exp", 0.0, 1.0),
        ("exp", -0.0, 1.0),
        ("exp", -103.9, 1e-45),
        ("sigmoid", inf, 1.0),
        ("sigmoid", -inf, 0.0),
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", -0.0, 0.5),
        ("sigmoid", f32::MAX, 1.0),
        ("sigmoid", f32::MIN, 0.0),
        ("tanh", inf, 1.0),
        ("tanh", -inf, -1.0),
        ("tanh", 0.0, 0.0),
        ("tanh", -0.0, -0.0),
        ("tanh", 1e-45, 1e-45),
        ("tanh", -1e-40, -1e-40),
        ("tanh", f32::MIN, -1.0),
    ] {
        assert_eq!(of(name, x), y.to_bits(), "{name}({x:e}) is not {y:e}");
    }
    for row in &TABLE {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
            let y = f32::from_bits(of(row.name, nan));
            assert!(y.is_nan(), "{}(NaN) is {y}", row.name);
        }
    }
}

/// The vectorised f64 functions that serve as truth, against the standard library's.
#[test]
fn truth_agrees_with_the_standard_library() {
    let mut worst = [0.0f64; 2];
    for bits in (0..=u32::MAX).step_by(2003) {
        let x = f64::from(f32::from_bits(bits));
        let relative = |ours: f64, std: f64| {
            if ours == std { 0.0 } else { ((ours - std) / std).abs() }
        };
        if x.is_nan() {
            assert!(table::exp(x).is_nan() && table::tanh(x).is_nan());
            continue;
        }
        if x.abs() <= 200.0 {
            worst[0] = worst[0].max(relative(table::exp(x), x.exp()));
        }
        worst[1] = worst[1].max(relative(table::tanh(x), x.tanh()));
    }
    println!("relative error of exp {:.1e}, of tanh {:.1e}", worst[0], worst[1]);
    // 1e-7 ULP of f32 is 6e-15.
    assert!(worst[0] < 2e-15 && worst[1] < 4e-15, "{worst:?}");
}

/// The table's scalar truths are what the vectorised ones stand for.
#[test]
fn the_table_is_consistent() {
    for row in &TABLE {
        for x in SPECIAL.into_iter().flat_map(with_neighbours_and_signs) {
            let [mut y] = [0.0f32];
            (row.kernel)(&[x], std::slice::from_mut(&mut y));
            let truth = (row.truth)(f64::from(x));
            let near = (f64::from(y) - truth).abs() <= 1e-6 * truth.abs() + 1e-44;
            let flushed = truth.abs() < row.flushed_below;
            let both_overflow = y.is_infinite() && truth > f64::from(f32::MAX);
            assert!(near || flushed || both_overflow, "{}({x:e}): {y:e}, {truth:e}", row.name);
        }
    }
}

/// Whoever reads the README reads the bounds that are proved.
#[test]
fn the_readme_has_the_bounds_of_the_table() {
    let readme = include_str!("../README.md");
    for row in &TABLE {
        let line = format!("| {} | {:.1} | {:.1} |", row.name, row.bound_fma, row.bound_plain);
        assert!(readme.contains(&line), "the error table of README.md lacks {line}");
    }
}
