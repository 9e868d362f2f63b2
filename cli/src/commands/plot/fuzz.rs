//! What must hold for any file that is given as a trace.

use serde_json::Value;

use super::records::{Answer, Trace};
use super::{step, trace, viewer};
use crate::input::Source;
use crate::record::{self, Record};

/// Answers of at most so many tokens are drawn: each takes a millisecond.
const MOST_DRAWN: usize = 4;

/// Reads some bytes as a trace, and makes the viewer's page of it; with `draw` the pictures, too, which is slow.
///
/// # Panics
/// Where something does not hold.
pub fn trace(bytes: &[u8], draw: bool) {
    let Ok(source) = Source::of("trace.jsonl".into(), bytes.to_vec()) else { return };
    for (_, text) in source.lines() {
        if let Ok(Some(record)) = Record::read(text) {
            let written = record::line(&record);
            assert_eq!(Record::read(&written), Ok(Some(record)), "{text} is written as {written}");
        }
    }
    let lines = source.lines().count();
    let Ok(read) = Trace::parse(source) else { return };
    let steps: usize = read.answers.iter().map(|answer| answer.steps.len()).sum();
    assert!(0 < steps && steps <= lines && read.answers.iter().all(|answer| !answer.steps.is_empty()));
    let page = viewer::page(&read).expect("a page");
    let (_, data) = page.split_once("id=\"data\">").expect("data");
    let (data, _) = data.split_once("</script>").expect("an end of the data");
    assert!(!data.contains('<'));
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["answers"].as_array().map(Vec::len), Some(read.answers.len()));
    for (i, answer) in read.answers.iter().enumerate().filter(|_| draw).take(2) {
        drawn(&read, answer, i + 1);
    }
}

fn drawn(read: &Trace, answer: &Answer, number: usize) {
    if answer.steps.len() <= MOST_DRAWN {
        is_xml(trace::of(read, Some(number)));
    }
    for at in answer.steps.iter().take(2) {
        is_xml(step::of(read, at.record.step, Some(number)));
    }
}

fn is_xml(svg: crate::failure::Outcome<String>) {
    if let Ok(svg) = svg {
        let parsed = resvg::usvg::roxmltree::Document::parse(&svg);
        assert!(parsed.is_ok(), "{parsed:?}: {svg}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_must_hold_for_any_trace_holds_for_the_seeds() {
        crate::fuzz::each_seed("trace", |bytes| super::trace(bytes, true));
    }
}
