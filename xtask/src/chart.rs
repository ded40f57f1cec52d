//! Charts as SVG text. Whoever wants one passes data; nothing else in this program draws.
//!
//! [`panel`] draws series over two axes, and most charts are made of it: the loss curves, the
//! states of a network, the roofline and others of `cargo xtask bench`. [`bars`] draws shares.
//!
//! The style of all of them:
//!
//! - The title says what one sees, and is the picture's name for those who hear it.
//! - An axis is named by what it measures and the unit; a tick is a round number of it.
//! - Colours are those of [`colour`], each with a partner for dark screens; a test of each chart
//!   finds no other. Dots of another shade have another shape, and what has a name is in a legend.
//! - No text lies on other text: a label without room is left out, a name that is too long loses
//!   its middle.

mod bars;
mod canvas;
mod curves;
pub mod forecast;
mod heat;
mod labels;
mod panel;
mod states;

pub use bars::{Share, shares};
pub use canvas::colour;
pub use curves::{Curve, loss_curves, unit_of_loss};
pub use heat::{Heat, heat};
pub use panel::{Axis, BLACK, GREY, Panel, Point, Series, Shape, draw};
pub use states::families;

#[cfg(test)]
pub use canvas::tests;
