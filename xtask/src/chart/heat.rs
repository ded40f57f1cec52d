//! Shares over two quantities that take a few values each: a cell for each pair, the fuller the
//! larger the share, with the count in it.

use super::canvas::{BLUE, FONT, GREY, LETTER, TITLE, legible, svg, title_within};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A heat map.
pub struct Heat<'a> {
    /// What the columns are, and their values.
    pub x: (&'a str, &'a [String]),
    /// What the rows are, and their values, from the bottom to the top.
    pub y: (&'a str, &'a [String]),
    /// For each row, for each column: the share, and what stands in the cell.
    pub cells: &'a [Vec<(f64, String)>],
}

const LEFT: i32 = 96;
const TOP: i32 = 56;
const CELL: (i32, i32) = (66, 40);
/// Between two cells.
const GAP: i32 = 2;
/// The fullest colour still lets the count be read.
const FULLEST: f64 = 0.6;

/// The map, as SVG text.
///
/// # Errors
/// If drawing fails.
pub fn heat(title: &str, heat: &Heat<'_>) -> anyhow::Result<String> {
    let Heat { x: (across, columns), y: (up, rows), cells } = *heat;
    let (width, height) = (columns.len() as i32 * CELL.0, rows.len() as i32 * CELL.1);
    let needed = (LETTER + 1) * title.chars().count() as i32 + 24;
    let size = ((LEFT + width + 24).max(needed) as u32, (TOP + height + 62) as u32);
    svg(title, size, |sheet| {
        let text = |side, vertical| {
            ("sans-serif", FONT).into_text_style(sheet).pos(Pos::new(side, vertical))
        };
        let centred = text(HPos::Center, VPos::Center);
        let to_right = text(HPos::Right, VPos::Center);
        sheet.draw(&Text::new(
            title_within(title, size.0),
            (12, 12),
            ("sans-serif", TITLE).into_font(),
        ))?;
        let corner = |row: usize, column: usize| {
            (LEFT + column as i32 * CELL.0, TOP + height - (row as i32 + 1) * CELL.1)
        };
        for (row, (name, cells)) in rows.iter().zip(cells).enumerate() {
            let (_, y) = corner(row, 0);
            let middle = y + CELL.1 / 2;
            sheet.draw(&Text::new(legible(name), (LEFT - 10, middle), to_right.clone()))?;
            for (column, (share, count)) in cells.iter().enumerate() {
                let (x, y) = corner(row, column);
                let corners = [(x, y), (x + CELL.0 - GAP, y + CELL.1 - GAP)];
                sheet.draw(&Rectangle::new(corners, GREY.mix(0.1).filled()))?;
                let fill = BLUE.mix(FULLEST * share.clamp(0.0, 1.0)).filled();
                sheet.draw(&Rectangle::new(corners, fill))?;
                let middle = (x + CELL.0 / 2, y + CELL.1 / 2);
                sheet.draw(&Text::new(legible(count), middle, centred.clone()))?;
            }
        }
        let bottom = TOP + height;
        for (column, name) in columns.iter().enumerate() {
            let x = LEFT + column as i32 * CELL.0 + CELL.0 / 2;
            sheet.draw(&Text::new(legible(name), (x, bottom + 14), centred.clone()))?;
        }
        let middle = (LEFT + width / 2, bottom + 42);
        sheet.draw(&Text::new(legible(across), middle, centred.clone()))?;
        let turned = centred.transform(FontTransform::Rotate270);
        sheet.draw(&Text::new(legible(up), (22, TOP + height / 2), turned))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::tests::assert_in_style;

    #[test]
    fn each_cell_has_its_count_and_is_the_fuller_the_larger_its_share() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let (columns, rows) = (texts(&["0.1", "<1>"]), texts(&["2", "16"]));
        let cells = [
            vec![(0.0, "none".to_owned()), (0.5, "half".to_owned())],
            vec![(1.0, "all".to_owned()), (0.25, "few".to_owned())],
        ];
        let map = Heat { x: ("rate", &columns), y: ("units", &rows), cells: &cells };
        let svg = heat("how many learn", &map).unwrap();
        assert_in_style(&svg, "how many learn");
        for text in ["rate", "units", "0.1", "&lt;1&gt;", "2", "16", "none", "half", "all", "few"] {
            assert_eq!(svg.matches(&format!("\n{text}\n")).count(), 1, "{text}\n{svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 1 + 2 * 4 - 1); // the sheet, and two a cell that is not empty
        for opacity in ["opacity=\"0.3\"", "opacity=\"0.6\"", "opacity=\"0.15\""] {
            assert!(svg.contains(opacity), "{opacity}\n{svg}");
        }
    }
}
