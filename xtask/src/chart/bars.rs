//! Shares as bars of three parts: what became of the networks of a study.

use super::canvas::{FONT, GREEN, LIGHT_GREY, ORANGE, TITLE, svg, title_within};
use crate::output::thousands;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What became of the networks of one kind.
pub struct Share {
    /// H; a gap separates it from the next.
    pub hidden: usize,
    /// With biases or without, or the machine.
    pub of: String,
    /// How they are trained.
    pub training: String,
    /// Proved, refuted, unknown.
    pub counts: [usize; 3],
}

/// The parts of a bar, in the order of [`Share::counts`].
const PARTS: [(&str, RGBColor); 3] =
    [("proved", GREEN), ("refuted", ORANGE), ("unknown", LIGHT_GREY)];

// Columns in pixels: H (its right edge), biases or machine, training, the bars, and the three counts (their
// right edges), whose heads are also the legend.
const HIDDEN: i32 = 34;
const OF: i32 = 50;
const TRAINING: i32 = 148;
const LEFT: i32 = 300;
const WIDTH: i32 = 400;
const COUNTS: [i32; 3] = [788, 870, 958];
// Rows.
const TOP: i32 = 76;
const STEP: i32 = 22;
const BAR: i32 = 16;
const GAP: i32 = 10;

/// A bar for each of `bars`, one below the other, with its counts on the right; `of` is the head of
/// [`Share::of`].
///
/// # Errors
/// If drawing fails.
pub fn shares(title: &str, of: &str, bars: &[Share]) -> anyhow::Result<String> {
    let mut tops = Vec::new();
    let mut bottom = TOP;
    for (n, bar) in bars.iter().enumerate() {
        if n > 0 && bars[n - 1].hidden != bar.hidden {
            bottom += GAP;
        }
        tops.push(bottom);
        bottom += STEP;
    }
    const SHEET: u32 = 986;
    svg(title, (SHEET, bottom as u32 + 12), |sheet| {
        let aligned =
            |side| ("sans-serif", FONT).into_text_style(sheet).pos(Pos::new(side, VPos::Top));
        let (to_left, to_right) = (aligned(HPos::Left), aligned(HPos::Right));
        let centred = aligned(HPos::Center);
        let title = title_within(title, SHEET - 24);
        sheet.draw(&Text::new(title, (12, 12), ("sans-serif", TITLE).into_font()))?;

        let head = TOP - 24;
        sheet.draw(&Text::new("H", (HIDDEN, head), to_right.clone()))?;
        sheet.draw(&Text::new(of, (OF, head), to_left.clone()))?;
        sheet.draw(&Text::new("training", (TRAINING, head), to_left.clone()))?;
        for percent in [0, 25, 50, 75, 100] {
            let x = LEFT + WIDTH * percent / 100;
            sheet.draw(&Text::new(format!("{percent} %"), (x, head), centred.clone()))?;
            sheet.draw(&PathElement::new([(x, TOP - 5), (x, bottom)], BLACK.mix(0.15)))?;
        }
        for ((name, colour), right) in PARTS.into_iter().zip(COUNTS) {
            let square = [(right + 5, head), (right + 16, head + 11)];
            sheet.draw(&Rectangle::new(square, colour.filled()))?;
            sheet.draw(&Text::new(name, (right, head), to_right.clone()))?;
        }
        for (bar, top) in bars.iter().zip(tops) {
            sheet.draw(&Text::new(bar.hidden.to_string(), (HIDDEN, top + 2), to_right.clone()))?;
            sheet.draw(&Text::new(bar.of.as_str(), (OF, top + 2), to_left.clone()))?;
            sheet.draw(&Text::new(bar.training.as_str(), (TRAINING, top + 2), to_left.clone()))?;
            let total = bar.counts.iter().sum::<usize>().max(1) as f64;
            let x = |count: usize| LEFT + (f64::from(WIDTH) * count as f64 / total).round() as i32;
            let mut before = 0;
            for ((&count, (_, colour)), right) in bar.counts.iter().zip(PARTS).zip(COUNTS) {
                let corners = [(x(before), top), (x(before + count), top + BAR)];
                if count > 0 {
                    sheet.draw(&Rectangle::new(corners, colour.filled()))?;
                }
                let number = thousands(count as u64);
                sheet.draw(&Text::new(number, (right, top + 2), to_right.clone()))?;
                before += count;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_a_part_for_each_count_that_is_not_zero() {
        let share = |hidden, counts| Share {
            hidden,
            of: "with".to_owned(),
            training: "plain".to_owned(),
            counts,
        };
        let svg = shares("ten seeds", "biases", &[share(2, [5, 5, 0]), share(16, [0, 0, 1_000])])
            .unwrap();
        crate::chart::canvas::tests::assert_in_style(&svg, "ten seeds");
        // The sheet, three in the head, two parts and one.
        assert_eq!(svg.matches("<rect").count(), 1 + 3 + 2 + 1);
        for text in ["ten seeds", "proved", "refuted", "unknown", "1,000"] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}\n{svg}");
        }
        assert!(svg.contains(&format!("width=\"{}\"", WIDTH / 2)), "{svg}");
    }
}
