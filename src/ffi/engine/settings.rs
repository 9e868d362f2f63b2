//! What an engine is made with.

use super::super::sized::{SizedStruct, init_sized, read_sized};
use super::model::ModelHandle;
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::llama::{ContextOptions, KvCacheType, Model, Rope, RopeScaling};
use crate::steer::MOST_INSTRUCTIONS;

/// How to make an engine. Set it up with sda_engine_params_init(), then change single fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CEngineParams {
    /// Size of this struct as the caller knows it; sda_engine_params_init() sets it.
    pub struct_size: usize,
    /// Tokens that each of the two branches can hold, 2 to 1073741696; 0 is the model's training length, at most
    /// 4096. Default 0. The KV cache has twice as many cells, or more with `max_instructions`.
    pub n_ctx: u32,
    /// The most tokens of one decode, 3 to 1048576. Default 2048.
    pub n_batch: u32,
    /// The most tokens computed at once, 1 to 1048576. Default 512.
    pub n_ubatch: u32,
    /// Threads, at most 512; 0 is one per core. Default 0.
    pub n_threads: u32,
    /// Threads while prompts are read, at most 512; 0 is the same as `n_threads`. Default 0.
    pub n_threads_batch: u32,
    /// Flash attention: 0 off, 1 on, -1 where llama.cpp thinks it of use. Default -1.
    pub flash_attn: i32,
    /// Keep all cells of sliding-window layers, if not 0. Default 1; 0 saves memory, and is for prompts whose
    /// common part is shorter than the window.
    pub swa_full: i32,
    /// Tokens that a prompt of `judge_model` can have, with query and draft. 0 (the default) is as many as a branch
    /// holds and 512, at most the model's training length. Must be 0 without `judge_model`.
    pub judge_n_ctx: u32,
    /// A model that scores plain drafts, for `judge` of sda_generate_params and sda_engine_score(): better a
    /// stronger one. NULL (the default): the engine's own model scores them. It may be freed before the engine, and
    /// be the judge of any number of engines. Its context is made here, with the settings above, and is the engine's.
    pub judge_model: *const ModelHandle,
    /// The most instructions of one answer that can have a branch of their own, at most SDA_MOST_INSTRUCTIONS. 0 (the
    /// default) is for one instruction, of a weight that is not negative. The KV cache gets cells for as many branches
    /// more, and a step as many rows.
    pub max_instructions: u32,
    /// Reserved. Must be 0.
    pub reserved: u32,
    /// Type of the keys in the KV cache, a ggml_type: 0 f32, 1 f16, 2 q4_0, 8 q8_0, 30 bf16. Default 1.
    pub cache_type_k: i32,
    /// Type of the values; 2 and 8 need flash attention. Default 1.
    pub cache_type_v: i32,
    /// Keep the KV cache on the devices that compute the layers, if not 0. Default 1.
    pub offload_kqv: i32,
    /// Let devices compute large parts of prompts with weights that the CPU keeps, if not 0. Default 1.
    pub op_offload: i32,
    /// How positions are scaled, not those of `judge_model`: 0 not at all, 1 linear, 2 YaRN, -1 as the model says. Default
    /// -1.
    pub rope_scaling: i32,
    /// Base of the positions' frequencies, more than 0; 0 is the model's. Default 0.
    pub rope_freq_base: f32,
    /// Factor of the positions' frequencies, more than 0: 0.5 is for twice the length; 0 is the model's. Default 0.
    pub rope_freq_scale: f32,
    /// YaRN: length that the model was trained for; 0 is what its file says. Default 0.
    pub yarn_orig_ctx: u32,
    /// YaRN: share of extrapolation, 0 to 1; -1 is the model's. Default -1.
    pub yarn_ext_factor: f32,
    /// YaRN: factor of the attention, at least 0; -1 is the model's. Default -1.
    pub yarn_attn_factor: f32,
    /// YaRN: where extrapolation begins, at least 0; -1 is the model's. Default -1.
    pub yarn_beta_fast: f32,
    /// YaRN: where interpolation begins, at least 0; -1 is the model's. Default -1.
    pub yarn_beta_slow: f32,
}

// SAFETY: C's layout, numbers, and a pointer that may be NULL; the size comes first.
unsafe impl SizedStruct for CEngineParams {
    const NAME: &'static str = "sda_engine_params";
    const SMALLEST: usize = std::mem::offset_of!(CEngineParams, n_batch);

    fn defaults() -> CEngineParams {
        let options = ContextOptions::default();
        CEngineParams {
            struct_size: size_of::<CEngineParams>(),
            n_ctx: 0,
            n_batch: options.n_batch,
            n_ubatch: options.n_ubatch,
            n_threads: options.n_threads,
            n_threads_batch: options.n_threads_batch,
            flash_attn: options.flash_attn.map_or(-1, i32::from),
            swa_full: options.swa_full.into(),
            judge_n_ctx: 0,
            judge_model: std::ptr::null(),
            max_instructions: 0,
            reserved: 0,
            cache_type_k: CACHE_TYPES[1].0,
            cache_type_v: CACHE_TYPES[1].0,
            offload_kqv: options.offload_kqv.into(),
            op_offload: options.op_offload.into(),
            rope_scaling: options.rope.scaling.map_or(-1, RopeScaling::number),
            rope_freq_base: options.rope.freq_base,
            rope_freq_scale: options.rope.freq_scale,
            yarn_orig_ctx: options.rope.yarn_orig_ctx,
            yarn_ext_factor: options.rope.yarn_ext_factor,
            yarn_attn_factor: options.rope.yarn_attn_factor,
            yarn_beta_fast: options.rope.yarn_beta_fast,
            yarn_beta_slow: options.rope.yarn_beta_slow,
        }
    }
}

/// Types of a KV cache, and ggml's numbers for them.
const CACHE_TYPES: [(i32, KvCacheType); 5] = [
    (0, KvCacheType::F32),
    (1, KvCacheType::F16),
    (2, KvCacheType::Q4_0),
    (8, KvCacheType::Q8_0),
    (30, KvCacheType::BF16),
];

fn cache_type(field: &'static str, number: i32) -> Result<KvCacheType> {
    let found = CACHE_TYPES.iter().find(|(other, _)| *other == number);
    found
        .map(|(_, it)| *it)
        .ok_or_else(|| Error::param(field, number, "0 (f32), 1 (f16), 2 (q4_0), 8 (q8_0) or 30 (bf16)"))
}

/// Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sda_engine_params_init(params: *mut CEngineParams, size: usize) -> i32 {
    // SAFETY: the caller says that there are `size` bytes at `params`.
    guard(|| unsafe { init_sized(params, size) })
}

/// The settings of an engine.
pub(super) struct Settings<'a> {
    /// Tokens of a branch; 0 leaves it to us.
    pub(super) n_ctx: usize,
    /// Branches of single instructions.
    pub(super) max_instructions: usize,
    pub(super) options: ContextOptions,
    pub(super) judge_model: Option<&'a Model>,
    /// Tokens of its prompt; 0 leaves it to us.
    pub(super) judge_n_ctx: usize,
}

/// Reads the settings of an engine.
///
/// # Safety
/// `params` is NULL or points to as many bytes as its `struct_size` says; the judge's model is NULL or live during
/// `'a`.
pub(super) unsafe fn read_engine<'a>(params: *const CEngineParams) -> Result<Settings<'a>> {
    let p = if params.is_null() {
        CEngineParams::defaults()
    } else {
        // SAFETY: passed on.
        unsafe { read_sized(params, "params")? }
    };
    if p.reserved != 0 {
        return Err(Error::param("reserved", p.reserved, "0"));
    }
    if p.max_instructions as usize > MOST_INSTRUCTIONS {
        return Err(Error::param("max_instructions", p.max_instructions, "at most 8"));
    }
    // SAFETY: passed on.
    let judge_model = unsafe { p.judge_model.as_ref() }.map(ModelHandle::model);
    if judge_model.is_none() && p.judge_n_ctx != 0 {
        return Err(Error::param("judge_n_ctx", p.judge_n_ctx, "0 where judge_model is NULL"));
    }
    let flash_attn = match p.flash_attn {
        -1 => None,
        0 | 1 => Some(p.flash_attn == 1),
        other => return Err(Error::param("flash_attn", other, "0, 1 or -1")),
    };
    let options = ContextOptions {
        n_batch: p.n_batch,
        n_ubatch: p.n_ubatch,
        n_threads: p.n_threads,
        n_threads_batch: p.n_threads_batch,
        flash_attn,
        swa_full: p.swa_full != 0,
        cache_type_k: cache_type("cache_type_k", p.cache_type_k)?,
        cache_type_v: cache_type("cache_type_v", p.cache_type_v)?,
        offload_kqv: p.offload_kqv != 0,
        op_offload: p.op_offload != 0,
        rope: Rope {
            scaling: RopeScaling::of_number(p.rope_scaling)?,
            freq_base: p.rope_freq_base,
            freq_scale: p.rope_freq_scale,
            yarn_orig_ctx: p.yarn_orig_ctx,
            yarn_ext_factor: p.yarn_ext_factor,
            yarn_attn_factor: p.yarn_attn_factor,
            yarn_beta_fast: p.yarn_beta_fast,
            yarn_beta_slow: p.yarn_beta_slow,
        },
        ..ContextOptions::default()
    };
    let (n_ctx, judge_n_ctx) = (p.n_ctx as usize, p.judge_n_ctx as usize);
    let max_instructions = p.max_instructions as usize;
    Ok(Settings { n_ctx, max_instructions, options, judge_model, judge_n_ctx })
}
