//! The score of a plain answer, for the arms that are steered by it.

use sda::engine::LocalJudge;
use sda::judge::JudgeRequest;
use serde::Serialize;

use super::args::EvalArgs;
use super::data::Item;
use crate::assess::{Assessment, Assessor};
use crate::failure::{Failure, Outcome};
use crate::fingerprint::JudgeIdentity;
use crate::ui::interrupt::Interrupt;

/// Where scores come from when a record has none.
pub enum Scorer {
    /// The records, or nowhere.
    Records,
    /// One score for all.
    Fixed(f64),
    /// A judge, of the plain answer.
    Judge(Box<Assessor>),
}

/// Where scores come from, for fingerprints.
#[derive(Serialize)]
pub enum ScorerIdentity {
    Records,
    Fixed(f64),
    Judge(JudgeIdentity),
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

    /// What results depend on.
    pub fn identity(&self) -> ScorerIdentity {
        match self {
            Scorer::Records => ScorerIdentity::Records,
            Scorer::Fixed(score) => ScorerIdentity::Fixed(*score),
            Scorer::Judge(judge) => ScorerIdentity::Judge(JudgeIdentity::of(judge)),
        }
    }

    /// The score of an item that needs no draft, if there is one.
    pub fn known(&self, item: &Item) -> Option<f64> {
        match self {
            Scorer::Fixed(score) => Some(*score),
            _ => item.score,
        }
    }

    /// Scores a draft, by what the command line says and not by the request's dimension; `local` is the loaded
    /// model as a judge. A failure is the item's, not the run's, but for Ctrl-C.
    pub fn score<'a>(
        &'a self,
        request: &JudgeRequest,
        local: impl FnOnce() -> LocalJudge<'a>,
        interrupt: &Interrupt,
    ) -> Outcome<Result<f64, String>> {
        let Scorer::Judge(assessor) = self else {
            let why = "no score: the record has no \"score\", and there is neither --judge nor --score";
            return Ok(Err(why.into()));
        };
        let request = JudgeRequest { dimension: assessor.dimension, ..*request };
        let mut judge = assessor.judge(local);
        match Assessment::new(&mut *judge, &request, &|| interrupt.is_wanted()).verdict {
            Ok(verdict) => Ok(Ok(verdict.score.into())),
            Err(_) if interrupt.is_wanted() => Err(Failure::Interrupted),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}
