//! The loss curves of runs, over the examples and over the time.

use super::canvas::colour;
use super::panel::{Axis, Panel, Point, Series, Shape, draw};
use crate::output::thousands;
use train::metrics::Metrics;

/// More points than this make the file longer and the line no clearer.
const MOST_POINTS: usize = 1_000;
/// A line of up to so many points also shows them as dots.
const MOST_DOTS: usize = 100;

/// One run in a chart.
pub struct Curve {
    /// What it is called in the legend.
    pub name: String,
    /// Its intervals, at least one.
    pub metrics: Vec<Metrics>,
}

/// What the loss of a task of this name is counted in; nothing where it is scaled or differs.
pub fn unit_of_loss(task: &str) -> &'static str {
    match task {
        "addition" => "½ Σ (y − o)²",
        "text" => "nats",
        _ => "",
    }
}

/// The mean loss of an example in this unit, over the examples and over the seconds of training.
///
/// # Errors
/// If drawing fails.
pub fn loss_curves(title: &str, unit: &str, curves: &[Curve]) -> anyhow::Result<String> {
    let examples = panel("examples", unit, curves, |m| m.examples as f64);
    let mut seconds = panel("seconds of training", unit, curves, |m| m.seconds);
    // One legend is enough, and a single curve is named by the title.
    seconds.series.iter_mut().for_each(|series| series.name.clear());
    let mut panels = [examples, seconds];
    let has_one_line = curves.iter().all(|curve| curve.metrics.iter().all(|m| m.valid.is_none()));
    if curves.len() == 1 && has_one_line {
        panels[0].series.iter_mut().for_each(|series| series.name.clear());
    }
    draw(title, (960, 400), &panels)
}

fn panel(name: &str, unit: &str, curves: &[Curve], x: impl Fn(&Metrics) -> f64) -> Panel {
    let mut series = Vec::new();
    let (mut right, mut top) = (f64::MIN_POSITIVE, f64::MIN_POSITIVE);
    for (number, curve) in curves.iter().enumerate() {
        let step = curve.metrics.len().div_ceil(MOST_POINTS).max(1);
        let points = curve.metrics.iter().step_by(step).map(|m| (x(m), m.loss));
        let points: Vec<Point> =
            points.filter(|(x, loss)| x.is_finite() && loss.is_finite()).collect();
        for (x, loss) in &points {
            (right, top) = (right.max(*x), top.max(*loss));
        }
        let colour = colour(number);
        if points.len() <= MOST_DOTS {
            let shape = Shape::Dots(3, points.clone());
            series.push(Series { name: String::new(), colour, shape });
        }
        series.push(Series { name: curve.name.clone(), colour, shape: Shape::Line(points) });
        let valid = curve.metrics.iter().filter_map(|m| Some((x(m), m.valid?)));
        let valid: Vec<Point> = valid.filter(|(_, loss)| loss.is_finite()).collect();
        if !valid.is_empty() {
            top = valid.iter().fold(top, |top, (_, loss)| top.max(*loss));
            let name = if curves.len() == 1 {
                "validation".to_owned()
            } else {
                format!("{}: validation", curve.name)
            };
            let colour = self::colour(curves.len() + number);
            series.push(Series { name, colour, shape: Shape::Line(valid) });
        }
    }
    let axis = |name: &str, end, ticks| Axis {
        name: name.to_owned(),
        range: 0.0..end,
        ticks,
        tick: number,
    };
    let loss = match unit {
        "" => "mean loss of an example".to_owned(),
        unit => format!("mean loss of an example, {unit}"),
    };
    let y = axis(&loss, top * 1.05, 10);
    Panel { x: axis(name, right, 5), y, series, labels: Vec::new() }
}

/// A tick of an axis: `2,500`, or `0.004`.
fn number(x: f64) -> String {
    if x.fract() == 0.0 && x < 1e15 {
        thousands(x as u64)
    } else {
        // Ticks are round numbers; what the additions left behind them is cut off.
        let text = format!("{x:.6}");
        text.trim_end_matches('0').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::tests::assert_in_style;
    use super::*;

    fn curve(name: &str, losses: &[f64]) -> Curve {
        let metrics = (1..).zip(losses).map(|(n, &loss)| Metrics {
            valid: None,
            examples: 500 * n,
            loss,
            error: loss,
            seconds: n as f64,
        });
        Curve { name: name.to_owned(), metrics: metrics.collect() }
    }

    #[test]
    fn several_curves_are_named_once_and_a_single_one_by_the_title() {
        let both = loss_curves(
            "2 runs",
            "nats",
            &[curve("run0", &[1.0, 0.5]), curve("run1", &[0.9, 0.4])],
        );
        let both = both.unwrap();
        assert_in_style(&both, "2 runs");
        assert_eq!(both.matches("\nmean loss of an example, nats\n").count(), 2);
        for text in ["2 runs", "run0", "run1"] {
            assert_eq!(both.matches(&format!("\n{text}\n")).count(), 1, "{text}");
        }
        assert_eq!(both.matches("<circle").count(), 8);
        let one = loss_curves("one run", "", &[curve("one run", &[1.0, 0.5])]).unwrap();
        assert_eq!(one.matches("\none run\n").count(), 1);
        assert!(one.contains("seconds of training") && one.contains("mean loss of an example"));
    }

    #[test]
    fn so_many_runs_that_colours_are_shaded_have_partners_on_a_dark_sheet_too() {
        let curves: Vec<Curve> = (0..30).map(|_| curve("run", &[1.0, 0.5])).collect();
        assert_in_style(&loss_curves("30 runs", "", &curves).unwrap(), "30 runs");
    }

    #[test]
    fn a_long_run_is_thinned_out_and_what_is_no_number_is_left_out() {
        let long = vec![1.0; 2_500];
        let svg = loss_curves("", "", &[curve("", &long)]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 0);
        let svg = loss_curves("", "", &[curve("", &[f64::NAN, 1.0, f64::INFINITY])]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(loss_curves("", "", &[curve("", &[f64::NAN])]).is_ok());
    }

    #[test]
    fn ticks_are_written_without_what_rounding_left() {
        assert_eq!([2_500.0, 0.004, 0.1 + 0.2].map(number), ["2,500", "0.004", "0.3"]);
    }
}
