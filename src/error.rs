//! The library's one error type and its stable integer codes.

use std::borrow::Cow;
use std::fmt;

/// Result of a fallible `sda` call.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. Messages name the field, the value and the allowed range.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A required pointer was NULL.
    Null {
        /// Name of the argument.
        name: &'static str,
    },
    /// A setting is outside its range.
    Param {
        /// Name of the setting.
        field: &'static str,
        /// The value given.
        value: String,
        /// What would have been accepted.
        allowed: Cow<'static, str>,
    },
    /// Two arrays that must have the same length have not.
    Length {
        /// Name of the array.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A logit is NaN or +infinity.
    NotFinite {
        /// Which branch: `instructed` or `plain`.
        branch: &'static str,
        /// Token id.
        token: usize,
        /// The value found.
        value: f32,
    },
    /// Every token of a branch is masked (-infinity).
    AllMasked {
        /// Which branch: `instructed` or `plain`.
        branch: &'static str,
    },
    /// The candidate array does not hold every token of the vocabulary exactly once.
    Candidates {
        /// What is wrong with it.
        reason: String,
    },
    /// No room is left in the context.
    ContextFull {
        /// KV cells or positions needed.
        needed: usize,
        /// KV cells or positions there are.
        available: usize,
    },
    /// A prompt cannot be used.
    Prompt {
        /// What is wrong with it.
        reason: String,
    },
    /// A call into the host's llama.cpp failed.
    Host {
        /// The function.
        call: &'static str,
        /// What it returned.
        code: i32,
    },
    /// The call does not fit the object's state.
    State {
        /// What was expected first.
        reason: String,
    },
    /// A panic was caught at the C boundary; the handle must not be used again.
    Panic,
    /// A struct or table comes from a version this library does not understand.
    Version {
        /// Name of the struct.
        what: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The caller's callback asked to stop.
    Cancelled,
    /// A model could not be loaded or lacks what is needed.
    Model {
        /// What is wrong.
        reason: String,
    },
    /// A judge gave no usable score.
    Judge {
        /// What happened.
        reason: String,
    },
    /// A file could not be read or written.
    Io {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// A text argument is not UTF-8.
    Encoding {
        /// Name of the argument.
        what: &'static str,
    },
}

impl Error {
    /// The stable status code of this error, as the C ABI returns it. Never renumbered or reused.
    pub fn code(&self) -> i32 {
        match self {
            Error::Null { .. } => -1,
            Error::Param { .. } => -2,
            Error::Length { .. } => -3,
            Error::NotFinite { .. } => -4,
            Error::AllMasked { .. } => -5,
            Error::Candidates { .. } => -6,
            Error::ContextFull { .. } => -7,
            Error::Prompt { .. } => -8,
            Error::Host { .. } => -9,
            Error::State { .. } => -10,
            Error::Panic => -11,
            Error::Version { .. } => -12,
            Error::Cancelled => -13,
            Error::Model { .. } => -14,
            Error::Judge { .. } => -15,
            Error::Io { .. } => -16,
            Error::Encoding { .. } => -17,
        }
    }

    /// A setting that is outside its range.
    pub fn param(
        field: &'static str,
        value: impl fmt::Display,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Error::Param { field, value: value.to_string(), allowed: allowed.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Null { name } => write!(f, "{name} is NULL"),
            Error::Param { field, value, allowed } => write!(f, "{field} is {value}, must be {allowed}"),
            Error::Length { what, got, expected } => {
                write!(f, "{what} holds {got} values, must hold {expected}")
            }
            Error::NotFinite { branch, token, value } => {
                write!(f, "logit of token {token} in the {branch} branch is {value}, must be finite or -inf")
            }
            Error::AllMasked { branch } => {
                write!(f, "every token of the {branch} branch is masked, at least one must be finite")
            }
            Error::Candidates { reason } => write!(f, "candidates cannot be steered: {reason}"),
            Error::ContextFull { needed, available } => {
                write!(f, "context is full: {needed} cells needed, {available} available")
            }
            Error::Prompt { reason } => write!(f, "prompt cannot be used: {reason}"),
            Error::Host { call, code } => write!(f, "{call} of the host returned {code}"),
            Error::State { reason } => write!(f, "call out of order: {reason}"),
            Error::Panic => write!(f, "internal error: a panic was caught, the handle must be freed"),
            Error::Version { what, reason } => write!(f, "{what} is of another version: {reason}"),
            Error::Cancelled => write!(f, "stopped by the caller"),
            Error::Model { reason } => write!(f, "model cannot be used: {reason}"),
            Error::Judge { reason } => write!(f, "judge gave no score: {reason}"),
            Error::Io { path, reason } => write!(f, "{path}: {reason}"),
            Error::Encoding { what } => write!(f, "{what} is not UTF-8"),
        }
    }
}

impl std::error::Error for Error {}

/// How much of a foreign text an error shows, in characters.
const EXCERPT_CHARS: usize = 200;

/// A reply or another foreign text for an error message: at most 200 characters, on one line, with
/// control, zero-width and direction characters escaped so that it cannot act on a terminal.
pub fn excerpt(text: &str) -> String {
    let text = text.trim();
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == EXCERPT_CHARS {
            out.push_str("...");
            break;
        }
        let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{ad}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}');
        if c.is_control() || invisible {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
