//! The KL budget of an answer: what its steps may spend together.

use super::Step;
use crate::params::Params;

/// How many steps' worth of the budget one step may spend at the most.
pub const MOST_STEPS_AT_ONCE: f64 = 10.0;

/// What the steps of an answer have spent of [`Params::mean_kl`].
///
/// A budget that each step has for itself cuts the steps that matter and is left unused at all others. Here a step may
/// spend what earlier ones left: after any number of steps they have spent no more than `mean_kl` each on average,
/// and none of them more than [`MOST_STEPS_AT_ONCE`] times that. Only steps that are steered count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KlBudget {
    steps: u64,
    spent: f64,
}

impl KlBudget {
    /// Settings of the next step: with what is left of the answer's budget as its `max_kl`, where that is less.
    #[must_use]
    pub fn limit(&self, params: &Params) -> Params {
        let mean = f64::from(params.mean_kl);
        if mean == f64::INFINITY {
            return *params;
        }
        let left = mean * (self.steps + 1) as f64 - self.spent;
        let left = left.clamp(0.0, MOST_STEPS_AT_ONCE * mean) as f32;
        Params { max_kl: params.max_kl.min(left), mean_kl: f32::INFINITY, ..*params }
    }

    /// Takes note of a step whose token belongs to the answer.
    pub fn spend(&mut self, step: &Step) {
        if let Some(kl) = step.kl {
            self.steps += 1;
            self.spent += kl;
        }
    }
}
