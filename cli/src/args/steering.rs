//! How strongly the answer is steered.

use clap::Args;
use sda::Params;
use sda::amplify::Amplify;
use sda::judge::OnFailure;

use super::judge::JudgeAt;

#[derive(Args)]
#[command(next_help_heading = "Steering")]
pub struct SteeringArgs {
    /// Score of the plain answer, more than 0 and at most 100: the lower, the stronger the steering.
    #[arg(long, value_name = "S", group = "strength")]
    pub score: Option<f32>,
    /// Amplification a: guidance is 1 + k a.
    #[arg(short, long, value_name = "A", group = "strength", allow_negative_numbers = true)]
    pub amplification: Option<f32>,
    /// Guidance scale: 1 is the instruction alone, more is stronger. [default: 1.5]
    #[arg(
        long,
        visible_alias = "cfg-scale",
        value_name = "G",
        group = "strength",
        allow_negative_numbers = true
    )]
    pub guidance: Option<f32>,
    /// Let a judge score a plain draft: an OpenAI-compatible server, another GGUF model, or "local", the loaded model
    /// itself.
    #[arg(long, value_name = "local|URL|FILE", group = "strength")]
    pub judge: Option<JudgeAt>,
    /// When the judge gives no score: stop, or give the plain answer or the instructed one, not steered.
    #[arg(long, value_name = "error|plain|instructed", default_value_t = OnFailure::Error)]
    pub on_judge_failure: OnFailure,
    /// How a score becomes an amplification.
    #[arg(long, value_name = "FUNCTION", default_value = "sigmoid")]
    pub amplify: Amplify,
    /// Gain on the amplification.
    #[arg(short, long, default_value_t = Params::default().k, allow_negative_numbers = true)]
    pub k: f32,
    /// Divergence in nats that halves the temperature; inf keeps it fixed. [default: 2 ln 2]
    #[arg(long)]
    pub sigma: Option<f32>,
    /// Floor of the temperature.
    #[arg(long, default_value_t = Params::default().t_min)]
    pub t_min: f32,
    /// KL budget of a step in nats: the steering is weakened where it would take the distribution further than this
    /// from the instructed one. [default: inf, no limit]
    #[arg(long, value_name = "NATS")]
    pub max_kl: Option<f32>,
    /// Steer only after the model has closed its <think> block.
    #[arg(long)]
    pub steer_after_think: bool,
}
