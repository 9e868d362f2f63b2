//! Groups of options that commands share. Names are llama.cpp's where it has one for the thing. No group knows a
//! command.

mod generate;
pub mod judge;
mod list;
mod model;
mod prompt;
mod sampling;
mod steering;

use std::path::PathBuf;

use clap::Args;
use sda::Params;
use sda::engine::Generation;

pub use generate::GenerateArgs;
pub use judge::JudgeArgs;
pub use list::ListArgs;
pub use model::ModelArgs;
pub use prompt::{Placement, PromptArgs};
pub use sampling::SamplingArgs;
pub use steering::SteeringArgs;

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
    #[arg(short, long)]
    pub verbose: bool,
}

impl CommonArgs {
    /// Everything but the amplification, which may have to wait for a judge.
    pub fn generation(&self, seed: u32, trace: bool) -> Generation {
        let (steering, sampling) = (&self.steering, &self.sampling);
        Generation {
            params: Params {
                k: steering.k,
                temperature: sampling.temp,
                sigma: steering.sigma.unwrap_or(Params::default().sigma),
                t_min: steering.t_min,
                ..Params::default()
            },
            sampling: sampling.sampling(seed),
            n_predict: usize::try_from(sampling.n_predict).ok(),
            stop: sampling.reverse_prompt.clone(),
            steer_after_think: steering.steer_after_think,
            trace,
            trace_top: if trace { self.trace_top as usize } else { 0 },
        }
    }
}
