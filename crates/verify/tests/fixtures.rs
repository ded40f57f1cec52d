//! The committed certificates are proofs.

use std::path::Path;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/certified");

#[test]
fn the_committed_certificates_are_proofs() {
    let names = |end: &str| -> Vec<String> {
        let entries = std::fs::read_dir(FIXTURES).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect();
        names.sort();
        names
    };
    assert_eq!(names(".json"), names(".safetensors"));
    assert!(names(".json").len() >= 3);
    for name in names(".json") {
        let read = |end: &str| std::fs::read(Path::new(FIXTURES).join(name.clone() + end)).unwrap();
        let verified = verify::check(&read(".safetensors"), &read(".json")).unwrap();
        assert!(verified.margin > 0.0, "{name} {verified:?}");
    }
}

#[test]
fn a_certificate_is_refused_for_any_other_network() {
    let read = |name: &str| std::fs::read(Path::new(FIXTURES).join(name)).unwrap();
    let certificate = read("two-units-with-biases.json");
    let error = verify::check(&read("three-units-without-biases.safetensors"), &certificate);
    assert!(matches!(error, Err(verify::Error::OtherNetwork { .. })), "{error:?}");
    let mut changed = read("two-units-with-biases.safetensors");
    *changed.last_mut().unwrap() ^= 1;
    let error = verify::check(&changed, &certificate);
    assert!(matches!(error, Err(verify::Error::OtherNetwork { .. })), "{error:?}");
}

#[test]
fn the_sentence_names_the_cell_and_the_bound_of_an_lstms_cell_states() {
    let checked = |name: &str| {
        let read = |end: &str| std::fs::read(Path::new(FIXTURES).join(name.to_owned() + end));
        verify::check(&read(".safetensors").unwrap(), &read(".json").unwrap()).unwrap()
    };
    let gru = checked("gru-of-four-units");
    assert_eq!((gru.cell, gru.cell_bound), (verify::Cell::Gru, None));
    assert!(gru.statement().contains("this GRU of 4 units with biases, run digit by digit"));
    let lstm = checked("lstm-of-four-units");
    assert!(lstm.cell_bound.is_some_and(|bound| 2.0 < bound && bound < 2.03));
    let sentence = lstm.statement();
    assert!(sentence.contains("this LSTM of 4 units with biases, whose cell states stay between"));
    assert!(sentence.contains("−2.03 and 2.03"), "{sentence}");
}
