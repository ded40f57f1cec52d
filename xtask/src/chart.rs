//! Pictures, as SVG text.

use anyhow::anyhow;
use plotters::prelude::*;
use train::run::Metrics;

const BLUE_LINE: RGBColor = RGBColor(31, 100, 180);

/// The error over the examples: how far all digits of a sum are off, together.
pub fn error_curve(title: &str, metrics: &[Metrics]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_error_curve(&mut svg, title, metrics).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(svg)
}

fn draw_error_curve(
    svg: &mut String,
    title: &str,
    metrics: &[Metrics],
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, (720, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let last = metrics.last().map_or(1, |m| m.examples).max(1);
    let top = metrics.iter().map(|m| m.error).fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.05;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0..last, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("examples")
        .y_desc("error: sum over the digits of |truth − output|")
        .label_style(("sans-serif", 13))
        .x_label_formatter(&|&x| crate::output::thousands(x))
        .draw()?;
    let points: Vec<_> = metrics.iter().map(|m| (m.examples, m.error)).collect();
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE_LINE.stroke_width(2)))?;
    if points.len() <= 100 {
        let dots = points.iter().map(|&point| Circle::new(point, 3, BLUE_LINE.filled()));
        chart.draw_series(dots)?;
    }
    root.present()?;
    Ok(())
}
