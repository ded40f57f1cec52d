//! The numbers of the lab's studies as small tables.

use crate::output::thousands;
use lab::{Findings, Share, bptt, chains, hogwild, memory, rates, window};

/// A table: what it shows, its head, its rows.
pub struct Table {
    pub caption: &'static str,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The tables of a study.
pub fn tables(findings: &Findings) -> Vec<Table> {
    match findings {
        Findings::Window(found) => {
            let positions = (0..found.kinds.first().map_or(0, |kind| kind.positions.len()))
                .map(|t| t.to_string());
            let of_position = |kind: &window::Kind| {
                row(kind.sees.name(), kind.positions.iter().map(|&share| percent(share)))
            };
            let of_length = |kind: &window::Kind| {
                let shares = kind.lengths.iter();
                row(
                    kind.sees.name(),
                    shares.map(|share| share.map_or("no inputs".to_owned(), percent)),
                )
            };
            let adds = |kind: &window::Kind| {
                row(
                    kind.sees.name(),
                    [kind.transferred, kind.longest].map(|share| share.to_string()),
                )
            };
            vec![
                Table {
                    caption: "Trained on operands below 16: right digits, by position",
                    head: row("", positions),
                    rows: found.kinds.iter().map(of_position).collect(),
                },
                Table {
                    caption: "Trained on 8 digits: right sums, by the digits of the sum",
                    head: row("", window::LENGTHS.map(|bits| bits.to_string())),
                    rows: found.kinds.iter().map(of_length).collect(),
                },
                Table {
                    caption: "Networks with at least 99 % of the sums right",
                    head: texts(&["", "operands that use the high digits", "sums of 64 digits"]),
                    rows: found.kinds.iter().map(adds).collect(),
                },
            ]
        }
        Findings::Units(found) => {
            let cell = |cell: &lab::units::Cell| {
                let biases = if cell.bias { "with" } else { "without" };
                let proved =
                    if cell.proved.of == 0 { "–".to_owned() } else { cell.proved.to_string() };
                vec![
                    cell.hidden.to_string(),
                    biases.to_owned(),
                    cell.recipe.name().to_owned(),
                    cell.learned.to_string(),
                    proved,
                ]
            };
            let unit = |unit: &lab::units::Unit| texts(&[unit.name, unit.formula, unit.purpose]);
            vec![
                Table {
                    caption: "Networks that learn, and that are proved of those examined",
                    head: texts(&["units", "biases", "training", "learn", "proved"]),
                    rows: found.cells.iter().map(cell).collect(),
                },
                Table {
                    caption: "The three units, with u the sum of the two digits; the digit of the sum \
                              is 1 where 90·C + 61·K − 177·S > 0",
                    head: texts(&["unit", "computes", "what it is for"]),
                    rows: found.three.iter().map(unit).collect(),
                },
            ]
        }
        Findings::Memory(found) => {
            let of = |name: &str, kind: &memory::Kind| {
                let shares = kind.right.iter().map(|&share| percent(share));
                row(name, shares.chain([kind.learned.to_string()]))
            };
            let lengths = memory::LENGTHS.iter().map(ToString::to_string);
            vec![Table {
                caption: "Right sums, by the steps that a digit has to be remembered",
                head: row("fed back", lengths.chain(["learn".to_owned()])),
                rows: vec![of("state (Elman)", &found.elman), of("output (Jordan)", &found.jordan)],
            }]
        }
        Findings::Bptt(found) => {
            let cut = |cut: &bptt::Cut| {
                let quartiles = cut.quartiles().unwrap_or([f64::INFINITY; 3]).map(examples);
                row(&cut.steps.to_string(), [cut.learned.to_string()].into_iter().chain(quartiles))
            };
            vec![Table {
                caption: "Examples until all sums are right, by the steps that a gradient goes back",
                head: texts(&["steps", "learn", "first quartile", "median", "third quartile"]),
                rows: found.cuts.iter().map(cut).collect(),
            }]
        }
        Findings::Rates(found) => {
            let sizes = rates::SIZES.iter().zip(&found.learned);
            vec![Table {
                caption: "Networks that learn, by units (rows) and learning rate (columns)",
                head: row("units", rates::RATES.iter().map(ToString::to_string)),
                rows: sizes
                    .map(|(size, row_of)| row(&size.to_string(), row_of.iter().map(brief)))
                    .collect(),
            }]
        }
        Findings::Chains(found) => {
            let of = |training: &chains::Training| {
                let right = training.right.iter().map(brief);
                row(&thousands(training.examples), right.chain([training.proved.to_string()]))
            };
            let lengths = chains::LENGTHS.iter().map(|&length| thousands(length as u64));
            vec![Table {
                caption: "Networks with all sums right, by the steps that a digit has to be remembered",
                head: row("examples", lengths.chain(["proved".to_owned()])),
                rows: found.trainings.iter().map(of).collect(),
            }]
        }
        Findings::Hogwild(found) => {
            let of = |outcomes: &hogwild::Outcomes| {
                let loss =
                    outcomes.loss().unwrap_or([f64::NAN; 3]).map(|loss| format!("{loss:.4}"));
                let [_, median, _] = outcomes.examples_to_target().unwrap_or([f64::INFINITY; 3]);
                let [low, middle, high] = loss;
                vec![
                    outcomes.strategy.name().to_owned(),
                    outcomes.setting.to_owned(),
                    middle,
                    format!("{low} to {high}"),
                    examples(median),
                    outcomes.learned.to_string(),
                ]
            };
            vec![Table {
                caption: "After 10,000 examples",
                head: texts(&[
                    "strategy",
                    "how",
                    "median loss",
                    "quartiles",
                    "median examples to the target",
                    "learn",
                ]),
                rows: found.strategies.iter().map(of).collect(),
            }]
        }
        Findings::States(found) => {
            let families =
                [("the lab's recipe", &found.lab), ("trained for a proof", &found.proved)];
            let of = |(name, families): (&str, &Option<lab::states::Families>)| {
                let families = families.as_ref()?;
                let [states, sets] = [
                    families.states.each_ref().map(Vec::len),
                    families.sets.each_ref().map(Vec::len),
                ];
                Some(row(name, states.into_iter().chain(sets).map(|count| thousands(count as u64))))
            };
            vec![Table {
                caption: "States after all histories of six pairs, and sets of the certificate",
                head: texts(&[
                    "network",
                    "states: no carry",
                    "a carry",
                    "sets: no carry",
                    "a carry",
                ]),
                rows: families.into_iter().filter_map(of).collect(),
            }]
        }
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn row(name: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(cells).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Without its interval, for a table of many.
fn brief(share: &Share) -> String {
    if share.of == 0 { "–".to_owned() } else { format!("{} of {}", share.count, share.of) }
}

fn examples(count: f64) -> String {
    if count.is_finite() { thousands(count as u64) } else { "never".to_owned() }
}
