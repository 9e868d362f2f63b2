//! The score of a plain answer, for the arms that are steered by it.

use sda::amplify::{Amplify, amplify};
use sda::engine::ScoreDistribution;
use sda::host::Token;
use sda::judge::JudgeRequest;
use sda::llama::Model;
use sda::prompt::{ChatTemplate, JudgePrompt, strip_think};

use super::args::EvalArgs;
use super::data::Item;
use crate::assess::Assessor;
use crate::failure::{Failure, Outcome};
use crate::ui::console::Interrupt;

/// Where scores come from when a record has none.
pub enum Scorer {
    /// The records, or nowhere.
    Records,
    /// One score for all.
    Fixed(f64),
    /// A judge, of the plain answer.
    Judge(Box<Assessor>),
}

/// The loaded model's distribution over the scores after a judge prompt.
pub type Local<'l> = &'l mut dyn FnMut(&[Token]) -> sda::Result<ScoreDistribution>;

/// What is to be scored.
pub struct Draft<'a> {
    pub query: &'a str,
    pub instruction: &'a str,
    pub text: &'a str,
    pub template: Option<&'a ChatTemplate>,
}

/// A score and the amplification that follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    pub score: f64,
    pub amplification: f32,
}

impl Scored {
    pub fn new(score: f64, function: Amplify) -> Outcome<Scored> {
        Ok(Scored { score, amplification: amplify(function, score)? as f32 })
    }
}

impl Scorer {
    pub fn new(args: &EvalArgs) -> Outcome<Scorer> {
        let common = &args.common;
        Ok(match (&common.steering.judge, common.steering.score) {
            (_, Some(score)) => Scorer::Fixed(score.into()),
            (Some(judge), None) => {
                Scorer::Judge(Box::new(Assessor::new(judge, &common.judge, common.prompt.preset)?))
            }
            (None, None) => Scorer::Records,
        })
    }

    /// What results depend on, as text.
    pub fn fingerprint(&self) -> String {
        match self {
            Scorer::Records => "records".into(),
            Scorer::Fixed(score) => format!("score {score}"),
            Scorer::Judge(judge) => {
                let client = judge.client().map(|client| client.fingerprint()).unwrap_or_default();
                format!("{} {client} {:?}", judge.name(), judge.dimension)
            }
        }
    }

    /// The score of an item that needs no draft, if there is one.
    pub fn known(&self, item: &Item) -> Option<f64> {
        match self {
            Scorer::Fixed(score) => Some(*score),
            _ => item.score,
        }
    }

    /// Scores a draft. A failure is the item's, not the run's, but for Ctrl-C.
    pub fn score(
        &self,
        draft: &Draft,
        model: &Model,
        local: Local,
        interrupt: &Interrupt,
    ) -> Outcome<Result<f64, String>> {
        let Scorer::Judge(judge) = self else {
            let why = "no score: the record has no \"score\", and there is neither --judge nor --score";
            return Ok(Err(why.into()));
        };
        let request = JudgeRequest {
            query: draft.query,
            draft: strip_think(draft.text).text,
            instruction: draft.instruction,
            dimension: judge.dimension,
        };
        let score = request.validate().and_then(|()| match judge.client() {
            Some(client) => {
                client.score(&request, &|| interrupt.is_wanted()).map(|verdict| verdict.score.into())
            }
            None => {
                let prompt = JudgePrompt {
                    query: request.query,
                    instruction: request.instruction,
                    draft: request.draft,
                };
                let tokens = model.tokenize_prompt(&prompt.local(draft.template)?)?;
                local(&tokens).map(|distribution| distribution.expected())
            }
        });
        match score {
            Ok(score) => Ok(Ok(score)),
            Err(_) if interrupt.is_wanted() => Err(Failure::Interrupted),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}
