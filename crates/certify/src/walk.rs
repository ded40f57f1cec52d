//! Abstract states taken further, step by step.

use crate::abstract_state::{Image, Zonotope};
use crate::leaf::{Cell, Leaf};
use crate::network::Net;
use crate::pairs::add;

/// Sets taken further, depth first, in place.
pub(crate) struct Walk<'a> {
    pub net: &'a Net,
    pub steps: usize,
    /// `[steps + 1]`
    sets: Vec<Zonotope>,
    images: Vec<Image>,
    way: Vec<u8>,
    /// Sets that may still be taken a step further.
    pub effort: &'a mut u64,
}

impl<'a> Walk<'a> {
    pub fn new(net: &'a Net, steps: usize, effort: &'a mut u64) -> Self {
        let h = net.hidden;
        let sets = vec![Zonotope::new(h, steps); steps + 1];
        let images = vec![Image::new(h, steps); steps + 1];
        Self { net, steps, sets, images, way: Vec::new(), effort }
    }

    /// Takes a cell of a leaf all ways of `steps` pairs; the pairs up to an output whose margin
    /// is below `least` end it.
    pub fn visit(
        &mut self,
        leaf: &Leaf,
        cell: &Cell,
        least: f64,
        arrive: &mut impl FnMut(&Zonotope, &[u8], usize) -> bool,
    ) -> Result<(), Vec<u8>> {
        leaf.put(cell, &mut self.sets[0]);
        self.way.clone_from(&leaf.pairs);
        self.further(0, leaf.carry(), leaf.rough, least, arrive)
    }

    fn further(
        &mut self,
        depth: usize,
        carry: bool,
        rough: f64,
        least: f64,
        arrive: &mut impl FnMut(&Zonotope, &[u8], usize) -> bool,
    ) -> Result<(), Vec<u8>> {
        if depth > 0 && arrive(&self.sets[depth], &self.way, depth) || depth == self.steps {
            return Ok(());
        }
        let Some(left) = self.effort.checked_sub(1) else { return Err(self.way.clone()) };
        *self.effort = left;
        self.net.image(&self.sets[depth], rough, &mut self.images[depth]);
        for pair in 0..4 {
            let (digit, next) = add(pair, carry);
            self.net.after(&self.images[depth], pair, &mut self.sets[depth + 1]);
            self.way.push(pair);
            if self.net.margin(&self.sets[depth + 1], digit) <= least {
                return Err(self.way.clone());
            }
            self.further(depth + 1, next, 0.0, least, arrive)?;
            self.way.pop();
        }
        Ok(())
    }

    /// What lines cannot follow of the next step from a leaf's cells, for the worst pair.
    pub fn bend(&mut self, leaf: &Leaf) -> f64 {
        let mut most = 0.0_f64;
        for cell in leaf.cells.values() {
            leaf.put(cell, &mut self.sets[0]);
            self.net.image(&self.sets[0], leaf.rough, &mut self.images[0]);
            most = most.max(self.net.bend(&self.images[0]));
        }
        most
    }
}
