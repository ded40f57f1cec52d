//! What the pictures of a study show: the roofline with our kernels, and products of n × n
//! matrices by everyone.
//!
//! Axes are logarithmic by doublings where a quantity spans decades: a coordinate is then log₂
//! of it.

use anyhow::Result;

use super::group::Group;
use super::report::{Benchmark, Report};
use crate::chart::{Axis, BLACK, GREY, Panel, Point, Series, Shape, colour, draw};

const SIZE: (u32, u32) = (960, 540);
/// The radius of a dot in pixels.
const DOT: i32 = 4;

/// The roofs, and a dot for each kernel of ours whose work is counted.
///
/// # Errors
/// If drawing fails.
pub fn roofline(report: &Report) -> Result<String> {
    let ceilings = report.roofline.ceilings;
    let peak = ceilings.peak_gflops.log2();
    let mut kernels: Vec<(&Benchmark, Point)> = report
        .benchmarks
        .iter()
        .filter(|b| b.ours)
        .filter_map(|b| Some((b, (b.work?.intensity().log2(), b.gflops()?.log2()))))
        .collect();
    let coordinates = |of: fn(&Point) -> f64| kernels.iter().map(move |(_, at)| of(at));
    let left = coordinates(|at| at.0).fold(-2.0, f64::min).floor();
    let right = coordinates(|at| at.0).fold(6.0, f64::max).ceil();
    let bottom = coordinates(|at| at.1).fold(2.0, f64::min).floor();
    let top = coordinates(|at| at.1).fold(peak, f64::max) + 0.5;

    // A series for each kernel, in the order of the report.
    let mut dots: Vec<(String, Vec<Point>)> = Vec::new();
    for (kernel, at) in &kernels {
        let name = series_name(kernel);
        match dots.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(*at),
            None => dots.push((name, vec![*at])),
        }
    }
    let series_of = |(number, (name, points))| Series {
        name,
        colour: colour(number),
        shape: Shape::Dots(DOT, points),
    };
    let mut series: Vec<Series> = dots.into_iter().enumerate().map(series_of).collect();

    let knee = |bandwidth: f64| (peak - bandwidth.log2()).clamp(left, right);
    series.push(Series {
        name: format!("peak: {:.0} GFLOP/s", ceilings.peak_gflops),
        colour: BLACK,
        shape: Shape::Line(vec![(knee(ceilings.l1_gb_per_s), peak), (right, peak)]),
    });
    // The pixels of a dash, or a whole line.
    let roofs = [
        ("L1", ceilings.l1_gb_per_s, None),
        ("L2", ceilings.l2_gb_per_s, Some(7)),
        ("memory", ceilings.memory_gb_per_s, Some(2)),
    ];
    for (name, bandwidth, dash) in roofs {
        let start = left.max(bottom - bandwidth.log2());
        let roof = [start, knee(bandwidth)].map(|x| (x, (x + bandwidth.log2()).min(peak)));
        series.push(Series {
            name: format!("{name} loads: {bandwidth:.0} GB/s"),
            colour: GREY,
            shape: match dash {
                None => Shape::Line(roof.to_vec()),
                Some(length) => Shape::Dashes(length, roof.to_vec()),
            },
        });
    }

    // The sizes of a function over slices have one intensity, so their dots overlap: only
    // products are labelled, square ones first.
    kernels.retain(|(kernel, _)| kernel.group == Group::Matmul);
    kernels.sort_by_key(|(kernel, _)| kernel.square_size().is_none());
    let label = |&(kernel, at): &(&Benchmark, Point)| {
        (at, kernel.square_size().map_or(kernel.size.clone(), |n| n.to_string()))
    };
    let labels = kernels.iter().map(label).collect();

    let axis =
        |name: &str, range| Axis { name: name.to_owned(), range, ticks: 12, tick: power_of_two };
    let (x, y) = (axis("intensity, FLOP / byte", left..right), axis("speed, GFLOP/s", bottom..top));
    let title = format!("Speed of our kernels under the roofs of one core: {}", report.cpu);
    draw(&title, SIZE, &[Panel { x, y, series, labels }])
}

fn series_name(benchmark: &Benchmark) -> String {
    let what = match benchmark.group {
        Group::Matmul => "product",
        Group::Activation | Group::Lab | Group::Model => &benchmark.what,
    };
    format!("{what}, {}", benchmark.by.replace('_', " "))
}

/// GFLOP/s over n for products of n × n matrices, a line for each contestant; none if
/// there are no such products. Lines join the powers of two; other n are dots.
///
/// # Errors
/// If drawing fails.
pub fn matmul(report: &Report) -> Result<Option<String>> {
    let products: Vec<(&str, Point)> = report
        .benchmarks
        .iter()
        .filter_map(|b| Some((b.by.as_str(), ((b.square_size()? as f64).log2(), b.gflops()?))))
        .collect();
    if products.is_empty() {
        return Ok(None);
    }
    let all = || products.iter().map(|(_, at)| *at);
    let left = all().map(|(x, _)| x).fold(f64::INFINITY, f64::min).floor();
    let right = all().map(|(x, _)| x).fold(left + 1.0, f64::max).ceil();
    let peak = report.roofline.ceilings.peak_gflops;
    let top = all().map(|(_, gflops)| gflops).fold(peak, f64::max) * 1.06;

    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &products {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let mut series = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let points: Vec<Point> =
            products.iter().filter(|(by, _)| *by == name).map(|(_, at)| *at).collect();
        let is_power = |&(x, _): &Point| x.fract() == 0.0;
        let line: Vec<Point> = points.iter().copied().filter(is_power).collect();
        let colour = colour(number);
        series.push(Series { name: name.to_owned(), colour, shape: Shape::Line(line) });
        series.push(Series { name: String::new(), colour, shape: Shape::Dots(DOT, points) });
    }
    series.push(Series {
        name: format!("peak: {peak:.0} GFLOP/s"),
        colour: BLACK,
        shape: Shape::Dashes(6, vec![(left, peak), (right, peak)]),
    });
    let x = Axis {
        name: "n, rows and columns of a matrix".to_owned(),
        range: left..right,
        ticks: 12,
        tick: power_of_two,
    };
    let tick = |gflops: f64| format!("{gflops:.0}");
    let y = Axis { name: "speed, GFLOP/s".to_owned(), range: 0.0..top, ticks: 12, tick };
    let title = format!("Speed of products of n × n matrices on one core: {}", report.cpu);
    draw(&title, SIZE, &[Panel { x, y, series, labels: Vec::new() }]).map(Some)
}

/// `-2` as `1/4`, `5` as `32`; nothing between two doublings.
fn power_of_two(doublings: f64) -> String {
    if doublings.fract() != 0.0 {
        String::new()
    } else if doublings < 0.0 {
        format!("1/{}", (-doublings).exp2())
    } else {
        doublings.exp2().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{measured, report};
    use super::*;

    #[test]
    fn the_roofline_has_a_dot_and_a_name_for_ours_alone() {
        let results =
            vec![measured("exp/carry", "4096", 942.0), measured("exp/std", "4096", 9420.0)];
        let report = report(results);
        let svg = roofline(&report).unwrap();
        crate::chart::tests::assert_in_style(
            &svg,
            "Speed of our kernels under the roofs of one core: a CPU",
        );
        assert!(svg.contains("exp, carry"), "{svg}");
        assert!(!svg.contains("std"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2); // in the plot and in the legend
        assert_eq!(matmul(&report).unwrap(), None);
        assert!(roofline(&super::super::report::tests::report(vec![])).is_ok());
    }

    #[test]
    fn products_have_a_line_for_everyone() {
        let mut report = report(vec![]);
        let roofline = report.roofline;
        let results = [16, 17, 32].into_iter().flat_map(|n| {
            ["carry", "gemm"].map(|by| measured(by, &format!("{n}x{n}x{n}"), f64::from(n * n)))
        });
        report.benchmarks = Benchmark::of_group(Group::Matmul, results.collect(), &roofline);
        let svg = matmul(&report).unwrap().unwrap();
        assert!(svg.contains("gemm") && svg.contains("carry"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 6);
    }

    #[test]
    fn squares_are_labelled_in_the_roofline_and_functions_are_not() {
        let mut report = report(vec![measured("exp/carry", "4096", 942.0)]);
        let results = vec![measured("carry", "64x64x64", 5_000.0)];
        let products = Benchmark::of_group(Group::Matmul, results, &report.roofline);
        report.benchmarks.extend(products);
        let svg = roofline(&report).unwrap();
        let small = svg.split("<text").filter(|text| text.contains("font-size=\"10.4"));
        assert!(svg.contains("product, carry"), "{svg}");
        assert_eq!(small.filter(|text| text.contains("\n64\n")).count(), 1, "{svg}");
        assert!(!svg.contains("\n4096\n"), "{svg}");
    }

    #[test]
    fn axis_labels_are_powers_of_two() {
        assert_eq!([-2.0, 0.0, 5.0, 5.5].map(power_of_two), ["1/4", "1", "32", ""]);
    }
}
