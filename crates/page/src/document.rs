//! One HTML document of template, style, script and data.
//!
//! ```text
//! title            HTML text: escaped
//! report           HTML that our own code made, whose texts went through `escape`
//! data             JSON in which <, >, &, U+2028 and U+2029 are \uXXXX: it cannot end its block
//! style, script    the files of assets/
//! policy           allows that script by its hash, and no load
//! ```
//!
//! The template is gone through once, so that what is put in is never taken for a place.

use crate::data::Data;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A page is smaller than this.
pub const MOST_BYTES: usize = 3_000_000;

/// Left free for what the sizes of data leave out.
const RESERVE: usize = 20_000;

const TEMPLATE: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/style.css");
const NETWORK: &str = include_str!("../assets/network.js");

/// In this order: the arithmetic, the frame, the views as they stand on the page.
const SCRIPTS: [&str; 10] = [
    NETWORK,
    include_str!("../assets/main.js"),
    include_str!("../assets/view_add.js"),
    include_str!("../assets/view_units.js"),
    include_str!("../assets/view_learn.js"),
    include_str!("../assets/view_bptt.js"),
    include_str!("../assets/view_train.js"),
    include_str!("../assets/view_proved.js"),
    include_str!("../assets/view_text.js"),
    include_str!("../assets/view_series.js"),
];

/// What a worker of the page runs: it has no document.
const WORKER: [&str; 2] = [NETWORK, include_str!("../assets/worker.js")];

/// What a page says.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its title, as text.
    pub title: String,
    /// The network that its views show, if there is one.
    pub network: Option<Data>,
    /// What stands behind the views and is read without JavaScript: HTML of our own making, with
    /// all texts in it by [`escape`].
    pub report: String,
}

/// The data block.
#[derive(Serialize)]
struct Block<'a> {
    #[serde(flatten)]
    data: &'a Data,
    worker: &'a str,
}

/// The HTML of a page, in one file. If it would be as large as [`MOST_BYTES`], its network's
/// snapshots, states and texts are thinned out.
pub fn document(document: &Document) -> String {
    let (script, worker) = (SCRIPTS.join("\n"), WORKER.join("\n"));
    let title = escape(&document.title);
    let report = &document.report;
    let policy = policy(&script);
    let worker_bytes = in_script(&json(&worker)).len();
    let rest = [TEMPLATE, STYLE, &script, &policy, report, &title, &title];
    let rest = rest.iter().map(|part| part.len()).sum::<usize>() + worker_bytes + RESERVE;
    let data = match &document.network {
        None => "null".to_owned(),
        Some(data) => {
            let data = data.clone().thinned(MOST_BYTES.saturating_sub(rest));
            in_script(&json(&Block { data: &data, worker: &worker }))
        }
    };
    fill(TEMPLATE, |name| match name {
        "title" => &title,
        "style" => STYLE,
        "policy" => &policy,
        "report" => report,
        "data" => &data,
        "script" => &script,
        other => panic!("the template has no place for {other:?}"),
    })
}

/// `text` as HTML, between tags or in a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // A NUL is nothing in HTML.
            '\0' => html.push('\u{fffd}'),
            _ => html.push(c),
        }
    }
    html
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("maps with names, lists and numbers")
}

/// JSON that can stand in a `<script>`: there these characters are in strings alone.
pub(crate) fn in_script(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => text.push(c),
        }
    }
    text
}

/// The Content-Security-Policy of a page whose one script is `script`. The worker is a blob, and
/// begins with what it imports from none but blobs.
fn policy(script: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(script));
    format!(
        "default-src 'none'; script-src 'sha256-{hash}' blob:; style-src 'unsafe-inline'; \
         img-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
}

/// `template` with each `{{name}}` replaced by its value.
fn fill<'a>(template: &'a str, value: impl Fn(&'a str) -> &'a str) -> String {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").expect("places in double braces");
        text.push_str(value(name));
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_asset_can_end_its_block() {
        for script in SCRIPTS {
            let small = script.to_lowercase();
            assert!(!small.contains("</script") && !small.contains("<!--"), "{}", &script[..60]);
            assert!(!script.contains('\r'), "its hash would be of other bytes");
            // The policy forbids what these do, and the habits of the house do too.
            for forbidden in
                ["eval(", "innerHTML", "insertAdjacentHTML", "outerHTML", "document.write"]
            {
                assert!(!script.contains(forbidden), "{forbidden} in {}", &script[..60]);
            }
        }
        assert!(!STYLE.to_lowercase().contains("</style") && !STYLE.contains("url(http"));
    }

    #[test]
    fn a_value_that_looks_like_a_place_stays_as_it_is() {
        let filled = fill("a {{one}} b {{two}} c", |name| match name {
            "one" => "{{two}}",
            _ => "{{script}}",
        });
        assert_eq!(filled, "a {{two}} b {{script}} c");
    }

    #[test]
    fn json_in_a_script_is_the_same_json_without_markup() {
        let text = "</script><!-- & \u{2028}\u{2029} \" \\ \u{0}";
        let written = in_script(&json(text));
        assert!(!written.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
