//! Answers on standard output, records on request.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sda::Params;
use sda::engine::{Answer, Arm, Event, RankedToken, StepRecord};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Outcome};
use crate::strength::Resolved;
use crate::ui::console::{Bar, Interrupt};

/// How answers are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text, as it comes.
    Text,
    /// One JSON record a line.
    Json,
}

/// Writes answers and records.
pub struct Output {
    format: Format,
    trace: Option<(BufWriter<File>, String)>,
    /// First error in the middle of an answer; a closed pipe for one.
    error: Option<Failure>,
}

impl Output {
    pub fn new(format: Format, trace: Option<&Path>) -> Outcome<Output> {
        let trace = match trace {
            None => None,
            Some(path) => {
                let shown = path.display().to_string();
                let file = File::create(path).map_err(|e| Failure::Failed(format!("{shown}: {e}")))?;
                Some((BufWriter::new(file), shown))
            }
        };
        Ok(Output { format, trace, error: None })
    }

    /// True if records of each token are wanted.
    pub fn wants_records(&self) -> bool {
        self.format == Format::Json || self.trace.is_some()
    }

    /// A heading between answers, in text only.
    pub fn heading(&mut self, text: &str) {
        if self.format == Format::Text {
            self.print(&format!("=== {text} ===\n"));
        }
    }

    /// Shows progress of one answer. `stream` is false for answers that are not to be printed, such as
    /// drafts. The returned function goes to [`sda::engine::Engine::generate`].
    pub fn events<'a>(
        &'a mut self,
        arm: Arm,
        stream: bool,
        interrupt: &'a Interrupt,
    ) -> impl FnMut(Event) -> bool + 'a {
        let bar = Bar::new("reading");
        move |event| {
            match event {
                Event::Prefill { done, total } => bar.set(done, total),
                Event::Token(record) => self.token(arm, record, stream),
            }
            !interrupt.is_wanted() && self.error.is_none()
        }
    }

    fn token(&mut self, arm: Arm, record: &StepRecord, stream: bool) {
        if stream && self.format == Format::Text {
            self.print(&record.text);
        }
        if !self.wants_records() {
            return;
        }
        let line = token_record(arm, record).to_string();
        if stream && self.format == Format::Json {
            self.print(&format!("{line}\n"));
        }
        self.write_trace(&line);
    }

    /// Ends an answer: a final newline, or its record.
    pub fn answer(
        &mut self,
        arm: Arm,
        answer: &Answer,
        streamed_to: usize,
        extra: Map<String, Value>,
    ) -> Outcome {
        let record = answer_record(arm, answer, extra).to_string();
        match self.format {
            Format::Text => {
                // Text that was held back while it might have become a stop text.
                let tail = answer.text.get(streamed_to..).unwrap_or_default().to_owned();
                self.print(&tail);
                if !answer.text.ends_with('\n') {
                    self.print("\n");
                }
            }
            Format::Json => self.print(&format!("{record}\n")),
        }
        self.write_trace(&record);
        self.finish()
    }

    /// A record of its own beside the tokens and answers; nothing in text.
    pub fn record(&mut self, record: &Value) -> Outcome {
        let line = record.to_string();
        if self.format == Format::Json {
            self.print(&format!("{line}\n"));
        }
        self.write_trace(&line);
        self.finish()
    }

    /// Puts the trace into its file and reports the first error.
    fn finish(&mut self) -> Outcome {
        if let Some((file, path)) = &mut self.trace {
            file.flush().map_err(|e| Failure::Failed(format!("{path}: {e}")))?;
        }
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn print(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.error.get_or_insert(Failure::Failed(format!("standard output: {e}")));
        }
    }

    fn write_trace(&mut self, line: &str) {
        if let Some((file, path)) = &mut self.trace
            && let Err(e) = writeln!(file, "{line}")
        {
            self.error.get_or_insert(Failure::Failed(format!("{path}: {e}")));
        }
    }
}

fn token_record(arm: Arm, record: &StepRecord) -> Value {
    let mut fields = json!({
        "type": "token",
        "arm": arm.name(),
        "step": record.step,
        "token": record.token,
        "text": record.text,
        "js": record.divergence,
        "temperature": record.temperature,
        "guidance": record.guidance,
        "logprob_plain": record.logprob_plain,
        "logprob_instructed": record.logprob_instructed,
    });
    if let Some(top) = &record.top {
        let lists =
            [("top_plain", &top.plain), ("top_instructed", &top.instructed), ("top_steered", &top.steered)];
        for (name, list) in lists {
            fields[name] = list.as_ref().map_or(Value::Null, |list| ranked(list));
        }
    }
    fields
}

/// `[[token, text, logprob], ...]`.
fn ranked(list: &[RankedToken]) -> Value {
    list.iter().map(|ranked| json!([ranked.token, ranked.text, ranked.logprob])).collect()
}

/// The record of an answer, with `extra` fields.
pub fn answer_record(arm: Arm, answer: &Answer, extra: Map<String, Value>) -> Value {
    let mut record = json!({
        "type": "answer",
        "arm": arm.name(),
        "text": answer.text,
        "tokens": answer.tokens.len(),
        "finish": answer.finish.name(),
        "mean_js": answer.mean_divergence,
        "prompt": {
            "shared": answer.prefill.shared,
            "decoded": answer.prefill.decoded,
            "reused": answer.prefill.reused,
        },
        "ms": {
            "prefill": answer.timings.prefill.as_secs_f64() * 1e3,
            "decode": answer.timings.decode.as_secs_f64() * 1e3,
            "sample": answer.timings.sample.as_secs_f64() * 1e3,
        },
    });
    if let Some(fields) = record.as_object_mut() {
        fields.extend(extra);
    }
    record
}

/// What an answer was steered with, for its record; nothing, if there was no score to steer by.
pub fn steering(resolved: &Resolved, params: &Params, seed: u32) -> Map<String, Value> {
    let fields = match resolved.arm {
        Arm::Steered => json!({
            "score": resolved.score(),
            "amplification": params.amplification,
            "guidance": params.guidance(),
            "k": params.k,
            "seed": seed,
        }),
        _ => json!({ "score": null, "amplification": null, "guidance": null, "seed": seed }),
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
