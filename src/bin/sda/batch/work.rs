//! Working through the tasks of a list: answers that need no judge, then the judge, then the others.

use sda::amplify::amplify;
use sda::engine::{Answer, Arm, Batch, BatchEvent, Finish};
use sda::prompt::{JudgePrompt, strip_think};
use serde_json::Value;

use super::progress::Progress;
use super::record::Record;
use super::task::Task;
use crate::args::GenerateArgs;
use crate::console::{Interrupt, note};
use crate::jsonl::{Fields, Journal};
use crate::output;
use crate::prompts::Prompter;
use crate::{Failure, Outcome};

/// Everything that the work needs.
pub struct Work<'a, 'm> {
    pub args: &'a GenerateArgs,
    pub prompter: &'a Prompter,
    pub interrupt: &'a Interrupt,
    pub records: &'a [Record],
    pub tasks: Vec<Task>,
    pub journal: Journal,
    pub batch: Batch<'m>,
}

impl Work<'_, '_> {
    /// Does what is not done.
    pub fn run(mut self) -> Outcome {
        let total = self.tasks.len();
        let mut progress = Progress::new(self.journal.len(), total);
        let mut failed = 0;
        let (mut free, mut judged) = (Vec::new(), Vec::new());
        for (i, task) in self.tasks.iter().enumerate() {
            if self.journal.result(&task.input.key).is_some() {
                continue;
            }
            match (&task.blocked, &task.draft) {
                (Some(why), _) => {
                    self.journal.append(&task.input, failure(why))?;
                    failed += 1;
                    progress.answer();
                }
                (None, Some(_)) => judged.push(i),
                (None, None) => free.push(i),
            }
        }
        self.generate(&free, &mut progress, &mut failed)?;
        let judged = self.judge(&judged, &mut progress, &mut failed)?;
        self.generate(&judged, &mut progress, &mut failed)?;
        drop(progress);
        match failed {
            0 => Ok(()),
            _ => Err(Failure::Failed(format!(
                "{failed} of {total} answers failed; their records say why, and another run tries them again"
            ))),
        }
    }

    /// Generates the answers to some tasks, many at once.
    fn generate(&mut self, tasks: &[usize], progress: &mut Progress, failed: &mut usize) -> Outcome {
        let Work { tasks: all, journal, batch, interrupt, .. } = self;
        let mut left = tasks.iter();
        let mut broken = None;
        let mut on_event = |event: BatchEvent| {
            match event {
                BatchEvent::Token { .. } => progress.token(),
                BatchEvent::Done { id, answer } => match answer {
                    // Half an answer is none: the next run writes it anew.
                    Ok(answer) if answer.finish == Finish::Cancelled => {}
                    answer => {
                        *failed += usize::from(answer.is_err());
                        let fields = answer.map_or_else(
                            |error| failure(&error.to_string()),
                            |answer| result(&all[id], &answer),
                        );
                        broken = broken.take().or(journal.append(&all[id].input, fields).err());
                        progress.answer();
                    }
                },
                _ => {}
            }
            !interrupt.is_wanted() && broken.is_none()
        };
        let run = batch.run(&mut || left.next().map(|&id| (id, all[id].job())), &mut on_event);
        if let Some(failure) = broken {
            return Err(failure);
        }
        self.go_on()?;
        Ok(run?)
    }

    /// Has the drafts of some tasks scored, and sets their amplification. Returns those that can be steered.
    fn judge(&mut self, tasks: &[usize], progress: &mut Progress, failed: &mut usize) -> Outcome<Vec<usize>> {
        let mut ready = Vec::new();
        for &i in tasks {
            self.go_on()?;
            match self.score(i)? {
                Ok(score) => {
                    let task = &mut self.tasks[i];
                    task.score = Some(score);
                    task.settings.params.amplification =
                        amplify(self.args.common.steering.amplify, score)? as f32;
                    ready.push(i);
                }
                Err(why) => {
                    self.journal.append(&self.tasks[i].input, failure(&why))?;
                    *failed += 1;
                    progress.answer();
                }
            }
        }
        Ok(ready)
    }

    /// The score of a task's draft, or why there is none.
    fn score(&mut self, task: usize) -> Outcome<Result<f64, String>> {
        let task = &self.tasks[task];
        let record = &self.records[task.record];
        let draft = task.draft.as_ref().and_then(|key| self.journal.result(key));
        let Some(draft) = draft.and_then(|fields| fields.get("text")?.as_str()) else {
            return Ok(Err("judge gave no score: there is no draft".into()));
        };
        let draft = strip_think(draft);
        if draft.text.trim().is_empty() {
            return Ok(Err("judge gave no score: the draft is empty".into()));
        }
        let instruction = record.instruction.as_deref().unwrap_or(&self.prompter.instruction);
        let prompt = JudgePrompt { query: &record.query, instruction, draft: draft.text };
        let text = prompt.local(self.prompter.template())?;
        let tokens = self.batch.model().tokenize_prompt(&text)?;
        let interrupt = self.interrupt;
        match self.batch.score(&tokens, &mut |_, _| !interrupt.is_wanted()) {
            Ok(distribution) => Ok(Ok(distribution.expected())),
            Err(sda::Error::Cancelled) => Err(Failure::Interrupted),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Stops the work if the user wants it.
    fn go_on(&self) -> Outcome {
        if !self.interrupt.is_wanted() {
            return Ok(());
        }
        if self.args.batch.output.is_some() {
            note(&format!(
                "stopped with {} of {} answers; the same command goes on",
                self.journal.len(),
                self.tasks.len()
            ));
        }
        Err(Failure::Interrupted)
    }
}

fn result(task: &Task, answer: &Answer) -> Fields {
    let mut extra = output::steering(&task.settings.params, task.score, task.settings.sampling.seed);
    if task.arm != Arm::Steered {
        extra.retain(|name, _| name == "seed");
    }
    match output::answer_record(task.arm, answer, extra) {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

fn failure(why: &str) -> Fields {
    [("error".to_owned(), Value::from(why))].into_iter().collect()
}
