//! `sda plot viewer`: a page of its own that shows a trace token by token.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::records::{Answer, Ranked, Step, Trace, visible};
use crate::failure::Outcome;

const PAGE: &str = include_str!("viewer/page.html");
const STYLE: &str = include_str!("viewer/style.css");
const SCRIPT: &str = include_str!("viewer/script.js");

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

fn page(trace: &Trace) -> Outcome<String> {
    let shown = std::ptr::from_ref(trace.answer(None)?);
    let first = trace.answers.iter().position(|answer| std::ptr::eq(answer, shown));
    let data = json!({
        "name": trace.name,
        "first": first.unwrap_or_default(),
        "answers": trace.answers.iter().map(answer).collect::<Vec<_>>(),
    });
    // The data go in last: what they hold is not searched for the marks of the others.
    let page = PAGE.replacen("/*STYLE*/", STYLE.trim_end(), 1).replacen("/*SCRIPT*/", SCRIPT.trim_end(), 1);
    Ok(page.replacen("/*DATA*/", &in_script(&data), 1))
}

fn answer(answer: &Answer) -> Value {
    json!({
        "arm": answer.arm,
        "summary": answer.summary,
        "steps": answer.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    let ranked = |ranked: &Ranked| json!([ranked.token, visible(&ranked.text), ranked.logprob]);
    let lists = step.top.iter().map(|list| list.as_ref().map(|list| list.iter().map(ranked).collect()));
    json!({
        "step": step.step,
        "token": step.token,
        "text": step.text,
        "shown": step.shown(),
        "js": step.divergence,
        "temperature": step.temperature,
        "guidance": step.guidance,
        "logprobs": step.logprobs,
        "top": lists.collect::<Vec<Option<Vec<Value>>>>(),
    })
}

/// JSON that can stand in a script element: no text in it can end the element or begin a comment.
fn in_script(data: &Value) -> String {
    let mut safe = String::new();
    for c in data.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{count, drawn, token};

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- /*DATA*/ & \u{2028}";

    fn trace() -> Trace {
        let lines = [token("steered", 0, HOSTILE), token("plain", 0, "x")];
        drawn(Trace::parse("t.jsonl".into(), &lines.join("\n")))
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
