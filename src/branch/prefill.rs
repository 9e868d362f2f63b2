//! Reading prompts into a pair: the tokens that both begin with once, what the cache holds not again.

use super::pair::{Pair, Side};
use super::sequence::{Part, Progress, Sequence, check_prompt, common_prefix, read_parts};
use crate::error::{Error, Result};
use crate::host::{Context, Token};

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
        if singles.len() > self.max_singles() {
            let value = format_args!("{} (the pair has {})", singles.len(), self.max_singles());
            return Err(Error::param("branches of single instructions", value, "as many as the pair has"));
        }
        check_prompt("plain", plain)?;
        check_prompt("instructed", instructed)?;
        singles.iter().try_for_each(|single| check_prompt("single instruction's", single))?;
        let is_merged = !singles.is_empty() && plain == instructed;
        let instructed = (!is_merged).then_some(instructed);
        let prompts: Vec<&[Token]> =
            [plain].into_iter().chain(instructed).chain(singles.iter().copied()).collect();
        // The last token of each prompt is decoded for its own branch, whose logits it gives.
        let alike = |prompt: &&[Token]| common_prefix(plain, prompt).min(prompt.len() - 1);
        let shared = prompts.iter().map(alike).min().unwrap_or(0);
        let total: usize = prompts.iter().map(|prompt| prompt.len()).sum();
        let once = if self.context.is_unified() { shared * (prompts.len() - 1) } else { 0 };
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        self.check_room(total - once, longest)?;
        self.choose(singles.len(), is_merged)?;
        self.forget_rows();
        let (context, branches) = self.in_use();
        let result = Reading { context, branches, prompts: &prompts, shared }.run(progress);
        self.emptied_on_error(result)
    }

    /// Reads a prompt into one branch only; the others keep what they have but no logits.
    ///
    /// # Panics
    /// As [`Pair::seq`].
    pub fn prefill_one(&mut self, side: Side, tokens: &[Token], progress: Progress) -> Result<Prefill> {
        let name = match side {
            Side::Plain => "plain",
            Side::Instructed => "instructed",
            Side::Single(_) => "single instruction's",
        };
        check_prompt(name, tokens)?;
        self.check_room(tokens.len(), tokens.len())?;
        self.separate();
        self.forget_rows();
        let (context, sequence) = self.split(side);
        let result = sequence.read(context, tokens, progress);
        let reused = self.emptied_on_error(result)?;
        Ok(Prefill { shared: 0, decoded: tokens.len() - reused, reused })
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
}

/// Prompts on their way into the branches of a pair.
struct Reading<'a> {
    context: &'a mut Context,
    branches: Vec<&'a mut Sequence>,
    /// One for each branch.
    prompts: &'a [&'a [Token]],
    /// Tokens that all begin with.
    shared: usize,
}

impl Reading<'_> {
    fn run(mut self, progress: Progress) -> Result<Prefill> {
        let shared = self.shared;
        let reused = self.rewind()?;
        let own_rows: usize = self.prompts.iter().map(|prompt| prompt.len() - shared).sum();
        let decoded = self.share(&mut |done, total| progress(done, total + own_rows))?;
        let mut parts: Vec<Part> = self
            .branches
            .into_iter()
            .zip(self.prompts)
            .map(|(sequence, tokens)| {
                let held = sequence.len();
                Part { sequence, tokens: &tokens[held..] }
            })
            .collect();
        let total = decoded + parts.iter().map(|part| part.tokens.len()).sum::<usize>();
        read_parts(self.context, &mut parts, true, &mut |done, _| progress(decoded + done, total))?;
        Ok(Prefill { shared, decoded: total, reused })
    }

    /// Drops what the branches hold beyond their prompts, and all of it if that is in the way of sharing.
    /// Returns how many tokens of the longest one were kept.
    fn rewind(&mut self) -> Result<usize> {
        for (branch, prompt) in self.branches.iter_mut().zip(self.prompts) {
            branch.rewind(self.context, prompt, prompt.len() - 1)?;
        }
        let kept = self.longest();
        if self.branches.iter().all(|branch| branch.len() >= self.shared) {
            return Ok(self.branches[kept].len());
        }
        let donor = &self.branches[kept];
        // Separate KV buffers can only be copied whole, into an empty sequence.
        let whole = !self.context.is_unified() && donor.len() > 0;
        // A sliding window that has moved beyond the shared part has let go of its cells, and a recurrent
        // state cannot be had for an earlier position. Both show in the smallest position.
        let gone = donor.len() > self.shared && self.context.seq_pos_min(donor.id())? > 0;
        if whole || gone {
            self.branches.iter_mut().try_for_each(|branch| branch.clear(self.context))?;
        } else if !self.context.has_seq_pos_min() {
            // Only the attempt tells a recurrent state: it refuses, and is read again.
            let shared = self.shared;
            self.branches
                .iter_mut()
                .try_for_each(|branch| branch.truncate(self.context, shared).map(drop))?;
        }
        Ok(self.branches[self.longest()].len())
    }

    /// The branch that holds most tokens, the first of several.
    fn longest(&self) -> usize {
        let lengths = self.branches.iter().map(|branch| branch.len()).enumerate();
        lengths.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(0, |(i, _)| i)
    }

    /// Makes all branches hold the shared tokens: the one that holds most of them reads the rest, the others
    /// copy. Returns how many tokens were decoded.
    fn share(&mut self, progress: Progress) -> Result<usize> {
        if self.branches.iter().all(|branch| branch.len() >= self.shared) {
            return Ok(0);
        }
        let longest = self.longest();
        let donor = &mut *self.branches[longest];
        let rest = self.prompts[longest][..self.shared].get(donor.len()..).unwrap_or_default();
        if !rest.is_empty() {
            let part = Part { sequence: donor, tokens: rest };
            read_parts(self.context, &mut [part], false, progress)?;
        }
        let (before, after) = self.branches.split_at_mut(longest);
        let Some((donor, after)) = after.split_first_mut() else { return Ok(rest.len()) };
        for taker in before.iter_mut().chain(after) {
            if taker.len() < self.shared {
                taker.copy(self.context, donor, self.shared)?;
            }
        }
        Ok(rest.len())
    }
}
