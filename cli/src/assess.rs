//! Stage 1: a draft gets a score, from the loaded model or from a server.

use std::time::{Duration, Instant};

use sda::Quality;
use sda::branch::Progress;
use sda::engine::{Batch, Engine, ScoreDistribution};
use sda::host::Token;
use sda::judge::{Client, Judge, JudgeRequest, Verdict};
use sda::llama::Model;
use sda::prompt::{ChatTemplate, JudgePrompt};
use serde_json::{Map, Value, json};

use crate::args::judge::JudgeArgs;
use crate::failure::Outcome;
use crate::ui::console::{Bar, Interrupt};

/// Name of the loaded model as a judge, on the command line and in records.
pub const LOCAL: &str = "local";

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

/// The loaded model, as far as a local judge needs it.
pub struct Local<'a> {
    pub engine: &'a mut dyn Scores,
    pub template: Option<&'a ChatTemplate>,
}

/// What a loaded model can score with.
pub trait Scores {
    fn model(&self) -> &Model;
    fn score(&mut self, judge_prompt: &[Token], progress: Progress) -> sda::Result<ScoreDistribution>;
}

impl Scores for Engine {
    fn model(&self) -> &Model {
        Engine::model(self)
    }

    fn score(&mut self, judge_prompt: &[Token], progress: Progress) -> sda::Result<ScoreDistribution> {
        Engine::score(self, judge_prompt, progress)
    }
}

impl Scores for Batch {
    fn model(&self) -> &Model {
        Batch::model(self)
    }

    fn score(&mut self, judge_prompt: &[Token], progress: Progress) -> sda::Result<ScoreDistribution> {
        Batch::score(self, judge_prompt, progress)
    }
}

impl Assessor {
    /// `judge` is "local" or a URL.
    pub fn new(judge: &str, args: &JudgeArgs, preset: Option<Quality>) -> Outcome<Assessor> {
        let who = match judge {
            LOCAL => {
                args.check_local()?;
                Who::Local
            }
            url => Who::Server(Box::new(args.client(url)?)),
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

    /// Who scores. Holds no secret.
    pub fn name(&self) -> String {
        self.client().map_or(LOCAL.to_owned(), Judge::describe)
    }

    /// Scores one draft. A failure is part of the assessment, Ctrl-C as well. A local judge needs `local`;
    /// `show` shows progress.
    pub fn assess(
        &self,
        local: Option<Local>,
        request: &JudgeRequest,
        interrupt: &Interrupt,
        show: bool,
    ) -> Assessment {
        let start = Instant::now();
        let (verdict, deviation) = match &self.who {
            Who::Local => match local_score(local, request, interrupt, show) {
                Ok((verdict, deviation)) => (Ok(verdict), Some(deviation)),
                Err(error) => (Err(error), None),
            },
            Who::Server(client) => {
                let _bar = if show { Bar::waiting("judging") } else { Bar::hidden() };
                (client.score(request, &|| interrupt.is_wanted()), None)
            }
        };
        Assessment { name: self.name(), verdict, deviation, time: start.elapsed() }
    }
}

fn local_score(
    local: Option<Local>,
    request: &JudgeRequest,
    interrupt: &Interrupt,
    show: bool,
) -> sda::Result<(Verdict, f64)> {
    request.validate()?;
    let Some(Local { engine, template }) = local else {
        return Err(sda::Error::Judge { reason: "no model is loaded".into() });
    };
    // A small model makes more of the preset's plain words than of a long criterion.
    let instruction = request.dimension.map_or(request.instruction, |quality| quality.instruction());
    let prompt = JudgePrompt { query: request.query, instruction, draft: request.draft };
    let tokens = engine.model().tokenize_prompt(&prompt.local(template)?)?;
    let bar = if show { Bar::new("judging") } else { Bar::hidden() };
    let distribution = engine.score(&tokens, &mut |done, total| {
        bar.set(done, total);
        !interrupt.is_wanted()
    });
    let distribution = distribution.map_err(|error| match error {
        // A draft that is too long to be judged is one that has no score.
        sda::Error::ContextFull { .. } => sda::Error::Judge { reason: error.to_string() },
        other => other,
    })?;
    let verdict = Verdict::from_samples(vec![distribution.expected() as f32])?;
    Ok((verdict, distribution.deviation()))
}

/// A score, or why there is none.
pub struct Assessment {
    pub name: String,
    pub verdict: sda::Result<Verdict>,
    /// Standard deviation of a local judge's distribution, in points.
    pub deviation: Option<f64>,
    pub time: Duration,
}

impl Assessment {
    /// What stands for a score that was not even asked for.
    pub fn failed(assessor: &Assessor, error: sda::Error) -> Assessment {
        Assessment { name: assessor.name(), verdict: Err(error), deviation: None, time: Duration::ZERO }
    }

    /// What records say of the judge: its name, and how it came to the score.
    pub fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        details.insert("name".into(), json!(self.name));
        details.insert("ms".into(), json!((self.time.as_secs_f64() * 1e3).round()));
        if let Ok(verdict) = &self.verdict {
            details.insert("attempts".into(), json!(verdict.attempts));
            details.insert("cached".into(), json!(verdict.cached));
            let spread = self.deviation.unwrap_or(verdict.spread().into());
            details.insert("spread".into(), json!(rounded(spread)));
        }
        details
    }

    /// The score and its samples, or the error, for a record.
    pub fn outcome(&self) -> Map<String, Value> {
        let fields = match &self.verdict {
            Ok(verdict) => {
                let samples: Vec<f64> = verdict.samples.iter().map(|&s| rounded(s.into())).collect();
                json!({ "score": rounded(verdict.score.into()), "samples": samples })
            }
            // Nulls in place of what an earlier run or another judge may have left in the record.
            Err(error) => json!({ "score": null, "samples": null, "error": error.to_string() }),
        };
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

/// A score as records show it: more digits than these mean nothing.
pub fn rounded(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}
