//! `cargo xtask forecast`: continues a file from its end.

use crate::Usage;
use crate::chart::forecast::continued;
use crate::numbers::whole;
use crate::output::{Progress, line, thousands};
use crate::paths::shown;
use crate::runs;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use train::atomic_file::{is_standard_output, try_output, write_output};
use train::data_file::length;
use train::run_folder::RunFolder;
use train::task::Task;
use train::task::series::{Goal, Said, Series, Table};

/// Continue a CSV file from its end, by a network that learned such a series
///
/// The columns must be those of the training. The forecast is written as CSV, with a picture beside
/// it.
#[derive(clap::Args)]
#[command(
    override_usage = "cargo xtask forecast [OPTIONS] [RUN] <FILE.csv>",
    after_help = "\
Examples:
  cargo xtask forecast power.csv             by the latest run
  cargo xtask forecast runs/0003 power.csv --steps 48 --out next.csv"
)]
pub struct Args {
    /// The run of a series [default: the latest run], and the file
    #[arg(required = true, num_args = 1..=2, value_name = "FILE.csv")]
    paths: Vec<PathBuf>,

    /// Rows to forecast [default: the horizon of the training]
    #[arg(long, value_name = "ROWS", value_parser = whole::<usize>(1..=1_000_000),
          allow_negative_numbers = true)]
    steps: Option<usize>,

    /// The forecast; the picture has the same name and the ending svg
    #[arg(long, value_name = "FILE", default_value = "forecast.csv")]
    out: PathBuf,
}

/// Windows of the file that the picture shows before the forecast.
const ROWS_BEFORE: usize = 200;

/// Continues.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (run, file) = runs::run_and_file(&args.paths);
    let picture = args.out.with_extension("svg");
    let has_picture = !is_standard_output(&args.out);
    if has_picture && picture == args.out {
        return Err(
            Usage("--out is the CSV file; give it another ending than svg".to_owned()).into()
        );
    }
    let folder = runs::open(run, &[Series::NAME], has_picture)?;
    of_series(&folder)?;
    let (config, parameters) = folder.load::<Series>()?;
    let series = config.task;
    let Goal::Forecast { targets, horizon } = series.goal() else {
        bail!(
            "the network of {} tells classes, and forecasts nothing; train one with --target",
            shown(folder.path())
        );
    };
    let (count, steps) = (targets.len(), args.steps.unwrap_or(*horizon));
    if steps > *horizon {
        let is_target = |name: &str| targets.iter().any(|target| target.column == name);
        let others = series.inputs().iter().map(|input| input.column.as_str());
        let others: Vec<_> = others.filter(|name| !is_target(name)).collect();
        if !others.is_empty() {
            return Err(Usage(format!(
                "--steps of {steps} are more than the {horizon} that the network forecasts at once, and it \
                 is shown {} too, which it does not forecast; ask for at most {horizon}, or train with \
                 --inputs of targets alone",
                others.join(", ")
            ))
            .into());
        }
    }
    try_output(&args.out).context("keeping the forecast")?;
    if has_picture {
        try_output(&picture).context("keeping the picture")?;
    }

    let said =
        Said { delimiter: Some(series.format().delimiter), decimal: Some(series.format().decimal) };
    let progress =
        if has_picture { Progress::new(length(file)?, "bytes read") } else { Progress::none() };
    let table = Table::open(file, said, &mut |done| progress.set(done));
    progress.finish();
    let (_, mut table) = table?;
    let refuse = |reason: String| train::Error::Data { path: file.clone(), reason };
    let window = series.window();
    if table.rows < window {
        let rows = thousands(table.rows as u64);
        return Err(refuse(format!("has {rows} rows, fewer than the window of {window}")).into());
    }
    let rows = table.rows;
    let before: Vec<(f64, f64)> = {
        let data = series.data_of(file, &table)?;
        let from = rows.saturating_sub(ROWS_BEFORE.max(2 * horizon));
        (from..rows).map(|row| (row as f64, data.truth(row * count))).collect()
    };
    let mut values = Vec::new();
    let mut times = Vec::new();
    while values.len() < steps * count {
        // The window, and a row before it for what is carried forward into it.
        table = table.last(window + 1);
        let data = series.data_of(file, &table)?;
        let next = series.forecasts(&data, &parameters, &[table.rows]);
        values.extend_from_slice(&next);
        times.extend(table.extend(&series, &next).map_err(refuse)?);
    }
    values.truncate(steps * count);
    times.truncate(steps);

    write_output(&args.out, csv_of(&series, rows, &times, &values)?.as_slice())
        .context("keeping the forecast")?;
    if has_picture {
        let target = &targets[0].column;
        let after = values.iter().step_by(count).zip(rows..);
        let after = after.map(|(&value, row)| (row as f64, value)).collect();
        let title = format!("Forecast of {target}: {steps} rows after {}", name_of(file));
        let svg = continued(&title, target, before, after)?;
        write_output(&picture, svg.as_bytes()).context("keeping the picture")?;
        let rows = thousands(rows as u64);
        line(format!("{steps} rows behind the {rows} of {}", shown(file)));
        line(format!(
            "The forecast is in {}, its picture in {}",
            shown(&args.out),
            shown(&picture)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn name_of(file: &Path) -> String {
    file.file_name().map_or(String::new(), |name| shown(Path::new(name)))
}

/// Refuses the run of another task.
fn of_series(folder: &RunFolder) -> anyhow::Result<()> {
    let name = folder.task_name()?;
    if name == Series::NAME {
        return Ok(());
    }
    bail!(
        "the network of {} learned the task {name} and cannot forecast; train one with `cargo xtask \
         train series FILE.csv --target COLUMN`",
        shown(folder.path())
    )
}

/// The forecast as CSV, with the delimiter and the decimal mark of the training's file, and times as
/// 2006-12-16 or 2006-12-16 18:00:00.
fn csv_of(
    series: &Series,
    first: usize,
    times: &[String],
    values: &[f64],
) -> anyhow::Result<Vec<u8>> {
    let Goal::Forecast { targets, .. } = series.goal() else { return Ok(Vec::new()) };
    let format = series.format();
    let delimiter = u8::try_from(format.delimiter).unwrap_or(b',');
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    let time = series.time().unwrap_or("row");
    let names = targets.iter().map(|target| target.column.as_str());
    writer.write_record(std::iter::once(time).chain(names))?;
    for (place, values) in values.chunks(targets.len()).enumerate() {
        let time = times.get(place).cloned().unwrap_or_else(|| (first + place).to_string());
        let values = values.iter().map(|value| {
            let text = format!("{value:.6}");
            if format.decimal == ',' { text.replace('.', ",") } else { text }
        });
        writer.write_record(std::iter::once(time).chain(values))?;
    }
    Ok(writer.into_inner()?)
}
