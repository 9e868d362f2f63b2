//! What both branches think of a text that is given: the rows of logits before each of its tokens.

use super::pair::{Pair, Side};
use crate::error::{Error, Result};
use crate::host::{Row, Token};

/// Rows of one decode: each wants its logits, and a large vocabulary makes many of them expensive.
const LOGIT_ROWS: usize = 64;

/// Called with the index of a token and the rows that it would be drawn from, plain and instructed.
pub type Visit<'a> = &'a mut dyn FnMut(usize, &[f32], &[f32]) -> Result<()>;

impl Pair {
    /// Follows `tokens` in both branches, and shows the rows of logits that stand before each of them.
    ///
    /// Both branches need logits, so a prefill goes before it. Afterwards they hold all of `tokens` but
    /// the last, and have no logits; the next prefill of the same prompts rewinds them, at the price of
    /// a token each. On an error both sequences are emptied.
    pub fn continuation(&mut self, tokens: &[Token], visit: Visit) -> Result<()> {
        if self.n_singles() > 0 {
            return Err(Error::State { reason: "a continuation is followed in two branches only".into() });
        }
        let Some((_, body)) = tokens.split_last() else { return Ok(()) };
        let longest = self.plain.len().max(self.instructed.len()) + body.len();
        self.check_length(longest)?;
        let first = visit(0, &self.logits(Side::Plain)?, &self.logits(Side::Instructed)?);
        first.and_then(|()| self.follow(body, visit)).map_err(|error| {
            let error = self.full_context(error);
            // The first error is the one to report.
            let _ = self.clear();
            error
        })
    }

    fn follow(&mut self, body: &[Token], visit: Visit) -> Result<()> {
        let chunk = (self.context.n_batch().min(LOGIT_ROWS) / 2).max(1);
        let mut rows: Vec<Row> = Vec::with_capacity(2 * chunk);
        self.forget_rows();
        for (n, tokens) in body.chunks(chunk).enumerate() {
            rows.clear();
            for side in [Side::Plain, Side::Instructed] {
                for &token in tokens {
                    rows.push(self.sequence(side).next_row(token, true));
                    self.split(side).1.push(token, None);
                }
            }
            if rows.len() > self.context.n_batch() {
                return Err(Error::param("n_batch", self.context.n_batch(), "at least 2"));
            }
            let decoded = self.context.decode(&rows)?;
            for i in 0..tokens.len() {
                let plain = self.context.logits(decoded.row(i))?;
                let instructed = self.context.logits(decoded.row(tokens.len() + i))?;
                visit(n * chunk + i + 1, &plain, &instructed)?;
            }
        }
        Ok(())
    }
}
