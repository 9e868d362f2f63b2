//! Stage 1 of SDA: a judge scores the plain draft, and the score decides the amplification.
//!
//! A [`Judge`] takes a query, the plain draft that answers it and a criterion, and gives a
//! [`Verdict`] of 1 to 100: how well the draft meets the criterion *before* any steering. Through
//! [`crate::amplify`] a low score becomes a strong steering and a high score a weak one (paper
//! eq. 3).
//!
//! The rule of this module is that a judge never fails silently. Whatever is not exactly one number
//! in the agreed place is an [`Error::Judge`] that shows what came back, and [`resolve`] turns a
//! failure into an error, the plain answer or the merely instructed answer, as the caller chose:
//! never into an amplification.
//!
//! Always available, for hosts that bring their own scorer:
//!
//! - [`Template`] builds the judge's prompt around an untrusted draft,
//! - [`parse_score`] reads the reply,
//! - [`resolve`] applies the [`OnFailure`] policy.
//!
//! With feature `judge`, `Client` asks any OpenAI-compatible server over HTTP or HTTPS. The order of
//! calls: fill in `Settings`, make one `Client` from them, give it a `Cache` and a warning callback
//! if wanted, then call `Client::score` from any number of threads, or have [`score_each`] make the
//! threads.

#[cfg(feature = "judge")]
mod cache;
#[cfg(feature = "judge")]
mod client;
#[cfg(feature = "judge")]
mod endpoint;
mod failure;
#[cfg(feature = "judge")]
mod http;
#[cfg(feature = "judge")]
mod key;
mod many;
mod nonce;
mod parse;
mod prompt;
#[cfg(feature = "judge")]
mod retry;
#[cfg(feature = "judge")]
mod settings;
#[cfg(feature = "judge")]
mod wire;

#[cfg(feature = "judge")]
pub use cache::{Cache, default_cache_dir};
#[cfg(feature = "judge")]
pub use client::Client;
pub use failure::{OnFailure, Resolution, resolve};
#[cfg(feature = "judge")]
pub use key::ApiKey;
pub use many::score_each;
pub use nonce::Nonce;
pub use parse::{holds_score, parse_score};
pub use prompt::{ReplyFormat, Template};
#[cfg(feature = "judge")]
pub use retry::RetryPolicy;
#[cfg(feature = "judge")]
pub use settings::{ResponseFormat, Settings};

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use crate::error::excerpt;
use crate::error::{Error, Result};
use crate::quality::Quality;

/// Lowest score there is.
pub const MIN_SCORE: f32 = 1.0;
/// Highest score there is.
pub const MAX_SCORE: f32 = 100.0;

/// What a judge is asked to score.
///
/// The query and the draft are untrusted: they reach the judge only as quoted material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgeRequest<'a> {
    /// What the user asked.
    pub query: &'a str,
    /// The plain answer to score, without any `<think>` part. Not blank.
    pub draft: &'a str,
    /// The instruction that the steered answer shall follow. It is the criterion when `dimension`
    /// is `None`, and must then not be blank.
    pub instruction: &'a str,
    /// One of the built-in qualities, or `None` to judge by `instruction`.
    pub dimension: Option<Quality>,
}

impl JudgeRequest<'_> {
    /// Checks that there is something to score and something to score it by.
    ///
    /// A blank draft is an [`Error::Judge`], since models do give blank answers and the caller's
    /// [`OnFailure`] policy covers that; a missing criterion is an [`Error::Param`].
    pub fn validate(&self) -> Result<()> {
        if self.dimension.is_none() && self.instruction.trim().is_empty() {
            return Err(Error::param(
                "instruction",
                "blank",
                "text when no dimension is given, since the judge scores by one of the two",
            ));
        }
        if self.draft.trim().is_empty() {
            return Err(Error::Judge { reason: "the draft is blank, there is nothing to score".into() });
        }
        Ok(())
    }
}

/// A judge's score.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Mean of `samples`, from 1 to 100.
    pub score: f32,
    /// The single scores, each from 1 to 100; one unless several were asked for. Never empty.
    pub samples: Vec<f32>,
    /// True when the score was read from the cache and the judge was not asked.
    pub cached: bool,
    /// How many requests were sent for it, retries included. 0 when cached or judged locally.
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
        Ok(Verdict { score, samples, cached: false, attempts: 0 })
    }

    /// Standard deviation of the samples (divided by n), in points; 0 for a single one.
    pub fn spread(&self) -> f32 {
        let n = self.samples.len().max(1) as f64;
        let mean = self.samples.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
        let var = self.samples.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n;
        var.sqrt() as f32
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

/// Reads a whole file, refusing one that is larger than `max` bytes (a device, a wrong path).
pub(crate) fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max} bytes")));
    }
    Ok(bytes)
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

    #[test]
    fn a_request_needs_a_draft_and_a_criterion() {
        let ok = JudgeRequest { query: "", draft: "d", instruction: "be brief", dimension: None };
        assert!(ok.validate().is_ok());
        assert!(
            JudgeRequest { instruction: " ", dimension: Some(Quality::Empathy), ..ok }.validate().is_ok()
        );
        assert!(matches!(JudgeRequest { instruction: " ", ..ok }.validate(), Err(Error::Param { .. })));
        assert!(matches!(JudgeRequest { draft: "\n ", ..ok }.validate(), Err(Error::Judge { .. })));
    }
}
