//! The answers in what `sda generate --trace` and `--json` write.

use std::path::Path;

use sda::engine::Arm;

use crate::failure::{Failure, Outcome};
use crate::input::{self, Source};
use crate::record::{self, Judge, Ranked, Record, Token};
use crate::ui::console::note;

/// The distributions of a step, in the order in which they are always shown.
pub const BRANCHES: [&str; 3] = ["plain", "instructed", "steered"];

/// One generated token.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where the record stands, for messages.
    pub place: String,
    pub record: Token,
}

impl Step {
    /// The token's text, also where it is only a part of a character.
    pub fn shown(&self) -> String {
        let Token { token, text, .. } = &self.record;
        let mut ranked = self.top().into_iter().flatten().flatten();
        match ranked.find(|Ranked(other, ..)| other == token) {
            _ if !text.is_empty() => visible(text),
            Some(Ranked(_, text, _)) => visible(text),
            None => format!("#{token}"),
        }
    }

    /// Log-probability of the token in the plain and the instructed branch.
    pub fn logprobs(&self) -> [Option<f64>; 2] {
        [self.record.logprob_plain, self.record.logprob_instructed]
    }

    /// The most likely tokens of each of [`BRANCHES`], if traced.
    pub fn top(&self) -> [Option<&Vec<Ranked>>; 3] {
        let Token { top_plain, top_instructed, top_steered, .. } = &self.record;
        [top_plain, top_instructed, top_steered].map(|list| list.as_ref()?.as_ref())
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub arm: Arm,
    pub steps: Vec<Step>,
    /// The record at its end; a draft has none.
    pub summary: Option<record::Answer>,
    /// What a judge said: of this answer, if it is a draft, else of the draft whose score it follows.
    pub judge: Option<Judge>,
}

impl Answer {
    /// The guidance that it was steered by, where that is known and nothing weakened it.
    pub fn guidance(&self) -> Option<f64> {
        self.summary.as_ref()?.guidance?
    }

    fn new(arm: Arm) -> Answer {
        Answer { arm, steps: Vec::new(), summary: None, judge: None }
    }

    /// True for a plain answer that was written to be scored.
    pub fn is_draft(&self) -> bool {
        self.summary.is_none() && self.judge.is_some()
    }
}

/// A trace file.
#[derive(Debug)]
pub struct Trace {
    /// As messages call it.
    pub name: String,
    pub answers: Vec<Answer>,
}

impl Trace {
    /// Reads a trace; `-` is standard input.
    pub fn read(path: &Path) -> Outcome<Trace> {
        Trace::parse(input::read(path)?)
    }

    pub fn parse(source: Source) -> Outcome<Trace> {
        let mut answers: Vec<Answer> = Vec::new();
        let mut is_open = false;
        // Of the last draft; it holds for the answer that follows from it, until there is another draft.
        let mut judge: Option<Judge> = None;
        let mut unknown = 0;
        for (line, text) in source.lines() {
            match Record::read(text).map_err(|why| source.wrong(line, why))? {
                Some(Record::Token(token)) => {
                    let continues = answers.last().is_some_and(|last| last.arm == token.arm);
                    if !is_open || !continues || token.step == 0 {
                        answers.push(Answer::new(token.arm));
                    }
                    is_open = true;
                    if let Some(answer) = answers.last_mut() {
                        answer.steps.push(Step { place: source.place(line), record: token });
                    }
                }
                Some(Record::Judge(said)) => {
                    if let Some(draft) = answers.last_mut().filter(|_| is_open) {
                        draft.judge = Some(said.clone());
                    }
                    judge = Some(said);
                    is_open = false;
                }
                Some(Record::Answer(summary)) => {
                    if !is_open || answers.last().is_none_or(|last| last.arm != summary.arm) {
                        answers.push(Answer::new(summary.arm));
                    }
                    if let Some(answer) = answers.last_mut() {
                        // Answers that only stand beside it for comparison name no score.
                        answer.judge = if summary.score.is_some() { judge.take() } else { None };
                        answer.summary = Some(summary);
                    }
                    is_open = false;
                }
                None => unknown += 1,
            }
        }
        if unknown > 0 {
            note(&format!(
                "{}: {unknown} records of types that are not known here are left out",
                source.name
            ));
        }
        answers.retain(|answer| !answer.steps.is_empty());
        if answers.is_empty() {
            return Err(Failure::Failed(format!(
                "{}: holds 0 token records, must hold at least 1",
                source.name
            )));
        }
        Ok(Trace { name: source.name, answers })
    }

    /// The answer with a number, counted from 1; without one the last that was steered, or just the last.
    pub fn answer(&self, number: Option<usize>) -> Outcome<&Answer> {
        let n = self.answers.len();
        let index = match number {
            Some(number) => number.wrapping_sub(1),
            None => self.answers.iter().rposition(|answer| answer.arm == Arm::Steered).unwrap_or(n - 1),
        };
        self.answers.get(index).ok_or_else(|| {
            let number = number.unwrap_or_default();
            Failure::Usage(format!("--answer is {number}, must be between 1 and {n} for {}", self.name))
        })
    }
}

/// Text with its white space and control characters made visible, cut where it gets long.
pub fn visible(text: &str) -> String {
    const MOST: usize = 16;
    let mut shown = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == MOST {
            shown.push('\u{2026}');
            break;
        }
        match c {
            ' ' => shown.push('\u{2423}'),
            '\n' => shown.push('\u{21b5}'),
            '\t' => shown.push('\u{21e5}'),
            // Noncharacters and the like may not stand in XML at all.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::plot::testing::{answer, drawn, judge, parse, refused, token};

    #[test]
    fn answers_are_told_apart_by_arm_by_record_and_by_step() {
        let lines = [
            token("plain", 0, "a"),
            token("plain", 1, "b"),
            answer("plain"),
            token("steered", 0, "c"),
            String::new(),
            token("steered", 0, "d"),
            answer("steered"),
        ];
        let trace = drawn(parse(&lines));
        let arms: Vec<&str> = trace.answers.iter().map(|answer| answer.arm.name()).collect();
        assert_eq!(arms, ["plain", "steered", "steered"]);
        assert_eq!(trace.answers[0].steps.len(), 2);
        assert_eq!(trace.answers[1].summary, None);
        assert_eq!(drawn(trace.answer(None)).steps[0].record.text, "d");
        assert_eq!(drawn(trace.answer(Some(1))).steps[1].place, "t.jsonl: line 2");
        for number in [0, 4] {
            let message = refused(trace.answer(Some(number)));
            assert_eq!(message, format!("--answer is {number}, must be between 1 and 3 for t.jsonl"));
        }
    }

    #[test]
    fn a_judge_belongs_to_the_draft_and_to_the_answer_that_follows_from_it() {
        // Two turns of a chat, the second of which has no score, and a comparison.
        let lines = [
            token("plain", 0, "draft"),
            judge(Some(40.0)),
            token("steered", 0, "a"),
            answer("steered"),
            token("plain", 0, "draft"),
            judge(None),
            token("plain", 0, "b"),
            answer("plain"),
            token("plain", 0, "c"),
            answer("plain").replace(r#""score":null,"#, ""),
        ];
        let trace = drawn(parse(&lines));
        let found: Vec<(&str, bool, Option<Option<f64>>)> = trace
            .answers
            .iter()
            .map(|answer| {
                let score = answer.judge.as_ref().map(|judge| judge.assessed.score);
                (&*answer.steps[0].record.text, answer.is_draft(), score)
            })
            .collect();
        let score = Some(Some(40.0));
        assert_eq!(
            found,
            [
                ("draft", true, score),
                ("a", false, score),
                ("draft", true, Some(None)),
                ("b", false, Some(None)),
                ("c", false, None),
            ]
        );
        assert_eq!(drawn(trace.answer(None)).steps[0].record.text, "a");
    }

    #[test]
    fn a_wrong_record_is_named_by_file_line_and_field_and_an_unknown_one_is_left_out() {
        let good = token("steered", 0, "a");
        let wrong = [good.clone(), good.replace(r#""js":0.1"#, r#""js":"x""#)];
        assert_eq!(refused(parse(&wrong)), "t.jsonl: line 2: js is \"x\", must be a number");
        let trace = drawn(parse(&[good, r#"{"type":"later","arm":3}"#.to_owned()]));
        assert_eq!(trace.answers.len(), 1);
    }

    #[test]
    fn a_trace_without_tokens_is_an_error() {
        for lines in [vec![], vec![answer("plain")]] {
            assert_eq!(refused(parse(&lines)), "t.jsonl: holds 0 token records, must hold at least 1");
        }
        assert!(refused(Trace::read(Path::new("no-such.jsonl"))).starts_with("no-such.jsonl: "));
    }

    #[test]
    fn tokens_are_shown_with_their_white_space_and_never_empty() {
        assert_eq!(visible(" a\n\t\u{1}"), "␣a↵⇥\\u{1}");
        assert_eq!(visible(&"x".repeat(17)), format!("{}…", "x".repeat(16)));
        let trace = drawn(parse(&[token("steered", 0, "")]));
        assert_eq!(trace.answers[0].steps[0].shown(), "a", "from the most likely tokens");
        let mut step = trace.answers[0].steps[0].clone();
        step.record.token = 77;
        assert_eq!(step.shown(), "#77");
    }
}
