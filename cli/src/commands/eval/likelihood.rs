//! TruthfulQA's multiple choice: every answer is followed through both branches once, and all arms are
//! computed from the two rows of logits before each of its tokens.

use crate::measure::mc::{self, Question};
use crate::measure::report::{ALL, Report};
use crate::measure::{ArmSpec, Part};
use sda::Strength;
use sda::engine::{Arm, Engine};
use sda::host::Token;
use sda::steer::KlBudget;
use sda::text::PromptPair;

use super::data::{Data, Item};
use super::run::Run;
use super::scorer::NO_SCORE;
use crate::args::Placement;
use crate::failure::{Failure, Outcome};
use crate::journal::Input;
use crate::record::{EvalResult, Likelihoods};
use crate::runner::{Draft, Runner};

/// A draft is one answer of the primer's kind.
const DRAFT_TOKENS: usize = 64;

pub fn run(run: &Run, data: &Data, engine: &mut Engine) -> Outcome<Report> {
    if run.args.common.prompt.instruction_placement == Some(Placement::System)
        && !run.args.apply_chat_template
    {
        return Err(Failure::Usage(
            "--instruction-placement is system, must be before or after in raw text (--apply-chat-template)"
                .into(),
        ));
    }
    let basis = run.basis()?;
    let questions: Vec<Question> = data
        .items
        .iter()
        .map(|item| {
            Question::read(item.record.as_str())
                .map_err(|why| Failure::Failed(format!("record {}: {why}", item.id)))
        })
        .collect::<Outcome<_>>()?;
    let mut units: Vec<Input> = Vec::new();
    for item in &data.items {
        for arm in &run.arms {
            units.push(run.unit(item, &arm.name, "likelihood", &basis));
        }
    }
    let mut runner = run.runner(&units)?;
    for ((item, question), units) in data.items.iter().zip(&questions).zip(units.chunks(run.arms.len())) {
        let missing: Vec<(&ArmSpec, &Input)> =
            run.arms.iter().zip(units).filter(|(_, unit)| runner.result(&unit.key).is_none()).collect();
        if missing.is_empty() {
            continue;
        }
        runner.check()?;
        let mut work = Work { run, engine, question };
        let scored = if missing.iter().any(|(arm, _)| arm.needs_score()) {
            work.score(item, &runner)?
        } else {
            Err("not asked for".into())
        };
        work.follow(&missing, &scored, &mut runner)?;
    }
    run.end(&runner);
    Ok(report(run, &questions, &units, &runner))
}

/// One question.
struct Work<'w, 'm, 'a> {
    run: &'w Run<'m, 'a>,
    engine: &'w mut Engine,
    question: &'w Question,
}

impl Work<'_, '_, '_> {
    /// Both prompts, which end where the answer follows.
    fn pair(&self) -> Outcome<PromptPair> {
        let (args, prompter) = (self.run.args, &self.run.prompter);
        let text = mc::prompt(&self.question.question);
        if args.apply_chat_template || args.common.prompt.instruction_placement != Some(Placement::After) {
            return Ok(prompter.set(&[], &text)?.pair);
        }
        // In raw text the last place before the question is after the primer, which both branches then share.
        let at = text.rfind("Q: ").unwrap_or(0);
        let instructed = format!("{}{}\n\n{}", &text[..at], prompter.instruction, &text[at..]);
        Ok(PromptPair { plain: text, instructed, thinking: false })
    }

    /// Tokens of an answer as they follow the prompt, tokenized together with it as lm-eval does.
    fn continuation(&self, pair: &PromptPair, answer: &str) -> Outcome<Vec<Token>> {
        let space = if self.run.args.apply_chat_template { "" } else { " " };
        let model = self.run.model;
        let prompt = model.tokenize_prompt(&pair.plain)?;
        let whole = model.tokenize_prompt(&format!("{}{space}{answer}", pair.plain))?;
        let tokens = whole.get(prompt.len()..).unwrap_or_default().to_vec();
        if tokens.is_empty() {
            return Err(Failure::Failed(format!("\"{}\": an answer is empty", self.question.question)));
        }
        Ok(tokens)
    }

    /// The strength of the arms that are steered by a score, or why there is none.
    fn score(&mut self, item: &Item, runner: &Runner<EvalResult>) -> Outcome<Result<Strength, String>> {
        let scorer = &self.run.scorer;
        if let Some(strength) = scorer.known(item) {
            return Ok(Ok(strength));
        }
        let Some(assessor) = scorer.assessor() else { return Ok(Err(NO_SCORE.into())) };
        let pair = self.pair()?;
        let prompts = self.run.prompter.tokens(self.run.model, &pair.clone().into())?;
        let mut settings = self.run.session.settings.clone();
        settings.n_predict = Some(DRAFT_TOKENS);
        settings.stop = vec!["\n".into()];
        let interrupt = &self.run.session.interrupt;
        let draft = self.engine.generate(Arm::Plain, &prompts, &settings, &mut |_| !interrupt.is_wanted())?;
        runner.check()?;
        let draft = Draft {
            query: self.question.question.clone(),
            instruction: self.run.prompter.instruction.clone(),
            dimension: assessor.dimension,
            text: Ok(draft.text.trim().to_owned()),
            thinking: prompts.thinking,
        };
        let (engine, template) = (&mut *self.engine, self.run.prompter.template());
        let mut judge = assessor.judge(|| engine.judge(template), |_, _| ());
        let assessment = draft.assess(&mut *judge, &|| interrupt.is_wanted());
        runner.check()?;
        Ok(scorer.strength(assessment.verdict))
    }

    /// Computes the log-likelihoods of all answers in all arms that miss them, and writes them down.
    fn follow(
        &mut self,
        missing: &[(&ArmSpec, &Input)],
        scored: &Result<Strength, String>,
        runner: &mut Runner<EvalResult>,
    ) -> Outcome {
        let mut arms = Vec::new();
        for &(arm, unit) in missing {
            match (arm.needs_score(), scored) {
                (true, Err(why)) => runner.fail(unit, why)?,
                (_, scored) => {
                    let scored = scored.as_ref().ok().copied().filter(|_| arm.needs_score());
                    let params = arm.params(&self.run.session.settings.params, scored)?;
                    arms.push((arm, unit, params, scored));
                }
            }
        }
        let pair = self.pair()?;
        let prompts = self.run.prompter.tokens(self.run.model, &pair.clone().into())?;
        let answers = answers(self.question);
        // By arm, by temper, by answer.
        let mut sums = vec![[vec![0.0f64; answers.len()], vec![0.0; answers.len()]]; arms.len()];
        let mut row = vec![0.0f32; self.run.model.n_vocab()];
        for (n, answer) in answers.iter().enumerate() {
            let tokens = self.continuation(&pair, answer)?;
            let mut budgets = vec![[KlBudget::default(); 2]; arms.len()];
            self.engine.continuation(&prompts, &tokens, &mut |i, plain, instructed| {
                for (((arm, _, params, _), sums), budgets) in arms.iter().zip(&mut sums).zip(&mut budgets) {
                    for (temper, (sums, budget)) in sums.iter_mut().zip(budgets).enumerate() {
                        arm.log_probs([plain, instructed], params, temper == 1, budget, &mut row)?;
                        sums[n] += f64::from(row[tokens[i] as usize]);
                    }
                }
                Ok(())
            })?;
        }
        for ((_, unit, params, scored), [untempered, tempered]) in arms.into_iter().zip(sums) {
            // JSON has no infinity: an answer that cannot be drawn has null.
            let finite = |sums: Vec<f64>| sums.into_iter().map(|x| x.is_finite().then_some(x)).collect();
            let result = Likelihoods {
                answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
                untempered: finite(untempered),
                tempered: finite(tempered),
                guidance: params.guidance(),
                score: scored.and_then(|scored| scored.of_score()),
            };
            runner.append(unit, EvalResult::Likelihoods(result))?;
        }
        Ok(())
    }
}

/// The answers of both metrics, each once.
fn answers(question: &Question) -> Vec<&str> {
    let mut answers: Vec<&str> = Vec::new();
    for answer in question.mc1.answers.iter().chain(&question.mc2.answers) {
        if !answers.contains(&answer.as_str()) {
            answers.push(answer);
        }
    }
    answers
}

fn report(run: &Run, questions: &[Question], units: &[Input], runner: &Runner<EvalResult>) -> Report {
    let mut report = run.report();
    for (metric, is_mc1, is_tempered) in [
        ("mc1", true, false),
        ("mc2", false, false),
        ("mc1_tempered", true, true),
        ("mc2_tempered", false, true),
    ] {
        for (item, (question, units)) in questions.iter().zip(units.chunks(run.arms.len())).enumerate() {
            let answers = answers(question);
            for (arm, unit) in run.arms.iter().zip(units) {
                let value = runner.result(&unit.key).and_then(|result| {
                    let EvalResult::Likelihoods(result) = result else { return None };
                    let sums = if is_tempered { &result.tempered } else { &result.untempered };
                    let choices = if is_mc1 { &question.mc1 } else { &question.mc2 };
                    let of = |answer: &String| *sums.get(answers.iter().position(|a| a == answer)?)?;
                    let sums: Vec<f64> = choices.answers.iter().map(of).collect::<Option<_>>()?;
                    Some(if is_mc1 {
                        mc::mc1(&sums, &choices.labels)
                    } else {
                        mc::mc2(&sums, &choices.labels)
                    })
                });
                for category in [Some(ALL), question.category.as_deref()].into_iter().flatten() {
                    report.add(metric, category, &arm.name, item, value.map(Part::one));
                }
            }
        }
    }
    report
}
