//! Pictures of runs, as SVG text.

use anyhow::anyhow;
use certify::Picture;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
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

const BLUE: RGBColor = RGBColor(31, 100, 180);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(150, 150, 150);

/// The states without and with a carry on their first two principal axes, and what the
/// abstract states of a proof cover there.
pub fn families(title: &str, picture: &Picture) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_families(&mut svg, title, picture).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(svg)
}

fn draw_families(
    svg: &mut String,
    title: &str,
    picture: &Picture,
) -> Result<(), Box<dyn std::error::Error>> {
    let corners = picture.pieces.iter().flatten().flatten();
    let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
    for point in picture.states.iter().flatten().chain(corners) {
        for n in 0..2 {
            low[n] = low[n].min(point[n]);
            high[n] = high[n].max(point[n]);
        }
    }
    let margin = |n: usize| 0.05 * (high[n] - low[n]).max(0.01);
    let range = |n: usize| low[n] - margin(n)..high[n] + margin(n);
    let root = SVGBackend::with_string(svg, (720, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(range(0), range(1))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("first principal axis (blue: no carry, orange: carry)")
        .y_desc("second principal axis")
        .label_style(("sans-serif", 13))
        .draw()?;
    for (carry, colour) in [(0, BLUE), (1, ORANGE)] {
        let boxes = picture.pieces[carry].iter().map(|&[least, most]| {
            Rectangle::new([(least[0], least[1]), (most[0], most[1])], colour.mix(0.5))
        });
        chart.draw_series(boxes)?;
        let dots = picture.states[carry].iter();
        chart.draw_series(dots.map(|&[x, y]| Circle::new((x, y), 2, colour.filled())))?;
    }
    root.present()?;
    Ok(())
}

/// What became of the networks of one kind: a bar of [`shares`].
pub struct Share {
    /// H; a gap parts it from the next.
    pub hidden: usize,
    /// With or without.
    pub biases: &'static str,
    /// How they are trained.
    pub training: String,
    /// Proved, refuted, unknown.
    pub counts: [usize; 3],
}

/// Bars of three parts: proved, refuted, unknown.
pub fn shares(title: &str, bars: &[Share]) -> anyhow::Result<String> {
    let mut svg = String::new();
    draw_shares(&mut svg, title, bars).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(svg)
}

fn draw_shares(svg: &mut String, title: &str, bars: &[Share]) -> Fallible {
    // Columns: H (its right edge), biases, training, the bars, and the three counts (their
    // right edges), whose heads are also the legend.
    const HIDDEN: i32 = 34;
    const BIASES: i32 = 50;
    const TRAINING: i32 = 116;
    const LEFT: i32 = 268;
    const WIDTH: i32 = 400;
    const COUNTS: [i32; 3] = [756, 838, 926];
    const TOP: i32 = 76;
    const STEP: i32 = 22;
    const BAR: i32 = 16;
    const GAP: i32 = 10;

    let mut tops = Vec::new();
    let mut bottom = TOP;
    for (n, bar) in bars.iter().enumerate() {
        if n > 0 && bars[n - 1].hidden != bar.hidden {
            bottom += GAP;
        }
        tops.push(bottom);
        bottom += STEP;
    }
    let root = SVGBackend::with_string(svg, (954, bottom as u32 + 12)).into_drawing_area();
    root.fill(&WHITE)?;
    let aligned = |side| ("sans-serif", 13).into_text_style(&root).pos(Pos::new(side, VPos::Top));
    let (to_left, to_right) = (aligned(HPos::Left), aligned(HPos::Right));
    let centred = aligned(HPos::Center);
    root.draw(&Text::new(title, (12, 12), ("sans-serif", 18).into_font()))?;

    let head = TOP - 24;
    root.draw(&Text::new("H", (HIDDEN, head), to_right.clone()))?;
    root.draw(&Text::new("biases", (BIASES, head), to_left.clone()))?;
    root.draw(&Text::new("training", (TRAINING, head), to_left.clone()))?;
    for percent in [0, 25, 50, 75, 100] {
        let x = LEFT + WIDTH * percent / 100;
        root.draw(&Text::new(format!("{percent} %"), (x, head), centred.clone()))?;
        root.draw(&PathElement::new([(x, TOP - 5), (x, bottom)], BLACK.mix(0.15)))?;
    }
    let parts = [("proved", GREEN), ("refuted", ORANGE), ("unknown", GREY)];
    for ((name, colour), right) in parts.into_iter().zip(COUNTS) {
        let square = [(right + 5, head), (right + 16, head + 11)];
        root.draw(&Rectangle::new(square, colour.filled()))?;
        root.draw(&Text::new(name, (right, head), to_right.clone()))?;
    }
    for (bar, top) in bars.iter().zip(tops) {
        root.draw(&Text::new(bar.hidden.to_string(), (HIDDEN, top + 2), to_right.clone()))?;
        root.draw(&Text::new(bar.biases, (BIASES, top + 2), to_left.clone()))?;
        root.draw(&Text::new(bar.training.as_str(), (TRAINING, top + 2), to_left.clone()))?;
        let total = bar.counts.iter().sum::<usize>().max(1) as f64;
        let mut before = 0;
        for ((&count, (_, colour)), right) in bar.counts.iter().zip(parts).zip(COUNTS) {
            let x = |count: usize| LEFT + (f64::from(WIDTH) * count as f64 / total).round() as i32;
            let corners = [(x(before), top), (x(before + count), top + BAR)];
            if count > 0 {
                root.draw(&Rectangle::new(corners, colour.filled()))?;
            }
            let number = crate::output::thousands(count as u64);
            root.draw(&Text::new(number, (right, top + 2), to_right.clone()))?;
            before += count;
        }
    }
    root.present()?;
    Ok(())
}
