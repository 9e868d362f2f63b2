//! From the command line's texts to the two prompts.

use std::io::Read;
use std::path::Path;

use sda::engine::Prompts;
use sda::llama::Model;
use sda::text::{ChatTemplate, InstructionPlacement, PairBuilder, PromptPair, Turn};

use crate::args::{GenerateArgs, Placement, PromptArgs};
use crate::failure::{Failure, Outcome};

/// The query of `sda generate`.
pub fn query(args: &GenerateArgs) -> Outcome<String> {
    match (&args.prompt, &args.file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(path)) => read_text(path),
        (None, None) => Err(Failure::Usage("no query: give -p TEXT or -f FILE".into())),
    }
}

/// A whole text file, without its last line end; `-` is standard input.
fn read_text(path: &Path) -> Outcome<String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(path).map(|read| bytes = read),
    };
    read.map_err(|e| Failure::Failed(format!("{shown}: {e}")))?;
    let mut text =
        String::from_utf8(bytes).map_err(|e| Failure::Failed(format!("{shown}: not UTF-8 ({e})")))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn text_or_file(text: Option<&String>, file: Option<&std::path::PathBuf>) -> Outcome<Option<String>> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.clone())),
        (None, Some(path)) => read_text(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// The instruction, empty if none was given.
pub fn instruction(args: &PromptArgs) -> Outcome<String> {
    match args.preset {
        Some(preset) => Ok(preset.instruction().to_owned()),
        None => {
            Ok(text_or_file(args.instruction.as_ref(), args.instruction_file.as_ref())?.unwrap_or_default())
        }
    }
}

/// Everything that turns queries into prompts, read and checked once.
pub struct Prompter {
    template: Option<ChatTemplate>,
    system: Option<String>,
    /// The instruction, empty if none was given.
    pub instruction: String,
    negative: Option<String>,
    placement: InstructionPlacement,
}

impl Prompter {
    pub fn new(args: &PromptArgs, model: &Model) -> Outcome<Prompter> {
        let instruction = instruction(args)?;
        let source = match args.no_template {
            true => None,
            false => text_or_file(args.chat_template.as_ref(), args.chat_template_file.as_ref())?
                .or_else(|| model.chat_template()),
        };
        let template = match source {
            None => None,
            Some(source) => Some(ChatTemplate::compile(&source, &model.bos_text(), &model.eos_text())?),
        };
        let has_template = template.is_some();
        Ok(Prompter {
            template,
            system: text_or_file(args.system_prompt.as_ref(), args.system_prompt_file.as_ref())?,
            instruction,
            negative: args.negative_prompt.clone(),
            placement: match (args.instruction_placement, has_template) {
                (Some(Placement::After), _) | (None, true) => InstructionPlacement::After,
                (Some(Placement::Before), _) | (None, false) => InstructionPlacement::Before,
                (Some(Placement::System), _) => InstructionPlacement::System,
            },
        })
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
        Ok(Prompts {
            plain: model.tokenize_prompt(&pair.plain)?,
            instructed: model.tokenize_prompt(&pair.instructed)?,
        })
    }
}
