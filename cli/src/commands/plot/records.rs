//! Reading what `sda generate --trace` and `--json` write.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};

/// A token among the most likely ones of a distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub token: i64,
    pub text: String,
    pub logprob: f64,
}

/// The distributions of a step, in the order in which they are always shown.
pub const BRANCHES: [&str; 3] = ["plain", "instructed", "steered"];

/// One generated token.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where the record stands, as `FILE:LINE`.
    pub place: String,
    pub step: u64,
    pub token: i64,
    /// Text that is complete with this token; may be empty.
    pub text: String,
    pub divergence: Option<f64>,
    pub temperature: f64,
    pub guidance: Option<f64>,
    /// Log-probability of the token in the plain and the instructed branch.
    pub logprobs: [Option<f64>; 2],
    /// The most likely tokens of each of [`BRANCHES`], if traced.
    pub top: [Option<Vec<Ranked>>; 3],
}

impl Step {
    /// The token's text, also where it is only a part of a character.
    pub fn shown(&self) -> String {
        let ranked = self.top.iter().flatten().flatten();
        match ranked.into_iter().find(|ranked| ranked.token == self.token) {
            _ if !self.text.is_empty() => visible(&self.text),
            Some(ranked) => visible(&ranked.text),
            None => format!("#{}", self.token),
        }
    }
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub arm: String,
    pub steps: Vec<Step>,
    /// The record at its end, if there is one.
    pub summary: Option<Map<String, Value>>,
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
        let (name, text) = read_text(path)?;
        Trace::parse(name, &text)
    }

    pub fn parse(name: String, text: &str) -> Outcome<Trace> {
        let mut answers: Vec<Answer> = Vec::new();
        let mut is_open = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let fields = Fields::parse(format!("{name}:{}", number + 1), line)?;
            let arm = fields.string("arm")?;
            match fields.string("type")?.as_str() {
                "token" => {
                    let step = step(&fields)?;
                    let continues = answers.last().is_some_and(|last| last.arm == arm);
                    if !is_open || !continues || step.step == 0 {
                        answers.push(Answer { arm, ..Answer::default() });
                    }
                    is_open = true;
                    if let Some(answer) = answers.last_mut() {
                        answer.steps.push(step);
                    }
                }
                "answer" => {
                    match answers.last_mut() {
                        Some(last) if is_open && last.arm == arm => last.summary = Some(fields.map),
                        _ => answers.push(Answer { arm, summary: Some(fields.map), ..Answer::default() }),
                    }
                    is_open = false;
                }
                other => return Err(fields.error("type", format_args!("`{other}`"), "token or answer")),
            }
        }
        answers.retain(|answer| !answer.steps.is_empty());
        if answers.is_empty() {
            return Err(Failure::Failed(format!("{name}: holds 0 token records, must hold at least 1")));
        }
        Ok(Trace { name, answers })
    }

    /// The answer with a number, counted from 1; without one the last that was steered, or just the last.
    pub fn answer(&self, number: Option<usize>) -> Outcome<&Answer> {
        let n = self.answers.len();
        let index = match number {
            Some(number) => number.wrapping_sub(1),
            None => self.answers.iter().rposition(|answer| answer.arm == "steered").unwrap_or(n - 1),
        };
        self.answers.get(index).ok_or_else(|| {
            let number = number.unwrap_or_default();
            Failure::Usage(format!("--answer is {number}, must be between 1 and {n} for {}", self.name))
        })
    }
}

fn step(fields: &Fields) -> Outcome<Step> {
    let [plain, instructed] = ["logprob_plain", "logprob_instructed"].map(|name| fields.number(name));
    let [top_plain, top_instructed, top_steered] =
        ["top_plain", "top_instructed", "top_steered"].map(|name| fields.ranked(name));
    Ok(Step {
        place: fields.place.clone(),
        step: fields.count("step")?,
        token: fields.integer("token")?,
        text: fields.string("text")?,
        divergence: fields.number("js")?,
        temperature: fields
            .number("temperature")?
            .ok_or_else(|| fields.error("temperature", "null", "a number"))?,
        guidance: fields.number("guidance")?,
        logprobs: [plain?, instructed?],
        top: [top_plain?, top_instructed?, top_steered?],
    })
}

/// A whole text file, with the name that messages call it by.
pub fn read_text(path: &Path) -> Outcome<(String, String)> {
    let mut bytes = Vec::new();
    let (name, read) = match path.as_os_str() == "-" {
        true => ("standard input".to_owned(), std::io::stdin().read_to_end(&mut bytes).map(drop)),
        false => (path.display().to_string(), std::fs::read(path).map(|read| bytes = read)),
    };
    read.map_err(|e| Failure::Failed(format!("{name}: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| Failure::Failed(format!("{name}: not UTF-8 ({e})")))?;
    Ok((name, text))
}

/// The fields of a JSON object, and the place that errors name.
pub struct Fields {
    pub place: String,
    pub map: Map<String, Value>,
}

impl Fields {
    pub fn parse(place: String, text: &str) -> Outcome<Fields> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Failure::Failed(format!("{place}: not a JSON object ({error})")))?;
        Fields::new(place, value)
    }

    pub fn new(place: String, value: Value) -> Outcome<Fields> {
        match value {
            Value::Object(map) => Ok(Fields { place, map }),
            _ => Err(Failure::Failed(format!("{place}: not a JSON object"))),
        }
    }

    pub fn error(&self, name: &str, got: impl std::fmt::Display, expected: &str) -> Failure {
        Failure::Failed(format!("{}: {name} is {got}, must be {expected}", self.place))
    }

    fn get(&self, name: &str, expected: &str) -> Outcome<&Value> {
        self.map.get(name).ok_or_else(|| self.error(name, "missing", expected))
    }

    pub fn string(&self, name: &str) -> Outcome<String> {
        let value = self.get(name, "a text")?;
        value.as_str().map(str::to_owned).ok_or_else(|| self.error(name, value, "a text"))
    }

    pub fn integer(&self, name: &str) -> Outcome<i64> {
        let value = self.get(name, "a whole number")?;
        value.as_i64().ok_or_else(|| self.error(name, value, "a whole number"))
    }

    pub fn count(&self, name: &str) -> Outcome<u64> {
        const EXPECTED: &str = "a whole number of at least 0";
        let value = self.get(name, EXPECTED)?;
        value.as_u64().ok_or_else(|| self.error(name, value, EXPECTED))
    }

    /// A finite number, or None for null; missing is an error.
    pub fn number(&self, name: &str) -> Outcome<Option<f64>> {
        match self.get(name, "a number or null")? {
            Value::Null => Ok(None),
            value => value.as_f64().map(Some).ok_or_else(|| self.error(name, value, "a number or null")),
        }
    }

    /// A number that may be missing.
    pub fn optional_number(&self, name: &str) -> Outcome<Option<f64>> {
        if self.map.contains_key(name) { self.number(name) } else { Ok(None) }
    }

    /// A text that may be missing or null.
    pub fn optional_string(&self, name: &str) -> Outcome<Option<String>> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.string(name).map(Some),
        }
    }

    /// `[[token, text, logprob], ...]`, or None if missing or null.
    fn ranked(&self, name: &str) -> Outcome<Option<Vec<Ranked>>> {
        let list = match self.map.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(list) => list,
        };
        let ranked = |item: &Value| match item.as_array()?.as_slice() {
            [token, text, logprob] => Some(Ranked {
                token: token.as_i64()?,
                text: text.as_str()?.to_owned(),
                logprob: logprob.as_f64()?,
            }),
            _ => None,
        };
        let ranked = list.as_array().and_then(|items| items.iter().map(ranked).collect::<Option<Vec<_>>>());
        ranked.map(Some).ok_or_else(|| self.error(name, list, "a list of [token, text, log-probability]"))
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
    use crate::commands::plot::testing::{drawn, refused, token};

    fn parse(lines: &[String]) -> Outcome<Trace> {
        Trace::parse("t.jsonl".into(), &lines.join("\n"))
    }

    #[test]
    fn answers_are_told_apart_by_arm_by_record_and_by_step() {
        let end = |arm: &str| format!(r#"{{"type":"answer","arm":"{arm}","seed":7}}"#);
        let lines = [
            token("plain", 0, "a"),
            token("plain", 1, "b"),
            end("plain"),
            token("steered", 0, "c"),
            String::new(),
            token("steered", 0, "d"),
            end("steered"),
        ];
        let trace = drawn(parse(&lines));
        let arms: Vec<&str> = trace.answers.iter().map(|answer| answer.arm.as_str()).collect();
        assert_eq!(arms, ["plain", "steered", "steered"]);
        assert_eq!(trace.answers[0].steps.len(), 2);
        assert_eq!(trace.answers[1].summary, None);
        assert_eq!(drawn(trace.answer(None)).steps[0].text, "d");
        assert_eq!(drawn(trace.answer(Some(1))).steps[1].place, "t.jsonl:2");
        for number in [0, 4] {
            let message = refused(trace.answer(Some(number)));
            assert_eq!(message, format!("--answer is {number}, must be between 1 and 3 for t.jsonl"));
        }
    }

    #[test]
    fn a_wrong_record_is_named_by_file_line_and_field() {
        let good = token("steered", 0, "a");
        let change = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}: {good}");
            good.replace(from, to)
        };
        let cases = [
            (change(r#""js":0.1,"#, ""), "js is missing, must be a number or null"),
            (change(r#""js":0.1"#, r#""js":"x""#), r#"js is "x", must be a number or null"#),
            (change(r#""step":0"#, r#""step":0.5"#), "step is 0.5, must be a whole number of at least 0"),
            (change(r#""arm":"steered""#, r#""arm":3"#), "arm is 3, must be a text"),
            (
                change(r#""temperature":0.5"#, r#""temperature":null"#),
                "temperature is null, must be a number",
            ),
            (change(r#""type":"token""#, r#""type":"eval""#), "type is `eval`, must be token or answer"),
            (change(r#"[5,"a",-0.5]"#, "[5]"), "must be a list of [token, text, log-probability]"),
            ("[1]".to_owned(), "not a JSON object"),
            (good[..20].to_owned(), "not a JSON object (EOF"),
        ];
        for (line, message) in cases {
            let text = refused(parse(&[good.clone(), line]));
            assert!(text.starts_with("t.jsonl:2: ") && text.contains(message), "{text}");
        }
    }

    #[test]
    fn a_trace_without_tokens_is_an_error() {
        for lines in [vec![], vec![r#"{"type":"answer","arm":"plain"}"#.to_owned()]] {
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
        step.token = 77;
        assert_eq!(step.shown(), "#77");
    }
}
