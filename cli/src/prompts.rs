//! From the command line's texts to the two prompts.

use sda::engine::Prompts;
use sda::llama::Model;
use sda::text::{ChatTemplate, InstructionPlacement, PairBuilder, PromptPair, Turn};
use serde::Serialize;

use crate::args::{GenerateArgs, Placement, PromptArgs};
use crate::failure::{Failure, Outcome};
use crate::input::read_text;

/// The query of `sda generate`.
pub fn query(args: &GenerateArgs) -> Outcome<String> {
    match (&args.prompt, &args.file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(path)) => read_text(path),
        (None, None) => Err(Failure::Usage("no query: give -p TEXT or -f FILE".into())),
    }
}

fn text_or_file(text: Option<&String>, file: Option<&std::path::PathBuf>) -> Outcome<Option<String>> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.clone())),
        (None, Some(path)) => read_text(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// What the prompts are made of, read once, whatever model they are for. Results depend on all of it.
#[derive(Debug, Serialize)]
pub struct PromptTexts {
    /// The instruction, empty if none was given.
    pub instruction: String,
    system: Option<String>,
    negative: Option<String>,
    /// In place of the model's own.
    template: Option<String>,
    no_template: bool,
    placement: Option<Placement>,
}

impl PromptTexts {
    pub fn read(args: &PromptArgs) -> Outcome<PromptTexts> {
        let instruction = match args.preset {
            Some(preset) => Some(preset.instruction().to_owned()),
            None => text_or_file(args.instruction.as_ref(), args.instruction_file.as_ref())?,
        };
        Ok(PromptTexts {
            instruction: instruction.unwrap_or_default(),
            system: text_or_file(args.system_prompt.as_ref(), args.system_prompt_file.as_ref())?,
            negative: args.negative_prompt.clone(),
            template: text_or_file(args.chat_template.as_ref(), args.chat_template_file.as_ref())?,
            no_template: args.no_template,
            placement: args.instruction_placement,
        })
    }
}

/// Everything that turns queries into prompts, checked once.
pub struct Prompter {
    template: Option<ChatTemplate>,
    system: Option<String>,
    /// The instruction, empty if none was given.
    pub instruction: String,
    negative: Option<String>,
    placement: InstructionPlacement,
}

impl Prompter {
    pub fn new(texts: &PromptTexts, model: &Model) -> Outcome<Prompter> {
        let source =
            if texts.no_template { None } else { texts.template.clone().or_else(|| model.chat_template()) };
        let template = match source {
            None => None,
            Some(source) => Some(ChatTemplate::compile(&source, &model.bos_text(), &model.eos_text())?),
        };
        let placement = match (texts.placement, template.is_some()) {
            (Some(Placement::After), _) | (None, true) => InstructionPlacement::After,
            (Some(Placement::Before), _) | (None, false) => InstructionPlacement::Before,
            (Some(Placement::System), _) => InstructionPlacement::System,
        };
        Ok(Prompter {
            template,
            system: texts.system.clone(),
            instruction: texts.instruction.clone(),
            negative: texts.negative.clone(),
            placement,
        })
    }

    /// True if the branches of all prompts are the same, unless a record brings its own instruction.
    pub fn steers_nothing(&self) -> bool {
        self.instruction.is_empty() && self.negative.is_none()
    }

    /// The model's chat template, or None for raw text.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The plain prompt alone, for a draft.
    pub fn plain(&self, query: &str) -> sda::Result<String> {
        Ok(self.builder(&[], query, &self.instruction).build()?.plain)
    }

    /// The two prompts as text.
    pub fn pair(&self, history: &[Turn], query: &str) -> Outcome<PromptPair> {
        self.pair_with(history, query, &self.instruction)
    }

    /// The two prompts as text, with another instruction.
    pub fn pair_with(&self, history: &[Turn], query: &str, instruction: &str) -> Outcome<PromptPair> {
        Ok(self.builder(history, query, instruction).build()?)
    }

    fn builder<'a>(&'a self, history: &'a [Turn], query: &'a str, instruction: &'a str) -> PairBuilder<'a> {
        PairBuilder {
            template: self.template.as_ref(),
            system: self.system.as_deref(),
            history,
            query,
            instruction,
            placement: self.placement,
            negative: self.negative.as_deref().unwrap_or_default(),
        }
    }

    /// The two prompts as tokens.
    pub fn tokens(&self, model: &Model, pair: &PromptPair) -> Outcome<Prompts> {
        Ok(Prompts::new(model.tokenize_prompt(&pair.plain)?, model.tokenize_prompt(&pair.instructed)?))
    }
}
