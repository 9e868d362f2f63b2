//! The prompt pair: a plain and an instructed sequence in one context, and further ones with several instructions,
//! all fed with the same tokens.

use super::sequence::Sequence;
use crate::error::{Error, Result};
use crate::host::{Context, Logits, SeqId, Token};

/// One of the branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The query alone.
    Plain,
    /// The query and the instruction, or all instructions that are asked for.
    Instructed,
    /// The query and a single one of several instructions, by its place among them.
    Single(usize),
}

/// Two sequences of one context that hold different prompts and the same generated tokens; with several
/// instructions there are further ones, each for a single instruction.
///
/// Logits are valid until anything else is decoded in the context, and refused afterwards. May move between
/// threads; not used by two at once.
pub struct Pair {
    pub(super) context: Context,
    pub(super) plain: Sequence,
    pub(super) instructed: Sequence,
    /// Branches of single instructions; the first `n_singles` are in use, the others are empty.
    pub(super) singles: Vec<Sequence>,
    n_singles: usize,
    /// The instructed prompt is the plain one, and `plain` serves both.
    is_merged: bool,
    /// The most tokens that a branch may hold.
    limit: usize,
}

impl Pair {
    /// Takes over two sequences of a context, and empties them.
    pub fn new(context: Context, plain: SeqId, instructed: SeqId) -> Result<Pair> {
        Pair::with_singles(context, plain, instructed, &[])
    }

    /// As [`Pair::new`], with further sequences for single instructions, as many as a prompt may bring.
    pub fn with_singles(
        context: Context,
        plain: SeqId,
        instructed: SeqId,
        singles: &[SeqId],
    ) -> Result<Pair> {
        context.check_seq("plain_seq", plain)?;
        context.check_seq("instructed_seq", instructed)?;
        if plain == instructed {
            return Err(Error::param("instructed_seq", instructed, "different from plain_seq"));
        }
        for (i, &seq) in singles.iter().enumerate() {
            context.check_seq("single_seq", seq)?;
            if seq == plain || seq == instructed || singles[..i].contains(&seq) {
                return Err(Error::param("single_seq", seq, "different from those of the other branches"));
            }
        }
        let limit = context.n_ctx_seq();
        let (plain, instructed) = (Sequence::new(plain), Sequence::new(instructed));
        let singles = singles.iter().map(|&seq| Sequence::new(seq)).collect();
        let mut pair = Pair { context, plain, instructed, singles, n_singles: 0, is_merged: false, limit };
        pair.clear()?;
        Ok(pair)
    }

    /// Branches of single instructions that are in use.
    pub fn n_singles(&self) -> usize {
        self.n_singles
    }

    /// The most branches of single instructions that prompts may bring.
    pub fn max_singles(&self) -> usize {
        self.singles.len()
    }

    /// The sequences that are meant: that of one branch, or of all in use.
    pub(super) fn sides(&self, only: Option<Side>) -> impl Iterator<Item = Side> + use<> {
        let instructed = (!self.is_merged).then_some(Side::Instructed);
        let all = [Side::Plain].into_iter().chain(instructed).chain((0..self.n_singles).map(Side::Single));
        let all = all.filter(move |_| only.is_none());
        only.into_iter().chain(all)
    }

    /// Chooses the branches that are in use, and empties the others. `is_merged`: the instructed prompt is the
    /// plain one.
    pub(super) fn choose(&mut self, n_singles: usize, is_merged: bool) -> Result<()> {
        if is_merged {
            self.instructed.clear(&mut self.context)?;
        }
        for unused in &mut self.singles[n_singles..] {
            if unused.len() > 0 {
                unused.clear(&mut self.context)?;
            }
        }
        (self.n_singles, self.is_merged) = (n_singles, is_merged);
        Ok(())
    }

    /// The sequences that are meant: that of one branch, or of all in use, in the order of [`Pair::sides`].
    pub(super) fn branches(&self, only: Option<Side>) -> Vec<&Sequence> {
        self.sides(only).map(|side| self.sequence(side)).collect()
    }

    /// All sequences, in use or not.
    pub(super) fn all(&self) -> impl Iterator<Item = &Sequence> {
        [&self.plain, &self.instructed].into_iter().chain(&self.singles)
    }

    /// Gives each branch its own sequence again.
    pub(super) fn separate(&mut self) {
        self.is_merged = false;
    }

    /// The context and the sequences in use, in the order of [`Pair::sides`].
    pub(super) fn in_use(&mut self) -> (&mut Context, Vec<&mut Sequence>) {
        let instructed = (!self.is_merged).then_some(&mut self.instructed);
        let singles = self.singles[..self.n_singles].iter_mut();
        let sequences = [&mut self.plain].into_iter().chain(instructed).chain(singles).collect();
        (&mut self.context, sequences)
    }

    /// Lets each branch hold this many tokens at most, if the context has room for them: so pairs that share
    /// a context cannot take each other's cells.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Error if a branch (None: any in use) has reached the most tokens that it may hold.
    pub fn check_next(&self, side: Option<Side>) -> Result<()> {
        self.sides(side).try_for_each(|side| self.check_length(self.tokens(side).len() + 1))
    }

    /// The context that all sequences live in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sequence id of a branch. With several instructions of which none is asked for, the plain branch is the
    /// instructed one, too.
    ///
    /// # Panics
    /// This and the next three panic for a single instruction that is not below [`Pair::max_singles`].
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

    /// Logits of the branches of single instructions that are in use, as [`Pair::logits`].
    pub fn single_logits(&self) -> Result<Vec<Logits<'_>>> {
        (0..self.n_singles).map(|i| self.logits(Side::Single(i))).collect()
    }

    /// Copies both branches to two other sequences of the same context: the start of a second answer
    /// to the same prompts. Both then have the same logits, until the next decode.
    pub fn fork(&mut self, plain: SeqId, instructed: SeqId) -> Result<Pair> {
        self.fork_with_singles(plain, instructed, &[])
    }

    /// As [`Pair::fork`], with sequences for single instructions, at least as many as are in use.
    pub fn fork_with_singles(&mut self, plain: SeqId, instructed: SeqId, singles: &[SeqId]) -> Result<Pair> {
        let held = |seq| {
            let singles = self.singles.iter().map(Sequence::id);
            [self.plain.id(), self.instructed.id()].into_iter().chain(singles).any(|held| held == seq)
        };
        let wanted = [("plain_seq", plain), ("instructed_seq", instructed)];
        for (field, seq) in wanted.into_iter().chain(singles.iter().map(|&seq| ("single_seq", seq))) {
            if held(seq) {
                return Err(Error::param(field, seq, "a sequence that the first pair does not use"));
            }
        }
        if singles.len() < self.n_singles {
            let allowed = "at least as many as the first pair has in use";
            return Err(Error::param("single instructions", singles.len(), allowed));
        }
        let mut fork = Pair::with_singles(self.context.clone(), plain, instructed, singles)?;
        fork.limit = self.limit;
        (fork.n_singles, fork.is_merged) = (self.n_singles, self.is_merged);
        for side in self.sides(None) {
            let (context, to) = fork.split(side);
            to.fork(context, self.sequence(side))?;
        }
        Ok(fork)
    }

    /// Empties all sequences.
    pub fn clear(&mut self) -> Result<()> {
        (self.n_singles, self.is_merged) = (0, false);
        self.plain.clear(&mut self.context)?;
        self.instructed.clear(&mut self.context)?;
        self.singles.iter_mut().try_for_each(|single| single.clear(&mut self.context))
    }

    pub(super) fn sequence(&self, side: Side) -> &Sequence {
        match side {
            Side::Instructed if !self.is_merged => &self.instructed,
            Side::Plain | Side::Instructed => &self.plain,
            Side::Single(i) => &self.singles[i],
        }
    }

    /// The context and one of the sequences, to work with.
    pub(super) fn split(&mut self, side: Side) -> (&mut Context, &mut Sequence) {
        let sequence = match side {
            Side::Instructed if !self.is_merged => &mut self.instructed,
            Side::Plain | Side::Instructed => &mut self.plain,
            Side::Single(i) => &mut self.singles[i],
        };
        (&mut self.context, sequence)
    }

    pub(super) fn forget_rows(&mut self) {
        for sequence in [&mut self.plain, &mut self.instructed].into_iter().chain(&mut self.singles) {
            sequence.forget_row();
        }
    }

    /// An aborted decode leaves the rows that it has done in the cache: drops what the branches do not hold.
    /// The error of that decode is the one to report, so a failure here is none.
    pub(super) fn drop_unfinished(&mut self) {
        let (context, sequences) = self.in_use();
        if !sequences.into_iter().all(|sequence| sequence.drop_unfinished(context)) {
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

    /// Tokens that all branches hold together.
    pub(crate) fn held(&self) -> usize {
        self.all().map(Sequence::len).sum()
    }

    /// The host only says that there was no room; this says how much was asked of how much.
    pub(super) fn full_context(&self, error: Error) -> Error {
        full_with(error, self.held(), self.context.n_ctx())
    }
}

/// [`Pair::full_context`] when `held` tokens, of one pair or of several, were there already.
pub(super) fn full_with(error: Error, held: usize, available: usize) -> Error {
    match error {
        Error::ContextFull { needed, .. } => Error::ContextFull { needed: needed + held, available },
        other => other,
    }
}
