//! What all charts share: a white sheet, the colours, the fonts, text that an SVG may hold.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// What can go wrong while drawing; plotters' errors borrow from the drawing.
pub type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A part of the sheet.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The height of text in pixels.
pub const FONT: i32 = 13;
/// The height of a title.
pub const TITLE: i32 = 18;

pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const GREY: RGBColor = RGBColor(110, 110, 110);
pub const LIGHT_GREY: RGBColor = RGBColor(150, 150, 150);

/// Told apart with any kind of colour vision (Okabe and Ito, *Color Universal Design*, 2008).
const COLOURS: [RGBColor; 7] = [
    BLUE,
    ORANGE,
    GREEN,
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// The colour of series `number`: each of the first twenty has its own.
pub fn colour(number: usize) -> RGBColor {
    COLOURS.get(number).copied().unwrap_or_else(|| {
        let (red, green, blue) = Palette99::pick(number).rgb();
        RGBColor(red, green, blue)
    })
}

/// The SVG text of what `paint` draws on a white sheet of so many pixels.
///
/// # Errors
/// If drawing fails.
pub fn svg(size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut text = String::new();
    on_sheet(&mut text, size, paint).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(text)
}

fn on_sheet(text: &mut String, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn {
    let sheet = SVGBackend::with_string(text, size).into_drawing_area();
    sheet.fill(&WHITE)?;
    paint(&sheet)?;
    sheet.present()?;
    Ok(())
}

/// `text` without the characters that no XML may hold, not even escaped: names of files come here.
pub fn legible(text: &str) -> String {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_forbidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_the_first_twenty_series_have_the_same_colour() {
        let mut all: Vec<_> = (0..20).map(colour).map(|RGBColor(r, g, b)| (r, g, b)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20);
    }

    #[test]
    fn characters_that_no_xml_may_hold_are_replaced() {
        assert_eq!(legible("a\u{1b}[31m\n\u{ffff}<é>"), "a\u{fffd}[31m\u{fffd}\u{fffd}<é>");
    }
}
