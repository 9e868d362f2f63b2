//! Answers on standard output, records on request.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use std::time::Duration;

use sda::engine::{self, Arm, Event, Finish, StepRecord};

use crate::failure::{Failure, Outcome};
use crate::record::{self, Answer, Record, Token};
use crate::ui::color;
use crate::ui::console::{note, stderr_is_terminal};
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

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
            self.print(&format!("{}\n", color::heading(&format!("=== {text} ==="))));
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
        let bar = Progress::share("reading");
        let mut has_begun = false;
        move |event| {
            match event {
                // What is read again in the middle of an answer shows no bar in its text.
                Event::Prefill { .. } if has_begun => {}
                Event::Prefill { done, total } => bar.set(done, total),
                Event::Token(record) => {
                    has_begun = true;
                    self.token(arm, record, stream);
                }
                Event::Tail(text) if stream && self.format == Format::Text => self.print(text),
                Event::Tail(_) => {}
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
        let line = record::line(&Record::Token(Token::new(arm, record)));
        if stream && self.format == Format::Json {
            self.print(&format!("{line}\n"));
        }
        self.write_trace(&line);
    }

    /// The text of an answer that was not printed as it came.
    pub fn text(&mut self, text: &str) {
        if self.format == Format::Text {
            self.print(text);
        }
    }

    /// Ends an answer: a final newline, or its record.
    pub fn answer(&mut self, answer: Answer) -> Outcome {
        if self.format == Format::Text && !answer.text.ends_with('\n') {
            self.print("\n");
        }
        self.record(&Record::Answer(answer))
    }

    /// A record, where records are wanted; nothing in text.
    pub fn record(&mut self, record: &Record) -> Outcome {
        let line = record::line(record);
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

/// What an answer cost, and if it was cut short.
pub fn report(arm: Arm, answer: &engine::Answer, n_ctx: usize) {
    if answer.finish == Finish::ContextFull {
        note(&format!("the context of {n_ctx} tokens a branch is full: the answer was cut (see --ctx-size)"));
    }
    if !stderr_is_terminal() {
        return;
    }
    let timings = &answer.timings;
    let n = answer.tokens.len();
    let divergence =
        answer.mean_divergence.map_or(String::new(), |js| format!(", mean divergence {js:.3} nats"));
    note(&format!(
        "{}: {} prompt tokens read ({} shared) in {:.0} ms, {n} tokens at {:.1}/s{divergence}",
        arm.name(),
        answer.prefill.decoded,
        answer.prefill.shared,
        timings.prefill.as_secs_f64() * 1e3,
        per_second(n, timings.decode + timings.sample),
    ));
}

fn per_second(n: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() }
}
