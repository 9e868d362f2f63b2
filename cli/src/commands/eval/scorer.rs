//! Where the strength of the arms comes from that are steered by a score.

use sda::Strength;
use sda::amplify::Amplify;
use sda::judge::Verdict;
use serde::Serialize;

use super::args::EvalArgs;
use super::data::Item;
use crate::assess::Assessor;
use crate::failure::Outcome;
use crate::fingerprint::JudgeIdentity;

/// Why an item has no score when nobody was asked.
pub const NO_SCORE: &str = "no score: the record has no \"score\", and there is neither --judge nor --score";

pub struct Scorer {
    source: Source,
    function: Amplify,
}

/// Where scores come from when a record has none.
enum Source {
    /// The records, or nowhere.
    Records,
    /// One score for all.
    Fixed(f64),
    /// A judge, of the plain answer.
    Judge(Box<Assessor>),
}

/// What results depend on.
#[derive(Serialize)]
pub struct ScorerIdentity {
    /// One score for all.
    fixed: Option<f64>,
    judge: Option<JudgeIdentity>,
    function: &'static str,
}

impl Scorer {
    pub fn new(args: &EvalArgs) -> Outcome<Scorer> {
        let common = &args.common;
        let source = match (&common.steering.judge, common.steering.score) {
            (_, Some(score)) => Source::Fixed(score.into()),
            (Some(judge), None) => Source::Judge(Box::new(Assessor::new(
                judge,
                &common.judge,
                &common.model.load,
                common.prompt.preset,
            )?)),
            (None, None) => Source::Records,
        };
        Ok(Scorer { source, function: common.steering.amplify })
    }

    pub fn identity(&self) -> ScorerIdentity {
        ScorerIdentity {
            fixed: if let Source::Fixed(score) = self.source { Some(score) } else { None },
            judge: self.assessor().map(JudgeIdentity::of),
            function: self.function.name(),
        }
    }

    /// The strength of an item whose score needs no draft, if there is one.
    pub fn known(&self, item: &Item) -> Option<Strength> {
        let score = if let Source::Fixed(score) = self.source { Some(score) } else { item.score };
        score.map(|score| Strength::score(score, self.function))
    }

    /// Who scores plain answers.
    pub fn assessor(&self) -> Option<&Assessor> {
        if let Source::Judge(assessor) = &self.source { Some(assessor) } else { None }
    }

    /// The strength that follows from a judge's verdict, or why there is none.
    pub fn strength(&self, verdict: sda::Result<Verdict>) -> Result<Strength, String> {
        let verdict = verdict.map_err(|error| error.to_string())?;
        Ok(Strength::score(f64::from(verdict.score), self.function))
    }
}
