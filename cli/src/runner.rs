//! Resumable runs: many units of work, each of whose results is on disk as soon as it is there.
//!
//! What lists, scores and evaluations have in common, in the order in which a unit meets it:
//!
//! 1. the [`Journal`] says which units are done; a [`Runner`] counts and writes the others,
//! 2. [`Runner::answer`] generates answers, many at once; those of the plain arm are drafts,
//! 3. [`Runner::score`] has drafts scored, by the loaded model or by a server on threads of its own.
//!
//! Half an answer and a score that was cut off are no results. Ctrl-C ends a run between two results.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

use sda::engine::{Answer, Batch, BatchEvent, Finish, Job, LocalJudge};
use sda::judge::{Client, Judge, JudgeRequest, score_each};
use sda::text::{ChatTemplate, strip_think};
use sda::{Error, Quality};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assess::{Assessment, Assessor};
use crate::failure::{Failure, Outcome};
use crate::journal::{Input, Journal};
use crate::record::Failed;
use crate::ui::console::note;
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

/// What a run is called.
pub struct Names {
    /// Beside the progress bar, as in "answering".
    pub doing: &'static str,
    /// What it makes, as in "answers".
    pub results: &'static str,
}

/// A run of units, whose results are `R`.
pub struct Runner<'a, R> {
    journal: Journal<R>,
    interrupt: &'a Interrupt,
    names: Names,
    progress: Progress,
    /// Units in all.
    units: usize,
    /// Those that failed in this run, with the reason.
    failures: Vec<String>,
}

impl<'a, R: Serialize + DeserializeOwned> Runner<'a, R> {
    /// `units` is how many there are, those included that the journal holds.
    pub fn new(names: Names, journal: Journal<R>, units: usize, interrupt: &'a Interrupt) -> Runner<'a, R> {
        let progress = Progress::count(names.doing, units.saturating_sub(journal.len()));
        Runner { journal, interrupt, names, progress, units, failures: Vec::new() }
    }

    /// The result of the unit with a key, if it is there.
    pub fn result(&self, key: &str) -> Option<&R> {
        self.journal.result(key)
    }

    /// Writes the result of a unit.
    pub fn append(&mut self, unit: &Input, result: R) -> Outcome {
        self.journal.append(unit, result)?;
        self.progress.step(self.failures.len());
        Ok(())
    }

    /// Writes that a unit failed. `record` has a field `error`, and what the next try can use.
    pub fn append_failure(&mut self, unit: &Input, why: &str, record: &impl Serialize) -> Outcome {
        self.journal.append_failure(unit, record)?;
        self.failures.push(format!("{}: {why}", unit.name));
        self.progress.step(self.failures.len());
        Ok(())
    }

    /// Writes that a unit failed, and nothing beside.
    pub fn fail(&mut self, unit: &Input, why: &str) -> Outcome {
        self.append_failure(unit, why, &Failed { error: why.to_owned(), judge: None })
    }

    /// Stops the run if the user wants it.
    pub fn check(&self) -> Outcome {
        let stopped = self.interrupt.check();
        if stopped.is_err() && self.journal.is_kept() {
            let (done, results) = (self.journal.len(), self.names.results);
            self.say(&format!("stopped with {done} of {} {results}; the same command continues", self.units));
        }
        stopped
    }

    /// Tells the user something beside the progress.
    pub fn say(&self, text: &str) {
        self.progress.above(|| note(text));
    }

    /// The units that failed in this run, by name and with the reason.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Ends the progress. Returns the failures.
    pub fn end(&self) -> &[String] {
        self.progress.end();
        &self.failures
    }

    /// Generates answers, many at once, and hands each on as it comes; a failure may be one answer's alone.
    pub fn answer<K>(
        &mut self,
        batch: &mut Batch,
        jobs: impl IntoIterator<Item = (K, Job)>,
        mut done: impl FnMut(&mut Self, K, sda::Result<Answer>) -> Outcome,
    ) -> Outcome {
        let mut jobs = jobs.into_iter().enumerate();
        let under_way = RefCell::new(HashMap::new());
        let mut next = || {
            let (id, (key, job)) = jobs.next()?;
            under_way.borrow_mut().insert(id, key);
            Some((id, job))
        };
        let mut broken = Ok(());
        let ran = batch.run(&mut next, &mut |event| {
            if let BatchEvent::Done { id, answer } = event {
                let is_half = matches!(&answer, Ok(answer) if answer.finish == Finish::Cancelled);
                let key = under_way.borrow_mut().remove(&id);
                if let Some(key) = key.filter(|_| !is_half && broken.is_ok()) {
                    broken = done(self, key, answer);
                }
            }
            broken.is_ok() && !self.interrupt.is_wanted()
        });
        broken?;
        self.check()?;
        Ok(ran?)
    }

    /// Has drafts scored as they come, by a server `parallel` at a time while further ones are written. A failed
    /// score is handed on like any other.
    pub fn score<D: Drafts>(
        &mut self,
        assessor: &Assessor,
        parallel: usize,
        drafts: &mut D,
        done: impl FnMut(&mut Self, D::Unit, Draft, Assessment) -> Outcome + Send,
    ) -> Outcome
    where
        R: Send,
    {
        match assessor.client() {
            Some(client) => self.score_on_threads(client, parallel, drafts, done),
            None => self.score_here(assessor, drafts, done),
        }
    }

    fn score_here<D: Drafts>(
        &mut self,
        assessor: &Assessor,
        drafts: &mut D,
        mut done: impl FnMut(&mut Self, D::Unit, Draft, Assessment) -> Outcome,
    ) -> Outcome {
        while let Some((unit, draft)) = drafts.next() {
            self.check()?;
            let mut judge = assessor.judge(|| drafts.local(), |_, _| ());
            let assessment = draft.assess(&mut *judge, &|| self.interrupt.is_wanted());
            drop(judge);
            if assessment.verdict != Err(Error::Cancelled) {
                done(self, unit, draft, assessment)?;
            }
        }
        self.check()
    }

    fn score_on_threads<D: Drafts>(
        &mut self,
        client: &Client,
        parallel: usize,
        drafts: &mut D,
        mut done: impl FnMut(&mut Self, D::Unit, Draft, Assessment) -> Outcome + Send,
    ) -> Outcome
    where
        R: Send,
    {
        let interrupt = self.interrupt;
        let (sender, receiver) = mpsc::sync_channel::<(D::Unit, Draft)>(parallel);
        let runner = &mut *self;
        let scored = thread::scope(|scope| {
            let scoring = scope.spawn(move || {
                let mut broken = Ok(());
                let scored = score_each(
                    receiver.into_iter(),
                    parallel,
                    |(_, draft), cancel| draft.assess(&mut &*client, cancel),
                    &|| interrupt.is_wanted(),
                    |(unit, draft), assessment| {
                        if assessment.verdict == Err(Error::Cancelled) {
                            return Err(Error::Cancelled);
                        }
                        broken = done(runner, unit, draft, assessment);
                        // Only stops the scoring; the reason is kept beside.
                        if broken.is_ok() { Ok(()) } else { Err(Error::Cancelled) }
                    },
                );
                broken.and(scored.map_err(Failure::from))
            });
            while let Some(draft) = drafts.next() {
                if draft.1.text == Err(Error::Cancelled) || sender.send(draft).is_err() {
                    break;
                }
            }
            drop(sender);
            scoring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        match scored {
            // Says how far it got.
            Err(Failure::Interrupted) | Ok(()) => self.check().and(scored),
            other => other,
        }
    }
}

/// A draft on its way to the judge.
pub struct Draft {
    pub query: String,
    pub instruction: String,
    /// What to score by; None is the instruction.
    pub dimension: Option<Quality>,
    /// The draft, or why there is none. Reasoning is not judged.
    pub text: sda::Result<String>,
    /// It begins in a `<think>` block that its prompt has opened.
    pub thinking: bool,
}

impl Draft {
    /// Asks the judge, if there is a draft.
    pub fn assess(&self, judge: &mut dyn Judge, cancel: &dyn Fn() -> bool) -> Assessment {
        match &self.text {
            Err(error) => Assessment::failed(judge, error.clone()),
            Ok(text) => {
                let request = JudgeRequest {
                    query: &self.query,
                    draft: strip_think(text, self.thinking).text,
                    instruction: &self.instruction,
                    dimension: self.dimension,
                };
                Assessment::new(judge, &request, cancel)
            }
        }
    }
}

/// Where drafts come from: they may be written while earlier ones are scored. The loaded model, if it is the judge,
/// is lent between two drafts.
pub trait Drafts {
    /// What a draft is scored for.
    type Unit: Send;

    fn next(&mut self) -> Option<(Self::Unit, Draft)>;

    fn local(&mut self) -> LocalJudge<'_>;
}

/// Drafts that are there already, and the model that may judge them.
pub struct Written<'b, U> {
    pub drafts: std::vec::IntoIter<(U, Draft)>,
    pub batch: &'b mut Batch,
    pub template: Option<&'b ChatTemplate>,
}

impl<U: Send> Drafts for Written<'_, U> {
    type Unit = U;

    fn next(&mut self) -> Option<(U, Draft)> {
        self.drafts.next()
    }

    fn local(&mut self) -> LocalJudge<'_> {
        self.batch.judge(self.template)
    }
}
