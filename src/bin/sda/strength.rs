//! How strongly to steer: a number from the command line, or a judge's score of a plain draft.

use sda::amplify::amplify;
use sda::engine::{Answer, Arm, Engine, Generation, Prompts};
use sda::prompt::{JudgePrompt, strip_think};

use crate::args::SteeringArgs;
use crate::console::{Bar, Interrupt, note};
use crate::output::Output;
use crate::prompts::Prompter;
use crate::{Failure, Outcome};

/// Guidance scale when the command line says nothing about strength.
pub const DEFAULT_GUIDANCE: f32 = 1.5;

/// What decides the amplification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strength {
    /// It was given, or follows from a score that was given.
    Fixed {
        /// The amplification a.
        amplification: f32,
        /// The score it comes from, if it does.
        score: Option<f64>,
    },
    /// The loaded model scores a plain draft.
    LocalJudge,
}

impl Strength {
    pub fn new(args: &SteeringArgs) -> Outcome<Strength> {
        if let Some(score) = args.score {
            let amplification = amplify(args.amplify, score)? as f32;
            return Ok(Strength::Fixed { amplification, score: Some(score.into()) });
        }
        if let Some(amplification) = args.amplification {
            return Ok(Strength::Fixed { amplification, score: None });
        }
        match args.judge.as_deref() {
            None => {}
            Some("local") => return Ok(Strength::LocalJudge),
            Some(other) => {
                return Err(Failure::Usage(format!("--judge is {other}, must be local")));
            }
        }
        let guidance = args.guidance.unwrap_or(DEFAULT_GUIDANCE);
        if args.k == 0.0 {
            return Err(Failure::Usage("--k is 0, must be another number for a guidance scale".into()));
        }
        Ok(Strength::Fixed { amplification: (guidance - 1.0) / args.k, score: None })
    }
}

/// An amplification and where it comes from.
pub struct Resolved {
    pub amplification: f32,
    pub score: Option<f64>,
    /// The draft that was scored.
    pub draft: Option<Answer>,
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
    strength: Strength,
    args: &SteeringArgs,
    engine: &mut Engine,
    scene: &Scene,
    output: &mut Output,
) -> Outcome<Resolved> {
    match strength {
        Strength::Fixed { amplification, score } => Ok(Resolved { amplification, score, draft: None }),
        Strength::LocalJudge => {
            let draft = write_draft(engine, scene, output)?;
            let score = local_score(engine, scene, &draft.text)?;
            let amplification = amplify(args.amplify, score)? as f32;
            note(&format!(
                "the local judge gives the draft {score:.1} of 100: amplification {amplification:.3}, guidance {:.2}",
                1.0 + args.k * amplification
            ));
            Ok(Resolved { amplification, score: Some(score), draft: Some(draft) })
        }
    }
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

fn local_score(engine: &mut Engine, scene: &Scene, draft: &str) -> Outcome<f64> {
    let answer = strip_think(draft);
    if answer.text.trim().is_empty() {
        return Err(Failure::Failed("judge gave no score: the draft is empty".into()));
    }
    let prompt =
        JudgePrompt { query: scene.query, instruction: &scene.prompter.instruction, draft: &answer.text };
    let text = prompt.local(scene.prompter.template())?;
    let tokens = engine.model().tokenize_prompt(&text)?;
    let bar = Bar::new("judging");
    let interrupt = scene.interrupt.clone();
    let distribution = engine.score(&tokens, &mut |done, total| {
        bar.set(done, total);
        !interrupt.is_wanted()
    })?;
    Ok(distribution.expected())
}
