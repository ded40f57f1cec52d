//! The studies by name: the lab's question, the findings, and what they say in a sentence.

use crate::settings::{Settings, Watch};
use crate::{bptt, chains, hogwild, memory, rates, states, units, window};
use serde::Serialize;

/// A question of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Study {
    /// Why not feed-forward?
    Window,
    /// How many hidden units suffice?
    Units,
    /// State or output fed back?
    Memory,
    /// What does BPTT add?
    Bptt,
    /// Which learning rate?
    Rates,
    /// How long does it remember?
    Chains,
    /// Does Hogwild! cost accuracy?
    Hogwild,
    /// What did it learn?
    States,
}

/// What a study found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Findings {
    /// See [`window`].
    Window(window::Window),
    /// See [`units`].
    Units(units::Units),
    /// See [`memory`].
    Memory(memory::Memory),
    /// See [`bptt`].
    Bptt(bptt::Bptt),
    /// See [`rates`].
    Rates(rates::Rates),
    /// See [`chains`].
    Chains(chains::LongChains),
    /// See [`hogwild`].
    Hogwild(hogwild::Strategies),
    /// See [`states`].
    States(Box<states::States>),
}

impl Study {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 8] = [
        Self::Window,
        Self::Units,
        Self::Memory,
        Self::Bptt,
        Self::Rates,
        Self::Chains,
        Self::Hogwild,
        Self::States,
    ];

    /// As the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Units => "units",
            Self::Memory => "memory",
            Self::Bptt => "bptt",
            Self::Rates => "rates",
            Self::Chains => "chains",
            Self::Hogwild => "hogwild",
            Self::States => "states",
        }
    }

    /// The lab's question.
    pub fn question(self) -> &'static str {
        match self {
            Self::Window => "Why not feed-forward?",
            Self::Units => "How many hidden units suffice?",
            Self::Memory => "State or output fed back?",
            Self::Bptt => "What does BPTT add?",
            Self::Rates => "Which learning rate?",
            Self::Chains => "How long does it remember?",
            Self::Hogwild => "Does Hogwild! cost accuracy?",
            Self::States => "What did it learn?",
        }
    }

    /// How it is made, in short sentences.
    pub fn method(self) -> &'static str {
        match self {
            Self::Window => {
                "Three kinds of networks learn sums of 8 digits: one is shown all digits at once (64 \
                 hidden units), one the last four (16), and one a digit at a time, with its own state \
                 (16). Each has a fair training: Adam, 64,000 examples or, for the first, 200,000. In \
                 the first half the operands are below 16 in training, and all 16,384 sums are asked \
                 for. In the second half training uses all 8 digits, and longer sums are asked for, \
                 200 of each length. A network adds if 99 % of its sums are right."
            }
            Self::Units => {
                "For each size, with biases and without, networks are trained by the lab's recipe \
                 (10,000 examples of plain SGD at a rate of 0.1) and by a tuned one (32,000 examples \
                 by Adam in batches of 16 at a rate of 0.03). A network has learned if all 16,384 sums \
                 of 8 digits are right. Of some, a proof for any length is looked for, for a short \
                 time: one that adds a chain of 1,000 carries wrongly has none. The three units are of \
                 a network with round weights that is proved; no training found it."
            }
            Self::Memory => {
                "Both kinds have 16 units and the lab's training. An Elman network gets its hidden \
                 state back at the next step, a Jordan network its output. Then each is asked for 64 \
                 sums of each length in which one digit decides about another, so many steps later."
            }
            Self::Bptt => {
                "The lab's training with 16 units, but the gradient of each output goes back no more \
                 than k steps, its own among them. Every 500 examples all 16,384 sums are tried, until \
                 all are right, or for 20,000 examples."
            }
            Self::Rates => {
                "The lab's recipe, without biases, at nine learning rates and seven sizes. A network \
                 has learned if all 16,384 sums of 8 digits are right after 10,000 examples."
            }
            Self::Chains => {
                "The lab's networks, 16 units without biases, after the lab's 10,000 examples and \
                 after 100,000. Each is asked for 32 sums of each length in which a carry, or none, \
                 goes on for so many steps. Of some, a proof for any length is looked for."
            }
            Self::Hogwild => {
                "The lab's network and recipe by four strategies: one worker, and two workers in \
                 three ways. Where two gradients or two networks are averaged, the rate is doubled, so \
                 that an example counts as much. The loss is that of 256 examples that nobody trains \
                 on, every 250 examples. Hogwild! with two workers is never the same twice: its \
                 numbers, alone in this report, change from run to run."
            }
            Self::States => {
                "On the left, a network of 16 units by the lab's recipe; on the right, one of 8 units \
                 with biases that was trained for a proof. All 4,096 histories of six pairs of digits \
                 are run, and each final state is drawn along the two axes on which states differ \
                 most."
            }
        }
    }

    /// How many networks it trains: as often the watch is told that one is done.
    pub fn networks(self, settings: &Settings) -> usize {
        match self {
            Self::Window => window::networks(settings),
            Self::Units => units::networks(settings),
            Self::Memory => memory::networks(settings),
            Self::Bptt => bptt::networks(settings),
            Self::Rates => rates::networks(settings),
            Self::Chains => chains::networks(settings),
            Self::Hogwild => hogwild::networks(settings),
            Self::States => states::networks(settings),
        }
    }

    /// Makes the study on all cores. Stopped, it tells what was found by then.
    pub fn run(self, settings: &Settings, watch: Watch<'_>) -> Findings {
        match self {
            Self::Window => Findings::Window(window::window(settings, watch)),
            Self::Units => Findings::Units(units::units(settings, watch)),
            Self::Memory => Findings::Memory(memory::memory(settings, watch)),
            Self::Bptt => Findings::Bptt(bptt::bptt(settings, watch)),
            Self::Rates => Findings::Rates(rates::rates(settings, watch)),
            Self::Chains => Findings::Chains(chains::chains(settings, watch)),
            Self::Hogwild => Findings::Hogwild(hogwild::hogwild(settings, watch)),
            Self::States => Findings::States(Box::new(states::states(settings, watch))),
        }
    }
}

impl Findings {
    /// Of which study.
    pub fn study(&self) -> Study {
        match self {
            Self::Window(_) => Study::Window,
            Self::Units(_) => Study::Units,
            Self::Memory(_) => Study::Memory,
            Self::Bptt(_) => Study::Bptt,
            Self::Rates(_) => Study::Rates,
            Self::Chains(_) => Study::Chains,
            Self::Hogwild(_) => Study::Hogwild,
            Self::States(_) => Study::States,
        }
    }

    /// What came out, in one sentence with its numbers.
    pub fn sentence(&self) -> String {
        match self {
            Self::Window(window) => window.sentence(),
            Self::Units(units) => units.sentence(),
            Self::Memory(memory) => memory.sentence(),
            Self::Bptt(bptt) => bptt.sentence(),
            Self::Rates(rates) => rates.sentence(),
            Self::Chains(chains) => chains.sentence(),
            Self::Hogwild(strategies) => strategies.sentence(),
            Self::States(states) => states.sentence(),
        }
    }
}
