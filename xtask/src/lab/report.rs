//! The lab's report as HTML: a section a study, with its question, what came out, the pictures, how
//! it was made, the numbers, and the command that makes it alone.
//!
//! Every text goes through `page::escape`; the pictures are SVG of `chart`.

use super::pictures::Picture;
use super::tables::{Table, tables};
use crate::output::thousands;
use lab::{Findings, Settings};
use page::escape;
use std::fmt::Write as _;

/// A study as it is told.
pub struct Told {
    pub findings: Findings,
    /// Networks that are done, and all that were asked for.
    pub networks: (usize, usize),
    /// What makes it alone.
    pub command: String,
    pub pictures: Vec<Picture>,
}

/// All sections. `missing` are the questions that were not come to.
pub fn report(settings: &Settings, told: &[Told], missing: &[&str]) -> String {
    let mut html = String::new();
    let done: usize = told.iter().map(|told| told.networks.0).sum();
    let mut say = |text: &str| html.push_str(text);
    say("<section id=\"lab\">\n<h2>The lab's questions</h2>\n");
    say(&format!(
        "<p class=\"lead\">Each question is answered by networks that were trained for it: {} in \
         all, from seed {}. A share is n of N, with the interval that holds the true share 95 times \
         in 100 (Wilson's).{}</p>\n",
        thousands(done as u64),
        settings.seed,
        if settings.quick {
            " This is a quick report, from few networks: the intervals are wide."
        } else {
            ""
        }
    ));
    if !missing.is_empty() {
        let missing = missing.iter().map(|question| escape(question)).collect::<Vec<_>>().join(" ");
        say(&format!("<p class=\"note\">Stopped early; not come to: {missing}</p>\n"));
    }
    say("<ol>\n");
    for Told { findings, .. } in told {
        let study = findings.study();
        let question = escape(study.question());
        say(&format!("<li><a href=\"#study-{}\">{question}</a></li>\n", study.name()));
    }
    say("</ol>\n</section>\n");
    for told in told {
        section(&mut html, told);
    }
    html
}

fn section(html: &mut String, told: &Told) {
    let study = told.findings.study();
    let (done, asked) = told.networks;
    write!(
        html,
        "<section id=\"study-{}\">\n<h2>{}</h2>\n<p class=\"lead\">{}</p>\n",
        study.name(),
        escape(study.question()),
        escape(&told.findings.sentence())
    )
    .expect("a string takes all");
    if done < asked {
        let (done, asked) = (thousands(done as u64), thousands(asked as u64));
        *html += &format!(
            "<p class=\"note\">Stopped early: {done} of {asked} networks. What is said is of \
             these.</p>\n"
        );
    }
    for Picture { svg, caption, .. } in &told.pictures {
        *html += &format!(
            "<figure>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Picture\">\n\
             <div style=\"min-width: 44rem\">\n{svg}\n</div>\n</div>\n<figcaption>{}</figcaption>\n</figure>\n",
            escape(caption)
        );
    }
    *html += &format!("<p>{}</p>\n", escape(study.method()));
    *html += "<details>\n<summary>The numbers</summary>\n";
    tables(&told.findings).iter().for_each(|one| table(html, one));
    *html += &format!(
        "</details>\n<p class=\"note\">{} networks. This study alone: <code>{}</code></p>\n</section>\n",
        thousands(done as u64),
        escape(&told.command)
    );
}

fn table(html: &mut String, table: &Table) {
    let cells = |cells: &[String]| -> String {
        cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect()
    };
    let heads: String =
        table.head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell))).collect();
    *html += &format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table>\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n",
        escape(table.caption),
        heads
    );
    for row in &table.rows {
        let (name, values) = row.split_first().expect("a row has a name");
        *html += &format!("<tr><th scope=\"row\">{}</th>{}</tr>\n", escape(name), cells(values));
    }
    *html += "</tbody>\n</table></div>\n";
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::{Study, Watch};

    #[test]
    fn what_was_stopped_is_said_and_every_text_is_escaped() {
        let settings = Settings { seed: 5, quick: true };
        let watch = Watch { done: &|| (), is_stopped: &|| true, ranks: None };
        let told = |study: Study| Told {
            findings: study.run(&settings, watch),
            networks: (3, 1_000),
            command: "cargo xtask lab <b>".to_owned(),
            pictures: vec![Picture { name: "a.svg", svg: "<svg/>".to_owned(), caption: "a & b." }],
        };
        let all = Study::ALL.map(told);
        let html = report(&settings, &all, &["Why <i>?"]);
        for text in [
            "from seed 5",
            "a quick report",
            "not come to: Why &lt;i&gt;?",
            "3 of 1,000 networks",
            "<code>cargo xtask lab &lt;b&gt;</code>",
            "<figcaption>a &amp; b.</figcaption>",
        ] {
            assert!(html.contains(text), "{text}\n{html}");
        }
        for study in Study::ALL {
            let section = format!(
                "<section id=\"study-{}\">\n<h2>{}",
                study.name(),
                escape(study.question())
            );
            assert!(html.contains(&section) && html.contains(&escape(study.method())), "{study:?}");
        }
        // well-formed, so nothing is left open
        roxmltree::Document::parse(&format!("<div>{html}</div>")).unwrap();
    }
}
