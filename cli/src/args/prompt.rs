//! What is asked, and how it is put to the model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sda::Quality;
use serde::Serialize;

use super::escapes::EscapeArgs;

#[derive(Args)]
#[command(next_help_heading = "Prompt")]
pub struct PromptArgs {
    /// What the answer should be like. Several (-i A -i B) steer at once, each by its own weight.
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["instruction_file", "preset"])]
    pub instruction: Vec<String>,
    /// Read the instruction from a file; several as with -i. [also -if]
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub instruction_file: Vec<PathBuf>,
    /// How much each instruction counts, in their order: 0 asks for it without steering, less than 0 steers away
    /// from it. [default: 1 each] [also -iw]
    #[arg(long, value_name = "W,...", value_delimiter = ',', allow_hyphen_values = true)]
    pub instruction_weights: Vec<f32>,
    /// Use a ready instruction.
    #[arg(long, value_name = "NAME", value_parser = preset)]
    pub preset: Option<Quality>,
    /// Where the instruction stands. [default: after, or before if the model has no chat template]
    #[arg(long, value_enum)]
    pub instruction_placement: Option<Placement>,
    /// Steer away from this: it stands in the plain branch where the instruction stands in the other.
    #[arg(long, visible_alias = "cfg-negative-prompt", value_name = "TEXT")]
    pub negative_prompt: Option<String>,
    /// System message, the same in both branches. [also -sys]
    #[arg(long, value_name = "TEXT", conflicts_with = "system_prompt_file")]
    pub system_prompt: Option<String>,
    /// Read the system message from a file. [also -sysf]
    #[arg(long, value_name = "FILE")]
    pub system_prompt_file: Option<PathBuf>,
    /// Chat template instead of the model's: Jinja, or the name of one of llama.cpp's, such as chatml.
    #[arg(long, value_name = "TEXT|NAME", conflicts_with_all = ["chat_template_file", "no_template"])]
    pub chat_template: Option<String>,
    /// Read the chat template from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "no_template")]
    pub chat_template_file: Option<PathBuf>,
    /// Variables of the chat template, such as {"enable_thinking":false}.
    #[arg(long, value_name = "JSON", conflicts_with = "no_template")]
    pub chat_template_kwargs: Option<String>,
    /// Give the model the text as it is, even if it has a chat template. [also -no-cnv]
    #[arg(long, alias = "no-conversation")]
    pub no_template: bool,
    /// Accepted for llama.cpp's sake: templates are always Jinja.
    #[arg(long)]
    pub jinja: bool,
    #[command(flatten)]
    pub escapes: EscapeArgs,
}

impl PromptArgs {
    /// True if the command line has an instruction.
    pub fn has_instruction(&self) -> bool {
        !self.instruction.is_empty() || !self.instruction_file.is_empty() || self.preset.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
pub enum Placement {
    /// After the query, in the user turn.
    After,
    /// Before the query, in the user turn.
    Before,
    /// In the system message.
    System,
}

/// Parses the name of a ready instruction, for clap.
fn preset(name: &str) -> sda::Result<Quality> {
    Quality::named("preset", name)
}
