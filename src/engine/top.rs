//! The most likely tokens of each distribution, for records that are looked at later.

use super::{Engine, Generation};
use crate::error::Result;
use crate::host::Token;
use crate::pair::{Pair, Side};
use crate::params::Params;
use crate::steer::steer;

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
}

impl Engine<'_> {
    /// The most likely tokens of the present step, or None if they are not asked for. `params` are those
    /// in force. Costs a run of the kernel and a pass over the vocabulary for each distribution.
    pub(super) fn top_tokens(
        &self,
        pair: &Pair,
        settings: &Generation,
        params: &Params,
    ) -> Result<Option<TopTokens>> {
        let n = settings.trace_top;
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
        let mut logprobs = vec![0.0; self.model.n_vocab()];
        let mut rank = |instructed: Option<&[f32]>, plain: Option<&[f32]>, params: &Params| {
            let (Some(instructed), Some(plain)) = (instructed, plain) else { return Ok(None) };
            steer(instructed, plain, params, &mut logprobs)?;
            let ranked = top(&logprobs, n).into_iter().map(|(token, logprob)| RankedToken {
                token,
                text: printable(&self.model.piece(token)),
                logprob: logprob.into(),
            });
            Ok(Some(ranked.collect()))
        };
        Ok(Some(TopTokens {
            plain: rank(plain, plain, &unsteered)?,
            instructed: rank(instructed, instructed, &unsteered)?,
            steered: rank(instructed, plain, &untempered)?,
        }))
    }
}

/// The `n` largest values above `-inf`, the largest first, of equal ones the lowest index first. One pass;
/// nearly every value is done with after one comparison.
fn top(values: &[f32], n: usize) -> Vec<(Token, f32)> {
    let mut kept: Vec<(Token, f32)> = Vec::with_capacity(n + 1);
    let mut least = f32::NEG_INFINITY;
    for (index, &value) in values.iter().enumerate() {
        if value > least {
            let rank = kept.partition_point(|&(_, other)| other >= value);
            kept.insert(rank, (index as Token, value));
            kept.truncate(n);
            if kept.len() == n {
                least = kept.last().map_or(f32::INFINITY, |&(_, value)| value);
            }
        }
    }
    kept
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

    /// What [`top`] says, by sorting everything.
    fn sorted(values: &[f32], n: usize) -> Vec<(Token, f32)> {
        let mut all: Vec<(Token, f32)> = (0..).zip(values.iter().copied()).collect();
        all.retain(|(_, value)| *value > f32::NEG_INFINITY);
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(n);
        all
    }

    #[test]
    fn the_top_is_what_sorting_gives() {
        // Many equal values, and some masked ones, in no order.
        let values: Vec<f32> = (0..5000_u32)
            .map(|i| match i.wrapping_mul(2_654_435_761) >> 22 {
                r if r % 17 == 0 => f32::NEG_INFINITY,
                r => r as f32 / -64.0,
            })
            .collect();
        let ascending: Vec<f32> = (0..300).map(|i| i as f32).collect();
        for n in [1, 2, 5, 100] {
            assert_eq!(top(&values, n), sorted(&values, n));
            assert_eq!(top(&ascending, n), sorted(&ascending, n));
        }
    }

    #[test]
    fn masked_tokens_are_never_among_the_top() {
        let values = [f32::NEG_INFINITY, -1.0, f32::NEG_INFINITY];
        assert_eq!(top(&values, 3), [(1, -1.0)]);
        assert_eq!(top(&values[..1], 3), []);
    }

    #[test]
    fn half_a_character_is_shown_by_its_bytes() {
        assert_eq!(printable("né".as_bytes()), "né");
        assert_eq!(printable(b"a\xE4\xBD"), "a\\xE4\\xBD");
    }
}
