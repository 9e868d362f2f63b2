//! How much each of several instructions counts.

use super::many::MOST_INSTRUCTIONS;
use crate::error::{Error, Result};

/// How much each branch counts in `sum w_i (ln p_i - ln q)`, by which a step is steered.
///
/// The default is one instruction of weight 1: the instructed branch counts, and there is no other.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Of the instructed branch itself: that of the only instruction that it holds, or 0 where each of several
    /// has a branch of its own.
    pub instructed: f32,
    /// Of the branches of single instructions. A negative weight steers away from the instruction.
    pub singles: Vec<f32>,
}

impl Default for Weights {
    fn default() -> Self {
        Weights { instructed: 1.0, singles: Vec::new() }
    }
}

impl Weights {
    /// Error unless all are finite and there are at most [`MOST_INSTRUCTIONS`] single ones.
    pub fn validate(&self) -> Result<()> {
        if self.singles.len() > MOST_INSTRUCTIONS {
            return Err(Error::param("instructions", self.singles.len(), "at most 8"));
        }
        for &weight in [self.instructed].iter().chain(&self.singles) {
            check_weight(weight)?;
        }
        Ok(())
    }
}

pub(super) fn check_weight(weight: f32) -> Result<()> {
    if weight.is_finite() { Ok(()) } else { Err(Error::param("weights", weight, "finite")) }
}
