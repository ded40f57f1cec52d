//! The report of a study: data with a versioned form, and the Markdown made from it.

use serde::{Deserialize, Serialize};

use super::criterion::Measured;
use super::group::{Group, product_shape};
use super::moments::{Line, Moments};
use super::roofline::{Limit, Roofline, Work};

/// All that report.json holds, but for [`FORMAT`] and [`VERSION`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// When the measurements ended.
    pub date: String,
    /// The command that makes such a report.
    pub command: String,
    pub cpu: String,
    pub build_features: Vec<String>,
    pub rustc: String,
    pub quick: bool,
    pub roofline: Roofline,
    pub benchmarks: Vec<Benchmark>,
    /// The same for a build for another CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Also>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Why not all was measured, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// What one build measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Build {
    pub build_features: Vec<String>,
    pub roofline: Roofline,
    pub benchmarks: Vec<Benchmark>,
}

/// A second build, measured after the first, with its own ceilings.
#[derive(Debug, Serialize, Deserialize)]
pub struct Also {
    pub target_cpu: String,
    #[serde(flatten)]
    pub build: Build,
}

/// One benchmark; times are nanoseconds for one iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    pub group: Group,
    /// What is computed, as `exp`; empty for products.
    pub what: String,
    /// Its size, as `4096` or `16x64x256`; empty where there is one.
    pub size: String,
    /// Who computes it: `carry`, or a rival.
    pub by: String,
    pub ours: bool,
    pub median_ns: f64,
    /// The 95% confidence interval of the median.
    pub median_low_ns: f64,
    pub median_high_ns: f64,
    pub median_abs_dev_ns: f64,
    /// Values, FLOP or examples of an iteration, by group.
    pub elements: Option<f64>,
    pub work: Option<Work>,
    /// What bounds the work on this machine, and the share of that bound that was reached.
    pub limit: Option<Limit>,
    pub share: Option<f64>,
    /// The same by samples that each have a limit of their own moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<Moments>,
    /// Time over ours, for rivals.
    pub times_ours: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// A benchmark compared with its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Time over the baseline's.
    pub ratio: f64,
    /// Relative, of both runs together.
    pub noise: f64,
    pub slower: bool,
}

/// The comparison with a baseline as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub baseline: String,
    pub baseline_date: String,
    /// The peak rate over the baseline's.
    pub peak_ratio: f64,
    pub warnings: Vec<String>,
    /// In the baseline and in a group that ran, but no longer there.
    pub gone: Vec<String>,
}

/// What a report.json says it is.
pub const FORMAT: &str = "carry-bench-report";
/// Changes when a field changes its meaning or is removed.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct File<'a> {
    format: &'static str,
    version: u32,
    #[serde(flatten)]
    report: &'a Report,
}

/// How the names of our own contestants begin.
const OURS: &str = "carry";

impl Benchmark {
    /// The results of a group, in the order of the report: by subject and size, ours
    /// before the rivals, these with their ratio to ours.
    pub fn of_group(group: Group, results: Vec<Measured>, roofline: &Roofline) -> Vec<Self> {
        let mut benchmarks: Vec<_> =
            results.into_iter().map(|result| Self::new(group, result, roofline)).collect();
        benchmarks.sort_by(|a, b| a.order().cmp(&b.order()));
        for subject in benchmarks.chunk_by_mut(|a, b| (&a.what, &a.size) == (&b.what, &b.size)) {
            // The plain form comes first, as variants have longer names.
            if let Some(ours) = subject.iter().find(|b| b.ours).map(|b| b.median_ns) {
                for rival in subject.iter_mut().filter(|b| !b.ours) {
                    rival.times_ours = Some(rival.median_ns / ours);
                }
            }
        }
        benchmarks
    }

    fn new(group: Group, result: Measured, roofline: &Roofline) -> Self {
        let function = result.function.as_str();
        let (what, by) = match group {
            Group::Activation | Group::Model => function.rsplit_once('/').unwrap_or((function, "")),
            Group::Matmul => ("", function),
            Group::Lab => (function, OURS), // its rivals are those of `bench peers`
        };
        let work = Work::of(group, what, by, &result.parameter);
        let limit = work.map(|work| {
            let (limit, attainable) = roofline.attainable(work);
            (limit, work.flop / result.median / attainable) // FLOP a nanosecond: GFLOP/s
        });
        Self {
            group,
            what: what.to_owned(),
            by: by.to_owned(),
            ours: by.starts_with(OURS),
            size: result.parameter,
            median_ns: result.median,
            median_low_ns: result.median_ends[0],
            median_high_ns: result.median_ends[1],
            median_abs_dev_ns: result.median_abs_dev,
            elements: result.elements,
            work,
            limit: limit.map(|(limit, _)| limit),
            share: limit.map(|(_, share)| share),
            moments: None,
            times_ours: None,
            change: None,
        }
    }

    /// Adds to each what the bench itself has made of its samples.
    pub fn add_moments(benchmarks: &mut [Self], lines: &[Line]) {
        for benchmark in benchmarks {
            let names = names(benchmark.group, &benchmark.what, &benchmark.by);
            let same = |line: &&Line| line.function == names && line.parameter == benchmark.size;
            benchmark.moments = lines.iter().find(same).map(|line| line.moments);
            if let Some(moments) = &mut benchmark.moments {
                moments.find_shares(benchmark.limit, benchmark.work);
            }
        }
    }

    fn order(&self) -> impl Ord {
        let size: Vec<u64> =
            self.size.split('x').filter_map(|number| number.parse().ok()).collect();
        (self.what.clone(), size, self.size.clone(), !self.ours, self.by.len(), self.by.clone())
    }

    /// Group, subject, size and contestant: what identifies a benchmark in two reports.
    pub fn id(&self) -> String {
        let parts = [self.group.name(), &self.what, &self.size, &self.by];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// How far the median may be off, relative to it: half its confidence interval, or
    /// the typical distance of a sample, whichever is more.
    pub fn noise(&self) -> f64 {
        let half_interval = (self.median_high_ns - self.median_low_ns) / 2.0;
        half_interval.max(self.median_abs_dev_ns) / self.median_ns
    }

    /// GFLOP/s, where the work is counted.
    pub fn gflops(&self) -> Option<f64> {
        Some(self.work?.flop / self.median_ns)
    }

    /// n, where it is a product of n × n matrices.
    pub fn square_size(&self) -> Option<usize> {
        let [m, k, n] = product_shape(&self.size)?;
        (self.group == Group::Matmul && m == k && k == n).then_some(n)
    }

    /// As `83% of L1`: what it reached of what bounds it, or as `83–85% of peak` by the median and
    /// the best sample, where the limit was measured beside each.
    fn share_of_limit(&self) -> Option<String> {
        let (share, limit) = (self.share?, self.limit?.name());
        let moments = self.moments.and_then(|moments| moments.median_share.zip(moments.best_share));
        Some(match moments.map(|(median, best)| (100.0 * median, 100.0 * best)) {
            Some((median, best)) => format!("{median:.0}–{best:.0}% of {limit}"),
            None => format!("{:.0}% of {limit}", 100.0 * share),
        })
    }

    fn row(&self, with_change: bool) -> Vec<String> {
        let subject = format!("{} {}", self.what, self.size);
        let mut row = vec![
            subject.trim().to_owned(),
            self.by.clone(),
            time(self.median_ns),
            format!("{:.1}%", 100.0 * self.noise()),
            or_dash(self.moments.map(|moments| time(moments.best_ns))),
            or_dash(self.moments.map(|moments| {
                moments.thrown_away() + if moments.is_disturbed() { " !" } else { "" }
            })),
            or_dash(self.elements.map(|n| rate(n / self.median_ns * 1e9, self.group.unit()))),
            or_dash(self.share_of_limit()),
            or_dash(self.times_ours.map(|ratio| format!("{ratio:.2}"))),
        ];
        if with_change {
            row.push(or_dash(self.change.map(|Change { ratio, slower, .. }| {
                format!("{ratio:.2}{}", if slower { " slower" } else { "" })
            })));
        }
        row
    }
}

impl Report {
    /// As one line.
    pub fn json(&self) -> String {
        let file = File { format: FORMAT, version: VERSION, report: self };
        serde_json::to_string(&file).expect("numbers, names and lists")
    }

    /// As a page.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Benchmarks\n\n\
             - CPU: {}, one core\n\
             - built for: {}\n\
             - {}\n\
             - {}: `{}`\n",
            self.cpu,
            self.build_features.join(" "),
            self.rustc,
            self.date,
            self.command,
        );
        if self.quick {
            text += "- `--quick`: a look, not a measurement\n";
        }
        if let Some(reason) = &self.incomplete {
            let reason = reason.lines().next().unwrap_or_default();
            text += &format!("- incomplete: {reason}\n");
        }
        text += &ceilings("The machine", &self.roofline);
        if let Some(Also { target_cpu, build }) = &self.also {
            let what = format!(
                "The build for {target_cpu} ({}) on the machine",
                build.build_features.join(" ")
            );
            text += &ceilings(&what, &build.roofline);
        }
        text += "\nTimes are medians; ± is half their 95% confidence interval or the samples' median \
                 absolute deviation, whichever is more. The limit is the roofline's: the peak, or the \
                 bandwidth of the cache that holds the data (L2's for what only L3 holds). Bandwidths are of \
                 loads; with stores at the same time, a share can exceed 100%.\n\
                 \nA sample is thrown away if a reference loop beside it was slower than its own best by more \
                 than 5%. Best, and a share with two ends (median–best), are of the samples kept, each with the \
                 limit that was measured at the same moment. ! marks a disturbed figure: more than half of \
                 its samples were thrown away.\n";
        let disturbed =
            self.benchmarks.iter().filter(|b| b.moments.is_some_and(|m| m.is_disturbed()));
        match disturbed.count() {
            0 => {}
            count => {
                text += &format!("\n{count} of {} figures are disturbed.\n", self.benchmarks.len());
            }
        }
        let mut header = vec![
            "benchmark",
            "by",
            "median",
            "±",
            "best",
            "thrown away",
            "throughput",
            "of its limit",
            "time ÷ ours",
        ];
        if self.comparison.is_some() {
            header.push("time ÷ baseline");
        }
        let also = self.also.as_ref();
        let also_header = also.map(|also| format!("{}: median", also.target_cpu));
        header.extend(also_header.as_deref());
        header.extend(also.map(|_| "of its limit"));
        for group in self.benchmarks.chunk_by(|a, b| a.group == b.group) {
            let row = |benchmark: &Benchmark| {
                let mut row = benchmark.row(self.comparison.is_some());
                if let Some(also) = also {
                    let same = also.build.benchmarks.iter().find(|b| b.id() == benchmark.id());
                    row.push(or_dash(same.map(|same| time(same.median_ns))));
                    row.push(or_dash(same.and_then(Benchmark::share_of_limit)));
                }
                row
            };
            let rows: Vec<_> = group.iter().map(row).collect();
            text += &format!("\n## {}\n\n{}", group[0].group.name(), table(&header, 2, &rows));
        }
        if let Some(comparison) = &self.comparison {
            text += &self.comparison_section(comparison);
        }
        text
    }

    fn comparison_section(&self, comparison: &Comparison) -> String {
        let Comparison { baseline, baseline_date, peak_ratio, warnings, gone } = comparison;
        let mut text = format!(
            "\n## Against {baseline} ({baseline_date})\n\n\
             Slower is what takes longer than the baseline by more than the noise: ± of both runs \
             and the drift of the peak within both, together. The peak is {peak_ratio:.3} times the \
             baseline's.\n\n"
        );
        for warning in warnings {
            text += &format!("- warning: {warning}\n");
        }
        for id in gone {
            text += &format!("- no longer measured: {id}\n");
        }
        let compared = self.benchmarks.iter().filter(|b| b.change.is_some()).count();
        let mut slower = 0;
        for (benchmark, change) in self.benchmarks.iter().filter_map(|b| b.change.map(|c| (b, c))) {
            if change.slower {
                slower += 1;
                text += &format!(
                    "- slower: {}: {:.2} times the baseline's {}, noise {:.1}%\n",
                    benchmark.id(),
                    change.ratio,
                    time(benchmark.median_ns / change.ratio),
                    100.0 * change.noise,
                );
            }
        }
        text + &format!("- {slower} of {compared} benchmarks became slower\n")
    }
}

/// The name that Criterion has for what [`Benchmark::new`] took apart.
fn names(group: Group, what: &str, by: &str) -> String {
    match group {
        Group::Activation | Group::Model => format!("{what}/{by}"),
        Group::Matmul => by.to_owned(),
        Group::Lab => what.to_owned(),
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or("–".to_owned())
}

/// `what` before and after its run, as a table with a sentence above.
fn ceilings(what: &str, Roofline { before, after, drift, .. }: &Roofline) -> String {
    let row = |name: &str, before: f64, after: f64| {
        vec![name.to_owned(), format!("{before:.1}"), format!("{after:.1}")]
    };
    let rows = [
        row("peak, GFLOP/s", before.peak_gflops, after.peak_gflops),
        row("L1 loads, GB/s", before.l1_gb_per_s, after.l1_gb_per_s),
        row("L2 loads, GB/s", before.l2_gb_per_s, after.l2_gb_per_s),
        row("memory loads, GB/s", before.memory_gb_per_s, after.memory_gb_per_s),
    ];
    format!("\n{what} before and after; its peak moved by {:.1}%.\n\n", 100.0 * drift)
        + &table(&["ceiling", "before", "after"], 1, &rows)
}

/// Nanoseconds with three digits or more and a unit to suit.
pub fn time(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.1} ns"),
        ..1e6 => format!("{:.2} µs", ns / 1e3),
        ..1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

/// A number a second, with a prefix to suit.
fn rate(per_second: f64, unit: &str) -> String {
    let (number, prefix) = match per_second {
        ..1e3 => (per_second, ""),
        ..1e6 => (per_second / 1e3, "k"),
        ..1e9 => (per_second / 1e6, "M"),
        _ => (per_second / 1e9, "G"),
    };
    let digits = if number < 99.95 { 2 } else { 1 };
    // The prefix belongs to FLOP/s itself, and else to the number.
    let space = if unit == "FLOP" { "" } else { " " };
    format!("{number:.digits$} {prefix}{}{unit}/s", if prefix.is_empty() { "" } else { space })
}

/// A Markdown table, padded to be read as it is; all but the first `left` columns are
/// aligned to the right.
pub fn table(header: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].chars().count(), 3]).max().unwrap_or(3)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| -> String {
        let padded = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < left { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") }
        });
        padded.collect::<String>() + "|\n"
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| {
        let dashes = "-".repeat(width);
        if column < left { format!("| {dashes} ") } else { format!("| {}: ", &dashes[1..]) }
    });
    line(&mut header.iter().copied())
        + &rule.collect::<String>()
        + "|\n"
        + &rows.iter().map(|row| line(&mut row.iter().map(String::as_str))).collect::<String>()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::bench::moments::tests::LINE;
    use crate::bench::roofline::Ceilings;

    pub fn measured(function: &str, parameter: &str, median: f64) -> Measured {
        Measured {
            function: function.to_owned(),
            parameter: parameter.to_owned(),
            elements: Some(4096.0),
            median,
            median_ends: [median * 0.99, median * 1.01],
            median_abs_dev: median * 0.02,
        }
    }

    pub fn report(results: Vec<Measured>) -> Report {
        let ceilings = Ceilings {
            peak_gflops: 200.0,
            l1_gb_per_s: 400.0,
            l2_gb_per_s: 100.0,
            memory_gb_per_s: 10.0,
        };
        let roofline = Roofline::new(ceilings, ceilings);
        Report {
            date: "2026-01-31 12:00 UTC".to_owned(),
            command: "cargo xtask bench activation".to_owned(),
            cpu: "a CPU".to_owned(),
            build_features: vec!["avx2".to_owned(), "fma".to_owned()],
            rustc: "rustc 1.89.0".to_owned(),
            quick: false,
            benchmarks: Benchmark::of_group(Group::Activation, results, &roofline),
            roofline,
            also: None,
            comparison: None,
            incomplete: None,
        }
    }

    #[test]
    fn rows_come_by_subject_and_size_and_rivals_have_their_ratio_to_the_plain_form() {
        let report = report(vec![
            measured("exp/std", "4096", 8192.0),
            measured("exp/carry_in_place", "4096", 900.0),
            measured("exp/carry", "4096", 1024.0),
            measured("tanh/std", "64", 300.0),
            measured("exp/carry", "64", 16.0),
        ]);
        let ids: Vec<_> = report.benchmarks.iter().map(Benchmark::id).collect();
        assert_eq!(
            ids,
            [
                "activation exp 64 carry",
                "activation exp 4096 carry",
                "activation exp 4096 carry_in_place",
                "activation exp 4096 std",
                "activation tanh 64 std",
            ]
        );
        let ratios: Vec<_> = report.benchmarks.iter().map(|b| b.times_ours).collect();
        assert_eq!(ratios, [None, None, None, Some(8.0), None]);
    }

    #[test]
    fn the_table_shows_time_noise_throughput_share_and_ratio() {
        let report = report(vec![
            measured("exp/carry", "4096", 942.08),
            measured("exp/std", "4096", 9420.8),
        ]);
        let text = report.markdown();
        for row in [
            // 23 FLOP a value: 94,208 FLOP in 942.08 ns are 100 GFLOP/s of 200
            "| exp 4096  | carry | 942.1 ns | 2.0% | – | – | 4.35 G values/s |  50% of peak |           – |",
            "| exp 4096  | std   |  9.42 µs | 2.0% | – | – | 434.8 M values/s |   5% of peak |       10.00 |",
        ] {
            let same = |a: &str| a.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert!(text.lines().any(|line| same(line) == same(row)), "{row}\n{text}");
        }
        assert!(text.contains("| peak, GFLOP/s      |  200.0 | 200.0 |\n"), "{text}");
        assert!(text.contains("| ------------------ | -----: | ----: |\n"), "{text}");
        assert!(text.contains("- built for: avx2 fma\n"), "{text}");
    }

    #[test]
    fn a_disturbed_run_shows_itself() {
        let mut report = report(vec![
            measured("exp/carry", "4096", 942.08),
            measured("exp/carry", "64", 16.0),
            measured("exp/std", "4096", 9420.8),
        ]);
        let mut line: Line = serde_json::from_str(LINE).unwrap();
        let mut lines = vec![serde_json::from_str(LINE).unwrap()];
        (line.parameter, line.moments.thrown_away) = ("64".to_owned(), 21);
        lines.push(line);
        Benchmark::add_moments(&mut report.benchmarks, &lines);
        let shares: Vec<_> =
            report.benchmarks.iter().map(|b| b.moments.and_then(|m| m.median_share)).collect();
        assert_eq!(shares, [Some(23.0 * 64.0 / 200_000.0), Some(0.47104), None]);
        let text = report.markdown();
        let same = |a: &str| a.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for row in [
            "| exp 64 | carry | 16.0 ns | 2.0% | 900.0 ns | 21 of 40 ! | 256.0 G values/s | 1–1% of peak | – |",
            "| exp 4096 | carry | 942.1 ns | 2.0% | 900.0 ns | 4 of 40 | 4.35 G values/s | 47–59% of peak | – |",
        ] {
            assert!(text.lines().any(|line| same(line) == same(row)), "{row}\n{text}");
        }
        assert!(text.contains("\n1 of 3 figures are disturbed.\n"), "{text}");
        let back: Report = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(back.benchmarks, report.benchmarks);
    }

    #[test]
    fn a_second_build_has_its_own_ceilings_and_columns() {
        let mut report =
            report(vec![measured("exp/carry", "64", 942.08), measured("tanh/carry", "64", 1.0)]);
        let slower = Benchmark::of_group(
            Group::Activation,
            vec![measured("exp/carry", "64", 100.0)],
            &report.roofline,
        );
        let build = Build {
            build_features: vec!["avx2".to_owned()],
            roofline: report.roofline,
            benchmarks: slower,
        };
        report.also = Some(Also { target_cpu: "x86-64-v3".to_owned(), build });
        let text = report.markdown();
        assert!(text.contains("| x86-64-v3: median | of its limit |\n"), "{text}");
        assert!(text.contains("|          100.0 ns |   7% of peak |\n"), "{text}");
        assert!(text.contains("|                 – |            – |\n"), "{text}");
        assert!(text.contains("\nThe build for x86-64-v3 (avx2) on the machine before"), "{text}");
        let back: Report = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(back.also.unwrap().build.benchmarks[0].median_ns, 100.0);
    }

    #[test]
    fn units_suit_the_number() {
        for (ns, text) in
            [(0.25, "0.2 ns"), (999.0, "999.0 ns"), (1e3, "1.00 µs"), (2.5e9, "2.50 s")]
        {
            assert_eq!(time(ns), text);
        }
        assert_eq!(rate(2.0545e11, "FLOP"), "205.4 GFLOP/s");
        assert_eq!(rate(1.9e6, "examples"), "1.90 M examples/s");
        assert_eq!(rate(7.0, "examples"), "7.00 examples/s");
    }
}
