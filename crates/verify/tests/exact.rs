//! Both modes of the checker say the same.

use std::path::Path;
use verify::{check, check_exact};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certified");

#[test]
fn exact_arithmetic_agrees_on_the_committed_certificates() {
    for name in [
        "two-units-with-biases",
        "three-units-without-biases",
        "four-units-without-biases",
        "gru-of-four-units",
        "lstm-of-four-units",
    ] {
        let read = |end: &str| std::fs::read(Path::new(FIXTURES).join(name).with_extension(end));
        let (model, certificate) = (read("safetensors").unwrap(), read("json").unwrap());
        let rounded = check(&model, &certificate).unwrap();
        let exact = check_exact(&model, &certificate).unwrap();
        // The slack of f64 is all that parts them.
        assert!((rounded.margin - exact.margin).abs() < 1e-4, "{name} {rounded:?} {exact:?}");
        let verify::Verified { margin, cell_bound, .. } = rounded;
        assert_eq!(verify::Verified { margin, cell_bound, ..exact }, rounded, "{name}");
    }
}

/// Each vector holds, or breaks one rule: what its list in `index.json` says of it.
#[test]
fn both_modes_judge_the_vectors_of_the_format_as_they_are_meant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let index: Vec<serde_json::Value> = serde_json::from_slice(&read("index.json")).unwrap();
    assert!(index.len() > 70);
    let mut wrong = Vec::new();
    for vector in index {
        let name = vector["name"].as_str().unwrap();
        let certificate = read(&format!("{name}.json"));
        let model = match vector["model"].as_bool().unwrap() {
            true => read(&format!("{name}.safetensors")),
            false => std::fs::read(Path::new(FIXTURES).join("two-units-with-biases.safetensors"))
                .unwrap(),
        };
        let judged = [check(&model, &certificate), check_exact(&model, &certificate)];
        if let [Ok(rounded), Ok(exact)] = &judged {
            let difference = (rounded.margin - exact.margin).abs();
            assert!(difference < 1e-4 && exact.statement() == rounded.statement(), "{name}");
        }
        for verified in judged {
            match (vector["error"].as_str(), verified) {
                (None, Ok(_)) => {}
                (Some(words), Err(error)) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    let error = format!("{error} {}", source.unwrap_or_default());
                    if !error.contains(words) {
                        wrong.push(format!("{name}: {error}"));
                    }
                }
                (_, verified) => wrong.push(format!("{name}: {verified:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
