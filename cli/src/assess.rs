//! Stage 1: a draft gets a score, from the loaded model or from a server.

use std::time::{Duration, Instant};

use sda::Quality;
use sda::engine::LocalJudge;
use sda::judge::{Client, Judge, JudgeRequest, Verdict};

use crate::args::judge::{JudgeArgs, JudgeAt, LOCAL};
use crate::failure::Outcome;
use crate::record::{Assessed, Judgement};

/// Who scores, and what by.
pub struct Assessor {
    who: Who,
    /// What to score by; None is the instruction.
    pub dimension: Option<Quality>,
}

enum Who {
    Local,
    Server(Box<Client>),
}

impl Assessor {
    pub fn new(judge: &JudgeAt, args: &JudgeArgs, preset: Option<Quality>) -> Outcome<Assessor> {
        let who = match judge {
            JudgeAt::Local => {
                args.check_local()?;
                Who::Local
            }
            JudgeAt::Url(url) => Who::Server(Box::new(args.client(url)?)),
        };
        Ok(Assessor { who, dimension: args.dimension(preset) })
    }

    /// The client of a judge at a URL, which several threads may ask at once.
    pub fn client(&self) -> Option<&Client> {
        match &self.who {
            Who::Local => None,
            Who::Server(client) => Some(client),
        }
    }

    /// True if the loaded model scores.
    pub fn is_local(&self) -> bool {
        self.client().is_none()
    }

    /// The judge; `local` is the loaded model as one.
    pub fn judge<'a>(&'a self, local: impl FnOnce() -> LocalJudge<'a>) -> Box<dyn Judge + 'a> {
        match &self.who {
            Who::Local => Box::new(local()),
            Who::Server(client) => Box::new(&**client),
        }
    }

    /// What scores depend on beside the request and what to score by.
    pub fn fingerprint(&self) -> String {
        self.client().map_or(LOCAL.to_owned(), Client::fingerprint)
    }
}

/// A score, or why there is none.
pub struct Assessment {
    pub name: String,
    pub verdict: sda::Result<Verdict>,
    pub time: Duration,
}

impl Assessment {
    /// Asks a judge. A failure is part of the assessment, Ctrl-C as well.
    pub fn new(judge: &mut dyn Judge, request: &JudgeRequest, cancel: &dyn Fn() -> bool) -> Assessment {
        let start = Instant::now();
        let verdict = judge.score(request, cancel);
        Assessment { name: judge.describe(), verdict, time: start.elapsed() }
    }

    /// What stands for a score that was not even asked for.
    pub fn failed(judge: &dyn Judge, error: sda::Error) -> Assessment {
        Assessment { name: judge.describe(), verdict: Err(error), time: Duration::ZERO }
    }

    /// What records say of it.
    pub fn record(&self) -> Assessed {
        let verdict = self.verdict.as_ref().ok();
        Assessed {
            score: verdict.map(|verdict| rounded(verdict.score.into())),
            samples: verdict.map(|verdict| verdict.samples.iter().map(|&s| rounded(s.into())).collect()),
            error: self.verdict.as_ref().err().map(ToString::to_string),
            judge: Judgement {
                name: self.name.clone(),
                ms: (self.time.as_secs_f64() * 1e3).round(),
                attempts: verdict.map(|verdict| verdict.attempts),
                cached: verdict.map(|verdict| verdict.cached),
                spread: verdict.map(|verdict| rounded(verdict.spread())),
            },
        }
    }
}

/// A score as records show it: more digits than these mean nothing.
fn rounded(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}
