//! Both modes of the checker agree on what is found for trained networks.

use certify::study::{Kind, Recipe, train};
use certify::{BUDGET, Machine, Outcome, certify};
use model::weights;
use verify::{check, check_exact};

#[test]
#[ignore = "a minute or more of training and search"]
fn exact_arithmetic_agrees_on_certificates_of_trained_networks() {
    let certifiable =
        |hidden, bias| Kind { hidden, bias, recipe: Recipe::Certifiable, ..Kind::LAB };
    let plain = |hidden, bias| Kind { hidden, bias, recipe: Recipe::Plain, ..Kind::LAB };
    let mut proved = 0;
    for (kind, seed) in [
        (certifiable(4, true), 0),
        (certifiable(8, false), 1),
        (certifiable(16, true), 2),
        (plain(16, false), 0),
    ] {
        let parameters = train(kind, seed).unwrap();
        let model = weights::to_bytes(&parameters);
        let outcome = certify(&parameters, &Machine::addition(), &model, BUDGET);
        let Outcome::Certified { certificate, verified } = outcome else { continue };
        let json = certificate.to_json();
        assert_eq!(check(&model, json.as_bytes()).unwrap(), verified);
        let exact = check_exact(&model, json.as_bytes()).unwrap();
        let difference = (exact.margin - verified.margin).abs();
        assert!(difference < 1e-4 * (1.0 + verified.margin), "{exact:?} {verified:?}");
        assert_eq!(exact.statement(), verified.statement());
        proved += 1;
    }
    assert!(proved >= 2, "{proved}");
}
