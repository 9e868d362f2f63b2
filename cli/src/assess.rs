//! Stage 1: a draft gets a score, from the loaded model, from another one beside it, or from a server.

use std::time::{Duration, Instant};

use sda::Quality;
use sda::engine::LocalJudge;
use sda::judge::{Client, Judge, JudgeRequest, Verdict};
use sda::llama::Model;

use crate::args::LoadArgs;
use crate::args::judge::{JudgeArgs, JudgeAt};
use crate::failure::Outcome;
use crate::judge_file::FileJudge;
use crate::record::{Assessed, Judgement};
use crate::session::Session;

/// Who scores, and what by.
pub struct Assessor {
    pub who: Who,
    /// What to score by; None is the instruction.
    pub dimension: Option<Quality>,
}

pub enum Who {
    /// The loaded model.
    Local,
    Server(Box<Client>),
    File(Box<FileJudge>),
}

impl Assessor {
    /// `load` says how a judge in a file is loaded, which [`Assessor::load`] does later.
    pub fn new(
        judge: &JudgeAt,
        args: &JudgeArgs,
        load: &LoadArgs,
        preset: Option<Quality>,
    ) -> Outcome<Assessor> {
        args.check(judge)?;
        let who = match judge {
            JudgeAt::Local => Who::Local,
            JudgeAt::Url(url) => Who::Server(Box::new(args.client(url)?)),
            JudgeAt::File(path) => Who::File(Box::new(FileJudge::new("--judge", path, args, load)?)),
        };
        Ok(Assessor { who, dimension: args.dimension(preset) })
    }

    /// Loads a judge in a file, see [`FileJudge::load`]. Other judges are there already.
    pub fn load(&self, session: &Session, loaded: &[&Model], branch: usize) -> Outcome {
        match &self.who {
            Who::File(judge) => judge.load(session, loaded, branch),
            Who::Local | Who::Server(_) => Ok(()),
        }
    }

    /// The client of a judge at a URL, which several threads may ask at once.
    pub fn client(&self) -> Option<&Client> {
        if let Who::Server(client) = &self.who { Some(client) } else { None }
    }

    /// True if the loaded model scores.
    pub fn is_local(&self) -> bool {
        matches!(self.who, Who::Local)
    }

    /// The judge; `local` is the loaded model as one. A model tells `progress` the tokens of its prompt that were
    /// read, and all of them.
    pub fn judge<'a>(
        &'a self,
        local: impl FnOnce() -> LocalJudge<'a>,
        progress: impl FnMut(usize, usize) + 'a,
    ) -> Box<dyn Judge + 'a> {
        match &self.who {
            Who::Local => Box::new(local().with_n_ctx_name("--ctx-size").with_progress(progress)),
            Who::Server(client) => Box::new(&**client),
            Who::File(judge) => Box::new(judge.judge(progress)),
        }
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
