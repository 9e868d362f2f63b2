//! `sda plot viewer`: a page of its own that shows a trace token by token.

use std::path::PathBuf;

use clap::Args;
use sda::host::Token;
use serde::Serialize;

use super::records::{Answer, Step, Trace, visible};
use crate::failure::Outcome;
use crate::record::{self, Judge, Ranked};
use crate::ui::web::Page;

const PAGE: Page = Page {
    html: include_str!("viewer/page.html"),
    style: include_str!("viewer/style.css"),
    script: include_str!("viewer/script.js"),
};

#[derive(Args)]
pub struct ViewerArgs {
    /// A trace (sda generate --trace FILE); - is standard input.
    #[arg(value_name = "FILE")]
    pub trace: PathBuf,
}

/// The page.
pub fn html(args: &ViewerArgs) -> Outcome<String> {
    page(&Trace::read(&args.trace)?)
}

pub(super) fn page(trace: &Trace) -> Outcome<String> {
    let shown = std::ptr::from_ref(trace.answer(None)?);
    let first = trace.answers.iter().position(|answer| std::ptr::eq(answer, shown));
    let data = Data {
        name: &trace.name,
        first: first.unwrap_or_default(),
        answers: trace.answers.iter().map(ShownAnswer::new).collect(),
    };
    Ok(PAGE.with(&data))
}

/// What the page's script gets.
#[derive(Serialize)]
struct Data<'a> {
    name: &'a str,
    /// The answer that is shown first.
    first: usize,
    answers: Vec<ShownAnswer<'a>>,
}

#[derive(Serialize)]
struct ShownAnswer<'a> {
    arm: &'static str,
    is_draft: bool,
    judge: Option<&'a Judge>,
    summary: Option<&'a record::Answer>,
    steps: Vec<ShownStep<'a>>,
}

impl ShownAnswer<'_> {
    fn new(answer: &Answer) -> ShownAnswer<'_> {
        ShownAnswer {
            arm: answer.arm.name(),
            is_draft: answer.is_draft(),
            judge: answer.judge.as_ref(),
            summary: answer.summary.as_ref(),
            steps: answer.steps.iter().map(ShownStep::new).collect(),
        }
    }
}

#[derive(Serialize)]
struct ShownStep<'a> {
    step: usize,
    token: Token,
    text: &'a str,
    /// The text, or what stands for it.
    shown: String,
    js: Option<f64>,
    temperature: f64,
    guidance: Option<f64>,
    logprobs: [Option<f64>; 2],
    top: [Option<Vec<Ranked>>; 3],
}

impl ShownStep<'_> {
    fn new(step: &Step) -> ShownStep<'_> {
        let record = &step.record;
        let ranked = |Ranked(token, text, logprob): &Ranked| Ranked(*token, visible(text), *logprob);
        ShownStep {
            step: record.step,
            token: record.token,
            text: &record.text,
            shown: step.shown(),
            js: record.divergence,
            temperature: record.temperature,
            guidance: record.guidance,
            logprobs: step.logprobs(),
            top: step.top().map(|list| list.map(|list| list.iter().map(ranked).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::commands::plot::testing::{answer, count, drawn, judge, parse, token};

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- /*DATA*/ & \u{2028}";

    fn trace() -> Trace {
        let lines = [token("steered", 0, HOSTILE), token("plain", 0, "x")];
        drawn(parse(&lines))
    }

    /// The data as the page's script gets them.
    fn data(page: &str) -> Value {
        let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn text_of_a_trace_cannot_end_its_element() {
        let page = drawn(page(&trace()));
        assert_eq!(count(&page, "<script"), 2);
        assert_eq!(count(&page, "</script"), 2);
        assert_eq!(count(&page, "<!--"), 0);
        assert_eq!(data(&page)["answers"][0]["steps"][0]["text"], HOSTILE);
    }

    #[test]
    fn the_page_holds_every_field_that_it_shows() {
        let data = data(&drawn(page(&trace())));
        assert_eq!((&data["name"], &data["first"]), (&json!("t.jsonl"), &json!(0)));
        let step = &data["answers"][0]["steps"][0];
        assert_eq!(step["logprobs"], json!([-2.5, -1.25]));
        assert_eq!(step["top"][0], json!([[6, "b", -0.25], [7, "␣<c>", -3.0]]));
        assert_eq!(
            (&step["js"], &step["temperature"], &step["guidance"]),
            (&json!(0.1), &json!(0.5), &json!(1.5))
        );
    }

    #[test]
    fn the_page_holds_what_the_judge_said_of_the_draft_and_for_the_answer() {
        let lines = [token("plain", 0, "x"), judge(Some(40.0)), token("steered", 0, "y"), answer("steered")];
        let data = data(&drawn(page(&drawn(parse(&lines)))));
        for (n, is_draft) in [(0, true), (1, false)] {
            let answer = &data["answers"][n];
            assert_eq!(answer["is_draft"], is_draft);
            assert_eq!(
                (&answer["judge"]["score"], &answer["judge"]["judge"]["name"]),
                (&json!(40.0), &json!("m at h"))
            );
        }
        // Half an answer, of a run whose judge failed.
        let page = drawn(page(&drawn(parse(&[token("plain", 0, "x"), judge(None)]))));
        assert_eq!(count(&page, "no <score>"), 0);
        assert!(page.contains("no \\u003cscore\\u003e"), "{page}");
    }

    #[test]
    fn the_page_refers_to_nothing_outside_it() {
        let page = drawn(page(&trace()));
        for reference in ["src=", "url(", "@import", "fetch(", "http-equiv=\"refresh\""] {
            assert_eq!(count(&page, reference), 0, "{reference}");
        }
        let namespace = count(&page, "http://www.w3.org/2000/svg");
        assert_eq!(count(&page, "http://") + count(&page, "https://"), namespace);
        assert!(page.contains("default-src 'none'"));
        for mark in ["/*STYLE*/", "/*SCRIPT*/"] {
            assert_eq!(count(&page, mark), 0, "{mark}");
        }
    }
}
