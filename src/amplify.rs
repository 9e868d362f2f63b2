//! Judge score to amplification (paper eq. 3 and its alternatives).
//!
//! A judge gives the plain draft a score from 1 (ignores the instruction) to 100 (follows it fully).
//! [`amplify`] turns it into the amplification *a* of [`Params`](crate::Params): the lower the
//! score, the stronger the steering.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Which map from score `s` to amplification. The discriminants are those of the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Amplify {
    /// `2 sigmoid(100/s - 1) - 1`, from 1 down to 0: the published default.
    #[default]
    Sigmoid = 0,
    /// `exp(-s/100 - 1)`, from 0.36 down to 0.14.
    ExpDecayShifted = 1,
    /// `exp(-s/100)`, from 0.99 down to 0.37.
    ExpDecay = 2,
    /// `100/s`, from 100 down to 1.
    Inverse = 3,
    /// `1 - 2s/100`, from 0.98 down to -1: above a score of 50 it steers away from the instruction.
    LinearSigned = 4,
    /// `1 - s/100`, from 0.99 down to 0.
    Linear = 5,
    /// `cos(pi s/200)`, from 1 down to 0, flat at the top.
    Cosine = 6,
}

impl Amplify {
    /// Every function, in the order of its discriminant.
    pub const ALL: [Amplify; 7] = [
        Amplify::Sigmoid,
        Amplify::ExpDecayShifted,
        Amplify::ExpDecay,
        Amplify::Inverse,
        Amplify::LinearSigned,
        Amplify::Linear,
        Amplify::Cosine,
    ];

    /// The function's name on the command line and in data files.
    pub fn name(self) -> &'static str {
        match self {
            Amplify::Sigmoid => "sigmoid",
            Amplify::ExpDecayShifted => "exp_decay_shifted",
            Amplify::ExpDecay => "exp_decay",
            Amplify::Inverse => "inverse",
            Amplify::LinearSigned => "linear_signed",
            Amplify::Linear => "linear",
            Amplify::Cosine => "cosine",
        }
    }

    /// The function with this discriminant, as the C ABI passes it.
    pub fn from_i32(value: i32) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|function| *function as i32 == value)
            .ok_or_else(|| Error::param("amplify function", value, "between 0 and 6"))
    }
}

impl fmt::Display for Amplify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Amplify {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name).ok_or_else(|| {
            Error::param(
                "amplify function",
                format_args!("`{name}`"),
                "sigmoid, exp_decay_shifted, exp_decay, inverse, linear_signed, linear or cosine",
            )
        })
    }
}

/// Amplification *a* for a judge's `score`.
///
/// # Errors
///
/// [`Error::Param`] naming `score` unless `0 < score <= 100`, or when [`Amplify::Inverse`] of a
/// score next to 0 would not fit a finite `f32`.
pub fn amplify(function: Amplify, score: impl Into<f64>) -> Result<f64> {
    let score: f64 = score.into();
    if !(score > 0.0 && score <= 100.0) {
        return Err(Error::param("score", score, "greater than 0 and at most 100"));
    }
    // Written from the distance to a full score, so that nothing cancels near 100.
    let missing = 100.0 - score;
    let amplification = match function {
        Amplify::Sigmoid => (missing / (2.0 * score)).tanh(),
        Amplify::ExpDecayShifted => (-(score + 100.0) / 100.0).exp(),
        Amplify::ExpDecay => (-score / 100.0).exp(),
        Amplify::Inverse => 100.0 / score,
        Amplify::LinearSigned => (50.0 - score) / 50.0,
        Amplify::Linear => missing / 100.0,
        Amplify::Cosine => (PI * missing / 200.0).sin(),
    };
    if amplification > f64::from(f32::MAX) {
        return Err(Error::param("score", score, "large enough for a finite amplification"));
    }
    Ok(amplification)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_function() {
        for (number, function) in (0..).zip(Amplify::ALL) {
            assert_eq!(function as i32, number);
            assert_eq!(Amplify::from_i32(number), Ok(function));
            assert_eq!(function.name().parse(), Ok(function));
        }
        for stranger in [-1, 7, i32::MIN, i32::MAX] {
            assert_eq!(Amplify::from_i32(stranger).unwrap_err().code(), -2);
        }
        let message = "Sigmoid".parse::<Amplify>().unwrap_err().to_string();
        assert!(message.starts_with("amplify function is `Sigmoid`, must be sigmoid,"), "{message}");
    }

    #[test]
    fn scores_outside_their_range_are_refused_by_name() {
        for function in Amplify::ALL {
            for score in [0.0, -1.0, 100.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let message = amplify(function, score).unwrap_err().to_string();
                assert_eq!(message, format!("score is {score}, must be greater than 0 and at most 100"));
            }
        }
    }

    #[test]
    fn tiny_scores_give_a_finite_amplification_or_an_error() {
        for function in Amplify::ALL {
            for score in [f64::MIN_POSITIVE, f64::from(f32::from_bits(1)), 1e-30, 1e-3] {
                match amplify(function, score) {
                    Ok(a) => assert!((a as f32).is_finite()),
                    Err(_) => assert!(function == Amplify::Inverse && score < 1e-30),
                }
            }
        }
    }

    #[test]
    fn single_precision_scores_are_taken_as_they_are() {
        assert_eq!(amplify(Amplify::Inverse, 50.0_f32), Ok(2.0));
    }
}
