//! Pictures of runs, as SVG text.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use train::run::Metrics;

/// More points than this make a file long and a line no clearer.
const MOST_POINTS: usize = 1_000;

/// One run in a picture.
pub struct Curve {
    /// What it is called in the legend.
    pub name: String,
    /// Its intervals, at least one.
    pub metrics: Vec<Metrics>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Fallible = Result<(), Box<dyn std::error::Error>>;

/// The mean loss of an example, over the examples and over the seconds of training.
pub fn loss_curves(title: &str, curves: &[Curve]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw(&mut svg, title, curves).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(svg)
}

fn draw(svg: &mut String, title: &str, curves: &[Curve]) -> Fallible {
    let root = SVGBackend::with_string(svg, (960, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 18))?;
    let (left, right) = root.split_horizontally(490);
    let legend = curves.len() > 1;
    panel(&left, "examples", curves, |m| m.examples as f64, legend)?;
    panel(&right, "seconds of training", curves, |m| m.seconds, false)?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &Area<'_>,
    label: &str,
    curves: &[Curve],
    x: impl Fn(&Metrics) -> f64,
    legend: bool,
) -> Fallible {
    let all = || curves.iter().flat_map(|curve| &curve.metrics);
    let most = |value: &dyn Fn(&Metrics) -> f64| {
        all().map(value).filter(|v| v.is_finite()).fold(f64::MIN_POSITIVE, f64::max)
    };
    let (right, top) = (most(&x), most(&|m| m.loss) * 1.05);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc(label)
        .x_labels(5)
        .y_desc("mean loss of an example")
        .label_style(("sans-serif", 13))
        .x_label_formatter(&|&x| number(x))
        .draw()?;
    for (index, curve) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let step = curve.metrics.len().div_ceil(MOST_POINTS);
        let points: Vec<_> = curve.metrics.iter().step_by(step).map(|m| (x(m), m.loss)).collect();
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        let series = chart.draw_series(line)?;
        if legend {
            series.label(&curve.name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
            });
        }
        if points.len() <= 100 {
            let dots = points.iter().map(|&point| Circle::new(point, 3, color.filled()));
            chart.draw_series(dots)?;
        }
    }
    if legend {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", 13))
            .draw()?;
    }
    Ok(())
}

/// A tick of an axis: `2,500`, or `0.004`.
fn number(x: f64) -> String {
    if x.fract() == 0.0 && x < 1e15 {
        crate::output::thousands(x as u64)
    } else {
        // Ticks are round numbers; what the additions left behind them is cut off.
        let text = format!("{x:.6}");
        text.trim_end_matches('0').to_owned()
    }
}
