//! Stage 1 of SDA: a judge scores the plain draft, and the score decides the amplification.
//!
//! A [`Judge`] takes a query, the plain draft that answers it and a criterion, and gives a
//! [`Verdict`] of 1 to 100: how well the draft meets the criterion *before* any steering. Through
//! [`crate::amplify`] a low score becomes a strong steering and a high score a weak one (paper
//! eq. 3).
//!
//! The rule of this module is that a judge never fails silently. Whatever is not exactly one number
//! in the agreed place is an [`Error::Judge`](crate::Error::Judge) that shows what came back, and
//! [`resolve`] turns a failure into an error, the plain answer or the merely instructed answer, as the
//! caller chose: never into an amplification.
//!
//! Always available, for hosts that bring their own scorer:
//!
//! - [`Template`] builds the judge's prompt around an untrusted draft, and [`local_question`] that of a
//!   loaded model that judges itself,
//! - [`parse_score`] reads the reply,
//! - [`resolve`] applies the [`OnFailure`] policy.
//!
//! With feature `judge`, `Client` asks any OpenAI-compatible server over HTTP or HTTPS. The order of
//! calls: fill in `Settings`, make one `Client` from them, give it a `Cache` and a warning callback
//! if wanted, then call `Client::score` from any number of threads, or have [`score_each`] make the
//! threads.

mod answer;
mod defuse;
mod failure;
mod local;
mod many;
mod nonce;
mod parse;
mod prompt;
mod request;
#[cfg(feature = "judge")]
mod server;
mod verdict;

pub use failure::{OnFailure, Resolution, resolve};
pub use local::local_question;
pub use many::score_each;
pub use nonce::Nonce;
pub use parse::{holds_score, parse_score};
pub use prompt::{ReplyFormat, Template};
pub use request::JudgeRequest;
#[cfg(feature = "judge")]
#[doc(hidden)]
pub use server::read_reply;
#[cfg(feature = "judge")]
pub use server::{ApiKey, Cache, Client, ResponseFormat, RetryPolicy, Settings, default_cache_dir};
pub(crate) use verdict::check_score;
pub use verdict::{Judge, MAX_SCORE, MIN_SCORE, Verdict};

pub use crate::error::excerpt;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file, refusing one that is larger than `max` bytes (a device, a wrong path).
pub(crate) fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max} bytes")));
    }
    Ok(bytes)
}
