//! Answers of all arms to the same queries, many at once, with the same seed for all arms of an item.

use std::collections::HashMap;

use sda::Strength;
use sda::engine::{Answer, Arm, Batch, BatchSize, Job, branch_length};
use sda::text::{Instruction, strip_think};

use super::data::Item;
use super::run::Run;
use super::scorer::NO_SCORE;
use crate::assess::Assessor;
use crate::failure::Outcome;
use crate::journal::Input;
use crate::measure::ArmSpec;
use crate::record::{EvalAnswer, EvalResult};
use crate::runner::{Draft, Runner, Written};

/// Items whose answers are under way together, for each place of the batch. The steered answers wait for the
/// scores of all of these, and few are wasted when a run is stopped.
const ITEMS_A_PLACE: usize = 2;

/// KV cells for each branch of a place of the batch, unless one answer could need more.
const CELLS_A_BRANCH: usize = 1536;

/// One item and what is asked of the model in it.
pub struct Question<'a> {
    pub item: &'a Item,
    /// The query, the same in all arms.
    pub query: String,
    /// What it is steered by.
    pub instructions: Vec<Instruction>,
    /// What it is steered by in arms that are split: each of these by itself.
    pub parts: Vec<Instruction>,
    /// Seed of all its answers.
    pub seed: u32,
    /// Units of work, one for every arm of the run.
    pub units: &'a [Input],
}

/// The answer in a result's record, without its reasoning; the rest is verbatim.
pub fn answer<'j>(run: &Run, runner: &'j Runner<EvalResult>, unit: &Input) -> Option<&'j str> {
    whole_answer(runner, unit).map(|text| strip_think(text, run.thinking).text)
}

fn whole_answer<'j>(runner: &'j Runner<EvalResult>, unit: &Input) -> Option<&'j str> {
    match runner.result(&unit.key)? {
        EvalResult::Answer(answer) => Some(&answer.answer),
        _ => None,
    }
}

/// A context with as many places as were asked for, and room for some branches of single instructions in each.
pub fn batch(run: &Run, n_singles: usize) -> Outcome<Batch> {
    let args = &run.args.common.model;
    let n_pairs = run.args.parallel as usize;
    let n_ctx = branch_length(run.model, args.load.ctx_size as usize);
    let branches = 2 + n_singles;
    let cells = (branches * n_ctx).max(n_pairs * (branches * CELLS_A_BRANCH).min(branches * n_ctx));
    let size = BatchSize { n_pairs, n_ctx, n_singles, cells: Some(cells) };
    Ok(Batch::with_size(run.model, &size, &args.context_options())?)
}

/// Writes the answers that are missing.
pub fn write(
    run: &Run,
    batch: &mut Batch,
    questions: &[Question],
    runner: &mut Runner<EvalResult>,
) -> Outcome {
    for questions in questions.chunks(ITEMS_A_PLACE * batch.n_pairs()) {
        let mut work = Work { run, batch, runner, drafts: HashMap::new() };
        work.unscored(questions)?;
        work.scored(questions)?;
    }
    Ok(())
}

/// What an answer is the result of.
struct Task<'q> {
    question: &'q Question<'q>,
    /// None for a draft that no arm asks for.
    unit: Option<&'q Input>,
    /// The score that it is steered by, if it is.
    score: Option<f64>,
    /// None where nothing is steered.
    guidance: Option<f64>,
}

/// Some items under way.
struct Work<'w, 'r, 'a, 'i> {
    run: &'w Run<'r, 'a>,
    batch: &'w mut Batch,
    runner: &'w mut Runner<'i, EvalResult>,
    /// Plain answers that are no results, by the item's line and the seed.
    drafts: HashMap<(usize, u32), String>,
}

impl Work<'_, '_, '_, '_> {
    /// The arms whose results are missing, of those that are steered by a score or of the others.
    fn missing<'q>(&self, question: &'q Question, by_score: bool) -> Vec<(ArmSpec, &'q Input)> {
        let all = self.run.arms.iter().zip(question.units);
        let missing = all
            .filter(|(arm, unit)| arm.needs_score() == by_score && self.runner.result(&unit.key).is_none());
        missing.map(|(arm, unit)| (arm.clone(), unit)).collect()
    }

    /// All arms that need no score, and the drafts of those that do.
    fn unscored(&mut self, questions: &[Question]) -> Outcome {
        let plain = ArmSpec::parse_list("plain")?.remove(0);
        let has_plain = self.run.arms.contains(&plain);
        let mut tasks = Vec::new();
        for question in questions {
            if !has_plain && !self.missing(question, true).is_empty() {
                tasks.push(self.task(question, &plain, None, None)?);
            }
            for (arm, unit) in self.missing(question, false) {
                if let Some(field) = &arm.given {
                    self.given(question, field, unit)?;
                    continue;
                }
                tasks.push(self.task(question, &arm, Some(unit), None)?);
            }
        }
        self.generate(tasks)
    }

    /// An answer that the record holds.
    fn given(&mut self, question: &Question, field: &str, unit: &Input) -> Outcome {
        let Some(answer) = question.item.record.text(field) else {
            return self.runner.fail(unit, &format!("the record has no text \"{field}\""));
        };
        let result = EvalAnswer {
            answer,
            finish: "given".to_owned(),
            tokens: 0,
            mean_js: None,
            seed: question.seed,
            score: None,
            guidance: None,
        };
        self.runner.append(unit, EvalResult::Answer(result))
    }

    /// The arms that are steered by a score.
    fn scored(&mut self, questions: &[Question]) -> Outcome {
        let is_wanted = |question: &&Question| !self.missing(question, true).is_empty();
        let wanted: Vec<&Question> = questions.iter().filter(is_wanted).collect();
        let strengths = self.strengths(&wanted)?;
        let mut tasks = Vec::new();
        for (question, strength) in wanted.into_iter().zip(strengths) {
            for (arm, unit) in self.missing(question, true) {
                match &strength {
                    Ok(strength) => tasks.push(self.task(question, &arm, Some(unit), Some(*strength))?),
                    Err(why) => self.runner.fail(unit, why)?,
                }
            }
        }
        self.generate(tasks)
    }

    /// The strength of each item, by its record's score or by a judge's of the plain answer.
    fn strengths(&mut self, questions: &[&Question]) -> Outcome<Vec<Result<Strength, String>>> {
        let scorer = &self.run.scorer;
        let known = questions.iter().map(|question| scorer.known(question.item));
        let mut strengths: Vec<Result<Strength, String>> =
            known.map(|known| known.ok_or_else(|| NO_SCORE.to_owned())).collect();
        let Some(assessor) = scorer.assessor() else { return Ok(strengths) };
        let drafts = questions.iter().zip(&strengths).enumerate().filter(|(_, (_, known))| known.is_err());
        let drafts: Vec<(usize, Draft)> =
            drafts.map(|(n, (question, _))| (n, self.draft(question, assessor))).collect();
        let template = self.run.prompter.template();
        let mut written = Written { drafts: drafts.into_iter(), batch: self.batch, template };
        let parallel = self.run.args.parallel as usize;
        self.runner.score(assessor, parallel, &mut written, |_, n, _, assessment| {
            strengths[n] = scorer.strength(assessment.verdict);
            Ok(())
        })?;
        Ok(strengths)
    }

    /// The plain answer to a question, on its way to the judge.
    fn draft(&self, question: &Question, assessor: &Assessor) -> Draft {
        let result = self.run.arms.iter().zip(question.units).find(|(arm, _)| arm.name == "plain");
        let result = result.and_then(|(_, unit)| whole_answer(self.runner, unit));
        let text = result.or(self.drafts.get(&(question.item.line, question.seed)).map(String::as_str));
        let none = || sda::Error::Judge { reason: "there is no plain answer to score".into() };
        Draft {
            query: question.query.clone(),
            instruction: Instruction::joined(&question.instructions),
            dimension: assessor.dimension,
            text: text.map(str::to_owned).ok_or_else(none),
            thinking: self.run.thinking,
        }
    }

    fn task<'q>(
        &self,
        question: &'q Question,
        arm: &ArmSpec,
        unit: Option<&'q Input>,
        strength: Option<Strength>,
    ) -> Outcome<(Task<'q>, Job)> {
        let run = self.run;
        let instructions = if arm.is_split { &question.parts } else { &question.instructions };
        let set = run.prompter.set_with(&[], &question.query, instructions)?;
        let mut settings = run.session.settings.clone();
        settings.sampling.seed = question.seed;
        settings.params = arm.params(&settings.params, strength)?;
        let task = Task {
            question,
            unit,
            score: strength.and_then(|strength| strength.of_score()),
            guidance: (arm.arm == Arm::Steered).then(|| settings.params.guidance()),
        };
        Ok((
            task,
            Job { arm: arm.arm, prompts: run.prompter.tokens(run.model, &set)?, settings, ..Job::default() },
        ))
    }

    /// Runs jobs, and writes each answer down as it comes.
    fn generate(&mut self, tasks: Vec<(Task, Job)>) -> Outcome {
        let drafts = &mut self.drafts;
        self.runner.answer(self.batch, tasks, |runner, task, answer| match (task.unit, answer) {
            (Some(unit), Ok(answer)) => runner.append(unit, EvalResult::Answer(record(&task, answer))),
            (Some(unit), Err(error)) => runner.fail(unit, &error.to_string()),
            (None, Ok(answer)) => {
                drafts.insert((task.question.item.line, task.question.seed), answer.text);
                Ok(())
            }
            // Missed when it is to be scored.
            (None, Err(_)) => Ok(()),
        })
    }
}

fn record(task: &Task, answer: Answer) -> EvalAnswer {
    EvalAnswer {
        answer: answer.text,
        finish: answer.finish.name().to_owned(),
        tokens: answer.tokens.len(),
        mean_js: answer.mean_divergence,
        seed: task.question.seed,
        score: task.score,
        guidance: task.guidance,
    }
}
