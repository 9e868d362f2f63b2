//! How positions are scaled, for texts longer than those that a model was trained on.

use std::str::FromStr;

use llama_cpp_sys_2 as sys;

use super::options::{MAX_CELLS, range};
use crate::error::{Error, Result};

/// How a context scales the positions of tokens (RoPE). The default is the model's own way in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// The method. None is the model's.
    pub scaling: Option<RopeScaling>,
    /// Base of the frequencies: more than 0; 0 is the model's.
    pub freq_base: f32,
    /// Factor of the frequencies: more than 0, 0.5 is for twice the length; 0 is the model's.
    pub freq_scale: f32,
    /// YaRN: length that the model was trained for, in tokens; 0 is what its file says.
    pub yarn_orig_ctx: u32,
    /// YaRN: share of extrapolation, 0 to 1; -1 is the model's. 0 interpolates only.
    pub yarn_ext_factor: f32,
    /// YaRN: factor of the attention, at least 0; -1 is the model's.
    pub yarn_attn_factor: f32,
    /// YaRN: where extrapolation begins, at least 0; -1 is the model's.
    pub yarn_beta_fast: f32,
    /// YaRN: where interpolation begins, at least 0; -1 is the model's.
    pub yarn_beta_slow: f32,
}

impl Default for Rope {
    fn default() -> Rope {
        Rope {
            scaling: None,
            freq_base: 0.0,
            freq_scale: 0.0,
            yarn_orig_ctx: 0,
            yarn_ext_factor: -1.0,
            yarn_attn_factor: -1.0,
            yarn_beta_fast: -1.0,
            yarn_beta_slow: -1.0,
        }
    }
}

impl Rope {
    pub(super) fn validate(&self) -> Result<()> {
        for (field, value) in [("rope_freq_base", self.freq_base), ("rope_freq_scale", self.freq_scale)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::param(field, value, "more than 0 and finite, or 0 for the model's"));
            }
        }
        range("yarn_orig_ctx", self.yarn_orig_ctx, 0, MAX_CELLS)?;
        let unset = |value: f32| value == -1.0;
        if !(unset(self.yarn_ext_factor) || (0.0..=1.0).contains(&self.yarn_ext_factor)) {
            return Err(Error::param(
                "yarn_ext_factor",
                self.yarn_ext_factor,
                "0 to 1, or -1 for the model's",
            ));
        }
        for (field, value) in [
            ("yarn_attn_factor", self.yarn_attn_factor),
            ("yarn_beta_fast", self.yarn_beta_fast),
            ("yarn_beta_slow", self.yarn_beta_slow),
        ] {
            if !(unset(value) || (value.is_finite() && value >= 0.0)) {
                return Err(Error::param(field, value, "at least 0 and finite, or -1 for the model's"));
            }
        }
        Ok(())
    }

    /// Puts the settings into llama.cpp's.
    pub(super) fn set(&self, params: &mut sys::llama_context_params) {
        params.rope_scaling_type = self.scaling.map_or(-1, RopeScaling::number);
        params.rope_freq_base = self.freq_base;
        params.rope_freq_scale = self.freq_scale;
        params.yarn_orig_ctx = self.yarn_orig_ctx;
        params.yarn_ext_factor = self.yarn_ext_factor;
        params.yarn_attn_factor = self.yarn_attn_factor;
        params.yarn_beta_fast = self.yarn_beta_fast;
        params.yarn_beta_slow = self.yarn_beta_slow;
    }
}

/// A method to scale positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies alike.
    Linear,
    /// High frequencies less than low ones.
    Yarn,
}

impl RopeScaling {
    /// llama.cpp's number for it, `llama_rope_scaling_type`.
    pub fn number(self) -> i32 {
        match self {
            RopeScaling::None => sys::LLAMA_ROPE_SCALING_TYPE_NONE,
            RopeScaling::Linear => sys::LLAMA_ROPE_SCALING_TYPE_LINEAR,
            RopeScaling::Yarn => sys::LLAMA_ROPE_SCALING_TYPE_YARN,
        }
    }

    /// The setting of one of llama.cpp's numbers; None for -1, the model's.
    ///
    /// # Errors
    /// [`Error::Param`] for another number.
    pub fn of_number(number: i32) -> Result<Option<RopeScaling>> {
        let all = [RopeScaling::None, RopeScaling::Linear, RopeScaling::Yarn];
        match all.into_iter().find(|method| method.number() == number) {
            None if number != -1 => Err(Error::param(
                "rope_scaling",
                number,
                "-1 (the model's), 0 (none), 1 (linear) or 2 (YaRN)",
            )),
            method => Ok(method),
        }
    }
}

impl FromStr for RopeScaling {
    type Err = String;

    /// As llama.cpp reads it.
    fn from_str(text: &str) -> std::result::Result<RopeScaling, String> {
        match text {
            "none" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear),
            "yarn" => Ok(RopeScaling::Yarn),
            _ => Err("must be none, linear or yarn".to_owned()),
        }
    }
}
