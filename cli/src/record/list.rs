//! Lists of queries: what a record asks for. What comes out is an [`super::Answer`] in the same record.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Instructions;

/// A record of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct Query {
    pub query: Option<String>,
    /// Another name for `query`.
    pub prompt: Option<String>,
    /// In place of the command line's.
    pub instruction: Option<Instructions>,
    /// How strongly to steer: at most one of these three.
    pub score: Option<f64>,
    pub amplification: Option<f64>,
    pub guidance: Option<f64>,
    /// KL budgets in nats, in place of the command line's.
    pub max_kl: Option<f32>,
    pub mean_kl: Option<f32>,
    /// A whole number of 32 bits; `7.0` is one, too.
    pub seed: Option<f64>,
    /// What the answer keeps to, in place of the command line's: GBNF, or a JSON schema.
    pub grammar: Option<String>,
    pub json_schema: Option<Box<RawValue>>,
    /// Why there is no score, from a program that has taken a result of `sda score` apart.
    pub error: Option<serde_json::Value>,
}
