//! What a host gets to know of an answer: of each token, and at its end.

use super::super::sized::{SizedStruct, init_sized};
use crate::engine::{Answer, Finish, StepRecord};
use crate::guard::guard;

/// The model ended its answer.
pub const SDA_FINISH_END: i32 = 0;
/// The wanted number of tokens is there.
pub const SDA_FINISH_LENGTH: i32 = 1;
/// A stop text was generated.
pub const SDA_FINISH_STOP: i32 = 2;
/// The context has no room for another token.
pub const SDA_FINISH_CONTEXT_FULL: i32 = 3;
/// The callback or sda_engine_cancel() stopped it.
pub const SDA_FINISH_CANCELLED: i32 = 4;

/// A token of an answer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CToken {
    /// Size of this struct as the library knows it; later versions only append.
    pub struct_size: usize,
    /// Index in the answer, from 0.
    pub index: usize,
    /// Token id.
    pub token: i32,
    /// Jensen-Shannon divergence of the two branches in nats; NaN if the answer is not steered.
    pub divergence: f32,
    /// Temperature that the token was drawn at; 0 if the most likely one was taken.
    pub temperature: f32,
    /// Guidance scale 1 + k a that was in force; NaN if the answer is not steered.
    pub guidance: f32,
    /// Log-probability of the token in the plain branch, untempered; NaN if `trace` is off.
    pub logprob_plain: f32,
    /// Log-probability of the token in the instructed branch, untempered; NaN if `trace` is off.
    pub logprob_instructed: f32,
}

impl From<&StepRecord> for CToken {
    fn from(record: &StepRecord) -> CToken {
        let number = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
        CToken {
            struct_size: size_of::<CToken>(),
            index: record.step,
            token: record.token,
            divergence: number(record.divergence),
            temperature: record.temperature as f32,
            guidance: number(record.guidance),
            logprob_plain: number(record.logprob_plain),
            logprob_instructed: number(record.logprob_instructed),
        }
    }
}

/// What an answer cost. Set it up with sda_answer_init().
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CAnswer {
    /// Size of this struct as the caller knows it; sda_answer_init() sets it.
    pub struct_size: usize,
    /// Tokens of the answer.
    pub n_tokens: usize,
    /// Why it ended, SDA_FINISH_*.
    pub finish: i32,
    /// Mean divergence of the branches in nats; NaN if the answer is not steered or empty.
    pub mean_divergence: f32,
    /// Tokens that both prompts begin with, and that are held once for both.
    pub prefill_shared: usize,
    /// Tokens of the prompts that were decoded.
    pub prefill_decoded: usize,
    /// Tokens of the prompts that were in the KV cache from earlier calls.
    pub prefill_reused: usize,
    /// Milliseconds spent on reading the prompts.
    pub prefill_ms: f64,
    /// Milliseconds spent in llama_decode on the answer's tokens.
    pub decode_ms: f64,
    /// Milliseconds spent on steering and drawing.
    pub sample_ms: f64,
    /// Tokens of the draft that a judge scored; 0 if none was asked.
    pub n_draft: usize,
    /// Which distribution the answer was drawn from, SDA_ARM_*: without a score as `on_judge_failure` says.
    pub arm: i32,
    /// SDA_OK, or why the judge gave no score.
    pub judge_status: i32,
    /// The judge's score, 1 to 100; 0 if there is none.
    pub score: f32,
    /// Standard deviation of the score under the judge's distribution, in points.
    pub spread: f32,
}

impl From<&Answer> for CAnswer {
    fn from(answer: &Answer) -> CAnswer {
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        CAnswer {
            n_tokens: answer.tokens.len(),
            finish: match answer.finish {
                Finish::EndOfGeneration => SDA_FINISH_END,
                Finish::Length => SDA_FINISH_LENGTH,
                Finish::StopText => SDA_FINISH_STOP,
                Finish::ContextFull => SDA_FINISH_CONTEXT_FULL,
                Finish::Cancelled => SDA_FINISH_CANCELLED,
            },
            mean_divergence: answer.mean_divergence.map_or(f32::NAN, |js| js as f32),
            prefill_shared: answer.prefill.shared,
            prefill_decoded: answer.prefill.decoded,
            prefill_reused: answer.prefill.reused,
            prefill_ms: ms(answer.timings.prefill),
            decode_ms: ms(answer.timings.decode),
            sample_ms: ms(answer.timings.sample),
            ..CAnswer::default()
        }
    }
}

// SAFETY: C's layout and numbers; the size comes first.
unsafe impl SizedStruct for CAnswer {
    const NAME: &'static str = "sda_answer";
    const SMALLEST: usize = std::mem::offset_of!(CAnswer, finish);

    fn defaults() -> CAnswer {
        CAnswer::default()
    }
}

/// Sets a struct up to be written to; `size` is sizeof *answer. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_answer_init(answer: *mut CAnswer, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `answer`.
    guard(|| unsafe { init_sized(answer, size) })
}
