//! A proof of the network of a run, looked for, told and kept beside it.

use crate::Usage;
use crate::add::{ADDING, Adding, adding};
use crate::output::{line, thousands, warn};
use crate::paths::{quoted, shown};
use crate::run::{READING, Reading, reading};
use crate::{chart, interrupt};
use certify::{Certificate, Counterexample, Machine, Outcome, certify, machine_of, picture};
use model::Parameters;
use num_bigint::BigUint;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;
use train::atomic_file::{try_output, write_output};
use train::run_folder::RunFolder;
use verify::{Cell, Verified};

/// The sentence that a certificate proves.
pub fn show(verified: &Verified) {
    line(verified.statement());
    let symbols = if verified.machine.is_addition() { "pairs of digits" } else { "symbols" };
    line(format!(
        "{} nodes, abstract states of {} pieces, histories of up to {} {symbols} (k), {} a time, {}",
        thousands(verified.nodes as u64),
        thousands(verified.pieces as u64),
        verified.history,
        if verified.steps == 1 {
            "1 step at".to_owned()
        } else {
            format!("up to {} steps at", verified.steps)
        },
        if verified.boxes { "plain boxes" } else { "along principal axes" }
    ));
    let of = match verified.machine.head_outputs() {
        1 => "the distance from 0 of a sum before its output's sigmoid",
        _ => "by which the sum of the right output is above all others",
    };
    line(format!("smallest margin {:.4}, {of}", verified.margin));
}

pub fn fields(verified: &Verified) -> Value {
    json!({
        "outcome": "certified",
        "statement": verified.statement(),
        "hidden": verified.hidden,
        "bias": verified.bias,
        "nodes": verified.nodes,
        "cells": verified.pieces,
        "k": verified.history,
        "steps": verified.steps,
        "boxes": verified.boxes,
        "margin": verified.margin,
    })
}

/// The tasks whose networks can be proved.
pub const PROVABLE: [&str; 4] = [ADDING[0], ADDING[1], READING[0], READING[1]];

/// A network of which a proof can be looked for.
pub struct Provable {
    seed: u64,
    parameters: Parameters,
    pub cell: Cell,
    /// What it learned.
    pub machine: Machine,
    /// Whether `add` shows what it does, and not `run`.
    adds: bool,
}

pub fn provable(folder: &RunFolder) -> anyhow::Result<Provable> {
    let adds = !READING.contains(&&*folder.task_name()?);
    let (seed, parameters, machine) = if !adds {
        let Reading { words, seed, parameters } = reading(folder)?;
        let machine = machine_of(words.machine()).map_err(|reason| {
            Usage(format!(
                "the machine {} of {} cannot be proved: {reason}",
                words.machine().name(),
                shown(folder.path())
            ))
        })?;
        (seed, parameters, machine)
    } else {
        let Adding { seed, parameters, .. } = adding(folder)?;
        (seed, parameters, Machine::addition())
    };
    match certify::provable(parameters.config(), &machine) {
        Ok(cell) => Ok(Provable { seed, parameters, cell, machine, adds }),
        Err(reason) => Err(Usage(format!(
            "only networks of one layer can be proved; that of {} {reason}",
            shown(folder.path())
        ))
        .into()),
    }
}

/// What a search for a proof came to.
pub struct Found {
    /// None, if the program was asked to end before.
    outcome: Option<Outcome>,
    seconds: f64,
    asked: Provable,
    /// The run's folder.
    run: PathBuf,
}

/// Looks for a proof of the network of a run until `budget` is spent.
///
/// # Errors
/// If no proof can be looked for, or the folder cannot be read or written.
pub fn search(folder: &RunFolder, budget: u64) -> anyhow::Result<Found> {
    let asked = provable(folder)?;
    let model = folder.model_bytes()?;
    for name in [PROOF, REPORT] {
        try_output(&folder.path().join(name))?;
    }
    let start = Instant::now();
    let (parameters, machine) = (asked.parameters.clone(), asked.machine.clone());
    let outcome = interrupt::unless_asked(move || certify(&parameters, &machine, &model, budget))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Found { outcome, seconds, asked, run: folder.path().to_owned() })
}

/// The files beside those of a run.
const PROOF: &str = "certificate.json";
const REPORT: &str = "report.svg";

impl Found {
    /// Was the program asked to end before there was an answer?
    pub fn is_stopped(&self) -> bool {
        self.outcome.is_none()
    }

    /// The proof, if that is the answer.
    fn certificate(&self) -> Option<&Certificate> {
        match &self.outcome {
            Some(Outcome::Certified { certificate, .. }) => Some(certificate),
            _ => None,
        }
    }

    /// Is that the answer?
    pub fn is_proved(&self) -> bool {
        self.certificate().is_some()
    }

    /// Tells that there was no time for an answer.
    pub fn warn_of_stop(&self) {
        warn(format!(
            "stopped after {:.2} s of search: neither a proof nor {} wrongly were found by then",
            self.seconds,
            if self.asked.machine.is_addition() {
                "two numbers that are added"
            } else {
                "a word that is answered"
            }
        ));
    }

    /// Tells the answer.
    pub fn show(&self) {
        let Some(outcome) = &self.outcome else { return };
        let Provable { machine, adds, .. } = &self.asked;
        show_outcome(outcome, machine);
        if let Outcome::Refuted(found) = outcome {
            line(try_it(found, machine, *adds, &self.run));
        }
        line(format!("{:.2} s", self.seconds));
    }

    /// Writes the proof, if there is one, and a picture of the states.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn keep(&self) -> anyhow::Result<()> {
        let Provable { seed, parameters, machine, .. } = &self.asked;
        let certificate = self.certificate();
        if let Some(certificate) = certificate {
            write_output(&self.run.join(PROOF), certificate.to_json().as_bytes())?;
        }
        let hidden = parameters.config().hidden();
        let (title, names) = if machine.is_addition() {
            let title =
                format!("{hidden} hidden units, seed {seed}: the states without and with a carry");
            (title, ["no carry", "carry"].map(str::to_owned).to_vec())
        } else {
            let title =
                format!("{hidden} hidden units, seed {seed}: the states of {:?}", machine.name());
            (title, machine.states().to_vec())
        };
        let svg = chart::families(&title, &names, &picture(parameters, machine, certificate))?;
        write_output(&self.run.join(REPORT), svg.as_bytes())?;
        Ok(())
    }

    /// Tells where the files are, if there is a proof.
    pub fn show_files(&self) {
        if self.is_proved() {
            let [proof, report] = [PROOF, REPORT].map(|name| self.run.join(name));
            line(format!("The proof is in {}, a picture in {}", shown(&proof), shown(&report)));
        }
    }

    /// The answer for programs, and where the files are that were `kept`.
    pub fn fields(&self, kept: &anyhow::Result<()>) -> Value {
        let Some(outcome) = &self.outcome else {
            return json!({ "outcome": "stopped", "seconds": self.seconds });
        };
        let mut object = outcome_fields(outcome, &self.asked.machine);
        object["seconds"] = self.seconds.into();
        let path = |name: &str| Value::from(self.run.join(name).display().to_string());
        match kept {
            Ok(()) => {
                if self.is_proved() {
                    object["certificate"] = path(PROOF);
                }
                object["report"] = path(REPORT);
            }
            Err(error) => object["error"] = format!("{error:#}").into(),
        }
        object
    }
}
fn show_outcome(outcome: &Outcome, machine: &Machine) {
    match outcome {
        Outcome::Certified { verified, .. } => show(verified),
        Outcome::Refuted(found) if !machine.is_addition() => {
            line(format!(
                "Refuted: the network answers the last symbol of this word wrongly: {}",
                found.spell(machine)
            ));
            line(format!(
                "It has {} symbols; all answers to words of up to {} are right{}.",
                found.length(machine),
                found.right_up_to,
                so_shortest(found)
            ));
        }
        Outcome::Refuted(found) => {
            let [a, b] = found.operands();
            line(format!("Refuted: the network adds {} and {} wrongly.", short(&a), short(&b)));
            line(format!(
                "They have {} binary digits; the lowest {} of any sum are right{}.",
                found.length(machine),
                found.right_up_to,
                so_shortest(found)
            ));
        }
        Outcome::Unknown if !machine.is_addition() => {
            line("Unknown: neither a proof nor a word that is answered wrongly were found.");
        }
        Outcome::Unknown => {
            line("Unknown: neither a proof nor two numbers that are added wrongly were found.");
        }
    }
}

/// What it means that all shorter ones are right, if they are known to be.
fn so_shortest(found: &Counterexample) -> &'static str {
    if found.is_shortest() { ", and no shorter one is wrong" } else { "" }
}

fn outcome_fields(outcome: &Outcome, machine: &Machine) -> Value {
    match outcome {
        Outcome::Certified { verified, .. } => fields(verified),
        Outcome::Refuted(found) if !machine.is_addition() => json!({
            "outcome": "counterexample",
            "word": found.spell(machine),
            "symbols": found.length(machine),
            "right_up_to": found.right_up_to,
            "shortest": found.is_shortest(),
        }),
        Outcome::Refuted(found) => {
            let [a, b] = found.operands();
            json!({
                "outcome": "counterexample",
                "a": a.to_string(),
                "b": b.to_string(),
                "bits": found.length(machine),
                "right_up_to": found.right_up_to,
            "shortest": found.is_shortest(),
            })
        }
        Outcome::Unknown => json!({ "outcome": "unknown" }),
    }
}

/// A line for a shell that shows the network go wrong.
fn try_it(found: &Counterexample, machine: &Machine, adds: bool, run: &Path) -> String {
    let run = quoted(run);
    if !adds {
        let word = found.spell(machine);
        return format!("Try it: cargo xtask run {} --run {run}", quoted(Path::new(&word)));
    }
    let [a, b] = found.operands().map(|operand| operand.to_string());
    if a.len().max(b.len()) <= MOST_ARGUMENT {
        format!("Try it: cargo xtask add {a} {b} --run {run}")
    } else {
        // Linux takes no argument of 128 KiB or more.
        format!("Try it: printf '%s\\n' {a} {b} | cargo xtask add - - --run {run}")
    }
}

/// The longest number that is written as an argument.
const MOST_ARGUMENT: usize = 100_000;

/// A number, or how long it is.
fn short(number: &BigUint) -> String {
    let text = number.to_string();
    if text.len() <= 40 { text } else { format!("a number of {} digits", text.len()) }
}
