//! Settings of one steered generation, with their defaults and ranges.

use crate::error::{Error, Result};

/// `2 ln 2`: with it the largest possible divergence (`ln 2`) cools the temperature by a factor of
/// `0.5^(1/2)`, as in the published code.
pub const DEFAULT_SIGMA: f32 = 2.0 * std::f32::consts::LN_2;

/// Smallest base temperature above greedy, as in the published code.
pub const SMALLEST_T0: f64 = 1e-6;

/// Smallest temperature a step divides by, whatever `sigma` is: below it `s / T` could leave the
/// range of `f64`.
const SMALLEST_T: f64 = 1e-30;

/// Settings of one steered generation (paper eq. 4 to 8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// Amplification *a*, from a [`Strength`](crate::Strength) or chosen by hand. Finite.
    /// 0, the default, leaves the instructed distribution as it is; negative values steer away
    /// from the instruction.
    pub amplification: f32,
    /// Gain *k* on the amplification. Finite, default 2.
    pub k: f32,
    /// Base temperature *T0*. Finite, default 0.6; zero or less means greedy, and between 0 and
    /// [`SMALLEST_T0`] counts as that.
    pub temperature: f32,
    /// Divergence scale *sigma* in nats: the temperature halves for every `sigma` of divergence.
    /// Greater than 0, default `2 ln 2`; infinity keeps the temperature fixed.
    pub sigma: f32,
    /// Floor *T_min* of the temperature. Finite and not negative, default 0 (no floor).
    pub t_min: f32,
    /// KL budget of a step in nats: the strength is lowered where the steered distribution would be further than
    /// this from the instructed one, `KL(steered || instructed)` before the temperature. At least 0; the default,
    /// infinity, is no limit, as in the paper.
    pub max_kl: f32,
    /// KL budget of an answer in nats a token: at every point of it the steered steps so far have not gone further
    /// than this on average, and none of them further than ten times this. At least 0; the default, infinity, is no
    /// limit. Samplers and engines keep to it by a [`KlBudget`](crate::steer::KlBudget); a single
    /// [`steer`](crate::steer::steer) refuses it.
    pub mean_kl: f32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            amplification: 0.0,
            k: 2.0,
            temperature: 0.6,
            sigma: DEFAULT_SIGMA,
            t_min: 0.0,
            max_kl: f32::INFINITY,
            mean_kl: f32::INFINITY,
        }
    }
}

impl Params {
    /// Checks every field's range.
    pub fn validate(&self) -> Result<()> {
        let finite =
            [("amplification", self.amplification), ("k", self.k), ("temperature", self.temperature)];
        for (field, value) in finite {
            if !value.is_finite() {
                return Err(Error::param(field, value, "finite"));
            }
        }
        if self.sigma.is_nan() || self.sigma <= 0.0 {
            return Err(Error::param("sigma", self.sigma, "greater than 0"));
        }
        if !self.t_min.is_finite() || self.t_min < 0.0 {
            return Err(Error::param("t_min", self.t_min, "finite and at least 0"));
        }
        for (field, value) in [("max_kl", self.max_kl), ("mean_kl", self.mean_kl)] {
            if value.is_nan() || value < 0.0 {
                return Err(Error::param(field, value, "at least 0; infinity is no limit"));
            }
        }
        Ok(())
    }

    /// `k * a`: how many times the difference of the two branches is added to the instructed one.
    pub fn gain(&self) -> f64 {
        f64::from(self.k) * f64::from(self.amplification)
    }

    /// Classifier-free guidance scale that this gain is the same as: `1 + k * a`.
    pub fn guidance(&self) -> f64 {
        1.0 + self.gain()
    }

    /// True when the next token is the most likely one, without a draw.
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0
    }

    /// False if a step does not depend on the plain branch: `k a = 0`, and a temperature that no
    /// divergence changes (greedy, an infinite `sigma`, or a floor above `T0`).
    pub fn needs_plain(&self) -> bool {
        self.gain() != 0.0 || self.temperature_at(0.0) != self.temperature_at(std::f64::consts::LN_2)
    }

    /// Temperature for a divergence in nats: `max(T_min, T0 * 0.5^(JS / sigma))` (paper eq. 7, 8).
    /// 0 when greedy, else greater than 0.
    pub fn temperature_at(&self, divergence: f64) -> f64 {
        if self.is_greedy() {
            return 0.0;
        }
        let t0 = f64::from(self.temperature).max(SMALLEST_T0);
        let t = t0 * (-divergence / f64::from(self.sigma)).exp2();
        t.max(f64::from(self.t_min)).max(SMALLEST_T)
    }
}
