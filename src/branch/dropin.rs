//! The plain branch of a drop-in sampler: a second context of the same model that follows the host.
//!
//! The host keeps its decode loop as it was. The plain branch lives in a context of its own (same
//! weights, own KV cache), remembers the tokens that were accepted, and catches up when logits are
//! asked for.

use crate::error::{Error, Result};
use crate::host::{Context, Logits, LogitsRow, Row, Token};

/// Rows of one decode while the branch catches up.
const CATCH_UP_ROWS: usize = 512;

/// The plain branch in a context of its own.
pub struct DropIn {
    context: Context,
    /// The plain prompt.
    prompt: Vec<Token>,
    /// Tokens accepted since the prompt.
    accepted: Vec<Token>,
    /// How many of prompt and accepted tokens the context holds.
    held: usize,
    row: Option<LogitsRow>,
}

impl DropIn {
    /// Makes the second context through the host. Nothing is decoded before logits are asked for.
    pub fn new(host_context: &Context, prompt: &[Token]) -> Result<DropIn> {
        check_prompt(prompt)?;
        let context = host_context.sibling()?;
        Ok(DropIn { context, prompt: prompt.to_vec(), accepted: Vec::new(), held: 0, row: None })
    }

    /// A branch at the same point, in a third context, which reads the tokens again when first used.
    pub fn fork(&self) -> Result<DropIn> {
        let mut fork = DropIn::new(&self.context, &self.prompt)?;
        fork.accepted.clone_from(&self.accepted);
        Ok(fork)
    }

    /// Number of tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        self.context.n_vocab()
    }

    /// Functions of the host.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Takes note of a token that the host chose.
    pub fn accept(&mut self, token: Token) {
        self.accepted.push(token);
    }

    /// Goes back to the prompt.
    pub fn reset(&mut self) -> Result<()> {
        self.accepted.clear();
        self.rewind(self.prompt.len())
    }

    /// Starts over with another prompt; what it has in common with the old tokens stays decoded.
    pub fn set_prompt(&mut self, prompt: &[Token]) -> Result<()> {
        check_prompt(prompt)?;
        let old = self.prompt.iter().chain(&self.accepted);
        let common = old.zip(prompt).take_while(|(a, b)| a == b).count();
        self.rewind(common)?;
        self.prompt = prompt.to_vec();
        self.accepted.clear();
        Ok(())
    }

    /// Logits after the last accepted token, `n_vocab` values.
    pub fn logits(&mut self) -> Result<Logits<'_>> {
        if self.row.is_none() || self.held < self.len() {
            self.catch_up()?;
        }
        let row = self.row.ok_or_else(|| Error::State { reason: "the plain branch is empty".into() })?;
        self.context.logits(row)
    }

    fn len(&self) -> usize {
        self.prompt.len() + self.accepted.len()
    }

    /// Keeps at most `keep` decoded tokens, and one less than all there are, so that the next decode
    /// gives logits.
    fn rewind(&mut self, keep: usize) -> Result<()> {
        let mut keep = keep.min(self.held);
        self.row = None;
        if keep < self.held {
            let gap = self.context.seq_pos_min(0)? > 0;
            if gap || !self.context.seq_truncate(0, keep)? {
                keep = 0;
                self.context.seq_truncate(0, 0)?;
            }
        }
        self.held = keep;
        Ok(())
    }

    fn catch_up(&mut self) -> Result<()> {
        let (needed, available) = (self.len(), self.context.n_ctx_seq());
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        if self.held == needed {
            self.rewind(needed - 1)?;
        }
        let rows: Vec<Row> = (self.prompt.iter().chain(&self.accepted).enumerate())
            .skip(self.held)
            .map(|(i, &token)| Row { token, pos: i as i32, seq: 0, wants_logits: i32::from(i + 1 == needed) })
            .collect();
        for chunk in rows.chunks(self.context.n_batch().min(CATCH_UP_ROWS)) {
            self.row = None;
            let decoded = self.context.decode(chunk).or_else(|error| {
                // How much of a failed decode stays in the cache is not defined: read all anew.
                self.held = 0;
                self.context.seq_truncate(0, 0)?;
                Err(match error {
                    Error::ContextFull { .. } => Error::ContextFull { needed, available },
                    other => other,
                })
            })?;
            self.held += chunk.len();
            self.row = Some(decoded.row(chunk.len() - 1));
        }
        Ok(())
    }
}

fn check_prompt(prompt: &[Token]) -> Result<()> {
    if prompt.is_empty() {
        return Err(Error::Prompt { reason: "the plain prompt holds 0 tokens, must hold at least 1".into() });
    }
    Ok(())
}
