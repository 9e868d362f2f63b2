//! The score of a plain draft, for the arms that are steered by it.

use sda::amplify::{Amplify, amplify};
use sda::engine::Engine;
use sda::prompt::{ChatTemplate, JudgePrompt, strip_think};

use super::args::EvalArgs;
use super::data::Item;
use crate::console::Interrupt;
use crate::{Failure, Outcome};

/// Where scores come from when a record has none.
pub enum Scorer {
    /// The records, or nowhere.
    Records,
    /// One score for all.
    Fixed(f64),
    /// The loaded model.
    Local,
}

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
        let steering = &args.common.steering;
        Ok(match (&steering.judge, steering.score) {
            (None, None) => Scorer::Records,
            (_, Some(score)) => Scorer::Fixed(score.into()),
            (Some(judge), _) if judge == "local" => Scorer::Local,
            (Some(other), _) => return Err(Failure::Usage(format!("--judge is {other}, must be local"))),
        })
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
        engine: &mut Engine,
        interrupt: &Interrupt,
    ) -> Outcome<Result<f64, String>> {
        match self {
            Scorer::Records | Scorer::Fixed(_) => Ok(Err(
                "no score: the record has no \"score\", and there is neither --judge nor --score".into(),
            )),
            Scorer::Local => local(draft, engine, interrupt),
        }
    }
}

fn local(draft: &Draft, engine: &mut Engine, interrupt: &Interrupt) -> Outcome<Result<f64, String>> {
    let text = strip_think(draft.text).text;
    if text.trim().is_empty() {
        return Ok(Err("judge gave no score: the draft is empty".into()));
    }
    let prompt = JudgePrompt { query: draft.query, instruction: draft.instruction, draft: text };
    let tokens = engine.model().tokenize_prompt(&prompt.local(draft.template)?)?;
    match engine.score(&tokens, &mut |_, _| !interrupt.is_wanted()) {
        Ok(distribution) => Ok(Ok(distribution.expected())),
        Err(sda::Error::Cancelled) => Err(Failure::Interrupted),
        Err(error) => Ok(Err(error.to_string())),
    }
}
