//! Reading prompts into a pair: the tokens that both begin with once, what the cache holds not again.

use super::pair::{Pair, Side};
use super::sequence::{Part, Progress, check_prompt, common_prefix, read_parts};
use crate::error::{Error, Result};
use crate::host::Token;

/// What reading a prompt pair cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefill {
    /// Tokens at the start of both prompts that were in the cache once and serve both.
    pub shared: usize,
    /// Tokens that were decoded.
    pub decoded: usize,
    /// Tokens that were in the cache from earlier calls.
    pub reused: usize,
}

impl Pair {
    /// Reads both prompts. What the cache already holds of them is kept, the tokens that both begin
    /// with are decoded once. Afterwards both branches have logits.
    ///
    /// On an error both sequences are emptied, so nothing half-read remains.
    pub fn prefill(&mut self, plain: &[Token], instructed: &[Token], progress: Progress) -> Result<Prefill> {
        check_prompt("plain", plain)?;
        check_prompt("instructed", instructed)?;
        // The last token of each prompt is decoded for its own branch, whose logits it gives.
        let shared = common_prefix(plain, instructed).min(plain.len() - 1).min(instructed.len() - 1);
        let needed = plain.len() + instructed.len() - if self.context.is_unified() { shared } else { 0 };
        self.check_room(needed, plain.len().max(instructed.len()))?;
        let result = self.read_pair(plain, instructed, shared, progress);
        self.emptied_on_error(result)
    }

    /// Reads a prompt into one branch only; the other keeps what it has but no logits.
    pub fn prefill_one(&mut self, side: Side, tokens: &[Token], progress: Progress) -> Result<Prefill> {
        check_prompt(if side == Side::Plain { "plain" } else { "instructed" }, tokens)?;
        self.check_room(tokens.len(), tokens.len())?;
        self.forget_rows();
        let (context, sequence) = self.split(side);
        let result = sequence.read(context, tokens, progress);
        let reused = self.emptied_on_error(result)?;
        Ok(Prefill { shared: 0, decoded: tokens.len() - reused, reused })
    }

    fn check_room(&self, needed: usize, longest: usize) -> Result<()> {
        let available = self.context.n_ctx();
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        self.check_length(longest)
    }

    fn emptied_on_error<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let error = self.full_context(error);
            // The first error is the one to report; a failing clean-up would only hide it.
            let _ = self.clear();
            error
        })
    }

    fn read_pair(
        &mut self,
        plain: &[Token],
        instructed: &[Token],
        shared: usize,
        progress: Progress,
    ) -> Result<Prefill> {
        let reused = self.rewind_both(plain, instructed, shared)?;
        self.forget_rows();
        let own_rows = plain.len() + instructed.len() - 2 * shared;
        let decoded = self.share(&plain[..shared], &mut |done, total| progress(done, total + own_rows))?;
        let [plain, instructed] =
            [(&mut self.plain, plain), (&mut self.instructed, instructed)].map(|(sequence, tokens)| {
                let held = sequence.len();
                Part { sequence, tokens: &tokens[held..] }
            });
        let total = decoded + plain.tokens.len() + instructed.tokens.len();
        let parts = &mut [plain, instructed];
        read_parts(&mut self.context, parts, true, &mut |done, _| progress(decoded + done, total))?;
        Ok(Prefill { shared, decoded: total, reused })
    }

    /// Drops what the branches hold beyond their prompts, and all of it if that is in the way of sharing the
    /// first `shared` tokens. Returns how many tokens of the longer one were kept.
    fn rewind_both(&mut self, plain: &[Token], instructed: &[Token], shared: usize) -> Result<usize> {
        let kept = [
            self.plain.rewind(&mut self.context, plain, plain.len() - 1)?,
            self.instructed.rewind(&mut self.context, instructed, instructed.len() - 1)?,
        ];
        if kept[0].min(kept[1]) >= shared {
            return Ok(kept[0].max(kept[1]));
        }
        let donor = if kept[0] >= kept[1] { &self.plain } else { &self.instructed };
        // Separate KV buffers can only be copied whole, into an empty sequence.
        let whole = !self.context.is_unified() && kept != [0, 0];
        // A sliding window that has moved beyond the shared part has let go of its cells, and a recurrent
        // state cannot be had for an earlier position. Both show in the smallest position.
        let gone = donor.len() > shared && self.context.seq_pos_min(donor.id())? > 0;
        if whole || gone {
            self.clear()?;
            return Ok(0);
        }
        Ok(kept[0].max(kept[1]))
    }

    /// Makes both branches hold `shared`: the one that holds more of it reads the rest, the other copies.
    /// Returns how many tokens were decoded.
    fn share(&mut self, shared: &[Token], progress: Progress) -> Result<usize> {
        let (donor, taker) = if self.plain.len() >= self.instructed.len() {
            (&mut self.plain, &mut self.instructed)
        } else {
            (&mut self.instructed, &mut self.plain)
        };
        if taker.len() >= shared.len() {
            return Ok(0);
        }
        let rest = shared.get(donor.len()..).unwrap_or_default();
        if !rest.is_empty() {
            let part = Part { sequence: donor, tokens: rest };
            read_parts(&mut self.context, &mut [part], false, progress)?;
        }
        taker.copy(&mut self.context, donor, shared.len())?;
        Ok(rest.len())
    }
}
