//! Padding: nothing but zero is let in, and both checks say the same of it.

use model::{
    Architecture, Cell, Config, Error, Head, Memory, Network, Nonlinearity, Parameters, Stream,
};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

fn configs() -> Vec<Config> {
    let gru = Architecture { head: Some(Head::linear(1)), ..Architecture::new(Cell::Gru, 3, 5) };
    let elman = Architecture { cell: Cell::Elman(Nonlinearity::Tanh), ..gru };
    let lstm = Architecture { cell: Cell::Lstm, layers: 2, embedding: Some(4), ..gru };
    let mut all = vec![Config::lab(2, 17, 3).unwrap()];
    for architecture in [
        gru,
        elman,
        lstm,
        Architecture { memory: Memory::Output, ..elman },
        Architecture { memory: Memory::Window(3), ..elman },
    ] {
        all.push(Config::new(architecture).unwrap());
    }
    all
}

/// The places of the arena that are no parameters.
fn padding(parameters: &Parameters) -> Vec<usize> {
    let mut is_padding = vec![true; parameters.arena().len()];
    for index in parameters.tensors().iter().flat_map(|tensor| tensor.indices()) {
        is_padding[index] = false;
    }
    (0..is_padding.len()).filter(|&place| is_padding[place]).collect()
}

#[test]
fn padding_that_is_not_zero_is_refused_by_its_place_until_it_is_cleared() {
    for config in configs() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        let first = Parameters::initialised(config, &mut generator);
        assert!(first.is_finite() && first.check_finite().is_ok());
        let padding = padding(&first);
        for &place in padding.iter().step_by(7).chain(padding.last()) {
            for value in [f32::NAN, f32::INFINITY, 1.0, 1e-45, -1e30] {
                let mut parameters = first.clone();
                parameters.arena_mut()[place] = value;
                assert!(!parameters.is_finite(), "{config:?}");
                let error = parameters.check_finite().unwrap_err();
                assert!(matches!(error, Error::Padding { place: p, .. } if p == place), "{error}");
                assert!(error.to_string().contains(&place.to_string()), "{error}");
                assert!(Parameters::from_arena(config, parameters.arena()).is_err());
                assert!(Stream::new(parameters.clone()).is_err());
                parameters.clear_padding();
                assert_eq!(parameters.arena(), first.arena());
                assert!(parameters.is_finite() && Stream::new(parameters).is_ok());
            }
        }
        // a weight is named before padding is
        let mut parameters = first.clone();
        parameters.arena_mut().fill(f32::NAN);
        let error = parameters.check_finite().unwrap_err();
        assert!(matches!(error, Error::NotFinite { index: 0, .. }), "{error}");
        assert!(!parameters.is_finite());

        let again = Parameters::from_arena(config, first.arena()).unwrap();
        assert_eq!(again.arena(), first.arena());
        let text = Parameters::from_arena(config, &first.arena()[1..]).unwrap_err().to_string();
        assert!(text.contains(&(first.arena().len() - 1).to_string()), "{text}");
    }
}

#[test]
fn gradients_leave_zeros_in_the_padding_whatever_stood_there() {
    for config in configs() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(2);
        let parameters = Parameters::initialised(config, &mut generator);
        let mut network = Network::new(config);
        let (steps, batch) = (3, 2);
        let symbols = [0, 1, 1, 0, 1, 0];
        let x = vec![0.5; steps * batch * config.inputs()];
        let sequences = match config.embedding() {
            Some(_) => model::Sequences::of_symbols(config, &symbols, steps, batch),
            None => model::Sequences::new(config, &x, steps, batch),
        };
        let sequences = sequences.unwrap();
        let y = network.run(&parameters, &sequences).to_vec();
        let mut gradient = Parameters::zeros(config);
        gradient.arena_mut().fill(f32::NAN);
        network.backward(&parameters, sequences.inputs(), &y, &mut gradient);
        gradient.check_finite().unwrap();
    }
}
