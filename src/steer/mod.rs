//! One step of steering: two rows of logits in, one row of steered log-probabilities out
//! (paper eq. 2 and 4 to 8).
//!
//! With `p` and `q` the softmax of the instructed and the plain row:
//!
//! ```text
//! JS = ( sum p ln(2p/(p+q)) + sum q ln(2q/(p+q)) ) / 2        divergence, in nats, 0..=ln 2
//! T  = max(T_min, T0 * 0.5^(JS / sigma))                      temperature
//! s  = ln p + k a (ln p - ln q)                               steered log-probabilities
//! out = log_softmax(s / T)
//! ```

use std::fmt;

use crate::error::{Error, Result};
use crate::params::Params;

/// An implementation of the step for one instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// Any processor.
    Portable,
}

impl Isa {
    /// The name that [`isa`] reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
        }
    }

    /// Every implementation that this machine can run.
    pub fn available() -> impl Iterator<Item = Isa> {
        [Isa::Portable].into_iter()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Name of the implementation that [`steer`] uses on this machine.
pub fn isa() -> &'static str {
    Isa::Portable.name()
}

/// What a step found out about its two distributions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Jensen-Shannon divergence of the two branches, in nats, between 0 and `ln 2`.
    pub divergence: f64,
    /// Temperature applied; 0 when greedy.
    pub temperature: f64,
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
/// # Errors
///
/// [`Error::Param`] for a setting out of range, [`Error::Length`] for empty rows or rows of
/// different lengths, [`Error::NotFinite`] for a logit that is NaN or `+inf`, [`Error::AllMasked`]
/// for a branch without a finite logit. `logprobs` is then as it was.
pub fn steer(instructed: &[f32], plain: &[f32], params: &Params, logprobs: &mut [f32]) -> Result<Step> {
    steer_with(Isa::Portable, instructed, plain, params, logprobs)
}

/// [`steer`] by a given implementation, for tests and benchmarks.
#[doc(hidden)]
pub fn steer_with(
    _isa: Isa,
    instructed: &[f32],
    plain: &[f32],
    params: &Params,
    logprobs: &mut [f32],
) -> Result<Step> {
    check_length("logprobs", logprobs.len(), instructed.len())?;
    let plan = Plan::new(instructed, plain, params)?;
    for (i, out) in logprobs.iter_mut().enumerate() {
        *out = plan.value(i, instructed[i], plain[i]);
    }
    Ok(plan.step)
}

/// [`steer`] with the log-probabilities written over the instructed logits.
pub fn steer_in_place(instructed: &mut [f32], plain: &[f32], params: &Params) -> Result<Step> {
    let plan = Plan::new(instructed, plain, params)?;
    for (i, out) in instructed.iter_mut().enumerate() {
        *out = plan.value(i, *out, plain[i]);
    }
    Ok(plan.step)
}

fn check_length(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { what, got, expected }) }
}

/// Maximum and `ln sum exp(x - maximum)` of a row.
struct Row {
    max: f64,
    log_sum: f64,
}

impl Row {
    fn new(branch: &'static str, logits: &[f32]) -> Result<Self> {
        if let Some(token) = logits.iter().position(|x| x.is_nan() || *x == f32::INFINITY) {
            return Err(Error::NotFinite { branch, token, value: logits[token] });
        }
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if max == f32::NEG_INFINITY {
            return Err(Error::AllMasked { branch });
        }
        let max = f64::from(max);
        let sum: f64 = logits.iter().map(|x| (f64::from(*x) - max).exp()).sum();
        Ok(Row { max, log_sum: sum.ln() })
    }

    fn log_prob(&self, x: f32) -> f64 {
        (f64::from(x) - self.max) - self.log_sum
    }
}

/// All that a step's last pass needs.
struct Plan {
    instructed: Row,
    plain: Row,
    step: Step,
    strength: f64,
    /// Token of the largest steered value, lowest id first.
    best: usize,
    max: f64,
    log_sum: f64,
}

impl Plan {
    fn new(instructed: &[f32], plain: &[f32], params: &Params) -> Result<Self> {
        params.validate()?;
        if instructed.is_empty() {
            return Err(Error::Length { what: "instructed", got: 0, expected: 1 });
        }
        check_length("plain", plain.len(), instructed.len())?;
        let rows = (Row::new("instructed", instructed)?, Row::new("plain", plain)?);
        let pairs = || instructed.iter().copied().zip(plain.iter().copied());
        let mut sum = 0.0;
        for (x, y) in pairs() {
            let (lp, lq) = (rows.0.log_prob(x), rows.1.log_prob(y));
            let (p, q) = (lp.exp(), lq.exp());
            let mean = 0.5 * (p + q);
            if p > 0.0 {
                sum += p * (p / mean).ln();
            }
            if q > 0.0 {
                sum += q * (q / mean).ln();
            }
        }
        let divergence = (0.5 * sum).clamp(0.0, std::f64::consts::LN_2);
        let temperature = params.temperature_at(divergence);
        let mut plan = Plan {
            instructed: rows.0,
            plain: rows.1,
            step: Step { divergence, temperature },
            strength: params.strength(),
            best: 0,
            max: f64::NEG_INFINITY,
            log_sum: 0.0,
        };
        for (i, (x, y)) in pairs().enumerate() {
            let z = plan.tempered(x, y);
            if z > plan.max {
                (plan.best, plan.max) = (i, z);
            }
        }
        plan.log_sum = pairs().map(|(x, y)| (plan.tempered(x, y) - plan.max).exp()).sum::<f64>().ln();
        Ok(plan)
    }

    /// `s / T` of one token.
    fn tempered(&self, x: f32, y: f32) -> f64 {
        let lp = self.instructed.log_prob(x);
        let t = if self.step.temperature > 0.0 { self.step.temperature } else { 1.0 };
        if x == f32::NEG_INFINITY || y == f32::NEG_INFINITY {
            return lp / t;
        }
        (lp + self.strength * (lp - self.plain.log_prob(y))) / t
    }

    fn value(&self, i: usize, x: f32, y: f32) -> f32 {
        if self.step.temperature == 0.0 {
            return if i == self.best { 0.0 } else { f32::NEG_INFINITY };
        }
        if x == f32::NEG_INFINITY {
            return x;
        }
        (((self.tempered(x, y) - self.max) - self.log_sum).max(f64::from(f32::MIN)) + 0.0) as f32
    }
}
