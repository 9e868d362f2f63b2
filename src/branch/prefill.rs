//! Reading prompts into a pair: the tokens that both begin with once, what the cache holds not again.

use super::{Pair, Side};
use crate::error::{Error, Result};
use crate::host::{Row, Token};

/// Rows of one decode while a prompt is read: small enough that progress and cancelling are prompt.
const PREFILL_ROWS: usize = 512;

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

/// Called while a prompt is read, with the rows done and the rows in all; false stops.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> bool;

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
        let result = (|| {
            let reused = self.rewind(side, tokens, tokens.len() - 1)?;
            self.forget_rows();
            let rows: Vec<(Side, Token)> = tokens[reused..].iter().map(|&t| (side, t)).collect();
            let (body, last) = rows.split_at(rows.len() - 1);
            self.decode_all(body, last, progress)?;
            Ok(Prefill { shared: 0, decoded: tokens.len() - reused, reused })
        })();
        self.emptied_on_error(result)
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
        let mut kept = [
            self.rewind(Side::Plain, plain, plain.len() - 1)?,
            self.rewind(Side::Instructed, instructed, instructed.len() - 1)?,
        ];
        let unified = self.context.is_unified();
        if kept[0].min(kept[1]) < shared {
            let donor = if kept[0] >= kept[1] { Side::Plain } else { Side::Instructed };
            // Separate KV buffers can only be copied whole, into an empty sequence.
            let whole = !unified && kept != [0, 0];
            // A sliding window that has moved beyond the shared part has let go of its cells, and a recurrent
            // state cannot be had for an earlier position. Both show in the smallest position.
            let gone = self.tokens(donor).len() > shared && self.context.seq_pos_min(self.seq(donor))? > 0;
            if whole || gone {
                self.clear()?;
                kept = [0, 0];
            }
        }
        let reused = kept[0].max(kept[1]);
        self.forget_rows();
        let mut decoded = 0;
        if kept[0].min(kept[1]) < shared {
            // The branch that holds more of the shared part reads the rest of it, the other copies.
            let (donor, taker) = match kept[0] >= kept[1] {
                true => (Side::Plain, Side::Instructed),
                false => (Side::Instructed, Side::Plain),
            };
            let from = self.tokens(donor).len();
            if from < shared {
                let rows: Vec<(Side, Token)> = plain[from..shared].iter().map(|&t| (donor, t)).collect();
                decoded += rows.len();
                self.decode_all(&rows, &[], &mut |done, _| {
                    progress(done, rows.len() + plain.len() + instructed.len() - 2 * shared)
                })?;
            }
            let (p0, p1) = match unified {
                true => (self.tokens(taker).len() as i32, shared as i32),
                false => (-1, -1),
            };
            let (src, dst) = (self.seq(donor), self.seq(taker));
            self.context.seq_cp(src, dst, p0, p1)?;
            self.branch_mut(taker).tokens = plain[..shared].to_vec();
        }
        let rest = |side: Side, tokens: &[Token], pair: &Pair| -> Vec<(Side, Token)> {
            tokens[pair.tokens(side).len()..].iter().map(|&t| (side, t)).collect()
        };
        let plain_rows = rest(Side::Plain, plain, self);
        let instructed_rows = rest(Side::Instructed, instructed, self);
        let (plain_body, plain_last) = plain_rows.split_at(plain_rows.len() - 1);
        let (instructed_body, instructed_last) = instructed_rows.split_at(instructed_rows.len() - 1);
        let body = [plain_body, instructed_body].concat();
        let last = [plain_last, instructed_last].concat();
        let total = decoded + body.len() + last.len();
        let before = decoded;
        self.decode_all(&body, &last, &mut |done, _| progress(before + done, total))?;
        decoded = total;
        Ok(Prefill { shared, decoded, reused })
    }

    /// Drops what a branch holds beyond its common prefix with `tokens`, at most `limit` of it, and
    /// returns how much it still holds.
    fn rewind(&mut self, side: Side, tokens: &[Token], limit: usize) -> Result<usize> {
        let (seq, held) = (self.seq(side), self.tokens(side).len());
        let mut keep = common_prefix(self.tokens(side), tokens).min(limit);
        // A sliding-window cache has let go of its early positions: after rewinding, the window would
        // reach back into the gap. Such a branch is read anew.
        if keep < held && self.context.seq_pos_min(seq)? > 0 {
            keep = 0;
        }
        if keep < held && !self.context.seq_truncate(seq, keep)? {
            // Recurrent memory cannot forget its last tokens only.
            keep = 0;
            self.context.seq_truncate(seq, 0)?;
        }
        self.branch_mut(side).tokens.truncate(keep);
        Ok(keep)
    }

    /// Decodes `body` without logits, then `last` with them; all of `last` in the final decode, since
    /// logits do not outlive a decode.
    fn decode_all(
        &mut self,
        body: &[(Side, Token)],
        last: &[(Side, Token)],
        progress: Progress,
    ) -> Result<()> {
        let total = body.len() + last.len();
        let chunk = self.context.n_batch().min(PREFILL_ROWS);
        if last.len() > chunk {
            return Err(Error::param("n_batch", chunk, "at least 2"));
        }
        let mut rows = Vec::with_capacity(chunk);
        let mut done = 0;
        while done < total {
            if !progress(done, total) {
                return Err(Error::Cancelled);
            }
            let mut end = (done + chunk).min(total);
            if end > body.len() && end < total {
                // This decode would part the last rows: leave all of them to the next one.
                end = body.len();
            }
            rows.clear();
            let first = end.min(body.len()) - done.min(body.len());
            for &(side, token) in body[done.min(body.len())..end.min(body.len())].iter() {
                let row = Row { wants_logits: 0, ..self.branch(side).next_row(token) };
                self.branch_mut(side).tokens.push(token);
                rows.push(row);
            }
            if end == total {
                for &(side, token) in last {
                    let row = self.branch(side).next_row(token);
                    self.branch_mut(side).tokens.push(token);
                    rows.push(row);
                }
            }
            let decoded = self.context.decode(&rows)?;
            if end == total {
                for (i, &(side, _)) in last.iter().enumerate() {
                    self.branch_mut(side).row = Some(decoded.row(first + i));
                }
            }
            done = end;
        }
        progress(total, total);
        Ok(())
    }
}

fn check_prompt(name: &str, tokens: &[Token]) -> Result<()> {
    if tokens.is_empty() {
        return Err(Error::Prompt {
            reason: format!("the {name} prompt holds 0 tokens, must hold at least 1"),
        });
    }
    Ok(())
}

fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
