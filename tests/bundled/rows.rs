//! Rows of logits of real models, and how far two of them may differ.

use sda::branch::{Pair, Side};
use sda::host::Token;
use sda::llama::{ContextOptions, KvCacheType, Model};

/// Largest difference that counts as equal, as a share of the spread of a row of logits, when weights and
/// KV cache are 32-bit floats and attention is not fused. What is left is the order of additions, which
/// depends on the shape of the batch (measured: 7e-7 for SmolLM2), and ggml's 16-bit table for GELU, which
/// Gemma uses (measured: 1.6e-4). A wrong mask, position or copied cell moves a row by more than 1e-1.
pub const SMOLLM2_EXACT: f32 = 1e-5;
pub const GEMMA_EXACT: f32 = 1e-3;

/// The same for the models as they ship. Their activations are rounded to 8 bits on the way, and a batch
/// of another shape rounds otherwise: single rows move by up to 4e-2 of their spread (measured) even
/// where the exact test above shows that both ways compute the same thing.
pub const QUANTIZED: f32 = 6e-2;

pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let spread = |row: &[f32]| {
        let (min, max) = row.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &x| (lo.min(x), hi.max(x)));
        max - min
    };
    let most = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    most / spread(a).max(spread(b))
}

/// A pair in a context of its own.
pub fn lab(model: &Model, options: ContextOptions) -> Pair {
    Pair::new(model.new_context(&options).unwrap(), 0, 1).unwrap()
}

pub fn options(n_ctx: u32) -> ContextOptions {
    ContextOptions { n_ctx, n_seq_max: 2, n_threads: 1, swa_full: false, ..ContextOptions::default() }
}

/// Options that leave no rounding but that of 32-bit floats.
pub fn exact(n_ctx: u32) -> ContextOptions {
    ContextOptions {
        flash_attn: Some(false),
        cache_type_k: KvCacheType::F32,
        cache_type_v: KvCacheType::F32,
        ..options(n_ctx)
    }
}

pub fn quiet(_: usize, _: usize) -> bool {
    true
}

/// Logits after each of `steps`, from a run of its own.
pub fn alone(model: &Model, options: ContextOptions, prompt: &[Token], steps: &[Token]) -> Vec<Vec<f32>> {
    let mut pair = lab(model, options);
    pair.prefill_one(Side::Plain, prompt, &mut quiet).unwrap();
    let mut rows = vec![pair.logits(Side::Plain).unwrap().to_vec()];
    for &token in steps {
        pair.step_one(Side::Plain, token).unwrap();
        rows.push(pair.logits(Side::Plain).unwrap().to_vec());
    }
    rows
}
