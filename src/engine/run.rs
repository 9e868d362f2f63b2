//! The state machine of one answer: prompts read, tokens drawn, text held back. Who decodes the drawn
//! tokens, one answer at a time or many together, is the caller's business.

use std::sync::Arc;
use std::time::Instant;

use super::draw::{Drawer, Drawn};
use super::top::top_tokens;
use super::types::{Answer, Arm, Finish, Generation, Prompts, StepRecord, Timings};
use crate::branch::{Pair, Prefill, Progress, Reading, SharedPair, Side, lock};
use crate::error::{Error, Result};
use crate::host::Token;
use crate::llama::Model;
use crate::params::Params;
use crate::steer::Step;
use crate::text::{StopMatcher, ThinkTracker, Utf8Stream, is_think_tag};

/// What an answer waits for.
pub(super) enum Next {
    /// This token is to be decoded, in the branches that the arm runs on.
    Token(Token),
    /// Nothing: it is done.
    End(Finish),
}

/// State of one answer.
pub(super) struct Run {
    model: Model,
    pair: SharedPair,
    pub(super) arm: Arm,
    settings: Generation,
    drawer: Drawer,
    utf8: Utf8Stream,
    stop: StopMatcher,
    think: Option<ThinkTracker>,
    step: Option<Step>,
    text: String,
    tokens: Vec<Token>,
    /// How many of them the branches have let go of.
    n_dropped: usize,
    prefill: Prefill,
    pub(super) timings: Timings,
    divergence_sum: f64,
}

impl Run {
    /// An answer in the given pair, whose branches hold `n_ctx` tokens each.
    pub(super) fn new(
        model: &Model,
        pair: &SharedPair,
        n_ctx: usize,
        arm: Arm,
        settings: &Generation,
    ) -> Result<Run> {
        settings.validate(model)?;
        let drawer = Drawer::new(model, pair, n_ctx, arm, settings)?;
        Ok(Run {
            model: model.clone(),
            pair: Arc::clone(pair),
            arm,
            settings: settings.clone(),
            drawer,
            utf8: Utf8Stream::default(),
            stop: StopMatcher::new(&settings.stop)?,
            think: None,
            step: None,
            text: String::new(),
            tokens: Vec::new(),
            n_dropped: 0,
            prefill: Prefill::default(),
            timings: Timings::default(),
            divergence_sum: 0.0,
        })
    }

    /// Begins to read the prompts into the branches that the arm runs on. What `others` hold of them, pairs of the same
    /// context, need not be read.
    pub(super) fn begin(&mut self, prompts: &Prompts, others: &[&Pair]) -> Result<Reading> {
        let (prompts_of_one, weights) = (prompts.singles.len(), prompts.weights.singles.len());
        if prompts_of_one != weights {
            let what = "weights of single instructions";
            return Err(Error::Length { what, got: weights, expected: prompts_of_one });
        }
        self.drawer.set_weights(&prompts.weights)?;
        let steering_waits = self.settings.steer_after_think && self.is_steered();
        let grammar_waits = self.settings.grammar.is_some() && prompts.thinking;
        if steering_waits || grammar_waits {
            self.think = Some(ThinkTracker::new(prompts.thinking));
            self.drawer.set_grammar_waits(grammar_waits);
            self.set_steering()?;
        }
        self.reading(prompts, others)
    }

    /// Lets go of the older half of the tokens so far, if that was asked for. False if there is nothing to let go of. What
    /// is left is then to be read again ([`Run::resume`]): cells that stay where they are would hold what the model made of
    /// tokens that are gone, and recurrent memory cannot let go of any.
    pub(super) fn shift(&mut self) -> bool {
        let held = self.tokens.len() - self.n_dropped;
        if !self.settings.context_shift || held < 2 {
            return false;
        }
        self.n_dropped += held / 2;
        true
    }

    /// Begins to read the prompts and the tokens so far, as far as they are kept.
    pub(super) fn resume(&mut self, prompts: &Prompts, others: &[&Pair]) -> Result<Reading> {
        let kept = &self.tokens[self.n_dropped..];
        let longer = |prompt: &[Token]| [prompt, kept].concat();
        let prompts = Prompts {
            plain: longer(&prompts.plain),
            instructed: longer(&prompts.instructed),
            singles: prompts.singles.iter().map(|single| longer(single)).collect(),
            ..prompts.clone()
        };
        self.reading(&prompts, others)
    }

    fn reading(&self, prompts: &Prompts, others: &[&Pair]) -> Result<Reading> {
        let mut pair = lock(&self.pair)?;
        match self.drawer.side() {
            Some(side @ Side::Plain) => Reading::of_one(&mut pair, side, &prompts.plain, others),
            Some(side) => Reading::of_one(&mut pair, side, &prompts.instructed, others),
            None => {
                let singles: Vec<&[Token]> = prompts.singles.iter().map(Vec::as_slice).collect();
                Reading::of_all(&mut pair, &prompts.plain, &prompts.instructed, &singles, others)
            }
        }
    }

    /// Takes note of what reading the prompts cost; what it costs to read them again after giving way is not counted.
    pub(super) fn has_read(&mut self, prefill: Prefill) {
        if self.tokens.is_empty() {
            self.prefill = prefill;
        }
    }

    /// Reads the prompts, with nothing beside. [`Error::Cancelled`] if `progress` said so.
    pub(super) fn read(&mut self, prompts: &Prompts, progress: Progress) -> Result<()> {
        let reading = self.begin(prompts, &[])?;
        self.finish_reading(reading, progress)
    }

    /// Reads what [`Run::resume`] says, with nothing beside. [`Error::Cancelled`] if `progress` said so.
    pub(super) fn reread(&mut self, prompts: &Prompts, progress: Progress) -> Result<()> {
        let reading = self.resume(prompts, &[])?;
        self.finish_reading(reading, progress)
    }

    fn finish_reading(&mut self, reading: Reading, progress: Progress) -> Result<()> {
        let start = Instant::now();
        // The last report comes after the last decode, where the pair no longer asks.
        let mut cancelled = false;
        let mut progress = |done, total| {
            cancelled = !progress(done, total);
            !cancelled
        };
        let prefill = reading.run(&mut *lock(&self.pair)?, &mut progress)?;
        self.has_read(prefill);
        self.timings.prefill += start.elapsed();
        if cancelled { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Draws the next token from the logits of the pair's last decode, and tells whether it is to be
    /// decoded. `on_token` gets its record; false stops.
    pub(super) fn next(&mut self, on_token: &mut dyn FnMut(&StepRecord) -> bool) -> Result<Next> {
        if self.is_long_enough() {
            return Ok(Next::End(Finish::Length));
        }
        let start = Instant::now();
        let Drawn { token, step, temperature } = self.drawer.draw()?;
        self.step = step;
        self.timings.sample += start.elapsed();
        if self.model.is_eog(token) {
            return Ok(Next::End(Finish::EndOfGeneration));
        }
        let mut record = self.record(token, temperature)?;
        let (text, stopped) = match self.model.control_text(token) {
            Some(text) if !is_think_tag(&text) => self.stop.push_hidden(&text),
            tag => {
                let text = match tag {
                    Some(tag) => self.utf8.finish() + &tag,
                    None => self.utf8.push(&self.model.piece(token)).to_owned(),
                };
                if let Some(think) = &mut self.think {
                    think.push(&text);
                    if think.is_done() {
                        self.drawer.set_grammar_waits(false);
                    }
                    self.set_steering()?;
                }
                self.stop.push(&text)
            }
        };
        record.text = text;
        self.text.push_str(&record.text);
        self.tokens.push(token);
        let wanted = on_token(&record);
        Ok(if stopped {
            Next::End(Finish::StopText)
        } else if !wanted {
            Next::End(Finish::Cancelled)
        } else if self.is_long_enough() {
            Next::End(Finish::Length)
        } else {
            Next::Token(token)
        })
    }

    fn is_long_enough(&self) -> bool {
        self.settings.n_predict.is_some_and(|n| self.tokens.len() >= n)
    }

    /// The one branch that is decoded, or None for all.
    pub(super) fn side(&self) -> Option<Side> {
        self.drawer.side()
    }

    /// Tokens so far.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    fn record(&mut self, token: Token, temperature: f64) -> Result<StepRecord> {
        let pair = lock(&self.pair)?;
        let logprob = |side| {
            if !self.settings.trace || pair.row(side).is_none() {
                return Ok(None);
            }
            pair.logits(side).map(|logits| Some(log_prob(&logits, token)))
        };
        let divergence = self.step.map(|step| step.divergence);
        self.divergence_sum += divergence.unwrap_or(0.0);
        Ok(StepRecord {
            step: self.tokens.len(),
            token,
            text: String::new(),
            divergence,
            temperature,
            guidance: self
                .is_steered()
                .then(|| 1.0 + self.step.map_or(self.params().gain(), |step| step.gain)),
            logprob_plain: logprob(Side::Plain)?,
            logprob_instructed: logprob(Side::Instructed)?,
            top: top_tokens(
                &self.model,
                &pair,
                self.settings.trace_top,
                token,
                self.drawer.weights(),
                &self.applied(),
            )?,
        })
    }

    /// Settings in force: no amplification while the model thinks, if that was asked for.
    fn params(&self) -> Params {
        let mut params = self.settings.params;
        let is_thinking = self.think.as_ref().is_some_and(|think| !think.is_done());
        if is_thinking && self.settings.steer_after_think {
            params.amplification = 0.0;
        }
        params
    }

    /// Settings that do at once what the last step did within its budget.
    fn applied(&self) -> Params {
        let params = self.params();
        match self.step {
            Some(Step { gain, kl: Some(_), .. }) => Params {
                amplification: gain as f32,
                k: 1.0,
                max_kl: f32::INFINITY,
                mean_kl: f32::INFINITY,
                ..params
            },
            _ => Params { mean_kl: f32::INFINITY, ..params },
        }
    }

    fn set_steering(&mut self) -> Result<()> {
        self.drawer.set_params(self.params())
    }

    fn is_steered(&self) -> bool {
        self.arm == Arm::Steered
    }

    /// The answer as it stands. `on_tail` gets what was held back of its text, if anything was.
    pub(super) fn finish(mut self, finish: Finish, on_tail: &mut dyn FnMut(&str)) -> Answer {
        // What was held back for a stop text or an incomplete character belongs to the answer now.
        if finish != Finish::StopText {
            let (mut tail, _) = self.stop.push(&self.utf8.finish());
            tail.push_str(&self.stop.finish());
            if !tail.is_empty() {
                on_tail(&tail);
                self.text.push_str(&tail);
            }
        }
        let (steps, measured) = (self.tokens.len(), self.step.is_some());
        Answer {
            text: self.text,
            tokens: self.tokens,
            finish,
            stop_text: self.stop.found().map(str::to_owned),
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
