//! Answers of all arms to the same queries, many at once, with the same seed for all arms of an item.

use sda::Strength;
use sda::engine::{Answer, Arm, Batch, BatchEvent, Job};
use sda::judge::JudgeRequest;
use sda::text::strip_think;

use super::Run;
use super::data::Item;
use super::scorer::Scorer;
use crate::failure::{Failure, Outcome};
use crate::journal::{Input, Journal};
use crate::measure::ArmSpec;
use crate::record::{EvalAnswer, EvalResult};
use crate::ui::progress::Progress;

/// Items whose answers are under way together, for each place of the batch. The steered answers wait for the
/// scores of all of these, and few are wasted when a run is stopped.
const ITEMS_A_PLACE: usize = 2;

/// KV cells for each place of the batch, if that is more than one answer could need by itself.
const CELLS_A_PLACE: usize = 3072;

/// One item and what is asked of the model in it.
pub struct Question<'a> {
    pub item: &'a Item,
    /// The query, the same in all arms.
    pub query: String,
    /// What the instructed branch is told beside it.
    pub instruction: String,
    /// Seed of all its answers.
    pub seed: u32,
    /// Units of work, one for every arm of the run.
    pub units: &'a [Input],
}

/// The answer in a result's record, without its reasoning; the rest is verbatim.
pub fn answer<'j>(journal: &'j Journal<EvalResult>, unit: &Input) -> Option<&'j str> {
    whole_answer(journal, unit).map(|text| strip_think(text).text)
}

fn whole_answer<'j>(journal: &'j Journal<EvalResult>, unit: &Input) -> Option<&'j str> {
    match journal.result(&unit.key)? {
        EvalResult::Answer(answer) => Some(&answer.answer),
        _ => None,
    }
}

/// A context with as many places as were asked for.
pub fn batch(run: &Run) -> Outcome<Batch> {
    let args = &run.args.common.model;
    let n_pairs = run.args.parallel as usize;
    let n_ctx = match args.ctx_size as usize {
        0 => run.model.n_ctx_train().clamp(1, sda::engine::DEFAULT_N_CTX),
        n => n,
    };
    let cells = (2 * n_ctx).max(n_pairs * CELLS_A_PLACE.min(2 * n_ctx));
    Ok(Batch::with_cells(run.model, n_pairs, n_ctx, cells, &args.context_options())?)
}

/// Writes the answers that are missing.
pub fn write(
    run: &Run,
    batch: &mut Batch,
    questions: &[Question],
    scorer: &Scorer,
    journal: &mut Journal<EvalResult>,
    progress: &Progress,
) -> Outcome {
    for questions in questions.chunks(ITEMS_A_PLACE * batch.n_pairs()) {
        let mut work = Work { run, batch, journal, progress, drafts: Vec::new() };
        work.unscored(questions)?;
        work.scored(questions, scorer)?;
    }
    Ok(())
}

/// A job and the unit that its answer is the result of; None for a draft that no arm asks for.
struct Task<'q> {
    job: Job,
    question: &'q Question<'q>,
    unit: Option<&'q Input>,
    /// The strength that a score gave it.
    scored: Option<Strength>,
}

/// Some items under way.
struct Work<'w, 'r, 'a> {
    run: &'w Run<'r, 'a>,
    batch: &'w mut Batch,
    journal: &'w mut Journal<EvalResult>,
    progress: &'w Progress,
    /// Plain answers that are no results, by the item's id.
    drafts: Vec<(String, String)>,
}

impl Work<'_, '_, '_> {
    fn missing<'q>(&self, question: &'q Question) -> Vec<(&ArmSpec, &'q Input)> {
        let all = self.run.arms.iter().zip(question.units);
        all.filter(|(_, unit)| self.journal.result(&unit.key).is_none()).collect()
    }

    /// All arms that need no score, and the drafts of those that do.
    fn unscored(&mut self, questions: &[Question]) -> Outcome {
        let plain = ArmSpec::parse_list("plain")?.remove(0);
        let has_plain = self.run.arms.contains(&plain);
        let mut tasks = Vec::new();
        for question in questions {
            let missing = self.missing(question);
            if missing.iter().any(|(arm, _)| arm.needs_score()) && !has_plain {
                tasks.push(self.task(question, &plain, None, None)?);
            }
            for (arm, unit) in missing.into_iter().filter(|(arm, _)| !arm.needs_score()) {
                tasks.push(self.task(question, arm, Some(unit), None)?);
            }
        }
        self.generate(tasks)
    }

    /// The arms that are steered by a score.
    fn scored(&mut self, questions: &[Question], scorer: &Scorer) -> Outcome {
        let mut tasks = Vec::new();
        for question in questions {
            let mut missing = self.missing(question);
            missing.retain(|(arm, _)| arm.needs_score());
            let missing: Vec<(ArmSpec, &Input)> =
                missing.into_iter().map(|(arm, unit)| (arm.clone(), unit)).collect();
            if missing.is_empty() {
                continue;
            }
            let scored = self.score(question, scorer)?;
            for (arm, unit) in missing {
                match &scored {
                    Ok(scored) => tasks.push(self.task(question, &arm, Some(unit), Some(*scored))?),
                    Err(why) => {
                        self.run.append_failure(self.journal, unit, why)?;
                        self.run.step(self.progress);
                    }
                }
            }
        }
        self.generate(tasks)
    }

    /// The score of an item, by its record or by a judge of the plain answer.
    fn score(&mut self, question: &Question, scorer: &Scorer) -> Outcome<Result<Strength, String>> {
        let function = self.run.args.common.steering.amplify;
        if let Some(score) = scorer.known(question.item) {
            return Ok(Ok(Strength::score(score, function)));
        }
        let result = self.run.arms.iter().zip(question.units).find(|(arm, _)| arm.name == "plain");
        let result = result.and_then(|(_, unit)| whole_answer(self.journal, unit));
        let draft = self.drafts.iter().find(|(id, _)| *id == question.item.id);
        let Some(text) = result.or(draft.map(|(_, text)| text.as_str())) else {
            return Ok(Err("there is no plain answer to score".into()));
        };
        let request = JudgeRequest {
            query: &question.query,
            draft: strip_think(text).text,
            instruction: &question.instruction,
            dimension: None,
        };
        let (batch, template) = (&mut *self.batch, self.run.prompter.template());
        let score = scorer.score(&request, || batch.judge(template), &self.run.session.interrupt)?;
        Ok(score.map(|score| Strength::score(score, function)))
    }

    fn task<'q>(
        &self,
        question: &'q Question,
        arm: &ArmSpec,
        unit: Option<&'q Input>,
        scored: Option<Strength>,
    ) -> Outcome<Task<'q>> {
        let run = self.run;
        let pair = run.prompter.pair_with(&[], &question.query, &question.instruction)?;
        let mut settings = run.session.settings.clone();
        settings.sampling.seed = question.seed;
        settings.params = arm.params(&settings.params, scored)?;
        let job = Job { arm: arm.arm, prompts: run.prompter.tokens(run.model, &pair)?, settings };
        Ok(Task { job, question, unit, scored })
    }

    /// Runs jobs, and writes each answer down as it comes.
    fn generate(&mut self, tasks: Vec<Task>) -> Outcome {
        let interrupt = &self.run.session.interrupt;
        let mut jobs = tasks.iter().enumerate().map(|(id, task)| (id, task.job.clone()));
        let mut failure: Option<Failure> = None;
        let (run, journal, progress, drafts) =
            (self.run, &mut *self.journal, self.progress, &mut self.drafts);
        self.batch.run(&mut || jobs.next(), &mut |event| {
            // A part of an answer is no result.
            if let BatchEvent::Done { id, answer } = event
                && !interrupt.is_wanted()
                && failure.is_none()
            {
                failure = record(run, journal, drafts, &tasks[id], answer).err();
                if tasks[id].unit.is_some() {
                    run.step(progress);
                }
            }
            failure.is_none() && !interrupt.is_wanted()
        })?;
        match failure {
            Some(failure) => Err(failure),
            None if interrupt.is_wanted() => run.stop(journal.len()),
            None => Ok(()),
        }
    }
}

fn record(
    run: &Run,
    journal: &mut Journal<EvalResult>,
    drafts: &mut Vec<(String, String)>,
    task: &Task,
    answer: sda::Result<Answer>,
) -> Outcome {
    let id = &task.question.item.id;
    let (unit, answer) = match (task.unit, answer) {
        (Some(unit), Ok(answer)) => (unit, answer),
        (Some(unit), Err(error)) => return run.append_failure(journal, unit, &error.to_string()),
        (None, Ok(answer)) => {
            drafts.push((id.clone(), answer.text));
            return Ok(());
        }
        // Missed when it is to be scored.
        (None, Err(_)) => return Ok(()),
    };
    let is_steered = task.job.arm == Arm::Steered;
    let result = EvalAnswer {
        answer: answer.text,
        finish: answer.finish.name().to_owned(),
        tokens: answer.tokens.len(),
        mean_js: answer.mean_divergence,
        seed: task.question.seed,
        score: task.scored.and_then(|scored| scored.of_score()),
        guidance: is_steered.then(|| task.job.settings.params.guidance()),
    };
    journal.append(unit, EvalResult::Answer(result))
}
