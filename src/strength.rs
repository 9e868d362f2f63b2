//! How strongly to steer: the one way from a score, a guidance scale or an amplification to [`Params`].

use crate::amplify::{Amplify, amplify};
use crate::error::{Error, Result};
use crate::params::Params;

/// Guidance scale when nobody says how strongly to steer.
pub const DEFAULT_GUIDANCE: f32 = 1.5;

/// How strongly to steer. The default is a guidance scale of [`DEFAULT_GUIDANCE`].
///
/// It is a number that somebody gave, and becomes an amplification only together with the gain *k* of
/// [`Params`], in [`Strength::apply`]. Whatever else limits the steering belongs here as well, so that it
/// travels with the number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    Score { score: f64, function: Amplify },
    Guidance(f32),
    Amplification(f32),
}

impl Default for Strength {
    fn default() -> Self {
        Strength::guidance(DEFAULT_GUIDANCE)
    }
}

impl Strength {
    /// By a judge's score of the plain answer, greater than 0 and at most 100, through `function` (paper
    /// eq. 3): the lower, the stronger.
    pub fn score(score: impl Into<f64>, function: Amplify) -> Strength {
        Strength { origin: Origin::Score { score: score.into(), function } }
    }

    /// By a guidance scale `1 + k a`, finite: 1 is the instruction alone, more is stronger.
    pub fn guidance(guidance: f32) -> Strength {
        Strength { origin: Origin::Guidance(guidance) }
    }

    /// By an amplification *a*, finite: 0 is the instruction alone, more is stronger.
    pub fn amplification(amplification: f32) -> Strength {
        Strength { origin: Origin::Amplification(amplification) }
    }

    /// The score that decides it, if one does.
    pub fn of_score(&self) -> Option<f64> {
        match self.origin {
            Origin::Score { score, .. } => Some(score),
            Origin::Guidance(_) | Origin::Amplification(_) => None,
        }
    }

    /// `base` with the amplification that this strength is under the gain of `base`.
    ///
    /// # Errors
    /// [`Error::Param`] that names `score`, `guidance`, `amplification` or `k` when no finite amplification
    /// follows: a score outside its range, a number that is not finite, a guidance scale at a gain of 0, or
    /// one so large for the gain that the quotient overflows. Then those of [`Params::validate`].
    pub fn apply(&self, base: &Params) -> Result<Params> {
        let amplification = match self.origin {
            Origin::Score { score, function } => amplify(function, score)? as f32,
            Origin::Amplification(amplification) => amplification,
            Origin::Guidance(guidance) if !guidance.is_finite() => {
                return Err(Error::param("guidance", guidance, "finite"));
            }
            Origin::Guidance(_) if base.k == 0.0 => {
                return Err(Error::param("k", base.k, "another number for a guidance scale"));
            }
            Origin::Guidance(_) if !base.k.is_finite() => return Err(Error::param("k", base.k, "finite")),
            Origin::Guidance(guidance) => {
                let amplification = (guidance - 1.0) / base.k;
                if !amplification.is_finite() {
                    return Err(Error::param("guidance", guidance, "small enough for this k"));
                }
                amplification
            }
        };
        let params = Params { amplification, ..*base };
        params.validate()?;
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amplification(strength: Strength, k: f32) -> Result<f32> {
        strength.apply(&Params { k, ..Params::default() }).map(|params| params.amplification)
    }

    #[test]
    fn the_default_is_one_and_a_half_times_the_instruction() {
        let params = Strength::default().apply(&Params::default()).unwrap();
        assert_eq!((params.guidance(), params.amplification), (1.5, 0.25));
        assert_eq!(Strength::default().of_score(), None);
    }

    #[test]
    fn each_origin_gives_its_amplification_and_leaves_the_other_settings() {
        let base = Params { k: 4.0, temperature: 0.3, sigma: 0.01, t_min: 0.2, ..Params::default() };
        for (strength, expected) in [
            (Strength::score(50.0_f32, Amplify::Inverse), 2.0),
            (Strength::score(100, Amplify::Sigmoid), 0.0),
            (Strength::guidance(3.0), 0.5),
            (Strength::guidance(1.0), 0.0),
            (Strength::guidance(-1.0), -0.5),
            (Strength::amplification(-0.75), -0.75),
        ] {
            assert_eq!(strength.apply(&base), Ok(Params { amplification: expected, ..base }));
        }
        assert_eq!(Strength::score(33.3, Amplify::Linear).of_score(), Some(33.3));
        assert_eq!(Strength::amplification(1.0).of_score(), None);
    }

    #[test]
    fn what_the_base_was_steered_by_plays_no_part() {
        let base = Params { amplification: 9.0, ..Params::default() };
        assert_eq!(Strength::amplification(0.0).apply(&base), Ok(Params::default()));
    }

    #[test]
    fn odd_values_are_refused_by_field_value_and_range() {
        let score = |score: f64| amplification(Strength::score(score, Amplify::Sigmoid), 2.0);
        let (guidance, plain) = (Strength::guidance, Strength::amplification);
        for (result, message) in [
            (score(0.0), "score is 0, must be greater than 0 and at most 100"),
            (score(-1.0), "score is -1, must be greater than 0 and at most 100"),
            (score(100.5), "score is 100.5, must be greater than 0 and at most 100"),
            (score(f64::NAN), "score is NaN, must be greater than 0 and at most 100"),
            (
                amplification(Strength::score(f64::MIN_POSITIVE, Amplify::Inverse), 2.0),
                "must be large enough for a finite amplification",
            ),
            (amplification(guidance(f32::NAN), 2.0), "guidance is NaN, must be finite"),
            (amplification(guidance(f32::INFINITY), 0.0), "guidance is inf, must be finite"),
            (amplification(guidance(1.5), 0.0), "k is 0, must be another number for a guidance scale"),
            (amplification(guidance(1.0), -0.0), "k is -0, must be another number for a guidance scale"),
            (amplification(guidance(f32::MAX), 1e-3), "must be small enough for this k"),
            (amplification(guidance(1.5), f32::NAN), "k is NaN, must be finite"),
            (amplification(plain(f32::NEG_INFINITY), 2.0), "amplification is -inf, must be finite"),
            (amplification(plain(0.5), f32::INFINITY), "k is inf, must be finite"),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.code(), -2);
            assert!(error.to_string().contains(message), "{error}, expected {message}");
        }
    }

    #[test]
    fn the_smallest_and_the_largest_numbers_stay_what_they_are() {
        for a in [f32::MIN, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, f32::MAX, 0.0, -0.0] {
            assert_eq!(amplification(Strength::amplification(a), 2.0), Ok(a));
        }
        assert_eq!(
            amplification(Strength::amplification(1.0), 0.0),
            Ok(1.0),
            "k = 0 only forbids a guidance"
        );
        assert_eq!(amplification(Strength::score(50, Amplify::Linear), 0.0), Ok(0.5));
    }
}
