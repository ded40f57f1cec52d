//! What all charts share: a sheet, the colours, the fonts, text that an SVG may hold.
//!
//! plotters draws in the light colours, as attributes. A style sheet inside the SVG gives each
//! of them its partner where the reader's screen is dark; its selectors begin with the class of
//! the SVG, so nothing around a chart inside a page changes.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Write as _;

/// What can go wrong while drawing; plotters' errors borrow from the drawing.
pub type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A part of the sheet.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The height of text in pixels.
pub const FONT: i32 = 15;
/// The height of a title.
pub const TITLE: i32 = 19;
/// About the width of a letter at the height of text: viewers bring their own fonts.
pub const LETTER: i32 = 8;
/// The same of a title.
const TITLE_LETTER: i32 = 9;

pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const GREY: RGBColor = RGBColor(110, 110, 110);
pub const LIGHT_GREY: RGBColor = RGBColor(140, 140, 140);

/// Told apart with any kind of colour vision (Okabe and Ito, *Color Universal Design*, 2008), and
/// their partners on a dark sheet.
const COLOURS: [[RGBColor; 2]; 7] = [
    [BLUE, RGBColor(77, 163, 224)],
    [ORANGE, RGBColor(255, 140, 66)],
    [GREEN, RGBColor(38, 194, 148)],
    [RGBColor(204, 121, 167), RGBColor(230, 158, 200)],
    [RGBColor(230, 159, 0), RGBColor(245, 190, 70)],
    [RGBColor(86, 180, 233), RGBColor(150, 214, 255)],
    [RGBColor(90, 90, 90), RGBColor(185, 185, 185)],
];

/// The sheet, text and greys, and their partners on a dark sheet.
const SHEET: [[RGBColor; 2]; 4] = [
    [WHITE, RGBColor(23, 30, 39)],
    [BLACK, RGBColor(231, 235, 240)],
    [GREY, RGBColor(165, 165, 165)],
    [LIGHT_GREY, RGBColor(128, 128, 128)],
];

/// How many series have a colour of their own.
const SERIES: usize = 3 * COLOURS.len();

/// The colour of series `number`: each of the first twenty has its own. After the seven colours
/// come their darker shades, then their lighter ones.
pub fn colour(number: usize) -> RGBColor {
    pair(number)[0]
}

/// Which of the three shades a series has: dots of each have their own shape.
pub fn shade(colour: RGBColor) -> usize {
    (0..SERIES).find(|&number| pair(number)[0] == colour).unwrap_or(0) / COLOURS.len()
}

/// The colours of series `number` on a light and on a dark sheet.
fn pair(number: usize) -> [RGBColor; 2] {
    let [light, dark] = COLOURS[number % COLOURS.len()];
    match number / COLOURS.len() % 3 {
        0 => [light, dark],
        1 => [mixed(light, BLACK), mixed(dark, WHITE)],
        _ => [mixed(light, WHITE), mixed(dark, GREY)],
    }
}

/// Two parts of one colour and one of the other.
fn mixed(RGBColor(r, g, b): RGBColor, other: RGBColor) -> RGBColor {
    let mix = |of: u8, with: u8| ((2 * u16::from(of) + u16::from(with)) / 3) as u8;
    RGBColor(mix(r, other.0), mix(g, other.1), mix(b, other.2))
}

/// Every colour of the charts and its partner on a dark sheet.
fn partners() -> impl Iterator<Item = [RGBColor; 2]> {
    SHEET.into_iter().chain((0..SERIES).map(pair))
}

/// As plotters writes it into attributes.
fn hex(RGBColor(r, g, b): RGBColor) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The SVG text of what `paint` draws on a sheet of so many pixels; `title` says what one sees
/// to those who hear it.
///
/// # Errors
/// If drawing fails.
pub fn svg(
    title: &str,
    size: (u32, u32),
    paint: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String> {
    let mut text = String::new();
    on_sheet(&mut text, size, paint).map_err(|error| anyhow!("drawing: {error}"))?;
    Ok(dressed(title, &text))
}

fn on_sheet(text: &mut String, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn {
    let sheet = SVGBackend::with_string(text, size).into_drawing_area();
    sheet.fill(&WHITE)?;
    paint(&sheet)?;
    sheet.present()?;
    Ok(())
}

/// What plotters drew, with its title and the style sheet of the colours in it.
fn dressed(title: &str, drawn: &str) -> String {
    let title = legible(title).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut style = ".carry-chart{max-width:100%;height:auto}".to_owned();
    style += "@media screen and (prefers-color-scheme:dark){";
    for [light, dark] in partners() {
        let (light, dark) = (hex(light), hex(dark));
        for attribute in ["fill", "stroke"] {
            if drawn.contains(&format!("{attribute}=\"{light}\"")) {
                write!(style, ".carry-chart [{attribute}=\"{light}\"]{{{attribute}:{dark}}}")
                    .expect("a string takes all");
            }
        }
    }
    style.push('}');
    let (open, shapes) = drawn.split_once('>').expect("an SVG begins with its element");
    format!(
        "{open} class=\"carry-chart\" role=\"img\">\n<title>{title}</title>\n\
         <style>{style}</style>{shapes}"
    )
}

/// `title` as far as it has room in so many pixels.
pub fn title_within(title: &str, pixels: u32) -> String {
    shortened(&legible(title), (pixels as i32 / TITLE_LETTER) as usize)
}

/// `text` in at most so many letters, with dots for its middle.
pub fn shortened(text: &str, letters: usize) -> String {
    let count = text.chars().count();
    if count <= letters {
        return text.to_owned();
    }
    let kept = letters.saturating_sub(1);
    let head = text.chars().take(kept / 2);
    head.chain(['…']).chain(text.chars().skip(count - kept.div_ceil(2))).collect()
}

/// `text` without the characters that no XML may hold, not even escaped: names of files come here.
pub fn legible(text: &str) -> String {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_forbidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Asserts that `svg` is well-formed, is named by `title`, and that each of its colours has a
    /// partner on a dark sheet.
    pub fn assert_in_style(svg: &str, title: &str) {
        let document = roxmltree::Document::parse(svg).expect("well-formed");
        let root = document.root_element();
        assert_eq!(root.attribute("class"), Some("carry-chart"));
        assert_eq!(root.attribute("role"), Some("img"));
        assert!(root.attribute("viewBox").is_some());
        let child = |name| root.children().find(|child| child.has_tag_name(name));
        let child = |name| child(("http://www.w3.org/2000/svg", name)).and_then(|c| c.text());
        assert_eq!(child("title"), Some(title));
        let style = child("style").expect("a style sheet");
        for node in document.descendants() {
            for attribute in ["fill", "stroke"] {
                let Some(colour) = node.attribute(attribute) else { continue };
                let rule = format!(".carry-chart [{attribute}=\"{colour}\"]{{{attribute}:#");
                assert!(colour == "none" || style.contains(&rule), "{attribute} {colour}\n{style}");
            }
        }
    }

    /// Relative luminance and contrast as in the Web Content Accessibility Guidelines 2.2.
    fn contrast(one: RGBColor, other: RGBColor) -> f64 {
        let luminance = |RGBColor(r, g, b)| {
            let linear = [r, g, b].map(|value| {
                let value = f64::from(value) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn no_two_of_the_first_twenty_series_have_the_same_colour_light_or_dark() {
        for sheet in [0, 1] {
            let rgb = |RGBColor(r, g, b)| (r, g, b);
            let mut all: Vec<_> = (0..20).map(|number| rgb(pair(number)[sheet])).collect();
            all.extend(SHEET.map(|pair| rgb(pair[sheet])));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 20 + SHEET.len());
        }
    }

    #[test]
    fn text_is_read_and_series_are_seen_on_both_sheets() {
        for sheet in [0, 1] {
            let [white, black, grey, light_grey] = SHEET.map(|pair| pair[sheet]);
            assert!(contrast(black, white) >= 7.0 && contrast(grey, white) >= 4.5);
            assert!(contrast(light_grey, white) >= 3.0);
            for number in 0..COLOURS.len() {
                assert!(contrast(pair(number)[sheet], white) >= 2.0, "{number} on {sheet}");
            }
        }
    }

    #[test]
    fn the_shades_of_series_come_one_after_the_other() {
        assert_eq!([0, 6, 7, 13, 14, 20, 21].map(|n| shade(colour(n))), [0, 0, 1, 1, 2, 2, 0]);
        assert_eq!(shade(BLACK), 0);
    }

    #[test]
    fn what_is_longer_than_its_room_loses_its_middle() {
        assert_eq!(shortened("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened("abcdéfghi", 6), "ab…ghi");
        assert_eq!(title_within("abcdefghij", 27), "a…j");
    }

    #[test]
    fn characters_that_no_xml_may_hold_are_replaced() {
        assert_eq!(legible("a\u{1b}[31m\n\u{ffff}<é>"), "a\u{fffd}[31m\u{fffd}\u{fffd}<é>");
    }

    #[test]
    fn a_title_is_text() {
        let title = "a</title><script>&\" ]]>";
        assert_in_style(&svg(title, (10, 10), |_| Ok(())).unwrap(), title);
    }
}
