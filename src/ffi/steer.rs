//! The pure functions: score to amplification, and one step on plain rows of logits.

use super::params::{CParams, read_params};
use super::pointer::{Out, slice};
use super::report::CStepInfo;
use super::sized::SizedOut;
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

/// The most instructions that a step can be steered by.
pub const SDA_MOST_INSTRUCTIONS: i32 = 8;

const _: () = assert!(SDA_MOST_INSTRUCTIONS as usize == steer::MOST_INSTRUCTIONS);

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

/// Steers one step by several instructions, each with a weight of its own: as sda_steer(), but the instructed
/// log-probabilities move by k a times the sum of weight * (ln p_i - ln q) over the instructions, where p_i is the
/// distribution of one instruction alone and q the plain one.
///
/// `instructed` holds the logits of the branch whose prompt has all instructions, `plain` those of the query alone,
/// and `others` points to `n_others` rows of one instruction alone each; all rows hold `n_vocab` logits. `weights`
/// holds a finite weight for each of `others`; a negative one steers away from its instruction, which is then to be
/// left out of the prompt of `instructed`. A row of `others` may be `instructed` itself: with one instruction it is,
/// and with a weight of 1 the result is that of sda_steer(). At most SDA_MOST_INSTRUCTIONS; with 0 both arrays may
/// be NULL, and nothing is steered.
///
/// `params` are the settings; the temperature follows from the divergence of `instructed` and `plain`, and `max_kl`
/// limits the way from `instructed`. `logprobs` is as for sda_steer(). `info` receives divergence, temperature and
/// the part of k a that was applied, without the weights; it may be NULL.
///
/// A token masked in `instructed` stays masked. An instruction has no say about a token that is masked in its row or
/// in `plain`.
///
/// It allocates 8 bytes for each token of the vocabulary when a thread first calls it, and keeps them for that
/// thread.
///
/// Errors are those of sda_steer(); SDA_ERR_PARAM also for too many instructions and a weight that is not finite.
///
/// Any number of threads may call it at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_steer_many(
    instructed: *const f32,
    plain: *const f32,
    others: *const *const f32,
    weights: *const f32,
    n_others: usize,
    n_vocab: usize,
    params: *const CParams,
    logprobs: *mut f32,
    info: *mut CStepInfo,
) -> i32 {
    guard(|| {
        if n_others > steer::MOST_INSTRUCTIONS {
            return Err(Error::param("n_others", n_others, "at most 8"));
        }
        // SAFETY: the caller says that `info` is NULL or has its `struct_size`, the rows hold `n_vocab` values, the
        // arrays `n_others`, and `params` as much as its `struct_size` says.
        let (to, plain, params, pointers, weights) = unsafe {
            let to = SizedOut::optional(info, "info")?;
            let (pointers, weights): (&[*const f32], &[f32]) = match n_others {
                0 => (&[], &[]),
                n => (slice(others, n, "others")?, slice(weights, n, "weights")?),
            };
            (to, slice(plain, n_vocab, "plain")?, read_params(params)?.params, pointers, weights)
        };
        for (pointer, name) in [(logprobs.cast_const(), "logprobs"), (instructed, "instructed")] {
            if pointer.is_null() {
                return Err(Error::Null { name });
            }
        }
        let in_place = std::ptr::eq(logprobs, instructed);
        let itself = "instructed itself or a row that does not overlap it";
        if !in_place {
            check_apart(logprobs, n_vocab, instructed, itself)?;
        }
        check_apart(logprobs, n_vocab, plain.as_ptr(), "a row that does not overlap plain")?;
        // Where the results go over the instructed row, that row has its weight apart from the others.
        let (mut own, mut count) = (0.0, 0);
        let mut rows: [(&[f32], f32); steer::MOST_INSTRUCTIONS] = [(&[], 0.0); steer::MOST_INSTRUCTIONS];
        for (&pointer, &weight) in pointers.iter().zip(weights) {
            if in_place && std::ptr::eq(pointer, instructed) {
                own += weight;
                continue;
            }
            check_apart(logprobs, n_vocab, pointer, "a row that does not overlap others")?;
            // SAFETY: `n_vocab` values, apart from `logprobs`.
            rows[count] = (unsafe { slice(pointer, n_vocab, "others")? }, weight);
            count += 1;
        }
        let (others, weights) = (rows.map(|row| row.0), rows.map(|row| row.1));
        let (others, weights) = (&others[..count], &weights[..count]);
        // SAFETY: `n_vocab` values that only this call uses; no other row overlaps them.
        let logprobs = unsafe { std::slice::from_raw_parts_mut(logprobs, n_vocab) };
        let done = if in_place {
            steer::steer_many_in_place(logprobs, own, plain, others, weights, &params)?
        } else {
            // SAFETY: `n_vocab` values, apart from `logprobs`.
            let instructed = unsafe { slice(instructed, n_vocab, "instructed")? };
            steer::steer_many(instructed, plain, others, weights, &params, logprobs)?
        };
        if let Some(to) = to {
            to.write(&done.into());
        }
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
