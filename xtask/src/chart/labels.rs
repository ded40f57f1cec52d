//! Places for labels next to dots: inside the plot, and on no other label or dot.
//!
//! SVG viewers bring their own fonts, so widths are estimated with room to spare; a label for
//! which there is no room is left out.

use super::canvas::{FONT, LETTER};
use std::ops::Range;

/// Pixels from the upper left: left, top, right, bottom.
type Box4 = [i32; 4];

/// The places taken by labels and dots so far.
pub struct Labels {
    plot: Box4,
    taken: Vec<Box4>,
}

impl Labels {
    /// None yet, in a plot of these pixels.
    pub fn within((x, y): (Range<i32>, Range<i32>)) -> Self {
        Self { plot: [x.start, y.start, x.end, y.end], taken: Vec::new() }
    }

    /// Keeps the place of a dot free.
    pub fn keep_clear_of(&mut self, (x, y): (i32, i32)) {
        self.taken.push([x - 4, y - 4, x + 4, y + 4]);
    }

    /// Keeps the places free that a line from `from` to `to` goes over.
    pub fn keep_clear_of_line(&mut self, from: (i32, i32), to: (i32, i32)) {
        const APART: i32 = 6;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let count = (dx.abs().max(dy.abs()) / APART).max(1);
        for n in 0..=count {
            let (x, y) = (from.0 + dx * n / count, from.1 + dy * n / count);
            self.taken.push([x - 2, y - 2, x + 2, y + 2]);
        }
    }

    /// The upper left corner for a label next to a dot; none if there is no room.
    pub fn place(&mut self, (x, y): (i32, i32), text: &str) -> Option<(i32, i32)> {
        const DISTANCE: i32 = 6;
        let (width, height) = (text.chars().count() as i32 * LETTER, FONT);
        let corners = [
            (x + DISTANCE, y - height / 2),
            (x - DISTANCE - width, y - height / 2),
            (x - width / 2, y - DISTANCE - height),
            (x - width / 2, y + DISTANCE),
        ];
        let box_at = |(x, y): (i32, i32)| [x, y, x + width, y + height];
        let fits = |corner: &(i32, i32)| {
            let [left, top, right, bottom] = box_at(*corner);
            let inside = left >= self.plot[0]
                && top >= self.plot[1]
                && right <= self.plot[2]
                && bottom <= self.plot[3];
            inside
                && self.taken.iter().all(|other| {
                    right < other[0] || other[2] < left || bottom < other[1] || other[3] < top
                })
        };
        let corner = corners.into_iter().find(fits)?;
        self.taken.push(box_at(corner));
        Some(corner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_beside_their_dot_and_never_on_another() {
        let mut labels = Labels::within((0..100, 0..100));
        labels.keep_clear_of((50, 50));
        labels.keep_clear_of((60, 50)); // to the right
        assert_eq!(labels.place((50, 50), "8"), Some((36, 43)));
        assert_eq!(labels.place((50, 50), "8"), Some((46, 29)));
        assert_eq!(labels.place((50, 50), "8"), Some((46, 56)));
        assert_eq!(labels.place((50, 50), "8"), None);
        assert_eq!(labels.place((99, 0), "8"), None);
    }

    #[test]
    fn labels_stand_on_no_line() {
        let mut labels = Labels::within((0..100, 0..100));
        labels.keep_clear_of_line((0, 50), (100, 50)); // across: not on the right or the left
        let (x, y) = labels.place((50, 50), "8").unwrap();
        assert!(x == 46 && (y + FONT < 48 || y > 52), "{x} {y}");
        labels.keep_clear_of_line((50, 0), (50, 100)); // and down: nowhere
        assert_eq!(labels.place((50, 50), "8"), None);
    }
}
