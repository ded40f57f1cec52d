//! Machines: the built-in ones against definitions of another kind, what a file is refused for, which
//! words are drawn, and what a network learns.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeSet;
use train::batch::Batch;
use train::config::{RunConfig, task_name};
use train::strategy::Serial;
use train::task::machine::{Definition, Machine, MachineError, Words};
use train::task::{Score, Task};

fn built_in(name: &str) -> Machine {
    Machine::built_in(name).unwrap_or_else(|| panic!("{name} is built in"))
}

/// The outputs of a word, by name; none, if it cannot come.
fn answer(machine: &Machine, word: &[usize]) -> Option<Vec<String>> {
    let mut state = 0;
    let step = |&symbol: &usize| {
        let (next, output) = machine.step(state, symbol)?;
        state = next;
        Some(machine.outputs()[output].clone())
    };
    word.iter().map(step).collect()
}

/// Calls `see` with each word of 1 to `length` symbols out of `inputs`.
fn for_each_word(inputs: usize, length: u32, mut see: impl FnMut(&[usize])) {
    for steps in 1..=length {
        for number in 0..inputs.pow(steps) {
            let digit = |t| number / inputs.pow(t) % inputs;
            see(&(0..steps).map(digit).collect::<Vec<_>>());
        }
    }
}

/// The machine says of each word what `expected` says of its symbols' names.
#[track_caller]
fn assert_says(name: &str, length: u32, expected: impl Fn(&[&str]) -> Vec<String>) {
    let machine = built_in(name);
    assert_eq!((machine.name(), machine.merged().len()), (name, 0), "{name} is minimal");
    for_each_word(machine.inputs().len(), length, |word| {
        let names: Vec<_> = word.iter().map(|&symbol| machine.inputs()[symbol].as_str()).collect();
        assert_eq!(answer(&machine, word), Some(expected(&names)), "{name} {names:?}");
    });
}

/// The same, of each prefix.
#[track_caller]
fn assert_prefixes(name: &str, length: u32, says: impl Fn(&str) -> String) {
    assert_says(name, length, |word| (1..=word.len()).map(|t| says(&word[..t].concat())).collect());
}

/// Digit `n` of each symbol, the first the lowest of a number.
fn number(word: &[&str], n: usize) -> u64 {
    word.iter().zip(0..).map(|(symbol, t)| u64::from(symbol.as_bytes()[n] - b'0') << t).sum()
}

fn digits(number: u64, count: usize) -> Vec<String> {
    (0..count).map(|t| (number >> t & 1).to_string()).collect()
}

/// A number written highest digit first.
fn value(digits: &str) -> u64 {
    u64::from_str_radix(digits, 2).unwrap()
}

fn bit(is: bool) -> String {
    u8::from(is).to_string()
}

#[test]
fn machines_that_compute_agree_with_integers() {
    assert_says("addition", 6, |word| digits(number(word, 0) + number(word, 1), word.len()));
    assert_says("subtraction", 6, |word| {
        digits(number(word, 0).wrapping_sub(number(word, 1)), word.len())
    });
    assert_says("comparison", 6, |word| {
        let order = |t: usize| match number(&word[..t], 0).cmp(&number(&word[..t], 1)) {
            std::cmp::Ordering::Less => "<".to_owned(),
            std::cmp::Ordering::Equal => "=".to_owned(),
            std::cmp::Ordering::Greater => ">".to_owned(),
        };
        (1..=word.len()).map(order).collect()
    });
    for factor in [3, 5] {
        let name = format!("times-{factor}");
        assert_says(&name, 12, |word| digits(factor * number(word, 0), word.len()));
    }
    assert_prefixes("division-by-3", 12, |digits| {
        let number = value(digits);
        format!("{} r{}", (number / 3) & 1, number % 3)
    });
}

#[test]
fn gray_code_is_a_number_and_its_half_in_exclusive_or() {
    let gray = |number: u64| number ^ number >> 1;
    assert_prefixes("gray-encode", 12, |digits| (gray(value(digits)) & 1).to_string());
    assert_prefixes("gray-decode", 10, |digits| {
        let number = (0..1 << digits.len()).find(|&number| gray(number) == value(digits)).unwrap();
        (number & 1).to_string()
    });
}

#[test]
fn machines_that_count_agree_with_counting() {
    let ones = |word: &str| word.matches('1').count();
    assert_prefixes("parity", 12, |word| (ones(word) % 2).to_string());
    assert_prefixes("counter-3", 12, |word| (ones(word) % 3).to_string());
    assert_prefixes("counter-5", 12, |word| (ones(word) % 5).to_string());
}

#[test]
fn tomitas_grammars_accept_what_their_definitions_say() {
    let ones = |word: &str| word.matches('1').count();
    let zeros = |word: &str| word.matches('0').count();
    assert_prefixes("tomita-1", 12, |word| bit(!word.contains('0')));
    assert_prefixes("tomita-2", 12, |word| bit(word == "10".repeat(word.len() / 2)));
    assert_prefixes("tomita-3", 12, |word| {
        // The runs, each with its digit: no odd one of zeros right behind an odd one of ones.
        let runs: Vec<_> = word.as_bytes().chunk_by(|a, b| a == b).collect();
        let is_odd = |run: &[u8], digit| run[0] == digit && run.len() % 2 == 1;
        bit(!runs.windows(2).any(|two| is_odd(two[0], b'1') && is_odd(two[1], b'0')))
    });
    assert_prefixes("tomita-4", 12, |word| bit(!word.contains("000")));
    assert_prefixes("tomita-5", 12, |word| bit(ones(word) % 2 == 0 && zeros(word) % 2 == 0));
    assert_prefixes("tomita-6", 12, |word| bit(ones(word).abs_diff(zeros(word)) % 3 == 0));
    assert_prefixes("tomita-7", 12, |word| {
        let rest = ['0', '1', '0', '1'].iter().fold(word, |rest, &c| rest.trim_start_matches(c));
        bit(rest.is_empty())
    });
}

#[test]
fn brackets_close_what_they_opened_and_no_deeper_than_three() {
    let machine = built_in("brackets");
    for_each_word(2, 14, |word| {
        let depth = |t: usize| word[..t].iter().map(|&c| if c == 0 { 1 } else { -1 }).sum::<i32>();
        let depths: Vec<_> = (1..=word.len()).map(depth).collect();
        let expected = depths.iter().all(|depth| (0..=3).contains(depth));
        let expected = expected.then(|| depths.iter().map(|&depth| bit(depth == 0)).collect());
        assert_eq!(answer(&machine, word), expected, "{word:?}");
    });
}

#[test]
fn the_lock_opens_when_the_last_four_digits_are_its_code() {
    assert_prefixes("lock", 5, |word| bit(word.ends_with("2712")));
    let machine = built_in("lock");
    let word: Vec<_> = "2712712".bytes().map(|digit| usize::from(digit - b'0')).collect();
    assert_eq!(answer(&machine, &word).unwrap().concat(), "0001001");
}

#[test]
fn the_circuits_of_a_course_do_as_their_names_say() {
    assert_prefixes("edge-detector", 12, |word| bit(format!("0{word}").ends_with("01")));
    assert_prefixes("debouncer", 12, |word| {
        // The level of the last three equal samples in a row; low before any.
        let windows = word.as_bytes().windows(3);
        let mut steady = windows.filter(|three| three.iter().all(|digit| *digit == three[0]));
        bit(steady.next_back().is_some_and(|three| three[0] == b'1'))
    });
}

#[test]
fn a_random_machine_has_ten_different_states_and_is_the_same_for_the_same_seed() {
    let machines: Vec<_> = (0..20).map(|seed| built_in(&format!("random-{seed}"))).collect();
    for (seed, machine) in machines.iter().enumerate() {
        assert_eq!((machine.states().len(), machine.merged().len()), (10, 0));
        assert_eq!(*machine, Machine::random(10, seed as u64));
    }
    assert_ne!(machines[0], machines[1]);
    assert_eq!(built_in("random-3:20"), Machine::random(20, 3));
    assert_eq!(built_in("random-3:64").name(), "random-3:64");
    let none = ["random-", "random-01", "random-x", "random"];
    for name in none.into_iter().chain(["random-1:10", "random-1:1", "random-1:65", "random-1:"]) {
        assert!(Machine::built_in(name).is_none(), "{name}");
    }
}

#[test]
fn every_built_in_machine_survives_the_way_to_a_file_and_back() {
    for name in Machine::BUILT_IN {
        let machine = built_in(name);
        let text = toml::to_string(machine.definition()).unwrap();
        assert_eq!(Machine::from_toml(&text).as_ref(), Ok(&machine), "{text}");
        let config = Words::new(machine, 7).unwrap().training();
        let text = config.to_toml();
        assert_eq!(task_name(&text).unwrap(), "machine");
        assert_eq!(RunConfig::<Words>::from_toml(&text), Ok(config), "{text}");
    }
    assert_eq!(Machine::built_in("nothing"), None);
}

#[test]
fn inputs_are_shown_as_digits_or_one_hot_as_the_file_says() {
    let addition = built_in("addition");
    assert_eq!(addition.inputs(), ["00", "01", "10", "11"]);
    assert_eq!((addition.values(1), addition.values(2)), (&[0.0, 1.0][..], &[1.0, 0.0][..]));
    assert_eq!(built_in("brackets").values(1), [0.0, 1.0]);
    assert_eq!(built_in("lock").values(3).len(), 10);
    let shown = |line: &str| Machine::from_toml(&format!("{line}\n{PARITY}"));
    assert_eq!(shown("shown = \"one-hot\"").unwrap().values(0), [1.0, 0.0]);
    assert_eq!(shown("shown = \"digits\"").unwrap().values(0), [0.0]);
    let letters =
        PARITY.replace("\"1\", \"", "\"x\", \"").replace("\"0\", \"1\"]", "\"0\", \"x\"]");
    let letters = letters.replacen("outputs = [\"0\", \"x\"]", "outputs = [\"0\", \"1\"]", 1);
    let refused = Machine::from_toml(&format!("shown = \"digits\"\n{letters}"));
    assert_eq!(refused, Err(MachineError::Digits));
}

const PARITY: &str = r#"
name = "parity"
inputs = ["0", "1"]
outputs = ["0", "1"]
states = ["even", "odd"]
transitions = [
    ["even", "0", "even", "0"],
    ["even", "1", "odd", "1"],
    ["odd", "0", "odd", "1"],
    ["odd", "1", "even", "0"],
]
"#;

#[test]
fn what_is_wrong_with_a_file_is_named_with_the_remedy() {
    let refused = |from: &str, to: &str, texts: &[&str]| {
        assert!(PARITY.contains(from), "{from}");
        let error = Machine::from_toml(&PARITY.replacen(from, to, 1)).unwrap_err().to_string();
        for text in texts {
            assert!(error.contains(text), "{text:?} is not in: {error}");
        }
    };
    let row = "    [\"odd\", \"1\", \"even\", \"0\"],\n";
    let twice = format!("{row}{row}");
    refused(row, &twice, &["not deterministic", "\"odd\"", "\"1\"", "4th", "5th", "leave one"]);
    refused(row, "", &["not complete", "\"odd\"", "\"1\"", "[legal]"]);
    refused("[\"even\", \"1\", \"odd\"", "[\"even\", \"1\", \"even\"", &["no word", "\"odd\""]);
    refused("\"odd\", \"1\", \"even\"", "\"odd\", \"1\", \"evn\"", &["\"evn\"", "4th", "`states`"]);
    refused("[\"even\", \"0\"", "[\"even\", \"2\"", &["\"2\"", "1th", "`inputs`"]);
    refused("\"odd\"]", "\"odd\", \"odd\"]", &["\"odd\" twice"]);
    refused("\"odd\"]", "\"odd\", \"\"]", &["\"\"", "not empty"]);
    refused("outputs = [\"0\", \"1\"]", "outputs = [\"0\", \"1\", \"2\"]", &["never", "\"2\""]);
    refused("inputs = [\"0\", \"1\"]", "inputs = []", &["0 inputs", "1 to 1024"]);
    refused("states", "sates", &["makes no sense", "sates"]);
    let legal = |more: &str, text: &str| {
        let error = Machine::from_toml(&format!("{PARITY}[legal]\n{more}\n")).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    };
    legal("odd = [\"0\"]", "\"1\", which `[legal]` says cannot come");
    legal("odd = []", "cannot come");
    legal("od = [\"0\"]", "\"od\" in `[legal]`");
}

#[test]
fn states_that_do_not_differ_become_one_and_it_is_said() {
    let text = r#"
name = "parity in three states"
inputs = ["0", "1"]
outputs = ["0", "1"]
states = ["even", "odd", "even again"]
transitions = [
    ["even", "0", "even again", "0"],
    ["even", "1", "odd", "1"],
    ["odd", "0", "odd", "1"],
    ["odd", "1", "even again", "0"],
    ["even again", "0", "even", "0"],
    ["even again", "1", "odd", "1"],
]
"#;
    let machine = Machine::from_toml(text).unwrap();
    assert_eq!(machine.states(), ["even", "odd"]);
    assert_eq!(machine.merged(), [["even", "even again"]]);
    let parity = built_in("parity");
    for_each_word(2, 10, |word| assert_eq!(answer(&machine, word), answer(&parity, word)));
}

/// A machine of up to six states, its table from `numbers`, one illegal input in some states.
fn drawn(numbers: &[u32]) -> Definition {
    let states = 1 + numbers[0] as usize % 6;
    let name = |n: usize| format!("s{n}");
    let (mut transitions, mut legal) = (Vec::new(), std::collections::BTreeMap::new());
    for state in 0..states {
        let row = &numbers[1 + 3 * state..][..3];
        let inputs = if row[2].is_multiple_of(4) { 1 } else { 2 };
        if inputs == 1 {
            legal.insert(name(state), vec!["a".to_owned()]);
        }
        for (input, number) in ["a", "b"].iter().zip(row).take(inputs) {
            let (to, output) = (name(*number as usize / 2 % states), (number % 2).to_string());
            transitions.push([name(state), (*input).to_owned(), to, output]);
        }
    }
    let list = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    Definition {
        name: "drawn".to_owned(),
        shown: None,
        inputs: list(["a", "b"]),
        outputs: list(["0", "1"]),
        states: (0..states).map(name).collect(),
        transitions,
        legal,
    }
}

/// The outputs by the file's own words, looked up one by one.
fn looked_up(file: &Definition, word: &[usize]) -> Option<Vec<String>> {
    let mut state = &file.states[0];
    let step = |&symbol: &usize| {
        let input = &file.inputs[symbol];
        let [.., to, output] =
            file.transitions.iter().find(|row| row[0] == *state && row[1] == *input)?;
        state = to;
        Some(output.clone())
    };
    word.iter().map(step).collect()
}

proptest! {
    #[test]
    fn a_minimised_machine_says_what_its_file_says(numbers in prop::collection::vec(any::<u32>(), 19)) {
        let file = drawn(&numbers);
        let Ok(machine) = Machine::new(file.clone()) else { return Ok(()) };
        for_each_word(2, 7, |word| {
            assert_eq!(answer(&machine, word), looked_up(&file, word), "{word:?}");
        });
        // Any two states are told apart by a word shorter than there are states.
        let from = |state: usize, word: &[usize]| {
            let mut state = state;
            let step = |&symbol: &usize| {
                let (next, output) = machine.step(state, symbol)?;
                state = next;
                Some(output)
            };
            word.iter().map(step).collect::<Option<Vec<_>>>()
        };
        for a in 0..machine.states().len() {
            for b in 0..a {
                let mut differs = false;
                for_each_word(2, 6, |word| differs |= from(a, word) != from(b, word));
                prop_assert!(differs, "{} {}", machine.states()[a], machine.states()[b]);
            }
        }
    }
}

#[test]
fn drawn_words_hold_what_can_come_alone_and_visit_every_transition() {
    for name in Machine::BUILT_IN {
        let machine = built_in(name);
        let words = Words::new(machine.clone(), 24).unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        let (mut word, mut seen) = (vec![0; 24], BTreeSet::new());
        for _ in 0..400 {
            words.sample(&mut generator, &mut word);
            let mut state = 0;
            for &symbol in &word {
                seen.insert((state, symbol));
                state = machine.step(state, symbol).expect("it can come").0;
            }
        }
        let states = 0..machine.states().len();
        let legal = |&(state, symbol): &(usize, usize)| machine.step(state, symbol).is_some();
        let all = states.flat_map(|state| (0..machine.inputs().len()).map(move |i| (state, i)));
        assert_eq!(seen, all.filter(legal).collect(), "{name}");
    }
}

/// The recipe's training from seed 0, of `examples` words.
fn learned(name: &str, examples: u64) -> (Words, Serial<Words>) {
    let config = Words::new(built_in(name), 24).unwrap().training();
    let mut serial = Serial::new(&config).unwrap();
    serial.train(examples);
    (config.task, serial)
}

#[test]
fn networks_learn_machines_with_one_output_with_several_and_with_illegal_inputs() {
    for name in ["parity", "comparison", "brackets"] {
        let (task, serial) = learned(name, 96_000);
        let score = task.evaluate(serial.parameters(), 0);
        assert!(score.words_correct == score.words_total, "{name}: {score}");
    }
}

#[test]
fn a_network_that_learned_nothing_is_told_so() {
    let (task, serial) = learned("counter-3", 32);
    let score = task.evaluate(serial.parameters(), 0);
    assert!(!score.is_perfect() && score.words_correct < score.words_total, "{score}");
    assert_eq!((score.words_length, score.words_total), (14, 1 << 14));
}

#[test]
fn words_of_no_or_too_many_symbols_are_refused() {
    for length in [0, 65_537] {
        let error = Words::new(built_in("parity"), length).unwrap_err().to_string();
        assert!(error.contains(&length.to_string()) && error.contains("1 to 65536"), "{error}");
    }
}

#[test]
fn the_states_of_a_batch_are_those_that_its_words_lead_to() {
    for name in Machine::BUILT_IN {
        let words = Words::new(built_in(name), 9).unwrap();
        let drawn: Vec<_> = (0..5).map(|seed| words.drawn(9, seed)).collect();
        let mut batch = Batch::default();
        words.encode(&drawn, &mut batch);
        let states = words.states(&batch);
        for (n, word) in drawn.iter().enumerate() {
            let mut state = 0;
            for (t, &symbol) in word.iter().enumerate() {
                state = words.machine().step(state, symbol).unwrap().0;
                assert_eq!(states[t * drawn.len() + n] as usize, state, "{name} {word:?}");
            }
        }
    }
}
