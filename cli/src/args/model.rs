//! The model and its context.

use std::path::PathBuf;

use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};
use sda::engine::{MAX_N_CTX, MIN_N_CTX};
use sda::llama::{ContextOptions, KvCacheType, MAX_ROWS, MAX_THREADS, ModelOptions};

use super::adapt::AdaptArgs;
use super::cpu::CpuArgs;
use super::device::DeviceArgs;

#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// GGUF model file.
    #[arg(short, long, value_name = "FILE")]
    pub model: PathBuf,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub adapt: AdaptArgs,
}

impl ModelArgs {
    /// How the model is loaded.
    pub fn model_options(&self) -> ModelOptions {
        let mut options = self.load.model_options();
        self.adapt.apply(&mut options);
        options
    }

    /// How its contexts are made.
    pub fn context_options(&self) -> ContextOptions {
        ContextOptions { rope: self.adapt.rope(), ..self.load.context_options() }
    }
}

/// How models are loaded, that of a judge in a file as well, and how their contexts are made.
#[derive(Args, Clone)]
#[command(next_help_heading = "Model")]
pub struct LoadArgs {
    /// Tokens that each of the two branches can hold; 0 is the model's training length, at most 4096.
    #[arg(short, long, default_value_t = 0, value_name = "N", value_parser = ctx_size)]
    pub ctx_size: u32,
    /// Threads; 0 is one per core.
    #[arg(short, long, default_value_t = 0, value_name = "N", allow_negative_numbers = true, value_parser = threads)]
    pub threads: u32,
    /// Threads while prompts are read; 0 is the same as --threads. [also -tb]
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true, value_parser = threads)]
    pub threads_batch: u32,
    /// The most tokens of one decode; at least two for each answer at once, and one more.
    #[arg(short, long, default_value_t = 2048, value_name = "N", value_parser = up_to(3, MAX_ROWS))]
    pub batch_size: u32,
    /// The most tokens computed at once. [also -ub]
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = up_to(1, MAX_ROWS))]
    pub ubatch_size: u32,
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
    #[arg(long, conflicts_with = "load_mode")]
    no_mmap: bool,
    /// Keep the model from being swapped out.
    #[arg(long, conflicts_with = "load_mode")]
    mlock: bool,
    /// The same in one word: auto and mmap map the model, mlock reads it and keeps it from being swapped out. [also -lm]
    #[arg(long, value_enum, value_name = "MODE")]
    load_mode: Option<LoadMode>,
    /// Leave weights as they are in the file, where they would be laid out anew for this CPU. [also -nr]
    #[arg(long)]
    pub no_repack: bool,
    /// Accepted for llama.cpp's sake: weights are laid out for this CPU.
    #[arg(long, hide = true, conflicts_with = "no_repack")]
    pub repack: bool,
    /// Refuse a model with weights that are infinite or not a number.
    #[arg(long)]
    pub check_tensors: bool,
    /// Accepted for llama.cpp's sake: all cells of sliding-window layers are kept, since the branches share them.
    #[arg(long)]
    pub swa_full: bool,
    /// Write llama.cpp's log to a file, whether -v shows it or not.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    #[command(flatten)]
    pub cpu: CpuArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOffAuto {
    #[value(aliases = ["enabled", "true", "1"])]
    On,
    #[value(aliases = ["disabled", "false", "0"])]
    Off,
    #[value(alias = "-1")]
    Auto,
}

impl OnOffAuto {
    pub fn is_on(self) -> Option<bool> {
        match self {
            OnOffAuto::On => Some(true),
            OnOffAuto::Off => Some(false),
            OnOffAuto::Auto => None,
        }
    }
}

/// How a model's file is read.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoadMode {
    Auto,
    None,
    Mmap,
    Mlock,
    #[value(name = "mmap+mlock")]
    MmapMlock,
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

/// Parses a number in a range, for clap.
fn up_to(least: u32, most: u32) -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(i64::from(least)..=i64::from(most))
}

/// Parses a number of threads, for clap. llama.cpp writes -1 for one per core.
fn threads(text: &str) -> Result<u32, String> {
    let n = text.parse().ok().filter(|&n: &i64| (-1..=i64::from(MAX_THREADS)).contains(&n));
    n.map(|n| n.max(0) as u32).ok_or_else(|| format!("must be -1 or 0, or at most {MAX_THREADS}"))
}

/// Parses a branch's length, for clap.
fn ctx_size(text: &str) -> Result<u32, String> {
    let length =
        text.parse().ok().filter(|&n: &u32| n == 0 || (MIN_N_CTX..=MAX_N_CTX).contains(&(n as usize)));
    length.ok_or_else(|| format!("must be 0, or at least {MIN_N_CTX} and at most {MAX_N_CTX}"))
}

impl LoadArgs {
    /// How a model is loaded that is not that of -m.
    pub fn model_options(&self) -> ModelOptions {
        let (use_mmap, use_mlock) = match self.load_mode {
            None => (!self.no_mmap, self.mlock),
            Some(LoadMode::Auto | LoadMode::Mmap) => (true, false),
            Some(LoadMode::None) => (false, false),
            Some(LoadMode::Mlock) => (false, true),
            Some(LoadMode::MmapMlock) => (true, true),
        };
        let mut options = ModelOptions {
            use_mmap,
            use_mlock,
            repack: !self.no_repack,
            check_tensors: self.check_tensors,
            ..ModelOptions::default()
        };
        self.device.apply(&mut options);
        options
    }

    /// How the contexts of such a model are made.
    pub fn context_options(&self) -> ContextOptions {
        ContextOptions {
            n_batch: self.batch_size,
            n_ubatch: self.ubatch_size,
            n_threads: self.threads,
            n_threads_batch: self.threads_batch,
            flash_attn: self.flash_attn.is_on(),
            cache_type_k: self.cache_type_k.into(),
            cache_type_v: self.cache_type_v.into(),
            threads: self.cpu.threads(),
            offload_kqv: !self.device.no_kv_offload,
            op_offload: !self.device.no_op_offload,
            ..ContextOptions::default()
        }
    }
}
