//! The pictures of a study, as SVG text: the roofline with our kernels, and products
//! of n × n matrices by everyone.
//!
//! Axes are logarithmic by doublings where a quantity spans decades: the chart's
//! coordinate is then log₂ of it. Legends stand beside the plot, and a label inside it
//! is left out rather than drawn over another: SVG viewers bring their own fonts, so
//! widths are estimated with room to spare.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::report::{Benchmark, Report};
use super::study::Group;

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Told apart with any kind of colour vision (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];
const GREY: RGBColor = RGBColor(110, 110, 110);
const SIZE: (u32, u32) = (960, 540);
const LEGEND_WIDTH: u32 = 220;
const FONT: i32 = 13;

/// What stands beside a name in the legend.
#[derive(Clone, Copy)]
enum Mark {
    Dot,
    Line,
    /// Dashes of so many pixels.
    Dashes(u32),
}

/// The roofs, and a dot for each kernel of ours whose work is counted.
///
/// # Errors
/// If drawing fails.
pub fn roofline(report: &Report) -> Result<String> {
    let mut svg = String::new();
    draw_roofline(&mut svg, report).map_err(|error| anyhow!("drawing the roofline: {error}"))?;
    Ok(svg)
}

fn draw_roofline(svg: &mut String, report: &Report) -> Drawn {
    let ceilings = report.roofline.ceilings;
    let peak = ceilings.peak_gflops.log2();
    let mut kernels: Vec<(&Benchmark, (f64, f64))> = report
        .benchmarks
        .iter()
        .filter(|b| b.ours)
        .filter_map(|b| Some((b, (b.work?.intensity().log2(), b.gflops()?.log2()))))
        .collect();
    let coordinates = |of: fn(&(f64, f64)) -> f64| kernels.iter().map(move |(_, at)| of(at));
    let left = coordinates(|at| at.0).fold(-2.0, f64::min).floor();
    let right = coordinates(|at| at.0).fold(6.0, f64::max).ceil();
    let bottom = coordinates(|at| at.1).fold(2.0, f64::min).floor();
    let top = coordinates(|at| at.1).fold(peak, f64::max) + 0.5;

    let root = blank(svg)?;
    let (plot, legend) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    let mut chart = axes(
        &plot,
        &format!("Roofline of one core: {}", report.cpu),
        ((left, right), (bottom, top)),
        ("intensity, FLOP / byte", "GFLOP/s"),
        &|&doublings| power_of_two(doublings),
    )?;

    let mut entries = Vec::new();
    let roofs = [
        ("L1", ceilings.l1_gb_per_s, Mark::Line),
        ("L2", ceilings.l2_gb_per_s, Mark::Dashes(7)),
        ("memory", ceilings.memory_gb_per_s, Mark::Dashes(2)),
    ];
    let knee = |bandwidth: f64| (peak - bandwidth.log2()).clamp(left, right);
    chart.draw_series(LineSeries::new(
        [(knee(ceilings.l1_gb_per_s), peak), (right, peak)],
        BLACK.stroke_width(2),
    ))?;
    entries.push((format!("peak: {:.0} GFLOP/s", ceilings.peak_gflops), BLACK, Mark::Line));
    for (name, bandwidth, mark) in roofs {
        let start = left.max(bottom - bandwidth.log2());
        let roof = [start, knee(bandwidth)].map(|x| (x, (x + bandwidth.log2()).min(peak)));
        stroke(&mut chart, &roof, GREY, mark)?;
        entries.push((format!("{name} loads: {bandwidth:.0} GB/s"), GREY, mark));
    }

    let mut series: Vec<String> = Vec::new();
    let mut labels = Labels::within(chart.plotting_area().get_pixel_range());
    for (kernel, at) in &kernels {
        labels.keep_clear_of(chart.backend_coord(at));
        let name = series_name(kernel);
        if !series.contains(&name) {
            series.push(name);
        }
    }
    // Squares first: where room is short, they tell most.
    kernels.sort_by_key(|(kernel, _)| kernel.square_size().is_none());
    for (kernel, at) in &kernels {
        let name = series_name(kernel);
        let number = series.iter().position(|known| *known == name).unwrap_or(0);
        chart.draw_series([Circle::new(*at, 4, colour(number).mix(0.7).filled())])?;
        // A function over a slice has one intensity, and its sizes lie upon each other.
        if kernel.group != Group::Matmul {
            continue;
        }
        let size = kernel.square_size().map_or(kernel.size.clone(), |n| n.to_string());
        if let Some(corner) = labels.place(chart.backend_coord(at), &size) {
            root.draw(&Text::new(size, corner, ("sans-serif", FONT - 2).into_font().color(&GREY)))?;
        }
    }
    for (number, name) in series.into_iter().enumerate() {
        entries.push((name, colour(number), Mark::Dot));
    }
    draw_legend(&legend, &entries)?;
    root.present()?;
    Ok(())
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
    let products: Vec<(&str, f64, f64)> = report
        .benchmarks
        .iter()
        .filter_map(|b| Some((b.by.as_str(), b.square_size()?, b.gflops()?)))
        .collect();
    if products.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    draw_matmul(&mut svg, report, &products)
        .map_err(|error| anyhow!("drawing the products: {error}"))?;
    Ok(Some(svg))
}

fn draw_matmul(svg: &mut String, report: &Report, products: &[(&str, f64, f64)]) -> Drawn {
    let sizes = || products.iter().map(|(_, n, _)| n.log2());
    let left = sizes().fold(f64::INFINITY, f64::min).floor();
    let right = sizes().fold(left + 1.0, f64::max).ceil();
    let peak = report.roofline.ceilings.peak_gflops;
    let top = products.iter().map(|(_, _, gflops)| *gflops).fold(peak, f64::max) * 1.06;

    let root = blank(svg)?;
    let (plot, legend) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    let mut chart = axes(
        &plot,
        &format!("Products of n × n matrices on one core: {}", report.cpu),
        ((left, right), (0.0, top)),
        ("n", "GFLOP/s"),
        &|&gflops| format!("{gflops:.0}"),
    )?;
    stroke(&mut chart, &[(left, peak), (right, peak)], BLACK, Mark::Dashes(6))?;
    let mut entries = vec![(format!("peak: {peak:.0} GFLOP/s"), BLACK, Mark::Dashes(6))];

    let mut names: Vec<&str> = Vec::new();
    for (name, ..) in products {
        if !names.contains(name) {
            names.push(name);
        }
    }
    // Ours last, on top of the others.
    for (number, name) in names.iter().enumerate().rev() {
        let colour = colour(number);
        let of_name = products.iter().filter(|(by, ..)| by == name);
        let points: Vec<_> = of_name.map(|&(_, n, gflops)| (n.log2(), gflops)).collect();
        let is_power = |&(x, _): &(f64, f64)| x.fract() == 0.0;
        let line: Vec<_> = points.iter().copied().filter(is_power).collect();
        stroke(&mut chart, &line, colour, Mark::Line)?;
        chart.draw_series(points.iter().map(|&at| Circle::new(at, 4, colour.filled())))?;
    }
    for (number, name) in names.iter().enumerate() {
        entries.push(((*name).to_owned(), colour(number), Mark::Line));
    }
    draw_legend(&legend, &entries)?;
    root.present()?;
    Ok(())
}

fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

fn blank(svg: &mut String) -> Result<Area<'_>, Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    Ok(root)
}

/// A caption and two axes; x is a log₂, labelled by what it is the logarithm of.
fn axes<'a>(
    area: &Area<'a>,
    caption: &str,
    ((left, right), (bottom, top)): ((f64, f64), (f64, f64)),
    (x_name, y_name): (&str, &str),
    y_label: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(54)
        .build_cartesian_2d(left..right, bottom..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(12)
        .y_labels(12)
        .x_desc(x_name)
        .y_desc(y_name)
        .label_style(("sans-serif", FONT))
        .x_label_formatter(&|&doublings| power_of_two(doublings))
        .y_label_formatter(y_label)
        .draw()?;
    Ok(chart)
}

/// `-2` as `1/4`, `5` as `32`.
fn power_of_two(doublings: f64) -> String {
    if doublings < 0.0 {
        format!("1/{}", (-doublings).exp2())
    } else {
        doublings.exp2().to_string()
    }
}

fn stroke(chart: &mut Chart<'_>, line: &[(f64, f64)], colour: RGBColor, mark: Mark) -> Drawn {
    let style = colour.stroke_width(2);
    let points = line.to_vec();
    match mark {
        Mark::Dashes(length) => {
            let dashes = DashedLineSeries::new(points, length, length.max(4), style);
            chart.draw_series(dashes)?;
        }
        Mark::Dot | Mark::Line => {
            chart.draw_series(LineSeries::new(points, style))?;
        }
    }
    Ok(())
}

fn draw_legend(area: &Area<'_>, entries: &[(String, RGBColor, Mark)]) -> Drawn {
    let mut y = 50;
    for (name, colour, mark) in entries {
        let (from, to) = ((4, y), (32, y));
        match *mark {
            Mark::Dot => area.draw(&Circle::new((18, y), 4, colour.filled()))?,
            Mark::Line => area.draw(&PathElement::new([from, to], colour.stroke_width(2)))?,
            Mark::Dashes(length) => {
                let (length, gap) = (length as i32, length.max(4) as i32);
                let mut x = from.0;
                while x < to.0 {
                    let dash = [(x, y), ((x + length).min(to.0), y)];
                    area.draw(&PathElement::new(dash, colour.stroke_width(2)))?;
                    x += length + gap;
                }
            }
        }
        // Text is placed by its upper left corner.
        area.draw(&Text::new(name.clone(), (40, y - FONT / 2), ("sans-serif", FONT)))?;
        y += 22;
    }
    Ok(())
}

/// Pixels from the upper left: left, top, right, bottom.
type Box4 = [i32; 4];

/// Where labels and dots stand already.
struct Labels {
    plot: Box4,
    taken: Vec<Box4>,
}

impl Labels {
    fn within((x, y): (std::ops::Range<i32>, std::ops::Range<i32>)) -> Self {
        Self { plot: [x.start, y.start, x.end, y.end], taken: Vec::new() }
    }

    fn keep_clear_of(&mut self, (x, y): (i32, i32)) {
        self.taken.push([x - 4, y - 4, x + 4, y + 4]);
    }

    /// The upper left corner for a label beside a dot; none where all is taken.
    fn place(&mut self, (x, y): (i32, i32), text: &str) -> Option<(i32, i32)> {
        const DISTANCE: i32 = 6;
        let (width, height) = (text.chars().count() as i32 * 7, FONT);
        let corners = [
            (x + DISTANCE, y - height / 2),
            (x - DISTANCE - width, y - height / 2),
            (x - width / 2, y - DISTANCE - height),
            (x - width / 2, y + DISTANCE),
        ];
        let box_at = |(x, y): (i32, i32)| [x, y, x + width, y + height];
        let fits = |corner: &(i32, i32)| {
            let [left, top, right, bottom] = box_at(*corner);
            let inside = left >= self.plot[0]
                && top >= self.plot[1]
                && right <= self.plot[2]
                && bottom <= self.plot[3];
            inside
                && self.taken.iter().all(|other| {
                    right < other[0] || other[2] < left || bottom < other[1] || other[3] < top
                })
        };
        let corner = corners.into_iter().find(fits)?;
        self.taken.push(box_at(corner));
        Some(corner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{measured, report};
    use super::*;

    #[test]
    fn labels_stand_beside_their_dot_and_never_on_another() {
        let mut labels = Labels::within((0..100, 0..100));
        labels.keep_clear_of((50, 50));
        labels.keep_clear_of((60, 50)); // to the right
        assert_eq!(labels.place((50, 50), "8"), Some((37, 44)));
        assert_eq!(labels.place((50, 50), "8"), Some((47, 31)));
        assert_eq!(labels.place((50, 50), "8"), Some((47, 56)));
        assert_eq!(labels.place((50, 50), "8"), None);
        assert_eq!(labels.place((99, 0), "8"), None);
    }

    #[test]
    fn the_roofline_has_a_dot_and_a_name_for_ours_alone() {
        let results =
            vec![measured("exp/carry", "4096", 942.0), measured("exp/std", "4096", 9420.0)];
        let report = report(results);
        let svg = roofline(&report).unwrap();
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
    fn axis_labels_are_powers_of_two() {
        assert_eq!([-2.0, 0.0, 5.0].map(power_of_two), ["1/4", "1", "32"]);
    }
}
