//! One row without steering: its log-probabilities at a temperature.

use fearless_simd::prelude::*;

use super::isa::{Isa, Job};
use super::math::exp;
use super::tiles::MASKED;
use crate::error::{Error, Result};
use crate::params::SMALLEST_T0;

/// Writes the log-probabilities of one row at a temperature, for a step that is not steered: what
/// [`steer`](super::steer) writes for `k a = 0` and a divergence of 0, at a third of the cost.
///
/// # Errors
///
/// Those of [`steer`](super::steer), with the row as the `instructed` one. `logprobs` is then as it was.
pub fn temper(logits: &[f32], temperature: f32, logprobs: &mut [f32]) -> Result<()> {
    temper_with(Isa::best(), logits, temperature, logprobs)
}

/// [`temper`] on a given instruction set, for tests and benchmarks.
///
/// # Errors
///
/// Those of [`temper`], and [`Error::Param`] if this machine lacks the instruction set.
#[doc(hidden)]
pub fn temper_with(isa: Isa, logits: &[f32], temperature: f32, logprobs: &mut [f32]) -> Result<()> {
    if !temperature.is_finite() {
        return Err(Error::param("temperature", temperature, "finite"));
    }
    super::check_length("logprobs", logprobs.len(), logits.len())?;
    isa.run(Temper { logits, temperature, logprobs })?
}

struct Temper<'a> {
    logits: &'a [f32],
    temperature: f32,
    logprobs: &'a mut [f32],
}

impl Job for Temper<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let Temper { logits, temperature, logprobs } = self;
        let max = maximum(simd, logits)?;
        if temperature <= 0.0 {
            let token = logits.iter().position(|x| *x == max).unwrap_or(0);
            logprobs.fill(MASKED);
            logprobs[token] = 0.0;
            return Ok(());
        }
        let over_t = (1.0 / f64::from(temperature).max(SMALLEST_T0)) as f32;
        let mut sum = S::f64s::splat(simd, 0.0);
        each(simd, logits, |_, x| {
            let (low, high) = exp(simd, (x - max) * over_t).widen();
            sum += low + high;
        });
        let minus = sum.reduce_sum().ln() as f32;
        let masked = S::f32s::splat(simd, MASKED);
        each(simd, logits, |at, x| {
            let log_probs = ((x - max) * over_t - minus).max(f32::MIN).min(0.0);
            let out = &mut logprobs[at..];
            let values = x.simd_eq(MASKED).select(masked, log_probs);
            match out.first_chunk_mut::<16>() {
                Some(out) => values.store_slice(&mut out[..S::f32s::LEN]),
                None => {
                    let n = out.len().min(S::f32s::LEN);
                    out[..n].copy_from_slice(&values.as_slice()[..n]);
                }
            }
        });
        Ok(())
    }
}

/// Calls `f` with the place and the values of each vector of the row, the last one filled up with masked
/// tokens.
#[inline(always)]
fn each<S: Simd>(simd: S, row: &[f32], mut f: impl FnMut(usize, S::f32s)) {
    let n = S::f32s::LEN;
    let vectors = row.chunks_exact(n);
    let rest = vectors.remainder();
    for (i, values) in vectors.enumerate() {
        f(i * n, S::f32s::from_slice(simd, values));
    }
    if !rest.is_empty() {
        let mut values = [MASKED; 16];
        values[..rest.len()].copy_from_slice(rest);
        f(row.len() - rest.len(), S::f32s::from_slice(simd, &values[..n]));
    }
}

#[inline(always)]
fn maximum<S: Simd>(simd: S, logits: &[f32]) -> Result<f32> {
    if logits.is_empty() {
        return Err(Error::Length { what: "instructed", got: 0, expected: 1 });
    }
    let infinity = S::f32s::splat(simd, f32::INFINITY);
    let mut top = S::f32s::splat(simd, MASKED);
    let mut fine = top.simd_lt(infinity);
    each(simd, logits, |_, x| {
        // A comparison with NaN is false.
        fine &= x.simd_lt(infinity);
        top = top.max(x);
    });
    if !fine.all_true() {
        let token = logits.iter().position(|x| x.is_nan() || *x == f32::INFINITY).unwrap_or(0);
        return Err(Error::NotFinite { branch: "instructed", token, value: logits[token] });
    }
    match top.reduce_max() {
        MASKED => Err(Error::AllMasked { branch: "instructed" }),
        max => Ok(max),
    }
}
