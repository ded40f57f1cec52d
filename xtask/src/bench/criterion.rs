//! Reads what Criterion measured: `**/new/{benchmark,estimates}.json` below a folder.
//!
//! These files are internal to Criterion, and their form is not guaranteed. The fields used
//! here have been the same since version 0.3. No other file of it is read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One benchmark, its times in nanoseconds for one iteration.
#[derive(Debug, PartialEq)]
pub struct Measured {
    /// The name within the group, as `exp/carry`.
    pub function: String,
    /// The parameter, as `4096`, or nothing.
    pub parameter: String,
    /// What one iteration processes, if the benchmark says so.
    pub elements: Option<f64>,
    pub median: f64,
    /// The ends of the median's 95% confidence interval.
    pub median_ends: [f64; 2],
    /// The median absolute deviation of the samples, scaled to a standard deviation.
    pub median_abs_dev: f64,
}

#[derive(Deserialize)]
struct BenchmarkFile {
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Elements(f64),
    #[serde(untagged)]
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct EstimatesFile {
    median: Estimate,
    median_abs_dev: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Interval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Measured {
    fn parse(benchmark: &str, estimates: &str) -> serde_json::Result<Self> {
        let benchmark: BenchmarkFile = serde_json::from_str(benchmark)?;
        let EstimatesFile { median, median_abs_dev } = serde_json::from_str(estimates)?;
        let Interval { lower_bound, upper_bound } = median.confidence_interval;
        Ok(Self {
            function: benchmark.function_id.unwrap_or_default(),
            parameter: benchmark.value_str.unwrap_or_default(),
            elements: match benchmark.throughput {
                Some(Throughput::Elements(count)) => Some(count),
                _ => None,
            },
            median: median.point_estimate,
            median_ends: [lower_bound, upper_bound],
            median_abs_dev: median_abs_dev.point_estimate,
        })
    }
}

/// All benchmarks below `folder`, in no particular order.
///
/// # Errors
/// If the folder or a file in it cannot be read or makes no sense.
pub fn read(folder: &Path) -> Result<Vec<Measured>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("cannot read Criterion's results in {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        if folder.ends_with("new") && folder.join("benchmark.json").exists() {
            found.push(read_one(&folder).with_context(|| {
                format!("cannot read Criterion's result in {}", folder.display())
            })?);
        }
    }
    Ok(found)
}

fn read_one(folder: &Path) -> Result<Measured> {
    let benchmark = fs::read_to_string(folder.join("benchmark.json"))?;
    let estimates = fs::read_to_string(folder.join("estimates.json"))?;
    Ok(Measured::parse(&benchmark, &estimates)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BENCHMARK: &str = r#"{"group_id":"activation","function_id":"exp/carry",
        "value_str":"4096","throughput":{"Elements":4096},"full_id":"activation/exp/carry/4096",
        "directory_name":"activation/exp_carry/4096","title":"activation/exp/carry/4096"}"#;
    const ESTIMATES: &str = r#"{
        "mean":{"confidence_interval":{"confidence_level":0.95,"lower_bound":800.0,
            "upper_bound":900.0},"point_estimate":850.0,"standard_error":9.0},
        "median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":810.5,
            "upper_bound":830.0},"point_estimate":820.0,"standard_error":5.0},
        "median_abs_dev":{"confidence_interval":{"confidence_level":0.95,"lower_bound":3.0,
            "upper_bound":8.0},"point_estimate":6.5,"standard_error":1.0},
        "slope":null}"#;

    #[test]
    fn the_two_files_of_a_benchmark() {
        let measured = Measured::parse(BENCHMARK, ESTIMATES).unwrap();
        let expected = Measured {
            function: "exp/carry".to_owned(),
            parameter: "4096".to_owned(),
            elements: Some(4096.0),
            median: 820.0,
            median_ends: [810.5, 830.0],
            median_abs_dev: 6.5,
        };
        assert_eq!(measured, expected);
    }

    #[test]
    fn a_benchmark_without_parameter_or_elements() {
        for throughput in
            ["null", r#"{"Bytes":64}"#, r#"{"ElementsAndBytes":{"elements":1,"bytes":4}}"#]
        {
            let benchmark = format!(
                r#"{{"group_id":"lab","function_id":"step","value_str":null,"throughput":{throughput}}}"#
            );
            let measured = Measured::parse(&benchmark, ESTIMATES).unwrap();
            assert_eq!((measured.parameter.as_str(), measured.elements), ("", None));
        }
        assert!(Measured::parse("{}", "{}").is_err());
    }

    #[test]
    fn only_new_results_are_found_and_a_broken_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str, benchmark: &str| {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("benchmark.json"), benchmark).unwrap();
            fs::write(folder.join("estimates.json"), ESTIMATES).unwrap();
        };
        write("exp_carry/4096/new", BENCHMARK);
        write("exp_carry/4096/base", BENCHMARK);
        assert_eq!(read(root.path()).unwrap().len(), 1);
        write("exp_carry/64/new", "not JSON");
        let error = format!("{:#}", read(root.path()).unwrap_err());
        assert!(error.contains("exp_carry/64/new: expected"), "{error}");
        assert!(read(&root.path().join("missing")).is_err());
    }
}
