//! The hidden states of a network on their first two principal axes, a colour for each state of
//! its machine, and what the sets of a proof cover there.

use super::canvas::colour;
use super::panel::{Axis, Panel, Point, Series, Shape, draw};
use certify::Picture;

/// The hidden states over the sets that hold them, by the machine's state, of which `names` are the
/// names.
///
/// # Errors
/// If drawing fails.
pub fn families(title: &str, names: &[String], picture: &Picture) -> anyhow::Result<String> {
    let mut series = Vec::new();
    let point = |&[x, y]: &[f64; 2]| (x, y);
    for ((number, name), states) in names.iter().enumerate().zip(&picture.states) {
        let shape = Shape::Dots(2, states.iter().map(point).collect());
        series.push(Series { name: name.clone(), colour: colour(number), shape });
    }
    for ((number, name), sets) in names.iter().enumerate().zip(&picture.pieces) {
        let name = if sets.is_empty() { String::new() } else { format!("proved: {name}") };
        let corners = sets.iter().map(|corners| [point(&corners[0]), point(&corners[1])]);
        let shape = Shape::Boxes(corners.collect());
        series.push(Series { name, colour: colour(number), shape });
    }
    let corners = picture.pieces.iter().flatten().flatten();
    let all: Vec<Point> = picture.states.iter().flatten().chain(corners).map(point).collect();
    let axis = |name: &str, of: fn(&Point) -> f64| {
        let low = all.iter().map(of).fold(f64::INFINITY, f64::min);
        let high = all.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
        let margin = 0.05 * (high - low).max(0.01);
        let tick = |at: f64| format!("{at:.1}");
        Axis { name: name.to_owned(), range: low - margin..high + margin, ticks: 10, tick }
    };
    let x = axis("first principal axis of the states", |at| at.0);
    let y = axis("second principal axis of the states", |at| at.1);
    draw(title, (720, 560), &[Panel { x, y, series, labels: Vec::new() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_dots_and_sets_are_boxes_in_the_colour_of_their_carry() {
        let picture = Picture {
            axes: [vec![1.0, 0.0], vec![0.0, 1.0]],
            histories: vec![vec!["start".to_owned()], Vec::new()],
            states: vec![vec![[0.0, 0.0], [0.1, 0.2]], vec![[1.0, 1.0]]],
            pieces: vec![vec![[[-0.1, -0.1], [0.2, 0.3]]], Vec::new()],
        };
        let names = ["no carry", "carry"].map(str::to_owned);
        let svg = families("the network", &names, &picture).unwrap();
        crate::chart::canvas::tests::assert_in_style(&svg, "the network");
        assert_eq!(svg.matches("<circle").count(), 3 + 2); // and in the legend
        for text in ["the network", "no carry", "carry", "first principal axis of the states"] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}\n{svg}");
        }
        let alone = Picture { pieces: vec![Vec::new(), Vec::new()], ..picture };
        assert!(families("without a proof", &names, &alone).is_ok());
    }
}
