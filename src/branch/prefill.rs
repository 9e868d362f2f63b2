//! Reading prompts into a pair: the tokens that both begin with once, what the cache holds not again.

use super::pair::{Pair, Side};
use super::reading::Reading;
use super::sequence::Progress;
use crate::error::Result;
use crate::host::Token;

/// What reading a prompt pair cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefill {
    /// Tokens at the start of all prompts that were in the cache once and serve all of them.
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
        self.prefill_many(plain, instructed, &[], progress)
    }

    /// As [`Pair::prefill`], with prompts that hold a single instruction each, at most [`Pair::max_singles`]. These
    /// branches are then in use: they have logits, and are stepped with the others. Branches without a prompt
    /// are emptied.
    ///
    /// Where the instructed prompt is the plain one, because no instruction is asked for, one branch serves both.
    pub fn prefill_many(
        &mut self,
        plain: &[Token],
        instructed: &[Token],
        singles: &[&[Token]],
        progress: Progress,
    ) -> Result<Prefill> {
        let reading = Reading::of_all(self, plain, instructed, singles, &[])?;
        reading.run(self, progress)
    }

    /// Reads a prompt into one branch only; the others keep what they have but no logits.
    ///
    /// # Panics
    /// As [`Pair::seq`].
    pub fn prefill_one(&mut self, side: Side, tokens: &[Token], progress: Progress) -> Result<Prefill> {
        let reading = Reading::of_one(self, side, tokens, &[])?;
        reading.run(self, progress)
    }
}
