//! One record of a list: what is asked, and what it says about steering and seed.

use sda::llama::Grammar;
use sda::text::Instruction;
use sda::{Params, Strength};
use serde_json::Value;

use crate::args::SteeringArgs;
use crate::journal::Given;
use crate::record::Query;

/// A record whose fields are in range.
pub struct Record {
    pub given: Given,
    pub query: String,
    /// Its own instructions, in place of the command line's.
    pub instructions: Option<Vec<Instruction>>,
    /// Its own strength, in place of the command line's.
    pub strength: Option<Strength>,
    /// Its own KL budgets, in place of the command line's.
    pub max_kl: Option<f32>,
    pub mean_kl: Option<f32>,
    /// Its own seed.
    pub seed: Option<u32>,
    /// Its own grammar, in place of the command line's.
    pub grammar: Option<Grammar>,
    /// The record is one that another command could not score, with the reason.
    pub error: Option<String>,
}

impl Record {
    /// Checks a record.
    ///
    /// # Errors
    /// A sentence that names the line and the field.
    pub fn new(given: Given, steering: &SteeringArgs) -> Result<Record, String> {
        let line = given.line;
        let at = |why: String| format!("line {line}: {why}");
        let mut asked: Query = given.typed()?;
        let mut error = match asked.error.take() {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
        };
        match given.scored() {
            Some(Ok(score)) => asked.score = Some(score),
            Some(Err(why)) => error = Some(why),
            None => {}
        }
        let strength = strength(&asked, steering).map_err(at)?;
        let none = Params::default();
        let budgets = Params {
            max_kl: asked.max_kl.unwrap_or(none.max_kl),
            mean_kl: asked.mean_kl.unwrap_or(none.mean_kl),
            ..none
        };
        budgets.validate().map_err(|error| at(format!("its steering is out of range: {error}")))?;
        let query = match (asked.query, asked.prompt) {
            (Some(_), Some(_)) => {
                return Err(at("has a \"query\" and a \"prompt\", must have one of them".into()));
            }
            (Some(query), None) | (None, Some(query)) => query,
            (None, None) => return Err(at("has no \"query\"".into())),
        };
        if query.trim().is_empty() {
            return Err(at("its \"query\" is empty".into()));
        }
        let seed = match asked.seed {
            None => None,
            // Every u32 is exact in f64; whatever else there is does not come back.
            Some(seed) if f64::from(seed as u32) == seed => Some(seed as u32),
            Some(seed) => {
                let why = format!("\"seed\" is {seed}, must be a whole number from 0 to {}", u32::MAX);
                return Err(at(why));
            }
        };
        let grammar = match (&asked.grammar, &asked.json_schema) {
            (Some(_), Some(_)) => {
                return Err(at("has a \"grammar\" and a \"json_schema\", must have one of them".into()));
            }
            (Some(grammar), None) => Some(Grammar::new(grammar)),
            (None, Some(schema)) => Some(Grammar::from_json_schema(schema.get())),
            (None, None) => None,
        };
        let grammar = grammar.transpose().map_err(|error| at(format!("its {error}")))?;
        Ok(Record {
            given,
            query,
            instructions: asked.instruction.map(|instructions| instructions.0),
            strength,
            max_kl: asked.max_kl,
            mean_kl: asked.mean_kl,
            seed,
            grammar,
            error,
        })
    }
}

/// The strength that a record brings, in place of the command line's.
fn strength(asked: &Query, steering: &SteeringArgs) -> Result<Option<Strength>, String> {
    let strength = match (asked.score, asked.amplification, asked.guidance) {
        (None, None, None) => return Ok(None),
        (Some(score), None, None) => Strength::score(score as f32, steering.amplify),
        (None, Some(amplification), None) => Strength::amplification(amplification as f32),
        (None, None, Some(guidance)) => Strength::guidance(guidance as f32),
        _ => return Err("must have at most one of \"score\", \"amplification\" and \"guidance\"".into()),
    };
    match strength.apply(&steering.params()) {
        Ok(_) => Ok(Some(strength)),
        Err(error) if strength.of_score().is_some() => Err(error.to_string()),
        Err(error) => Err(format!("its steering is out of range: {error}")),
    }
}
