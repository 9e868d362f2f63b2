//! A whole engine on the built-in llama.cpp: prompts in, streamed answer out.
//!
//! One context holds the prompt pair (and, while the model scores its own draft, the judge's prompt) as
//! parallel sequences; a [`JudgeModel`] has a context of its own. [`Engine::generate`] runs one [`Arm`]: the plain draft, the instruction-only
//! control, or the steered answer. [`Batch`] runs many of them side by side.

mod batch;
mod draw;
mod judge;
mod likelihood;
mod local_judge;
mod run;
mod scheduler;
mod single;
mod top;
mod types;

pub use batch::{Batch, BatchSize};
pub use judge::{JudgeModel, LocalJudge};
pub use local_judge::ScoreDistribution;
pub use single::Engine;
pub use top::{RankedToken, TopTokens};
pub use types::{Answer, Arm, BatchEvent, Event, Finish, Generation, Job, Prompts, StepRecord, Timings};

use crate::error::{Error, Result};
use crate::llama::Model;
use crate::steer::MOST_INSTRUCTIONS;

/// Context length of a branch when none is asked for, unless the model was trained for less.
pub const DEFAULT_N_CTX: usize = 4096;

/// The most tokens that a branch can hold: `n_ctx`, or for 0 the model's training length, at most [`DEFAULT_N_CTX`].
pub fn branch_length(model: &Model, n_ctx: usize) -> usize {
    match n_ctx {
        0 => model.n_ctx_train().clamp(1, DEFAULT_N_CTX),
        n => n,
    }
}

/// Error if a pair cannot have as many branches of single instructions.
fn check_singles(n_singles: usize) -> Result<()> {
    if n_singles > MOST_INSTRUCTIONS {
        return Err(Error::param("n_singles", n_singles, "at most 8"));
    }
    Ok(())
}
