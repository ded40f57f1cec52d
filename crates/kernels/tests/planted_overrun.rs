//! A read behind the end of a buffer on purpose: `cargo xtask sanitize` first makes sure that
//! AddressSanitizer finds this one. Ignored otherwise.

use std::hint::black_box;

#[test]
#[ignore = "reads out of bounds on purpose"]
fn a_value_behind_the_last_is_read() {
    let values: Box<[f32]> = black_box(vec![1.0; 16].into());
    let behind = black_box(values.as_ptr()).wrapping_add(values.len());
    // SAFETY: not sound on purpose: no value is there, and that read is what the tool has to
    // find.
    black_box(unsafe { behind.read_volatile() });
}
