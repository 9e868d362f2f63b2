//! A judge's score, and who can give one.

use super::JudgeRequest;
use crate::error::{Error, Result};

/// Lowest score there is.
pub const MIN_SCORE: f32 = 1.0;
/// Highest score there is.
pub const MAX_SCORE: f32 = 100.0;

/// A judge's score.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Mean of `samples`, from 1 to 100.
    pub score: f32,
    /// The single scores, each from 1 to 100; one unless several were asked for. Never empty.
    pub samples: Vec<f32>,
    /// Standard deviation of the score in points, of a judge that gives a distribution instead of samples.
    pub deviation: Option<f64>,
    /// True when the score was read from the cache and the judge was not asked.
    pub cached: bool,
    /// How many requests were sent for it, retries included. 0 when cached or judged by the loaded model.
    pub attempts: u32,
}

impl Verdict {
    /// Averages single scores.
    ///
    /// # Errors
    /// [`Error::Judge`] when there is none or one is not a number from 1 to 100.
    pub fn from_samples(samples: Vec<f32>) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::Judge { reason: "no scores to average".into() });
        }
        for &s in &samples {
            check_score(s)?;
        }
        let sum: f64 = samples.iter().map(|&s| f64::from(s)).sum();
        let score = (sum / samples.len() as f64) as f32;
        Ok(Verdict { score, samples, deviation: None, cached: false, attempts: 0 })
    }

    /// How sure the score is, in points: the judge's own standard deviation, else that of the samples (divided
    /// by n), which is 0 for a single one.
    pub fn spread(&self) -> f64 {
        if let Some(deviation) = self.deviation {
            return deviation;
        }
        let n = self.samples.len().max(1) as f64;
        let mean = self.samples.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
        let var = self.samples.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n;
        // No more digits than the samples have.
        f64::from(var.sqrt() as f32)
    }
}

/// Anything that scores drafts: the HTTP client, the local model, a host's callback.
pub trait Judge {
    /// Scores `request.draft`.
    ///
    /// `cancel` is asked from the calling thread, several times a second during any wait; once it
    /// returns true the call returns [`Error::Cancelled`].
    ///
    /// # Errors
    /// [`Error::Judge`] when no usable score came back, [`Error::Cancelled`], [`Error::Param`] for a
    /// request without a criterion.
    fn score(&mut self, request: &JudgeRequest<'_>, cancel: &dyn Fn() -> bool) -> Result<Verdict>;

    /// A short name for reports, such as `model at host:port`. Holds no secret.
    fn describe(&self) -> String;
}

/// The one check of a score's range, for every way a score can come in.
pub(crate) fn check_score(score: f32) -> Result<()> {
    if (MIN_SCORE..=MAX_SCORE).contains(&score) {
        return Ok(());
    }
    Err(Error::Judge { reason: format!("score {score} is not from 1 to 100") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_averaged_and_their_spread_is_given() {
        let v = Verdict::from_samples(vec![10.0, 20.0, 60.0]).unwrap();
        assert_eq!(v.score, 30.0);
        assert!((v.spread() - 21.602_47).abs() < 1e-4);
        assert_eq!(Verdict::from_samples(vec![7.5]).unwrap().spread(), 0.0);
    }

    #[test]
    fn a_sample_out_of_range_spoils_the_verdict() {
        for bad in [0.0, 0.99, 100.01, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Verdict::from_samples(vec![50.0, bad]).is_err(), "{bad}");
        }
        assert!(Verdict::from_samples(vec![]).is_err());
    }
}
