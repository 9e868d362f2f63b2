//! The draw of a token: steering, logit bias, then the samplers after them, and the grammar.
//!
//! llama.cpp's samplers work on an array of candidates, all of the vocabulary; to build, soften and sort
//! it costs more than the steering does. With top-p, top-k or greedy sampling the draw depends on a few
//! tokens only, and a [`Drawer`] hands just these to llama.cpp's last samplers. It chooses the tokens
//! that the whole chain would choose, from the same random numbers.
//!
//! With a grammar a token is drawn as without one, as llama.cpp's programs do, and stands if it is allowed. Only if it
//! is not, the grammar is asked about all tokens, and one of those that are left is drawn in the same way.

use std::sync::Arc;

use super::types::{Arm, Generation};
use crate::branch::{SharedPair, Side, lock};
use crate::error::{Error, Result};
use crate::host::Token;
use crate::llama::{Chain, GrammarSampler, Model, Sampling};
use crate::params::Params;
use crate::sampler::steer_pair;
use crate::steer::{KlBudget, Nucleus, Step, Weights, temper};

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
    sampling: Sampling,
    /// Finds the best of the row; None if they need all candidates: penalties change any of them.
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
        let Generation { params, logit_bias, .. } = settings;
        let mut sampling = settings.sampling;
        sampling.greedy |= params.is_greedy();
        let n_vocab = model.n_vocab();
        let grammar = settings.grammar.as_ref().map(|grammar| GrammarSampler::new(grammar, model));
        Ok(Drawer {
            pair: Arc::clone(pair),
            arm,
            side: side(arm, settings),
            params: *params,
            weights: Weights::default(),
            budget: KlBudget::default(),
            logit_bias: logit_bias.clone(),
            grammar: grammar.transpose()?,
            grammar_waits: false,
            last: Last::new(sampling, n_vocab, n_ctx)?,
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

    /// Draws a token from the logits of the pair's last decode. With it comes what the steering found out.
    pub(super) fn draw(&mut self) -> Result<(Token, Option<Step>)> {
        let (step, temperature) = self.steer()?;
        self.bias(temperature)?;
        let mut token = self.last.choose()?;
        if let Some(grammar) = self.grammar.as_mut().filter(|_| !self.grammar_waits) {
            if !grammar.allows(token) {
                grammar.mask(&mut self.last.row)?;
                self.last.normalise()?;
                token = self.last.choose()?;
            }
            grammar.accept(token)?;
        }
        self.last.chain.accept(token);
        Ok((token, step))
    }

    /// Writes the row, and returns the temperature that it has.
    fn steer(&mut self) -> Result<(Option<Step>, f64)> {
        // A greedy row holds one token; these may choose another.
        let needs_others = self.grammar.is_some() || !self.logit_bias.is_empty();
        let row = &mut self.last.row;
        let Some(side) = self.side else {
            let mut params = self.budget.limit(&self.params);
            if needs_others && params.is_greedy() {
                params = Params { temperature: 1.0, sigma: f32::INFINITY, t_min: 0.0, ..params };
            }
            let step = steer_pair(&*lock(&self.pair)?, &self.weights, &params, row)?;
            self.budget.spend(&step);
            let shown = if self.params.is_greedy() { 0.0 } else { step.temperature };
            return Ok((Some(Step { temperature: shown, ..step }), step.temperature));
        };
        let mut temperature = single_temperature(self.arm, &self.params);
        if needs_others && temperature <= 0.0 {
            temperature = 1.0;
        }
        let pair = lock(&self.pair)?;
        let logits = pair.logits(side)?;
        if self.last.nucleus.is_some() || temperature <= 0.0 {
            temper(&logits, temperature, row)?;
        } else {
            // Not normalised: llama.cpp's penalty on repeated tokens depends on the signs of logits.
            row.iter_mut().zip(&*logits).for_each(|(to, logit)| *to = logit / temperature);
        }
        Ok((None, f64::from(temperature)))
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
    fn new(sampling: Sampling, n_vocab: usize, n_ctx: usize) -> Result<Last> {
        let only_the_best = sampling.needs_only_the_best();
        Ok(Last {
            row: vec![0.0; n_vocab],
            raw: Vec::new(),
            sampling,
            nucleus: only_the_best.then(Nucleus::default),
            chain: if only_the_best {
                Chain::of_best(&sampling)?
            } else {
                Chain::new(None, &sampling, n_vocab, n_ctx)?
            },
        })
    }

    /// Chooses a token of the row.
    fn choose(&mut self) -> Result<Token> {
        match &mut self.nucleus {
            Some(nucleus) => self.chain.load_best(self.sampling.best(nucleus, &self.row)),
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

/// Temperature of a draw from one branch.
fn single_temperature(arm: Arm, params: &Params) -> f32 {
    match arm {
        Arm::Steered => params.temperature_at(0.0) as f32,
        Arm::Plain | Arm::Instructed => params.temperature,
    }
}
