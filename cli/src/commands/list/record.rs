//! One record of a list: what is asked, and what it says about steering and seed.

use sda::{Params, Strength};

use crate::args::SteeringArgs;
use crate::failure::{Failure, Outcome};
use crate::journal::{Fields, Input};

/// A record whose fields are in range.
pub struct Record {
    /// Line of the file.
    pub line: usize,
    /// The record as it goes to the output, with the query under its one name.
    pub fields: Fields,
    /// Its `id`, or "line N".
    pub name: String,
    pub query: String,
    /// Its own instruction, in place of the command line's.
    pub instruction: Option<String>,
    /// Its own strength, in place of the command line's.
    pub strength: Option<Strength>,
    /// Its own seed.
    pub seed: Option<u32>,
    /// The record is one that another command could not score, with the reason.
    pub error: Option<String>,
}

impl Record {
    pub fn new(mut input: Input, steering: &SteeringArgs) -> Outcome<Record> {
        let line = input.line;
        if let Some(prompt) = input.fields.remove("prompt")
            && input.fields.insert("query".to_owned(), prompt).is_some_and(|query| !query.is_null())
        {
            return Err(at(line, "has a \"query\" and a \"prompt\", must have one of them"));
        }
        let query = match input.text("query")? {
            Some(query) if !query.trim().is_empty() => query.to_owned(),
            Some(_) => return Err(at(line, "its \"query\" is empty")),
            None => return Err(at(line, "has no \"query\"")),
        };
        let seed = match input.number("seed")? {
            None => None,
            // Every u32 is exact in f64; whatever else there is does not come back.
            Some(seed) if f64::from(seed as u32) == seed => Some(seed as u32),
            Some(seed) => {
                let why = format!("\"seed\" is {seed}, must be a whole number from 0 to {}", u32::MAX);
                return Err(at(line, &why));
            }
        };
        Ok(Record {
            line,
            name: input.key.rsplit_once('#').map_or(&*input.key, |(name, _)| name).to_owned(),
            query,
            instruction: input.text("instruction")?.map(str::to_owned),
            strength: strength(&input, steering)?,
            seed,
            fields: input.fields,
            error: input.error,
        })
    }
}

/// The strength that a record brings, in place of the command line's.
fn strength(input: &Input, steering: &SteeringArgs) -> Outcome<Option<Strength>> {
    let number = |name| input.number(name).map(|number| number.map(|number| number as f32));
    let strength = match (number("score")?, number("amplification")?, number("guidance")?) {
        (None, None, None) => return Ok(None),
        (Some(score), None, None) => Strength::score(score, steering.amplify),
        (None, Some(amplification), None) => Strength::amplification(amplification),
        (None, None, Some(guidance)) => Strength::guidance(guidance),
        _ => {
            let why = "must have at most one of \"score\", \"amplification\" and \"guidance\"";
            return Err(at(input.line, why));
        }
    };
    match strength.apply(&Params { k: steering.k, ..Params::default() }) {
        Ok(_) => Ok(Some(strength)),
        Err(error) if strength.of_score().is_some() => Err(at(input.line, &error.to_string())),
        Err(error) => Err(at(input.line, &format!("its steering is out of range: {error}"))),
    }
}

fn at(line: usize, why: &str) -> Failure {
    Failure::Failed(format!("line {line}: {why}"))
}
