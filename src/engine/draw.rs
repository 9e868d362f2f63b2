//! The draw of a token: steering, then the samplers after it.
//!
//! llama.cpp's samplers work on an array of candidates, all of the vocabulary; to build, soften and sort
//! it costs more than the steering does. With top-p, top-k or greedy sampling the draw depends on a few
//! tokens only, and a [`Drawer`] hands just these to llama.cpp's last samplers. It chooses the tokens
//! that the whole chain would choose, from the same random numbers.

use std::sync::Arc;

use super::types::{Arm, Generation};
use crate::branch::{SharedPair, Side, lock};
use crate::error::Result;
use crate::host::Token;
use crate::llama::{Chain, Head, Sampling};
use crate::params::Params;
use crate::sampler::{Sampler, SharedSampler, Source, steer_pair};
use crate::steer::{KlBudget, Nucleus, Step, Weights, temper};

/// Draws the tokens of one answer.
pub(super) struct Drawer {
    pair: SharedPair,
    arm: Arm,
    /// The one branch that is drawn from, or None for all, steered.
    side: Option<Side>,
    params: Params,
    weights: Weights,
    /// What the steps have spent; the other path's sampler has its own.
    budget: KlBudget,
    path: Path,
}

/// What a draw goes through.
enum Path {
    /// A row of log-probabilities, of which the best go to the last samplers.
    Best { sampling: Sampling, row: Vec<f32>, nucleus: Nucleus, chain: Chain },
    /// All candidates: penalties change any of them.
    Whole { sampler: Option<SharedSampler>, chain: Chain },
}

impl Drawer {
    /// For an answer from `pair`, whose branches hold `n_ctx` tokens each.
    pub(super) fn new(pair: &SharedPair, n_ctx: usize, arm: Arm, settings: &Generation) -> Result<Drawer> {
        let params = settings.params;
        let mut sampling = settings.sampling;
        sampling.greedy |= params.is_greedy();
        let context = lock(pair)?.context().clone();
        let n_vocab = context.n_vocab();
        let side = side(arm, settings);
        let path = if sampling.needs_only_the_best() {
            let (row, nucleus) = (vec![0.0; n_vocab], Nucleus::default());
            Path::Best { sampling, row, nucleus, chain: Chain::of_best(&sampling)? }
        } else {
            let (sampler, head) = match side {
                None => {
                    let sampler = Sampler::new(params, Source::Paired(Arc::clone(pair)))?;
                    let sampler = SharedSampler::new(sampler, context.host());
                    (Some(sampler.clone()), Head::Steering(sampler))
                }
                Some(_) => (None, Head::Temperature(single_temperature(arm, &params))),
            };
            Path::Whole { sampler, chain: Chain::new(&head, &sampling, n_vocab, n_ctx)? }
        };
        let weights = Weights::default();
        let budget = KlBudget::default();
        Ok(Drawer { pair: Arc::clone(pair), arm, side, params, weights, budget, path })
    }

    /// The one branch that is drawn from, or None for all.
    pub(super) fn side(&self) -> Option<Side> {
        self.side
    }

    /// Settings of the next draws.
    pub(super) fn set_params(&mut self, params: Params) -> Result<()> {
        params.validate()?;
        self.params = params;
        match &self.path {
            Path::Whole { sampler: Some(sampler), .. } => sampler.with(|sampler| sampler.set_params(params)),
            _ => Ok(()),
        }
    }

    /// How much each branch counts in the next draws.
    pub(super) fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        weights.validate()?;
        self.weights = weights.clone();
        match &self.path {
            Path::Whole { sampler: Some(sampler), .. } => {
                sampler.with(|sampler| sampler.set_weights(weights.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Draws a token from the logits of the pair's last decode. With it comes what the steering found out.
    pub(super) fn draw(&mut self) -> Result<(Token, Option<Step>)> {
        match &mut self.path {
            Path::Best { sampling, row, nucleus, chain } => {
                let step = match self.side {
                    None => {
                        let params = self.budget.limit(&self.params);
                        let step = steer_pair(&*lock(&self.pair)?, &self.weights, &params, row)?;
                        self.budget.spend(&step);
                        Some(step)
                    }
                    Some(side) => {
                        let temperature = single_temperature(self.arm, &self.params);
                        temper(&lock(&self.pair)?.logits(side)?, temperature, row)?;
                        None
                    }
                };
                chain.load_best(sampling.best(nucleus, row));
                Ok((chain.sample()?, step))
            }
            Path::Whole { sampler, chain } => {
                // The row is copied into the candidates under the lock; the steering takes it again later.
                chain.load(&lock(&self.pair)?.logits(self.side.unwrap_or(Side::Instructed))?);
                let token = chain.sample()?;
                let Some(sampler) = sampler else { return Ok((token, None)) };
                match sampler.error() {
                    Some(error) => Err(error),
                    None => Ok((token, sampler.with(|sampler| Ok(sampler.last_step()))?)),
                }
            }
        }
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
