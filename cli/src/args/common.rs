//! What all commands take that generate.

use std::path::PathBuf;

use clap::Args;
use sda::Params;
use sda::engine::Generation;

use super::compat::CompatArgs;
use super::judge::JudgeArgs;
use super::model::{ModelArgs, OnOffAuto};
use super::prompt::PromptArgs;
use super::sampling::SamplingArgs;
use super::steering::SteeringArgs;
use crate::failure::Outcome;

#[derive(Args)]
pub struct CommonArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub prompt: PromptArgs,
    #[command(flatten)]
    pub steering: SteeringArgs,
    #[command(flatten)]
    pub judge: JudgeArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Write one JSON record per token to a file.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Put this many of each distribution's most likely tokens into the records; 0 is none.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub trace_top: u32,
    /// Show llama.cpp's log.
    #[arg(short, long, alias = "log-verbose")]
    pub verbose: bool,
    /// Colours for headings, and for the mark in front of a turn. [also -co]
    #[arg(long, value_enum, default_value_t = OnOffAuto::Auto, num_args = 0..=1, default_missing_value = "on")]
    color: OnOffAuto,
    #[command(flatten)]
    compat: CompatArgs,
}

impl CommonArgs {
    /// Whether there are colours, if the command line says so.
    pub fn color(&self) -> Option<bool> {
        self.color.is_on()
    }

    /// Everything but the amplification, which may have to wait for a judge.
    pub fn generation(&self, seed: u32, trace: bool) -> Outcome<Generation> {
        let (steering, sampling) = (&self.steering, &self.sampling);
        Ok(Generation {
            params: Params { temperature: sampling.temp, ..steering.params() },
            sampling: sampling.sampling(seed, &self.prompt.escapes)?,
            logit_bias: sampling.constraint.logit_bias(),
            ignore_eos: sampling.samplers.ignore_eos,
            grammar: sampling.constraint.grammar()?,
            n_predict: usize::try_from(sampling.n_predict).ok(),
            context_shift: sampling.context_shift,
            stop: self.prompt.escapes.read_all("--reverse-prompt", &sampling.reverse_prompt)?,
            steer_after_think: steering.steer_after_think,
            trace,
            trace_top: if trace { self.trace_top as usize } else { 0 },
        })
    }
}
