//! What the records of `sda score` ask for.

use sda::Quality;
use sda::text::Instruction;
use serde::Serialize;

use super::args::ScoreArgs;
use crate::failure::{Failure, Outcome};
use crate::journal::{Given, Input};
use crate::record::Draft;
use crate::runner;

/// One record, checked.
pub struct Item {
    pub input: Input,
    pub query: String,
    /// The draft that the record brings; None is to be written.
    pub draft: Option<String>,
    instruction: String,
    dimension: Option<Quality>,
}

impl Item {
    /// A draft, the record's own or a written one, on its way to the judge.
    pub fn to_judge(&self, text: sda::Result<String>, thinking: bool) -> runner::Draft {
        let Item { query, instruction, dimension, .. } = self;
        let (query, instruction) = (query.clone(), instruction.clone());
        runner::Draft { query, instruction, dimension: *dimension, text, thinking }
    }
}

/// Checks all records before any work is done.
pub fn read(
    args: &ScoreArgs,
    instruction: &str,
    records: &[Given],
    settings: &impl Serialize,
) -> Outcome<Vec<Item>> {
    let items: Result<_, String> =
        records.iter().map(|given| item(args, given, instruction, settings)).collect();
    items.map_err(|why| Failure::Failed(format!("{}: {why}", args.file.display())))
}

fn item(
    args: &ScoreArgs,
    given: &Given,
    instruction: &str,
    settings: &impl Serialize,
) -> Result<Item, String> {
    let wrong = |what: &str| Err(format!("line {}: {what}", given.line));
    let Draft { query, draft, answer, instruction: own, dimension } = given.typed()?;
    let Some(query) = query else { return wrong("there is no \"query\"") };
    let draft = draft.or(answer);
    if draft.is_none() && args.model().is_none() {
        return wrong("there is neither \"draft\" nor \"answer\", and no -m MODEL to write one");
    }
    let dimension = match dimension {
        Some(name) => match Quality::named("dimension", &name) {
            Ok(dimension) => Some(dimension),
            Err(error) => return wrong(&format!("{error}")),
        },
        // A preset's dimension is for the preset's instruction.
        None => args.judge_args.dimension(if own.is_some() { None } else { args.prompt.preset }),
    };
    let own = own.map(|own| Instruction::joined(&own.0));
    let instruction = own.unwrap_or_else(|| instruction.to_owned());
    if dimension.is_none() && instruction.trim().is_empty() {
        return wrong(
            "there is nothing to score by: give the record an \"instruction\" or a \"dimension\", or the \
             command -i, --preset or --judge-dimension",
        );
    }
    let input = given.input(&query, None, settings);
    Ok(Item { input, query, draft, instruction, dimension })
}
