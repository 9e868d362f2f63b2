//! Prompts on their way into the branches of a pair, a decode at a time, so that other pairs can be stepped meanwhile.

use super::adopt::adopt;
use super::pair::{Pair, Side};
use super::prefill::Prefill;
use super::sequence::{Feed, PROMPT_ROWS, Progress, Sequence, check_prompt, common_prefix};
use crate::error::{Error, Result};
use crate::host::{Context, Decoded, Row, Token};

/// Prompts that are being read into a pair. Only this may decode in the pair until [`Reading::is_done`].
pub(crate) struct Reading {
    /// The one branch that reads, or None for all in use.
    only: Option<Side>,
    /// One for each branch that reads.
    prompts: Vec<Vec<Token>>,
    /// Tokens that all begin with.
    shared: usize,
    /// Tokens that were in the cache.
    reused: usize,
    stage: Stage,
    feed: Feed,
    /// Rows of earlier stages.
    before: usize,
    /// Rows of all stages.
    total: usize,
}

enum Stage {
    /// This branch reads what all begin with; the others will copy.
    Sharing { donor: usize },
    /// Each branch reads what is its own.
    Own,
}

impl Reading {
    /// Starts to read a prompt into one branch; the others keep what they have but no logits. Nothing is decoded yet. What
    /// `others` hold of it, pairs of the same context, is taken over from them.
    pub(crate) fn of_one(pair: &mut Pair, side: Side, tokens: &[Token], others: &[&Pair]) -> Result<Reading> {
        let name = match side {
            Side::Plain => "plain",
            Side::Instructed => "instructed",
            Side::Single(_) => "single instruction's",
        };
        check_prompt(name, tokens)?;
        check_room(pair, tokens.len(), tokens.len())?;
        pair.separate();
        Reading::start(pair, Some(side), vec![tokens.to_vec()], 0, others)
    }

    /// Starts to read a prompt into each branch, as [`Pair::prefill_many`] does. Nothing is decoded yet. What `others`
    /// hold of them, pairs of the same context, is taken over from them.
    pub(crate) fn of_all(
        pair: &mut Pair,
        plain: &[Token],
        instructed: &[Token],
        singles: &[&[Token]],
        others: &[&Pair],
    ) -> Result<Reading> {
        if singles.len() > pair.max_singles() {
            let value = format_args!("{} (the pair has {})", singles.len(), pair.max_singles());
            return Err(Error::param("branches of single instructions", value, "as many as the pair has"));
        }
        check_prompt("plain", plain)?;
        check_prompt("instructed", instructed)?;
        singles.iter().try_for_each(|single| check_prompt("single instruction's", single))?;
        let is_merged = !singles.is_empty() && plain == instructed;
        let instructed = (!is_merged).then_some(instructed);
        let prompts: Vec<&[Token]> =
            [plain].into_iter().chain(instructed).chain(singles.iter().copied()).collect();
        if prompts.len() > pair.context().n_batch() {
            let allowed = "at least one for each branch of a pair";
            return Err(Error::param("n_batch", pair.context().n_batch(), allowed));
        }
        // The last token of each prompt is decoded for its own branch, whose logits it gives.
        let alike = |prompt: &&[Token]| common_prefix(plain, prompt).min(prompt.len() - 1);
        let shared = prompts.iter().map(alike).min().unwrap_or(0);
        let total: usize = prompts.iter().map(|prompt| prompt.len()).sum();
        let once = if pair.context().is_unified() { shared * (prompts.len() - 1) } else { 0 };
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        check_room(pair, total - once, longest)?;
        pair.choose(singles.len(), is_merged)?;
        let prompts = prompts.into_iter().map(<[Token]>::to_vec).collect();
        Reading::start(pair, None, prompts, shared, others)
    }

    fn start(
        pair: &mut Pair,
        only: Option<Side>,
        prompts: Vec<Vec<Token>>,
        shared: usize,
        others: &[&Pair],
    ) -> Result<Reading> {
        pair.forget_rows();
        let mut branches = Branches::of(pair, only);
        let rewound = branches.adopt(&prompts, others).and_then(|()| branches.rewind(&prompts, shared));
        let started = rewound.map(|reused| {
            let lengths = pair.branches(only).into_iter().map(Sequence::len);
            let held: Vec<usize> = lengths.collect();
            let longest = longest(&held);
            let needs_sharing = held.iter().any(|&held| held < shared);
            let rest = if needs_sharing { shared.saturating_sub(held[longest]) } else { 0 };
            let own = prompts.iter().zip(&held).map(|(prompt, &held)| prompt.len() - held.max(shared));
            let total = rest + own.sum::<usize>();
            let stage = if needs_sharing { Stage::Sharing { donor: longest } } else { Stage::Own };
            let mut reading =
                Reading { only, prompts, shared, reused, stage, feed: Feed::none(), before: 0, total };
            reading.feed = reading.stage_feed(&held);
            reading
        });
        let mut reading = emptied_on_error(pair, started)?;
        let advanced = reading.advance(pair);
        emptied_on_error(pair, advanced)?;
        Ok(reading)
    }

    /// What the branches read in this stage, of which they hold so many tokens.
    fn stage_feed<'p>(&'p self, held: &[usize]) -> Feed {
        let parts = self.prompts.iter().zip(held);
        match self.stage {
            Stage::Sharing { donor } => {
                let of_donor = |(i, (prompt, &held)): (usize, (&'p Vec<Token>, &usize))| -> &'p [Token] {
                    if i == donor { prompt[..self.shared].get(held..).unwrap_or_default() } else { &[] }
                };
                Feed::new(parts.enumerate().map(of_donor), false)
            }
            Stage::Own => Feed::new(parts.map(|(prompt, &held)| &prompt[held..]), true),
        }
    }

    /// Goes on to the next stage if this one is through.
    fn advance(&mut self, pair: &mut Pair) -> Result<()> {
        let Stage::Sharing { donor } = self.stage else { return Ok(()) };
        if self.feed.done() < self.feed.total() {
            return Ok(());
        }
        Branches::of(pair, self.only).share(donor, self.shared)?;
        self.before = self.feed.total();
        self.stage = Stage::Own;
        let held: Vec<usize> = pair.branches(self.only).into_iter().map(Sequence::len).collect();
        self.feed = self.stage_feed(&held);
        Ok(())
    }

    /// Reads all of it, with nothing beside. On an error the pair is emptied.
    pub(crate) fn run(mut self, pair: &mut Pair, progress: Progress) -> Result<Prefill> {
        let result = self.decode_all(pair, progress);
        emptied_on_error(pair, result)?;
        Ok(self.prefill())
    }

    fn decode_all(&mut self, pair: &mut Pair, progress: Progress) -> Result<()> {
        let chunk = pair.context().n_batch().min(PROMPT_ROWS);
        let mut rows = Vec::with_capacity(chunk.min(self.total));
        while !self.is_done() {
            let (done, total) = self.progress();
            if !progress(done, total) {
                return Err(Error::Cancelled);
            }
            rows.clear();
            let n = self.rows(pair, chunk, &mut rows);
            let decoded = pair.context.decode(&rows)?;
            self.decoded(pair, n, decoded, 0)?;
        }
        progress(self.total, self.total);
        Ok(())
    }

    /// Appends the rows of its next decode, at most so many, which must be one for each branch or more. Returns how many.
    pub(super) fn rows(&self, pair: &Pair, most: usize, rows: &mut Vec<Row>) -> usize {
        self.feed.rows(&pair.branches(self.only), most, rows)
    }

    /// Takes note that `n` of its rows were decoded, the first of them as row `first`. After an error the pair is to be
    /// emptied.
    pub(super) fn decoded(
        &mut self,
        pair: &mut Pair,
        n: usize,
        decoded: Decoded,
        first: usize,
    ) -> Result<()> {
        self.feed.decoded(&mut Branches::of(pair, self.only).branches, n, decoded, first);
        self.advance(pair)
    }

    /// Rows that were decoded, and all of them.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.before + self.feed.done(), self.total)
    }

    /// True if all is read, and the branches have logits.
    pub(crate) fn is_done(&self) -> bool {
        self.before + self.feed.done() >= self.total
    }

    /// What it costs.
    pub(crate) fn prefill(&self) -> Prefill {
        Prefill { shared: self.shared, decoded: self.total, reused: self.reused }
    }
}

/// The branches that read.
struct Branches<'a> {
    context: &'a mut Context,
    branches: Vec<&'a mut Sequence>,
}

impl<'a> Branches<'a> {
    fn of(pair: &'a mut Pair, only: Option<Side>) -> Branches<'a> {
        let (context, branches) = match only {
            None => pair.in_use(),
            Some(side) => {
                let (context, sequence) = pair.split(side);
                (context, vec![sequence])
            }
        };
        Branches { context, branches }
    }

    /// Takes over what other pairs hold of the prompts.
    fn adopt(&mut self, prompts: &[Vec<Token>], others: &[&Pair]) -> Result<()> {
        let branches = self.branches.iter_mut().zip(prompts);
        branches.into_iter().try_for_each(|(branch, prompt)| adopt(self.context, branch, prompt, others))
    }

    fn longest(&self) -> usize {
        longest(&self.branches.iter().map(|branch| branch.len()).collect::<Vec<_>>())
    }

    /// Drops what the branches hold beyond their prompts, and all of it if that is in the way of sharing.
    /// Returns how many tokens of the longest one were kept.
    fn rewind(&mut self, prompts: &[Vec<Token>], shared: usize) -> Result<usize> {
        for (branch, prompt) in self.branches.iter_mut().zip(prompts) {
            branch.rewind(self.context, prompt, prompt.len() - 1)?;
        }
        let kept = self.longest();
        if self.branches.iter().all(|branch| branch.len() >= shared) {
            return Ok(self.branches[kept].len());
        }
        let donor = &self.branches[kept];
        // Separate KV buffers can only be copied whole, into an empty sequence.
        let whole = !self.context.is_unified() && donor.len() > 0;
        // A sliding window that has moved beyond the shared part has let go of its cells, and a recurrent
        // state cannot be had for an earlier position. Both show in the smallest position.
        let gone = donor.len() > shared && self.context.seq_pos_min(donor.id())? > 0;
        if whole || gone {
            self.branches.iter_mut().try_for_each(|branch| branch.clear(self.context))?;
        } else if !self.context.has_seq_pos_min() {
            // Only the attempt tells a recurrent state: it refuses, and is read again.
            for branch in &mut self.branches {
                branch.truncate(self.context, shared)?;
            }
        }
        Ok(self.branches[self.longest()].len())
    }

    /// Makes all branches hold the shared tokens, which one of them has read.
    fn share(mut self, donor: usize, shared: usize) -> Result<()> {
        let (before, after) = self.branches.split_at_mut(donor);
        let Some((donor, after)) = after.split_first_mut() else { return Ok(()) };
        for taker in before.iter_mut().chain(after) {
            if taker.len() < shared {
                taker.copy(self.context, donor, shared)?;
            }
        }
        Ok(())
    }
}

/// The branch that holds most tokens, the first of several.
fn longest(held: &[usize]) -> usize {
    let lengths = held.iter().copied().enumerate();
    lengths.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(0, |(i, _)| i)
}

fn check_room(pair: &Pair, needed: usize, longest: usize) -> Result<()> {
    let available = pair.context().n_ctx();
    if needed > available {
        return Err(Error::ContextFull { needed, available });
    }
    pair.check_length(longest)
}

fn emptied_on_error<T>(pair: &mut Pair, result: Result<T>) -> Result<T> {
    result.map_err(|error| {
        let error = pair.full_context(error);
        // The first error is the one to report; a failing clean-up would only hide it.
        let _ = pair.clear();
        error
    })
}
