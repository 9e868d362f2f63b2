//! The draw of a token: steering, logit bias, then the samplers after them, and the grammar.
//!
//! llama.cpp's samplers work on an array of candidates, all of the vocabulary; to build, soften and sort
//! it costs more than the steering does. With top-p, top-k or greedy sampling the draw depends on a few
//! tokens only, and a [`Drawer`] hands just these to llama.cpp's last samplers. It chooses the tokens
//! that the whole chain would choose, from the same random numbers. [`Plan`] says which settings allow it.
//!
//! The row is tempered by the kernel where the temperature is the first of the samplers, as by default. Elsewhere the
//! row has temperature 1, and the chain gets that of the step.
//!
//! With a grammar a token is drawn as without one, as llama.cpp's programs do, and stands if it is allowed. Only if it
//! is not, the grammar is asked about all tokens, and one of those that are left is drawn in the same way.

use std::sync::Arc;

use super::types::{Arm, Generation};
use crate::branch::{SharedPair, Side, lock};
use crate::error::{Error, Result};
use crate::host::Token;
use crate::llama::{Chain, GrammarSampler, Model, Plan, Sampling};
use crate::params::Params;
use crate::sampler::steer_pair;
use crate::steer::{KlBudget, Nucleus, Step, Weights, temper};

/// A token that was drawn.
pub(super) struct Drawn {
    pub(super) token: Token,
    /// What the steering found out; its temperature is that of the row.
    pub(super) step: Option<Step>,
    /// The temperature it was drawn at; 0 if the most likely one was taken.
    pub(super) temperature: f64,
}

/// Draws the tokens of one answer.
pub(super) struct Drawer {
    pair: SharedPair,
    arm: Arm,
    /// The one branch that is drawn from, or None for all, steered.
    side: Option<Side>,
    params: Params,
    weights: Weights,
    /// What the steps have spent.
    budget: KlBudget,
    logit_bias: Vec<(Token, f32)>,
    /// The row is to have a temperature of 1, whatever that of the step is.
    untempered: bool,
    /// The most likely token is taken.
    greedy: bool,
    grammar: Option<GrammarSampler>,
    /// The answer has not come to where the grammar begins.
    grammar_waits: bool,
    last: Last,
}

/// The samplers behind the steering.
struct Last {
    /// What they draw from, steered and tempered, by token id.
    row: Vec<f32>,
    /// The row before it was normalised again.
    raw: Vec<f32>,
    plan: Plan,
    /// Finds the best of the row; None if the samplers need all candidates.
    nucleus: Option<Nucleus>,
    chain: Chain,
}

impl Drawer {
    /// For an answer of `model` from `pair`, whose branches hold `n_ctx` tokens each. The settings are valid.
    pub(super) fn new(
        model: &Model,
        pair: &SharedPair,
        n_ctx: usize,
        arm: Arm,
        settings: &Generation,
    ) -> Result<Drawer> {
        let Generation { params, .. } = settings;
        let mut sampling = settings.sampling.clone();
        sampling.greedy |= params.is_greedy() && sampling.has_temperature();
        let mut logit_bias = settings.logit_bias.clone();
        if settings.ignore_eos {
            let ends = (0..model.n_vocab() as Token).filter(|&token| model.is_eog(token));
            logit_bias.extend(ends.map(|token| (token, f32::NEG_INFINITY)));
        }
        let last = Last::new(&sampling, model, n_ctx)?;
        // A greedy row holds one token; these may choose another.
        let needs_others = settings.grammar.is_some() || !logit_bias.is_empty();
        let grammar = settings.grammar.as_ref().map(|grammar| GrammarSampler::new(grammar, model));
        Ok(Drawer {
            pair: Arc::clone(pair),
            arm,
            side: side(arm, settings),
            params: *params,
            weights: Weights::default(),
            budget: KlBudget::default(),
            logit_bias,
            untempered: !last.plan.is_tempered() || (sampling.greedy && needs_others),
            greedy: sampling.greedy,
            grammar: grammar.transpose()?,
            grammar_waits: false,
            last,
        })
    }

    /// The one branch that is drawn from, or None for all.
    pub(super) fn side(&self) -> Option<Side> {
        self.side
    }

    /// Settings of the next draws.
    pub(super) fn set_params(&mut self, params: Params) -> Result<()> {
        params.validate()?;
        self.params = params;
        Ok(())
    }

    /// How much each branch counts in the next draws.
    pub(super) fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        weights.validate()?;
        self.weights = weights.clone();
        Ok(())
    }

    /// Whether the next draws come before the part of the answer that the grammar is about.
    pub(super) fn set_grammar_waits(&mut self, waits: bool) {
        self.grammar_waits = waits;
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Draws a token from the logits of the pair's last decode.
    pub(super) fn draw(&mut self) -> Result<Drawn> {
        let (step, temperature) = self.steer()?;
        self.last.chain.set_temperature(temperature as f32);
        self.bias(if self.untempered { 1.0 } else { temperature })?;
        let mut token = self.last.choose()?;
        if let Some(grammar) = self.grammar.as_mut().filter(|_| !self.grammar_waits) {
            if !grammar.allows(token) {
                grammar.mask(&mut self.last.row)?;
                self.last.normalise()?;
                token = self.last.choose()?;
            }
            grammar.accept(token)?;
        }
        let drawn_at = self.last.chain.drawn_at();
        self.last.chain.accept(token);
        let temperature = match drawn_at {
            _ if self.greedy => 0.0,
            // The step's, in an f32.
            Some(at) if at == temperature as f32 => temperature,
            Some(at) => f64::from(at),
            None if self.last.plan.is_tempered() => temperature,
            None => 1.0,
        };
        Ok(Drawn { token, step, temperature })
    }

    /// Writes the row, and returns the temperature of the step.
    fn steer(&mut self) -> Result<(Option<Step>, f64)> {
        let row = &mut self.last.row;
        let Some(side) = self.side else {
            let mut params = self.budget.limit(&self.params);
            if self.untempered {
                params = Params { temperature: 1.0, sigma: f32::INFINITY, t_min: 0.0, ..params };
            }
            let step = steer_pair(&*lock(&self.pair)?, &self.weights, &params, row)?;
            self.budget.spend(&step);
            let temperature = self.params.temperature_at(step.divergence);
            return Ok((Some(step), temperature));
        };
        let temperature = match self.arm {
            Arm::Steered => self.params.temperature_at(0.0),
            Arm::Plain | Arm::Instructed => f64::from(self.params.temperature.max(0.0)),
        };
        let of_row = if self.untempered { 1.0 } else { temperature as f32 };
        let pair = lock(&self.pair)?;
        let logits = pair.logits(side)?;
        if self.last.nucleus.is_some() || of_row <= 0.0 {
            temper(&logits, of_row, row)?;
        } else {
            // Not normalised: llama.cpp's penalty on repeated tokens depends on the signs of logits.
            row.iter_mut().zip(&*logits).for_each(|(to, logit)| *to = logit / of_row);
        }
        Ok((None, temperature))
    }

    /// Adds the logit bias to a row of a temperature.
    fn bias(&mut self, temperature: f64) -> Result<()> {
        /// Above everything that a row holds, with room to spare in an f32.
        const MOST: f64 = 1e30;
        if self.logit_bias.is_empty() {
            return Ok(());
        }
        for &(token, bias) in &self.logit_bias {
            self.last.row[token as usize] += (f64::from(bias) / temperature).min(MOST) as f32;
        }
        if self.last.row.iter().all(|&value| value == f32::NEG_INFINITY) {
            return Err(Error::param("logit_bias", "-inf for every token", "such that a token is left"));
        }
        self.last.normalise()
    }
}

impl Last {
    fn new(sampling: &Sampling, model: &Model, n_ctx: usize) -> Result<Last> {
        let plan = sampling.plan();
        let only_the_best = plan.needs_only_the_best();
        Ok(Last {
            row: vec![0.0; model.n_vocab()],
            raw: Vec::new(),
            nucleus: only_the_best.then(Nucleus::default),
            chain: if only_the_best {
                Chain::of_best(sampling, model, n_ctx)?
            } else {
                Chain::new(None, sampling, model, n_ctx)?
            },
            plan,
        })
    }

    /// Chooses a token of the row.
    fn choose(&mut self) -> Result<Token> {
        match &mut self.nucleus {
            Some(nucleus) => self.chain.load_best(self.plan.best(nucleus, &self.row)),
            None => self.chain.load(&self.row),
        }
        self.chain.choose()
    }

    /// Makes log-probabilities of the row again, where the samplers need them.
    fn normalise(&mut self) -> Result<()> {
        if self.nucleus.is_none() {
            return Ok(());
        }
        self.raw.clone_from(&self.row);
        temper(&self.raw, 1.0, &mut self.row)
    }
}

/// The single branch that decides about an answer: that of the arm; the instructed one alone if the
/// steering is by nothing, at a temperature that does not depend on the plain one.
fn side(arm: Arm, settings: &Generation) -> Option<Side> {
    // A trace shows the plain branch all the same.
    let traced = settings.trace || settings.trace_top > 0;
    match arm {
        Arm::Steered if !traced && !settings.params.needs_plain() => Some(Side::Instructed),
        arm => arm.side(),
    }
}
