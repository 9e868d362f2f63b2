//! Options of `sda score`.

use std::path::PathBuf;

use clap::Args;

use crate::args::judge::{JudgeArgs, JudgeAt, judge_at};
use crate::args::{AdaptArgs, CompatArgs, LoadArgs, ModelArgs, PromptArgs, SamplingArgs};

#[derive(Args)]
pub struct ScoreArgs {
    /// Records to score, one JSON object a line; - is standard input. Fields: query; draft or answer, or
    /// neither if -m is given, which then writes the draft; instruction; dimension; id.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where the scored records go. A run that was stopped continues here, and tries failed records again.
    /// [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Drop the scores that the output holds.
    #[arg(long, requires = "output")]
    pub restart: bool,
    /// Who scores: an OpenAI-compatible server, a GGUF model, or "local", the model of -m.
    #[arg(long, value_name = "local|URL|FILE", value_parser = judge_at())]
    pub judge: JudgeAt,
    /// Requests under way at once, to a judge at a URL.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    #[command(flatten)]
    pub judge_args: JudgeArgs,
    /// GGUF model file, for --judge local, and to write drafts that are missing.
    #[arg(short, long, value_name = "FILE", help_heading = "Model")]
    model: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    adapt: AdaptArgs,
    #[command(flatten)]
    pub prompt: PromptArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Show llama.cpp's log.
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    compat: CompatArgs,
}

impl ScoreArgs {
    /// The model of -m.
    pub fn model(&self) -> Option<ModelArgs> {
        Some(ModelArgs { model: self.model.clone()?, load: self.load.clone(), adapt: self.adapt.clone() })
    }
}
