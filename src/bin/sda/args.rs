//! Command line options. Names are llama.cpp's where it has one for the thing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sda::Params;
use sda::amplify::Amplify;
use sda::engine::Generation;
use sda::judge::OnFailure;
use sda::llama::{ContextOptions, KvCacheType, ModelOptions, Sampling};

use crate::judge_args::JudgeArgs;
use crate::score::ScoreArgs;

/// llama.cpp's options of several letters behind one dash, which clap does not know.
const SHORT_WORDS: [(&str, &str); 12] = [
    ("-tb", "--threads-batch"),
    ("-ub", "--ubatch-size"),
    ("-ngl", "--n-gpu-layers"),
    ("-sys", "--system-prompt"),
    ("-sysf", "--system-prompt-file"),
    ("-fa", "--flash-attn"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-mm", "--no-mmap"),
    ("-if", "--instruction-file"),
    ("-jp", "--judge-prompt"),
    ("-np", "--parallel"),
];

/// Replaces [`SHORT_WORDS`] in a command line.
pub fn expand(args: impl Iterator<Item = String>) -> Vec<String> {
    let mut literal = false;
    args.map(|arg| {
        literal |= arg == "--";
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), None),
        };
        match SHORT_WORDS.iter().find(|(short, _)| !literal && *short == name) {
            Some((_, long)) => value.map_or_else(|| (*long).to_owned(), |value| format!("{long}={value}")),
            None => arg,
        }
    })
    .collect()
}

/// Steers a local GGUF model towards an instruction, without fine-tuning.
#[derive(Parser)]
#[command(name = "sda", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Answer one prompt, or a list of them.
    Generate(GenerateArgs),
    /// Talk in turns; both branches keep the history.
    Chat(ChatArgs),
    /// Measure what steering costs on this machine.
    Bench(crate::bench::BenchArgs),
    /// Score drafts from a JSON Lines file.
    Score(ScoreArgs),
    /// Measure how well arms align: plain, instructed, steered.
    Eval(crate::eval::EvalArgs),
    /// Draw the method, a trace or results, as SVG, PNG or a page.
    Plot(crate::plot::PlotArgs),
}

#[derive(Args)]
pub struct GenerateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// The query.
    #[arg(short, long, conflicts_with = "file")]
    pub prompt: Option<String>,
    /// Read the query from a file; - is standard input. A file *.jsonl is a list of queries, one record
    /// {"query", "instruction"?, "score"? or "guidance"? or "amplification"?, "seed"?, "id"?} a line.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print the plain, the instruction-only and the steered answer one after another.
    #[arg(long)]
    pub compare: bool,
    /// Print one JSON record a line instead of text: every token, then the answer.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub batch: crate::batch::BatchArgs,
}

#[derive(Args)]
pub struct ChatArgs {
    #[command(flatten)]
    pub common: CommonArgs,
}

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

#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// GGUF model file.
    #[arg(short, long, value_name = "FILE")]
    pub model: PathBuf,
    /// Tokens that each of the two branches can hold; 0 is the model's training length, at most 4096.
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    pub ctx_size: u32,
    /// Threads; 0 is one per core.
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    pub threads: u32,
    /// Threads while prompts are read; 0 is the same as --threads. [also -tb]
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads_batch: u32,
    /// The most tokens of one decode.
    #[arg(short, long, default_value_t = 2048, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1 << 20))]
    pub batch_size: u32,
    /// The most tokens computed at once. [also -ub]
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub ubatch_size: u32,
    /// Layers to keep on the GPU, in builds with a GPU backend. [also -ngl]
    #[arg(long, visible_alias = "gpu-layers", default_value_t = 0, value_name = "N")]
    pub n_gpu_layers: u32,
    /// Flash attention. [also -fa]
    #[arg(long, value_enum, default_value_t = OnOffAuto::Auto)]
    pub flash_attn: OnOffAuto,
    /// Type of the keys in the KV cache. [also -ctk]
    #[arg(long, value_enum, default_value_t = CacheType::F16)]
    pub cache_type_k: CacheType,
    /// Type of the values in the KV cache. [also -ctv]
    #[arg(long, value_enum, default_value_t = CacheType::F16)]
    pub cache_type_v: CacheType,
    /// Read the model into memory instead of mapping it.
    #[arg(long)]
    pub no_mmap: bool,
    /// Keep the model from being swapped out.
    #[arg(long)]
    pub mlock: bool,
    /// Accepted for llama.cpp's sake: all cells of sliding-window layers are kept, since the branches share them.
    #[arg(long)]
    pub swa_full: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOffAuto {
    On,
    Off,
    Auto,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum CacheType {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8,
    #[value(name = "q4_0")]
    Q4,
}

impl From<CacheType> for KvCacheType {
    fn from(cache_type: CacheType) -> KvCacheType {
        match cache_type {
            CacheType::F32 => KvCacheType::F32,
            CacheType::F16 => KvCacheType::F16,
            CacheType::Bf16 => KvCacheType::BF16,
            CacheType::Q8 => KvCacheType::Q8_0,
            CacheType::Q4 => KvCacheType::Q4_0,
        }
    }
}

#[derive(Args)]
#[command(next_help_heading = "Prompt")]
pub struct PromptArgs {
    /// What the answer should be like.
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["instruction_file", "preset"])]
    pub instruction: Option<String>,
    /// Read the instruction from a file. [also -if]
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub instruction_file: Option<PathBuf>,
    /// Use a ready instruction.
    #[arg(long, value_name = "NAME", value_parser = crate::prompts::preset)]
    pub preset: Option<sda::prompt::Preset>,
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
    /// Jinja chat template, instead of the model's.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["chat_template_file", "no_template"])]
    pub chat_template: Option<String>,
    /// Read the Jinja chat template from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "no_template")]
    pub chat_template_file: Option<PathBuf>,
    /// Give the model the text as it is, even if it has a chat template.
    #[arg(long)]
    pub no_template: bool,
    /// Accepted for llama.cpp's sake: templates are always Jinja.
    #[arg(long)]
    pub jinja: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Placement {
    /// After the query, in the user turn.
    After,
    /// Before the query, in the user turn.
    Before,
    /// In the system message.
    System,
}

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
    /// Let a judge score a plain draft: an OpenAI-compatible server, or "local", the loaded model itself.
    #[arg(long, value_name = "local|URL", group = "strength")]
    pub judge: Option<String>,
    /// When the judge gives no score: stop, or give the plain answer or the instructed one, not steered.
    #[arg(long, value_name = "error|plain|instructed", default_value_t = OnFailure::Error)]
    pub on_judge_failure: OnFailure,
    /// How a score becomes an amplification.
    #[arg(long, value_name = "FUNCTION", default_value = "sigmoid", value_parser = crate::prompts::amplify)]
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
    /// Steer only after the model has closed its <think> block.
    #[arg(long)]
    pub steer_after_think: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// The most tokens to generate; -1 is no limit.
    #[arg(short, long, visible_alias = "predict", default_value_t = -1, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1..))]
    pub n_predict: i32,
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
    /// End the answer at this text; may be given several times.
    #[arg(short, long, value_name = "TEXT")]
    pub reverse_prompt: Vec<String>,
}

impl ModelArgs {
    pub fn model_options(&self) -> ModelOptions {
        ModelOptions { n_gpu_layers: self.n_gpu_layers, use_mmap: !self.no_mmap, use_mlock: self.mlock }
    }

    pub fn context_options(&self) -> ContextOptions {
        ContextOptions {
            n_batch: self.batch_size,
            n_ubatch: self.ubatch_size,
            n_threads: self.threads,
            n_threads_batch: self.threads_batch,
            flash_attn: match self.flash_attn {
                OnOffAuto::On => Some(true),
                OnOffAuto::Off => Some(false),
                OnOffAuto::Auto => None,
            },
            cache_type_k: self.cache_type_k.into(),
            cache_type_v: self.cache_type_v.into(),
            ..ContextOptions::default()
        }
    }
}

impl SamplingArgs {
    /// The samplers behind the steering.
    pub fn sampling(&self, seed: u32) -> Sampling {
        Sampling {
            seed,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_last_n: self.repeat_last_n,
            repeat_penalty: self.repeat_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            greedy: false,
        }
    }
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
            steer_after_think: None,
            trace,
            trace_top: if trace { self.trace_top as usize } else { 0 },
        }
    }
}
