//! Working through the tasks of a list: answers that need no judge, then the judge, then the others. With a check the
//! instructed answers, and then those in place of the ones that fail it.

use sda::engine::{Answer, Arm, Batch};
use sda::text::{ChatTemplate, Instruction};

use super::task::Task;
use crate::args::GenerateArgs;
use crate::assess::{Assessment, Assessor};
use crate::check::Check;
use crate::failure::{Failure, Outcome, message};
use crate::record::{self, Checked, Failed};
use crate::runner::{Draft, Runner, Written};
use crate::strength::{Resolved, Source, decide};

/// Everything that the work needs.
pub struct Work<'a> {
    pub args: &'a GenerateArgs,
    pub source: &'a Source,
    pub check: Option<Check<'a>>,
    pub template: Option<&'a ChatTemplate>,
    pub tasks: Vec<Task>,
    pub batch: Batch,
}

impl Work<'_> {
    /// Does what is not done.
    pub fn run(mut self, runner: &mut Runner<record::Answer>) -> Outcome {
        let (mut free, mut judged) = (Vec::new(), Vec::new());
        for (i, task) in self.tasks.iter().enumerate() {
            match (runner.result(&task.input.key), &task.blocked, &task.draft) {
                (Some(_), ..) => {}
                (None, Some(why), _) => {
                    runner.fail(&task.input, why)?;
                }
                (None, None, Some(_)) => judged.push(i),
                (None, None, None) => free.push(i),
            }
        }
        let free = match self.check {
            Some(check) => self.instructed(check, &free, runner)?,
            None => free,
        };
        self.generate(&free, runner)?;
        if let Source::Judged(assessor) = self.source {
            let steered = self.judge(assessor, &judged, runner)?;
            self.generate(&steered, runner)?;
        }
        match runner.end().len() {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!(
                "{failed} of {} answers failed, see their \"error\"; the same command tries them again",
                self.tasks.len()
            ))),
        }
    }

    /// Generates the answers to some tasks.
    fn generate(&mut self, tasks: &[usize], runner: &mut Runner<record::Answer>) -> Outcome {
        let Work { tasks: all, batch, .. } = self;
        let jobs = tasks.iter().map(|&id| (&all[id], all[id].job()));
        runner.answer(batch, jobs, |runner, task, answer| match answer {
            Ok(answer) => runner.append(&task.input, record(task, &task.resolved, &answer)),
            Err(error) => runner.fail(&task.input, &error.to_string()),
        })
    }

    /// Generates the instructed answers to some tasks and has each checked once it is there. Returns those tasks whose
    /// answers failed.
    fn instructed(
        &mut self,
        check: Check,
        tasks: &[usize],
        runner: &mut Runner<record::Answer>,
    ) -> Outcome<Vec<usize>> {
        let Work { tasks: all, batch, .. } = self;
        let jobs = tasks.iter().map(|&id| (id, all[id].instructed()));
        let mut failed = Vec::new();
        runner.answer(batch, jobs, |runner, id, answer| {
            let task = &all[id];
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => return runner.fail(&task.input, &error.to_string()),
            };
            match check.run(&answer.text, task.is_thinking()) {
                Ok(Checked::Passed) => {
                    let instructed = Resolved { arm: Arm::Instructed, strength: None };
                    let record = record(task, &instructed, &answer);
                    runner.append(&task.input, record::Answer { check: Some(Checked::Passed), ..record })
                }
                Ok(Checked::Failed) => {
                    failed.push(id);
                    Ok(())
                }
                // The runner sees it too, and says how far it got.
                Err(Failure::Interrupted) => Ok(()),
                Err(failure) => runner.fail(&task.input, message(&failure)),
            }
        })?;
        failed.sort_unstable();
        for &id in &failed {
            self.tasks[id].check = Some(Checked::Failed);
        }
        if !failed.is_empty() {
            let (n, of) = (failed.len(), tasks.len());
            runner.say(&format!("{n} of {of} instructed answers fail the check: steered"));
        }
        Ok(failed)
    }

    /// Has the drafts of some tasks scored. Returns those tasks for which there is an answer to generate.
    fn judge(
        &mut self,
        assessor: &Assessor,
        tasks: &[usize],
        runner: &mut Runner<record::Answer>,
    ) -> Outcome<Vec<usize>> {
        let drafts: Vec<(usize, Draft)> =
            tasks.iter().map(|&task| (task, self.draft(task, runner))).collect();
        let Work { args, tasks: all, batch, template, .. } = self;
        let mut ready = Vec::new();
        let mut written = Written { drafts: drafts.into_iter(), batch, template: *template };
        let parallel = args.list.parallel.into();
        runner.score(assessor, parallel, &mut written, |runner, id, _, assessment: Assessment| {
            let task = &mut all[id];
            let judge = Some(assessment.record().judge);
            let steering = &args.common.steering;
            match decide(assessment.verdict, steering.on_judge_failure, steering.amplify) {
                Ok((resolved, error)) => {
                    task.judge = judge;
                    task.judge_error = error.map(|error| error.to_string());
                    task.resolve(resolved)?;
                    ready.push(id);
                    Ok(())
                }
                Err(error) => {
                    let failed = Failed { error: error.to_string(), judge };
                    runner.append_failure(&task.input, &failed.error, &failed)
                }
            }
        })?;
        ready.sort_unstable();
        Ok(ready)
    }

    /// What the judge is to read for a task.
    fn draft(&self, task: usize, runner: &Runner<record::Answer>) -> Draft {
        let task = &self.tasks[task];
        let text = match task.draft.as_ref().and_then(|key| runner.result(key)) {
            Some(answer) => Ok(answer.text.clone()),
            None => Err(sda::Error::Judge { reason: "there is no draft".to_owned() }),
        };
        let Task { query, instructions, dimension, .. } = task;
        Draft {
            query: query.clone(),
            instruction: Instruction::joined(instructions),
            dimension: *dimension,
            text,
            thinking: task.is_thinking(),
        }
    }
}

fn record(task: &Task, resolved: &Resolved, answer: &Answer) -> record::Answer {
    let settings = &task.settings;
    let record = record::Answer::new(resolved.arm, answer);
    record::Answer {
        judge: task.judge.clone(),
        judge_error: task.judge_error.clone(),
        check: task.check,
        ..record
            .steered_by(resolved.score(), &settings.params, settings.sampling.seed)
            .weighted(&task.instructions)
    }
}
