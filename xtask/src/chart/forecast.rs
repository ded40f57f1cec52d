//! Forecasts beside what came true, and their error over the horizon.

use super::canvas::{BLUE, GREY, ORANGE, colour};
use super::panel::{Axis, Panel, Point, Series, Shape, draw};
use crate::output::thousands;

/// More rows of a test period than these are no picture: the last ones are shown.
const MOST_ROWS: usize = 400;

/// Forecasts over a test period, and their errors.
pub struct Tested {
    /// What is forecast, with the words that say which run it is.
    pub title: String,
    /// The name of the target.
    pub target: String,
    /// Rows, what came true (NaN where nobody knows) and the forecast.
    pub rows: Vec<(usize, f64, f64)>,
    /// The error of each step ahead, of the network and of what needs none.
    pub errors: Vec<(String, Vec<f64>)>,
}

/// The last rows of a test period, and the error over the steps ahead.
///
/// # Errors
/// If drawing fails.
pub fn tested(tested: &Tested) -> anyhow::Result<String> {
    let from = tested.rows.len().saturating_sub(MOST_ROWS);
    let rows = &tested.rows[from..];
    let truth = rows.iter().map(|&(row, truth, _)| (row as f64, truth)).collect();
    let forecast = rows.iter().map(|&(row, _, forecast)| (row as f64, forecast)).collect();
    let lines = vec![("forecast".to_owned(), ORANGE, forecast), ("truth".to_owned(), BLUE, truth)];
    let left = panel("row", &tested.target, lines, false);
    let steps = |errors: &[f64]| {
        errors.iter().zip(1..).map(|(&error, step)| (f64::from(step), error)).collect()
    };
    let errors = tested.errors.iter().enumerate().map(|(n, (name, errors))| {
        let colour = if n == 0 { ORANGE } else { colour(n + 1) };
        (name.clone(), colour, steps(errors))
    });
    let mut right = panel("rows ahead", "RMSE, in the unit of the target", errors.collect(), true);
    // The colour of the network's line is in the legend already.
    right.series.iter_mut().take(1).for_each(|network| network.name.clear());
    draw(&tested.title, (1_160, 420), &[left, right])
}

/// The end of a series and its continuation.
///
/// # Errors
/// If drawing fails.
pub fn continued(
    title: &str,
    target: &str,
    before: Vec<Point>,
    after: Vec<Point>,
) -> anyhow::Result<String> {
    let lines = vec![("forecast".to_owned(), ORANGE, after), ("the file".to_owned(), GREY, before)];
    draw(title, (960, 400), &[panel("row", target, lines, false)])
}

/// Lines over two axes that hold all of them; the lower axis of errors begins at 0.
fn panel(
    x: &str,
    y: &str,
    lines: Vec<(String, super::panel::RGBColor, Vec<Point>)>,
    from_zero: bool,
) -> Panel {
    let all = || lines.iter().flat_map(|(_, _, points)| points).filter(|point| point.1.is_finite());
    let range = |value: fn(&Point) -> f64| {
        let low = all().map(value).fold(f64::INFINITY, f64::min);
        let high = all().map(value).fold(f64::NEG_INFINITY, f64::max);
        if low < high {
            (low, high)
        } else if low.is_finite() {
            (low - 1.0, low + 1.0)
        } else {
            (0.0, 1.0)
        }
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let room = (high - low) * 0.05;
    let low = if from_zero { 0.0 } else { low - room };
    let axis =
        |name: &str, range, ticks| Axis { name: name.to_owned(), range, ticks, tick: number };
    let series = lines.into_iter().map(|(name, colour, points)| {
        // A gap stays one.
        let points = points.into_iter().filter(|point| point.1.is_finite()).collect();
        Series { name, colour, shape: Shape::Line(points) }
    });
    Panel {
        x: axis(x, left..right, 6),
        y: axis(y, low..high + room, 8),
        series: series.collect(),
        labels: Vec::new(),
    }
}

fn number(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 1e15 {
        let sign = if x < 0.0 { "−" } else { "" };
        format!("{sign}{}", thousands(x.abs() as u64))
    } else {
        let text = format!("{x:.3}");
        text.trim_end_matches('0').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::tests::assert_in_style;
    use super::*;

    #[test]
    fn pictures_of_forecasts_are_well_formed_with_gaps_and_without_a_range() {
        let rows =
            (0..900).map(|n| (n, if n % 7 == 0 { f64::NAN } else { n as f64 }, 3.0)).collect();
        let errors =
            vec![("network".to_owned(), vec![1.0, 2.0]), ("<mean>".to_owned(), vec![f64::NAN; 2])];
        let picture = Tested { title: "a & b".to_owned(), target: "x<y".to_owned(), rows, errors };
        for svg in [
            tested(&picture).unwrap(),
            tested(&Tested { rows: vec![(1, 5.0, 5.0)], errors: Vec::new(), ..picture }).unwrap(),
            continued("t", "x", vec![(0.0, 1.0)], Vec::new()).unwrap(),
        ] {
            assert_in_style(&svg, if svg.contains("a &amp; b") { "a & b" } else { "t" });
        }
    }
}
