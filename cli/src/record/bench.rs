//! What `sda bench --json` prints.

use serde::Serialize;

/// What was measured once a round.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// The value of each round.
    pub all: Vec<f64>,
}

/// One benchmark.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "bench")]
pub struct Bench {
    /// Version of the command.
    pub sda: &'static str,
    /// Instruction set of the kernel.
    pub isa: &'static str,
    pub model: String,
    pub n_vocab: usize,
    pub threads: usize,
    /// Tokens of the common prompt, of the instruction, and steps.
    pub n_prompt: u32,
    pub n_instruction: u32,
    pub n_gen: u32,
    pub repetitions: u32,
    pub step: Steps,
    /// Of a steered step, steering and drawing.
    pub sampling_ms: Spread,
    /// Of that, the kernel.
    pub kernel_ms: Spread,
    pub prefill: Prefill,
    pub kv_mib: Branches,
    pub many: Vec<Many>,
}

/// One pair.
#[derive(Debug, Serialize)]
pub struct Steps {
    pub plain: Step,
    pub bare: Step,
    pub steered: Step,
    pub dropin: Step,
}

/// A step, in milliseconds, and beside a bare decode of two rows.
#[derive(Debug, Serialize)]
pub struct Step {
    pub ms: Spread,
    pub tokens_per_second: Spread,
    pub over_bare: Spread,
}

/// Both prompts.
#[derive(Debug, Serialize)]
pub struct Prefill {
    pub shared: Read,
    pub apart: Read,
    pub apart_over_shared: Spread,
}

/// Rows that were read, and how long it took.
#[derive(Debug, Serialize)]
pub struct Read {
    pub rows: usize,
    pub ms: Spread,
}

/// MiB of the KV cache.
#[derive(Debug, Serialize)]
pub struct Branches {
    pub branch: f64,
    pub pair: f64,
}

/// Several pairs in one context.
#[derive(Debug, Serialize)]
pub struct Many {
    pub pairs: u32,
    pub kv_mib: f64,
    pub bare_tokens_per_second: Spread,
    pub steered_tokens_per_second: Spread,
    pub steered_over_bare: Spread,
}
