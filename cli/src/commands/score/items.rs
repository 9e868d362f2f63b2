//! What the records of `sda score` ask for.

use sda::Quality;
use sda::judge::JudgeRequest;
use sda::text::strip_think;

use super::ScoreArgs;
use crate::failure::{Failure, Outcome};
use crate::journal::Input;

/// One record, checked.
pub struct Item<'a> {
    pub input: &'a Input,
    pub query: &'a str,
    /// The draft that the record brings; None is to be written.
    pub draft: Option<&'a str>,
    instruction: String,
    dimension: Option<Quality>,
}

impl Item<'_> {
    /// The question to the judge, about the record's own draft or a written one.
    pub fn request<'s>(&'s self, written: Option<&'s str>) -> JudgeRequest<'s> {
        let draft = self.draft.or(written).unwrap_or_default();
        JudgeRequest {
            query: self.query,
            draft: strip_think(draft).text,
            instruction: &self.instruction,
            dimension: self.dimension,
        }
    }
}

/// Checks all records before any work is done.
pub fn read<'a>(args: &ScoreArgs, inputs: &'a [Input]) -> Outcome<Vec<Item<'a>>> {
    let instruction = crate::prompts::instruction(&args.prompt)?;
    inputs.iter().map(|input| item(args, input, &instruction)).collect()
}

fn item<'a>(args: &ScoreArgs, input: &'a Input, instruction: &str) -> Outcome<Item<'a>> {
    let wrong =
        |what: String| Err(Failure::Failed(format!("{}: line {}: {what}", args.file.display(), input.line)));
    let Some(query) = input.text("query")? else { return wrong("there is no \"query\"".into()) };
    let draft = match input.text("draft")? {
        Some(draft) => Some(draft),
        None => input.text("answer")?,
    };
    if draft.is_none() && args.model.is_none() {
        return wrong("there is neither \"draft\" nor \"answer\", and no -m MODEL to write one".into());
    }
    let own = input.text("instruction")?;
    let dimension = match input.text("dimension")? {
        Some(name) => match Quality::named("dimension", name) {
            Ok(dimension) => Some(dimension),
            Err(error) => return wrong(format!("{error}")),
        },
        // A preset's dimension is for the preset's instruction.
        None => args.judge_args.dimension(if own.is_some() { None } else { args.prompt.preset }),
    };
    let instruction = own.unwrap_or(instruction).to_owned();
    if dimension.is_none() && instruction.trim().is_empty() {
        return wrong(
            "there is nothing to score by: give the record an \"instruction\" or a \"dimension\", or the \
             command -i, --preset or --judge-dimension"
                .into(),
        );
    }
    Ok(Item { input, query, draft, instruction, dimension })
}
