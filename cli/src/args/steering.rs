//! How strongly the answer is steered.

use clap::Args;
use sda::amplify::Amplify;
use sda::judge::OnFailure;
use sda::{Params, Strength};

use super::judge::{JudgeAt, judge_at};

/// Guidance scale when nobody says how strongly to steer, and the KL budget of an answer: with this pair most answers
/// in docs/results.md follow their instruction and keep to their query.
const GUIDANCE: f32 = 2.0;
const MEAN_KL: f32 = 0.2;

#[derive(Args)]
#[command(next_help_heading = "Steering")]
pub struct SteeringArgs {
    /// Score of the plain answer, more than 0 and at most 100: the lower, the stronger the steering.
    #[arg(long, value_name = "S", group = "strength")]
    pub score: Option<f32>,
    /// Amplification a: guidance is 1 + k a.
    #[arg(short, long, value_name = "A", group = "strength", allow_negative_numbers = true)]
    pub amplification: Option<f32>,
    /// Guidance scale: 1 is the instruction alone, more is stronger. [default: 2; with --paper 1.5]
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
    #[arg(long, value_name = "local|URL|FILE", group = "strength", value_parser = judge_at())]
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
    /// KL budget of an answer in nats a token: the steering is weakened where the answer so far would get further than
    /// this from the instructed distribution, on average. It keeps answers to their query. inf is no limit.
    /// [default: 0.2]
    #[arg(long, value_name = "NATS")]
    pub mean_kl: Option<f32>,
    /// KL budget of each single token in nats, beside that of the answer. [default: inf, no limit]
    #[arg(long, value_name = "NATS")]
    pub max_kl: Option<f32>,
    /// The paper's method: no KL budget, and a guidance of 1.5 where nothing else says how strongly to steer.
    #[arg(long, conflicts_with_all = ["mean_kl", "max_kl"])]
    pub paper: bool,
    /// Steer only after the model has closed its <think> block: one that the chat template has opened, or that the
    /// answer begins with. In raw text, a prompt that ends in <think> has opened one.
    #[arg(long)]
    pub steer_after_think: bool,
}

impl SteeringArgs {
    /// The strength where nothing says it.
    pub fn default_strength(&self) -> Strength {
        if self.paper { Strength::default() } else { Strength::guidance(GUIDANCE) }
    }

    /// Settings of the steering but its strength. The others are defaults.
    pub fn params(&self) -> Params {
        let paper = Params::default();
        Params {
            k: self.k,
            sigma: self.sigma.unwrap_or(paper.sigma),
            t_min: self.t_min,
            max_kl: self.max_kl.unwrap_or(paper.max_kl),
            mean_kl: if self.paper { paper.mean_kl } else { self.mean_kl.unwrap_or(MEAN_KL) },
            ..paper
        }
    }
}
