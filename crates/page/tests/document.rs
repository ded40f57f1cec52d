//! The document: whatever is in it, it is one page with one script, its policy names that script, and
//! it stays small.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use page::data::{
    Data, Description, FORMAT, Moment, Origin, Point, Proof, SeriesData, Set, TextData, Training,
};
use page::{Document, MOST_BYTES, document, escape};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Data in which every text is `text`.
fn data(text: &str) -> Data {
    Data {
        format: FORMAT,
        task: "addition",
        run: text.to_owned(),
        command: text.to_owned(),
        network: Description {
            cell: "elman",
            activation: Some("sigmoid"),
            inputs: 2,
            hidden: 1,
            layers: 1,
            outputs: 1,
            bias: false,
            head_bias: false,
            output: "sigmoid",
        },
        training: Training {
            bits: Some(8),
            seed: u64::MAX,
            examples: 1,
            learning_rate: 0.1,
            rule: "sgd",
            batch: 1,
            certifiable: false,
        },
        tensors: BTreeMap::new(),
        snapshots: Vec::new(),
        curve: vec![Point { examples: 1, error: 0.5, loss: f32::MIN_POSITIVE, valid: None }],
        proof: Some(Proof {
            statement: text.to_owned(),
            origin: None,
            axes: [vec![1.0], vec![0.0]],
            states: [vec![[0.0, 0.0]], Vec::new()],
            sets: vec![Set { carry: 0, history: text.to_owned(), low: [0.0; 2], high: [1.0; 2] }],
            omitted: 0,
            steps: 1,
            margin: 1.0,
        }),
        text: Some(TextData {
            unit: "char",
            source: text.to_owned(),
            is_sampled: false,
            values: "h",
            units: 1,
            symbols: vec![text.to_owned()],
            text: vec![0],
            activations: vec![7],
            ranges: vec![[0.0, 1.0]],
            likeliest: vec![vec![0]],
            chances: vec![vec![10_000]],
            features: Vec::new(),
            measured: 1,
        }),
        series: Some(SeriesData {
            file: text.to_owned(),
            targets: vec![text.to_owned()],
            horizon: 1,
            season: 1,
            rows: [0, 1],
            origins: vec![Origin {
                row: 0,
                time: Some(text.to_owned()),
                before: vec![vec![None]],
                truth: vec![vec![Some(1.5)]],
                forecast: vec![vec![2.5]],
            }],
            of: 1,
            score: serde_json::json!({ text: text }),
            classes: vec![text.to_owned()],
        }),
    }
}

/// What stands between the tag that begins with `open` and `</script>`.
#[track_caller]
fn block<'a>(html: &'a str, open: &str) -> &'a str {
    let from = html.find(open).unwrap();
    let from = from + html[from..].find('>').unwrap() + 1;
    &html[from..from + html[from..].find("</script>").unwrap()]
}

#[track_caller]
fn parsed(html: &str) -> Value {
    serde_json::from_str(block(html, "<script type=\"application/json\"")).unwrap()
}

/// A page with `text` in every place is the page with a harmless text in its frame.
#[track_caller]
fn is_harmless(text: &str) {
    let of = |text: &str| {
        document(&Document {
            title: text.to_owned(),
            network: Some(data(text)),
            report: format!("<p title=\"{0}\">{0}</p>", escape(text)),
        })
    };
    let (html, plain) = (of(text), of("plain"));
    for mark in ["<", ">", "\"", "<script", "</script", "<style", "<meta", "<p title"] {
        let count = |html: &str| {
            // JSON has quotes of its own, and escapes those of texts.
            let from = html.find("<script type").unwrap();
            let data = block(html, "<script type").len();
            let rest =
                html[..from].matches(mark).count() + html[from + data..].matches(mark).count();
            if mark == "\"" { rest } else { html.matches(mark).count() }
        };
        assert_eq!(count(&html), count(&plain), "{mark:?} of {text:?}");
    }
    let found = parsed(&html);
    for place in ["/run", "/command", "/proof/statement", "/proof/sets/0/history", "/text/source"] {
        assert_eq!(found.pointer(place).unwrap(), text, "{place}");
    }
    assert_eq!(found["series"]["score"][text], text);
}

#[test]
fn hostile_texts_are_texts() {
    for text in [
        "</script><img src=x onerror=alert(1)>",
        "</SCRIPT ><script>alert(1)</script>",
        "<!--<script>",
        "]]>",
        "\"'`",
        "' onload='alert(1)",
        "{{script}} {{data}} {{nothing}} {{",
        "}}",
        "\u{2028}\u{2029}\u{feff}\u{0}\u{1f}\u{7f}",
        "&lt;b&gt; &amp;",
        "\\u003c\\",
        "$& $1 \\0",
        "größe/数 \u{1F600}\u{202e}",
        "",
    ] {
        is_harmless(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_text(parts in prop::collection::vec(
        prop_oneof![
            ".{0,6}",
            prop::sample::select(vec![
                "<", ">", "&", "</script", "<!--", "-->", "\"", "'", "{{", "}}", "script", "\\",
                "\u{2028}", "\0", "\r\n", "javascript:",
            ]).prop_map(str::to_owned),
        ],
        0..8,
    )) {
        is_harmless(&parts.concat());
    }
}

#[test]
fn the_policy_names_the_one_script_by_its_hash_and_allows_no_load() {
    let html =
        document(&Document { title: String::new(), network: None, report: "<p>hi</p>".to_owned() });
    let script = block(&html, "<script>");
    assert!(script.contains("carry.view"));
    let hash = STANDARD.encode(Sha256::digest(script));
    let policy = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src \
         'sha256-{hash}' blob:; style-src 'unsafe-inline'; img-src data:; worker-src blob:; \
         base-uri 'none'; form-action 'none'\">"
    );
    assert!(html.contains(&policy));
    assert!(html.find(&policy).unwrap() < html.find("<style").unwrap());
    assert_eq!(html.matches("<script").count(), 2);
    assert!(parsed(&html).is_null());
    assert!(html.contains("<p>hi</p>"));
}

#[test]
fn escaped_text_is_the_text_again_to_a_reader_of_html() {
    let text = "a<b>&\"'c&amp;\n";
    let html = escape(text);
    assert_eq!(html, "a&lt;b&gt;&amp;&quot;&#39;c&amp;amp;\n");
}

#[test]
fn a_page_stays_small_by_leaving_out_and_says_what() {
    let mut large = data("a");
    let tensor = "A".repeat(40_000);
    let moment = |examples: u64| Moment {
        examples,
        tensors: BTreeMap::from([("weight_hh_l0".to_owned(), tensor.clone())]),
    };
    large.snapshots = (0..=100).map(moment).collect(); // 4 MB
    let proof = large.proof.as_mut().unwrap();
    let set = |n: usize| Set { carry: 0, history: format!("1 {n}"), low: [0.5; 2], high: [1.0; 2] };
    proof.sets = (0..30_000).map(set).collect(); // 2 MB
    proof.states[0] = vec![[0.123_456, 0.654_321]; 40_000]; // 1 MB
    let text = large.text.as_mut().unwrap();
    let symbols = 20_000;
    text.units = 100;
    text.text = vec![0; symbols];
    text.activations = (0..symbols * 100).map(|n| (n / 100) as u8).collect(); // 2.7 MB
    text.likeliest = vec![vec![0; 5]; symbols];
    text.chances = vec![vec![2_000; 5]; symbols];
    let series = large.series.as_mut().unwrap();
    let origin = series.origins[0].clone();
    let forecast = vec![vec![1.25_f32; 300]];
    series.origins = (0..1_000)
        .map(|row| Origin { row, forecast: forecast.clone(), ..origin.clone() })
        .collect();
    assert!(large.bytes() > 10_000_000);

    let html = document(&Document {
        title: "large".to_owned(),
        network: Some(large),
        report: "<p>report</p>".repeat(20_000),
    });
    assert!(html.len() < MOST_BYTES, "{}", html.len());
    assert!(html.len() > MOST_BYTES / 4, "{}: more was left out than need be", html.len());
    let found = parsed(&html);
    let list = |place: &str| found.pointer(place).unwrap().as_array().unwrap().clone();
    let snapshots = list("/snapshots");
    assert!(snapshots.len() >= 8, "{}", snapshots.len());
    let ends = [&snapshots[0]["examples"], &snapshots[snapshots.len() - 1]["examples"]];
    assert_eq!(ends, [&Value::from(0), &100.into()]);
    let sets = list("/proof/sets").len() as u64;
    assert_eq!(found["proof"]["omitted"].as_u64().unwrap() + sets, 30_000);
    let count = list("/text/text").len();
    assert!(count >= 200);
    assert_eq!(list("/text/likeliest").len(), count);
    assert_eq!(list("/text/chances").len(), count);
    let activations = STANDARD.decode(found["text"]["activations"].as_str().unwrap()).unwrap();
    assert!(activations.len() == count * 100 && activations[100] == 1);
    assert!(list("/series/origins").len() >= 12);
}

#[test]
fn what_is_small_enough_is_left_as_it_is() {
    let data = data("small");
    let bytes = data.bytes();
    let same = |most: usize| serde_json::to_string(&data.clone().thinned(most)).unwrap();
    let whole = serde_json::to_string(&data).unwrap();
    assert_eq!(same(bytes), whole);
    // There is nothing that could be left out.
    assert_eq!(same(0), whole);
}
