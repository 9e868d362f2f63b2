//! Rows of candidates: gathered by token id, distinguished, steered.

use crate::branch::{Pair, Side};
use crate::error::{Error, Result};
use crate::host::TokenData;
use crate::params::Params;
use crate::steer::{Step, Weights, steer_many, steer_many_in_place};

/// How many logits are compared to tell whose row or which step a candidate array shows.
pub(super) const PROBES: usize = 32;

/// What a row is steered by.
pub(super) struct By<'a> {
    pub(super) plain: &'a [f32],
    /// Rows of single instructions, as many as there are weights of them.
    pub(super) singles: &'a [&'a [f32]],
    pub(super) weights: &'a Weights,
}

impl By<'_> {
    fn steer(&self, row: &mut [f32], params: &Params) -> Result<Step> {
        let Weights { instructed, singles } = self.weights;
        steer_many_in_place(row, *instructed, self.plain, self.singles, singles, params)
    }
}

/// Log-probabilities of the next token from the rows as a pair's context holds them.
pub fn steer_pair(pair: &Pair, weights: &Weights, params: &Params, logprobs: &mut [f32]) -> Result<Step> {
    check_weights(pair, weights)?;
    let (instructed, plain) = (pair.logits(Side::Instructed)?, pair.logits(Side::Plain)?);
    let singles = pair.single_logits()?;
    let mut rows: Vec<&[f32]> = singles.iter().map(|row| &**row).collect();
    let mut of_rows = weights.singles.clone();
    if weights.instructed != 0.0 {
        rows.push(&instructed);
        of_rows.push(weights.instructed);
    }
    steer_many(&instructed, &plain, &rows, &of_rows, params, logprobs)
}

/// Error unless each branch of a single instruction has its weight.
pub(super) fn check_weights(pair: &Pair, weights: &Weights) -> Result<()> {
    let (branches, weights) = (pair.n_singles(), weights.singles.len());
    if branches == weights {
        return Ok(());
    }
    let reason = format!(
        "there are weights of {weights} single instructions, and the prompts of the pair hold {branches} of them"
    );
    Err(Error::State { reason })
}

/// Steers a row in place. The kernel's greedy row has one token left; here the others stay behind it, in
/// order, at probability 0: a sampler later in the chain may ban the first, and a host that is left with no
/// candidate at all may abort.
pub(super) fn steer_row(row: &mut [f32], by: &By, params: &Params) -> Result<Step> {
    /// Far enough for `exp` to be 0, and near enough for order to survive.
    const BEHIND: f32 = -1e4;
    const SPREAD: f32 = 1e4;
    if !params.is_greedy() {
        return by.steer(row, params);
    }
    params.validate()?;
    let untempered = Params { temperature: 1.0, sigma: f32::INFINITY, t_min: 0.0, ..*params };
    let step = by.steer(row, &untempered)?;
    let first = (0..row.len()).reduce(|best, id| if row[id] > row[best] { id } else { best }).unwrap_or(0);
    let top = row[first];
    for logit in row.iter_mut().filter(|logit| **logit > f32::NEG_INFINITY) {
        *logit = ((*logit - top) * SPREAD + BEHIND).max(f32::MIN);
    }
    row[first] = 0.0;
    Ok(Step { temperature: 0.0, ..step })
}

/// Writes the candidates' logits to `row` by token id. True if they were in order of id already.
pub(super) fn gather(candidates: &[TokenData], n_vocab: usize, row: &mut Vec<f32>) -> Result<bool> {
    if candidates.len() != n_vocab {
        return Err(Error::Candidates {
            reason: format!(
                "there are {} of them, must be all {n_vocab} tokens of the vocabulary: the sda sampler goes \
                 first in the chain, before any sampler that drops tokens",
                candidates.len()
            ),
        });
    }
    row.clear();
    let mut in_order = true;
    row.extend(candidates.iter().enumerate().map(|(i, candidate)| {
        in_order &= candidate.id as usize == i;
        candidate.logit
    }));
    if in_order {
        return Ok(true);
    }
    // NaN marks a token that was not there; a NaN that a candidate brings is an error all the same.
    row.fill(f32::NAN);
    for candidate in candidates {
        let id = candidate.id;
        let slot = usize::try_from(id).ok().and_then(|id| row.get_mut(id));
        *slot.ok_or_else(|| Error::Candidates {
            reason: format!("token id {id} is out of range, must be at least 0 and below {n_vocab}"),
        })? = candidate.logit;
    }
    if let Some(missing) = row.iter().position(|logit| logit.is_nan()) {
        return Err(Error::Candidates {
            reason: format!("token {missing} has no logit (missing, or NaN); every token must be there once"),
        });
    }
    Ok(false)
}

/// Logits at a few tokens spread over the vocabulary.
pub(super) fn probe(row: &[f32]) -> [f32; PROBES] {
    std::array::from_fn(|i| row[i * row.len() / PROBES])
}

/// Samplers earlier in the chain may have masked or moved some logits, so rows are distinguished only
/// when all probes agree with the wrong one.
pub(super) fn check_row(probes: &[f32; PROBES], pair: &Pair, plain: &[f32]) -> Result<()> {
    if *probes == probe(plain) && *probes != probe(&pair.logits(Side::Instructed)?) {
        return Err(Error::State {
            reason: format!(
                "these are the plain branch's logits (row {:?}); sample from the instructed row {:?}",
                pair.row(Side::Plain),
                pair.row(Side::Instructed)
            ),
        });
    }
    Ok(())
}

/// A host that samples again from the same logits is fine; one that continued without an accept would be
/// steered by a plain branch that stayed behind.
pub(super) fn check_accepted(before: Option<&[f32; PROBES]>, now: &[f32; PROBES]) -> Result<()> {
    let Some(before) = before else { return Ok(()) };
    let same = |(a, b): (&f32, &f32)| a == b || !a.is_finite() || !b.is_finite();
    if before.iter().zip(now).all(same) {
        return Ok(());
    }
    Err(Error::State {
        reason: "the logits moved on but no token was accepted: call llama_sampler_accept after each token"
            .into(),
    })
}
