//! Charts as SVG text. Whoever wants one passes data; nothing else in this program draws.
//!
//! [`panel`] draws series over two axes, and most charts are made of it: the loss curves, the
//! states of a network, the roofline and others of `cargo xtask bench`. [`bars`] draws shares.

mod bars;
mod canvas;
mod curves;
pub mod forecast;
mod labels;
mod panel;
mod states;

pub use bars::{Share, shares};
pub use canvas::colour;
pub use curves::{Curve, loss_curves};
pub use panel::{Axis, BLACK, GREY, Panel, Point, Series, Shape, draw};
pub use states::families;
