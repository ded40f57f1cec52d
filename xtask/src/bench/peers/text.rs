//! `cargo xtask bench peers --text FILE`: a text learned by Carry and by PyTorch.

use super::learned::{Learned, compare};
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;
use train::batch::Batch;
use train::config::RunConfig;
use train::state::State;
use train::task::text::{Reading, Sampler, Symbols, Text};
use train::task::{Progress, Source, Task};
use train::trainer::Trainer;

/// Symbols that Carry samples, and PyTorch.
const SAMPLED: [usize; 2] = [100_000, 2_000];

/// Runs the comparison and prints the table: see [`compare`].
///
/// # Errors
/// As there, or if the text cannot be used.
pub fn run(file: &Path, cell: Option<&str>, quick: bool, json: bool) -> Result<()> {
    let learned = Learned {
        training: Text::open(&[file.to_owned()], Reading::default())?.training(),
        script: "text_torch.py",
        write,
        sample: Some((sample, SAMPLED[1])),
    };
    compare(&learned, cell, quick, json)
}

/// The symbols, and which stream starts anew at which update.
fn write(folder: &Path, config: &RunConfig<Text>, state: &State) -> Result<Value> {
    let text = &config.task;
    for (name, symbols) in [("train", &text.corpus().train), ("valid", &text.corpus().valid)] {
        fs::write(folder.join(format!("{name}.u32")), little_endian(symbols))?;
    }
    let mut generator = state.workers[0].generator.clone();
    let (batch, of, mut drawn) = (config.run.batch as u64, config.run.examples, Batch::default());
    let restarts = (0..of / batch).map(|update| {
        let progress = Progress { examples: update * batch, of, batch, worker: 0, workers: 1 };
        let source = Source { generator: &mut generator, count: config.run.batch, progress };
        text.draw(source, &mut drawn);
        drawn.restarts.clone()
    });
    let restarts: Vec<_> = restarts.collect();
    let (count, steps, apart) = text.validated();
    Ok(json!({
        "symbols": text.vocabulary().len(),
        "chunk": text.steps(),
        "restarts": restarts,
        "valid": { "count": count, "steps": steps, "apart": apart },
    }))
}

fn little_endian(symbols: &Symbols) -> Vec<u8> {
    symbols.part(0..symbols.len()).flat_map(u32::to_le_bytes).collect()
}

/// Symbols a second that our network writes, on one thread; the weights are the first ones.
fn sample(config: &RunConfig<Text>) -> Result<f64> {
    let parameters = Trainer::new(config)?.parameters().clone();
    let mut sampler = Sampler::new(parameters, 0.8, usize::MAX, 0)?;
    let mut seconds = 0.0;
    for part in [SAMPLED[0] / 10, SAMPLED[0]] {
        let start = Instant::now();
        for _ in 0..part {
            std::hint::black_box(sampler.write());
        }
        seconds = start.elapsed().as_secs_f64();
    }
    Ok(SAMPLED[0] as f64 / seconds)
}
