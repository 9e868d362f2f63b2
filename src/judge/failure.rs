//! What happens when there is no score: the caller's choice, and never an amplification.

use std::fmt;
use std::str::FromStr;

use super::{Verdict, check_score};
use crate::error::{Error, Result};

/// What to do when the judge gives no usable score.
///
/// None of the choices steers: a guessed score would decide how strongly, and in which direction,
/// the answer is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Stop with the error. The default.
    #[default]
    Error,
    /// Give the plain answer, as if no instruction had been given.
    Plain,
    /// Give the instructed answer without steering (amplification 0).
    Instructed,
}

impl OnFailure {
    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            OnFailure::Error => "error",
            OnFailure::Plain => "plain",
            OnFailure::Instructed => "instructed",
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OnFailure {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        [OnFailure::Error, OnFailure::Plain, OnFailure::Instructed]
            .into_iter()
            .find(|p| p.name() == s)
            .ok_or_else(|| Error::param("on-judge-failure", super::excerpt(s), "error, plain or instructed"))
    }
}

/// What a generation does after the judge was asked. A `match` on it cannot take a failure for a
/// score.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// Steer by this score, from 1 to 100.
    Score(f32),
    /// Give the plain answer; the failure is carried for the report.
    PlainOnly(Error),
    /// Give the instructed answer without steering; the failure is carried for the report.
    InstructedOnly(Error),
    /// Stop with this error.
    Err(Error),
}

/// Applies `policy` to a judge's result.
///
/// Only failures of the judge ([`Error::Judge`]) are covered by the policy. A cancelled call, bad
/// settings and all other errors stop the generation whatever the policy is. A score out of range,
/// which a host's own judge may hand in, counts as a failure.
pub fn resolve(result: Result<Verdict>, policy: OnFailure) -> Resolution {
    let error = match result.and_then(|v| check_score(v.score).map(|()| v.score)) {
        Ok(score) => return Resolution::Score(score),
        Err(error) => error,
    };
    match (policy, &error) {
        (OnFailure::Plain, Error::Judge { .. }) => Resolution::PlainOnly(error),
        (OnFailure::Instructed, Error::Judge { .. }) => Resolution::InstructedOnly(error),
        _ => Resolution::Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICIES: [OnFailure; 3] = [OnFailure::Error, OnFailure::Plain, OnFailure::Instructed];

    fn failed() -> Error {
        Error::Judge { reason: "no reply".into() }
    }

    #[test]
    fn a_good_score_passes_under_every_policy() {
        for policy in POLICIES {
            let v = Verdict::from_samples(vec![42.0]).unwrap();
            assert_eq!(resolve(Ok(v), policy), Resolution::Score(42.0));
        }
    }

    #[test]
    fn a_failed_judge_never_becomes_a_score() {
        assert_eq!(resolve(Err(failed()), OnFailure::Error), Resolution::Err(failed()));
        assert_eq!(resolve(Err(failed()), OnFailure::Plain), Resolution::PlainOnly(failed()));
        assert_eq!(resolve(Err(failed()), OnFailure::Instructed), Resolution::InstructedOnly(failed()));
    }

    #[test]
    fn a_score_out_of_range_is_a_failure_under_every_policy() {
        for score in [0.0, -1.0, 100.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for policy in POLICIES {
                let v = Verdict { score, samples: vec![score], deviation: None, cached: false, attempts: 0 };
                assert!(!matches!(resolve(Ok(v), policy), Resolution::Score(_)), "{score} {policy}");
            }
        }
    }

    #[test]
    fn cancelling_and_bad_settings_stop_under_every_policy() {
        for policy in POLICIES {
            assert_eq!(resolve(Err(Error::Cancelled), policy), Resolution::Err(Error::Cancelled));
            let param = Error::param("url", "x", "y");
            assert_eq!(resolve(Err(param.clone()), policy), Resolution::Err(param));
        }
    }

    #[test]
    fn names_read_back_and_others_are_refused() {
        for policy in POLICIES {
            assert_eq!(policy.name().parse::<OnFailure>().unwrap(), policy);
        }
        let e = "steer".parse::<OnFailure>().unwrap_err().to_string();
        assert!(e.contains("steer") && e.contains("error, plain or instructed"), "{e}");
        assert_eq!(OnFailure::default(), OnFailure::Error);
    }
}
