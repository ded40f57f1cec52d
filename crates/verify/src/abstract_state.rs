//! Abstract states: sets that hold every state a run may be in: h, and of an LSTM then c, N numbers.
//!
//! ```text
//! zonotope  { c + Σ_g e_g·g + Σ_j e_j·d_j·u_j : all e in [−1, 1] }    u_j the unit vectors
//! box       { h : low ≤ h ≤ high }
//! state     the points that are in both
//! ```

/// A zonotope that reaches further than this is refused, so that [`SLACK`] holds.
pub(crate) const REACH: f64 = 8.0;

/// Relative slack for the sums in f64. Each has fewer than 2·10⁵ terms, whose magnitudes add up
/// to less than `REACH·Σ|w|`, so it is off by less than `2·10⁵·2⁻⁵³·8·Σ|w| < 2e-10·Σ|w|`.
pub(crate) const SLACK: f64 = 1e-9;

/// The points of a zonotope that are also in a box.
#[derive(Clone, Debug)]
pub struct AbstractState {
    /// `[N]`
    pub(crate) center: Vec<f64>,
    /// Rows of `[N]`.
    pub(crate) generators: Vec<Vec<f64>>,
    /// `[N]`, the generators along the unit vectors.
    pub(crate) own: Vec<f64>,
    /// `[N]`
    pub(crate) low: Vec<f64>,
    /// `[N]`
    pub(crate) high: Vec<f64>,
}

impl AbstractState {
    /// 0 alone, the state before the first step, of `size` (N) numbers: see
    /// [`Cell::state_size`](crate::Cell::state_size).
    pub fn origin(size: usize) -> Self {
        let zeros = vec![0.0; size];
        Self {
            center: zeros.clone(),
            generators: Vec::new(),
            own: zeros.clone(),
            low: zeros.clone(),
            high: zeros,
        }
    }

    /// `[N]`, the lower edges of the box.
    pub fn low(&self) -> &[f64] {
        &self.low
    }

    /// `[N]`, the upper edges of the box.
    pub fn high(&self) -> &[f64] {
        &self.high
    }

    /// Do the zonotope and the box keep within [`REACH`]?
    pub(crate) fn is_bounded(&self) -> bool {
        (0..self.center.len()).all(|j| {
            let inside = -REACH <= self.low[j] && self.high[j] <= REACH;
            let reach: f64 = self.generators.iter().map(|generator| generator[j].abs()).sum();
            inside && self.center[j].abs() + reach + self.own[j] < REACH
        })
    }

    /// An enclosure of number `i` of a state.
    pub(crate) fn number(&self, i: usize) -> (f64, f64) {
        let reach: f64 = self.generators.iter().map(|generator| generator[i].abs()).sum();
        let (center, radius) = (self.center[i], SLACK + reach + self.own[i]);
        let (least, most) = ((center - radius).next_down(), (center + radius).next_up());
        (least.max(self.low[i]), most.min(self.high[i]))
    }

    /// An enclosure of `w·h` over the state: the range over the zonotope cut with that over the
    /// box. Of a `w` that is shorter than a state, the numbers behind it are left out.
    pub fn range(&self, w: &[f64]) -> (f64, f64) {
        let dot = |v: &[f64]| -> f64 { v.iter().zip(w).map(|(v, w)| v * w).sum() };
        let weight: f64 = w.iter().map(|w| w.abs()).sum();
        let mut radius = SLACK * weight;
        for generator in &self.generators {
            radius += dot(generator).abs();
        }
        for (own, w) in self.own.iter().zip(w) {
            radius += (own * w).abs();
        }
        let center = dot(&self.center);
        let (mut least, mut most) = (-SLACK * weight, SLACK * weight);
        for ((&low, &high), &w) in self.low.iter().zip(&self.high).zip(w) {
            least += if w > 0.0 { w * low } else { w * high };
            most += if w > 0.0 { w * high } else { w * low };
        }
        ((center - radius).next_down().max(least), (center + radius).next_up().min(most))
    }
}
