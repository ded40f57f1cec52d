//! Cross-entropies on logits: of independent yes-or-no outputs, and of one class of many.

use super::terms::Terms;
use crate::{Error, size};
use kernels::loss;

/// `−Σ y·ln σ(a) + (1 − y)·ln(1 − σ(a))` of logits a `[T, B, O]` and targets y in [0, 1],
/// over the `terms`; their mean is by value.
///
/// With `σ′ = σ(1 − σ)`, so `(ln σ)′ = 1 − σ` and `(ln(1 − σ))′ = −σ`:
///
/// ```text
/// ∂L/∂a = −y·(1 − σ(a)) + (1 − y)·σ(a) = σ(a) − y
/// ```
///
/// `gradient` receives it, and zero where no term is. `PyTorch`: `BCEWithLogitsLoss`.
///
/// # Errors
/// If a target that counts is outside [0, 1] or NaN, or the mask does not fit; see
/// [`Terms`]. Then `gradient` holds nothing of use.
///
/// # Panics
/// If a slice does not hold T·B·O values.
pub fn binary_cross_entropy(
    terms: &Terms<'_>,
    logits: &[f32],
    targets: &[f32],
    gradient: &mut [f32],
) -> Result<f32, Error> {
    let loss = terms.by_value(logits, targets, gradient, loss::binary_cross_entropy)?;
    let probability = |y: &f32| (0.0..=1.0).contains(y);
    let mut first_bad = None;
    terms.for_each_run(|rows, counts| {
        let start = rows.start * terms.outputs;
        let targets = &targets[start..rows.end * terms.outputs];
        // Without an early end the check runs in lanes; which target it is comes later.
        if counts && !targets.iter().fold(true, |good, y| good & probability(y)) {
            let bad = targets.iter().position(|y| !probability(y)).map(|index| start + index);
            first_bad = first_bad.or(bad);
        }
    });
    match first_bad {
        None => Ok(loss),
        Some(index) => {
            let (row, output) = (index / terms.outputs, index % terms.outputs);
            let (step, sequence) = (row / terms.batch, row % terms.batch);
            Err(Error::Probability { step, sequence, output, value: targets[index] })
        }
    }
}

/// `−Σ ln softmax(a)_c` of rows of logits a `[T, B, O]` and their classes c `[T, B]`, over
/// the `terms`; their mean is by row.
///
/// With `softmax(a)_k = p_k` and `−ln p_c = ln Σ_k e^{a_k} − a_c`:
///
/// ```text
/// ∂L/∂a_k = e^{a_k} / Σ_j e^{a_j} − [k = c] = p_k − [k = c]
/// ```
///
/// `gradient` receives it, and zero where no term is. `PyTorch`: `CrossEntropyLoss`.
///
/// # Errors
/// If a class that counts is not below O, or the mask does not fit; see [`Terms`]. Then
/// `gradient` is untouched.
///
/// # Panics
/// If `logits` or `gradient` do not hold T·B·O values, or `classes` T·B.
pub fn softmax_cross_entropy(
    terms: &Terms<'_>,
    logits: &[f32],
    classes: &[u32],
    gradient: &mut [f32],
) -> Result<f32, Error> {
    let outputs = terms.outputs;
    let rows = size::product([terms.steps, terms.batch]);
    let values = size::product([terms.steps, terms.batch, outputs]);
    assert!(
        Some(classes.len()) == rows && [logits.len(), gradient.len()].map(Some) == [values; 2],
        "{} logits, {} classes and room for {} gradients; T·B·O = {}·{}·{outputs} asks for {}, \
         and a class a row",
        logits.len(),
        classes.len(),
        gradient.len(),
        terms.steps,
        terms.batch,
        size::text(values)
    );
    let scale = terms.scale(terms.counted_rows()?);
    let mut first_bad = None;
    terms.for_each_run(|rows, counts| {
        if counts {
            let bad = classes[rows.clone()].iter().position(|&class| class as usize >= outputs);
            first_bad = first_bad.or(bad.map(|row| rows.start + row));
        }
    });
    if let Some(row) = first_bad {
        let (step, sequence) = (row / terms.batch, row % terms.batch);
        return Err(Error::Class { step, sequence, class: classes[row], classes: outputs });
    }
    let mut sum = 0.0;
    terms.for_each_run(|rows, counts| {
        let run = rows.start * outputs..rows.end * outputs;
        let gradient = &mut gradient[run.clone()];
        if counts {
            let (logits, classes) = (&logits[run], &classes[rows]);
            sum += loss::softmax_cross_entropy(scale as f32, logits, outputs, classes, gradient);
        } else {
            gradient.fill(0.0);
        }
    });
    Ok((sum * scale) as f32)
}
