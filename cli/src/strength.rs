//! How strongly to steer: a number from the command line, or a judge's score of a plain draft.

use sda::amplify::Amplify;
use sda::engine::{Answer, Arm, Engine, Generation, Prompts};
use sda::judge::{JudgeRequest, OnFailure, Resolution, Verdict};
use sda::llama::Model;
use sda::text::strip_think;
use sda::{Params, Strength};

use crate::args::CommonArgs;
use crate::assess::{Assessment, Assessor};
use crate::failure::{Failure, Outcome};
use crate::prompts::Prompter;
use crate::record::{Judge, Record};
use crate::session::Session;
use crate::ui::console::note;
use crate::ui::interrupt::Interrupt;
use crate::ui::output::Output;
use crate::ui::progress::Progress;

/// Where the strength comes from.
pub enum Source {
    /// The command line, or its default.
    Given(Strength),
    /// A judge scores a plain draft.
    Judged(Box<Assessor>),
}

impl Source {
    pub fn new(common: &CommonArgs) -> Outcome<Source> {
        let args = &common.steering;
        let given = match (args.score, args.amplification, args.guidance, &args.judge) {
            (Some(score), ..) => Strength::score(score, args.amplify),
            (_, Some(amplification), ..) => Strength::amplification(amplification),
            (_, _, Some(guidance), _) => Strength::guidance(guidance),
            (.., Some(judge)) => {
                let assessor = Assessor::new(judge, &common.judge, &common.model.load, common.prompt.preset)?;
                return Ok(Source::Judged(Box::new(assessor)));
            }
            (None, None, None, None) => args.default_strength(),
        };
        // Found out before a model is loaded.
        match given.apply(&args.params()) {
            Ok(_) => Ok(Source::Given(given)),
            Err(error @ sda::Error::Param { field: "k", .. }) => Err(Failure::Usage(format!("--{error}"))),
            Err(error) => Err(error.into()),
        }
    }
}

impl Source {
    /// Loads the judge, if it is one in a file: see [`Assessor::load`].
    pub fn load(&self, session: &Session, model: &Model, branch: usize) -> Outcome {
        match self {
            Source::Judged(assessor) => assessor.load(session, &[model], branch),
            Source::Given(_) => Ok(()),
        }
    }
}

/// What the answer is drawn from.
#[derive(Clone, Copy)]
pub struct Resolved {
    /// Steered, unless there was no score and the user chose another answer for that case.
    pub arm: Arm,
    /// None unless steered, or if a judge has yet to say.
    pub strength: Option<Strength>,
}

impl Resolved {
    /// The settings of the answer.
    pub fn params(&self, base: &Params) -> sda::Result<Params> {
        match &self.strength {
            Some(strength) => strength.apply(base),
            None => Ok(Params { amplification: 0.0, ..*base }),
        }
    }

    /// The score that the strength comes from, if it does.
    pub fn score(&self) -> Option<f64> {
        self.strength.and_then(|strength| strength.of_score())
    }
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
    source: &Source,
    common: &CommonArgs,
    engine: &mut Engine,
    scene: &Scene,
    output: &mut Output,
) -> Outcome<Resolved> {
    let assessor = match source {
        Source::Given(strength) => return Ok(Resolved { arm: Arm::Steered, strength: Some(*strength) }),
        Source::Judged(assessor) => assessor,
    };
    let draft = write_draft(engine, scene, output)?;
    let request = JudgeRequest {
        query: scene.query,
        draft: strip_think(&draft.text, scene.prompts.thinking).text,
        instruction: &scene.prompter.instruction,
        dimension: assessor.dimension,
    };
    let assessment = {
        let bar = match assessor.client() {
            Some(_) => Progress::wait("judging"),
            None => Progress::share("judging"),
        };
        let template = scene.prompter.template();
        let mut judge = assessor.judge(|| engine.judge(template), |done, total| bar.set(done, total));
        Assessment::new(&mut *judge, &request, &|| scene.interrupt.is_wanted())
    };
    let steering = &common.steering;
    let decided = decide(assessment.verdict.clone(), steering.on_judge_failure, steering.amplify);
    if let Ok((resolved, error)) = &decided {
        tell(&assessment.name, resolved, error.as_ref(), &scene.settings.params)?;
    }
    let on_failure = assessment.verdict.is_err().then(|| common.steering.on_judge_failure.name());
    output.record(&Record::Judge(Judge {
        assessed: assessment.record(),
        on_failure: on_failure.map(str::to_owned),
    }))?;
    Ok(decided?.0)
}

/// What follows from a judge's verdict, by the user's choice for failures: what the answer is drawn from, and
/// why there is no score, if there is none.
pub fn decide(
    verdict: sda::Result<Verdict>,
    on_failure: OnFailure,
    amplify: Amplify,
) -> sda::Result<(Resolved, Option<sda::Error>)> {
    let unsteered = |arm| Resolved { arm, strength: None };
    match sda::judge::resolve(verdict, on_failure) {
        Resolution::Score(score) => {
            let strength = Some(Strength::score(score, amplify));
            Ok((Resolved { arm: Arm::Steered, strength }, None))
        }
        Resolution::PlainOnly(error) => Ok((unsteered(Arm::Plain), Some(error))),
        Resolution::InstructedOnly(error) => Ok((unsteered(Arm::Instructed), Some(error))),
        Resolution::Err(error) => Err(error),
    }
}

/// Tells the user what a judge's verdict comes to.
fn tell(judge: &str, resolved: &Resolved, error: Option<&sda::Error>, base: &Params) -> Outcome {
    match (error, resolved.score()) {
        (Some(error), _) => {
            note(&format!("{error}; this is the {} answer, without steering", resolved.arm.name()));
        }
        (None, Some(score)) => {
            let params = resolved.params(base)?;
            note(&format!(
                "{judge} gives the draft {score:.1} of 100: amplification {:.3}, guidance {:.2}",
                params.amplification,
                params.guidance()
            ));
        }
        (None, None) => {}
    }
    Ok(())
}

fn write_draft(engine: &mut Engine, scene: &Scene, output: &mut Output) -> Outcome<Answer> {
    let draft = engine.generate(
        Arm::Plain,
        scene.prompts,
        scene.settings,
        &mut output.events(Arm::Plain, false, scene.interrupt),
    )?;
    scene.interrupt.check()?;
    Ok(draft)
}
