//! The pure functions: score to amplification, and one step on plain rows of logits.

use super::params::{CParams, read_params};
use super::pointer::{Out, slice};
use crate::amplify::{Amplify, amplify};
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::steer;

/// a = 2 (sigmoid(100/S - 1) - 1/2), the paper's function (eq. 3).
pub const SDA_AMPLIFY_SIGMOID: i32 = 0;
/// a = exp(-S/100 - 1)
pub const SDA_AMPLIFY_EXP_DECAY_SHIFTED: i32 = 1;
/// a = exp(-S/100)
pub const SDA_AMPLIFY_EXP_DECAY: i32 = 2;
/// a = 100/S
pub const SDA_AMPLIFY_INVERSE: i32 = 3;
/// a = 1 - 2 S/100, negative above a score of 50.
pub const SDA_AMPLIFY_LINEAR_SIGNED: i32 = 4;
/// a = 1 - S/100
pub const SDA_AMPLIFY_LINEAR: i32 = 5;
/// a = cos(pi S/200)
pub const SDA_AMPLIFY_COSINE: i32 = 6;

/// What a step of sda_steer() found out about its two distributions. This struct stays as it is, so that it
/// needs no set-up; what later versions add goes into sda_step_info.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CStep {
    /// Jensen-Shannon divergence of the two untempered distributions in nats, 0 to ln 2.
    pub divergence: f32,
    /// Temperature that was applied; 0 if the most likely token was taken.
    pub temperature: f32,
}

impl From<steer::Step> for CStep {
    fn from(step: steer::Step) -> CStep {
        CStep { divergence: step.divergence as f32, temperature: step.temperature as f32 }
    }
}

/// Turns a judge's score of the plain answer into an amplification.
///
/// `function` is one of SDA_AMPLIFY_*, `score` is greater than 0 and at most 100. A score that could not be
/// had is no score: do not pass a made-up one. `amplification` receives the result.
///
/// SDA_ERR_PARAM if `function` or `score` is out of range.
///
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_amplify(function: i32, score: f32, amplification: *mut f32) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `amplification` can be written.
        let to = unsafe { Out::new(amplification, "amplification")? };
        to.write(amplify(Amplify::from_i32(function)?, score)? as f32);
        Ok(())
    })
}

/// Steers one step: from the logits of both branches to the log-probabilities of the next token. Allocates
/// nothing.
///
/// `instructed` and `plain` hold `n_vocab` logits by token id, finite or -infinity for masked tokens. `params`
/// are the settings. `logprobs` receives `n_vocab` values whose exponentials sum to 1: steered, with the
/// temperature applied, ready for top-p and the draw. It may be `instructed` itself but must not overlap the
/// inputs otherwise. `step` receives divergence and temperature; it needs no set-up.
///
/// A token masked in `instructed` stays masked; one masked in `plain` only is not steered.
///
/// SDA_ERR_LENGTH for no vocabulary, SDA_ERR_NOT_FINITE for a logit that is NaN or +infinity,
/// SDA_ERR_ALL_MASKED for a branch with no finite logit, SDA_ERR_PARAM for a setting out of range or rows that
/// overlap, SDA_ERR_VERSION for a struct of another version. Nothing is written then.
///
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_steer(
    instructed: *const f32,
    plain: *const f32,
    n_vocab: usize,
    params: *const CParams,
    logprobs: *mut f32,
    step: *mut CStep,
) -> i32 {
    guard(|| {
        // SAFETY: the caller says that `step` can be written, the rows hold `n_vocab` values, and `params` as
        // much as its `struct_size` says.
        let (step, plain, params) = unsafe {
            (Out::new(step, "step")?, slice(plain, n_vocab, "plain")?, read_params(params)?.params)
        };
        for (pointer, name) in [(logprobs.cast_const(), "logprobs"), (instructed, "instructed")] {
            if pointer.is_null() {
                return Err(Error::Null { name });
            }
        }
        check_apart(logprobs, n_vocab, plain.as_ptr(), "a row that does not overlap plain")?;
        let in_place = std::ptr::eq(logprobs, instructed);
        if !in_place {
            check_apart(
                logprobs,
                n_vocab,
                instructed,
                "instructed itself or a row that does not overlap it",
            )?;
        }
        // SAFETY: `n_vocab` values that only this call uses; `plain` does not overlap them.
        let logprobs = unsafe { std::slice::from_raw_parts_mut(logprobs, n_vocab) };
        let done = if in_place {
            steer::steer_in_place(logprobs, plain, &params)?
        } else {
            // SAFETY: `n_vocab` values, apart from `logprobs`.
            let instructed = unsafe { slice(instructed, n_vocab, "instructed")? };
            steer::steer(instructed, plain, &params, logprobs)?
        };
        step.write(done.into());
        Ok(())
    })
}

fn check_apart(logprobs: *mut f32, n: usize, input: *const f32, allowed: &'static str) -> Result<()> {
    let bytes = n * size_of::<f32>();
    let (a, b) = (logprobs.addr(), input.addr());
    if a < b.saturating_add(bytes) && b < a.saturating_add(bytes) {
        return Err(Error::param("logprobs", "overlapping an input", allowed));
    }
    Ok(())
}
