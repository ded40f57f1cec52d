//! The time to a loss over the ranks: a panel for each network, both axes logarithmic.

use crate::chart::{Axis, GREY, Panel, Point, Series, Shape, colour, draw as draw_panels};
use crate::output::thousands;

/// A network.
pub struct Plot {
    pub name: String,
    /// Seconds of one rank, if it arrives.
    pub one: Option<f64>,
    pub lines: Vec<Line>,
}

/// A strategy.
pub struct Line {
    pub name: String,
    /// Ranks, seconds, and whether they are extrapolated; those come last.
    pub points: Vec<(f64, f64, bool)>,
}

/// `plots` side by side, with one legend, as SVG text. What is extrapolated is dashed.
///
/// # Errors
/// If drawing fails.
pub fn draw(title: &str, plots: &[Plot]) -> anyhow::Result<String> {
    let points = || plots.iter().flat_map(|plot| &plot.lines).flat_map(|line| &line.points);
    let all = points().map(|point| point.1).chain(plots.iter().filter_map(|plot| plot.one));
    let all: Vec<f64> = all.filter(|seconds| *seconds > 0.0).map(f64::log10).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min).floor();
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
    // One scale for all panels, so that networks can be compared.
    let seconds = if all.is_empty() { 0.0..1.0 } else { low..high.max(low + 1.0) };
    let most = points().map(|point| point.0.log2()).fold(1.0, f64::max);
    // Colours and names are those of all panels together.
    let mut names: Vec<&str> = Vec::new();
    for line in plots.iter().flat_map(|plot| &plot.lines) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    let mut named = vec![false; names.len() + 1];
    let mut once = |number: usize, name: &str| {
        let name = if named[number] { "" } else { name };
        named[number] = true;
        name.to_owned()
    };
    let mut panels = Vec::new();
    for plot in plots {
        let mut series = Vec::new();
        for Line { name, points } in &plot.lines {
            let number = names.iter().position(|other| other == name).expect("all are listed");
            let at = |&(ranks, seconds, _): &(f64, f64, bool)| (ranks.log2(), seconds.log10());
            let simulated = points.iter().filter(|point| !point.2).count();
            let solid: Vec<Point> = points[..simulated].iter().map(at).collect();
            // The dashes begin where the line ends.
            let dashed: Vec<Point> = points[simulated.saturating_sub(1)..].iter().map(at).collect();
            let colour = colour(number);
            let unnamed = |shape| Series { name: String::new(), colour, shape };
            series.push(Series {
                name: once(number, name),
                colour,
                shape: Shape::Line(solid.clone()),
            });
            series.push(unnamed(Shape::Dots(3, solid)));
            if dashed.len() > 1 {
                series.push(unnamed(Shape::Dashes(6, dashed)));
            }
        }
        if let Some(one) = plot.one {
            let points = vec![(0.0, one.log10()), (most, one.log10())];
            let name = once(names.len(), "one rank");
            series.push(Series { name, colour: GREY, shape: Shape::Dashes(2, points) });
        }
        let x = Axis {
            name: format!("ranks: {}", plot.name),
            range: 0.0..most,
            ticks: 6,
            tick: |at| if at.fract() == 0.0 { thousands(at.exp2() as u64) } else { String::new() },
        };
        let y = Axis {
            name: "seconds to the loss".to_owned(),
            range: seconds.clone(),
            ticks: 6,
            tick: power_of_ten,
        };
        panels.push(Panel { x, y, series, labels: Vec::new() });
    }
    draw_panels(title, (1_500, 420), &panels)
}

/// A tick of a logarithmic axis: whole powers alone have a number.
fn power_of_ten(at: f64) -> String {
    let power = at.round();
    if (at - power).abs() > 1e-9 {
        String::new()
    } else if (-3.0..0.0).contains(&power) {
        format!("{:.*}", -power as usize, 10_f64.powf(power))
    } else if (0.0..5.0).contains(&power) {
        thousands(10_f64.powf(power) as u64)
    } else {
        format!("1e{power}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::tests::assert_in_style;

    fn plot(name: &str, seconds: &[f64]) -> Plot {
        let points = (1..).zip(seconds).map(|(n, &s)| (f64::from(n).exp2(), s, n > 2)).collect();
        let lines = vec![Line { name: "averaging, K = 4".to_owned(), points }];
        Plot { name: name.to_owned(), one: Some(100.0), lines }
    }

    #[test]
    fn a_way_is_named_once_and_what_is_simulated_has_dots() {
        let plots = [plot("near", &[50.0, 25.0, 12.0]), plot("far", &[60.0, 40.0, 30.0, 35.0])];
        let svg = draw("two networks", &plots).unwrap();
        assert_in_style(&svg, "two networks");
        for text in ["averaging, K = 4", "one rank", "ranks: near", "ranks: far"] {
            assert_eq!(svg.matches(&format!("\n{text}\n")).count(), 1, "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 4);
    }

    #[test]
    fn nothing_and_one_point_and_only_extrapolated_ones_are_drawn_too() {
        assert_in_style(&draw("none", &[plot("near", &[])]).unwrap(), "none");
        assert_in_style(&draw("one", &[plot("near", &[1e-9])]).unwrap(), "one");
        let mut all = plot("near", &[1.0, 2.0, 3.0]);
        all.lines[0].points.iter_mut().for_each(|point| point.2 = true);
        all.one = None;
        assert_in_style(&draw("guessed", &[all]).unwrap(), "guessed");
    }

    #[test]
    fn ticks_are_powers_of_ten() {
        let ticks = [-4.0, -2.0, 0.0, 0.5, 3.0, 6.0].map(power_of_ten);
        assert_eq!(ticks, ["1e-4", "0.01", "1", "", "1,000", "1e6"]);
    }
}
