//! The table of C functions that a host fills in, as it crosses the C boundary.

use std::any::Any;
use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

/// Token id, `llama_token`.
pub type Token = i32;

/// Sequence id, `llama_seq_id`.
pub type SeqId = i32;

/// The host's `struct llama_context`; only ever a pointer here.
#[repr(C)]
pub struct LlamaContext {
    _opaque: [u8; 0],
}

/// The host's `struct llama_sampler`; only ever a pointer here.
#[repr(C)]
pub struct LlamaSampler {
    _opaque: [u8; 0],
}

/// One row of a batch: a token at a position of one sequence.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Token id.
    pub token: Token,
    /// Position in the sequence, from 0.
    pub pos: i32,
    /// Sequence the token belongs to.
    pub seq: SeqId,
    /// Not 0: logits of this row are wanted after the decode.
    pub wants_logits: i32,
}

/// Log level of a message to [`HostTable::log`]: something was skipped or refused.
pub const LOG_WARN: i32 = 3;

/// The functions that a host lends to the library.
///
/// Every function gets the context pointer that was given with the table and is called on the thread
/// that called into the library. The table is copied, so it may live on the caller's stack; what its
/// pointers refer to must outlive every object made with it. Fields are only ever appended;
/// `struct_size` tells which exist.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostTable {
    /// `sizeof(sda_host)` as the caller knows it.
    pub struct_size: usize,
    /// `llama_decode` of `n_rows` rows in order. Returns what `llama_decode` returned: 0 ok, 1 no room
    /// in the KV cache, anything else an error. Required.
    pub decode: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, rows: *const Row, n_rows: usize) -> i32>,
    /// `llama_get_logits_ith`: `n_vocab` logits of row `i` of the last decode, valid until the next
    /// one; NULL if that row wanted none. Required.
    pub get_logits_ith: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, i: i32) -> *const f32>,
    /// `llama_memory_seq_cp`, positions `[p0, p1)`, negative for an open end. Required.
    pub seq_cp:
        Option<unsafe extern "C" fn(ctx: *mut LlamaContext, src: SeqId, dst: SeqId, p0: i32, p1: i32)>,
    /// `llama_memory_seq_rm`, positions `[p0, p1)`, negative for an open end. Returns 0 if the memory
    /// cannot drop part of a sequence, else 1. Required.
    pub seq_rm: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, seq: SeqId, p0: i32, p1: i32) -> i32>,
    /// `llama_memory_seq_pos_min`: smallest position still held, -1 if none. Optional: without it the
    /// library takes position 0 to be held always, which is wrong only for sliding-window models that
    /// rewind. Recurrent models are then told by `seq_rm`, which refuses a part.
    pub seq_pos_min: Option<unsafe extern "C" fn(ctx: *mut LlamaContext, seq: SeqId) -> i32>,
    /// `llama_vocab_n_tokens`. Required.
    pub n_vocab: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> i32>,
    /// `llama_n_ctx`: KV cells of the whole context. Required.
    pub n_ctx: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// `llama_n_ctx_seq`: the most tokens one sequence can hold. Optional; where it is smaller than
    /// `n_ctx` the context is not `kv_unified` and parts of sequences cannot be shared.
    pub n_ctx_seq: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// `llama_n_batch`: the most rows of one decode. Required.
    pub n_batch: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// `llama_n_seq_max`: sequence ids are below it. Optional.
    pub n_seq_max: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> u32>,
    /// Makes a second context of the same model, with one sequence and at least as many cells per
    /// sequence as `ctx`; NULL if it cannot. Needed by drop-in samplers only.
    pub context_new: Option<unsafe extern "C" fn(ctx: *mut LlamaContext) -> *mut LlamaContext>,
    /// Frees what `context_new` made. Needed with `context_new`.
    pub context_free: Option<unsafe extern "C" fn(ctx: *mut LlamaContext)>,
    /// Makes a `llama_sampler` around a callback table (`llama_sampler_i`) and its data, so that the
    /// host's own `llama_sampler_free` can free it; NULL if it cannot. Needed by samplers that go into
    /// a host's chain.
    pub sampler_new:
        Option<unsafe extern "C" fn(iface: *const c_void, data: *mut c_void) -> *mut LlamaSampler>,
    /// Receives a message without a final newline, `level` as in `ggml_log_level` (3 = warning). It may
    /// call the library, but not free what it is called for. Optional.
    pub log: Option<unsafe extern "C" fn(level: i32, text: *const c_char, log_data: *mut c_void)>,
    /// Passed to `log` as it is.
    pub log_data: *mut c_void,
}

impl HostTable {
    /// A table without functions, to be filled.
    pub const EMPTY: HostTable = HostTable {
        struct_size: size_of::<HostTable>(),
        decode: None,
        get_logits_ith: None,
        seq_cp: None,
        seq_rm: None,
        seq_pos_min: None,
        n_vocab: None,
        n_ctx: None,
        n_ctx_seq: None,
        n_batch: None,
        n_seq_max: None,
        context_new: None,
        context_free: None,
        sampler_new: None,
        log: None,
        log_data: std::ptr::null_mut(),
    };
}

/// The functions of a host, which can be trusted to be what the table says.
#[derive(Clone)]
pub struct Host {
    table: HostTable,
    /// What the table's functions and `log_data` need to live; None where somebody else sees to it.
    _keep: Option<Arc<dyn Any + Send + Sync>>,
}

// SAFETY: function pointers have no thread affinity, and who made the value has promised (contract of
// `new`) that `log` may be called by any thread that calls into the library.
unsafe impl Send for Host {}
// SAFETY: as above; the value itself is never changed.
unsafe impl Sync for Host {}

impl Host {
    /// Trusts a table. `keep` is kept for as long as anything that was made with the table; None leaves it to
    /// the caller to keep alive what the table's functions need.
    ///
    /// # Safety
    /// Each function does what the table's fields say and may be called by any thread; the library calls the
    /// functions that get a context for one thread at a time. With `keep` all of it stays valid while `keep`
    /// lives, without it for as long as anything that was made with the returned value.
    pub unsafe fn new(table: &HostTable, keep: Option<Arc<dyn Any + Send + Sync>>) -> Host {
        Host { table: *table, _keep: keep }
    }

    /// A host without any function, for samplers that get their rows handed in.
    pub fn none() -> Host {
        Host { table: HostTable::EMPTY, _keep: None }
    }

    /// The functions, to be passed on; calling them is unsafe.
    pub fn table(&self) -> &HostTable {
        &self.table
    }

    /// Passes a warning to the host's log, if it has one.
    pub fn warn(&self, text: &str) {
        let Some(log) = self.table.log else { return };
        // A NUL inside would only cut the message short.
        let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
        // SAFETY: `log` and `log_data` are valid (contract of `new`); the text is NUL-terminated and outlives
        // the call.
        unsafe { log(LOG_WARN, text.as_ptr(), self.table.log_data) }
    }
}
