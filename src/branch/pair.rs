//! The prompt pair: a plain and an instructed sequence in one context, fed with the same tokens.

use super::sequence::Sequence;
use crate::error::{Error, Result};
use crate::host::{Context, Logits, SeqId, Token};

/// One of the two branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The query alone.
    Plain,
    /// The query and the instruction.
    Instructed,
}

/// The branches that are meant: one, or both.
pub(super) fn sides(only: Option<Side>) -> impl Iterator<Item = Side> {
    [Side::Plain, Side::Instructed].into_iter().filter(move |&side| only.is_none_or(|only| only == side))
}

/// Two sequences of one context that hold different prompts and the same generated tokens.
///
/// Logits are valid until anything else is decoded in the context, and refused afterwards. May move between
/// threads; not used by two at once.
pub struct Pair {
    pub(super) context: Context,
    pub(super) plain: Sequence,
    pub(super) instructed: Sequence,
    /// The most tokens that a branch may hold.
    limit: usize,
}

impl Pair {
    /// Takes over two sequences of a context, and empties them.
    pub fn new(context: Context, plain: SeqId, instructed: SeqId) -> Result<Pair> {
        context.check_seq("plain_seq", plain)?;
        context.check_seq("instructed_seq", instructed)?;
        if plain == instructed {
            return Err(Error::param("instructed_seq", instructed, "different from plain_seq"));
        }
        let limit = context.n_ctx_seq();
        let (plain, instructed) = (Sequence::new(plain), Sequence::new(instructed));
        let mut pair = Pair { context, plain, instructed, limit };
        pair.clear()?;
        Ok(pair)
    }

    /// Lets each branch hold this many tokens at most, if the context has room for them: so pairs that share
    /// a context cannot take each other's cells.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Error if a branch (None: one of both) has reached the most tokens that it may hold.
    pub fn check_next(&self, side: Option<Side>) -> Result<()> {
        sides(side).try_for_each(|side| self.check_length(self.tokens(side).len() + 1))
    }

    /// The context that both sequences live in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sequence id of a branch.
    pub fn seq(&self, side: Side) -> SeqId {
        self.sequence(side).id()
    }

    /// Tokens that the cache holds of a branch.
    pub fn tokens(&self, side: Side) -> &[Token] {
        self.sequence(side).tokens()
    }

    /// Row of the last decode that holds a branch's logits: the `idx` for `llama_sampler_sample`. None before
    /// the first, and after something else was decoded in the context.
    pub fn row(&self, side: Side) -> Option<i32> {
        let row = self.sequence(side).row().filter(|&row| self.context.is_current(row))?;
        Some(row.index())
    }

    /// Logits of a branch after its last token, `n_vocab` values. While they are borrowed, nothing can be
    /// decoded in the context; [`Error::State`] if something else was decoded in it since.
    pub fn logits(&self, side: Side) -> Result<Logits<'_>> {
        let row = self.sequence(side).row().ok_or_else(|| Error::State {
            reason: format!("the {side:?} branch has no logits, prefill or step it first"),
        })?;
        self.context.logits(row)
    }

    /// Copies both branches to two other sequences of the same context: the start of a second answer
    /// to the same prompts. Both then have the same logits, until the next decode.
    pub fn fork(&mut self, plain: SeqId, instructed: SeqId) -> Result<Pair> {
        for (field, seq) in [("plain_seq", plain), ("instructed_seq", instructed)] {
            if seq == self.plain.id() || seq == self.instructed.id() {
                return Err(Error::param(field, seq, "a sequence that the first pair does not use"));
            }
        }
        let mut fork = Pair::new(self.context.clone(), plain, instructed)?;
        fork.limit = self.limit;
        fork.plain.fork(&mut self.context, &self.plain)?;
        fork.instructed.fork(&mut self.context, &self.instructed)?;
        Ok(fork)
    }

    /// Empties both sequences.
    pub fn clear(&mut self) -> Result<()> {
        self.plain.clear(&mut self.context)?;
        self.instructed.clear(&mut self.context)
    }

    pub(super) fn sequence(&self, side: Side) -> &Sequence {
        match side {
            Side::Plain => &self.plain,
            Side::Instructed => &self.instructed,
        }
    }

    /// The context and one of the sequences, to work with.
    pub(super) fn split(&mut self, side: Side) -> (&mut Context, &mut Sequence) {
        let sequence = match side {
            Side::Plain => &mut self.plain,
            Side::Instructed => &mut self.instructed,
        };
        (&mut self.context, sequence)
    }

    pub(super) fn forget_rows(&mut self) {
        self.plain.forget_row();
        self.instructed.forget_row();
    }

    /// An aborted decode leaves the rows that it has done in the cache: drops what the branches do not hold.
    /// The error of that decode is the one to report, so a failure here is none.
    pub(super) fn drop_unfinished(&mut self) {
        let context = &mut self.context;
        if !(self.plain.drop_unfinished(context) && self.instructed.drop_unfinished(context)) {
            let _ = self.clear();
        }
    }

    pub(super) fn check_length(&self, needed: usize) -> Result<()> {
        let available = self.limit.min(self.context.n_ctx_seq());
        if needed > available {
            return Err(Error::ContextFull { needed, available });
        }
        Ok(())
    }

    /// Tokens that both branches hold together.
    pub(super) fn held(&self) -> usize {
        self.plain.len() + self.instructed.len()
    }

    /// The host only says that there was no room; this says how much was asked of how much.
    pub(super) fn full_context(&self, error: Error) -> Error {
        self.full_with(error, self.held())
    }

    /// [`Pair::full_context`] when `held` tokens, of this pair and of others, were there already.
    pub(super) fn full_with(&self, error: Error, held: usize) -> Error {
        match error {
            Error::ContextFull { needed, .. } => {
                Error::ContextFull { needed: needed + held, available: self.context.n_ctx() }
            }
            other => other,
        }
    }
}
