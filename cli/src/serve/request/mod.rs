//! What clients send. Fields that nobody knows are passed over, as llama-server does; a wrong value is refused by the
//! name of its field, and so is one that would change the answer and cannot be carried out.

mod chat;
mod common;
mod constraint;
mod foreign;
mod samplers;
mod steering;
mod text;

pub use chat::{Chat, Talk, Thoughts};
pub use common::{Common, new_seed};
pub use steering::JudgeWish;
pub use text::{Prompt, Text};

use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::input;

/// Reads a part of a request's body.
pub fn parse<T: DeserializeOwned>(body: &str) -> Result<T, ApiError> {
    Ok(input::object_at(body)?)
}

/// Refuses a number outside its range.
fn within<N: PartialOrd + std::fmt::Display>(
    field: &str,
    value: N,
    range: std::ops::RangeInclusive<N>,
) -> Result<N, ApiError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let allowed = format!("at least {} and at most {}", range.start(), range.end());
    Err(ApiError::field(field, value, &allowed))
}
