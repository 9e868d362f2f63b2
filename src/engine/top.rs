//! The most likely tokens of each distribution, for records that are looked at later.

use crate::branch::{Pair, Side};
use crate::error::Result;
use crate::host::{Logits, Token};
use crate::llama::Model;
use crate::params::Params;
use crate::sampler::steer_pair;
use crate::steer::{Nucleus, Step, Weights, steer};

/// A token and how likely a distribution makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedToken {
    /// Token id.
    pub token: Token,
    /// Its text; bytes that are not UTF-8 by themselves are written as `\xE4`.
    pub text: String,
    /// Log-probability in nats.
    pub logprob: f64,
}

/// The most likely tokens of a step, the likeliest first. All log-probabilities are untempered, so that
/// the distributions can be compared. None for a branch that the arm does not run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopTokens {
    /// Of the plain branch.
    pub plain: Option<Vec<RankedToken>>,
    /// Of the instructed branch.
    pub instructed: Option<Vec<RankedToken>>,
    /// Of the steered distribution, before the samplers that follow the steering.
    pub steered: Option<Vec<RankedToken>>,
    /// Log-probability of the token that was drawn, in the distribution that it was drawn from, in nats.
    pub logprob: f64,
}

/// The `n` most likely tokens of the present step in each distribution; None for 0. `drawn` is the token that was
/// drawn, `weights` and `params` are those in force. Costs a run of the kernel and a pass over the vocabulary for each
/// distribution.
pub(super) fn top_tokens(
    model: &Model,
    pair: &Pair,
    n: usize,
    drawn: Token,
    weights: &Weights,
    params: &Params,
) -> Result<Option<TopTokens>> {
    if n == 0 {
        return Ok(None);
    }
    let row = |side| match pair.row(side) {
        Some(_) => pair.logits(side).map(Some),
        None => Ok(None),
    };
    let (plain, instructed) = (row(Side::Plain)?, row(Side::Instructed)?);
    let untempered = Params { temperature: 1.0, sigma: f32::INFINITY, t_min: 0.0, ..*params };
    let unsteered = Params { amplification: 0.0, ..untempered };
    let mut logprobs = vec![0.0; model.n_vocab()];
    let mut nucleus = Nucleus::default();
    let mut rank = |write: &mut dyn FnMut(&mut [f32]) -> Result<Step>| {
        write(&mut logprobs)?;
        let ranked = nucleus.select(&logprobs, n, 1.0).map(|(token, logprob)| RankedToken {
            token: token as Token,
            text: printable(&model.piece(token as Token)),
            logprob: logprob.into(),
        });
        Ok(ranked.collect::<Vec<RankedToken>>())
    };
    let mut alone = |row: &Option<Logits>| {
        row.as_ref().map(|row| rank(&mut |to| steer(row, row, &unsteered, to))).transpose()
    };
    let top = TopTokens { plain: alone(&plain)?, instructed: alone(&instructed)?, ..TopTokens::default() };
    let is_steered = plain.is_some() && instructed.is_some();
    let steered =
        is_steered.then(|| rank(&mut |to| steer_pair(pair, weights, &untempered, to))).transpose()?;
    // The last distribution that was written is the one that the token is of.
    let logprob = logprobs[drawn as usize].into();
    Ok(Some(TopTokens { steered, logprob, ..top }))
}

fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_shown_by_its_bytes() {
        assert_eq!(printable("né".as_bytes()), "né");
        assert_eq!(printable(b"a\xE4\xBD"), "a\\xE4\\xBD");
    }
}
