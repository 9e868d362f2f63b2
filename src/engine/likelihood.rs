//! Texts that are given instead of generated: how likely is each under either branch, or steered?

use super::single::Engine;
use super::types::Prompts;
use crate::branch::{Prefill, Visit};
use crate::error::Result;
use crate::host::Token;

impl Engine {
    /// Reads both prompts and follows `continuation` in both branches. `visit` gets, for each of its
    /// tokens, the two rows of logits that the token would have been drawn from; from these follows the
    /// likelihood of the text under the plain, the instructed and any steered distribution, all from one
    /// pass of the model.
    ///
    /// What the cache holds of the prompts is used again, so many continuations of the same prompts,
    /// or of prompts that begin alike, cost little more than their own tokens.
    pub fn continuation(
        &mut self,
        prompts: &Prompts,
        continuation: &[Token],
        visit: Visit,
    ) -> Result<Prefill> {
        let mut pair = self.pair()?;
        let prefill = pair.prefill(&prompts.plain, &prompts.instructed, &mut |_, _| true)?;
        pair.continuation(continuation, visit)?;
        Ok(prefill)
    }
}
