//! One step of steering: two rows of logits in, one row of steered log-probabilities out
//! (paper eq. 2 and 4 to 8).
//!
//! With `p` and `q` the softmax of the instructed and the plain row:
//!
//! ```text
//! JS  = ( sum p ln(2p/(p+q)) + sum q ln(2q/(p+q)) ) / 2     divergence, in nats, 0 to ln 2
//! T   = max(T_min, T0 * 0.5^(JS / sigma))                   temperature
//! s   = ln p + k a (ln p - ln q)                            steered log-probabilities
//! out = log_softmax(s / T)
//! ```
//!
//! # Cost
//!
//! A step reads both rows four times and writes one; it allocates nothing. The passes are (1) maxima
//! and normalisers, (2) divergence, (3) normaliser of the steered row, (4) output. Pass 2 skips a
//! tile of 1024 tokens if none of them has a probability above `2^-41 / n` in either branch: a token adds at most `(p + q) ln 2 / 2` to JS, so JS is low by at most `3.2e-13`. Pass 3
//! takes no exponentials of a tile that adds less than `2^-53` of the sum. In the rows of language
//! models both skip little (up to 3 % of the tiles, nearly all of them unused tokens); the speed comes
//! from the work per token. What they save is masked tokens, as under a grammar.
//!
//! # Accuracy
//!
//! Exponentials and the terms of JS are `f32` (relative error about 1e-7); the steered values, every
//! difference that can cancel and all long sums are `f64`, and the result is rounded to `f32` once.
//! JS keeps a relative accuracy of about 3e-7; log-probabilities are within 2e-5 of the exact ones
//! above -30 and within 1e-6 relative below. Paths differ from one another in the last digits, so a
//! seed gives the same text only on the same kind of processor.
//!
//! # Several instructions
//!
//! With `p` the distribution that all instructions were asked of, `p_i` that of instruction `i` alone and `w_i`
//! its weight, [`steer_many`] takes `D = sum w_i (ln p_i - ln q)` in place of `ln p - ln q`: it computes `D` once,
//! in `f64`, into a row that the thread keeps, and runs the same passes on it.
//!
//! # Vectors
//!
//! There is one body, generic over the vector width, compiled for AVX-512, AVX2 with FMA, SSE2, NEON
//! and plain scalar code, and chosen once per process by what the processor has. It is written on
//! `fearless_simd`. The intrinsics of `std::arch` would need some 30 operations, written and proved
//! safe again for each instruction set. The compiler's vectoriser may not reorder sums, and its results
//! change with the compiler's version.

mod budget;
mod divergence;
mod isa;
mod limit;
mod many;
mod math;
mod nucleus;
mod passes;
mod scan;
mod steered;
mod temper;
mod tiles;
mod weights;

use crate::error::{Error, Result};
use crate::params::Params;
pub use budget::{KlBudget, MOST_STEPS_AT_ONCE};
pub use isa::Isa;
pub use many::{MOST_INSTRUCTIONS, steer_many, steer_many_in_place, steer_many_with};
pub use nucleus::Nucleus;
use passes::{MakePlan, Plan, Write};
pub use temper::{temper, temper_with};
pub use weights::Weights;

/// Name of the instruction set that [`steer`] uses on this machine: `avx512`, `avx2`, `sse2`,
/// `neon` or `portable`.
pub fn isa() -> &'static str {
    Isa::best().name()
}

/// Divergence of a step's two distributions, and the temperature that follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Jensen-Shannon divergence of the two branches, in nats, between 0 and `ln 2`.
    pub divergence: f64,
    /// Temperature applied; 0 when greedy.
    pub temperature: f64,
    /// Strength applied: `k a`, or the part of it that [`Params::max_kl`] allows.
    pub gain: f64,
    /// What that did: `KL(steered || instructed)` in nats, before the temperature. Known only where there was a
    /// strength and a budget for it.
    pub kl: Option<f64>,
}

/// Steers one step and writes the log-probabilities of the next token.
///
/// `instructed`, `plain` and `logprobs` have one value per token of the vocabulary, by token id.
/// Logits are finite or `-inf` (a masked token). On success `logprobs` is normalised:
///
/// - A token masked in `instructed` is `-inf`; no other token is, a value too small for `f32` is
///   `f32::MIN`.
/// - A token masked in `plain` only is not steered: its `s` is `ln p`.
/// - With `params.temperature <= 0` (greedy) the most likely steered token, the lowest id of equal
///   ones, gets 0 and every other one `-inf`.
/// - `k a = 0` still applies the temperature.
///
/// It keeps no state: any number of threads may call it at once.
///
/// # Errors
///
/// [`Error::Param`] for a setting out of range and for a budget of a whole answer ([`Params::mean_kl`], of which
/// [`KlBudget`] makes one of a step), [`Error::Length`] for empty rows or rows of
/// different lengths, [`Error::NotFinite`] for a logit that is NaN or `+inf`, [`Error::AllMasked`]
/// for a branch without a finite logit. `logprobs` is then as it was.
pub fn steer(instructed: &[f32], plain: &[f32], params: &Params, logprobs: &mut [f32]) -> Result<Step> {
    steer_with(Isa::best(), instructed, plain, params, logprobs)
}

/// [`steer`] with the log-probabilities written over the instructed logits, which on an error are as
/// they were.
///
/// # Errors
///
/// Those of [`steer`].
pub fn steer_in_place(instructed: &mut [f32], plain: &[f32], params: &Params) -> Result<Step> {
    let isa = Isa::best();
    let plan = plan(isa, instructed, plain, 1.0, params)?;
    isa.run(Write { plan: &plan, instructed: None, by: plain, out: instructed })
}

/// [`steer`] on a given instruction set, for tests and benchmarks.
///
/// # Errors
///
/// Those of [`steer`], and [`Error::Param`] if this machine lacks the instruction set.
#[doc(hidden)]
pub fn steer_with(
    isa: Isa,
    instructed: &[f32],
    plain: &[f32],
    params: &Params,
    logprobs: &mut [f32],
) -> Result<Step> {
    check_length("logprobs", logprobs.len(), instructed.len())?;
    let plan = plan(isa, instructed, plain, 1.0, params)?;
    isa.run(Write { plan: &plan, instructed: Some(instructed), by: plain, out: logprobs })
}

/// Everything but the output, and everything that can fail. The strength is multiplied by `weight`.
fn plan(isa: Isa, instructed: &[f32], plain: &[f32], weight: f64, params: &Params) -> Result<Plan> {
    check(instructed, plain, params)?;
    isa.run(MakePlan { instructed, plain, weight, params })?
}

/// What is refused before a row is read.
fn check(instructed: &[f32], plain: &[f32], params: &Params) -> Result<()> {
    params.validate()?;
    if params.mean_kl < f32::INFINITY {
        return Err(Error::param(
            "mean_kl",
            params.mean_kl,
            "infinity for a single step, which knows of no others",
        ));
    }
    if instructed.is_empty() {
        return Err(Error::Length { what: "instructed", got: 0, expected: 1 });
    }
    check_length("plain", plain.len(), instructed.len())
}

fn check_length(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { what, got, expected }) }
}
