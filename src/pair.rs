//! The prompt pair: a plain and an instructed sequence in one context, fed with the same tokens.
//!
//! The tokens that both prompts begin with are decoded once and shared through the KV cache; after
//! that every step decodes one token in both sequences with a single batch of two rows, so the weights
//! are read once for both branches.

use crate::error::{Error, Result};
use crate::host::{Context, Row, SeqId, Token};

/// Rows of one decode while a prompt is read: small enough that progress and cancelling are prompt.
const PREFILL_ROWS: usize = 512;

/// One of the two branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The query alone.
    Plain,
    /// The query and the instruction.
    Instructed,
}

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

struct Branch {
    seq: SeqId,
    /// What the KV cache holds of this sequence, in order.
    tokens: Vec<Token>,
    /// Row of the last decode that holds this branch's logits.
    row: Option<i32>,
}

impl Branch {
    fn new(seq: SeqId) -> Branch {
        Branch { seq, tokens: Vec::new(), row: None }
    }

    fn next_row(&self, token: Token) -> Row {
        Row { token, pos: self.tokens.len() as i32, seq: self.seq, wants_logits: 1 }
    }
}

/// Two sequences of one context that hold different prompts and the same generated tokens.
///
/// Logits are valid until anything else is decoded in the context. May move between threads; not used
/// by two at once.
pub struct Pair {
    context: Context,
    plain: Branch,
    instructed: Branch,
}

impl Pair {
    /// Takes over two sequences of a context, and empties them.
    pub fn new(mut context: Context, plain: SeqId, instructed: SeqId) -> Result<Pair> {
        context.check_seq("plain_seq", plain)?;
        context.check_seq("instructed_seq", instructed)?;
        if plain == instructed {
            return Err(Error::param("instructed_seq", instructed, "different from plain_seq"));
        }
        context.seq_truncate(plain, 0)?;
        context.seq_truncate(instructed, 0)?;
        Ok(Pair { context, plain: Branch::new(plain), instructed: Branch::new(instructed) })
    }

    /// The context that both sequences live in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sequence id of a branch.
    pub fn seq(&self, side: Side) -> SeqId {
        self.branch(side).seq
    }

    /// Tokens that the cache holds of a branch.
    pub fn tokens(&self, side: Side) -> &[Token] {
        &self.branch(side).tokens
    }

    /// Row of the last decode that holds a branch's logits: the `idx` for `llama_sampler_sample`.
    pub fn row(&self, side: Side) -> Option<i32> {
        self.branch(side).row
    }

    /// Logits of a branch after its last token, `n_vocab` values, valid until the next decode.
    pub fn logits(&self, side: Side) -> Result<&[f32]> {
        let row = self.branch(side).row.ok_or_else(|| Error::State {
            reason: format!("the {side:?} branch has no logits, prefill or step it first"),
        })?;
        self.context.logits(row)
    }

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

    /// Appends one token to both branches with a single decode of two rows.
    ///
    /// A full context is [`Error::ContextFull`] and changes nothing in the cache. After another failure
    /// both branches are as they were, or empty where the memory cannot be rewound.
    pub fn step(&mut self, token: Token) -> Result<()> {
        let longest = self.plain.tokens.len().max(self.instructed.tokens.len()) + 1;
        self.check_length(longest)?;
        let rows = [self.plain.next_row(token), self.instructed.next_row(token)];
        self.decode_step(&rows)?;
        for (row, branch) in [&mut self.plain, &mut self.instructed].into_iter().enumerate() {
            branch.tokens.push(token);
            branch.row = Some(row as i32);
        }
        Ok(())
    }

    /// Appends one token to one branch only, as when the plain draft is written. The branches agree
    /// again after the next [`Pair::prefill`].
    pub fn step_one(&mut self, side: Side, token: Token) -> Result<()> {
        self.check_length(self.branch(side).tokens.len() + 1)?;
        let row = self.branch(side).next_row(token);
        self.decode_step(&[row])?;
        let branch = self.branch_mut(side);
        branch.tokens.push(token);
        branch.row = Some(0);
        Ok(())
    }

    /// Copies both branches to two other sequences of the same context: the start of a second answer
    /// to the same prompts. Both then have the same logits, until the next decode.
    pub fn fork(&mut self, plain: SeqId, instructed: SeqId) -> Result<Pair> {
        for (field, seq) in [("plain_seq", plain), ("instructed_seq", instructed)] {
            if seq == self.plain.seq || seq == self.instructed.seq {
                return Err(Error::param(field, seq, "a sequence that the first pair does not use"));
            }
        }
        let mut fork = Pair::new(self.context.alias(), plain, instructed)?;
        for side in [Side::Plain, Side::Instructed] {
            self.context.seq_cp(self.seq(side), fork.seq(side), -1, -1)?;
            fork.branch_mut(side).tokens = self.branch(side).tokens.clone();
            fork.branch_mut(side).row = self.branch(side).row;
        }
        Ok(fork)
    }

    /// Empties both sequences.
    pub fn clear(&mut self) -> Result<()> {
        for side in [Side::Plain, Side::Instructed] {
            let seq = self.seq(side);
            self.context.seq_truncate(seq, 0)?;
            *self.branch_mut(side) = Branch::new(seq);
        }
        Ok(())
    }

    fn branch(&self, side: Side) -> &Branch {
        match side {
            Side::Plain => &self.plain,
            Side::Instructed => &self.instructed,
        }
    }

    fn branch_mut(&mut self, side: Side) -> &mut Branch {
        match side {
            Side::Plain => &mut self.plain,
            Side::Instructed => &mut self.instructed,
        }
    }

    fn forget_rows(&mut self) {
        self.plain.row = None;
        self.instructed.row = None;
    }

    fn decode_step(&mut self, rows: &[Row]) -> Result<()> {
        self.forget_rows();
        let Err(error) = self.context.decode(rows) else { return Ok(()) };
        let error = self.full_context(error);
        if !matches!(error, Error::ContextFull { .. }) {
            // An aborted decode leaves the rows that it has done in the cache. The first error is the one to
            // report.
            for side in [Side::Plain, Side::Instructed] {
                let (seq, held) = (self.seq(side), self.tokens(side).len());
                if !self.context.seq_truncate(seq, held).unwrap_or(false) {
                    let _ = self.clear();
                    break;
                }
            }
        }
        Err(error)
    }

    fn check_room(&self, needed: usize, longest: usize) -> Result<()> {
        let available = self.context.n_ctx();
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        self.check_length(longest)
    }

    fn check_length(&self, needed: usize) -> Result<()> {
        let available = self.context.n_ctx_seq();
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        Ok(())
    }

    /// The host only says that there was no room; this says how much was asked of how much.
    fn full_context(&self, error: Error) -> Error {
        match error {
            Error::ContextFull { needed, .. } => Error::ContextFull {
                needed: needed + self.plain.tokens.len() + self.instructed.tokens.len(),
                available: self.context.n_ctx(),
            },
            other => other,
        }
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
            let gone = self.tokens(donor).len() > shared && self.context.seq_pos_min(self.seq(donor)) > 0;
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
        if keep < held && self.context.seq_pos_min(seq) > 0 {
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
            for &(side, token) in body[done.min(body.len())..end.min(body.len())].iter() {
                let row = Row { wants_logits: 0, ..self.branch(side).next_row(token) };
                self.branch_mut(side).tokens.push(token);
                rows.push(row);
            }
            if end == total {
                for &(side, token) in last {
                    let row = self.branch(side).next_row(token);
                    let branch = self.branch_mut(side);
                    branch.tokens.push(token);
                    branch.row = Some(rows.len() as i32);
                    rows.push(row);
                }
            }
            self.context.decode(&rows)?;
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
