//! Answers of all arms to the same queries, with the same seed for all arms of an item.

use sda::engine::{Answer, Arm as EngineArm, Engine, Prompts};
use sda::eval::{Arm, ArmKind};
use sda::prompt::strip_think;
use serde_json::json;

use super::data::Item;
use super::progress::Progress;
use super::scorer::{Draft, Scored, Scorer};
use super::{Run, fields};
use crate::jsonl::{Input, Journal};
use crate::{Failure, Outcome};

/// What is asked of the model in one item.
pub struct Asked {
    /// The query, the same in all arms.
    pub query: String,
    /// What the instructed branch is told beside it.
    pub instruction: String,
}

/// The answer in a result's record, without its reasoning; the rest is verbatim.
pub fn answer<'j>(journal: &'j Journal, unit: &Input) -> Option<&'j str> {
    let text = journal.result(&unit.key)?.get("answer")?.as_str()?;
    Some(strip_think(text).text)
}

/// Writes the answers that are missing of one item. `units` has one for every arm of the run.
pub fn write(
    run: &mut Run,
    engine: &mut Engine,
    (item, seed, asked): (&Item, u32, &Asked),
    units: &[Input],
    scorer: &Scorer,
    (journal, progress): (&mut Journal, &Progress),
) -> Outcome {
    let arms = run.arms.clone();
    let mut missing: Vec<(&Arm, &Input)> =
        arms.iter().zip(units).filter(|(_, unit)| journal.result(&unit.key).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress.show(&item.id);
    run.prompter.instruction.clone_from(&asked.instruction);
    let pair = run.prompter.pair(&[], &asked.query)?;
    let mut work = Work {
        prompts: run.prompter.tokens(run.model, &pair)?,
        prompt_end: pair.instructed,
        run,
        engine,
        seed,
    };
    // The score of the plain answer comes before what it steers.
    missing.sort_by_key(|(arm, _)| arm.needs_score());
    let mut scored: Option<Result<Scored, String>> = None;
    for (arm, unit) in missing {
        let scored = match (arm.needs_score(), &scored) {
            (false, _) => None,
            (true, Some(scored)) => Some(scored.clone()),
            (true, None) => {
                let plain = arms.iter().zip(units).find(|(arm, _)| arm.name == "plain");
                let plain = plain.and_then(|(_, unit)| journal.result(&unit.key)?.get("answer")?.as_str());
                Some(scored.insert(work.score(scorer, item, asked, plain.map(str::to_owned))?).clone())
            }
        };
        match scored {
            Some(Err(why)) => work.run.append_failure(journal, unit, &why)?,
            scored => {
                let scored = scored.and_then(Result::ok);
                let (answer, guidance) =
                    work.answer(arm, scored.map_or(0.0, |scored| scored.amplification))?;
                let result = json!({
                    "answer": answer.text, "finish": answer.finish.name(), "tokens": answer.tokens.len(),
                    "mean_js": answer.mean_divergence, "seed": seed,
                    "score": scored.map(|scored| scored.score), "guidance": guidance,
                });
                journal.append(unit, fields(result))?;
            }
        }
        progress.add(1);
    }
    Ok(())
}

/// One item under way.
struct Work<'w, 'm, 'a, 'e> {
    run: &'w Run<'m, 'a>,
    engine: &'w mut Engine<'e>,
    prompts: Prompts,
    prompt_end: String,
    seed: u32,
}

impl Work<'_, '_, '_, '_> {
    /// An answer, and the guidance scale if it was steered.
    fn answer(&mut self, arm: &Arm, scored: f32) -> Outcome<(Answer, Option<f64>)> {
        let mut settings = self.run.settings.clone();
        settings.sampling.seed = self.seed;
        settings.params = arm.params(&settings.params, scored)?;
        let (kind, guidance) = match arm.kind {
            ArmKind::Plain => (EngineArm::Plain, None),
            ArmKind::Instructed => (EngineArm::Instructed, None),
            _ => (EngineArm::Steered, Some(settings.params.guidance())),
        };
        if self.run.args.common.steering.steer_after_think {
            settings.steer_after_think = Some(self.prompt_end.clone());
        }
        let interrupt = &self.run.interrupt;
        let answer = self.engine.generate(kind, &self.prompts, &settings, &mut |_| !interrupt.is_wanted())?;
        match interrupt.is_wanted() {
            // A part of an answer is no result.
            true => Err(Failure::Interrupted),
            false => Ok((answer, guidance)),
        }
    }

    /// The score of the item, by its record or by a judge of the plain answer, which is written if no arm
    /// has done so.
    fn score(
        &mut self,
        scorer: &Scorer,
        item: &Item,
        asked: &Asked,
        plain: Option<String>,
    ) -> Outcome<Result<Scored, String>> {
        let function = self.run.args.common.steering.amplify;
        if let Some(score) = scorer.known(item) {
            return Scored::new(score, function).map(Ok);
        }
        let text = match plain {
            Some(text) => text,
            None => {
                let plain = Arm::parse_list("plain")?;
                self.answer(&plain[0], 0.0)?.0.text
            }
        };
        let draft = Draft {
            query: &asked.query,
            instruction: &asked.instruction,
            text: &text,
            template: self.run.prompter.template(),
        };
        match scorer.score(&draft, self.engine, &self.run.interrupt)? {
            Ok(score) => Scored::new(score, function).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }
}
