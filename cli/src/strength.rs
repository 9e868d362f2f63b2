//! How strongly to steer: a number from the command line, or a judge's score of a plain draft.

use sda::amplify::amplify;
use sda::engine::{Answer, Arm, Engine, Generation, Prompts};
use sda::judge::{JudgeRequest, Resolution};
use sda::prompt::strip_think;
use serde_json::{Map, Value, json};

use crate::args::CommonArgs;
use crate::assess::{Assessment, Assessor, Local};
use crate::failure::{Failure, Outcome};
use crate::prompts::Prompter;
use crate::ui::console::{Interrupt, note};
use crate::ui::output::Output;

/// Guidance scale when the command line says nothing about strength.
pub const DEFAULT_GUIDANCE: f32 = 1.5;

/// What decides the amplification.
pub enum Strength {
    /// It was given, or follows from a score that was given.
    Fixed {
        /// The amplification a.
        amplification: f32,
        /// The score it comes from, if it does.
        score: Option<f64>,
    },
    /// A judge scores a plain draft.
    Judged(Box<Assessor>),
}

impl Strength {
    pub fn new(common: &CommonArgs) -> Outcome<Strength> {
        let args = &common.steering;
        if let Some(score) = args.score {
            let amplification = amplify(args.amplify, score)? as f32;
            return Ok(Strength::Fixed { amplification, score: Some(score.into()) });
        }
        if let Some(amplification) = args.amplification {
            return Ok(Strength::Fixed { amplification, score: None });
        }
        if let Some(judge) = &args.judge {
            let assessor = Assessor::new(judge, &common.judge, common.prompt.preset)?;
            return Ok(Strength::Judged(Box::new(assessor)));
        }
        let guidance = args.guidance.unwrap_or(DEFAULT_GUIDANCE);
        if args.k == 0.0 {
            return Err(Failure::Usage("--k is 0, must be another number for a guidance scale".into()));
        }
        Ok(Strength::Fixed { amplification: (guidance - 1.0) / args.k, score: None })
    }
}

/// What the answer is drawn from.
pub struct Resolved {
    /// Steered, unless there was no score and the user chose another answer for that case.
    pub arm: Arm,
    /// 0 unless steered.
    pub amplification: f32,
    pub score: Option<f64>,
}

/// What a strength is worked out from.
pub struct Scene<'a> {
    pub prompter: &'a Prompter,
    pub prompts: &'a Prompts,
    pub query: &'a str,
    pub settings: &'a Generation,
    pub interrupt: &'a Interrupt,
}

/// Works the strength out; with a judge this writes and scores a draft.
pub fn resolve(
    strength: &Strength,
    common: &CommonArgs,
    engine: &mut Engine,
    scene: &Scene,
    output: &mut Output,
) -> Outcome<Resolved> {
    match strength {
        Strength::Fixed { amplification, score } => {
            Ok(Resolved { arm: Arm::Steered, amplification: *amplification, score: *score })
        }
        Strength::Judged(assessor) => {
            let draft = write_draft(engine, scene, output)?;
            let request = JudgeRequest {
                query: scene.query,
                draft: strip_think(&draft.text).text,
                instruction: &scene.prompter.instruction,
                dimension: assessor.dimension,
            };
            let local = Local { engine, template: scene.prompter.template() };
            let assessment = assessor.assess(Some(local), &request, scene.interrupt, true);
            let resolved = decide(&assessment, common);
            output.record(&record(&assessment, common))?;
            resolved
        }
    }
}

/// From an assessment to the answer's arm, by the user's choice for failures.
fn decide(assessment: &Assessment, common: &CommonArgs) -> Outcome<Resolved> {
    let name = &assessment.name;
    let unsteered = |arm: Arm, error: sda::Error| {
        note(&format!("{error}; this is the {} answer, without steering", arm.name()));
        Ok(Resolved { arm, amplification: 0.0, score: None })
    };
    match sda::judge::resolve(assessment.verdict.clone(), common.steering.on_judge_failure) {
        Resolution::Score(score) => {
            let amplification = amplify(common.steering.amplify, score)? as f32;
            note(&format!(
                "{name} gives the draft {score:.1} of 100: amplification {amplification:.3}, guidance {:.2}",
                1.0 + common.steering.k * amplification
            ));
            Ok(Resolved { arm: Arm::Steered, amplification, score: Some(score.into()) })
        }
        Resolution::PlainOnly(error) => unsteered(Arm::Plain, error),
        Resolution::InstructedOnly(error) => unsteered(Arm::Instructed, error),
        Resolution::Err(error) => Err(error.into()),
    }
}

/// The judge's record, between the draft's tokens and the answer's.
fn record(assessment: &Assessment, common: &CommonArgs) -> Value {
    let mut record = Map::new();
    record.insert("type".into(), json!("judge"));
    record.extend(assessment.outcome());
    record.insert("judge".into(), assessment.details().into());
    if assessment.verdict.is_err() {
        record.insert("on_failure".into(), json!(common.steering.on_judge_failure.name()));
    }
    record.into()
}

fn write_draft(engine: &mut Engine, scene: &Scene, output: &mut Output) -> Outcome<Answer> {
    let draft = engine.generate(
        Arm::Plain,
        scene.prompts,
        scene.settings,
        &mut output.events(Arm::Plain, false, scene.interrupt),
    )?;
    match scene.interrupt.is_wanted() {
        true => Err(Failure::Interrupted),
        false => Ok(draft),
    }
}
