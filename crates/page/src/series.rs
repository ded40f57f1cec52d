//! What a network on a table makes of its test part: forecasts beside the truth, or classes.

use crate::data::{Origin, SeriesData};
use model::Parameters;
use train::task::series::{Goal, Series};
use train::task::{Score, Task};

/// Forecasts that are shown at most, and values of them.
const ORIGINS: usize = 300;
const VALUES: usize = 150_000;

/// Rows that are shown before a forecast at most.
const BEFORE: usize = 200;

/// The data of a task that is prepared.
pub fn of_series(task: &Series, parameters: &Parameters) -> SeriesData {
    let score = task.evaluate(parameters, 0).describe();
    let file = task.file().path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let test = &task.parts().test;
    let origins = task.test_origins();
    let mut data = SeriesData {
        file,
        targets: Vec::new(),
        horizon: 0,
        season: task.season(),
        rows: [test.start, test.end],
        origins: Vec::new(),
        of: origins.len(),
        score,
        classes: Vec::new(),
    };
    match task.goal() {
        Goal::Forecast { targets, horizon } => {
            data.targets = targets.iter().map(|target| target.column.clone()).collect();
            data.horizon = *horizon;
            data.origins = forecasts(task, parameters, &origins);
        }
        Goal::Classify { column, classes } => {
            data.targets = vec![column.clone()];
            data.classes = classes.clone();
        }
    }
    data
}

/// Forecasts from some of `origins`, evenly spread.
fn forecasts(task: &Series, parameters: &Parameters, origins: &[usize]) -> Vec<Origin> {
    let Goal::Forecast { targets, horizon } = task.goal() else { return Vec::new() };
    let (count, horizon) = (targets.len(), *horizon);
    let before = BEFORE.min(2 * horizon.max(12));
    let most = (VALUES / (count * (before + 2 * horizon))).clamp(1, ORIGINS);
    let apart = origins.len().div_ceil(most).max(1);
    let origins: Vec<usize> = origins.iter().copied().step_by(apart).collect();
    let data = task.data();
    let outputs = task.forecasts(data, parameters, &origins);
    let of_origin = |(&row, forecast): (&usize, &[f64])| {
        let truth = |rows: std::ops::Range<usize>| -> Vec<Vec<Option<f32>>> {
            let column = |n: usize| {
                let values = rows.clone().map(|row| data.truth(row * count + n));
                values.map(|value| value.is_finite().then_some(value as f32)).collect()
            };
            (0..count).map(column).collect()
        };
        let said = |n: usize| forecast.iter().skip(n).step_by(count).map(|&y| y as f32).collect();
        Origin {
            row,
            time: task.time_of(row),
            before: truth(row.saturating_sub(before)..row),
            truth: truth(row..row + horizon),
            forecast: (0..count).map(said).collect(),
        }
    };
    origins.iter().zip(outputs.chunks(horizon * count)).map(of_origin).collect()
}
