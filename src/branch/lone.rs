//! A sequence that belongs to no pair and reads a text of its own, a decode at a time, while pairs of the same context are
//! stepped.

use super::sequence::{Feed, Sequence};
#[cfg(feature = "bundled")]
use crate::error::Error;
use crate::error::Result;
use crate::host::{Context, Decoded, Row};
#[cfg(feature = "bundled")]
use crate::host::{Logits, SeqId, Token};

/// A sequence and what it is reading.
pub(crate) struct Lone {
    pub(super) context: Context,
    sequence: Sequence,
    feed: Feed,
}

impl Lone {
    /// Appends the rows of its next decode, at most so many. Returns how many.
    pub(super) fn rows(&self, most: usize, rows: &mut Vec<Row>) -> usize {
        self.feed.rows(&[&self.sequence], most, rows)
    }

    /// Takes note that `n` of its rows were decoded, the first of them as row `first`.
    pub(super) fn decoded(&mut self, n: usize, decoded: Decoded, first: usize) -> Result<()> {
        self.context.note(decoded)?;
        self.feed.decoded(&mut [&mut self.sequence], n, decoded, first);
        Ok(())
    }

    /// Tokens that the cache holds.
    pub(super) fn held(&self) -> usize {
        self.sequence.len()
    }

    /// Empties the sequence.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.feed = Feed::none();
        self.sequence.clear(&mut self.context)
    }

    /// Drops what an aborted decode has left. The error of that decode is the one to report, so a failure here is none.
    pub(super) fn drop_unfinished(&mut self) {
        if !self.sequence.drop_unfinished(&mut self.context) {
            let _ = self.clear();
        }
    }
}

/// What the engine does with it.
#[cfg(feature = "bundled")]
impl Lone {
    /// Takes over a sequence of a context, which must be empty.
    pub(crate) fn new(context: Context, seq: SeqId) -> Lone {
        Lone { context, sequence: Sequence::new(seq), feed: Feed::none() }
    }

    /// Starts to read `tokens`, at least one. Nothing is decoded yet. What it holds of the first `keep` of them is kept.
    pub(crate) fn begin(&mut self, tokens: &[Token], keep: usize) -> Result<()> {
        let (needed, available) = (tokens.len(), self.context.n_ctx_seq().min(self.context.n_ctx()));
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        let kept = self.sequence.rewind(&mut self.context, tokens, keep.min(needed - 1))?;
        self.feed = Feed::new([&tokens[kept..]].into_iter(), true);
        Ok(())
    }

    /// Rows that were decoded, and all of them.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.feed.done(), self.feed.total())
    }

    /// True if all is read, and there are logits.
    pub(crate) fn is_done(&self) -> bool {
        self.feed.done() >= self.feed.total()
    }

    /// Logits after the last token, until the next decode in the context.
    pub(crate) fn logits(&self) -> Result<Logits<'_>> {
        self.sequence.logits(&self.context)
    }
}
