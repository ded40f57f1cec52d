//! `cargo xtask bench peers --series FILE.csv --target COLUMN`: forecasts learned by Carry and by
//! PyTorch.

use super::learned::{Learned, compare};
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use train::batch::{Batch, Inputs, Targets};
use train::config::RunConfig;
use train::state::State;
use train::task::series::{Asked, Reading, Series};
use train::task::{Progress, Source, Task};

/// Runs the comparison and prints the table: see [`compare`].
///
/// # Errors
/// As there, or if the table cannot be used.
pub fn run(file: &Path, target: &str, cell: Option<&str>, quick: bool, json: bool) -> Result<()> {
    let asked = Asked::Forecast(vec![target.to_owned()], 24);
    let learned = Learned {
        training: Series::open(file, &Reading::of(asked))?.training(),
        script: "series_torch.py",
        write,
        sample: None,
    };
    compare(&learned, cell, quick, json)
}

/// All batches, one behind the other, and what is validated.
fn write(folder: &Path, config: &RunConfig<Series>, state: &State) -> Result<Value> {
    let series = &config.task;
    let mut generator = state.workers[0].generator.clone();
    let (batch, of) = (config.run.batch as u64, config.run.examples);
    let (mut drawn, mut x, mut y) = (Batch::default(), Vec::new(), Vec::new());
    for update in 0..of / batch {
        let progress = Progress { examples: update * batch, of, batch, worker: 0, workers: 1 };
        let source = Source { generator: &mut generator, count: config.run.batch, progress };
        series.draw(source, &mut drawn);
        append(&drawn, &mut x, &mut y);
    }
    let valid = series.validated_batch();
    let (mut valid_x, mut valid_y) = (Vec::new(), Vec::new());
    append(&valid, &mut valid_x, &mut valid_y);
    for (name, bytes) in [("x", &x), ("y", &y), ("valid_x", &valid_x), ("valid_y", &valid_y)] {
        fs::write(folder.join(format!("{name}.f32")), bytes)?;
    }
    let (inputs, head) = series.io();
    Ok(json!({
        "inputs": inputs,
        "outputs": head.outputs,
        "window": series.steps(),
        "valid": valid.count,
        "huber": train::task::series::HUBER,
    }))
}

fn append(batch: &Batch, x: &mut Vec<u8>, y: &mut Vec<u8>) {
    let (Inputs::Values(inputs), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
        unreachable!("forecasts are of values")
    };
    x.extend(inputs.iter().flat_map(|value| value.to_le_bytes()));
    y.extend(targets.iter().flat_map(|value| value.to_le_bytes()));
}
