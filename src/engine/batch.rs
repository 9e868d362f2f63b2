//! Many answers side by side in one context.

use std::sync::{Arc, Mutex, MutexGuard};

use super::local_judge::{ScoreDistribution, score};
use super::scheduler::Scheduler;
use super::sizes::Sizes;
use super::types::{Job, Jobs, OnEvent, SlotState};
use crate::branch::{Pair, Progress, lock};
use crate::error::{Error, Result};
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
    /// way and continues later, with the tokens that it has.
    pub cells: Option<usize>,
}

impl Default for BatchSize {
    fn default() -> Self {
        BatchSize { n_pairs: 1, n_ctx: 0, n_singles: 0, cells: None }
    }
}

/// A context for many answers at once; it keeps the model. May move between threads; not used by two at once.
pub struct Batch {
    scheduler: Scheduler,
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
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        let scheduler = Scheduler::new(model, n_ctx, pairs, context.clone(), judge_seq);
        Ok(Batch { scheduler, judge: context, judge_seq, model: model.clone(), n_ctx })
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
        self.scheduler.pairs().len()
    }

    /// One of the pairs, for programs that run their own loop. [`Error::Panic`](crate::Error::Panic) if a panic has left it in an
    /// unknown state.
    ///
    /// # Panics
    /// Panics if `i` is not below [`Batch::n_pairs`].
    pub fn pair(&self, i: usize) -> Result<MutexGuard<'_, Pair>> {
        let Some(pair) = self.scheduler.pairs().nth(i) else { panic!("pair {i} of {}", self.n_pairs()) };
        lock(pair)
    }

    /// Runs jobs until `jobs` has no more and all are done. Each is given an id by the caller, which comes with
    /// its events; false stops, and every job that was taken is done
    /// ([`BatchEvent::Done`](super::BatchEvent::Done)) with the answer so far.
    ///
    /// A job's failure is its own. An error of the context as a whole fails the jobs that were running, and
    /// is returned.
    ///
    /// A job starts on empty sequences unless it has [`Job::cache_prompt`], so with one pair an answer is the same as
    /// [`Engine::generate`](super::Engine::generate) gives in a new engine. With more, the batches have
    /// another shape, and the rounding of quantized weights may choose another token.
    pub fn run(&mut self, jobs: Jobs, on_event: OnEvent) -> Result<()> {
        let mut is_wanted = true;
        loop {
            while self.scheduler.has_room() {
                let Some((id, job)) = jobs() else { break };
                self.scheduler.submit(id, job);
            }
            if self.scheduler.is_idle() {
                return Ok(());
            }
            self.scheduler.step(&mut |event| {
                is_wanted &= on_event(event);
                is_wanted
            })?;
            if !is_wanted {
                return self.scheduler.end_all(None, on_event);
            }
        }
    }

    /// Hands in a job, for programs that do not know all jobs beforehand, such as a server. It waits for a slot.
    /// [`Batch::step`] does the work; `id` comes with its events and should be that of no other job under way.
    pub fn submit(&mut self, id: usize, job: Job) {
        self.scheduler.submit(id, job);
    }

    /// Hands in a judge's prompt ([`local_prompt`](super::local_prompt)) whose score is wanted, beside the answers:
    /// [`Batch::step`] reads it as it reads prompts, one after another, and tells the score
    /// ([`BatchEvent::Scored`](super::BatchEvent::Scored)). Rounding aside it is that of [`Batch::score`]. `id` is as in
    /// [`Batch::submit`], and that of no job.
    pub fn submit_score(&mut self, id: usize, judge_prompt: Vec<Token>) {
        self.scheduler.scoring().submit(id, judge_prompt);
    }

    /// Ends a job or a draft, and no other, in the next step: a job with the answer so far, and
    /// [`Finish::Cancelled`](super::Finish::Cancelled).
    pub fn cancel(&mut self, id: usize) {
        self.scheduler.cancel(id);
    }

    /// One decode: of the rows of all answers under way, and of a part of the prompts that are still to be read
    /// ([`Batch::set_max_gap`]). What follows from it is told, in the caller's thread; false cancels the job that the event
    /// is about. Every job that was handed in is done exactly once. Without any it does nothing.
    ///
    /// # Errors
    /// As [`Batch::run`]; a job's own failure is told with it.
    pub fn step(&mut self, on_event: OnEvent) -> Result<()> {
        self.scheduler.step(on_event)
    }

    /// Ends every job that was handed in as [`Batch::cancel`] does, at once.
    pub fn cancel_all(&mut self, on_event: OnEvent) -> Result<()> {
        self.scheduler.end_all(None, on_event)
    }

    /// True if no job and no draft waits, and none is under way.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Jobs that wait for a slot.
    pub fn n_waiting(&self) -> usize {
        self.scheduler.n_waiting()
    }

    /// What the slots are doing, one for each pair.
    ///
    /// # Errors
    /// [`Error::Panic`] if a panic has left a pair in an unknown state.
    pub fn slots(&self) -> Result<Vec<SlotState>> {
        self.scheduler.slot_states()
    }

    /// How much longer a step may take because it also reads a part of a prompt: `steps` times as long as one without, at
    /// the most, as far as the times of earlier steps tell. None, the default, reads up to 512 rows, whatever that takes;
    /// then the shapes of all decodes, and so the answers, follow from the jobs alone.
    ///
    /// # Errors
    /// [`Error::Param`] unless it is finite and greater than 1.
    pub fn set_max_gap(&mut self, steps: Option<f64>) -> Result<()> {
        if let Some(steps) = steps.filter(|steps| !(steps.is_finite() && *steps > 1.0)) {
            return Err(Error::param("max_gap", steps, "finite and greater than 1"));
        }
        self.scheduler.pace().set_max_gap(steps);
        Ok(())
    }

    /// Scores a draft between two runs or two steps, as [`Engine::score`](super::Engine::score) does. Prompts of earlier
    /// jobs that are in its way are dropped.
    ///
    /// # Errors
    /// As [`Engine::score`](super::Engine::score), and [`Error::State`] while a draft of [`Batch::submit_score`] is scored.
    pub fn score(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        if !self.scheduler.scoring().is_idle() {
            return Err(Error::State { reason: "the judge is at a draft that was handed in".into() });
        }
        loop {
            let scored = score(&self.model, &mut self.judge, self.judge_seq, judge_prompt, progress);
            let is_full = matches!(scored, Err(Error::ContextFull { .. }));
            if !(is_full && self.scheduler.drop_oldest_cache()?) {
                return scored;
            }
        }
    }
}
