//! The sampler: replaces the logits of a candidate array by steered log-probabilities.
//!
//! One state machine for all ways into a host; they differ only in where the plain branch's logits
//! come from ([`Source`]). It knows no llama.cpp: as a [`SharedSampler`] it can go into a host's chain.

mod rows;
mod shared;
mod source;

pub use shared::{NAME, SharedSampler};
pub use source::Source;

pub use rows::steer_pair;

use rows::{By, PROBES, check_accepted, check_row, check_weights, gather, probe, steer_row};

use crate::branch::{SharedPair, Side, lock};
use crate::error::{Error, Result};
use crate::host::{Token, TokenData};
use crate::params::Params;
use crate::steer::{KlBudget, Nucleus, Step, Weights};

/// Steers one generation. May move between threads; not used by two at once.
pub struct Sampler {
    params: Params,
    weights: Weights,
    source: Source,
    /// Instructed logits by token id, then steered log-probabilities. Kept, so that after the first
    /// step nothing is allocated.
    row: Vec<f32>,
    top_p: f32,
    nucleus: Nucleus,
    /// Candidates that the last apply kept, if it dropped any.
    kept: Option<usize>,
    last: Option<Step>,
    /// What the accepted steps have spent.
    budget: KlBudget,
    /// The last step, while no token was accepted since.
    unspent: Option<Step>,
    /// Logits at a few tokens as they came in at the last step, while no token was accepted since.
    unaccepted: Option<[f32; PROBES]>,
    /// The token of the last accept, while no step followed it.
    accepted: Option<Token>,
    started: bool,
    stats: Stats,
}

/// Counts since the sampler was made or reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Steps that were steered.
    pub steered: u64,
    /// Steps that were refused: the candidates were left as they were.
    pub refused: u64,
    /// Accepts that repeated the one before, and were ignored.
    pub repeated_accepts: u64,
}

impl Sampler {
    /// A sampler whose plain logits the host hands in with [`Sampler::set_plain_logits`].
    pub fn given(params: Params, n_vocab: usize) -> Result<Sampler> {
        if n_vocab == 0 {
            return Err(Error::param("n_vocab", n_vocab, "at least 1"));
        }
        Sampler::new(params, Source::Given { n_vocab, logits: Vec::new(), fresh: false })
    }

    /// A sampler for one generation.
    pub fn new(params: Params, source: Source) -> Result<Sampler> {
        params.validate()?;
        Ok(Sampler {
            params,
            weights: Weights::default(),
            source,
            row: Vec::new(),
            top_p: 1.0,
            nucleus: Nucleus::default(),
            kept: None,
            last: None,
            budget: KlBudget::default(),
            unspent: None,
            unaccepted: None,
            accepted: None,
            started: false,
            stats: Stats::default(),
        })
    }

    /// The settings.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Changes the settings from the next step on.
    pub fn set_params(&mut self, params: Params) -> Result<()> {
        params.validate()?;
        self.params = params;
        Ok(())
    }

    /// How much each branch counts, from the next step on. Only a pair has branches of single instructions, and at
    /// each step as many of them as there are weights.
    pub fn set_weights(&mut self, weights: Weights) -> Result<()> {
        weights.validate()?;
        if !weights.singles.is_empty() && !matches!(self.source, Source::Paired(_)) {
            let reason = "only a pair has branches of single instructions".to_owned();
            return Err(Error::State { reason });
        }
        self.weights = weights;
        Ok(())
    }

    /// Makes [`Sampler::apply`] keep the nucleus only: the fewest tokens that hold this much of the
    /// probability, so that later samplers have little to look at. Greater than 0 and at most 1; 1, the
    /// default, keeps all. Greedy steps keep all too.
    pub fn set_top_p(&mut self, top_p: f32) -> Result<()> {
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::param("top_p", top_p, "greater than 0 and at most 1"));
        }
        self.top_p = top_p;
        Ok(())
    }

    /// After an [`Sampler::apply`] that dropped candidates: how many it kept. They are the first ones of
    /// the array, the most likely first. None if it kept all, in the order in which they were.
    pub fn kept(&self) -> Option<usize> {
        self.kept
    }

    /// Where the plain logits come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Continues with another pair: for a clone that continues in sequences of its own.
    pub fn set_pair(&mut self, pair: SharedPair) -> Result<()> {
        match &mut self.source {
            Source::Paired(old) => *old = pair,
            _ => return Err(Error::State { reason: "the sampler was not made for a pair".into() }),
        }
        self.last = None;
        Ok(())
    }

    /// Sets the plain branch's logits of the coming step, `n_vocab` values by token id.
    pub fn set_plain_logits(&mut self, plain: &[f32]) -> Result<()> {
        let Source::Given { n_vocab, logits, fresh } = &mut self.source else {
            return Err(Error::State { reason: "the sampler reads the plain logits itself".into() });
        };
        if plain.len() != *n_vocab {
            return Err(Error::Length { what: "plain logits", got: plain.len(), expected: *n_vocab });
        }
        logits.clear();
        logits.extend_from_slice(plain);
        *fresh = true;
        Ok(())
    }

    /// Starts over with another plain prompt, in a drop-in sampler.
    pub fn set_prompt(&mut self, prompt: &[Token]) -> Result<()> {
        let Source::DropIn(dropin) = &mut self.source else {
            return Err(Error::State { reason: "the sampler is not a drop-in sampler".into() });
        };
        dropin.set_prompt(prompt)?;
        self.forget();
        Ok(())
    }

    /// Divergence and temperature of the last steered step.
    pub fn last_step(&self) -> Option<Step> {
        self.last
    }

    /// Counts since the sampler was made or reset.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Replaces the candidates' logits by steered log-probabilities (temperature included).
    ///
    /// The array must hold every token of the vocabulary once, in any order. On an error it is left as
    /// it was. With [`Sampler::set_top_p`] only the first of them, [`Sampler::kept`] in number, are to be
    /// used afterwards.
    pub fn apply(&mut self, candidates: &mut [TokenData]) -> Result<Step> {
        let result = self.try_apply(candidates);
        // A refused step is a step too: the host may continue with a token of its own choice.
        self.started = true;
        self.accepted = None;
        match &result {
            Ok(step) => {
                self.last = Some(*step);
                self.unspent = Some(*step);
                self.stats.steered += 1;
            }
            Err(_) => {
                self.unspent = None;
                self.stats.refused += 1;
            }
        }
        result
    }

    fn try_apply(&mut self, candidates: &mut [TokenData]) -> Result<Step> {
        let in_order = gather(candidates, self.source.n_vocab()?, &mut self.row)?;
        let probes = probe(&self.row);
        let (row, weights, params) = (&mut self.row, &self.weights, &self.budget.limit(&self.params));
        let step = match &mut self.source {
            Source::Given { fresh: false, .. } => {
                return Err(Error::State { reason: "the plain logits of this step were not set".into() });
            }
            Source::Given { logits, .. } => {
                steer_row(row, &By { plain: logits, singles: &[], weights }, params)?
            }
            Source::Paired(pair) => {
                let pair = lock(pair)?;
                let plain = pair.logits(Side::Plain)?;
                check_row(&probes, &pair, &plain)?;
                check_weights(&pair, weights)?;
                let singles = pair.single_logits()?;
                let singles: Vec<&[f32]> = singles.iter().map(|row| &**row).collect();
                steer_row(row, &By { plain: &plain, singles: &singles, weights }, params)?
            }
            Source::DropIn(dropin) => {
                check_accepted(self.unaccepted.as_ref(), &probes)?;
                steer_row(row, &By { plain: &dropin.logits()?, singles: &[], weights }, params)?
            }
        };
        self.unaccepted = Some(probes);
        self.kept = None;
        if self.top_p < 1.0 && !self.params.is_greedy() {
            let best = self.nucleus.select(&self.row, 0, self.top_p);
            self.kept = Some(best.len());
            for (candidate, (id, logit)) in candidates.iter_mut().zip(best) {
                *candidate = TokenData { id: id as Token, logit, p: logit.exp() };
            }
        } else if in_order {
            for (candidate, &logprob) in candidates.iter_mut().zip(&self.row) {
                candidate.logit = logprob;
            }
        } else {
            for candidate in candidates {
                candidate.logit = self.row[candidate.id as usize];
            }
        }
        Ok(step)
    }

    /// Takes note of the token that the host chose.
    ///
    /// Tokens accepted before the first step are the host's prompt and are ignored; so is a second
    /// accept of the same token with no step between (hosts that call `llama_sampler_sample`, which
    /// accepts, and then accept again). Returns false for those.
    pub fn accept(&mut self, token: Token) -> bool {
        if !self.started {
            return false;
        }
        if self.accepted == Some(token) {
            self.stats.repeated_accepts += 1;
            return false;
        }
        self.accepted = Some(token);
        self.unaccepted = None;
        // Only now: a host may steer a step again before it has chosen the token.
        if let Some(step) = self.unspent.take() {
            self.budget.spend(&step);
        }
        self.source.accept(token);
        true
    }

    /// Goes back to the state before the first step; a drop-in sampler goes back to its prompt.
    pub fn reset(&mut self) {
        self.forget();
        self.source.reset();
    }

    /// A sampler at the same point that continues by itself. In paired mode it reads the same pair until
    /// [`Sampler::set_pair`]; in drop-in mode it gets a context of its own.
    pub fn fork(&self) -> Result<Sampler> {
        Ok(Sampler {
            source: self.source.fork()?,
            row: Vec::new(),
            top_p: self.top_p,
            nucleus: Nucleus::default(),
            kept: None,
            params: self.params,
            weights: self.weights.clone(),
            last: self.last,
            budget: self.budget,
            unspent: self.unspent,
            unaccepted: self.unaccepted,
            accepted: self.accepted,
            started: self.started,
            stats: self.stats,
        })
    }

    fn forget(&mut self) {
        self.last = None;
        self.budget = KlBudget::default();
        self.unspent = None;
        self.unaccepted = None;
        self.accepted = None;
        self.started = false;
        self.stats = Stats::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_step_leaves_the_others_in_order_behind_the_first() {
        let params = Params { temperature: 0.0, amplification: 0.5, ..Params::default() };
        let mut sampler = Sampler::given(params, 4).unwrap();
        sampler.set_plain_logits(&[0.0, 1.0, 2.0, 0.0]).unwrap();
        let mut candidates: Vec<TokenData> = [1.0, 3.0, 3.5, f32::NEG_INFINITY]
            .iter()
            .enumerate()
            .map(|(id, &logit)| TokenData { id: id as Token, logit, p: 0.0 })
            .collect();
        let step = sampler.apply(&mut candidates).unwrap();
        assert_eq!(step.temperature, 0.0);
        // Steered by 1: 2 * instructed - plain = 2, 5, 5, -inf; the lower id of the two best is first.
        let logits: Vec<f32> = candidates.iter().map(|candidate| candidate.logit).collect();
        assert_eq!(logits[1], 0.0);
        assert!(logits[2].exp() == 0.0 && logits[0].exp() == 0.0);
        assert!(logits[2] > logits[0] && logits[0].is_finite());
        assert_eq!(logits[3], f32::NEG_INFINITY);
    }
}
