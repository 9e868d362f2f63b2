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
mod pace;
mod room;
mod run;
mod scheduler;
mod scoring;
mod single;
mod sizes;
mod slot;
mod top;
mod types;

pub use batch::{Batch, BatchSize};
pub use judge::{JudgeModel, LocalJudge, local_prompt, local_verdict};
pub use local_judge::ScoreDistribution;
pub use single::Engine;
pub use sizes::{MAX_N_CTX, MAX_PAIRS, MIN_N_CTX, branch_length};
pub use top::{RankedToken, TopTokens};
pub use types::{
    Answer, Arm, BatchEvent, Event, Finish, Generation, Job, Jobs, OnEvent, Prompts, SlotPhase, SlotState,
    StepRecord, Timings,
};

/// Context length of a branch when none is asked for, unless the model was trained for less.
pub const DEFAULT_N_CTX: usize = 4096;
