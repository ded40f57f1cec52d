//! Both modes of the checker say the same.

use std::path::Path;
use verify::{check, check_exact};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certified");

#[test]
fn exact_arithmetic_agrees_on_the_committed_certificates() {
    for name in ["two-units-with-biases", "three-units-without-biases", "four-units-without-biases"]
    {
        let read = |end: &str| std::fs::read(Path::new(FIXTURES).join(name).with_extension(end));
        let (model, certificate) = (read("safetensors").unwrap(), read("json").unwrap());
        let rounded = check(&model, &certificate).unwrap();
        let exact = check_exact(&model, &certificate).unwrap();
        // The slack of f64 is all that parts them.
        assert!((rounded.margin - exact.margin).abs() < 1e-4, "{name} {rounded:?} {exact:?}");
        assert_eq!(verify::Verified { margin: rounded.margin, ..exact }, rounded, "{name}");
    }
}
