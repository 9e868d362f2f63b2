//! One answer at a time.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::BatchSize;
use super::local_judge::{ScoreDistribution, score};
use super::run::{Next, Run};
use super::sizes::Sizes;
use super::types::{Answer, Arm, Event, Finish, Generation, Prompts};
use crate::branch::{Pair, Progress, SharedPair, lock};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::llama::{ContextOptions, Model};

const PLAIN_SEQ: SeqId = 0;
const INSTRUCTED_SEQ: SeqId = 1;
/// The branches of single instructions, and then the judge.
const FIRST_SINGLE_SEQ: SeqId = 2;

/// A model's context with everything that steered generation needs; it keeps the model. May move between
/// threads; not used by two at once.
pub struct Engine {
    pair: SharedPair,
    judge: Context,
    judge_seq: SeqId,
    model: Model,
    n_ctx: usize,
}

impl Engine {
    /// Makes the context. `n_ctx` is the most tokens that each branch can hold (0: the model's training
    /// length, at most [`DEFAULT_N_CTX`](super::DEFAULT_N_CTX)), from [`MIN_N_CTX`](super::MIN_N_CTX) to
    /// [`MAX_N_CTX`](super::MAX_N_CTX); the KV cache gets twice as many cells. `options.n_ctx` and `options.n_seq_max`
    /// are set from it, and `options.n_batch` must be at least 3.
    pub fn new(model: &Model, n_ctx: usize, options: &ContextOptions) -> Result<Engine> {
        Engine::with_singles(model, n_ctx, 0, options)
    }

    /// As [`Engine::new`], with room for `n_singles` branches of single instructions beside the two: the most
    /// [`Prompts::singles`] that can be generated from. The KV cache gets the cells of as many branches more, and
    /// `options.n_batch` must be at least `3 + n_singles`.
    pub fn with_singles(
        model: &Model,
        n_ctx: usize,
        n_singles: usize,
        options: &ContextOptions,
    ) -> Result<Engine> {
        let size = BatchSize { n_pairs: 1, n_ctx, n_singles, cells: None };
        let sizes = Sizes::new(model, &size, options)?;
        let judge_seq = sizes.judge();
        let Sizes { n_ctx, options, .. } = sizes;
        let context = model.new_context(&options)?;
        let singles: Vec<SeqId> = (FIRST_SINGLE_SEQ..judge_seq).collect();
        let mut pair = Pair::with_singles(context.clone(), PLAIN_SEQ, INSTRUCTED_SEQ, &singles)?;
        pair.set_limit(n_ctx);
        let pair = Arc::new(Mutex::new(pair));
        Ok(Engine { pair, judge: context, judge_seq, model: model.clone(), n_ctx })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The most tokens that each branch can hold.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// The prompt pair, for programs that run their own loop. [`Error::Panic`] if a panic has left it in an
    /// unknown state.
    pub fn pair(&self) -> Result<MutexGuard<'_, Pair>> {
        lock(&self.pair)
    }

    /// Generates one answer. `on_event` is called for each piece of progress; false stops, and the
    /// answer so far is returned. What the cache holds of the prompts is used again.
    pub fn generate(
        &mut self,
        arm: Arm,
        prompts: &Prompts,
        settings: &Generation,
        on_event: &mut dyn FnMut(Event) -> bool,
    ) -> Result<Answer> {
        let mut run = Run::new(&self.model, &self.pair, self.n_ctx, arm, settings)?;
        let finish = self.run(&mut run, prompts, on_event)?;
        Ok(run.finish(finish, &mut |text| {
            on_event(Event::Tail(text));
        }))
    }

    fn run(
        &mut self,
        run: &mut Run,
        prompts: &Prompts,
        on_event: &mut dyn FnMut(Event) -> bool,
    ) -> Result<Finish> {
        match run.read(prompts, &mut |done, total| on_event(Event::Prefill { done, total })) {
            Ok(()) => {}
            Err(Error::Cancelled) => return Ok(Finish::Cancelled),
            Err(error) => return Err(error),
        }
        loop {
            let token = match run.next(&mut |record| on_event(Event::Token(record)))? {
                Next::Token(token) => token,
                Next::End(finish) => return Ok(finish),
            };
            let start = Instant::now();
            let stepped = match run.side() {
                Some(side) => self.pair()?.step_one(side, token),
                None => self.pair()?.step(token),
            };
            run.timings.decode += start.elapsed();
            match stepped {
                Ok(()) => {}
                Err(Error::ContextFull { .. }) if run.shift() => {
                    match run.reread(prompts, &mut |done, total| on_event(Event::Prefill { done, total })) {
                        Ok(()) => {}
                        Err(Error::Cancelled) => return Ok(Finish::Cancelled),
                        Err(error) => return Err(error),
                    }
                }
                Err(Error::ContextFull { .. }) => return Ok(Finish::ContextFull),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a judge prompt, which must end where the number follows, and returns the distribution of
    /// the score. It runs in a sequence of its own, which is emptied afterwards; the prompt pair stays.
    pub fn score(&mut self, judge_prompt: &[Token], progress: Progress) -> Result<ScoreDistribution> {
        score(&self.model, &mut self.judge, self.judge_seq, judge_prompt, progress)
    }
}
