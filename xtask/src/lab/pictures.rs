//! The pictures of the lab's studies: from findings to SVG, by file name.

use crate::chart::{Axis, GREY, Heat, Panel, Point, Series, Shape, colour, draw, heat};
use crate::output::thousands;
use lab::{Findings, bptt, chains, hogwild, memory, rates, states, units, window};
use std::collections::HashSet;

/// A picture of a study.
pub struct Picture {
    /// Its file.
    pub name: &'static str,
    /// The text of the SVG.
    pub svg: String,
    /// How to read it.
    pub caption: &'static str,
}

/// What a study's pictures are called.
pub fn names(study: lab::Study) -> &'static [&'static str] {
    use lab::Study;
    match study {
        Study::Window => &["window.svg"],
        Study::Units => &["units.svg", "three-units.svg"],
        Study::Memory => &["memory.svg"],
        Study::Bptt => &["bptt.svg"],
        Study::Rates => &["rates.svg"],
        Study::Chains => &["chains.svg"],
        Study::Hogwild => &["hogwild.svg"],
        Study::States => &["states.svg"],
    }
}

/// All pictures of a study, in the order of [`names`].
///
/// # Errors
/// If drawing fails.
pub fn pictures(findings: &Findings) -> anyhow::Result<Vec<Picture>> {
    let drawn: Vec<(String, &'static str)> = match findings {
        Findings::Window(found) => vec![(
            window(found)?,
            "Left: the digits right of the line were 0 in \
            every training example. A line that falls to 50 % there guesses. Right: the numbers get \
            longer than those of training; a network over all digits ends where its inputs end.",
        )],
        Findings::Units(found) => vec![
            (
                units(found)?,
                "Left: networks that add all sums of 8 digits rightly. Right: of some of \
                them, how many are proved to add numbers of any length.",
            ),
            (
                three(found)?,
                "Each panel is one unit, over the sum of the two digits that come in, with \
                a carry from before and without. A bar spans what it may be after any digits before.",
            ),
        ],
        Findings::Memory(found) => vec![(
            memory(found)?,
            "A digit of the sum depends on one that many \
            steps before: the longer that is, the longer the network has to remember. A line at 50 % \
            remembers nothing.",
        )],
        Findings::Bptt(found) => vec![(
            bptt(found)?,
            "Left: the middle half of the networks lies \
            between the dashes. Right: how many learn at all. The last point is BPTT as the lab has \
            it.",
        )],
        Findings::Rates(found) => vec![(
            rates(found)?,
            "Each cell is 10,000 examples of training with \
            that rate and so many units; in it, how many of the networks add all sums rightly.",
        )],
        Findings::Chains(found) => vec![(
            chains(found)?,
            "Solid: networks that have every sum right \
            that was tried, over the steps that a digit has to be remembered. Dashed: those of which \
            it is proved for any length.",
        )],
        Findings::Hogwild(found) => vec![(
            hogwild(found)?,
            "A dot is a network; a box is the middle \
            half of them, the line in it the median. Further left is better.",
        )],
        Findings::States(found) => vec![(
            states(found)?,
            "A dot is the state after one history of six \
            pairs of digits, in the colour of the carry behind it. Lines go from the middle of a family to where it is \
            with the next pair, which stands at the end where there is room. Boxes are the sets of the proof; those smaller than a dot are drawn larger.",
        )],
    };
    let names = names(findings.study());
    let pictures =
        names.iter().zip(drawn).map(|(name, (svg, caption))| Picture { name, svg, caption });
    Ok(pictures.collect())
}

fn axis(name: &str, range: std::ops::Range<f64>, ticks: usize, tick: fn(f64) -> String) -> Axis {
    Axis { name: name.to_owned(), range, ticks, tick }
}

/// From 0 to 100 %, with room for a line at either end.
fn share_axis(name: &str) -> Axis {
    axis(name, -0.02..1.04, 6, |at| format!("{:.0} %", 100.0 * at))
}

fn whole(at: f64) -> String {
    if at.fract() == 0.0 { format!("{at:.0}") } else { String::new() }
}

/// At an axis of binary logarithms.
fn power_of_two(at: f64) -> String {
    if at.fract() == 0.0 { thousands(at.exp2() as u64) } else { String::new() }
}

/// At an axis of decimal logarithms.
fn power_of_ten(at: f64) -> String {
    if at.fract() == 0.0 { format!("{}", 10_f64.powf(at)) } else { String::new() }
}

/// A line with its dots, named once.
fn line(name: &str, number: usize, points: Vec<Point>) -> [Series; 2] {
    let colour = colour(number);
    [
        Series { name: String::new(), colour, shape: Shape::Dots(3, points.clone()) },
        Series { name: name.to_owned(), colour, shape: Shape::Line(points) },
    ]
}

fn dashes(name: &str, number: usize, points: Vec<Point>) -> Series {
    Series { name: name.to_owned(), colour: colour(number), shape: Shape::Dashes(6, points) }
}

fn panel(x: Axis, y: Axis, series: Vec<Series>) -> Panel {
    Panel { x, y, series, labels: Vec::new() }
}

/// Without names in the legend, which the panel beside has.
fn unnamed(mut panel: Panel) -> Panel {
    panel.series.iter_mut().for_each(|series| series.name.clear());
    panel
}

const WIDE: (u32, u32) = (1_100, 400);

fn window(found: &window::Window) -> anyhow::Result<String> {
    let (mut positions, mut lengths) = (Vec::new(), Vec::new());
    for (n, kind) in found.kinds.iter().enumerate() {
        let at = kind.positions.iter().enumerate();
        positions.extend(line(kind.sees.name(), n, at.map(|(t, &y)| (t as f64, y)).collect()));
        let at = window::LENGTHS.iter().zip(&kind.lengths);
        let at = at.filter_map(|(&bits, &right)| Some((f64::from(bits).log2(), right?)));
        lengths.extend(line(kind.sees.name(), n, at.collect()));
    }
    let edge = f64::from(window::LOW) - 0.5;
    let shape = Shape::Dashes(4, vec![(edge, 0.0), (edge, 1.0)]);
    positions.push(Series {
        name: "higher digits are 0 in training".to_owned(),
        colour: GREY,
        shape,
    });
    let x = axis("position of the digit, lowest first", -0.3..7.3, 8, whole);
    let left = panel(x, share_axis("right digits"), positions);
    let x = axis("digits of the sum", 2.9..6.1, 8, power_of_two);
    let right = unnamed(panel(x, share_axis("right sums"), lengths));
    draw(
        "Who adds digits that training never used, and longer numbers",
        (1_240, 400),
        &[left, right],
    )
}

fn units(found: &units::Units) -> anyhow::Result<String> {
    let (mut learned, mut proved) = (Vec::new(), Vec::new());
    let kinds = [
        (true, lab::Recipe::Tuned),
        (true, lab::Recipe::Lab),
        (false, lab::Recipe::Tuned),
        (false, lab::Recipe::Lab),
    ];
    for (n, (bias, recipe)) in kinds.into_iter().enumerate() {
        let name = format!("{}, {} biases", recipe.name(), if bias { "with" } else { "without" });
        let cells =
            || found.cells.iter().filter(move |cell| cell.bias == bias && cell.recipe == recipe);
        let of = |share: fn(&units::Cell) -> lab::Share| {
            let known = cells().filter(move |cell| share(cell).of > 0);
            known.map(|cell| (cell.hidden as f64, share(cell).value())).collect()
        };
        learned.extend(line(&name, n, of(|cell| cell.learned)));
        proved.extend(line(&name, n, of(|cell| cell.proved)));
    }
    let x = || axis("hidden units", 0.5..16.5, 8, whole);
    let left = panel(x(), share_axis("networks that learn"), learned);
    let right = unnamed(panel(x(), share_axis("networks proved, of those examined"), proved));
    draw("How many hidden units suffice", (1_240, 400), &[left, right])
}

fn three(found: &units::Units) -> anyhow::Result<String> {
    let of = |unit: &units::Unit| {
        let mut series = Vec::new();
        for (carry, values) in unit.values.iter().enumerate() {
            let name = ["no carry from before", "a carry from before"][carry];
            let at = |sum: usize| sum as f64 + [-0.06, 0.06][carry];
            let middle = |[low, high]: [f32; 2]| f64::from(f32::midpoint(low, high));
            let middles = values.iter().enumerate().map(|(sum, &v)| (at(sum), middle(v))).collect();
            series.extend(line(name, carry, middles));
            let bars = values.iter().enumerate().map(|(sum, &[low, high])| {
                [(at(sum) - 0.04, f64::from(low)), (at(sum) + 0.04, f64::from(high))]
            });
            let shape = Shape::Boxes(bars.collect());
            series.push(Series { name: String::new(), colour: colour(carry), shape });
        }
        let x = axis("sum of the two digits that come in", -0.3..2.3, 3, whole);
        let y = axis(&format!("unit {}", unit.name), -0.04..1.08, 6, |at| format!("{at:.1}"));
        panel(x, y, series)
    };
    let mut panels: Vec<Panel> = found.three.iter().map(of).collect();
    let named = panels.len().saturating_sub(1);
    let last = panels.drain(..named).map(unnamed).collect::<Vec<_>>();
    let panels: Vec<Panel> = last.into_iter().chain(panels).collect();
    draw("What each of three units does that are proved to add", (1_240, 360), &panels)
}

fn memory(found: &memory::Memory) -> anyhow::Result<String> {
    let kinds = [
        ("the state fed back (Elman)", &found.elman),
        ("the output fed back (Jordan)", &found.jordan),
    ];
    let mut series = Vec::new();
    for (n, (name, kind)) in kinds.into_iter().enumerate() {
        let points = memory::LENGTHS.iter().zip(&kind.right);
        series.extend(line(name, n, points.map(|(&x, &y)| (x as f64, y)).collect()));
    }
    let x = axis("steps that a digit has to be remembered", 0.5..16.5, 8, whole);
    let panel = panel(x, share_axis("right sums"), series);
    draw("Who remembers a digit: the state or the output fed back", (960, 420), &[panel])
}

fn bptt(found: &bptt::Bptt) -> anyhow::Result<String> {
    let quartile = |n: usize| -> Vec<Point> {
        let of = |cut: &bptt::Cut| Some((cut.steps as f64, cut.quartiles()?[n]));
        found.cuts.iter().filter_map(of).filter(|(_, y)| y.is_finite()).collect()
    };
    let mut examples = Vec::from(line("median", 0, quartile(1)));
    examples.push(dashes("quartiles", 0, quartile(0)));
    examples.push(dashes("", 0, quartile(2)));
    let learned = found.cuts.iter().filter(|cut| cut.learned.of > 0);
    let learned = learned.map(|cut| (cut.steps as f64, cut.learned.value())).collect();
    let x = || axis("steps that a gradient goes back", 0.5..8.5, 8, whole);
    let y = axis("examples until all sums are right", 0.0..20_500.0, 5, |at| thousands(at as u64));
    let left = panel(x(), y, examples);
    let right = panel(x(), share_axis("networks that learn"), line("", 0, learned).into());
    draw("What gradients through time are worth", WIDE, &[left, right])
}

fn rates(found: &rates::Rates) -> anyhow::Result<String> {
    let columns: Vec<String> = rates::RATES.iter().map(ToString::to_string).collect();
    let rows: Vec<String> = rates::SIZES.iter().map(ToString::to_string).collect();
    let cell = |share: &lab::Share| {
        let text =
            if share.of == 0 { "–".to_owned() } else { format!("{}/{}", share.count, share.of) };
        (share.value(), text)
    };
    let cells: Vec<Vec<_>> =
        found.learned.iter().map(|row| row.iter().map(cell).collect()).collect();
    let map = Heat { x: ("learning rate", &columns), y: ("hidden units", &rows), cells: &cells };
    heat("How many networks learn, by learning rate and size", &map)
}

fn chains(found: &chains::LongChains) -> anyhow::Result<String> {
    let mut series = Vec::new();
    let ends = [-0.3, 10.3];
    for (n, training) in found.trainings.iter().enumerate() {
        let name = format!("{} examples", thousands(training.examples));
        let points = chains::LENGTHS.iter().zip(&training.right).filter(|(_, right)| right.of > 0);
        series.extend(line(
            &name,
            n,
            points.map(|(&x, y)| ((x as f64).log2(), y.value())).collect(),
        ));
        if training.proved.of > 0 {
            let proved = training.proved.value();
            let name = format!("{name}: proved for any length");
            series.push(dashes(&name, n, ends.map(|x| (x, proved)).into()));
        }
    }
    let x = axis("steps that a digit has to be remembered", ends[0]..ends[1], 11, power_of_two);
    let panel = panel(x, share_axis("networks with all sums right"), series);
    draw("How long networks remember that learned sums of 8 digits", (1_040, 420), &[panel])
}

fn hogwild(found: &hogwild::Strategies) -> anyhow::Result<String> {
    let rows = |values: &dyn Fn(&hogwild::Outcomes) -> Vec<f64>,
                quartiles: &dyn Fn(&hogwild::Outcomes) -> Option<[f64; 3]>| {
        let mut series = Vec::new();
        let count = found.strategies.len();
        for (n, outcomes) in found.strategies.iter().enumerate() {
            let middle = (count - n) as f64;
            // spread over a band in an order that looks like none: the golden ratio's
            let spread = |n: usize| middle + 0.6 * ((n as f64 * 0.618_034).fract() - 0.5);
            let dots = values(outcomes).into_iter().enumerate();
            let dots = dots.filter(|(_, x)| x.is_finite()).map(|(n, x)| (x, spread(n))).collect();
            let colour = colour(n);
            if let Some([low, median, high]) = quartiles(outcomes)
                && median.is_finite()
            {
                let ends = vec![(median, middle - 0.4), (median, middle + 0.4)];
                series.push(Series { name: String::new(), colour, shape: Shape::Line(ends) });
                if high.is_finite() {
                    let corners = [(low, middle - 0.35), (high, middle + 0.35)];
                    let shape = Shape::Boxes(vec![corners]);
                    series.push(Series { name: String::new(), colour, shape });
                }
            }
            let name = outcomes.strategy.name().to_owned();
            series.push(Series { name, colour, shape: Shape::Dots(2, dots) });
        }
        series
    };
    let y = || axis("", 0.4..4.6, 4, |_| String::new());
    let log = |loss: f64| loss.max(1e-12).log10();
    let losses =
        rows(&|outcomes| outcomes.losses.iter().map(|&loss| log(loss)).collect(), &|outcomes| {
            outcomes.loss().map(|quartiles| quartiles.map(log))
        });
    let all = found.strategies.iter().flat_map(|s| &s.losses).map(|&loss| log(loss));
    let all = || all.clone().filter(|loss| loss.is_finite());
    let (low, high) = (all().fold(0.0, f64::min), all().fold(-4.0, f64::max));
    let x = axis("loss after 10,000 examples", low - 0.1..high + 0.1, 6, power_of_ten);
    let left = panel(x, y(), losses);
    let examples = rows(
        &|outcomes| outcomes.examples.iter().flatten().map(|&n| n as f64).collect(),
        &hogwild::Outcomes::examples_to_target,
    );
    let name = format!("examples until the loss is below {}", hogwild::TARGET);
    let x = axis(&name, 0.0..10_250.0, 5, |at| thousands(at as u64));
    let right = unnamed(panel(x, y(), examples));
    draw("What each way to train leads to", WIDE, &[left, right])
}

/// Points that would lie on each other in the picture count once.
fn thinned(points: &[[f64; 2]], span: f64) -> Vec<Point> {
    const PLACES: f64 = 220.0;
    let place = |x: f64| (x / span * PLACES).round() as i64;
    let mut seen = HashSet::new();
    let new = points.iter().filter(|[x, y]| seen.insert((place(*x), place(*y))));
    new.map(|&[x, y]| (x, y)).collect()
}

fn states(found: &states::States) -> anyhow::Result<String> {
    let of = |families: &states::Families, is_named: bool, what: &str| {
        let point = |&[x, y]: &[f64; 2]| (x, y);
        let corners = families.sets.iter().flatten().flatten();
        let all: Vec<Point> = families.states.iter().flatten().chain(corners).map(point).collect();
        let range = |of: fn(&Point) -> f64| {
            let low = all.iter().map(of).fold(f64::INFINITY, f64::min);
            let high = all.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            let margin = 0.06 * (high - low).max(0.01);
            low - margin..high + margin
        };
        let (x, y) = (range(|at| at.0), range(|at| at.1));
        let span = (x.end - x.start).max(y.end - y.start);
        let (mut series, mut labels) = (Vec::new(), Vec::new());
        for (carry, targets) in families.map.iter().enumerate() {
            for (target, pair) in targets.iter().zip(["00", "01", "10", "11"]) {
                let shape = Shape::Line(vec![point(&families.means[carry]), point(target)]);
                series.push(Series { name: String::new(), colour: colour(carry), shape });
                labels.push((point(target), pair.to_owned()));
            }
        }
        let name = |text: &str| if is_named { text.to_owned() } else { String::new() };
        for (carry, states) in families.states.iter().enumerate() {
            let shape = Shape::Dots(2, thinned(states, span));
            let name = name(["no carry", "a carry"][carry]);
            series.push(Series { name, colour: colour(carry), shape });
        }
        for (carry, sets) in families.sets.iter().enumerate() {
            // What is smaller than a dot could not be seen.
            let least = 0.012 * span;
            let grown = |low: f64, high: f64| {
                let more = (least - (high - low) / 2.0).max(0.0);
                [low - more, high + more]
            };
            let corners = |[low, high]: &[[f64; 2]; 2]| {
                let [x, y] = [0, 1].map(|axis| grown(low[axis], high[axis]));
                [(x[0], y[0]), (x[1], y[1])]
            };
            let shape = Shape::Boxes(sets.iter().map(corners).collect());
            let name = if sets.is_empty() {
                String::new()
            } else {
                name(["proved: no carry", "proved: a carry"][carry])
            };
            series.push(Series { name, colour: colour(carry), shape });
        }
        let tick: fn(f64) -> String = |at| format!("{at:.1}");
        let x = axis(&format!("first principal axis ({what})"), x, 6, tick);
        let y = axis("second principal axis", y, 6, tick);
        Panel { x, y, series, labels }
    };
    let mut panels = Vec::new();
    if let Some(families) = &found.lab {
        panels.push(of(families, found.proved.is_none(), "the lab's recipe"));
    }
    if let Some(families) = &found.proved {
        panels.push(of(families, true, "for a proof"));
    }
    draw("The states of two networks after all histories of six pairs", (1_240, 520), &panels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::tests::assert_in_style;
    use lab::{Settings, Study, Watch};

    #[test]
    fn every_study_has_its_pictures_even_of_no_network() {
        let watch = Watch { done: &|| (), is_stopped: &|| true, ranks: None };
        for study in Study::ALL {
            let pictures = pictures(&study.run(&Settings::default(), watch)).unwrap();
            let found: Vec<&str> = pictures.iter().map(|picture| picture.name).collect();
            assert_eq!(found, names(study));
            for Picture { svg, caption, .. } in &pictures {
                let (_, title) = svg.split_once("<title>").unwrap();
                let (title, _) = title.split_once("</title>").unwrap();
                assert_in_style(svg, title);
                assert!(caption.ends_with('.') && !caption.contains("  "), "{caption}");
            }
        }
    }

    #[test]
    fn points_in_one_place_count_once() {
        let points = [[0.0, 0.0], [1e-6, 0.0], [0.5, 0.0], [0.5, 1.0]];
        assert_eq!(thinned(&points, 1.0), [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0)]);
    }
}
