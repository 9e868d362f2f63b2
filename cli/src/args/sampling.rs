//! The samplers behind the steering.

use clap::Args;
use sda::Params;
use sda::llama::Sampling;

use super::constraint::ConstraintArgs;
use super::escapes::EscapeArgs;
use super::samplers::SamplerArgs;
use crate::failure::Outcome;
use crate::ui::console::{note, stderr_is_terminal};

#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// The most tokens to generate; -1 is no limit.
    #[arg(short, long, visible_alias = "predict", default_value_t = -1, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1..))]
    pub n_predict: i32,
    /// When the context is full, let go of the older half of the answer so far and continue. Without a limit such an answer
    /// may never end.
    #[arg(long, overrides_with = "no_context_shift")]
    pub context_shift: bool,
    /// End the answer when the context is full. This is the default.
    #[arg(long, overrides_with = "context_shift")]
    no_context_shift: bool,
    /// Accepted for llama.cpp's sake, -1 only: a context shift keeps all of the prompts, which differ in the branches.
    #[arg(long, value_name = "-1", default_value_t = -1, allow_negative_numbers = true, value_parser = keep)]
    keep: i32,
    /// Base temperature; 0 always takes the most likely token.
    #[arg(long, visible_alias = "temperature", default_value_t = Params::default().temperature, value_name = "T")]
    pub temp: f32,
    /// Keep only the most likely tokens, this many; 0 keeps all.
    #[arg(long, default_value_t = Sampling::default().top_k, value_name = "N")]
    pub top_k: i32,
    /// Keep only the most likely tokens that hold this much probability together.
    #[arg(long, default_value_t = Sampling::default().top_p, value_name = "P")]
    pub top_p: f32,
    /// Drop tokens below this share of the most likely one.
    #[arg(long, default_value_t = Sampling::default().min_p, value_name = "P")]
    pub min_p: f32,
    /// Penalty on repeated tokens; 1 is none.
    #[arg(long, default_value_t = Sampling::default().repeat_penalty, value_name = "X")]
    pub repeat_penalty: f32,
    /// Tokens the penalties look back on; -1 is the whole context.
    #[arg(long, default_value_t = Sampling::default().repeat_last_n, value_name = "N", allow_negative_numbers = true)]
    pub repeat_last_n: i32,
    /// Penalty on tokens that were used before.
    #[arg(long, default_value_t = Sampling::default().presence_penalty, value_name = "X", allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Penalty for each use of a token.
    #[arg(long, default_value_t = Sampling::default().frequency_penalty, value_name = "X", allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// Seed of the draw; -1 takes a new one each time, and shows it.
    #[arg(short, long, default_value_t = -1, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..=u32::MAX as i64))]
    pub seed: i64,
    /// End the answer at this text, which may be that of a control token; may be given several times.
    #[arg(short, long, value_name = "TEXT")]
    pub reverse_prompt: Vec<String>,
    #[command(flatten)]
    pub samplers: SamplerArgs,
    #[command(flatten)]
    pub constraint: ConstraintArgs,
}

/// Parses the tokens that a shift keeps, for clap.
fn keep(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|&keep: &i32| keep == -1).ok_or_else(|| {
        "must be -1: the branches have different prompts, and a part of them cannot be dropped alike"
            .to_owned()
    })
}

impl SamplingArgs {
    /// The seed of the draws; one is chosen, and shown on a terminal, where none was given.
    pub fn seed(&self) -> u32 {
        match u32::try_from(self.seed) {
            Ok(seed) => seed,
            Err(_) => {
                use std::hash::{BuildHasher, Hasher};
                // RandomState is seeded by the system, and a seed for a draw needs no more than that.
                let seed = std::collections::hash_map::RandomState::new().build_hasher().finish() as u32;
                if stderr_is_terminal() {
                    note(&format!("seed {seed}"));
                }
                seed
            }
        }
    }

    /// The samplers behind the steering. `escapes` says how texts are to be read.
    pub fn sampling(&self, seed: u32, escapes: &EscapeArgs) -> Outcome<Sampling> {
        let mut sampling = Sampling {
            seed,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_last_n: self.repeat_last_n,
            repeat_penalty: self.repeat_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            ..Sampling::default()
        };
        self.samplers.apply(escapes, &mut sampling)?;
        Ok(sampling)
    }
}
