//! `cargo xtask page`: what is in the file, what is refused, and how it is opened.

use crate::{assert_keys, command, temporary, trained, xtask, xtask_line};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const FIXTURES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/verify/tests/fixtures/certified");

/// The page in `path`, and the data in it.
#[track_caller]
fn page(path: &Path) -> (String, Value) {
    let html = fs::read_to_string(path).unwrap();
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    let start = html.find("<script type=\"application/json\" id=\"data\">").unwrap();
    let json = &html[start..];
    let json = &json[json.find('>').unwrap() + 1..json.find("</script>").unwrap()];
    let data = serde_json::from_str(json).unwrap();
    (html, data)
}

#[test]
fn the_page_of_a_run_is_one_file_that_loads_nothing_and_is_said_how_to_open() {
    let folder = trained();
    let stdout = xtask_line(&folder, "page run").success();
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].starts_with("The page is run/page.html ("), "{stdout}");
    assert_eq!(lines[1..], ["Open it in a browser, or by cargo xtask page run --open"]);

    let (html, data) = page(&folder.path().join("run/page.html"));
    assert!(html.contains("content=\"default-src 'none'; script-src 'sha256-"));
    // Nothing is loaded: no address but the name of SVG, no source, no sheet.
    assert_eq!(html.matches("://").count(), html.matches("http://www.w3.org/2000/svg").count());
    for forbidden in [" src=", "@import", "rel=\"stylesheet\""] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    // but of parts of its own pictures
    assert_eq!(html.matches("url(").count(), html.matches("url(#").count());
    let keys = [
        "format",
        "task",
        "run",
        "command",
        "network",
        "training",
        "tensors",
        "snapshots",
        "curve",
        "proof",
        "text",
        "series",
        "worker",
    ];
    assert_keys(&data, &keys);
    assert_eq!((&data["format"], &data["run"]), (&"carry page 1".into(), &"run".into()));
    assert_eq!(data["command"], "cargo xtask page run");
    assert_eq!(
        (&data["training"]["bits"], &data["training"]["examples"]),
        (&8.into(), &10_000.into())
    );
    assert_eq!(data["network"]["activation"], "sigmoid");
    assert!(data["worker"].as_str().unwrap().contains("globalThis.carry"));
    let snapshots = data["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 60);
    assert_eq!(
        (&snapshots[0]["examples"], &snapshots[59]["examples"]),
        (&0.into(), &10_000.into())
    );
    for (name, shape) in [
        ("weight_ih_l0", vec![16, 2]),
        ("weight_hh_l0", vec![16, 16]),
        ("head.weight", vec![1, 16]),
    ] {
        assert_eq!(data["tensors"][name]["shape"], Value::from(shape), "{name}");
        let trained = &data["tensors"][name]["data"];
        assert!(trained.is_string() && *trained == snapshots[59]["tensors"][name], "{name}");
        assert_ne!(*trained, snapshots[0]["tensors"][name], "{name}");
    }
    assert_eq!(data["curve"].as_array().unwrap().len(), 20);
    assert!(data["proof"].is_null() && data["text"].is_null() && data["series"].is_null());
}

#[test]
fn without_a_name_it_is_of_the_latest_run_and_it_goes_where_it_is_asked_to() {
    let folder = temporary();
    for hidden in [3, 4] {
        let train = format!("train --hidden {hidden} --examples 10 --snapshots {hidden} --quiet");
        xtask_line(&folder, &train).success();
    }
    let json = xtask_line(&folder, "page --out a.html --json").json();
    let keys = ["page", "bytes", "run", "task", "snapshots", "proved", "notes", "opened"];
    assert_keys(&json, &keys);
    assert_eq!((&json["page"], &json["run"]), (&"a.html".into(), &"runs/0002".into()));
    assert_eq!((&json["snapshots"], &json["opened"]), (&4.into(), &false.into()));
    let (html, data) = page(&folder.path().join("a.html"));
    assert_eq!(
        (json["bytes"].as_u64().unwrap(), &data["network"]["hidden"]),
        (html.len() as u64, &4.into())
    );
    let stdout = xtask_line(&folder, "page --out /dev/stdout").success();
    assert_eq!(stdout, html);

    xtask_line(&folder, "train --snapshots 0 --quiet --out none").success();
    let stdout = xtask_line(&folder, "page none").success();
    assert!(stdout.contains("no snapshots; train with --snapshots 60"), "{stdout}");
    assert!(!folder.path().join("none/snapshots.safetensors").exists());
}

#[test]
#[cfg(unix)]
fn a_name_that_is_markup_is_text() {
    let folder = temporary();
    let hostile =
        "<script>alert(1)<\u{2028}script><img src=x onerror=\"alert(2)\">'&amp;{{script}}";
    let train = ["train", "--examples", "1", "--quiet", "--out", hostile];
    xtask(&folder, &train).success();
    xtask(&folder, &["page", hostile, "--out", "page.html"]).success();
    let (html, data) = page(&folder.path().join("page.html"));
    assert_eq!(data["run"], hostile);
    assert!(!html.contains("<img") && !html.contains("<script>alert"), "markup got through");
    assert!(html.contains(
        "&lt;img src=x onerror=&quot;alert(2)&quot;&gt;&#39;&amp;amp;{{script}}</title>"
    ));
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script").count(), 2);
}

#[test]
fn a_run_that_cannot_be_shown_is_refused_with_the_reason() {
    let folder = temporary();
    xtask_line(&folder, "page").refused(1, &["no finished run in runs", "cargo xtask train"]);
    xtask_line(&folder, "page none").refused(1, &["no finished run in none"]);
    for (options, texts) in [
        ("--bidirectional --cell gru", ["from the last step to the first", "--bidirectional"]),
        ("--memory output", ["feeds back its output", "--memory state"]),
        ("--memory 3", ["a window of its last inputs", "--memory state"]),
    ] {
        let train = format!("train --examples 10 --out other --force {options}");
        let stdout = xtask_line(&folder, &train).success();
        assert!(!stdout.contains("See it"), "{stdout}");
        xtask_line(&folder, "page other").refused(1, &texts);
    }
    xtask_line(&folder, "train --examples 1 --hidden 700 --quiet --out large").success();
    xtask_line(&folder, "page large").refused(1, &["492100 parameters", "a smaller --hidden"]);
    assert!(!folder.path().join("large/page.html").exists());

    xtask_line(&folder, "train --examples 10 --quiet --out run").success();
    let path = |name: &str| folder.path().join("run").join(name);
    let bytes = |name: &str| fs::read(path(name)).unwrap();
    let sorting = String::from_utf8(bytes("config.toml")).unwrap().replace("addition", "sorting");
    let model = bytes("model.safetensors");
    for (name, damaged, text) in [
        ("model.safetensors", model[..model.len() - 4].to_vec(), "cannot be used"),
        (
            "snapshots.safetensors",
            bytes("snapshots.safetensors")[8..].to_vec(),
            "is no safetensors",
        ),
        ("metrics.jsonl", b"{}\n".to_vec(), "makes no sense in line 1"),
        ("config.toml", sorting.into_bytes(), "the task sorting, of which there is no page"),
    ] {
        let whole = bytes(name);
        fs::write(path(name), damaged).unwrap();
        xtask_line(&folder, "page run").refused(1, &[text, "run"]);
        fs::write(path(name), whole).unwrap();
    }
    // Snapshots of another training are not taken for this one's.
    xtask_line(&folder, "train --examples 10 --seed 1 --quiet --out second").success();
    fs::copy(folder.path().join("second/snapshots.safetensors"), path("snapshots.safetensors"))
        .unwrap();
    xtask_line(&folder, "page run").refused(1, &["does not end with the weights"]);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = trained();
    for (out, cause) in [("none/page.html", "none/page.html"), ("run", "cannot write run")] {
        xtask_line(&folder, &format!("page run --out {out}"))
            .refused(1, &["keeping the page", cause]);
    }
    fs::create_dir(folder.path().join("run/page.html")).unwrap();
    xtask_line(&folder, "page run").refused(1, &["cannot write run/page.html"]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_browser_is_started_and_where_there_is_none_that_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = trained();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let open = |arguments: &[&str]| {
        let output = command(&folder, arguments).env("PATH", &bin).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, stdout, stderr) = open(&["page", "run", "--open"]);
    assert_eq!(code, Some(1));
    assert!(stdout.starts_with("The page is run/page.html"), "{stdout}");
    let place = fs::canonicalize(folder.path()).unwrap().join("run/page.html");
    assert!(stderr.starts_with("error: cannot start xdg-open"), "{stderr}");
    assert!(
        stderr.contains(&format!("open {} in a browser yourself", place.display())),
        "{stderr}"
    );

    let opener = |script: &str| {
        fs::write(bin.join("xdg-open"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join("xdg-open"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    opener("exit 3");
    let (code, stdout, stderr) = open(&["page", "run", "--open", "--json"]);
    assert!(code == Some(1) && stderr.contains("xdg-open found no browser"), "{stderr}");
    assert_eq!(crate::json_line(&stdout)["opened"], false);
    opener("echo noise; echo \"$1\" > opened");
    let (code, stdout, stderr) = open(&["page", "run", "--open", "--json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(crate::json_line(&stdout)["opened"], true);
    assert_eq!(
        fs::read_to_string(folder.path().join("opened")).unwrap().trim(),
        place.to_str().unwrap()
    );
}

/// A run with the network of a fixture, of `hidden` units with or without biases.
fn certified(folder: &TempDir, name: &str, options: &str) {
    let train = format!("train --examples 1 --snapshots 0 --quiet --out {name} {options}");
    xtask_line(folder, &train).success();
}

#[test]
fn a_certificate_is_shown_when_it_is_one_of_this_network() {
    let folder = temporary();
    certified(&folder, "run", "--hidden 2 --bias");
    let fixture = format!("{FIXTURES}/two-units-with-biases");
    let place = |name: &str| folder.path().join("run").join(name);
    fs::copy(format!("{fixture}.safetensors"), place("model.safetensors")).unwrap();
    fs::copy(format!("{fixture}.json"), place("certificate.json")).unwrap();
    let json = xtask_line(&folder, "page run --json").json();
    assert_eq!((&json["proved"], &json["notes"]), (&true.into(), &Value::Array(Vec::new())));
    let (_, data) = page(&place("page.html"));
    let proof = &data["proof"];
    let statement = "Proved: this network of 2 hidden units with biases, run digit by digit in f32, \
                     adds any two whole numbers of any length, every binary digit right.";
    assert_eq!(proof["statement"], statement);
    let axes: Vec<Vec<f64>> = serde_json::from_value(proof["axes"].clone()).unwrap();
    assert!(axes.len() == 2 && axes.iter().all(|axis| axis.len() == 2));
    // Axes are of length 1, and stand upright on each other.
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert!((dot(&axes[0], &axes[0]) - 1.0).abs() < 1e-6 && dot(&axes[0], &axes[1]).abs() < 1e-6);
    let sets = proof["sets"].as_array().unwrap();
    assert!(!sets.is_empty());
    for set in sets {
        // A set's carry is what its history says.
        let history = set["history"].as_str().unwrap();
        let (first, pairs) = history.split_once(' ').unwrap_or((history, ""));
        let carry = pairs.split(' ').fold(u64::from(first == "1"), |carry, pair| match pair {
            "00" => 0,
            "11" => 1,
            _ => carry,
        });
        assert_eq!(set["carry"], carry, "{history}");
    }

    // One that was changed, or of another network, proves nothing and is not shown.
    let other = format!("{FIXTURES}/three-units-without-biases.json");
    for (certificate, text) in [
        (fs::read(other).unwrap(), "certificate.json proves nothing of this network"),
        (b"{}".to_vec(), "certificate.json proves nothing"),
    ] {
        fs::write(place("certificate.json"), certificate).unwrap();
        let outcome = xtask_line(&folder, "page run --json");
        assert_eq!(outcome.code, Some(0));
        assert!(
            outcome.stderr.starts_with("note: ") && outcome.stderr.contains(text),
            "{}",
            outcome.stderr
        );
        let json = crate::json_line(&outcome.stdout);
        assert_eq!((&json["proved"], json["notes"].as_array().unwrap().len()), (&false.into(), 1));
        assert!(page(&place("page.html")).1["proof"].is_null());
    }
}

#[test]
fn a_text_is_shown_with_its_units_and_what_is_likely_to_follow() {
    let folder = temporary();
    let line = "\"She sells (sea) shells\", said </script><b>Ann</b>.\n";
    fs::write(folder.path().join("<book>.txt"), line.repeat(80)).unwrap();
    let train = "train text <book>.txt --hidden 8 --batch 4 --chunk 16 --examples 800 --out run";
    let stdout = xtask_line(&folder, train).success();
    assert_eq!(stdout.lines().last(), Some("See it: cargo xtask page run --open"));
    let json = xtask_line(&folder, "page run --json").json();
    assert_eq!((&json["task"], &json["notes"]), (&"text".into(), &Value::Array(Vec::new())));
    let (html, data) = page(&folder.path().join("run/page.html"));
    assert_eq!(html.matches("</script").count(), 2);
    let text = &data["text"];
    assert!(text["source"].as_str().unwrap().contains("<book>.txt"), "{}", text["source"]);
    assert_eq!((&text["unit"], &text["is_sampled"]), (&"char".into(), &false.into()));
    let list = |name: &str| text[name].as_array().unwrap().clone();
    let symbols = list("symbols");
    let shown: String = list("text")
        .iter()
        .map(|n| symbols[n.as_u64().unwrap() as usize].as_str().unwrap())
        .collect();
    // It is the validation part as it stands in the file.
    assert!(line.repeat(80).ends_with(&shown), "{shown}");
    let count = shown.chars().count();
    assert_eq!(text["activations"].as_str().unwrap().len(), (count * 8).div_ceil(3) * 4);
    for (likely, chances) in list("likeliest").iter().zip(list("chances")) {
        assert_eq!(likely.as_array().unwrap().len(), 5);
        let chances: Vec<u64> = serde_json::from_value(chances).unwrap();
        assert!(chances.is_sorted_by(|a, b| a >= b) && chances.iter().sum::<u64>() <= 10_003);
    }
    let features = list("features");
    let quoted =
        &features.iter().find(|feature| feature["name"] == "inside quotation marks").unwrap();
    assert_eq!(quoted["units"].as_array().unwrap().len(), 5);
    let digits = &features.iter().find(|feature| feature["name"] == "digits").unwrap();
    assert!(digits["units"].as_array().unwrap().is_empty(), "there are none");

    // Where the file is another by now, the network writes, and that is said.
    fs::write(folder.path().join("<book>.txt"), "changed").unwrap();
    let outcome = xtask_line(&folder, "page run --json");
    assert_eq!(outcome.code, Some(0));
    assert!(
        outcome.stderr.contains("the network writes: ") && outcome.stderr.contains("has changed")
    );
    let (_, data) = page(&folder.path().join("run/page.html"));
    assert_eq!(data["text"]["is_sampled"], true);
}

#[test]
fn a_series_is_shown_by_its_forecasts_of_the_test_rows() {
    let folder = temporary();
    let rows = (0..400)
        .map(|n| format!("2020-{:02}-{:02},{},{}\n", n / 28 % 12 + 1, n % 28 + 1, n % 7, n % 3));
    let table = "day,<i>load</i>,kind\n".to_owned() + &rows.collect::<String>();
    fs::write(folder.path().join("load.csv"), table).unwrap();
    let options = "--window 14 --hidden 4 --examples 640 --quiet --no-calendar --out";
    let train =
        format!("train series load.csv --target <i>load</i> --horizon 7 --season 7 {options} run");
    xtask_line(&folder, &train).success();
    xtask_line(&folder, "page run").success();
    let (html, data) = page(&folder.path().join("run/page.html"));
    assert!(!html.contains("<i>load"), "a column's name is text");
    let series = &data["series"];
    assert_eq!(
        (&series["file"], &series["targets"][0]),
        (&"load.csv".into(), &"<i>load</i>".into())
    );
    assert_eq!((&series["horizon"], &series["rows"]), (&7.into(), &vec![360, 400].into()));
    let origins = series["origins"].as_array().unwrap();
    assert_eq!(
        (origins.len() as u64, &origins[0]["row"]),
        (series["of"].as_u64().unwrap(), &360.into())
    );
    for origin in origins {
        let row = origin["row"].as_u64().unwrap();
        for (n, value) in origin["truth"][0].as_array().unwrap().iter().enumerate() {
            assert_eq!(value.as_f64().unwrap() as u64, (row + n as u64) % 7, "{row}");
        }
        let before = origin["before"][0].as_array().unwrap();
        assert_eq!(before.last().unwrap().as_f64().unwrap() as u64, (row - 1) % 7);
        assert_eq!(origin["forecast"][0].as_array().unwrap().len(), 7);
        let (month, day) = (row / 28 % 12 + 1, row % 28 + 1);
        assert_eq!(origin["time"], format!("2020-{month:02}-{day:02} 00:00"));
    }
    assert!(
        series["score"]["test"]["mae"].is_f64() && series["score"]["baselines"]["mean"].is_object()
    );

    let classes = format!("train series load.csv --classify kind {options} classes");
    xtask_line(&folder, &classes).success();
    xtask_line(&folder, "page classes").success();
    let (_, data) = page(&folder.path().join("classes/page.html"));
    assert_eq!(data["series"]["classes"].as_array().unwrap().len(), 3);
    assert!(data["series"]["score"]["confusion"].is_array());

    fs::remove_file(folder.path().join("load.csv")).unwrap();
    xtask_line(&folder, "page run").refused(1, &["cannot read", "load.csv"]);
}
