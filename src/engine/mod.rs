//! A whole engine on the built-in llama.cpp: prompts in, streamed answer out.
//!
//! One context holds the prompt pair (and, while a draft is scored, the local judge's prompt) as
//! parallel sequences. [`Engine::generate`] runs one [`Arm`]: the plain draft, the instruction-only
//! control, or the steered answer. [`Batch`] runs many of them side by side.

mod batch;
mod draw;
mod generate;
mod judge;
mod likelihood;
mod local_judge;
mod run;
mod top;

use std::sync::{Arc, Mutex, MutexGuard};

pub use batch::{Batch, BatchEvent, Job};
pub use generate::{Answer, Arm, Event, Finish, Generation, StepRecord, Timings};
pub use judge::LocalJudge;
pub use local_judge::ScoreDistribution;
pub use top::{RankedToken, TopTokens};

use crate::branch::{Pair, SharedPair, lock};
use crate::error::{Error, Result};
use crate::host::{Context, SeqId, Token};
use crate::llama::{ContextOptions, Model};

const PLAIN_SEQ: SeqId = 0;
const INSTRUCTED_SEQ: SeqId = 1;
const JUDGE_SEQ: SeqId = 2;

/// Context length of a branch when none is asked for, unless the model was trained for less.
pub const DEFAULT_N_CTX: usize = 4096;

/// The token ids of both prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// The query alone.
    pub plain: Vec<Token>,
    /// The query and the instruction.
    pub instructed: Vec<Token>,
}

/// A model's context with everything that steered generation needs; it keeps the model. May move between
/// threads; not used by two at once.
pub struct Engine {
    pair: SharedPair,
    judge: Context,
    model: Model,
    n_ctx: usize,
}

impl Engine {
    /// Makes the context. `n_ctx` is the most tokens that each branch can hold (0: the model's training
    /// length, at most [`DEFAULT_N_CTX`]); the KV cache gets twice as many cells. `options.n_ctx` and
    /// `options.n_seq_max` are set from it.
    pub fn new(model: &Model, n_ctx: usize, options: &ContextOptions) -> Result<Engine> {
        let n_ctx = branch_length(model, n_ctx);
        let cells =
            u32::try_from(2 * n_ctx).map_err(|_| Error::param("n_ctx", n_ctx, "at most 2147483647"))?;
        let options = ContextOptions { n_ctx: cells, n_seq_max: 3, ..*options };
        let context = model.new_context(&options)?;
        let mut pair = Pair::new(context.clone(), PLAIN_SEQ, INSTRUCTED_SEQ)?;
        pair.set_limit(n_ctx);
        let pair = Arc::new(Mutex::new(pair));
        Ok(Engine { pair, judge: context, model: model.clone(), n_ctx })
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
}

/// The most tokens that a branch can hold, where 0 leaves it to us.
fn branch_length(model: &Model, n_ctx: usize) -> usize {
    match n_ctx {
        0 => model.n_ctx_train().clamp(1, DEFAULT_N_CTX),
        n => n,
    }
}
