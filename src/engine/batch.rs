//! Many answers side by side in one context.

use std::sync::{Arc, Mutex, MutexGuard};

use super::branch_length;
use super::local_judge::{ScoreDistribution, score};
use super::scheduler::Scheduler;
use super::types::{Jobs, OnEvent};
use crate::branch::{Pair, Progress, SharedPair, lock};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::llama::{ContextOptions, Model};

/// A context for many answers at once; it keeps the model. May move between threads; not used by two at once.
pub struct Batch {
    pairs: Vec<SharedPair>,
    judge: Context,
    model: Model,
    n_ctx: usize,
}

impl Batch {
    /// Makes a context for `n_pairs` answers at once. `n_ctx` is as in [`Engine::new`](super::Engine::new):
    /// the most tokens that each branch can hold, 0 leaves it to us. The KV cache gets twice as many cells a
    /// pair, in sliding-window layers too, so that no answer can take another's.
    pub fn new(model: &Model, n_pairs: usize, n_ctx: usize, options: &ContextOptions) -> Result<Batch> {
        let n_ctx = branch_length(model, n_ctx);
        Batch::with_cells(model, n_pairs, n_ctx, 2 * n_ctx * n_pairs, options)
    }

    /// As [`Batch::new`], with another number of KV cells, at least those of one pair: for answers that are
    /// mostly much shorter than `n_ctx`. When the cells run out, the answer with the fewest tokens gives way
    /// and starts from the beginning later.
    pub fn with_cells(
        model: &Model,
        n_pairs: usize,
        n_ctx: usize,
        cells: usize,
        options: &ContextOptions,
    ) -> Result<Batch> {
        let n_ctx = branch_length(model, n_ctx);
        if n_pairs == 0 {
            return Err(Error::param("n_pairs", n_pairs, "at least 1"));
        }
        if cells < 2 * n_ctx {
            return Err(Error::param("cells", cells, "at least twice n_ctx"));
        }
        let cells = u32::try_from(cells)
            .map_err(|_| Error::param("cells", cells, "at most 4294967295, as are 2 n_ctx n_pairs"))?;
        // One more sequence is the local judge's.
        let n_seq_max = u32::try_from(2 * n_pairs + 1)
            .map_err(|_| Error::param("n_pairs", n_pairs, "at most 2147483647"))?;
        if (options.n_batch as usize) < 2 * n_pairs {
            return Err(Error::param("n_batch", options.n_batch, "at least 2 a pair"));
        }
        let options = ContextOptions { n_ctx: cells, n_seq_max, ..*options };
        let context = model.new_context(&options)?;
        let pairs = (0..n_pairs as SeqId).map(|i| {
            let mut pair = Pair::new(context.clone(), 2 * i, 2 * i + 1)?;
            pair.set_limit(n_ctx);
            Ok(Arc::new(Mutex::new(pair)))
        });
        let pairs = pairs.collect::<Result<_>>()?;
        Ok(Batch { pairs, judge: context, model: model.clone(), n_ctx })
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

    /// One of the pairs, for programs that run their own loop. [`Error::Panic`] if a panic has left it in an
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
        let seq = 2 * self.pairs.len() as SeqId;
        score(&self.model, &mut self.judge, seq, judge_prompt, progress)
    }
}
