//! Many answers side by side in one context.

use std::sync::{Arc, Mutex, MutexGuard};

use super::local_judge::{ScoreDistribution, score};
use super::scheduler::Scheduler;
use super::sizes::Sizes;
use super::types::{Jobs, OnEvent};
use crate::branch::{Pair, Progress, SharedPair, lock};
use crate::error::Result;
use crate::host::{Context, SeqId, Token};
use crate::llama::{ContextOptions, Model};

/// How large a [`Batch`] is.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    /// Answers at once.
    pub n_pairs: usize,
    /// The most tokens that each branch can hold, as in [`Engine::new`](super::Engine::new).
    pub n_ctx: usize,
    /// Branches of single instructions in each pair: the most [`Prompts::singles`](super::Prompts::singles) of a
    /// job.
    pub n_singles: usize,
    /// KV cells, at least those of one pair; None is `n_ctx` for each branch of all pairs. Fewer are for answers
    /// that are mostly much shorter than `n_ctx`: when the cells run out, the answer with the fewest tokens gives
    /// way and starts from the beginning later.
    pub cells: Option<usize>,
}

impl Default for BatchSize {
    fn default() -> Self {
        BatchSize { n_pairs: 1, n_ctx: 0, n_singles: 0, cells: None }
    }
}

/// A context for many answers at once; it keeps the model. May move between threads; not used by two at once.
pub struct Batch {
    pairs: Vec<SharedPair>,
    judge: Context,
    judge_seq: SeqId,
    model: Model,
    n_ctx: usize,
}

impl Batch {
    /// Makes a context for `n_pairs` answers at once, at most [`MAX_PAIRS`](super::MAX_PAIRS), with
    /// `options.n_batch` at least two for each and one more. `n_ctx` is as in [`Engine::new`](super::Engine::new):
    /// the most tokens that each branch can hold, 0 leaves it to us. The KV cache gets twice as many cells a
    /// pair, in sliding-window layers too, so that no answer can take another's.
    pub fn new(model: &Model, n_pairs: usize, n_ctx: usize, options: &ContextOptions) -> Result<Batch> {
        Batch::with_size(model, &BatchSize { n_pairs, n_ctx, ..BatchSize::default() }, options)
    }

    /// As [`Batch::new`], of any size.
    pub fn with_size(model: &Model, size: &BatchSize, options: &ContextOptions) -> Result<Batch> {
        let sizes = Sizes::new(model, size, options)?;
        let (branches, judge_seq) = (sizes.branches(), sizes.judge());
        let Sizes { n_ctx, n_pairs, options, .. } = sizes;
        let context = model.new_context(&options)?;
        let pairs = (0..n_pairs).map(|i| {
            let first = (branches * i) as SeqId;
            let singles: Vec<SeqId> = (first + 2..first + branches as SeqId).collect();
            let mut pair = Pair::with_singles(context.clone(), first, first + 1, &singles)?;
            pair.set_limit(n_ctx);
            Ok(Arc::new(Mutex::new(pair)))
        });
        let pairs = pairs.collect::<Result<_>>()?;
        Ok(Batch { pairs, judge: context, judge_seq, model: model.clone(), n_ctx })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The most tokens that each branch can hold.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// The most answers at once.
    pub fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// One of the pairs, for programs that run their own loop. [`Error::Panic`](crate::Error::Panic) if a panic has left it in an
    /// unknown state.
    ///
    /// # Panics
    /// Panics if `i` is not below [`Batch::n_pairs`].
    pub fn pair(&self, i: usize) -> Result<MutexGuard<'_, Pair>> {
        lock(&self.pairs[i])
    }

    /// Runs jobs until `jobs` has no more and all are done. Each is given an id by the caller, which comes with
    /// its events; false stops, and every job that was taken is done
    /// ([`BatchEvent::Done`](super::BatchEvent::Done)) with the answer so far.
    ///
    /// A job's failure is its own. An error of the context as a whole fails the jobs that were running, and
    /// is returned.
    ///
    /// A job starts on empty sequences, so with one pair an answer is the same as
    /// [`Engine::generate`](super::Engine::generate) gives in a new engine. With more, the batches have
    /// another shape, and the rounding of quantized weights may choose another token.
    pub fn run(&mut self, jobs: Jobs, on_event: OnEvent) -> Result<()> {
        Scheduler::new(&self.model, self.n_ctx, &self.pairs, jobs, on_event).run()
    }

    /// Scores a draft between two runs, as [`Engine::score`](super::Engine::score) does.
    pub fn score(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        score(&self.model, &mut self.judge, self.judge_seq, judge_prompt, progress)
    }
}
