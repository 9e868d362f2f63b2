//! What a context is made with, and the sizes that llama.cpp takes. It ends the process for some of those that it does
//! not take, so all are checked here before it sees them.

use llama_cpp_2::context::params::KvCacheType;
use llama_cpp_sys_2 as sys;

use super::rope::Rope;
use super::threads::ThreadOptions;
use crate::error::{Error, Result};

/// The most sequences of a context, llama.cpp's `llama_max_parallel_sequences()`.
pub const MAX_SEQUENCES: u32 = 256;

/// The most threads, ggml's `GGML_MAX_N_THREADS`.
pub const MAX_THREADS: u32 = 512;

/// The most rows of a batch. llama.cpp has no limit of its own, and would run out of memory some way beyond.
pub const MAX_ROWS: u32 = 1 << 20;

/// The most KV cells: llama.cpp counts them with 31 bits and rounds up to the next 256.
pub const MAX_CELLS: u32 = (i32::MAX as u32) & !255;

/// How to make a context.
#[derive(Clone, Copy, Debug)]
pub struct ContextOptions {
    /// KV cells, shared by all sequences: at least one a sequence, at most [`MAX_CELLS`].
    pub n_ctx: u32,
    /// The most rows of one decode: at least one a sequence, at most [`MAX_ROWS`].
    pub n_batch: u32,
    /// The most rows computed at once: 1 to [`MAX_ROWS`]; more than `n_batch` is no more than that.
    pub n_ubatch: u32,
    /// The most sequences: 1 to [`MAX_SEQUENCES`].
    pub n_seq_max: u32,
    /// Threads for single tokens, at most [`MAX_THREADS`]; 0 for as many as there are cores.
    pub n_threads: u32,
    /// Threads for prompts, at most [`MAX_THREADS`]; 0 for the same as `n_threads`.
    pub n_threads_batch: u32,
    /// Flash attention: None lets llama.cpp decide.
    pub flash_attn: Option<bool>,
    /// Type of the keys in the KV cache.
    pub cache_type_k: KvCacheType,
    /// Type of the values in the KV cache; quantized ones need flash attention.
    pub cache_type_v: KvCacheType,
    /// Keep all cells of sliding-window layers. Default true: without, they have room for a few windows only,
    /// and llama.cpp never lets go of a cell that two sequences share, so that a pair with more than about a
    /// thousand shared tokens runs out of room. It also lets a chat rewind.
    pub swa_full: bool,
    /// On which CPUs threads run, and how.
    pub threads: ThreadOptions,
    /// How positions are scaled beyond the length that the model was trained for.
    pub rope: Rope,
    /// Keep the KV cache on the devices that compute the layers. Default true.
    pub offload_kqv: bool,
    /// Let devices compute large parts of prompts with weights that the CPU keeps. Default true.
    pub op_offload: bool,
}

pub(super) fn range(field: &'static str, value: u32, least: u32, most: u32) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::param(field, value, format!("at least {least} and at most {most}")))
}

impl Default for ContextOptions {
    fn default() -> Self {
        ContextOptions {
            n_ctx: 4096,
            n_batch: 2048,
            n_ubatch: 512,
            n_seq_max: 2,
            n_threads: 0,
            n_threads_batch: 0,
            flash_attn: None,
            cache_type_k: KvCacheType::F16,
            cache_type_v: KvCacheType::F16,
            swa_full: true,
            threads: ThreadOptions::default(),
            rope: Rope::default(),
            offload_kqv: true,
            op_offload: true,
        }
    }
}

impl ContextOptions {
    /// Checks every field's range.
    pub fn validate(&self) -> Result<()> {
        range("n_seq_max", self.n_seq_max, 1, MAX_SEQUENCES)?;
        // The first decode of a context has a row for each sequence.
        range("n_ctx", self.n_ctx, self.n_seq_max, MAX_CELLS)?;
        range("n_batch", self.n_batch, self.n_seq_max, MAX_ROWS)?;
        range("n_ubatch", self.n_ubatch, 1, MAX_ROWS)?;
        range("n_threads", self.n_threads, 0, MAX_THREADS)?;
        range("n_threads_batch", self.n_threads_batch, 0, MAX_THREADS)?;
        self.threads.validate()?;
        self.rope.validate()?;
        let plain = [KvCacheType::F32, KvCacheType::F16, KvCacheType::BF16];
        if self.flash_attn == Some(false) && !plain.contains(&self.cache_type_v) {
            let value = format!("{:?}", self.cache_type_v).to_lowercase();
            return Err(Error::param("cache_type_v", value, "f32, f16 or bf16 without flash attention"));
        }
        Ok(())
    }

    /// The same for llama.cpp. They have been validated.
    pub(super) fn params(&self) -> sys::llama_context_params {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32).min(MAX_THREADS);
        let threads = if self.n_threads == 0 { cores } else { self.n_threads };
        let threads_batch = if self.n_threads_batch == 0 { threads } else { self.n_threads_batch };
        // SAFETY: a plain function.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = self.n_ctx;
        params.n_batch = self.n_batch;
        params.n_ubatch = self.n_ubatch;
        params.n_seq_max = self.n_seq_max;
        params.n_threads = threads as i32;
        params.n_threads_batch = threads_batch as i32;
        params.flash_attn_type = match self.flash_attn {
            None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        };
        params.type_k = self.cache_type_k.into();
        params.type_v = self.cache_type_v.into();
        params.swa_full = self.swa_full;
        self.rope.set(&mut params);
        params.offload_kqv = self.offload_kqv;
        params.op_offload = self.op_offload;
        params.kv_unified = true;
        params.no_perf = true;
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_sequences_are_llama_cpps() {
        // SAFETY: a plain function.
        let sequences = unsafe { llama_cpp_sys_2::llama_max_parallel_sequences() };
        assert_eq!(MAX_SEQUENCES as usize, sequences);
    }

    #[test]
    fn every_range_is_checked_and_the_message_names_the_field() {
        let refused = |change: fn(&mut ContextOptions)| {
            let mut options = ContextOptions { n_seq_max: 3, ..ContextOptions::default() };
            assert_eq!(options.validate(), Ok(()));
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        let cases = [
            (refused(|o| o.n_seq_max = 0), "n_seq_max is 0, must be at least 1 and at most 256"),
            (refused(|o| o.n_seq_max = 257), "n_seq_max is 257, must be at least 1 and at most 256"),
            (refused(|o| o.n_ctx = 2), "n_ctx is 2, must be at least 3 and at most 2147483392"),
            (
                refused(|o| o.n_ctx = 2_147_483_393),
                "n_ctx is 2147483393, must be at least 3 and at most 2147483392",
            ),
            (refused(|o| o.n_batch = 2), "n_batch is 2, must be at least 3 and at most 1048576"),
            (
                refused(|o| o.n_batch = u32::MAX),
                "n_batch is 4294967295, must be at least 3 and at most 1048576",
            ),
            (refused(|o| o.n_ubatch = 0), "n_ubatch is 0, must be at least 1 and at most 1048576"),
            (refused(|o| o.n_threads = 513), "n_threads is 513, must be at least 0 and at most 512"),
            (
                refused(|o| o.n_threads_batch = 513),
                "n_threads_batch is 513, must be at least 0 and at most 512",
            ),
            (
                refused(|o| o.rope.freq_scale = -0.5),
                "rope_freq_scale is -0.5, must be more than 0 and finite, or 0 for the model's",
            ),
            (
                refused(|o| o.rope.yarn_ext_factor = 1.5),
                "yarn_ext_factor is 1.5, must be 0 to 1, or -1 for the model's",
            ),
            (
                refused(|o| o.rope.yarn_beta_fast = f32::NAN),
                "yarn_beta_fast is NaN, must be at least 0 and finite, or -1 for the model's",
            ),
            (
                refused(|o| (o.flash_attn, o.cache_type_v) = (Some(false), KvCacheType::Q8_0)),
                "cache_type_v is q8_0, must be f32, f16 or bf16 without flash attention",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(message, expected);
        }
    }
}
