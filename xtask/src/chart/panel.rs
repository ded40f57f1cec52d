//! Panels side by side: two axes each, series over them, and one legend for all on the right.
//!
//! An axis has no scale of its own: for a logarithmic one the points are logarithms, and the
//! axis says what to write at a tick.

use super::canvas::{
    Area, Drawn, FONT, LETTER, TITLE, legible, shade, shortened, svg, title_within,
};
use super::labels::Labels;
use anyhow::Result;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::ops::Range;

pub use super::canvas::GREY;
pub use plotters::style::{BLACK, RGBColor};

/// x and y.
pub type Point = (f64, f64);

/// Two axes and the series over them.
pub struct Panel {
    pub x: Axis,
    pub y: Axis,
    /// The first is drawn on top, and is the first of the legend.
    pub series: Vec<Series>,
    /// Text next to points, the most important first: a label without room is left out.
    pub labels: Vec<(Point, String)>,
}

/// An axis.
pub struct Axis {
    /// What is measured, in which unit.
    pub name: String,
    pub range: Range<f64>,
    /// The most ticks with a number.
    pub ticks: usize,
    /// What to write at a place.
    pub tick: fn(f64) -> String,
}

/// What is drawn in one colour under one name.
pub struct Series {
    /// In the legend; empty: not there.
    pub name: String,
    pub colour: RGBColor,
    pub shape: Shape,
}

/// How a series looks.
pub enum Shape {
    Line(Vec<Point>),
    /// Dashes of so many pixels.
    Dashes(u32, Vec<Point>),
    /// Of so many pixels' radius.
    Dots(i32, Vec<Point>),
    /// By two opposite corners.
    Boxes(Vec<[Point; 2]>),
}

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Pixels between the lines of a legend.
const LEGEND_LINE: i32 = 22;
/// Where the names in a legend begin, behind their marks.
const LEGEND_NAME: i32 = 40;
/// A longer name in a legend loses its middle.
const MOST_LETTERS: usize = 40;

/// `panels` from left to right on a sheet of so many pixels, as SVG text.
///
/// # Errors
/// If drawing fails.
pub fn draw(title: &str, size: (u32, u32), panels: &[Panel]) -> Result<String> {
    svg(title, size, |sheet| {
        let sheet =
            sheet.margin(6, 0, 0, 0).titled(&title_within(title, size.0), ("sans-serif", TITLE))?;
        let series = || panels.iter().flat_map(|panel| &panel.series);
        let longest = series().map(|series| series.name.chars().count()).max().unwrap_or(0);
        let longest = longest.min(MOST_LETTERS) as i32;
        let legend_width = if longest == 0 { 0 } else { LEGEND_NAME + LETTER * longest + 8 };
        let (plots, legend) = sheet.split_horizontally(size.0 as i32 - legend_width);
        for (panel, area) in panels.iter().zip(plots.split_evenly((1, panels.len()))) {
            draw_panel(panel, &area)?;
        }
        let mut y = 30;
        for series in series().filter(|series| !series.name.is_empty()) {
            draw_entry(series, y, &legend)?;
            y += LEGEND_LINE;
        }
        Ok(())
    })
}

fn draw_panel(panel: &Panel, area: &Area<'_>) -> Drawn {
    let Panel { x, y, series, labels } = panel;
    let (width, height) = area.dim_in_pixel();
    let name = |axis: &Axis, pixels: u32| {
        shortened(&legible(&axis.name), (pixels as i32 / LETTER - 8).max(8) as usize)
    };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(tick_width(y).clamp(64, (width as i32 / 3).max(64)))
        .build_cartesian_2d(x.range.clone(), y.range.clone())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(x.ticks)
        .y_labels(y.ticks)
        .x_desc(name(x, width))
        .y_desc(name(y, height))
        .label_style(("sans-serif", FONT))
        .x_label_formatter(&|&at| (x.tick)(at))
        .y_label_formatter(&|&at| (y.tick)(at))
        .draw()?;
    for Series { colour, shape, .. } in series.iter().rev() {
        draw_shape(&mut chart, *colour, shape)?;
    }

    let mut places = Labels::within(chart.plotting_area().get_pixel_range());
    for Series { shape, .. } in series {
        match shape {
            Shape::Dots(_, points) => {
                points.iter().for_each(|at| places.keep_clear_of(chart.backend_coord(at)));
            }
            Shape::Line(points) | Shape::Dashes(_, points) => {
                let pixels: Vec<_> = points.iter().map(|at| chart.backend_coord(at)).collect();
                pixels.windows(2).for_each(|ends| places.keep_clear_of_line(ends[0], ends[1]));
            }
            Shape::Boxes(_) => {}
        }
    }
    let style = ("sans-serif", FONT - 2).into_font().color(&GREY);
    // Places are pixels of the sheet, as those of the dots are.
    let sheet = area.strip_coord_spec();
    let (left, top) = sheet.get_base_pixel();
    for (at, text) in labels {
        if let Some((x, y)) = places.place(chart.backend_coord(at), text) {
            sheet.draw(&Text::new(legible(text), (x - left, y - top), style.clone()))?;
        }
    }
    Ok(())
}

/// The pixels left of an axis that its ticks and its name take.
fn tick_width(axis: &Axis) -> i32 {
    let places = RangedCoordf64::from(axis.range.clone()).key_points(axis.ticks);
    let longest = places.iter().map(|&at| (axis.tick)(at).chars().count()).max().unwrap_or(0);
    28 + LETTER * longest as i32
}

fn draw_shape(chart: &mut Chart<'_>, colour: RGBColor, shape: &Shape) -> Drawn {
    let stroke = colour.stroke_width(2);
    match shape {
        Shape::Line(points) => {
            chart.draw_series(LineSeries::new(points.iter().copied(), stroke))?;
        }
        Shape::Dashes(length, points) => {
            let (dash, gap) = dashes(*length);
            let points = points.iter().copied();
            chart.draw_series(DashedLineSeries::new(points, dash, gap, stroke))?;
        }
        Shape::Dots(radius, points) => {
            let style = colour.mix(0.8).filled();
            match shade(colour) {
                0 => {
                    chart.draw_series(points.iter().map(|&at| Circle::new(at, *radius, style)))?;
                }
                1 => {
                    let square = |&at: &Point| EmptyElement::at(at) + square(*radius, style);
                    chart.draw_series(points.iter().map(square))?;
                }
                _ => {
                    let triangle = |&at: &Point| TriangleMarker::new(at, *radius + 1, style);
                    chart.draw_series(points.iter().map(triangle))?;
                }
            }
        }
        Shape::Boxes(corners) => {
            let one = |&corners: &[Point; 2]| Rectangle::new(corners, colour.mix(0.5).filled());
            chart.draw_series(corners.iter().map(one))?;
        }
    }
    Ok(())
}

/// A square about a point.
fn square(radius: i32, style: ShapeStyle) -> Rectangle<(i32, i32)> {
    Rectangle::new([(-radius, -radius), (radius, radius)], style)
}

/// Pixels drawn, and left out.
fn dashes(length: u32) -> (u32, u32) {
    (length, length.max(4))
}

/// The line of the legend for `series`, whose middle is `y` pixels from the top.
fn draw_entry(series: &Series, y: i32, legend: &Area<'_>) -> Drawn {
    const LEFT: i32 = 4;
    const RIGHT: i32 = 32;
    let stroke = series.colour.stroke_width(2);
    match &series.shape {
        Shape::Line(_) => legend.draw(&PathElement::new([(LEFT, y), (RIGHT, y)], stroke))?,
        Shape::Dashes(length, _) => {
            let (dash, gap) = dashes(*length);
            for x in (LEFT..RIGHT).step_by((dash + gap) as usize) {
                let ends = [(x, y), ((x + dash as i32).min(RIGHT), y)];
                legend.draw(&PathElement::new(ends, stroke))?;
            }
        }
        Shape::Dots(..) => {
            let (at, style) = ((i32::midpoint(LEFT, RIGHT), y), series.colour.filled());
            match shade(series.colour) {
                0 => legend.draw(&Circle::new(at, 4, style))?,
                1 => legend.draw(&(EmptyElement::at(at) + square(4, style)))?,
                _ => legend.draw(&TriangleMarker::new(at, 5, style))?,
            }
        }
        Shape::Boxes(_) => {
            let corners = [(LEFT + 8, y - 6), (RIGHT - 8, y + 6)];
            legend.draw(&Rectangle::new(corners, series.colour.mix(0.5).filled()))?;
        }
    }
    // Text is placed by its upper left corner.
    let corner = (LEGEND_NAME, y - FONT / 2);
    let name = shortened(&legible(&series.name), MOST_LETTERS);
    legend.draw(&Text::new(name, corner, ("sans-serif", FONT)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(name: &str) -> Axis {
        Axis { name: name.to_owned(), range: 0.0..10.0, ticks: 5, tick: |at| format!("<{at}>") }
    }

    fn panel(series: Vec<Series>, labels: Vec<(Point, String)>) -> Panel {
        Panel { x: axis("across"), y: axis("up"), series, labels }
    }

    fn series(name: &str, shape: Shape) -> Series {
        Series { name: name.to_owned(), colour: BLACK, shape }
    }

    #[test]
    fn every_shape_is_drawn_and_named_once_and_what_has_no_name_is_not_in_the_legend() {
        let points = vec![(1.0, 1.0), (2.0, 5.0), (9.0, 9.0)];
        let all = vec![
            series("dots", Shape::Dots(4, points.clone())),
            series("line", Shape::Line(points.clone())),
            series("dashes", Shape::Dashes(7, points.clone())),
            series("boxes", Shape::Boxes(vec![[(1.0, 2.0), (3.0, 4.0)]])),
            series("", Shape::Dots(4, points)),
        ];
        let svg = draw("title", (600, 400), &[panel(all, Vec::new())]).unwrap();
        crate::chart::canvas::tests::assert_in_style(&svg, "title");
        for text in ["title", "across", "up", "dots", "line", "dashes", "boxes"] {
            assert_eq!(svg.matches(&format!("\n{text}\n")).count(), 1, "{text}\n{svg}");
        }
        assert_eq!(svg.matches("\n&lt;5&gt;\n").count(), 2); // a tick of each axis
        assert_eq!(svg.matches("<circle").count(), 2 * 3 + 1);
    }

    #[test]
    fn what_ticks_say_has_room() {
        let y = Axis { tick: |_| "a long name".to_owned(), ..axis("up") };
        assert_eq!(tick_width(&y), 28 + 11 * LETTER);
        let panel = Panel { x: axis("across"), y, series: Vec::new(), labels: Vec::new() };
        let svg = draw("", (600, 400), &[panel]).unwrap();
        let (before, _) = svg.split_once("\na long name\n").unwrap();
        let (_, x) = before.rsplit_once("<text x=\"").unwrap();
        let x: i32 = x.split('"').next().unwrap().parse().unwrap();
        assert!(x > 11 * 7, "it ends {x} pixels from the left: {svg}"); // anchored at its end
    }

    #[test]
    fn panels_stand_side_by_side_with_one_legend_and_labels_beside_their_dots() {
        let at = |x| series("", Shape::Dots(2, vec![(x, 5.0)]));
        let labels = |text: &str| vec![((5.0, 5.0), text.to_owned())];
        let panels = [panel(vec![at(5.0)], labels("left")), panel(vec![at(5.0)], labels("right"))];
        let svg = draw("", (800, 400), &panels).unwrap();
        let x = |text: &str| -> f64 {
            let (before, _) = svg.split_once(&format!("\n{text}\n")).unwrap();
            let (_, element) = before.rsplit_once("<text x=\"").unwrap();
            element.split('"').next().unwrap().parse().unwrap()
        };
        let circles: Vec<f64> = svg
            .split("<circle cx=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!([x("left") - circles[0], x("right") - circles[1]], [6.0, 6.0], "{svg}");
        assert!(circles[0] < 400.0 && circles[1] > 400.0);
    }
}
