//! Does it align? The pure parts of `sda eval`: what is measured and how sure that is. No model, no files.
//!
//! - [`ArmSpec`]: the ways to answer that are compared, [`ArmSpec::parse_list`] reads them from a command line.
//! - [`mc`]: TruthfulQA's MC1 and MC2 from the log-probabilities of given answers.
//! - [`ifeval`]: instructions whose fulfilment a program can check, and IFEval's four numbers.
//! - [`winrate`]: pairwise comparison by a judge, in both orders.
//! - [`report`]: every number with a paired bootstrap interval, for each category and against a control arm.

mod arm;
mod bootstrap;
pub mod ifeval;
pub mod mc;
pub mod report;
pub mod winrate;

pub use arm::ArmSpec;
pub use bootstrap::{Bootstrap, Interval, Part, quantile};

use serde::{Deserialize, Deserializer};

/// Reads a field that is a text; anything else counts as missing. Data sets of others name their fields alike and
/// fill them as they like.
fn text<'de, D: Deserializer<'de>>(field: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(field)? {
        serde_json::Value::String(text) => Some(text.trim().to_owned()),
        _ => None,
    })
}
