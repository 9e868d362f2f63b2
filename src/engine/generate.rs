//! One answer, token by token.

use std::time::{Duration, Instant};

use super::draw::Drawer;
use super::{Engine, Prompts};
use crate::error::{Error, Result};
use crate::host::Token;
use crate::llama::Sampling;
use crate::pair::{Prefill, Side};
use crate::params::Params;
use crate::prompt::{StopMatcher, ThinkTracker, Utf8Stream};
use crate::steer::Step;

/// Which distribution the answer is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The plain prompt alone: the draft.
    Plain,
    /// The instructed prompt alone, without steering: the control.
    Instructed,
    /// Both, steered.
    Steered,
}

impl Arm {
    /// Name as the command line shows it.
    pub fn name(self) -> &'static str {
        match self {
            Arm::Plain => "plain",
            Arm::Instructed => "instructed",
            Arm::Steered => "steered",
        }
    }

    /// The single branch that the arm runs on, or None for both.
    pub fn side(self) -> Option<Side> {
        match self {
            Arm::Plain => Some(Side::Plain),
            Arm::Instructed => Some(Side::Instructed),
            Arm::Steered => None,
        }
    }
}

/// How to generate one answer.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    /// Steering and temperature. The plain and instructed arms use its base temperature only.
    pub params: Params,
    /// The samplers after it.
    pub sampling: Sampling,
    /// The most tokens; None goes on until the model or the context ends.
    pub n_predict: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Do not steer before the model has closed its `<think>` block. The first string is the end of
    /// the prompt, which may have opened one.
    pub steer_after_think: Option<String>,
    /// Compute each token's log-probability in both branches for [`StepRecord`].
    pub trace: bool,
}

/// One generated token.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// Index in the answer, from 0.
    pub step: usize,
    /// Token id.
    pub token: Token,
    /// Text that is complete with this token; may be empty while a character is not.
    pub text: String,
    /// Divergence of the two branches in nats, in the steered arm. None, too, where nothing depends on it
    /// and it is not traced ([`Params::needs_plain`]): the plain branch is then not computed.
    pub divergence: Option<f64>,
    /// Temperature the token was drawn at.
    pub temperature: f64,
    /// Guidance scale `1 + k a` that was in force, in the steered arm.
    pub guidance: Option<f64>,
    /// Log-probability of the token in the plain branch, untempered, if traced.
    pub logprob_plain: Option<f64>,
    /// Log-probability of the token in the instructed branch, untempered, if traced.
    pub logprob_instructed: Option<f64>,
}

/// What the caller is told while an answer is generated.
pub enum Event<'a> {
    /// Rows of the prompts that were read, of all.
    Prefill {
        /// Rows done.
        done: usize,
        /// Rows in all.
        total: usize,
    },
    /// A token was generated.
    Token(&'a StepRecord),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    EndOfGeneration,
    /// The wanted number of tokens is there.
    Length,
    /// A stop text came up.
    StopText,
    /// The context has no room for another token.
    ContextFull,
    /// The caller asked for it.
    Cancelled,
}

impl Finish {
    /// Name as records show it.
    pub fn name(self) -> &'static str {
        match self {
            Finish::EndOfGeneration => "eog",
            Finish::Length => "length",
            Finish::StopText => "stop",
            Finish::ContextFull => "context_full",
            Finish::Cancelled => "cancelled",
        }
    }
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Reading the prompts.
    pub prefill: Duration,
    /// `llama_decode` of the generated tokens.
    pub decode: Duration,
    /// Steering and drawing.
    pub sample: Duration,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text, complete characters only.
    pub text: String,
    /// The tokens, without the end-of-generation token.
    pub tokens: Vec<Token>,
    /// Why it ended.
    pub finish: Finish,
    /// What reading the prompts cost.
    pub prefill: Prefill,
    /// Where the time went.
    pub timings: Timings,
    /// Mean divergence of the branches over the answer in nats, where it was computed.
    pub mean_divergence: Option<f64>,
}

impl Engine<'_> {
    /// Generates one answer. `on_event` is called for each piece of progress; false stops, and the
    /// answer so far is returned. What the cache holds of the prompts is used again.
    pub fn generate(
        &mut self,
        arm: Arm,
        prompts: &Prompts,
        settings: &Generation,
        on_event: &mut dyn FnMut(Event) -> bool,
    ) -> Result<Answer> {
        settings.params.validate()?;
        settings.sampling.validate()?;
        let mut run = Run::new(self, arm, settings)?;
        let start = Instant::now();
        let mut cancelled = false;
        let mut progress = |done, total| {
            cancelled = !on_event(Event::Prefill { done, total });
            !cancelled
        };
        let prefill = match run.drawer.side() {
            Some(Side::Plain) => self.pair().prefill_one(Side::Plain, &prompts.plain, &mut progress),
            Some(Side::Instructed) => {
                self.pair().prefill_one(Side::Instructed, &prompts.instructed, &mut progress)
            }
            None => self.pair().prefill(&prompts.plain, &prompts.instructed, &mut progress),
        };
        match prefill {
            Ok(prefill) => run.prefill = prefill,
            Err(Error::Cancelled) => return Ok(run.finish(Finish::Cancelled)),
            Err(error) => return Err(error),
        }
        run.timings.prefill = start.elapsed();
        if cancelled {
            return Ok(run.finish(Finish::Cancelled));
        }
        let finish = self.answer(&mut run, on_event)?;
        Ok(run.finish(finish))
    }

    fn answer(&mut self, run: &mut Run, on_event: &mut dyn FnMut(Event) -> bool) -> Result<Finish> {
        loop {
            if run.settings.n_predict.is_some_and(|n| run.tokens.len() >= n) {
                return Ok(Finish::Length);
            }
            let start = Instant::now();
            let token;
            (token, run.step) = run.drawer.draw()?;
            run.timings.sample += start.elapsed();
            if self.model.is_eog(token) {
                return Ok(Finish::EndOfGeneration);
            }
            let mut record = self.record(run, token)?;
            let text = run.utf8.push(&self.model.piece(token)).to_owned();
            if let Some(think) = &mut run.think {
                think.push(&text);
                run.set_steering()?;
            }
            let (text, stopped) = run.stop.push(&text);
            record.text = text;
            run.text.push_str(&record.text);
            run.tokens.push(token);
            let go_on = on_event(Event::Token(&record));
            if stopped {
                return Ok(Finish::StopText);
            }
            if !go_on {
                return Ok(Finish::Cancelled);
            }
            let start = Instant::now();
            let stepped = match run.drawer.side() {
                Some(side) => self.pair().step_one(side, token),
                None => self.pair().step(token),
            };
            run.timings.decode += start.elapsed();
            match stepped {
                Ok(()) => {}
                Err(Error::ContextFull { .. }) => return Ok(Finish::ContextFull),
                Err(error) => return Err(error),
            }
        }
    }

    fn record(&self, run: &mut Run, token: Token) -> Result<StepRecord> {
        let pair = self.pair();
        let logprob = |side| match run.settings.trace && pair.row(side).is_some() {
            true => pair.logits(side).map(|logits| Some(log_prob(logits, token))),
            false => Ok(None),
        };
        let divergence = run.step.map(|step| step.divergence);
        run.divergence_sum += divergence.unwrap_or(0.0);
        Ok(StepRecord {
            step: run.tokens.len(),
            token,
            text: String::new(),
            divergence,
            temperature: match run.step {
                _ if run.settings.sampling.greedy => 0.0,
                Some(step) => step.temperature,
                None if run.is_steered() => run.settings.params.temperature_at(0.0),
                None => f64::from(run.settings.params.temperature.max(0.0)),
            },
            guidance: run.is_steered().then(|| run.params().guidance()),
            logprob_plain: logprob(Side::Plain)?,
            logprob_instructed: logprob(Side::Instructed)?,
        })
    }
}

/// State of one answer.
struct Run<'s> {
    arm: Arm,
    settings: &'s Generation,
    drawer: Drawer,
    utf8: Utf8Stream,
    stop: StopMatcher,
    think: Option<ThinkTracker>,
    step: Option<Step>,
    text: String,
    tokens: Vec<Token>,
    prefill: Prefill,
    timings: Timings,
    divergence_sum: f64,
}

impl<'s> Run<'s> {
    fn new(engine: &Engine, arm: Arm, settings: &'s Generation) -> Result<Run<'s>> {
        let think = match (&settings.steer_after_think, arm) {
            (Some(prompt_end), Arm::Steered) => {
                let mut think = ThinkTracker::default();
                think.push(prompt_end);
                Some(think)
            }
            _ => None,
        };
        let drawer = Drawer::new(&engine.pair, engine.n_ctx, arm, settings)?;
        let mut run = Run {
            arm,
            settings,
            drawer,
            utf8: Utf8Stream::default(),
            stop: StopMatcher::new(&settings.stop)?,
            think,
            step: None,
            text: String::new(),
            tokens: Vec::new(),
            prefill: Prefill::default(),
            timings: Timings::default(),
            divergence_sum: 0.0,
        };
        run.set_steering()?;
        Ok(run)
    }

    /// Settings in force: no amplification while the model thinks, if that was asked for.
    fn params(&self) -> Params {
        let mut params = self.settings.params;
        if self.think.as_ref().is_some_and(|think| !think.is_done()) {
            params.amplification = 0.0;
        }
        params
    }

    fn set_steering(&mut self) -> Result<()> {
        self.drawer.set_params(self.params())
    }

    fn is_steered(&self) -> bool {
        self.arm == Arm::Steered
    }

    fn finish(mut self, finish: Finish) -> Answer {
        // What was held back for a stop text or an incomplete character belongs to the answer now.
        if finish != Finish::StopText {
            let tail = self.utf8.finish();
            let (text, _) = self.stop.push(&tail);
            self.text.push_str(&text);
            self.text.push_str(&self.stop.finish());
        }
        let (steps, measured) = (self.tokens.len(), self.step.is_some());
        Answer {
            text: self.text,
            tokens: self.tokens,
            finish,
            prefill: self.prefill,
            timings: self.timings,
            mean_divergence: (measured && steps > 0).then(|| self.divergence_sum / steps as f64),
        }
    }
}

/// Log-probability of one token, in nats.
fn log_prob(logits: &[f32], token: Token) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    f64::from(logits[token as usize]) - f64::from(max) - sum.ln()
}
