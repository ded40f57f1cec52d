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
    States(states::States),
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
            Self::States => Findings::States(states::states(settings, watch)),
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
