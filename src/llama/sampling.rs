//! Settings of the samplers after the steering.

use crate::error::{Error, Result};
use crate::steer::Nucleus;

/// Settings of the samplers after the steering. Temperature is not among them: it belongs to the
/// steering ([`crate::Params`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Seed of the draw.
    pub seed: u32,
    /// Keep the most likely tokens only, this many; 0 keeps all.
    pub top_k: i32,
    /// Nucleus: keep the fewest tokens that hold this much of the probability; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Tokens that the penalties look back on; 0 turns them off, -1 is the whole context.
    pub repeat_last_n: i32,
    /// Penalty on repeated tokens; 1 is none.
    pub repeat_penalty: f32,
    /// Penalty for each earlier use of a token; 0 is none.
    pub frequency_penalty: f32,
    /// Penalty for any earlier use of a token; 0 is none.
    pub presence_penalty: f32,
    /// Choose the most likely token instead of drawing.
    pub greedy: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            seed: 0,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            greedy: false,
        }
    }
}

impl Sampling {
    /// Checks every field's range.
    pub fn validate(&self) -> Result<()> {
        let unit = [("top_p", self.top_p), ("min_p", self.min_p)];
        for (field, value) in unit {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::param(field, value, "at least 0 and at most 1"));
            }
        }
        if self.top_k < 0 {
            return Err(Error::param("top_k", self.top_k, "at least 0"));
        }
        if self.repeat_last_n < -1 {
            return Err(Error::param("repeat_last_n", self.repeat_last_n, "at least -1"));
        }
        if !(self.repeat_penalty > 0.0 && self.repeat_penalty.is_finite()) {
            return Err(Error::param("repeat_penalty", self.repeat_penalty, "finite and greater than 0"));
        }
        for (field, value) in
            [("frequency_penalty", self.frequency_penalty), ("presence_penalty", self.presence_penalty)]
        {
            if !value.is_finite() {
                return Err(Error::param(field, value, "finite"));
            }
        }
        Ok(())
    }

    pub(super) fn has_penalties(&self) -> bool {
        self.repeat_last_n != 0
            && (self.repeat_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0)
    }

    /// True if the draw depends on nothing but the most likely tokens, those that [`Sampling::best`] keeps.
    pub fn needs_only_the_best(&self) -> bool {
        !self.has_penalties() && (self.greedy || self.top_k > 0 || self.top_p < 1.0)
    }

    /// What top-k and top-p keep of a row of log-probabilities, as [`Nucleus::select`] gives it.
    pub fn best<'n>(
        &self,
        nucleus: &'n mut Nucleus,
        logprobs: &[f32],
    ) -> impl ExactSizeIterator<Item = (usize, f32)> + 'n {
        let (top_k, top_p) = if self.greedy { (1, 1.0) } else { (self.top_k as usize, self.top_p) };
        nucleus.select(logprobs, top_k, top_p)
    }
}
