//! The plain branch of a drop-in sampler: a second context of the same model that follows the host.
//!
//! The host keeps its decode loop as it was. The plain branch lives in a context of its own (same
//! weights, own KV cache), remembers the tokens that were accepted, and catches up when logits are
//! asked for.

use super::sequence::{Sequence, check_prompt};
use crate::error::{Error, Result};
use crate::host::{Context, Logits, Token};

/// The plain branch in a context of its own. May move between threads; not used by two at once.
pub struct DropIn {
    context: Context,
    /// The plain prompt, and what was accepted since.
    tokens: Vec<Token>,
    /// Length of the prompt.
    n_prompt: usize,
    /// What of the tokens was read.
    sequence: Sequence,
}

impl DropIn {
    /// Makes the second context through the host. Nothing is decoded before logits are asked for.
    pub fn new(host_context: &Context, prompt: &[Token]) -> Result<DropIn> {
        check_prompt("plain", prompt)?;
        let context = host_context.sibling()?;
        Ok(DropIn { context, tokens: prompt.to_vec(), n_prompt: prompt.len(), sequence: Sequence::new(0) })
    }

    /// A branch at the same point, in a third context, which reads the tokens again when first used.
    pub fn fork(&self) -> Result<DropIn> {
        let mut fork = DropIn::new(&self.context, &self.tokens)?;
        fork.n_prompt = self.n_prompt;
        Ok(fork)
    }

    /// Number of tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        self.context.n_vocab()
    }

    /// The branch's own context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Takes note of a token that the host chose.
    pub fn accept(&mut self, token: Token) {
        self.tokens.push(token);
    }

    /// Goes back to the prompt.
    pub fn reset(&mut self) {
        self.tokens.truncate(self.n_prompt);
    }

    /// Starts over with another prompt; what it has in common with the old tokens is not decoded again.
    pub fn set_prompt(&mut self, prompt: &[Token]) -> Result<()> {
        check_prompt("plain", prompt)?;
        self.tokens = prompt.to_vec();
        self.n_prompt = prompt.len();
        Ok(())
    }

    /// Logits after the last accepted token, `n_vocab` values. What was not read yet is read now.
    pub fn logits(&mut self) -> Result<Logits<'_>> {
        if self.sequence.row().is_none() || self.sequence.tokens() != self.tokens {
            self.catch_up()?;
        }
        self.sequence.logits(&self.context)
    }

    fn catch_up(&mut self) -> Result<()> {
        let (needed, available) = (self.tokens.len(), self.context.n_ctx_seq());
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        let read = self.sequence.read(&mut self.context, &self.tokens, &mut |_, _| true);
        read.map(|_| ()).map_err(|error| {
            // The first error is the one to report.
            let _ = self.sequence.clear(&mut self.context);
            match error {
                Error::ContextFull { .. } => Error::ContextFull { needed, available },
                other => other,
            }
        })
    }
}
