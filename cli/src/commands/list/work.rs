//! Working through the tasks of a list: answers that need no judge, then the judge, then the others.

use sda::engine::{Answer, Batch, BatchEvent, Finish};
use sda::judge::{Judge, JudgeRequest, score_each};
use sda::text::{ChatTemplate, strip_think};

use super::task::Task;
use crate::args::GenerateArgs;
use crate::assess::{Assessment, Assessor};
use crate::failure::{Failure, Outcome};
use crate::journal::Journal;
use crate::record::{self, Failed};
use crate::strength::{Source, decide};
use crate::ui::console::note;
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

/// Everything that the work needs.
pub struct Work<'a> {
    pub args: &'a GenerateArgs,
    pub source: &'a Source,
    pub template: Option<&'a ChatTemplate>,
    pub interrupt: &'a Interrupt,
    pub tasks: Vec<Task>,
    pub journal: Journal<record::Answer>,
    pub batch: Batch,
}

/// A draft on its way to the judge.
struct Question {
    task: usize,
    draft: Result<String, String>,
}

impl Work<'_> {
    /// Does what is not done.
    pub fn run(mut self) -> Outcome {
        let (mut free, mut judged, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
        for (i, task) in self.tasks.iter().enumerate() {
            match (self.journal.result(&task.input.key), &task.blocked, &task.draft) {
                (Some(_), ..) => {}
                (None, Some(why), _) => blocked.push((i, failed(why))),
                (None, None, Some(_)) => judged.push(i),
                (None, None, None) => free.push(i),
            }
        }
        let mut tally = Tally {
            progress: Progress::count("answering", free.len() + judged.len() + blocked.len()),
            failed: 0,
        };
        for (i, failed) in blocked {
            tally.add(&mut self.journal, &self.tasks[i], Err(failed))?;
        }
        self.generate(&free, &mut tally)?;
        if let Source::Judged(assessor) = self.source {
            let steered = self.judge(assessor, &judged, &mut tally)?;
            self.generate(&steered, &mut tally)?;
        }
        tally.progress.end();
        match tally.failed {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!(
                "{failed} of {} answers failed, see their \"error\"; the same command tries them again",
                self.tasks.len()
            ))),
        }
    }

    /// Generates the answers to some tasks, many at once.
    fn generate(&mut self, tasks: &[usize], tally: &mut Tally) -> Outcome {
        let Work { tasks: all, journal, batch, interrupt, .. } = self;
        let mut left = tasks.iter();
        let mut broken = None;
        let mut on_event = |event: BatchEvent| {
            if let BatchEvent::Done { id, answer } = event {
                let result = match answer {
                    // Half an answer is none: the next run writes it again.
                    Ok(answer) if answer.finish == Finish::Cancelled => return false,
                    Ok(answer) => Ok(result(&all[id], &answer)),
                    Err(error) => Err(failed(&error.to_string())),
                };
                broken = broken.take().or(tally.add(journal, &all[id], result).err());
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

    /// Has the drafts of some tasks scored, a server on threads of their own. Returns those tasks for which
    /// there is an answer to generate.
    fn judge(&mut self, assessor: &Assessor, tasks: &[usize], tally: &mut Tally) -> Outcome<Vec<usize>> {
        let questions: Vec<Question> = tasks.iter().map(|&task| self.question(task)).collect();
        let mut ready = Vec::new();
        let interrupt = self.interrupt;
        let Some(client) = assessor.client() else {
            for question in questions {
                self.go_on()?;
                let (batch, template) = (&mut self.batch, self.template);
                let mut judge = assessor.judge(|| batch.judge(template));
                let task = &self.tasks[question.task];
                let assessment = question.assess(&mut *judge, task, &|| interrupt.is_wanted());
                drop(judge);
                self.settle(question.task, assessment, tally, &mut ready)?;
            }
            return Ok(ready);
        };
        let threads = self.args.list.parallel.into();
        let mut answered = Vec::with_capacity(questions.len());
        let requests: Vec<&Task> = questions.iter().map(|question| &self.tasks[question.task]).collect();
        let scored = score_each(
            requests.into_iter().zip(questions),
            threads,
            |(task, question): &(&Task, Question), cancel| question.assess(&mut &*client, task, cancel),
            &|| interrupt.is_wanted(),
            |(_, question), assessment| {
                answered.push((question.task, assessment));
                Ok(())
            },
        );
        self.go_on()?;
        scored?;
        for (task, assessment) in answered {
            self.settle(task, assessment, tally, &mut ready)?;
        }
        ready.sort_unstable();
        Ok(ready)
    }

    /// What the judge is to read for a task.
    fn question(&self, task: usize) -> Question {
        let draft = self.tasks[task].draft.as_ref().and_then(|key| self.journal.result(key));
        let draft = match draft {
            Some(answer) => Ok(strip_think(&answer.text).text.to_owned()),
            None => Err("there is no draft".to_owned()),
        };
        Question { task, draft }
    }

    /// Does what follows from an assessment of a task's draft.
    fn settle(
        &mut self,
        task: usize,
        assessment: Assessment,
        tally: &mut Tally,
        ready: &mut Vec<usize>,
    ) -> Outcome {
        if assessment.verdict == Err(sda::Error::Cancelled) {
            return self.go_on();
        }
        let (id, task) = (task, &mut self.tasks[task]);
        let judge = Some(assessment.record().judge);
        match decide(assessment.verdict, &self.args.common.steering) {
            Ok((resolved, error)) => {
                task.judge = judge;
                task.judge_error = error.map(|error| error.to_string());
                task.resolve(resolved)?;
                ready.push(id);
                Ok(())
            }
            Err(error) => {
                let failed = Failed { error: error.to_string(), judge };
                tally.add(&mut self.journal, task, Err(failed))
            }
        }
    }

    /// Stops the work if the user wants it.
    fn go_on(&self) -> Outcome {
        if !self.interrupt.is_wanted() {
            return Ok(());
        }
        if self.args.list.output.is_some() {
            let (done, all) = (self.journal.len(), self.tasks.len());
            note(&format!("stopped with {done} of {all} answers; the same command goes on"));
        }
        Err(Failure::Interrupted)
    }
}

impl Question {
    /// Asks the judge, if there is a draft.
    fn assess(&self, judge: &mut dyn Judge, task: &Task, cancel: &dyn Fn() -> bool) -> Assessment {
        match &self.draft {
            Err(why) => Assessment::failed(judge, sda::Error::Judge { reason: why.clone() }),
            Ok(draft) => {
                let request = JudgeRequest {
                    query: &task.query,
                    draft,
                    instruction: &task.instruction,
                    dimension: task.dimension,
                };
                Assessment::new(judge, &request, cancel)
            }
        }
    }
}

/// Where answers are counted.
struct Tally {
    progress: Progress,
    failed: usize,
}

impl Tally {
    /// Writes what became of a task.
    fn add(
        &mut self,
        journal: &mut Journal<record::Answer>,
        task: &Task,
        result: Result<record::Answer, Failed>,
    ) -> Outcome {
        match result {
            Ok(answer) => journal.append(&task.input, answer)?,
            Err(failed) => {
                self.failed += 1;
                journal.append_failure(&task.input, &failed)?;
            }
        }
        self.progress.step(self.failed);
        Ok(())
    }
}

fn result(task: &Task, answer: &Answer) -> record::Answer {
    let settings = &task.settings;
    let record = record::Answer::new(task.resolved.arm, answer);
    record::Answer {
        judge: task.judge.clone(),
        judge_error: task.judge_error.clone(),
        ..record.steered_by(task.resolved.score(), &settings.params, settings.sampling.seed)
    }
}

fn failed(why: &str) -> Failed {
    Failed { error: why.to_owned(), judge: None }
}
