//! The model and its context.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sda::llama::{ContextOptions, KvCacheType, ModelOptions};

#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// GGUF model file.
    #[arg(short, long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// How models are loaded, that of a judge in a file as well, and how their contexts are made.
#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct LoadArgs {
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

impl CacheType {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            CacheType::F32 => "f32",
            CacheType::F16 => "f16",
            CacheType::Bf16 => "bf16",
            CacheType::Q8 => "q8_0",
            CacheType::Q4 => "q4_0",
        }
    }
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

impl LoadArgs {
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
