//! Records: the JSON objects that the command writes and reads. Each is a type here, which the writer and the reader
//! share.
//!
//! | types | where |
//! |---|---|
//! | [`Record`] | `--json`, `--trace`; read by `sda plot` |
//! | [`Query`], [`Answer`] | lists of `sda generate -f` |
//! | [`Draft`], [`Scored`] | `sda score` |
//! | [`EvalResult`], [`EvalReport`] | `sda eval`; the report is read by `sda plot eval` |
//! | [`Bench`] | `sda bench --json` |
//!
//! Readers pass over fields that they do not know: a later version may write more of them.

mod bench;
mod eval;
mod instructions;
mod list;
mod maybe;
mod score;
mod trace;

use serde::Serialize;

pub use bench::{Bench, Branches, Many, Prefill, Read, Spread, Step, Steps};
pub use eval::{Comparison, EvalAnswer, EvalReport, EvalResult, EvalRow, Likelihoods, Recognition};
pub use instructions::Instructions;
pub use list::Query;
pub use score::{Draft, Scored};
pub use trace::{Answer, Assessed, Checked, Judge, Judgement, Ranked, Record, Token};

/// A result that failed. Its next run tries again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failed {
    /// Why.
    pub error: String,
    /// The judge that failed, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judgement>,
}

/// JSON on one line, without its end: the fields of an object in the order of their names, so that equal records are
/// equal text.
pub fn line(record: &impl Serialize) -> String {
    value(record).to_string()
}

/// JSON over several lines.
pub fn pretty(record: &impl Serialize) -> String {
    format!("{:#}", value(record))
}

/// The JSON value of a record. Objects of it keep their fields sorted.
pub fn value(record: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(record).expect("records have no maps but those with texts as keys")
}
